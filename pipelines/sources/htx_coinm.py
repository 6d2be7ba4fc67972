"""HTX coin-margined swaps: inverse perpetuals, a contract worth so many US dollars (100 of BTC, 10 of others).

Facts: `shared/venues/htx.md`. The endpoints, errors and limits are those of the linear swaps under other paths, on the same host.
Of open interest in coins alone no value is stated.
Alone: `perps fetch --venues htx --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from pipelines.source import Source
from pipelines.sources.htx_linear import BASE_URL, LIMITS, datasets, error, instruments

SOURCE = Source(
    name="htx_coinm",
    venue="htx",
    base_url=BASE_URL,
    limits=LIMITS,
    error=error,
    parse_instruments=instruments,
    endpoints=datasets("swap", "/index/market/history/swap_mark_price_kline"),
)
