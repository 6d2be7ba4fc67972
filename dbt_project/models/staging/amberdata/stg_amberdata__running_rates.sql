{{ vendor_running_rates(source_name='amberdata', table='running_rates', symbol='r.symbol', time='r."time"', rate='funding_rate') }}
