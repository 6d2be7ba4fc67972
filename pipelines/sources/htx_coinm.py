"""HTX coin-margined swaps: inverse perpetuals, whose contract is an amount of US dollars (100 for BTC, 10 for the others).

Facts: venue page `htx.md`. Endpoints, errors and limits are those of the linear swaps (`htx_linear`) under other paths of the
same host. Open interest has no value in dollars.
Alone: `perps fetch --venues htx --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from pipelines.source import Source
from pipelines.sources.htx_linear import BASE_URL, LIMITS, endpoints, error, instruments

SOURCE = Source(
    name="htx_coinm",
    venue="htx",
    base_url=BASE_URL,
    limits=LIMITS,
    error=error,
    parse_instruments=instruments,
    endpoints=endpoints("swap", "swap"),
)
