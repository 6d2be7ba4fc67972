{{ config(materialized='view') }}
select * from {{ ref('int_liquidations_converted') }}
