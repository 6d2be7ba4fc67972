"""Helpers of the tests of sources: the next request of a page, the emulator behind ccxt, raw rows, the rows of the store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import duckdb
import httpx

from infra.emulator.cases import cases
from infra.emulator.store import MS_HOUR
from infra.emulator.testing import Served
from infra.emulator.venue import KEY
from infra.emulator.venues import profiles, venues
from pipelines.clock import Clock
from pipelines.fetch import FetchResult, fetch
from pipelines.load import load
from pipelines.run import EmulatorInfo, Run
from pipelines.settings import Settings
from pipelines.source import Request
from pipelines.sources import get_source
from pipelines.windows import Window

DAY = 24 * MS_HOUR
NOW = 1_795_305_600_000  # 2026-11-22T00:00Z: where the emulator's clock stands
WINDOW = Window(NOW - 2 * DAY, NOW)
#: One client: each makes a TLS context anew, which takes longer than the request.
_HTTP = httpx.Client(trust_env=False)


# --- requests ---------------------------------------------------------------------------------------------------------------


def next_request(name: str, dataset: str, request: Request, body: object) -> Request | None:
    """The request for the page after a body; None where it was the last."""
    endpoint = get_source(name).endpoint(dataset)
    page = endpoint.read(body if isinstance(body, bytes) else json.dumps(body).encode())
    return endpoint.next_page(request, page, endpoint.rows(page))


# --- the emulator -----------------------------------------------------------------------------------------------------------


@cache
def prefix(name: str) -> str:
    """The emulator's path for a source."""
    hosts = {venue.name for venue in venues()}
    return "/" + next(host for host in (name, get_source(name).host, get_source(name).venue) if host in hosts)


def ask(emulator: Served, name: str, path: str, *, with_key: bool = True) -> httpx.Response:
    """`path`, or a POST written as `/path {"json": …}`."""
    url, _, body = path.partition(" ")
    key = {cases(name).key_header: cases(name).key_prefix + KEY} if cases(name).key_header and with_key else {}
    return _HTTP.request("POST" if body else "GET", emulator.url + prefix(name) + url, content=body or None, headers=key)


def redirected(urls: Any, host: str, to: str) -> Any:
    """ccxt's addresses with the venue's host replaced, and every other host by one that refuses."""
    if isinstance(urls, dict):
        return {name: redirected(url, host, to) for name, url in urls.items()}
    assert isinstance(urls, str)
    return urls.replace(host, to) if urls.startswith(host) else "http://127.0.0.1:9"


def through_ccxt(exchange: str, emulator: Served, host: str, prefix: str, **options: Any) -> Any:
    """An exchange of ccxt, unmodified but for its hosts and its clock, its markets loaded from the emulator."""
    import ccxt

    found = getattr(ccxt, exchange)({"enableRateLimit": False, **options})
    found.urls["api"] = redirected(found.urls["api"], host, emulator.url + prefix)
    found.milliseconds = lambda: NOW
    found.load_markets()
    return found


@dataclass(frozen=True)
class Question:
    """A request without its times and limits: method, path (and the type of a POST), the parameters that it has."""

    path: str
    params: Mapping[str, str]

    @classmethod
    def of(cls, method: str, path: str, query: Mapping[str, str], body: str) -> Question:
        content = json.loads(body) if body else {}
        params = {**query, **content.pop("req", {}), **content}
        return cls(f"{method} {path} {content.get('type', '')}".rstrip(), {name: str(value) for name, value in params.items()})

    def lacks(self, others: Iterable[Question]) -> list[str]:
        """What no other question to the same path has: the path itself, a parameter, or a word as its value."""
        same = [other.params for other in others if other.path == self.path]
        known = {(name, value) for params in same for name, value in params.items()}
        words = {(name, value) for name, value in self.params.items() if not value[:1].isdigit()}
        missing = set(self.params) - {name for name, _ in known} | {f"{n}={v}" for n, v in words if (n, v) not in known}
        return sorted(missing) if same else ["path"]


def question(line: str) -> Question:
    """A request as the cases write it."""
    method, url, *body = line.split(" ", 2)
    path, _, query = url.partition("?")
    return Question.of(method, path, dict(parse_qsl(query, keep_blank_values=True)), body[0] if body else "")


def market_name(name: str) -> str | None:
    """The synthetic market behind a source: named as the source, its host or its venue; None where it has none."""
    return next((found for found in (name, get_source(name).host, get_source(name).venue) if found in profiles()), None)


def fetch_from_emulator(
    name: str, emulator: Served, home: Path, window: Window = WINDOW, now: int = NOW, **settings: Any
) -> tuple[Run, FetchResult]:
    """One source fetched from the emulator; `settings` replace the defaults, among them the assets BTC and PEPE."""
    chosen = {"home": home, "assets": ["BTC", "PEPE"], "timeout_seconds": 2, "tries": 4, "limits_scale": 1e6, **settings}
    run = Run.begin(Settings(**chosen), window, Clock(now), EmulatorInfo(emulator.url, "synthetic; seed=7"))
    [result] = asyncio.run(fetch(run, [get_source(name)]))
    return run, result


def load_and_query(name: str, emulator: Served, home: Path, **settings: Any) -> Callable[[str], list[tuple[Any, ...]]]:
    """A function that queries the warehouse after fetch and load, which had no failure and no quarantined page."""
    run, result = fetch_from_emulator(name, emulator, home, **settings)
    assert not result.failures and not result.quarantined, [*map(str, result.failures), *result.quarantined]
    load(run, get_source(name), result.entries)

    def query(sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(run.settings.database), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    return query


def store_rows(bundle: Any, window: Window = WINDOW) -> Iterator[tuple[Any, ...]]:
    """The rows of one of the store's bundles whose time lies in a window."""
    columns = [column.tolist() for column in vars(bundle).values()]
    return (row for row in zip(*columns, strict=True) if row[0] in window)
