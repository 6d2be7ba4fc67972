"""How long a fetch takes at the venues' real limits, calculated: the client's own limiter and slots on a clock that jumps.

Requests are planned by the sources, wait in the client and "take" a fixed time; nothing is sent and nothing waits in earnest, so
that hours take seconds. Pages that follow a first page are not counted.

Alone: `python -m infra.bench --only times`.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.client import Client
from pipelines.clock import Clock
from pipelines.fetch import planned_requests
from pipelines.limits import File, Limiter
from pipelines.source import Instrument, Request, Source
from pipelines.sources import get_source
from pipelines.windows import DAY, Window

NOW = 1_795_305_600_000  # 2026-11-22T00:00Z
#: Seconds from a request to its answer.
LATENCY = 0.15


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next thing that is due."""

    _now = 1.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        ready, scheduled = self._ready, self._scheduled  # type: ignore[attr-defined]
        if not ready and scheduled:
            self._now = max(self._now, scheduled[0].when())
        super()._run_once()  # type: ignore[misc]


@dataclass(frozen=True)
class Task:
    """A fetch: sources, how many instruments of each trade, the days, and the aim in minutes."""

    title: str
    sources: tuple[tuple[str, int], ...]
    days: int
    aim: float


#: Contracts that traded by live counts of 2026-09: 571 and 201 at Binance USD-M, about 60 at COIN-M, about 330 swaps at OKX.
TASKS = (
    Task("Binance, all assets, 1 day", (("binance_usdm", 772), ("binance_coinm", 60)), 1, 5),
    Task("OKX, all assets, 120 days", (("okx", 330),), 120, 65),
)


def minutes(task: Task, only: Sequence[str] = ()) -> float:
    """The minutes that a task takes. `only` are endpoints; default: all."""
    loop = VirtualLoop()
    try:
        with tempfile.TemporaryDirectory(prefix="perplake-bench-") as folder:
            return loop.run_until_complete(_fetch(loop, task, Path(folder), only)) / 60
    finally:
        loop.close()


async def _fetch(loop: VirtualLoop, task: Task, folder: Path, only: Sequence[str]) -> float:
    begun = loop.time()
    window = Window(NOW - task.days * DAY, NOW)
    async with asyncio.TaskGroup() as group:
        for name, count in task.sources:
            source = get_source(name)
            limiter = Limiter(File(folder / "limits.sqlite", loop.time), source.limit_pool, source.limits)
            client = Client(source, source.base_url, limiter, Clock(NOW))
            group.create_task(_source(client, list(_requests(source, count, window, only))))
    return loop.time() - begun


def _requests(source: Source, count: int, window: Window, only: Sequence[str]) -> Iterable[list[Request]]:
    """The requests of each endpoint, those of the shortest history first, as fetch has them."""
    instruments = [Instrument(f"C{number}-USDT-SWAP", f"C{number}") for number in range(count)]
    for endpoint in sorted(source.endpoints, key=lambda each: (not each.bulk, not each.snapshot, each.history_days or 1e9)):
        if not only or endpoint.name in only:
            kept = window.after(NOW - int(endpoint.history_days * DAY)) if endpoint.history_days else window
            asked = [Instrument("", "")] if endpoint.bulk else instruments
            yield [request for _, request in planned_requests(endpoint, asked, kept, all_assets=True)]


async def _source(client: Client, endpoints: list[list[Request]]) -> None:
    async def send(request: Request) -> None:
        await client.wait(request.weights, client.free_slots)
        try:
            await asyncio.sleep(LATENCY)
        finally:
            client.free_slots.release()

    async with asyncio.TaskGroup() as group:
        for requests in endpoints:
            for request in requests:
                group.create_task(send(request))
