{{ vendor_open_interest('amberdata', 'open_interest', 'r.symbol', 'r."time"', 'value') }}
