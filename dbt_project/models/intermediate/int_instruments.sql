select
    i.* replace (
        coalesce(i.contract_type, {{ contract_type(base='i.listed_asset', quote='i.quote_asset', settle='i.settle_asset') }}) as contract_type,
        coalesce(i.funding_interval_hours, fixed.value::double) as funding_interval_hours
    ),
    {{ base_asset('i.listed_asset', at='i.observed_at') }} as base_asset,
    {{ multiplier('i.listed_asset') }} as multiplier
from ({{ union_staged('instruments') }}) as i
{{ join_fact(alias='fixed', relation='i', dataset='funding_rates', fact="'fixed_interval_hours'", at='i.observed_at') }}
