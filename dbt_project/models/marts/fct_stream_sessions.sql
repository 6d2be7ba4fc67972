select * from {{ ref('int_stream_sessions') }}
