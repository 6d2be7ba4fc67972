-- The vendor sends only the name: names ending in USDT are read (at HTX after a hyphen), and the contract size is null.
select
    r.venue,
    r.instrument as symbol,
    regexp_replace(r.instrument, '-?USDT$', '') as listed_asset,
    'USDT' as quote_asset,
    'linear' as contract_type,
    {{ fact_about_venue(source_name='amberdata', dataset='instruments', fact='underlying_class', venue='r.venue') }} as underlying_class,
    'trading' as status,
    {{ from_ms('r.start_date') }} as listed_at,
    r._observed_at as observed_at
from {{ source('amberdata', 'instruments') }} as r
where r.instrument like '%USDT'
