{#
  The instruments of an archive by their names alone: what they are made of is read from these. It doesn't state whether one trades still.
  `pattern` takes the coin and the quote out of a symbol, `settle`, `contract_size` and `quote` are SQL expressions over those.
#}
{% macro archive_instruments(source_name, pattern, settle, contract_size, quote='name.quote_asset') -%}
with named as (
    select
        symbol,
        regexp_extract(symbol, '{{ pattern }}', ['listed_asset', 'quote_asset']) as name,
        _observed_at
    from {{ source(source_name, 'instruments') }}
)

select
    symbol,
    name.listed_asset as listed_asset,
    {{ quote }} as quote_asset,
    {{ settle }} as settle_asset,
    {{ contract_size }}::double as contract_size,
    'crypto' as underlying_class,
    null::varchar as status,
    _observed_at as observed_at
from named
where name.listed_asset <> ''
{%- endmacro %}
