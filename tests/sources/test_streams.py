"""Streams against implementations that nobody here wrote: ccxt's WebSocket classes, unmodified but for the host, at the emulator.

ccxt subscribes in its own words, so the emulator has to take them; what it makes of a frame is compared with our rows of the same
frame. ccxt gives the side as sent, so that sides are compared by the meaning that the venue's page states.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served, serve
from pipelines.collect.spool import line
from pipelines.reading import read
from pipelines.registry import source_rows
from pipelines.sources import get_source
from tests.sources.kit import prefix, redirected

pytest.importorskip("ccxt")

STREAMING = [name for name in source_rows() if source_rows()[name].venue and get_source(name).streams]
#: By source: ccxt's exchange, the host of its requests, its symbol, and our columns: symbol, time, price, size, side.
CASES: dict[str, tuple[str, str, str, str]] = {
    "binance_usdm": ("binanceusdm", "https://fapi.binance.com", "BTC/USDT:USDT", "symbol trade_time average_price filled side"),
    "binance_coinm": ("binancecoinm", "https://dapi.binance.com", "BTC/USD:BTC", "symbol trade_time average_price filled side"),
    "bybit_linear": ("bybit", "https://api.{hostname}", "BTC/USDT:USDT", "symbol time price size side"),
    "bybit_inverse": ("bybit", "https://api.{hostname}", "BTC/USD:BTC", "symbol time price size side"),
    "okx": ("okx", "https://{hostname}", "BTC/USDT:USDT", "symbol ts bk_px sz side"),
}


@pytest.fixture(scope="module")
def emulator() -> Iterator[Served]:
    with serve(SyntheticMarket(seed=7, until=int(time.time() * 1000)), days=1, limits_scale=1e6) as served:
        yield served


def test_the_table_of_sources_knows_the_streams() -> None:
    assert {name for name, row in source_rows().items() if row.streams} == set(STREAMING) == set(CASES)


def sockets(urls: Any, to: str) -> Any:
    """ccxt's addresses of streams with another scheme and host."""
    if isinstance(urls, dict):
        return {name: sockets(url, to) for name, url in urls.items()}
    return to + "/" + urls.split("/", 3)[3]


@pytest.mark.parametrize("name", CASES)
def test_ccxt_reads_the_stream_as_we_do(name: str, emulator: Served) -> None:
    import ccxt.pro

    exchange_name, host, symbol, columns = CASES[name]
    source = get_source(name)
    base = emulator.url + prefix(name)

    async def watch() -> list[Any]:
        exchange = getattr(ccxt.pro, exchange_name)({"enableRateLimit": False, "newUpdates": True})
        streams = sockets(exchange.urls["api"].pop("ws"), base.replace("http", "ws"))
        exchange.urls["api"] = redirected(exchange.urls["api"], host, base) | {"ws": streams}
        exchange.has["fetchCurrencies"] = False
        found: list[Any] = []
        try:
            await exchange.load_markets()
            watching = asyncio.create_task(exchange.watch_liquidations(symbol))
            while not emulator.connections():
                await asyncio.sleep(0.02)
            await asyncio.to_thread(emulator.streams, "cascade", events=200, seconds=0.5, venue=prefix(name).lstrip("/"))
            async with asyncio.timeout(10):
                found += await watching
        finally:
            await exchange.close()
        return found

    found = asyncio.run(watch())
    assert found
    for event in found:
        [row] = read(source.streams[0].endpoint, b"[%b]" % line(event["timestamp"], frame_of(name, event["info"]))[0]).rows
        ours = [getattr(row, column) for column in columns.split()]
        assert ours[1:4] == [event["timestamp"], event["price"], event["contracts"]]
        assert ours[4].lower() == event["side"]


def frame_of(name: str, info: dict[str, Any]) -> bytes:
    """The frame that has what ccxt passes on as sent."""
    if name.startswith("binance"):
        return msgspec.json.encode({"e": "forceOrder", "E": info["T"], "o": info})
    return msgspec.json.encode({"data": [info]})
