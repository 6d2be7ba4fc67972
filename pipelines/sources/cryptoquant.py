"""CryptoQuant v1: open interest, funding and liquidations of bitcoin and ether over all its exchanges, by day. A key is needed.

Facts: `shared/venues/cryptoquant.md`, whose envelope and dates are not official (U): what isn't as expected goes to quarantine.
Rates are percent (U), open interest US dollars, liquidations coins and US dollars by side of the position; days are UTC and
revised for about one. Leaving `exchange` out is answered with HTTP 400, which says nothing of the plan.
Alone: `CRYPTOQUANT_API_KEY=… perps fetch --mode live --venues cryptoquant`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import msgspec

from pipelines.records import Ms, Number, Record
from pipelines.shapes import decode_or_none
from pipelines.source import Endpoint, Instrument, Limit, Request, Source, VenueProblem
from pipelines.windows import DAY, Window, to_datetime, to_ms

#: What the vendor has these endpoints of.
ASSETS = {"BTC": "btc", "ETH": "eth"}
ROWS = 1000


class Line(msgspec.Struct):
    """A row as it is sent: one of the three endpoints' fields."""

    date: date
    open_interest: Number | None = None
    funding_rates: Number | None = None
    long_liquidations_usd: Number | None = None
    short_liquidations_usd: Number | None = None


class Result(msgspec.Struct):
    data: list[Line]


class Page(msgspec.Struct):
    result: Result


class Value(Record):
    """One number a day: US dollars, or percent per interval."""

    day: Ms
    value: Number


class Liquidations(Record):
    """US dollars by side of the position."""

    day: Ms
    long_usd: Number
    short_usd: Number


class Status(msgspec.Struct):
    code: int
    message: str = ""


class ErrorBody(msgspec.Struct):
    status: Status


def error(status: int, body: bytes) -> VenueProblem | None:
    """`{"status": {"code": 401, "message": …}}`, with the same status."""
    said = decode_or_none(body, ErrorBody)
    code, message = (said.status.code, said.status.message) if said else (status, "")
    if code in (401, 402, 403):
        return VenueProblem("key", f"{code} {message}".rstrip())
    if said is None or code == 200:
        return None
    kind = "limited" if code == 429 else "transient" if code >= 500 else "rejected"
    return VenueProblem(kind, f"{code} {message}".rstrip())  # type: ignore[arg-type]


def _start(day: date) -> int:
    return to_ms(datetime(day.year, day.month, day.day, tzinfo=UTC))


def _values(page: Page, name: str) -> Sequence[Value]:
    """Raises ValueError for a row without the endpoint's field."""
    return [Value(_start(line.date), _required(line, name)) for line in page.result.data]


def _liquidations(page: Page) -> Sequence[Liquidations]:
    names = ("long_liquidations_usd", "short_liquidations_usd")
    return [Liquidations(_start(line.date), *(_required(line, name) for name in names)) for line in page.result.data]


def _required(line: Line, name: str) -> float:
    value: float | None = getattr(line, name)
    if value is None:
        raise ValueError(f"Object missing required field `{name}`")
    return value


def _daily(name: str, path: str, record: type[Record], rows: Any) -> Endpoint:
    def plan(instrument: Instrument, window: Window) -> Iterable[Request]:
        if instrument.base_asset not in ASSETS:
            return
        for days in window.chunks(ROWS * DAY):
            first, last = (f"{to_datetime(ms):%Y%m%d}" for ms in (days.start, days.end - 1))
            span: dict[str, str | int] = {"exchange": "all_exchange", "window": "day", "from": first, "to": last, "limit": ROWS}
            where = f"/v1/{ASSETS[instrument.base_asset]}/market-data/{path}"
            yield Request(where, span, context={"symbol": instrument.symbol}, window=days, weights={"calls": 1})

    return Endpoint(
        name,
        record,
        key=("symbol", "day"),
        time="day",
        plan=plan,
        page=Page,
        rows=rows,
        context=("symbol",),
        bar=DAY,
        wire_type=Line,
        ignored_fields=frozenset({"long_liquidations", "short_liquidations"}),
    )


SOURCE = Source(
    name="cryptoquant",
    venue="cryptoquant",
    base_url="https://api.cryptoquant.com",
    # By plan, and not documented: gently.
    limits={"calls": Limit(20, 60)},
    error=error,
    key_header="Authorization",
    key_prefix="Bearer ",
    by_asset=True,
    endpoints=(
        _daily("open_interest", "open-interest", Value, partial(_values, name="open_interest")),
        _daily("funding_rates", "funding-rates", Value, partial(_values, name="funding_rates")),
        _daily("liquidations", "liquidations", Liquidations, _liquidations),
    ),
)
