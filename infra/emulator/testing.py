"""The emulator in a thread, for tests and for trying: a base URL on loopback and its admin routes as methods.

with serve(store, as_of="2026-11-22T12:00Z") as emulator:
    requests.get(emulator.url + "/binance/fapi/v1/time")
    emulator.fault("429", venue="binance", retry_after=1)
"""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from infra.emulator.server import TOKEN_HEADER, Emulator, start, to_ms
from infra.emulator.store import MarketStore


@dataclass(frozen=True)
class Served:
    """A running emulator. `url` has no slash at its end; `token` is that of its admin routes."""

    url: str
    token: str = ""

    def fault(self, kind: str, **params: Any) -> None:
        """Queue a fault; see `infra.emulator.faults.Fault` for its parameters."""
        self._admin("POST", "faults", {"kind": kind, **params})

    def clear_faults(self) -> None:
        self._admin("DELETE", "faults")

    def requests(self) -> list[dict[str, Any]]:
        """Every request since the start or `clear_requests`: venue, method, path, query, body, status, weight, fault, and unread:
        the parameters that the venue doesn't know."""
        answer: list[dict[str, Any]] = self._admin("GET", "requests")
        return answer

    def clear_requests(self) -> None:
        self._admin("DELETE", "requests")

    def set_clock(self, as_of: str | None) -> None:
        """ISO 8601; None = the machine's clock."""
        self._admin("POST", "clock", {"as_of": as_of})

    def streams(self, do: str, **params: Any) -> Any:
        """A command to the streams; see `infra.emulator.streams.Command` for its parameters."""
        return self._admin("POST", "streams", {"do": do, **params})

    def connections(self) -> list[dict[str, str]]:
        """The open connections of streams: venue and path."""
        answer: list[dict[str, str]] = self._admin("GET", "streams")
        return answer

    def events(self, since: int) -> list[list[Any]]:
        """The liquidations after `since` (ms) up to the clock: market, listed coin, ms, side of the position, price, coins."""
        answer: list[list[Any]] = self._admin("GET", f"streams/events?since={since}")
        return answer

    def health(self) -> dict[str, Any]:
        answer: dict[str, Any] = self._admin("GET", "health")
        return answer

    def _admin(self, method: str, name: str, content: object = None) -> Any:
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(f"{self.url}/admin/{name}", data, {TOKEN_HEADER: self.token}, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


@contextmanager
def serve(
    store: MarketStore,
    *,
    as_of: str | int | None = None,
    days: float | None = None,
    limits_scale: float = 1.0,
    history_limits: bool = True,
    port: int = 0,
) -> Iterator[Served]:
    """Serve `store` until the block ends. `as_of` as ISO text or ms; None = the machine's clock."""
    emulator = Emulator(
        store,
        as_of=to_ms(as_of) if isinstance(as_of, str) else as_of,
        days=days,
        limits_scale=limits_scale,
        history_limits=history_limits,
    )
    loop = asyncio.new_event_loop()
    runner, bound = loop.run_until_complete(start(emulator, port))
    thread = threading.Thread(target=loop.run_forever, daemon=True, name="emulator")
    thread.start()
    try:
        yield Served(f"http://127.0.0.1:{bound}", emulator.token)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(asyncio.wait_for(runner.cleanup(), 10))
        loop.close()
