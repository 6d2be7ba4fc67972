{{ config(materialized='view') }}
{{ industry_by('month') }}
