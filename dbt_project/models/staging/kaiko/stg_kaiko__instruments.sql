-- The fields with contract sizes are not documented: the size is null.
select
    r.venue,
    {{ kaiko_symbol('r.instrument') }} as symbol,
    upper(split_part(r.instrument, '-', 1)) as listed_asset,
    upper(split_part(r.instrument, '-', 2)) as quote_asset,
    case when quote_asset = 'USD' then 'inverse' else 'linear' end as contract_type,
    {{ fact_about_venue(source_name='kaiko', dataset='instruments', fact='underlying_class', venue='r.venue') }} as underlying_class,
    'trading' as status,
    r._observed_at as observed_at
from {{ source('kaiko', 'instruments') }} as r
where length(r.instrument) - length(replace(r.instrument, '-', '')) = 1
