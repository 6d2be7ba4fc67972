"""The table of sources for `perps venues`: datasets, history, key, limits, unproven facts.

Everything is read from its one record: the table of sources, the sources' modules, the seeds. `perps venues` adds the last load,
`perps venues --markdown` prints what the documentation shows.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from perplake.published import reading
from pipelines.registry import SourceRow, counted_datasets, read_seed, source_rows, venues
from pipelines.sources import get_source

HEADER = ("source", "venue", "state", "gives", "leaves out", "back to", "key", "limits", "unproven")


@dataclass(frozen=True)
class Row:
    """One source. `unproven` are its facts without evidence, `left_out` the instruments of the venue that it doesn't read."""

    source: str
    record: SourceRow
    unproven: list[str]
    left_out: list[str]

    @property
    def limits(self) -> str:
        limits = get_source(self.source).limits.items()
        return "; ".join(f"{limit.weight:,} in {limit.seconds} s ({kind})" for kind, limit in limits)

    def key(self, with_state: bool) -> str:
        """The variable that holds the API key, and whether it is set on this machine."""
        if not self.record.key:
            return "none"
        state = "" if not with_state else " (set)" if os.environ.get(self.record.key) else " (not set)"
        by_name = ", and only where the source is named" if self.record.by_name else ""
        return f"`{self.record.key}`{state}, live only{' and optional' if self.record.key_optional else ''}{by_name}"

    def cells(self, with_state: bool = True) -> tuple[str, ...]:
        """The row as text, in the order of `HEADER`."""
        record = self.record
        venue = venues()[record.venue] if record.venue else None
        return (
            self.source,
            record.venue or f"those named in `{record.named_in}`",
            f"{venue.state} {venue.closed_on or ''}".strip() if venue else "open",
            ", ".join(record.datasets),
            "; ".join(self.left_out) or "nothing known",
            ", ".join(f"{name} {days:g} days" for name, days in record.history.items()) or "all that the venue has",
            self.key(with_state),
            self.limits,
            ", ".join(self.unproven) or "nothing",
        )


def rows() -> list[Row]:
    """A row for each source, in the order of the table of sources."""
    unproven, left_out = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for fact in read_seed("venue_facts"):
        if fact["verified"] != "true":
            unproven[fact["source"]].append(f"{fact['dataset']}.{fact['fact']}")
        if fact["fact"] == "left_out":
            left_out[fact["source"]].append(fact["value"])
    return [Row(name, record, unproven[name], left_out[name]) for name, record in source_rows().items()]


def markdown() -> str:
    """The table for the documentation: nothing in it depends on the machine."""
    lines = [HEADER, ["---"] * len(HEADER), *(row.cells(with_state=False) for row in rows())]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def last_loads(published: Path) -> dict[str, datetime]:
    """By source: when the newest row in the published facts was fetched, UTC."""
    facts = [dataset.fact for dataset in counted_datasets().values()]
    union = " union all ".join(f"select source, max(_loaded_at) as loaded from marts.{fact} group by 1" for fact in facts)
    with reading(published) as db:
        return dict(db.execute(f"select source, max(loaded) from ({union}) group by 1").fetchall())
