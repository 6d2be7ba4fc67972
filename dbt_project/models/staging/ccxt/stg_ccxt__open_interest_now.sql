-- Some venues state no time: then it is the look's own.
{{ ccxt_open_interest('open_interest_now', 'coalesce("timestamp", epoch_ms(_observed_at))') }}
