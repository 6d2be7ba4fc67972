{{ config(materialized='view') }}
{{ venues_by('week') }}
