"""`perps explain`: from a number in the marts back to the bytes that a venue sent.

A fact's row names its source, instrument and the venue's own stamp; raw holds the typed row under the same names with the page
that it came in; landing's manifest tells who asked what, and when; landing holds the bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb

from pipelines import warehouse
from pipelines.landing import Entry, Landing
from pipelines.registry import source_rows
from pipelines.settings import Settings
from pipelines.source import Source
from pipelines.sources import get_source

#: The facts that can be explained: the mart's time column, and the column with the venue's own stamp where that differs.
FACTS = {
    "fct_funding_rates": ("settled_at", "stamp"),
    "fct_open_interest": ("observed_at", "stamp"),
    "fct_candles": ("opened_at", "opened_at"),
    "fct_liquidations": ("liquidated_at", "liquidated_at"),
}


@dataclass(frozen=True)
class Step:
    """One step back: what it is, and what it says."""

    title: str
    content: dict[str, Any]


def explain(settings: Settings, published: str, fact: str, instrument: str, at: datetime) -> Iterator[Step]:
    """The steps from a fact's row to its bytes. Raises `ValueError` where one of them leads nowhere."""
    if fact not in FACTS:
        raise ValueError(f"{fact!r} is none of {', '.join(FACTS)}")
    time, stamp = FACTS[fact]
    with duckdb.connect(published, read_only=True) as db:
        row = _row(db.execute(f"SELECT * FROM marts.{fact} WHERE instrument_id = ? AND {time} = ?", [instrument, at]))
    if not row:
        raise ValueError(f"marts.{fact} has no row of {instrument} at {at} UTC")
    yield Step(f"marts.{fact}", row)
    of, (venue, symbol) = get_source(row["source"]), instrument.split(":", 1)
    with warehouse.connect(settings.database, read_only=True) as connection:
        for name, raw in _raw_rows(connection, of, venue, symbol, row[stamp]):
            yield Step(name, raw)
            entry = _entry(settings, of, raw)
            if entry is None:
                raise ValueError(f"landing {settings.landing_root} no longer names page {raw['_page']}: it was pruned")
            asked = {"method": entry.method, "url": entry.url, "body": entry.body, "status": entry.status, "run": entry.run}
            yield Step("the request, in landing's manifest", asked)
            body = Landing(settings.landing_root).body(entry)
            where = {"file": f"pages/{entry.sha256[:2]}/{entry.sha256}.zst", "bytes": len(body), "sha256": entry.sha256}
            yield Step("the answer, byte for byte", {**where, "begins": body[:160].decode(errors="replace")})
            return
    raise ValueError(f"raw has no row of {instrument} with the stamp {row[stamp]}")


def _raw_rows(
    connection: duckdb.DuckDBPyConnection, of: Source, venue: str, symbol: str, stamp: datetime
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Raw rows of that symbol with that stamp, from the source's datasets with history."""
    canonical = set(source_rows()[of.name].datasets)
    for dataset in sorted(of.endpoints, key=lambda d: d.name not in canonical):
        if dataset.time:
            asked = f'SELECT * FROM raw."{of.raw_table(dataset)}" WHERE "{dataset.key[0]}" = ? AND "{dataset.time}" = epoch_ms(?)'
            given = [symbol, stamp]
            if "venue" in dataset.context:
                asked, given = f"{asked} AND venue = ?", [*given, venue]
            if row := _row(connection.execute(asked, given)):
                yield f"raw.{of.raw_table(dataset)}", row


def _entry(settings: Settings, of: Source, raw: dict[str, Any]) -> Entry | None:
    entries = Landing(settings.landing_root).iterate()
    return next((e for e in entries if e.source == of.name and e.page == raw["_page"]), None)


def _row(answer: duckdb.DuckDBPyConnection) -> dict[str, Any] | None:
    found = answer.fetchone()
    return dict(zip([c[0] for c in answer.description], found, strict=True)) if found else None
