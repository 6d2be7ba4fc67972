"""The records that other modules read: sources, venues, and the canonical datasets.

They are written down in `dbt_project/dbt_project.yml` (`vars: sources`, `vars: datasets`) and in the seed `venues` alone; dbt
reads them too. Each row is decoded as its type: a wrong key or value is refused with a sentence that names the row. Days are UTC.
`perps venues` prints sources and venues.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import yaml

from pipelines.windows import Window

PROJECT = Path(__file__).parents[1] / "dbt_project"
PROJECT_FILE = PROJECT / "dbt_project.yml"
SEEDS = PROJECT / "seeds"

#: Staging models of open interest as it is now, which join the dataset `open_interest`.
SNAPSHOTS = "open_interest_now"

T = TypeVar("T", bound=msgspec.Struct)


class SourceRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A row of the table of sources.

    A source reads one `venue`, or several, which the setting `named_in` lists. `datasets` are those with a staging model.
    `history` is how many days back the venue answers, by dataset, where it is limited; `endpoints` the endpoint of bars that a
    dataset is read from, where it has another name. `key` is the environment variable that
    holds the API key; without it a source is left out, unless the key is optional. Where several sources cover one venue,
    marts take the one with the lowest `precedence`. `core` sources are read by default, those `by_name` only where they are named
    among the venues, and not with their venue: what they read costs money, or others have it too. `archive_of` is the source
    whose instruments and data an archive has in files; of a `large` one these are trades, and a backfill takes it only where it
    is named. The collector hears those with `streams`.
    """

    title: str
    datasets: tuple[str, ...]
    venue: str | None = None
    named_in: str | None = None
    core: bool = False
    by_name: bool = False
    archive_of: str | None = None
    large: bool = False
    key: str | None = None
    key_optional: bool = False
    precedence: int = 1
    streams: bool = False
    history: dict[str, int] = {}
    endpoints: dict[str, str] = {}

    @property
    def is_reference_only(self) -> bool:
        """True if the source has no rows of its own venue, only figures about others to compare with."""
        return set(self.datasets) == {"references"}


class Dataset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A canonical dataset: all sources' rows of one kind in the same columns.

    `fact` is its mart, `time` the mart's time column, `stamp` the column of the venue's timestamp, `grain` the mart's key.
    `expected_per_day` is how many rows of an instrument a day should have (None: not counted in coverage). `columns` are the
    columns of its staging models: type and description by name.
    """

    fact: str
    time: str
    grain: tuple[str, ...]
    columns: dict[str, tuple[str, str]]
    stamp: str | None = None
    expected_per_day: int | None = None


class Venue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A venue, aggregator or vendor, as the seed `venues` has it."""

    venue: str
    title: str
    kind: str
    region: str
    access: str
    state: Literal["open", "closed"]
    closed_on: date | None = None

    @property
    def closed_at(self) -> int | None:
        """The end of its last day in milliseconds, UTC; None while it is open."""
        return Window.of_days(self.closed_on, self.closed_on).end if self.closed_on else None


def _decode(place: str, rows: Mapping[str, Any], kind: type[T]) -> dict[str, T]:
    """Rows as records. Raises `ValueError` naming the place, the row, the problem and the keys that are allowed."""
    records = {}
    for name, row in rows.items():
        try:
            records[name] = msgspec.convert(row, kind)
        except msgspec.ValidationError as problem:
            allowed = ", ".join(kind.__struct_fields__)
            raise ValueError(f"{place}, row {name!r}: {problem}; allowed keys: {allowed}") from None
    return records


def decode_sources(rows: Mapping[str, Any]) -> dict[str, SourceRow]:
    """The table of sources as records. Raises `ValueError` naming the row, the key and what is allowed there."""
    place = "dbt_project.yml, vars: sources"
    records = _decode(place, rows, SourceRow)
    for name, row in records.items():

        def refuse(key: str, values: Iterable[str], allowed: Iterable[str], name: str = name) -> None:
            if unknown := sorted(set(values) - set(allowed)):
                raise ValueError(f"{place}, row {name!r}: unknown {key} {', '.join(unknown)}; allowed: {', '.join(allowed)}")

        if (row.venue is None) == (row.named_in is None):
            raise ValueError(f"{place}, row {name!r}: give either `venue`, or `named_in` where the source reads several venues")
        refuse("venue", [row.venue] if row.venue else [], venues())
        refuse("source in `archive_of`", [row.archive_of] if row.archive_of else [], rows)
        refuse("dataset", row.datasets, [*datasets(), SNAPSHOTS])
        refuse("dataset in `history`", row.history, row.datasets)
        refuse("dataset in `endpoints`", row.endpoints, row.datasets)
    return records


@cache
def _vars() -> dict[str, Any]:
    variables: dict[str, Any] = yaml.safe_load(PROJECT_FILE.read_text())["vars"]
    return variables


@cache
def datasets() -> dict[str, Dataset]:
    """The canonical datasets, by name."""
    return _decode("dbt_project.yml, vars: datasets", _vars()["datasets"], Dataset)


def counted_datasets() -> dict[str, Dataset]:
    """The datasets whose coverage is counted: those that a venue owes so many rows a day."""
    return {name: dataset for name, dataset in datasets().items() if dataset.expected_per_day}


@cache
def source_rows() -> dict[str, SourceRow]:
    """The rows of the table of sources, by name, in its order."""
    return decode_sources(_vars()["sources"])


@cache
def venues() -> dict[str, Venue]:
    """The rows of the seed `venues`, by venue, in its order."""
    rows = {row["venue"]: {k: v for k, v in row.items() if v or k != "closed_on"} for row in read_seed("venues")}
    return _decode("seeds/venues.csv", rows, Venue)


def closed_at(venue: str | None) -> int | None:
    """The end of the day on which a venue closed (milliseconds, UTC); None while it is open, or where it has no row."""
    row = venues().get(venue or "")
    return row.closed_at if row else None


def read_seed(name: str) -> list[dict[str, str]]:
    """The rows of a dbt seed, as text."""
    with (SEEDS / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))
