{{ config(materialized='view') }}
{{ assets_by('month') }}
