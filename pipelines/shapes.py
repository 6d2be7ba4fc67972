"""Shapes that many venues' answers share: bars in arrays, rows stamped in seconds, in columns, inside an envelope.

A source uses them as they are (`Bar`, `PriceBar`) or extends them by the fields that its venue adds. Nothing to run alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, TypeVar

import msgspec

from pipelines.records import MaybeNumber, Ms, Number, Record, Seconds

Kind = TypeVar("Kind")


class Bar(Record, array_like=True):
    """`[open time, open, high, low, close, …]`: how most venues send a candle. Times in milliseconds, numbers as text too."""

    open_time: Ms
    open: Number
    high: Number
    low: Number
    close: Number


class PriceBar(Record, array_like=True):
    """A bar of the mark or index price: what follows the close is not read; a recording may hold the close alone."""

    open_time: Ms
    open: MaybeNumber
    high: MaybeNumber
    low: MaybeNumber
    close: Number


class Stamped(Record):
    """A row that the venue stamps in seconds: `time` is in milliseconds once it is read, as all times are."""

    time: Seconds

    def __post_init__(self) -> None:
        self.time *= 1000


def enveloped(path: str, rows: Any, **beside: tuple[Any, Any]) -> dict[str, Any]:
    """`page` and `rows` of a dataset whose rows lie at a dotted path of the body, such as `result.list`.

    `rows` is the type found there (`list[Row]` most often); `beside` are further fields of the innermost level, each a type
    and a default: `nextPageCursor=(str | None, None)`.
    """
    *outer, last = path.split(".")
    body = msgspec.defstruct("Body", [(last, rows), *((name, kind, value) for name, (kind, value) in beside.items())])
    for name in reversed(outer):
        body = msgspec.defstruct("Body", [(name, body)])
    found: Callable[[Any], Sequence[Any]] = attrgetter(path)
    return {"page": body, "rows": found}


def rows_from_columns(record: Callable[..., Kind], *columns: Sequence[Any]) -> list[Kind]:
    """Rows where the venue sends a list to each field, in the order of the record's. Raises ValueError where lengths differ."""
    return [record(*row) for row in zip(*columns, strict=True)]


def decode_or_none(body: bytes, kind: type[Kind]) -> Kind | None:
    """A body as a type, such as the shape in which a venue states its errors; None where it is no such thing."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError:
        return None
