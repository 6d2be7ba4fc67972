-- The facts that models join and a source doesn't have: without them it would drop out of coverage or have no publication time.
select s.source, s.dataset, n.fact
from ({{ sources_table() }}) as s
inner join (values
    ('instruments', 'fetched_quote'), ('funding_rates', 'stamp_meaning'), ('funding_rates', 'publication_delay_minutes'),
    ('candles', 'publication_delay_minutes'), ('candles', 'sides_of_volume'), ('open_interest', 'publication_delay_minutes'),
    ('liquidations', 'side_meaning'), ('liquidations', 'price_kind'),
    ('liquidations', 'publication_delay_minutes')
) as n(dataset, fact) on s.dataset = n.dataset
anti join {{ ref('venue_facts') }} as f on s.source = f.source and n.dataset = f.dataset and n.fact = f.fact
