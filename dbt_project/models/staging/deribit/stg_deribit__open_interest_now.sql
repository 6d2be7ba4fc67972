-- Of inverse perpetuals, which are those quoted in USD, in USD; of linear ones in the base coin.
select
    instrument_name as symbol,
    open_interest as raw_value,
    'open_interest' as raw_field,
    case quote_currency when 'USD' then 'quote' else 'listed_base' end as raw_unit,
    mark_price,
    _observed_at
from {{ source('deribit', 'summaries') }}
where instrument_name like '%-PERPETUAL'
