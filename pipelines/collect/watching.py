"""How a collector goes: Prometheus' metrics and a health check on loopback, and the state that it leaves in its folder.

`/metrics` in Prometheus' text format; `/health` is 200 with the state as JSON while all is heard, polled and written, else 503.
Alone: `curl http://127.0.0.1:9187/health` while `perps collect` runs; `perps collect --status` reads the files alone.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NotRequired, TypedDict
from urllib.parse import urlsplit

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector as Metrics

from pipelines.collect import spool
from pipelines.collect.collector import Collector
from pipelines.files import regular

log = logging.getLogger("perplake.collect")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

COUNTERS = {
    "messages": "Frames received, control frames of the protocol left out.",
    "bytes": "Bytes of these frames, decompressed.",
    "events": "Frames kept.",
    "missing": "Sequence numbers that the venue left out.",
    "dropped": "Frames dropped because the disk was slow or full.",
    "reconnections": "Connections that ended and were made again.",
}
GAUGES = {
    "heard": "1 while all of the stream is subscribed and heard.",
    "connections": "Connections that are up or coming up.",
    "symbols": "Instruments subscribed to by name; 0 of a stream of everything.",
}
POLL_COUNTERS = {
    "rounds": "Rounds of requests.",
    "pages": "Answers kept.",
    "failures": "Requests that gave no answer.",
}
POLL_GAUGES = {
    "polled": "1 while rounds are answered whole.",
    "instruments": "Instruments that are asked for.",
    "last_round": "When the last round began, Unix time in milliseconds.",
}


class _Metrics(Metrics):
    def __init__(self, collector: Collector) -> None:
        self.collector = collector

    def collect(self) -> Iterator[Metric]:
        state = self.collector.state()
        for kind, named in ((CounterMetricFamily, COUNTERS), (GaugeMetricFamily, GAUGES)):
            for name, text in named.items():
                family = kind(f"perplake_collect_{name}", text, labels=["stream"])
                for tag, stream in state["streams"].items():
                    family.add_metric([tag], float(stream[name]))
                yield family
        for kind, named in ((CounterMetricFamily, POLL_COUNTERS), (GaugeMetricFamily, POLL_GAUGES)):
            for name, text in named.items():
                family = kind(f"perplake_collect_poll_{name}", text, labels=["source"])
                for source, poll in state["polls"].items():
                    family.add_metric([source], float(poll[name]))
                yield family
        last = GaugeMetricFamily("perplake_collect_last_event_seconds", "Unix time of the last event.", labels=["stream"])
        for tag, stream in state["streams"].items():
            last.add_metric([tag], stream["last_event"] / 1000)
        yield last
        yield GaugeMetricFamily("perplake_collect_healthy", "1 while all is heard, polled and written.", float(state["healthy"]))
        yield GaugeMetricFamily("perplake_collect_spooled_bytes", "Bytes that wait for landing.", state["spooled_bytes"])
        yield GaugeMetricFamily("perplake_collect_flushed_seconds", "Unix time of the last flush.", state["flushed_at"] / 1000)
        yield GaugeMetricFamily("perplake_collect_sealed_seconds", "Unix time of the last segment.", state["sealed_at"] / 1000)


@asynccontextmanager
async def watched(collector: Collector, port: int) -> AsyncIterator[str]:
    """Serve `/metrics` and `/health` on loopback until the block ends; the address, or an empty text where the port is taken."""
    registry = CollectorRegistry()
    registry.register(_Metrics(collector))

    async def metrics(request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def health(request: web.Request) -> web.Response:
        status = 200 if collector.is_healthy else 503
        return web.Response(body=msgspec.json.encode(collector.state()), status=status, content_type="application/json")

    @web.middleware
    async def on_loopback(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse other names than loopback's: a page in a browser could reach it by a name of its own (DNS rebinding)."""
        if urlsplit(f"//{request.host}").hostname not in ("127.0.0.1", "localhost", "::1"):
            return web.Response(status=403, text=f"this is no {request.host}\n")
        return await handler(request)

    app = web.Application(middlewares=[on_loopback])
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/health", health)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    address = ""
    if port:
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            address = f"http://127.0.0.1:{port}"
        except OSError:
            log.warning(
                "port %d is taken, by another collector maybe: this one has no /metrics; see the setting collect_port", port
            )
    try:
        yield address
    finally:
        await runner.cleanup()


class State(TypedDict):
    """What `Collector.state` gives, as it is read again."""

    run: str
    started: int
    at: int
    flushed_at: int
    sealed_at: int
    sealed_pages: int
    spooled_bytes: int
    problem: str
    healthy: bool
    streams: dict[str, dict[str, Any]]
    polls: NotRequired[dict[str, dict[str, Any]]]


def states(root: Path) -> list[tuple[State, bool]]:
    """The last state of each collector of a market that has left one, and whether it lives."""
    found = []
    for file in sorted(root.glob("*/status.json")):
        try:
            state = msgspec.json.decode(regular(file).read_bytes(), type=State)
        except (OSError, ValueError):
            continue
        found.append((state, spool.lives(file.parent)))
    return found
