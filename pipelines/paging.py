"""Plans that sources share: how a window becomes requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pipelines.source import Instrument, Plan, Request
from pipelines.windows import HOUR, Window


def once(request: Request) -> Plan:
    """The same single request whatever the window: bulk snapshots."""

    def plan(instrument: Instrument, window: Window) -> Iterable[Request]:
        yield request

    return plan


def hourly(rows: int, request: Callable[[Instrument, Window], Request]) -> Plan:
    """Requests of `rows` hours each: where no two rows share an hour, no page can be cut short by a limit of `rows`."""

    def plan(instrument: Instrument, window: Window) -> Iterable[Request]:
        return (request(instrument, chunk) for chunk in window.chunks(rows * HOUR))

    return plan
