"""From a number in the marts back to the bytes that a venue sent.

A fact's row names its source, instrument and the venue's own timestamp, or of a snapshot the time of the request; landing's
manifest has the pages that can have it, with their requests; the newest page with such a record is the one that was loaded. An
event that came by stream and by request is traced to both. Only the published copy and landing are read, so that a run may write
the warehouse meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from operator import itemgetter
from time import monotonic
from typing import Any

import duckdb
import pyarrow.compute as pc

from perplake.published import within
from pipelines.landing import Entry, Landing
from pipelines.load import in_order
from pipelines.page_tables import page_table
from pipelines.reading import Unreadable, read
from pipelines.registry import SNAPSHOTS, Dataset, datasets, source_rows
from pipelines.settings import Settings
from pipelines.source import Endpoint, Source
from pipelines.sources import get_source
from pipelines.windows import Window, to_ms


@dataclass(frozen=True)
class Step:
    """One step back: a title and named values."""

    title: str
    content: dict[str, Any]


def explain(
    db: duckdb.DuckDBPyConnection, settings: Settings, fact: str, instrument: str, at: datetime, seconds: float | None = None
) -> Iterator[Step]:
    """The steps from a fact's row, or rows of one time, to their bytes.

    Raises `ValueError` where a step finds nothing, and before the first page that is read after so many `seconds`.
    """
    facts = {d.fact: (name, d) for name, d in datasets().items() if d.fact.startswith("fct_") and "instrument_id" in d.grain}
    if fact not in facts:
        raise ValueError(f"{fact!r} is none of {', '.join(facts)}")
    name, dataset = facts[fact]
    ends = inf if seconds is None else monotonic() + seconds
    with nullcontext() if seconds is None else within(db, seconds):
        rows = db.execute(
            f"SELECT * FROM marts.{fact} WHERE instrument_id = ? AND {dataset.time} = ? ORDER BY ALL", [instrument, at]
        ).to_arrow_table()
    if not rows.num_rows:
        raise ValueError(f"marts.{fact} has no row of {instrument} at {at} UTC")
    landing = Landing(settings.landing_root)
    sources = set(rows["source"].to_pylist())
    entries = sorted((e for e in _until(ends, landing.iterate()) if e.source in sources), key=in_order, reverse=True)
    for row in rows.to_pylist():
        yield Step(f"marts.{fact}", row)
        endpoints = _endpoints(get_source(row["source"]), name)
        found = list(_found(landing, entries, row, dataset, endpoints, ends))
        if not found:
            raise ValueError(f"landing {settings.landing_root} has no page any more with {instrument} at {at} UTC: it was pruned")
        alike = max(alike for alike, *_ in found)
        newest = {endpoint.name: (endpoint, entry, record) for each, endpoint, entry, record in reversed(found) if each == alike}
        for endpoint, entry, record in reversed(newest.values()):
            yield from _steps(landing, get_source(row["source"]), endpoint, entry, record)


def _until(ends: float, entries: Iterable[Entry]) -> Iterator[Entry]:
    """The entries, each as long as it is before `ends` (of the monotonic clock). Raises `ValueError` after it."""
    for entry in entries:
        if monotonic() > ends:
            raise ValueError("explaining took too long: landing has too many pages; `perps explain` has no limit of time")
        yield entry


def _found(
    landing: Landing, entries: list[Entry], row: dict[str, Any], dataset: Dataset, endpoints: list[Endpoint], ends: float
) -> Iterator[tuple[int, Endpoint, Entry, dict[str, Any]]]:
    """The records that a fact's row can be made of, each with how many of the row's numbers it has, the newest first.

    Of events all pages are read: one time may have several, and one of them may be in pages of a request and of a stream.
    """
    for endpoint in endpoints:
        stamp = row["known_at"] if endpoint.snapshot else row[dataset.stamp or dataset.time]
        for entry in _until(ends, entries if stamp else ()):
            if (entry.source, entry.endpoint_name) != (row["source"], endpoint.name):
                continue
            if best := _record(landing, endpoint, entry, row, to_ms(stamp.replace(tzinfo=UTC))):
                alike, record = best
                yield alike, endpoint, entry, record
                if not endpoint.is_event:
                    return


def _steps(landing: Landing, source: Source, endpoint: Endpoint, entry: Entry, record: dict[str, Any]) -> Iterator[Step]:
    body = landing.body(entry)
    yield Step(f"the record, as raw.{source.raw_table(endpoint)} has it", record)
    request = {"method": entry.method, "url": entry.url, "body": entry.body, "status": entry.status, "run": entry.run}
    yield Step("the stream" if endpoint.streamed else "the request, in landing's manifest", request)
    file = {"file": f"pages/{entry.sha256[:2]}/{entry.sha256}.zst", "bytes": len(body), "sha256": entry.sha256}
    about = "the frames, as they came" if endpoint.streamed else "the response, byte for byte"
    yield Step(about, {**file, "begins": body[:160].decode(errors="replace")})


def _endpoints(source: Source, dataset: str) -> list[Endpoint]:
    """A source's endpoints and streams, those of the dataset first, then those that no other dataset of events or series has."""
    row = source_rows()[source.name]
    others = set(row.datasets) - {dataset, row.endpoints.get(dataset, dataset), SNAPSHOTS, "instruments"}
    streams = [s.endpoint for s in source.streams if s.endpoint.name.startswith(dataset)]
    endpoints = [e for e in source.tables if e.name not in others and (not e.streamed or e in streams)]
    return sorted(endpoints, key=lambda endpoint: (not endpoint.name.startswith(dataset), endpoint.streamed, endpoint.snapshot))


def _record(
    landing: Landing, endpoint: Endpoint, entry: Entry, row: dict[str, Any], at: int
) -> tuple[int, dict[str, Any]] | None:
    """The record in a page with a row's instrument and time (milliseconds); of several the one with the most of its numbers,
    of these the one with most parts of its event's id.

    With it, how many numbers these are. None where the page can't have it, or doesn't.
    """
    key, (venue, symbol) = endpoint.key[0], row["instrument_id"].split(":", 1)
    if endpoint.snapshot and entry.observed_at != at:
        return None
    if entry.window and at not in Window(*entry.window).widened(endpoint.cut_late):
        return None
    about = {"symbol": symbol, key: symbol, "venue": venue}
    if any(entry.context.get(name, value) != value for name, value in about.items()):
        return None
    try:
        table = page_table(endpoint, entry, read(endpoint, landing.body(entry)).rows)
    except (OSError, Unreadable):
        return None
    mine = pc.equal(table[key], symbol)
    if endpoint.time:
        mine = pc.and_(mine, pc.equal(table[endpoint.time], at))
    numbers, parts = _numbers(row), set(str(row.get("event_id")).split(":"))
    alike = [
        (len(numbers & _numbers(record)), len(parts & {str(value) for value in record.values()}), record)
        for record in table.filter(mine).to_pylist()
    ]
    best = max(reversed(alike), key=itemgetter(0, 1), default=None)
    return (best[0], best[2]) if best else None


def _numbers(row: dict[str, Any]) -> set[float]:
    return {abs(value) for value in row.values() if isinstance(value, float) and value == value}
