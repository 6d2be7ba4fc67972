-- `time` is the start of the hour whose last value this is.
{{ vendor_running_rates(source_name='coinapi', table='running_rates', symbol=coinapi_symbol(), time='r."time" + 3600000', rate='last') }}
