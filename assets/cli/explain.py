"""`perps explain`: from a number in the marts back to the bytes that a venue sent.

A fact's row names its source, instrument and the venue's own timestamp; raw has the typed row under the same names, with the
page that it came in; landing's manifest has the request and its time; landing has the bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from assets.cli.base import reading
from pipelines import warehouse
from pipelines.landing import Landing
from pipelines.registry import counted_datasets, source_rows
from pipelines.settings import Settings
from pipelines.source import Source
from pipelines.sources import get_source


@dataclass(frozen=True)
class Step:
    """One step back: a title and named values."""

    title: str
    content: dict[str, Any]


def explain(settings: Settings, published: Path, fact: str, instrument: str, at: datetime) -> Iterator[Step]:
    """The steps from a fact's row to its bytes. Raises `ValueError` where a step finds nothing."""
    facts = {dataset.fact: dataset for dataset in counted_datasets().values()}
    if fact not in facts:
        raise ValueError(f"{fact!r} is none of {', '.join(facts)}")
    time, stamp = facts[fact].time, facts[fact].stamp or facts[fact].time
    with reading(published) as db:
        row = _row(db.execute(f"SELECT * FROM marts.{fact} WHERE instrument_id = ? AND {time} = ?", [instrument, at]))
    if not row:
        raise ValueError(f"marts.{fact} has no row of {instrument} at {at} UTC")
    yield Step(f"marts.{fact}", row)
    source, (venue, symbol) = get_source(row["source"]), instrument.split(":", 1)
    landing = Landing(settings.landing_root)
    with warehouse.connect(settings.database, read_only=True) as connection:
        for name, raw in _raw_rows(connection, source, venue, symbol, row[stamp]):
            yield Step(name, raw)
            entry = next((e for e in landing.iterate() if e.source == source.name and e.page == raw["_page"]), None)
            if entry is None:
                raise ValueError(f"landing {settings.landing_root} has no page {raw['_page']} any more: it was pruned")
            request = {"method": entry.method, "url": entry.url, "body": entry.body, "status": entry.status, "run": entry.run}
            yield Step("the request, in landing's manifest", request)
            body = landing.body(entry)
            file = {"file": f"pages/{entry.sha256[:2]}/{entry.sha256}.zst", "bytes": len(body), "sha256": entry.sha256}
            yield Step("the response, byte for byte", {**file, "begins": body[:160].decode(errors="replace")})
            return
    raise ValueError(f"raw has no row of {instrument} with the timestamp {row[stamp]}")


def _raw_rows(
    connection: duckdb.DuckDBPyConnection, source: Source, venue: str, symbol: str, stamp: datetime
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Raw rows of a symbol with a timestamp, from the source's endpoints with history."""
    canonical = set(source_rows()[source.name].datasets)
    for endpoint in sorted(source.endpoints, key=lambda e: e.name not in canonical):
        if endpoint.time:
            table, key = f"raw.{source.raw_table(endpoint)}", endpoint.key[0]
            sql = f'SELECT * FROM {table} WHERE "{key}" = ? AND "{endpoint.time}" = epoch_ms(?)'
            values = [symbol, stamp]
            if "venue" in endpoint.context:
                sql, values = f"{sql} AND venue = ?", [*values, venue]
            if row := _row(connection.execute(sql, values)):
                yield table, row


def _row(result: duckdb.DuckDBPyConnection) -> dict[str, Any] | None:
    row = result.fetchone()
    return dict(zip([c[0] for c in result.description], row, strict=True)) if row else None
