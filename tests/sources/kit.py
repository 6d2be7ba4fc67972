"""What the tests of every source need: its recorded samples, its literal requests, its emulator behind ccxt, its raw rows.

A test module `test_<source>.py` beside this one says by hand what the venue page says, and holds the source against it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import duckdb
import httpx

from infra.emulator.cases import cases
from infra.emulator.store import MS_HOUR
from infra.emulator.testing import Served
from infra.emulator.venue import KEY
from infra.emulator.venues import profiles, venues
from pipelines import records
from pipelines.clock import Clock
from pipelines.fetch import FetchResult, fetch
from pipelines.load import load
from pipelines.run import EmulatorInfo, Run
from pipelines.settings import Settings
from pipelines.source import Instrument, Request
from pipelines.sources import get_source
from pipelines.windows import Window
from tests.sources.samples import WIRE, matches, recorded_exchanges
from tests.sources.samples import exact as plain

DAY = 24 * MS_HOUR
NOW = 1_795_305_600_000  # 2026-11-22T00:00Z: where the emulator's clock stands
WINDOW = Window(NOW - 2 * DAY, NOW)


# --- requests ---------------------------------------------------------------------------------------------------------------


def written(name: str, request: Request) -> str:
    """A request as one line: method, URL, body."""
    url = get_source(name).base_url + request.path + ("?" + urlencode(request.params) if request.params else "")
    return f"{request.method} {url}" + (f" {json.dumps(request.body)}" if request.body else "")


def planned_requests(name: str, symbol: str, window: Window, without: str = "") -> dict[str, list[str]]:
    """By dataset: the requests that a window of one instrument makes, but for those of a dataset that is tested elsewhere."""
    instrument = Instrument(symbol, "")
    return {
        d.name: [written(name, r) for r in d.plan(instrument, window)] for d in get_source(name).endpoints if d.name != without
    }


def next_request(name: str, dataset: str, request: Request, body: object) -> Request | None:
    """The request for the page after a body; None where it was the last."""
    endpoint = get_source(name).endpoint(dataset)
    page = endpoint.read(body if isinstance(body, bytes) else json.dumps(body).encode())
    return endpoint.next_page(request, page, endpoint.rows(page))


# --- samples ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """A recorded or documented body of an endpoint that we read."""

    file: str
    dataset: str
    status: int
    body: bytes

    def __str__(self) -> str:
        return f"{self.dataset} {self.file}"


def wire_samples(
    endpoints: Mapping[str, str], hosts: Sequence[str], *, examples: str = "", nautilus: Mapping[str, str] | None = None
) -> list[Sample]:
    """Every sample in `../shared/recordings/wire` of the paths in `endpoints` (path, `*` for one part: dataset) at `hosts`.

    `examples` is the venue's file of documented client examples, `nautilus` names files of nautilus_trader (`okx/name`) by
    dataset. None where the folder is absent.
    """
    if not WIRE.is_dir():
        return []
    found = []
    for file, url, _, status, body in recorded_exchanges():
        parts = urlsplit(url)
        if parts.netloc in hosts and (dataset := matches(endpoints, parts.path)):
            found.append(Sample(f"{file} {parts.query}", dataset, status, body))
    if examples:
        path = WIRE / "documented" / "client_endpoint_examples" / f"{examples}.json"
        for entry in json.loads(path.read_text())["entries"]:
            if dataset := matches(endpoints, entry["path"]):
                found.append(Sample(f"{path.name}:{entry['endpoint']}", dataset, 200, entry["body"].encode()))
    for name, dataset in (nautilus or {}).items():
        path = WIRE / "documented" / "nautilus_trader" / name
        found.append(Sample(name, dataset, 200, path.read_bytes()))
    return found


def decoded(name: str, sample: Sample) -> list[dict[str, Any]]:
    """A sample's rows as they go into the raw table, without what the request adds."""
    dataset = get_source(name).endpoint(sample.dataset)
    assert get_source(name).error(sample.status, sample.body) is None, "an answer taken for an error"
    rows = dataset.rows(dataset.read(sample.body))
    arrays = records.columns(dataset.record, dataset.schema, rows)
    columns = dict(zip(dataset.record.__struct_fields__, (a.to_pylist() for a in arrays), strict=True))
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def exact(sample: Sample) -> Any:
    """A sample's JSON by the standard library, numbers as decimals: what ours is held against."""
    return plain(sample.body)


def same(ours: Any, wire: Any) -> bool:
    """Whether a value is what the wire says: numbers to the last digit; null, and the empty text for a number, as None."""
    if ours is None or wire is None:
        return ours is None and wire in ("", None)
    return bool(ours == (wire if isinstance(ours, str | bool) else type(ours)(Decimal(wire))))


def rows_match_wire(ours: Sequence[dict[str, Any]], wire: Sequence[Any], columns: Mapping[str, str | int]) -> bool:
    """Whether decoded rows are the rows of the wire; `columns` names what each of our columns is called there, or its place."""

    def value(row: Any, where: str | int) -> Any:
        return row.get(where) if isinstance(where, str) else row[where]

    return len(ours) == len(wire) and all(
        mine.keys() == columns.keys() and all(same(mine[name], value(row, where)) for name, where in columns.items())
        for mine, row in zip(ours, wire, strict=True)
    )


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
    return httpx.request("POST" if body else "GET", emulator.url + prefix(name) + url, content=body or None, headers=key)


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


def market_name(name: str) -> str | None:
    """The synthetic market behind a source: named as the source, its host or its venue; None where it has none."""
    return next((found for found in (name, get_source(name).host, get_source(name).venue) if found in profiles()), None)


def fetch_from_emulator(
    name: str, emulator: Served, home: Path, window: Window = WINDOW, **settings: Any
) -> tuple[Run, FetchResult]:
    """One source fetched from the emulator; `settings` replace the defaults, among them the assets BTC and PEPE."""
    chosen = {"home": home, "assets": ["BTC", "PEPE"], "timeout_seconds": 2, "tries": 4, "limits_scale": 1e6, **settings}
    run = Run.begin(Settings(**chosen), window, Clock(NOW), EmulatorInfo(emulator.url, "synthetic; seed=7"))
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
