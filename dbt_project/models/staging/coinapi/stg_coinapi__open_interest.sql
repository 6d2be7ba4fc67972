-- `time` is the start of the hour whose last value this is.
{{ vendor_open_interest(source_name='coinapi', table='open_interest', symbol=coinapi_symbol(), time='r."time" + 3600000', value='last') }}
