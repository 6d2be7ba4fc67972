{{ vendor_running_rates('coinapi', 'running_rates', coinapi_native(), '(r."time" + 3600000)', 'last') }}
