"""The share of the allowed rate that a limited backfill uses: Binance candles and Hyperliquid funding, side by side, at scale 1.

What counts is what the emulator charged, within the time that so many full windows take from the first request on, and that
it refused nothing.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import urllib.request
from contextlib import suppress
from pathlib import Path

from infra.bench.market import serve
from infra.bench.ours import begin, only
from pipelines.fetch import fetch
from pipelines.source import Source

WINDOW = 60
SOURCES = {"binance_usdm": "candles", "hyperliquid": "funding_rates"}
#: Coins and hours for more than three windows of both.
INSTRUMENTS, HOURS = 160, 9000


def shares(windows: float = 3) -> dict[str, tuple[float, int]]:
    """By source: weight used over weight allowed, and how many requests were refused."""
    with serve(INSTRUMENTS, HOURS) as url, tempfile.TemporaryDirectory(prefix="perplake-bench-") as home:
        sources = [only(name, "instruments", dataset) for name, dataset in SOURCES.items()]
        asyncio.run(_fetch_for(windows * WINDOW, Path(home), url, sources))
        with urllib.request.urlopen(f"{url}/admin/requests") as answer:
            log = json.load(answer)
    found = {}
    for source in sources:
        asked = [request for request in log if request["venue"] == source.venue]
        used = sum(request["weight"] for request in asked if request["status"] == 200)
        refused = sum(request["status"] != 200 for request in asked)
        found[source.name] = (used / (source.limits["weight"].weight * windows), refused)
    return found


async def _fetch_for(seconds: float, home: Path, url: str, sources: list[Source]) -> None:
    run = begin(home, HOURS, url, 1.0)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await fetch(run, sources)
            raise RuntimeError("the backfill ended before its time: give it more to do")
