{{ vendor_open_interest('kaiko', 'risk', kaiko_native('r.symbol'), '(r."time" + 3600000)', 'open_interest') }}
