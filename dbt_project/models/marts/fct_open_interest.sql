{{ config(materialized='view') }}
select * from {{ ref('int_open_interest_converted') }}
