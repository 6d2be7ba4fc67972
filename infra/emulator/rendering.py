"""Values and rows as bytes: numbers as text, and the rows of a dataset, rendered once and cut by time.

    Rows.objects(times, symbol="BTC", rate=text(rates)).page(ask, start, end, 100, newest=True)

Nothing to run alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, overload

import msgspec
import numpy as np

from infra.emulator.messages import Ask
from infra.emulator.store import Floats, Ints

encode = msgspec.json.encode


def plain(value: float) -> str:
    """The shortest decimal text that reads back as the same float64, never with an exponent; "" for NaN."""
    if value != value:
        return ""
    shortest = repr(value)
    return format(Decimal(shortest), "f") if "e" in shortest else shortest


@overload
def text(values: Floats) -> list[str]: ...
@overload
def text(values: Floats, absent: None) -> list[str | None]: ...
def text(values: Floats, absent: str | None = "") -> Any:
    """`plain` of each value; NaN becomes `absent`."""
    return [plain(value) or absent for value in values.tolist()]


def contracts(quote: Floats, face: float = 1.0) -> list[str]:
    """Amounts in the quote currency as whole contracts of so much each: what inverse contracts are counted in."""
    return ["" if n != n else str(round(n)) for n in (quote / face).tolist()]


def number(value: float | None) -> float | None:
    """A JSON number, None (null) for a value that the store does not have."""
    return None if value is None or value != value else value


def iso(ms: int) -> str:
    """`2025-10-10T21:00:00.000Z`."""
    return str(np.datetime64(ms, "ms")) + "Z"


def tick(price: float) -> float:
    """A price step of six significant digits."""
    return float(f"1e{int(np.floor(np.log10(price))) - 5}") if price > 0 else 0.01


class Lazy(Sequence[bytes]):
    """Rows that are rendered when they are asked for: for those that are many, dear and seldom read."""

    def __init__(self, cell: Callable[[int], bytes], count: int) -> None:
        self._cell, self._count = cell, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, which: Any) -> Any:
        return [self._cell(n) for n in range(self._count)[which]] if isinstance(which, slice) else self._cell(which)


class Rows:
    """One dataset of one coin, rendered: ascending times (ms, not always unique) and the bytes of each row."""

    def __init__(self, times: Ints, cells: Sequence[bytes]) -> None:
        self.times, self.cells = times, cells

    @classmethod
    def objects(cls, times: Ints, columns: Mapping[str, Any]) -> Rows:
        """A JSON object to each time: a list or an array of values to each name; any other value is the same in all rows."""
        names = list(columns)
        return cls(times, [encode(dict(zip(names, row, strict=True))) for row in _across(len(times), columns.values())])

    @classmethod
    def arrays(cls, times: Ints, *columns: Any) -> Rows:
        """The same with a JSON array to each time."""
        return cls(times, [encode(row) for row in _across(len(times), columns)])

    def span(self, ask: Ask, start: int | None, end: int, limit: int, *, newest: bool = False) -> slice:
        """Rows with start <= time <= end: the first `limit` of them, or the newest."""
        low = 0 if start is None else int(np.searchsorted(self.times, start, "left"))
        high = int(np.searchsorted(self.times, end, "right"))
        if newest:
            low = max(low, high - limit)
        else:
            high = min(high, low + limit)
        return slice(max(0, low - ask.overlap), max(low, high))

    def page(self, ask: Ask, start: int | None, end: int, limit: int, *, newest: bool = False, descending: bool = False) -> bytes:
        """`span` as a JSON array, oldest first unless `descending`."""
        return self.array(self.span(ask, start, end, limit, newest=newest), descending=descending)

    def newest(self, ask: Ask, size: int, page: int, since: int | None = None) -> tuple[bytes, int]:
        """A numbered page (the first is 1) counted from the newest row back, newest first; and how many rows there are.

        Rows before `since` are none of them.
        """
        rows = self.span(ask, since, ask.now, len(self.cells))
        end = max(rows.start, rows.stop - (page - 1) * size)
        return self.array(slice(max(rows.start, end - size - ask.overlap), end), descending=True), rows.stop - rows.start

    def array(self, span: slice, *, descending: bool = False) -> bytes:
        """The rows of `span` as a JSON array."""
        cells = self.cells[span]
        return b"[" + b",".join(reversed(cells) if descending else cells) + b"]"


EMPTY = Rows(np.empty(0, np.int64), [])


def merged(parts: Iterable[Rows]) -> Rows:
    """Rows of several coins in one order of time."""
    parts = list(parts)
    times = np.concatenate([p.times for p in parts]) if parts else EMPTY.times
    cells = [cell for p in parts for cell in p.cells]
    order = np.argsort(times, kind="stable")
    return Rows(times[order], [cells[i] for i in order.tolist()])


def _across(count: int, columns: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
    """Columns as rows; see `Rows.objects`."""
    lists = (x.tolist() if isinstance(x, np.ndarray) else x if isinstance(x, list) else [x] * count for x in columns)
    return zip(*lists, strict=True)
