"""The units of published columns, for programs.

A column's unit is stated once, beside its description: `config: {meta: {unit: …}}` in `dbt_project/models/_tables.yml`, `unit` of
the schemas in `assets/regimes`. Its comment in the warehouse carries both, as `Open interest, one side, US dollars. [USD]`, into
the published copy, PostgreSQL and dashboards; readers take them apart again. Text and flags have no unit, times are UTC by their
type.

Alone: ``described("Open interest, one side, US dollars. [USD]", "DOUBLE")``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import pyarrow as pa

#: Columns with their descriptions and units.
Columns: TypeAlias = Mapping[str, tuple[str, str | None]]


UNITS = {
    "1": "a fraction, ratio, index or probability: 0.01 is 1 %",
    "1 per 8 hours": "a rate of funding as an 8-hour equivalent, fraction of the position's value",
    "1 per interval": "a rate of funding as charged, fraction of the position's value per interval of its venue",
    "1 per year": "a simple annual rate, fraction",
    "1 per sqrt(year)": "annualised volatility, fraction",
    "USD": "US dollars; stablecoins that count as dollars at par",
    "USD per coin": "a price in US dollars of one whole coin",
    "quote": "the currency that the instrument's prices are quoted in",
    "quote per coin": "a price of one whole coin in that currency; of `MARKET` an index that begins with 100",
    "coin": "whole coins of the base asset, without a multiplier: 1000PEPE counts 1000 PEPE",
    "count": "a number of things, or the number of a thing",
    "byte": "bytes",
    "second": "seconds",
    "hour": "hours",
    "day": "days",
    "UTC": "a moment, UTC, without a zone",
    "UTC day": "a calendar day, UTC",
    "as sent": "the source's own unit, not converted; of a contract's size the coin as listed, or the quote currency",
}
#: Of a column whose unit another column of the same row names.
NAMED_IN = "in "
_STATED = re.compile(r"(.*\S) \[([^\[\]]+)\]", re.DOTALL)


def comment(description: str, unit: str | None) -> str:
    """The comment of a column, as the macro `persist_docs` writes it too."""
    return f"{description} [{unit}]" if unit else description


def described(comment: str, kind: str) -> tuple[str, str | None]:
    """The description and the unit of a column by its comment and its type in DuckDB; without a unit None."""
    found = _STATED.fullmatch(comment)
    description, unit = found.groups() if found else (comment, None)
    of_time = "UTC day" if kind.upper() == "DATE" else "UTC" if kind.upper().startswith("TIMESTAMP") else None
    return description, unit or of_time


def stated(schema: pa.Schema, columns: Columns, about: Mapping[str, str]) -> pa.Schema:
    """An Arrow schema with `description` and `unit` in the metadata of its fields, and `about` in its own."""
    for place, field in enumerate(schema):
        description, unit = columns[field.name]
        schema = schema.set(place, field.with_metadata({"description": description, **({"unit": unit} if unit else {})}))
    return schema.with_metadata(dict(about))
