"""The sources, one module each. The table of sources (`dbt_project/dbt_project.yml`, `vars: sources`) names them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from pipelines.source import Source
from pipelines.windows import DAY, to_ms

TABLE = Path(__file__).parents[2] / "dbt_project" / "dbt_project.yml"


@cache
def source_rows() -> dict[str, dict[str, Any]]:
    """The rows of the table of sources, by name."""
    rows: dict[str, dict[str, Any]] = yaml.safe_load(TABLE.read_text())["vars"]["sources"]
    return rows


@cache
def source(name: str) -> Source:
    """The source of that name. Raises `KeyError` with the names there are."""
    if name not in source_rows():
        raise KeyError(f"no source {name!r}; there are: {', '.join(source_rows())}")
    found: Source = import_module(f"pipelines.sources.{name}").SOURCE
    return found


@cache
def closed_at(venue: str) -> int | None:
    """The end of the day on which a venue closed (milliseconds, UTC), by the seed `venues`; None while it is open."""
    with (TABLE.parent / "seeds" / "venues.csv").open(newline="") as file:
        days = {row["venue"]: row["closed_on"] for row in csv.DictReader(file)}
    day = days.get(venue)
    return to_ms(datetime.fromisoformat(day).replace(tzinfo=UTC)) + DAY if day else None


@cache
def parts(name: str, wanted: tuple[str, ...], origin: str) -> tuple[tuple[Source, ...], tuple[str, ...]]:
    """Of a source that speaks for several venues: one for each that the settings name, and a line for each thing that lacks.

    `origin` is the setting `source`. Raises `ValueError` for a name that can't be had.
    """
    made: tuple[tuple[Source, ...], tuple[str, ...]] = import_module(f"pipelines.sources.{name}").parts(wanted, origin)
    return made


#: What a vendor is asked about on the emulator where nothing is named: what the emulator's vendors carry.
EMULATED = ("binance", "bybit")


def second_sources(
    name: str, codes: Mapping[str, str], make: Callable[[str, str], Source], wanted: Sequence[str], origin: str
) -> tuple[tuple[Source, ...], tuple[str, ...]]:
    """`parts` of a vendor: a source for each wanted venue by the vendor's code for it, a line for each without one."""
    if not wanted and origin == "live":
        return (), (f"{name} is left out: name venues in the setting vendor_venues",)
    chosen = wanted or EMULATED
    lines = [f"{name} is not asked about {v}: it is known here for {', '.join(codes)}" for v in chosen if v not in codes]
    return tuple(make(venue, codes[venue]) for venue in chosen if venue in codes), tuple(lines)
