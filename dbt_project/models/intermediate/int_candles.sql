select *, {{ from_ms('raw_ms') }} as opened_at
from ({{ union_staged('candles') }})
