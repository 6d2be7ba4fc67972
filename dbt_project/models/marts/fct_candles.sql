{{ config(materialized='view') }}
select * from {{ ref('int_candles_converted') }}
