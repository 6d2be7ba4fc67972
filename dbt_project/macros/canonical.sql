{#
  The canonical columns of each dataset: what a staging model gives, and a union of them has. A column that a source knows
  nothing of is left out of its model and null in the union. What each means: `models/staging/_canonical.md`.
#}
{% macro canonical_columns(dataset) -%}
    {%- set columns = {
        'instruments': {
            'symbol': 'varchar', 'listed_asset': 'varchar', 'base_asset': 'varchar', 'multiplier': 'double',
            'quote_asset': 'varchar', 'settle_asset': 'varchar', 'contract_type': 'varchar', 'contract_size': 'double',
            'underlying_class': 'varchar', 'funding_interval_hours': 'double', 'status': 'varchar', 'listed_at': 'timestamp',
            'delisted_at': 'timestamp', 'observed_at': 'timestamp'
        },
        'funding_rates': {
            'symbol': 'varchar', 'raw_ms': 'bigint', 'stamp': 'timestamp', 'settled_at': 'timestamp', 'raw_rate': 'double',
            'raw_unit': 'varchar', 'rate_interval': 'double', 'stated_interval_hours': 'double', 'mark_price': 'double',
            'loaded_at': 'timestamp'
        },
        'running_rates': {
            'symbol': 'varchar', 'observed_at': 'timestamp', 'raw_rate': 'double', 'raw_unit': 'varchar', 'rate': 'double',
            'interval_hours': 'double', 'next_settlement_at': 'timestamp', 'mark_price': 'double', 'index_price': 'double'
        },
        'open_interest': {
            'symbol': 'varchar', 'raw_ms': 'bigint', 'stamp': 'timestamp', 'observed_at': 'timestamp', 'raw_value': 'double',
            'raw_field': 'varchar', 'raw_unit': 'varchar', 'venue_usd': 'double', 'mark_price': 'double',
            'is_snapshot': 'boolean', 'loaded_at': 'timestamp'
        },
        'candles': {
            'symbol': 'varchar', 'raw_ms': 'bigint', 'opened_at': 'timestamp', 'open': 'double', 'high': 'double',
            'low': 'double', 'close': 'double', 'raw_volume': 'double', 'raw_volume_unit': 'varchar',
            'base_volume': 'double', 'quote_volume': 'double', 'trades': 'bigint', 'mark_close': 'double',
            'index_close': 'double', 'loaded_at': 'timestamp'
        },
        'liquidations': {
            'symbol': 'varchar', 'event_id': 'varchar', 'raw_ms': 'bigint', 'liquidated_at': 'timestamp',
            'raw_side': 'varchar', 'price': 'double', 'raw_size': 'double', 'raw_unit': 'varchar', 'venue_usd': 'double',
            'loaded_at': 'timestamp'
        },
        'references': {
            'metric': 'varchar', 'covers': 'varchar', 'symbol': 'varchar', 'listed_asset': 'varchar', 'base_asset': 'varchar',
            'raw_ms': 'bigint', 'period_start': 'timestamp', 'period_end': 'timestamp', 'raw_value': 'double',
            'raw_unit': 'varchar', 'value': 'double', 'unit': 'varchar', 'price': 'double', 'loaded_at': 'timestamp'
        },
    } -%}
    {{ return(columns[dataset | replace('_now', '')]) }}
{%- endmacro %}
