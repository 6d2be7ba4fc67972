"""Bybit v5 (api.bybit.com), category inverse: perpetuals quoted in USD, settled in the coin. Facts: the venue page of Bybit.

Endpoints, errors and rate limit are those of category linear. A contract is one dollar: `volume` and open interest count
dollars, `turnover` coins. Dated contracts (`BTCUSDZ22`) are in the same lists.
Alone: `perps fetch --venues bybit --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from pipelines.source import Source
from pipelines.sources.bybit_linear import BASE_URL, LIMITS, endpoints, error, instruments, liquidations, order_books

SOURCE = Source(
    name="bybit_inverse",
    venue="bybit",
    base_url=BASE_URL,
    limits=LIMITS,
    error=error,
    parse_instruments=lambda page: instruments(page, "InversePerpetual", "USD"),
    endpoints=endpoints("inverse"),
    streams=(liquidations("inverse"),),
    collected=(order_books("inverse"),),
)
