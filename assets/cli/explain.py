"""`perps explain`: from a number in the marts back to the bytes that a venue sent.

A fact's row names its source, instrument and the venue's own timestamp; landing's manifest has the pages that can have it, with
their requests; the newest page with such a record is the one that was loaded. Only the published copy and landing are read, so
that a run may write the warehouse meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.compute as pc

from assets.cli.base import reading
from pipelines.landing import Entry, Landing
from pipelines.load import page_table
from pipelines.reading import Unreadable, read
from pipelines.registry import SNAPSHOTS, counted_datasets, source_rows
from pipelines.settings import Settings
from pipelines.source import Endpoint, Source
from pipelines.sources import get_source
from pipelines.windows import to_ms


@dataclass(frozen=True)
class Step:
    """One step back: a title and named values."""

    title: str
    content: dict[str, Any]


def explain(settings: Settings, published: Path, fact: str, instrument: str, at: datetime) -> Iterator[Step]:
    """The steps from a fact's row to its bytes. Raises `ValueError` where a step finds nothing."""
    facts = {dataset.fact: (name, dataset) for name, dataset in counted_datasets().items()}
    if fact not in facts:
        raise ValueError(f"{fact!r} is none of {', '.join(facts)}")
    name, dataset = facts[fact]
    with reading(published) as db:
        row = _row(db.execute(f"SELECT * FROM marts.{fact} WHERE instrument_id = ? AND {dataset.time} = ?", [instrument, at]))
    if not row:
        raise ValueError(f"marts.{fact} has no row of {instrument} at {at} UTC")
    yield Step(f"marts.{fact}", row)
    source, (venue, symbol), stamp = get_source(row["source"]), instrument.split(":", 1), row[dataset.stamp or dataset.time]
    landing = Landing(settings.landing_root)
    pages = sorted((e for e in landing.iterate() if e.source == source.name), key=lambda e: e.observed_at, reverse=True)
    for endpoint in _endpoints(source, name):
        for entry in pages:
            if entry.endpoint_name == endpoint.name and (record := _record(landing, endpoint, entry, venue, symbol, stamp)):
                body = landing.body(entry)
                yield Step(f"the record, as raw.{source.raw_table(endpoint)} has it", record)
                request = {"method": entry.method, "url": entry.url, "body": entry.body, "status": entry.status, "run": entry.run}
                yield Step("the request, in landing's manifest", request)
                file = {"file": f"pages/{entry.sha256[:2]}/{entry.sha256}.zst", "bytes": len(body), "sha256": entry.sha256}
                yield Step("the response, byte for byte", {**file, "begins": body[:160].decode(errors="replace")})
                return
    raise ValueError(f"landing {settings.landing_root} has no page any more with {instrument} at {stamp} UTC: it was pruned")


def _endpoints(source: Source, dataset: str) -> list[Endpoint]:
    """A source's endpoints and streams, those of the dataset first, then those that no canonical dataset is named after."""
    others = set(source_rows()[source.name].datasets) - {dataset, SNAPSHOTS}
    endpoints = [endpoint for endpoint in source.tables if endpoint.name not in others]
    return sorted(endpoints, key=lambda endpoint: (not endpoint.name.startswith(dataset), endpoint.snapshot))


def _record(
    landing: Landing, endpoint: Endpoint, entry: Entry, venue: str, symbol: str, stamp: datetime
) -> dict[str, Any] | None:
    """The record of a symbol with a timestamp in a page; None where the page can't have it, or doesn't."""
    at = to_ms(stamp.replace(tzinfo=UTC))
    if endpoint.snapshot and entry.observed_at != at:
        return None
    if entry.window and not entry.window[0] <= at < entry.window[1]:
        return None
    if entry.context.get("symbol", symbol) != symbol or entry.context.get("venue", venue) != venue:
        return None
    try:
        table = page_table(endpoint, entry, read(endpoint, landing.body(entry)).rows)
    except (OSError, Unreadable):
        return None
    mine = pc.equal(table[endpoint.key[0]], symbol)
    if endpoint.time:
        mine = pc.and_(mine, pc.equal(table[endpoint.time], at))
    records = table.filter(mine).to_pylist()
    return records[-1] if records else None


def _row(result: duckdb.DuckDBPyConnection) -> dict[str, Any] | None:
    row = result.fetchone()
    return dict(zip([c[0] for c in result.description], row, strict=True)) if row else None
