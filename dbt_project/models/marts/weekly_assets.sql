{{ config(materialized='view') }}
{{ assets_by('week') }}
