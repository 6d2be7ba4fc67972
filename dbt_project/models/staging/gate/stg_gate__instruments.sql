{{ gate_instruments(source_name='gate') }}
