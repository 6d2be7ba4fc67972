{{ config(materialized='view') }}
{{ industry_by('week') }}
