{{ config(materialized='view') }}
select * from {{ ref('int_order_book_depth_converted') }}
