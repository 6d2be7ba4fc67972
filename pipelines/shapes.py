"""Shapes that many venues' responses share: bars as arrays, timestamps in seconds, rows as columns, rows inside an envelope.

A source uses them as they are (`Bar`, `PriceBar`) or adds its venue's fields in a subclass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, TypeVar

import msgspec

from pipelines.records import MaybeNumber, Ms, Number, Record, Seconds

Kind = TypeVar("Kind")


class Bar(Record, array_like=True):
    """A candle as `[open time, open, high, low, close, …]`, with times in milliseconds and numbers as numbers or text."""

    open_time: Ms
    open: Number
    high: Number
    low: Number
    close: Number


class PriceBar(Record, array_like=True):
    """A bar of the mark or index price: values after the close are not read; a recording may have the close alone."""

    open_time: Ms
    open: MaybeNumber
    high: MaybeNumber
    low: MaybeNumber
    close: Number


class Stamped(Record):
    """A row whose time is in seconds; decoding makes it milliseconds, like all times."""

    time: Seconds

    def __post_init__(self) -> None:
        self.time *= 1000


def enveloped(path: str, rows: Any, **fields: tuple[Any, Any]) -> dict[str, Any]:
    """`page` and `rows` of an endpoint whose rows are at a dotted path of the body, such as `result.list`.

    `rows` is the type at that path (mostly `list[Row]`), where null stands for no rows; `fields` are further fields of the
    innermost level, each a type and a default: `nextPageCursor=(str | None, None)`.
    """
    *outer, last = path.split(".")
    innermost: list[Any] = [(last, rows | None), *((name, kind, default) for name, (kind, default) in fields.items())]
    body = msgspec.defstruct("Body", innermost)
    for name in reversed(outer):
        body = msgspec.defstruct("Body", [(name, body)])
    found = attrgetter(path)
    return {"page": body, "rows": lambda page: found(page) or []}


def rows_from_columns(record: Callable[..., Kind], *columns: Sequence[Any]) -> list[Kind]:
    """Rows from a list per field, in the order of the record's fields. Raises ValueError where their lengths differ."""
    lengths = [len(column) for column in columns]
    if len(set(lengths)) > 1:
        raise ValueError(f"its columns have {', '.join(map(str, lengths))} values")
    return [record(*row) for row in zip(*columns, strict=True)]


def decode_or_none(body: bytes, kind: type[Kind]) -> Kind | None:
    """A body as a type, such as a venue's error; None where it is of another shape, no JSON, or nested too deeply."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (ValueError, RecursionError):
        return None
