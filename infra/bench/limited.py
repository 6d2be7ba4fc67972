"""The share of the allowed rate that a backfill uses at the venues' own limits: Binance candles and Hyperliquid funding together.

The emulator's log gives the weight of the requests within a number of full limit windows from the first request on, and how many
requests it refused.

Alone: `python -m infra.bench --only limits`.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import urllib.request
from contextlib import suppress
from pathlib import Path

from infra.bench.market import TOKEN, serve
from infra.bench.ours import begin, only
from infra.emulator.server import TOKEN_HEADER
from pipelines.fetch import fetch, together
from pipelines.source import Source

WINDOW = 60
SOURCES = {"binance_usdm": "candles", "hyperliquid": "funding_rates"}
#: Enough coins and hours for more than three limit windows of each source.
INSTRUMENTS, HOURS = 200, 9000


def shares(windows: float = 3) -> dict[str, tuple[float, int]]:
    """By source: weight used over weight allowed, and the number of refused requests."""
    with serve(INSTRUMENTS, HOURS) as url, tempfile.TemporaryDirectory(prefix="perplake-bench-") as home:
        sources = [only(name, "instruments", dataset) for name, dataset in SOURCES.items()]
        asyncio.run(_fetch_for(windows * WINDOW, Path(home), url, sources))
        with urllib.request.urlopen(urllib.request.Request(f"{url}/admin/requests", headers={TOKEN_HEADER: TOKEN})) as answer:
            log = json.load(answer)
    result = {}
    for source in sources:
        requests = [request for request in log if request["venue"] == source.venue]
        used = sum(request["weight"] for request in requests if request["status"] == 200)
        refused = sum(request["status"] != 200 for request in requests)
        result[source.name] = (used / (source.limits["weight"].weight * windows), refused)
    return result


async def _fetch_for(seconds: float, home: Path, url: str, sources: list[Source]) -> None:
    run = begin(home, HOURS, url, 1.0)

    async def endless(source: Source) -> None:
        await fetch(run, [source])
        raise RuntimeError(f"the backfill of {source.name} ended too early: raise INSTRUMENTS or HOURS")

    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await together(map(endless, sources))
