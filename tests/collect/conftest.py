"""An emulator whose clock goes on, and runs of the collector in this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served, serve
from pipelines.clock import Clock
from pipelines.collect.collector import Collector
from pipelines.run import EmulatorInfo, Run
from pipelines.settings import Settings
from pipelines.source import Source
from pipelines.windows import Window

Meanwhile = Callable[[Sequence[Collector]], Coroutine[Any, Any, None]]


@pytest.fixture(scope="session")
def emulator() -> Iterator[Served]:
    with serve(SyntheticMarket(seed=7, until=now()), days=1, limits_scale=1e6) as served:
        yield served


def now() -> int:
    return int(time.time() * 1000)


def begin(emulator: Served, home: Path, **settings: Any) -> Run:
    """A run of the collector's, today."""
    today = datetime.now(UTC).date()
    chosen = Settings(**{"home": home, "collect_seconds": 0.5, "collect_port": 0, "poll_seconds": 0, **settings})
    run = Run.begin(chosen, Window.of_days(today, today), Clock(None), EmulatorInfo(emulator.url, "synthetic; seed=7"))
    run.landing.release()
    return run


def collect(runs: Sequence[Run], sources: Sequence[Source], meanwhile: Meanwhile) -> None:
    """A collector for each run, until `meanwhile` is over, which begins once all streams are heard."""

    async def main() -> None:
        stop = asyncio.Event()
        collectors = [Collector(run, sources) for run in runs]
        tasks = [asyncio.create_task(collector.collect(stop)) for collector in collectors]
        async with asyncio.timeout(20):
            while not all(listener.is_heard for collector in collectors for listener in collector.listeners):
                await asyncio.sleep(0.02)
        try:
            await meanwhile(collectors)
        finally:
            stop.set()
            await asyncio.gather(*tasks)

    asyncio.run(main())
