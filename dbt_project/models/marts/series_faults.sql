select * from {{ ref('int_series_faults') }}
