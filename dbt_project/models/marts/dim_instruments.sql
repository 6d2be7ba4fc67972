{{ config(materialized='view') }}
select * from {{ ref('int_instrument_versions') }}
