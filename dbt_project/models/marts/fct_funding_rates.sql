{{ config(materialized='view') }}
select * from {{ ref('int_funding_settlements') }}
