"""Order books as the collector polls them: what lies within some distances of the mid, and how far the given levels reach.

A venue sends a limited number of levels. A band that these don't reach to is null, never the sum of what came; a book with fewer
levels than were asked for was sent whole, and reaches everywhere; where nothing says how many are sent (`UNTOLD`), none is whole.
Sums are in the venue's units: `size` is the sum of sizes, `value` of size times price, `coins` of size over price, so that linear
contracts (size and value) and inverse ones (coins and size) can be converted later. The levels themselves stay in landing.
Nothing to run alone: see `Source.collected`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from pipelines.records import MaybeMs, Ms, Number, Record
from pipelines.source import Endpoint, Plan

#: Distances from the mid, in basis points.
BANDS = (10, 50, 100, 200)
#: The number of levels of a venue that doesn't tell how many it sends: a side reaches to its last level, however few there are.
UNTOLD = 0


class Level(msgspec.Struct, array_like=True):
    """A price and a size, as numbers or texts; further values are not read."""

    price: Number
    size: Number


def named_level(price: str, size: str) -> Any:
    """A level that is an object, with its venue's names."""
    fields = [("price", Number, msgspec.field(name=price)), ("size", Number, msgspec.field(name=size))]
    return msgspec.defstruct("NamedLevel", fields, bases=(Level,), array_like=False)


_SUMS = [f"{side}_{what}_{band}" for side in ("bid", "ask") for band in BANDS for what in ("size", "value", "coins")]
Book: Any = msgspec.defstruct(
    "Book",
    [
        ("time", MaybeMs),
        ("best_bid", Number | None),
        ("best_ask", Number | None),
        ("bid_reach", Number | None),
        ("ask_reach", Number | None),
        ("bid_levels", int),
        ("ask_levels", int),
        *[(name, Number | None, None) for name in _SUMS],
    ],
    bases=(Record,),
    namespace={
        "__doc__": "Prices in the venue's units; reach is the distance of the last level given from the mid, a fraction, null "
        "where the whole side was given; sums of the sizes, of size times price and of size over price within so many basis "
        "points of the mid, null where the levels end before."
    },
)


def book(time: int | str | None, bids: Iterable[Level], asks: Iterable[Level], most: int | None) -> Any:
    """The record of a book of which `most` levels a side were asked for (None: all), in any order; times in milliseconds.

    Without a mid (a side is empty, or the best bid is not below the best ask) all sums are null.
    """
    sides = [[(level.price, level.size) for level in levels if level.size > 0] for levels in (bids, asks)]
    sides[0].sort(reverse=True)
    sides[1].sort()
    bid, ask = (levels[0][0] if levels else None for levels in sides)
    row = Book(time or None, bid, ask, None, None, *map(len, sides))
    if bid is None or ask is None or bid >= ask:
        return row
    mid = (bid + ask) / 2
    for side, levels, sign in (("bid", sides[0], -1), ("ask", sides[1], 1)):
        whole, last = most is None or len(levels) < most, levels[-1][0]
        if not whole:
            setattr(row, f"{side}_reach", sign * (last - mid) / mid)
        for band in BANDS:
            distance = band * mid  # in ten-thousandths: exact where prices are
            if not whole and sign * (last - mid) * 10_000 < distance:
                continue
            within = [(price, size) for price, size in levels if sign * (price - mid) * 10_000 <= distance]
            setattr(row, f"{side}_size_{band}", sum(size for _, size in within))
            setattr(row, f"{side}_value_{band}", sum(size * price for price, size in within))
            setattr(row, f"{side}_coins_{band}", sum(size / price for price, size in within))
    return row


def order_book(plan: Plan, page: Any, rows: Callable[[Any], Sequence[Any]], *, symbol: str = "symbol") -> Endpoint:
    """The endpoint of a source: `rows` gives the `book` of a page, `symbol` is the column of its instrument."""
    return Endpoint(
        "order_book_depth", Book, key=(symbol,), plan=plan, context=(symbol,), page=page, rows=rows, ignored_fields=frozenset("*")
    )


def sides(
    most: int | None,
    at: str = "",
    *,
    bids: str = "bids",
    asks: str = "asks",
    time: str = "",
    stamp: Any = Number,
    unit: float = 1,
    level: Any = Level,
) -> dict[str, Any]:
    """`page` and `rows` of `order_book` for a body that has one book.

    `at` is the dotted path of the object with `bids` and `asks`, `most` as in `book`. `time` is the path of the venue's stamp, of
    type `stamp` and in units of so many milliseconds; without a path there is none. `rows` raises `ValidationError` for a stamp
    that can't be.
    """
    below, above = (f"{at}.{name}" if at else name for name in (bids, asks))
    of_time, of_sides = attrgetter(time or below), attrgetter(below, above)

    def rows(page: Any) -> list[Any]:
        stamped = msgspec.convert(round(of_time(page) * unit), Ms) if time else None
        return [book(stamped, *of_sides(page), most)]

    return {"page": _nested({below: list[level], above: list[level]} | ({time: stamp} if time else {})), "rows": rows}


def _nested(kinds: Mapping[str, Any]) -> Any:
    """A body's type by the dotted paths of its fields."""
    fields: dict[str, Any] = {}
    for path, kind in kinds.items():
        name, _, rest = path.partition(".")
        if rest:
            fields.setdefault(name, {})[rest] = kind
        else:
            fields[name] = kind
    return msgspec.defstruct("Body", [(name, _nested(kind) if isinstance(kind, dict) else kind) for name, kind in fields.items()])
