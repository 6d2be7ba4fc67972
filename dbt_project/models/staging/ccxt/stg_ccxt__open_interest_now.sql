-- Some venues state no time: then it is the look's own.
{{ ccxt_open_interest('open_interest_now', 'coalesce(o."timestamp", epoch_ms(o._observed_at))') }}
