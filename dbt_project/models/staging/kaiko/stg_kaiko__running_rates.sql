-- `time` is the start of the hour whose last value this is.
{{ vendor_running_rates(source_name='kaiko', table='risk', symbol=kaiko_symbol('r.symbol'), time='r."time" + 3600000', rate='funding_rate') }}
