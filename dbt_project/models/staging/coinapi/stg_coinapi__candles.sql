{{ vendor_candles('coinapi', coinapi_native(), 'price_', 'volume_traded') }}
