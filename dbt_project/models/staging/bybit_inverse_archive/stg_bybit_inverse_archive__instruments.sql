{{ archive_instruments(source_name='bybit_inverse_archive', pattern='^(.+)(USD)$', settle='name.listed_asset', contract_size='1') }}
