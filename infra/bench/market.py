"""The market of the benchmarks: many perpetuals with hourly random walks, synthetic and cheap to generate.

`serve` runs this module in a child process, so that serving does not share a process with the client.

Alone: `python -m infra.bench.market --port-file url --instruments 4 --hours 9000 --limits-scale 1`.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from infra.emulator.server import TOKEN_VARIABLE, Emulator, start
from infra.emulator.store import (
    MS_HOUR,
    Candles,
    Floats,
    Funding,
    Ints,
    Liquidations,
    Listing,
    OpenInterest,
    PriceKind,
)

#: A multiple of 1,500 and of 500 hours since the epoch, so that every page of both sizes is full.
START = 320 * 1500 * MS_HOUR
VENUES = ("binance", "bybit", "hyperliquid", "kraken")

#: The token of the emulator that `serve` starts.
TOKEN = secrets.token_hex(16)


class BenchMarket:
    """A `MarketStore` of `instruments` coins (C000, C001, …) and `hours` hours from `START`."""

    origin = "synthetic; bench"

    def __init__(self, instruments: int, hours: int) -> None:
        self.instruments, self.hours = instruments, hours

    @property
    def end(self) -> int:
        return START + self.hours * MS_HOUR

    def listings(self, venue: str) -> list[Listing]:
        coins = [f"C{i:03d}" for i in range(self.instruments)] if venue in VENUES else []
        return [Listing(venue, coin, coin, 1, START, None, ((START, 1),)) for coin in coins]

    def candles(self, venue: str, listed: str, kind: PriceKind) -> Candles | None:
        noise = np.random.default_rng(int(listed[1:])).standard_normal((5, self.hours))
        close = 100 * np.exp(np.cumsum(0.005 * noise[0]))
        opened = np.concatenate([[100.0], close[:-1]])
        high = np.maximum(opened, close) * np.exp(0.002 * np.abs(noise[1]))
        low = np.minimum(opened, close) * np.exp(-0.002 * np.abs(noise[2]))
        volume = 1000 * np.exp(noise[3])
        trades = (1000 * np.exp(noise[4])).astype(np.int64)
        opened, high, low, close, volume = (np.round(column, 4) for column in (opened, high, low, close, volume))
        return Candles(self._hours(), opened, high, low, close, volume, np.round(volume * close, 4), trades)

    def funding(self, venue: str, listed: str) -> Funding | None:
        rate: Floats = np.round(1e-4 * np.random.default_rng(int(listed[1:])).standard_normal(self.hours), 8)
        return Funding(self._hours(), rate, np.full(self.hours, 100.0))

    def running_rate(self, venue: str, listed: str, at: int) -> float | None:
        return None

    def open_interest(self, venue: str, listed: str) -> OpenInterest | None:
        size = np.random.default_rng(int(listed[1:])).uniform(1000, 2000, self.hours)
        return OpenInterest(self._hours(), np.round(size, 3), np.full(self.hours, 100.0))

    def liquidations(self, venue: str, listed: str) -> Liquidations | None:
        return None

    def extend(self, until: int) -> None:
        """Does nothing: the market has a fixed end."""

    def _hours(self) -> Ints:
        return START + MS_HOUR * np.arange(self.hours)


@contextmanager
def serve(instruments: int, hours: int, limits_scale: float = 1.0) -> Iterator[str]:
    """The URL of an emulator with this market, in a child process until the block ends. Candles are rendered beforehand."""
    with tempfile.TemporaryDirectory(prefix="perplake-bench-") as folder:
        port_file = Path(folder) / "url"
        options = {"port-file": port_file, "instruments": instruments, "hours": hours, "limits-scale": limits_scale}
        arguments = [f"--{name}={value}" for name, value in options.items()]
        environment = {**os.environ, TOKEN_VARIABLE: TOKEN}
        process = subprocess.Popen(
            [sys.executable, "-m", "infra.bench.market", *arguments], stdout=subprocess.DEVNULL, env=environment
        )
        try:
            while not port_file.exists():
                if process.poll() is not None:
                    raise ConnectionError("the emulator of the benchmark did not start")
                time.sleep(0.05)
            url = port_file.read_text()
            if limits_scale > 1:
                for i in range(instruments):
                    urllib.request.urlopen(f"{url}/binance/fapi/v1/klines?symbol=C{i:03d}USDT&interval=1h&limit=1").read()
            yield url
        finally:
            process.terminate()
            process.wait(timeout=10)


def main(
    port_file: Annotated[Path, typer.Option(help="File to write the URL to once the server listens.")],
    instruments: Annotated[int, typer.Option(help="Number of coins.")],
    hours: Annotated[int, typer.Option(help="Number of hours.")],
    limits_scale: Annotated[float, typer.Option(help="Factor of the venues' rate limits.")],
) -> None:
    """Serve the market until SIGTERM."""
    market = BenchMarket(instruments, hours)
    emulator = Emulator(market, as_of=market.end, limits_scale=limits_scale, history_limits=False)
    asyncio.run(_serve(emulator, port_file))


async def _serve(emulator: Emulator, port_file: Path) -> None:
    _, port = await start(emulator, 0)
    partial = port_file.with_suffix(".part")
    partial.write_text(f"http://127.0.0.1:{port}")
    partial.replace(port_file)
    await asyncio.Event().wait()


if __name__ == "__main__":
    typer.run(main)
