{{ vendor_open_interest(source_name='amberdata', table='open_interest', symbol='r.symbol', time='r."time"', value='value') }}
