"""Wire formats as types: venue JSON in, Arrow out.

A row of an endpoint is a `Record`: a msgspec struct with our field names, and the venue's where they differ. Bytes are decoded
and validated in one pass; a value that is not of its declared type is an error that names the field and the value. The columns of
a raw table (`arrow_schema`) are the record's fields, then the columns of the request (`context`), then the bookkeeping columns
`_page`, `_run` and `_observed_at`. Numbers that a venue sends as text become float64; the exact text stays in landing.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
import pyarrow as pa

from pipelines.windows import to_ms

#: A timestamp in milliseconds; a value outside of 2014-2040 is in another unit or garbage.
Ms = Annotated[int, msgspec.Meta(ge=1_388_534_400_000, lt=2_208_988_800_000)]
#: The same in seconds.
Seconds = Annotated[int, msgspec.Meta(ge=1_388_534_400, lt=2_208_988_800)]
#: The same in nanoseconds.
Nanoseconds = Annotated[int, msgspec.Meta(ge=1_388_534_400_000_000_000, lt=2_208_988_800_000_000_000)]
#: A finite number, also as text. The bounds exclude NaN and infinity, which a parser accepts as numbers.
Number = Annotated[float, msgspec.Meta(ge=-1e300, le=1e300)]
#: A number that a venue may leave out: null, or the empty text.
MaybeNumber = Number | Literal[""] | None

#: A timestamp that a venue may leave out: null, or the empty text.
MaybeMs = Ms | Literal[""] | None

#: Bookkeeping columns that every raw table ends with.
BOOKKEEPING = {"_page": pa.string(), "_run": pa.string(), "_observed_at": pa.timestamp("us")}


class IsoMs(int):
    """Milliseconds of a timestamp in ISO 8601 with its zone (`2025-12-08T16:00:00.219Z`, `… UTC`)."""


class UtcMs(IsoMs):
    """Milliseconds of a date or a timestamp in ISO 8601 without a zone, read as UTC (`2025-10-10`, `2026-05-19T00:00:00`)."""


class Labels(str):
    """A text, or a list of texts joined by spaces."""


def read_custom(kind: type, value: Any) -> IsoMs | Labels:
    """msgspec's hook for types that it doesn't know: `IsoMs`, `UtcMs` and `Labels`. Raises ValueError, TypeError."""
    if kind is Labels:
        return Labels(value if isinstance(value, str) else " ".join(value))
    moment = datetime.fromisoformat(value.replace(" UTC", "Z"))
    if kind is UtcMs and moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if not issubclass(kind, IsoMs) or moment.tzinfo is None or not 2014 <= moment.year < 2040:
        raise ValueError(f"Expected a time of 2014-2040 with its zone, got {value}")
    return kind(to_ms(moment))


_ARROW = {
    int: pa.int64(),
    IsoMs: pa.int64(),
    UtcMs: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    Labels: pa.string(),
    bool: pa.bool_(),
}


class Record(msgspec.Struct, gc=False):
    """Base of every wire row. Subclasses declare fields in the order of the raw table."""


def _arrow_type(annotation: Any) -> tuple[pa.DataType, bool]:
    """The Arrow type of a field's annotation, and True if it may be null."""
    if typing.get_origin(annotation) is Annotated:
        annotation = typing.get_args(annotation)[0]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        options = typing.get_args(annotation)
        types_of_values = [o for o in options if o is not type(None) and typing.get_origin(o) is not Literal]
        return _arrow_type(types_of_values[0])[0], True
    return _ARROW[annotation], False


def arrow_schema(record: type[Record], context: Sequence[str] = ()) -> pa.Schema:
    """The raw table's schema: record fields, context columns (text), bookkeeping."""
    hints = typing.get_type_hints(record, include_extras=True)
    fields = []
    for name in record.__struct_fields__:
        arrow, nullable = _arrow_type(hints[name])
        fields.append(pa.field(name, arrow, nullable=nullable))
    fields += [pa.field(name, pa.string(), nullable=False) for name in context]
    fields += [pa.field(name, arrow, nullable=False) for name, arrow in BOOKKEEPING.items()]
    return pa.schema(fields)


def known_names(record: type[msgspec.Struct]) -> frozenset[str]:
    """The venue's names of a record's fields."""
    return frozenset(f.encode_name for f in msgspec.structs.fields(record))


def columns(record: type[Record], schema: pa.Schema, rows: Sequence[Any]) -> list[pa.Array]:
    """The record's own columns of some rows, in the schema's types."""
    names, arrays = record.__struct_fields__, []
    values_by_column = list(zip(*map(msgspec.structs.astuple, rows), strict=True)) or [()] * len(names)
    for name, values in zip(names, values_by_column, strict=True):
        kind = schema.field(name).type
        try:
            arrays.append(pa.array(values, kind))
        except pa.ArrowInvalid:  # the empty text of a `MaybeNumber`
            arrays.append(pa.array([None if value == "" else value for value in values], kind))
    return arrays
