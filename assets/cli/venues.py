"""The systems that perplake speaks with, as one table: what each gives, how far back, what it needs, what is unproven of it.

Everything comes from where it is used: the table of sources, the sources' modules, the seeds. `perps venues` prints it with the
last load beside, `perps venues --markdown` as the documentation's page of venues shows it.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from pipelines.registry import read_seed, source_rows, venues
from pipelines.sources import get_source

HEADER = ("source", "venue", "state", "gives", "back to", "key", "limits", "unproven")


@dataclass(frozen=True)
class Row:
    """One source. `unproven` are the facts that no evidence stands behind yet."""

    source: str
    venue: str
    state: str
    datasets: tuple[str, ...]
    history: dict[str, int]
    key: str | None
    limits: str
    unproven: list[str]
    key_optional: bool

    def key_told(self, state: str = "") -> str:
        """Which variable holds the key."""
        return f"`{self.key}`{state}, live only{' and optional' if self.key_optional else ''}" if self.key else "none"

    def cells(self) -> tuple[str, ...]:
        """The row as text, in the order of `HEADER`."""
        back = ", ".join(f"{name} {days:g} days" for name, days in self.history.items()) or "all that the venue has"
        key = self.key_told(" (set)" if os.environ.get(self.key or "") else " (not set)")
        gives = ", ".join(self.datasets)
        return (self.source, self.venue, self.state, gives, back, key, self.limits, ", ".join(self.unproven) or "nothing")


def rows() -> list[Row]:
    """A row per source, in the order of the table of sources."""
    unproven: dict[str, list[str]] = defaultdict(list)
    for fact in read_seed("venue_facts"):
        if fact["verified"] != "true":
            unproven[fact["source"]].append(f"{fact['dataset']}.{fact['fact']}")
    found = []
    for name, row in source_rows().items():
        venue = venues()[row.venue] if row.venue else None
        state = f"{venue.state} {venue.closed_on or ''}".strip() if venue else "open"
        of = row.venue or f"those named in `{row.named_in}`"
        limits = "; ".join(f"{limit.weight:,} in {limit.seconds} s ({kind})" for kind, limit in get_source(name).limits.items())
        found.append(
            Row(
                name,
                of,
                state,
                row.datasets,
                row.history,
                row.key,
                limits,
                unproven[name],
                row.key_optional,
            )
        )
    return found


def markdown() -> str:
    """The table for the docs: nothing in it depends on the machine."""
    lines = ["| " + " | ".join(HEADER) + " |", "|" + "---|" * len(HEADER)]
    for row in rows():
        cells = list(row.cells())
        cells[HEADER.index("key")] = row.key_told()
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def last_loads(published: Path) -> dict[str, datetime]:
    """By source: when the newest row that readers have was fetched, UTC."""
    facts = ("fct_candles", "fct_funding_rates", "fct_open_interest", "fct_liquidations")
    union = " union all ".join(f"select source, max(_loaded_at) as loaded from marts.{fact} group by 1" for fact in facts)
    with duckdb.connect(str(published), read_only=True) as db:
        return dict(db.execute(f"select source, max(loaded) from ({union}) group by 1").fetchall())
