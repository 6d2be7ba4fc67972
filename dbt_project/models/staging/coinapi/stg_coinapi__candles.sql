{{ vendor_candles(source_name='coinapi', symbol=coinapi_symbol(), volume='volume_traded', price_prefix='price_') }}
