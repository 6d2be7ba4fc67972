{{ config(materialized='table') }}
{%- set attributes -%}
    listed_asset, base_asset, multiplier, quote_asset, settle_asset, contract_type, contract_size, funding_interval_hours,
    underlying_class, status, listed_at, delisted_at, nulled
{%- endset -%}
{%- set units = "base_asset, multiplier, quote_asset, contract_type, contract_size" -%}
with snapshots as (
    select *, hash({{ attributes }}) as attributes_hash, hash({{ units }}) as units_hash
    from {{ ref('int_instruments') }}
    qualify rank() over (partition by instrument_id order by precedence) = 1
),

versions as (
    select
        *,
        min(observed_at) over (partition by instrument_id) as first_seen_at,
        lag(observed_at) over history as last_seen_at,
        lag(listed_at) over history as listed_before,
        units_hash is distinct from lag(units_hash) over history as changes_units
    from snapshots
    window history as (partition by instrument_id order by observed_at)
    qualify attributes_hash is distinct from lag(attributes_hash) over history
),

numbered as (
    select
        *,
        row_number() over history as version,
        case
            -- The first version is valid since 1970: the first snapshot is the best knowledge of the time before it.
            when row_number() over history = 1 then timestamp '1970-01-01'
            -- Listed again since the last snapshot: the version is valid from the listing, not only from the snapshot that shows it.
            when listed_at is distinct from listed_before and listed_at > last_seen_at and listed_at <= observed_at then listed_at
            else observed_at
        end as valid_from
    from versions
    window history as (partition by instrument_id order by observed_at)
),

lives as (  -- what is known last of a listing holds for all of its versions; a row before its hour is of another contract
    select
        *,
        date_trunc('hour', listed_at) as begins_at,
        last_value(delisted_at) over (
            partition by instrument_id, listed_at order by version rows between unbounded preceding and unbounded following) as ends_at
    from numbered
),

lists as (  -- of each instrument the last list that has it, and the first whole one of its source after that
    select l.*, min(w.observed_at) as unlisted_at
    from (select source, venue, instrument_id, max(observed_at) as last_listed_at from snapshots group by all) as l
    left join {{ ref('stg_meta__whole_lists') }} as w
        on l.source = w.source and l.venue = w.venue and l.last_listed_at < w.observed_at
    group by all
)

select
    n.instrument_id,
    version::integer as version,
    valid_from,
    lead(valid_from) over (partition by n.instrument_id order by version) as valid_to,
    n.venue,
    n.source,
    symbol,
    listed_asset,
    base_asset,
    multiplier,
    n.quote_asset,
    settle_asset,
    q.usd_method,
    contract_type,
    contract_size,
    funding_interval_hours,
    underlying_class,
    status,
    listed_at,
    delisted_at,
    begins_at,
    ends_at,
    nulled,
    first_seen_at,
    l.last_listed_at,
    l.unlisted_at,
    hash(
        list((valid_from, units_hash) order by valid_from) filter (changes_units) over (partition by n.instrument_id),
        list(begins_at order by valid_from) filter (listed_at is distinct from listed_before) over (partition by n.instrument_id),
        list(ends_at order by valid_from) filter (ends_at is not null) over (partition by n.instrument_id)
    ) as _versions
from lives as n
left join {{ ref('quote_assets') }} as q on n.quote_asset = q.quote_asset
left join lists as l on n.instrument_id = l.instrument_id and n.source = l.source
