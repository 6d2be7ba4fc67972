{{ vendor_open_interest('coinapi', 'open_interest', coinapi_native(), '(r."time" + 3600000)', 'last') }}
