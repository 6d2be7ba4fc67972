{{ vendor_running_rates('kaiko', 'risk', kaiko_native('r.symbol'), '(r."time" + 3600000)', 'funding_rate') }}
