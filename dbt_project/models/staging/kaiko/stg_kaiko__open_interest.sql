-- `time` is the start of the hour whose last value this is.
{{ vendor_open_interest(source_name='kaiko', table='risk', symbol=kaiko_symbol('r.symbol'), time='r."time" + 3600000', value='open_interest') }}
