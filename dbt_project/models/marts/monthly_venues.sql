{{ config(materialized='view') }}
{{ venues_by('month') }}
