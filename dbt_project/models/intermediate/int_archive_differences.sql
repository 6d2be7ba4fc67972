{{ config(materialized='incremental', meta={'time': 'day', 'look_back': 24, 'look_ahead': 24}) }}
{%- set window = replaced_window() %}
{%- set archives, originals = [], [] %}
{%- for name, row in loaded_sources().items() if row.get('archive_of') %}
    {%- do archives.append("'" ~ name ~ "'") %}{% do originals.append("'" ~ row.archive_of ~ "'") %}
{%- endfor %}
{%- set is_archive = "source in (" ~ (archives | join(', ') or 'null') ~ ")" %}
-- Numbers that a source and its archive both have, by instrument and time: without an archive nothing is read.
with numbers as (
    {%- for dataset, field, time, value in [
        ('candles', 'close', 'raw_ms', 'close'), ('candles', 'volume', 'raw_ms', 'raw_volume'),
        ('funding_rates', 'rate', 'epoch_ms(settled_at)', 'rate_interval'), ('open_interest', 'open_interest', 'raw_ms', 'one_sided')
    ] %}
    select '{{ dataset }}' as dataset, '{{ field }}' as field, venue, source, instrument_id, {{ time }} as at_ms, {{ value }} as value
    from {{ ref('int_' ~ dataset) }}
    where {% if archives %} source in ({{ (archives + originals) | join(', ') }}) {% else %} false {% endif %} and {{ value }} is not null and {{ in_window_ms('raw_ms', window) }}
        {%- if dataset == 'open_interest' %} and not is_snapshot {%- endif %}
    {{ "union all" if not loop.last }}
    {%- endfor %}
),

pairs as (
    select
        dataset,
        field,
        venue,
        instrument_id,
        {{ from_ms('at_ms') }} as happened_at,
        any_value(source) filter (not {{ is_archive }}) as source,
        any_value(source) filter ({{ is_archive }}) as archive,
        any_value(value) filter (not {{ is_archive }}) as stated,
        any_value(value) filter ({{ is_archive }}) as archived,
        abs(stated - archived) > 1e-9 * greatest(abs(stated), abs(archived)) as differs
    from numbers
    group by dataset, field, venue, instrument_id, at_ms
    having stated is not null and archived is not null
)

select
    p.happened_at::date as day,
    p.venue,
    p.source,
    p.archive,
    p.instrument_id,
    p.dataset,
    p.field,
    count(*) as compared,
    count(*) filter (p.differs) as differing,
    min(p.happened_at) filter (p.differs) as first_at,
    arg_min(p.stated, p.happened_at) filter (p.differs) as value,
    arg_min(p.archived, p.happened_at) filter (p.differs) as archive_value,
    any_value(v._versions) as _versions
from pairs as p
left join (select instrument_id, any_value(_versions) as _versions from {{ ref('int_instrument_versions') }} group by instrument_id) as v
    on p.instrument_id = v.instrument_id
group by p.happened_at::date, p.venue, p.source, p.archive, p.instrument_id, p.dataset, p.field
