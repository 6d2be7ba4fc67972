select * from {{ ref('venues') }}
