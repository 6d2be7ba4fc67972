select
    i.* replace (
        coalesce(i.contract_type, {{ contract_type(base='i.listed_asset', quote='i.quote_asset', settle='i.settle_asset') }}) as contract_type,
        coalesce(i.funding_interval_hours, fixed.value::double) as funding_interval_hours
    ),
    case when o.instrument_id is null then {{ base_asset('i.listed_asset', at='i.observed_at') }} else i.listed_asset end as base_asset,
    case when o.instrument_id is null then {{ multiplier('i.listed_asset') }} else 1.0 end as multiplier
from ({{ union_staged('instruments') }}) as i
{{ join_fact(alias='fixed', relation='i', dataset='funding_rates', fact="'fixed_interval_hours'", at='i.observed_at') }}
left join {{ ref('int_other_coins') }} as o on i.instrument_id = o.instrument_id
