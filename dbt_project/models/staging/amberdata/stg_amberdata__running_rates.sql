{{ vendor_running_rates('amberdata', 'running_rates', 'r.symbol', 'r."time"', 'funding_rate') }}
