"""Wire formats as types: venue JSON in, Arrow out.

A row of an endpoint is a `Record`: a msgspec struct with our field names, and the venue's where they differ. Bytes are decoded
and validated in one pass; a value that is not of its declared type is an error that names the field and the value. The columns of
a raw table (`arrow_schema`) are the record's fields, then the columns of the request (`context`), then the bookkeeping columns
`_page`, `_run`, `_observed_at` and `_place`. Numbers that a venue sends as text become float64; the exact text stays in landing.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from operator import attrgetter
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

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
BOOKKEEPING = {"_page": pa.string(), "_run": pa.string(), "_observed_at": pa.timestamp("us"), "_place": pa.int64()}


class IsoMs(int):
    """Milliseconds of a timestamp in ISO 8601 with its zone (`2025-12-08T16:00:00.219Z`, `… UTC`)."""


class UtcMs(IsoMs):
    """Milliseconds of a date or a timestamp in ISO 8601 without a zone, read as UTC (`2025-10-10`, `2026-05-19T00:00:00`)."""


class Labels(str):
    """A text, or a list of texts joined by spaces."""


def read_custom(kind: type, value: Any) -> IsoMs | Labels:
    """msgspec's hook for types that it doesn't know: `IsoMs`, `UtcMs` and `Labels`. Raises ValueError, whatever the value is."""
    if kind is Labels:
        return _labels(value)
    try:
        moment = datetime.fromisoformat(value.replace(" UTC", "Z"))
    except (AttributeError, TypeError, ValueError):
        moment = datetime.min
    if kind is UtcMs and moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if not issubclass(kind, IsoMs) or moment.tzinfo is None or not 2014 <= moment.year < 2040:
        raise ValueError(f"Expected a time of 2014-2040 with its zone, got {value!r:.60}")
    return kind(to_ms(moment))


def _labels(value: Any) -> Labels:
    """Raises ValueError for what is neither a text nor a list of texts."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"Expected a text or a list of texts, got {value!r:.60}")
    return Labels(" ".join(texts))


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


def arrow_schema(record: type[Record], context: Sequence[str] = (), numbered: bool = False) -> pa.Schema:
    """The raw table's schema: record fields, context columns (text), the number among equals (`nth`), bookkeeping."""
    hints = typing.get_type_hints(record, include_extras=True)
    fields = []
    for name in record.__struct_fields__:
        arrow, nullable = _arrow_type(hints[name])
        fields.append(pa.field(name, arrow, nullable=nullable))
    fields += [pa.field(name, pa.string(), nullable=False) for name in context]
    fields += [pa.field("nth", pa.int64(), nullable=False)] if numbered else []
    fields += [pa.field(name, arrow, nullable=False) for name, arrow in BOOKKEEPING.items()]
    return pa.schema(fields)


#: A JSON number is exact to here; a time in milliseconds beyond it is in no calendar.
EXACT = 2**53


@cache
def integer_limits(record: type[Record]) -> dict[str, int]:
    """The record's integer columns without bounds of their own, and the value that each must stay below.

    A nullable one may be any of 64 bits: beyond `EXACT` it is null in the table, as in a date that says "never".
    """
    hints = typing.get_type_hints(record, include_extras=True)
    bounded = {name for name, hint in hints.items() if typing.get_origin(hint) is Annotated or hint in (IsoMs, UtcMs)}
    kinds = {name: _arrow_type(hints[name]) for name in record.__struct_fields__ if name not in bounded}
    return {name: 2**63 if nullable else EXACT for name, (kind, nullable) in kinds.items() if kind == pa.int64()}


def known_names(record: type[msgspec.Struct]) -> frozenset[str]:
    """The venue's names of a record's fields."""
    return frozenset(f.encode_name for f in msgspec.structs.fields(record))


class Columns(Sequence[Any]):
    """Rows as columns of Arrow, by the names of a record's fields; `flaws`: place, value and problem of what could not be read.

    An object to each row of a file would take most of the time in which the file is read: a row is made of the columns where it
    is asked for.
    """

    def __init__(self, record: type[Record], table: pa.Table, flaws: Sequence[tuple[str, str, str]] = ()) -> None:
        self.record, self.table, self.flaws = record, table, flaws

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __getitem__(self, which: Any) -> Any:
        if isinstance(which, slice):
            return [self[n] for n in range(*which.indices(len(self)))]
        return self.record(**self.table.slice(range(len(self))[which], 1).to_pylist()[0])


def values(rows: Sequence[Any], name: str) -> list[Any]:
    """The values of a field in all rows."""
    return list(rows.table[name].to_pylist() if isinstance(rows, Columns) else map(attrgetter(name), rows))


_NUMPY = {pa.int64(): np.int64, pa.float64(): np.float64}


@cache
def _kinds(record: type[Record]) -> list[tuple[str, pa.DataType, bool]]:
    """The names and Arrow types of a record's columns, each with True if it may be null."""
    return [(field.name, field.type, field.nullable) for field in arrow_schema(record)][: len(record.__struct_fields__)]


def columns(record: type[Record], rows: Sequence[Any]) -> list[pa.Array]:
    """The record's own columns of some rows."""
    if isinstance(rows, Columns):
        return [rows.table[name].cast(kind) for name, kind, _ in _kinds(record)]
    kinds, arrays = _kinds(record), []
    values_by_column = list(zip(*map(msgspec.structs.astuple, rows), strict=True)) or [()] * len(kinds)
    for (_, kind, nullable), values in zip(kinds, values_by_column, strict=True):
        if not nullable and (required := _NUMPY.get(kind)):
            # Of Python's numbers NumPy makes an array in a tenth of Arrow's time, but it has no null.
            arrays.append(pa.array(np.array(values, required)))
            continue
        try:
            array = pa.array(values, kind)
        except pa.ArrowInvalid:  # the empty text of a `MaybeNumber`
            array = pa.array([None if value == "" else value for value in values], kind)
        if kind == pa.int64() and nullable and (greatest := pc.max(array).as_py()) and greatest >= EXACT:
            array = pc.if_else(pc.less(array, EXACT), array, None)
        arrays.append(array)
    return arrays
