"""Kraken Futures: linear multi-collateral perpetuals (`PF_`), settled in USD.

Facts: `shared/venues/kraken.md`. Three APIs on one host: derivatives (JSON numbers, ISO times), charts (text numbers,
seconds in, milliseconds out) and market history. Funding comes whole, about the last year, without paging; what is charged
is `relativeFundingRate` per hour. Liquidations are executions whose taker order says so, the best free history there is, and
a long paging job: the last days only, unless asked.
Alone: `perps fetch --venues kraken --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from pipelines.paging import hourly, once
from pipelines.records import IsoMs, Ms, Number, Record, Seconds
from pipelines.shapes import decode_or_none, enveloped
from pipelines.source import Endpoint, Instrument, Limit, Request, Source, VenueProblem
from pipelines.symbols import base_asset
from pipelines.windows import HOUR, Window

WEIGHTS = {"requests": 1}
EXECUTIONS = 1000


class Symbol(Record, rename="camel"):
    symbol: str
    type: str
    tradeable: bool
    base: str | None = None
    quote: str | None = None
    pair: str | None = None
    contract_size: Number | None = None
    category: str | None = None
    opening_date: str | None = None
    last_trading_time: str | None = None


class Symbols(msgspec.Struct):
    instruments: list[Symbol]


class Ticker(Record, rename="camel"):
    symbol: str
    tag: str | None = None
    pair: str | None = None
    mark_price: Number | None = None
    index_price: Number | None = None
    funding_rate: Number | None = None
    funding_rate_prediction: Number | None = None
    open_interest: Number | None = None
    suspended: bool | None = None


class Tickers(msgspec.Struct):
    tickers: list[Ticker]


class FundingRate(Record, rename="camel"):
    timestamp: IsoMs
    relative_funding_rate: Number
    funding_rate: Number | None = None


class Candle(Record):
    time: Ms
    open: Number
    high: Number
    low: Number
    close: Number
    volume: Number | None = None


class PriceCandle(Record):
    """Mark and index bars: no volume; a recording may hold the close alone."""

    time: Ms
    close: Number
    open: Number | None = None
    high: Number | None = None
    low: Number | None = None


class OpenInterest(Record):
    timestamp: Ms
    open: Number
    high: Number
    low: Number
    close: Number


class Series(msgspec.Struct):
    timestamp: list[Seconds]
    data: list[list[Number]]
    more: bool = False


class Analytics(msgspec.Struct):
    result: Series
    errors: list[Any] = []


class Order(msgspec.Struct, rename="camel"):
    direction: str | None = None
    order_type: str | None = None


class Execution(msgspec.Struct, rename="camel"):
    uid: str
    timestamp: Ms
    price: Number
    quantity: Number
    taker_order: Order
    mark_price: Number | None = None
    usd_value: Number | None = None


class ExecutionOf(msgspec.Struct):
    execution: Execution


class Event(msgspec.Struct):
    Execution: ExecutionOf


class Element(msgspec.Struct):
    uid: str
    event: Event


class Executions(msgspec.Struct, rename="camel"):
    elements: list[Element]
    continuation_token: str | None = None


class Liquidation(Record):
    uid: str
    timestamp: Ms
    price: Number
    quantity: Number
    direction: str | None
    order_type: str
    mark_price: Number | None
    usd_value: Number | None


class ErrorBody(msgspec.Struct):
    result: Any = None
    error: str | None = None


def error(status: int, body: bytes) -> VenueProblem | None:
    """`{"result": "error", "error": "apiLimitExceeded"}`, with HTTP 200 too."""
    said = decode_or_none(body, ErrorBody)
    if said is None or (said.result != "error" and said.error is None):
        return None
    message = said.error or "error"
    if message in ("apiLimitExceeded", "requestLimitExceeded"):
        return VenueProblem("limited", message)
    return VenueProblem("transient" if message in ("Unavailable", "Server Error", "unknownError") else "rejected", message)


def instruments(page: Symbols) -> list[Instrument]:
    return [
        Instrument(s.symbol, base_asset(s.pair.split(":")[0]))
        for s in page.instruments
        if s.pair and s.symbol.startswith("PF_") and s.type == "flexible_futures" and not s.last_trading_time
    ]


def _open_interest_rows(page: Analytics) -> Sequence[OpenInterest]:
    """OHLC per time stamp, as rows of four or as four columns: both were seen."""
    stamps, data = page.result.timestamp, page.result.data
    if page.errors:
        raise ValueError(f"errors in the answer: {page.errors}")
    if len(data) == 4 and len(stamps) != 4 and all(len(column) == len(stamps) for column in data):
        data = [list(row) for row in zip(*data, strict=True)]
    if len(data) != len(stamps) or any(len(row) != 4 for row in data):
        raise ValueError(f"{len(stamps)} time stamps but {len(data)} rows of open, high, low, close")
    return [OpenInterest(t * 1000, *row) for t, row in zip(stamps, data, strict=True)]


def _liquidations(page: Executions) -> Sequence[Liquidation]:
    executions = [element.event.Execution.execution for element in page.elements]
    return [
        Liquidation(e.uid, e.timestamp, e.price, e.quantity, t.direction, t.order_type, e.mark_price, e.usd_value)
        for e in executions
        if (t := e.taker_order).order_type and "liquidat" in t.order_type.lower()
    ]


def _next_executions(request: Request, page: Executions, rows: Sequence[Any]) -> Request | None:
    if page.continuation_token and page.elements:
        return replace(request, params={**request.params, "continuationToken": page.continuation_token})
    if len(page.elements) < EXECUTIONS:
        return None
    # Full, but without the token, whose spelling the sources disagree on: go on by time; what comes twice has one uid.
    return replace(request, params={**request.params, "since": page.elements[-1].event.Execution.execution.timestamp})


def _more_candles(request: Request, page: Any, rows: Sequence[Any]) -> Request | None:
    return _rest(request, "from", rows[-1].time + HOUR) if page.more_candles and rows else None


def _more_points(request: Request, page: Analytics, rows: Sequence[Any]) -> Request | None:
    return _rest(request, "since", rows[-1].timestamp + HOUR) if page.result.more and rows else None


def _rest(request: Request, start: str, ms: int) -> Request | None:
    """The request for what its window holds from `ms` on."""
    rest = request.window.after(ms) if request.window else None
    return replace(request, params={**request.params, start: rest.start // 1000}, window=rest) if rest else None


def _symbol(path: str) -> Callable[[Instrument, Window], Iterable[Request]]:
    """One request for everything that the venue has."""

    def plan(instrument: Instrument, window: Window) -> Iterable[Request]:
        yield Request(path, {"symbol": instrument.symbol}, context={"symbol": instrument.symbol}, weights=WEIGHTS)

    return plan


def _chart(path: str, **names: str) -> Callable[[Instrument, Window], Request]:
    """A request in seconds, both ends inclusive; `names` are what this API calls the ends of a window."""

    def request(instrument: Instrument, window: Window) -> Request:
        params: dict[str, str | int] = {names["start"]: window.start // 1000, names["end"]: (window.end - 1) // 1000}
        if "analytics" in path:
            params["interval"] = HOUR // 1000
        where = path.format(symbol=instrument.symbol)
        return Request(where, params, context={"symbol": instrument.symbol}, window=window, weights=WEIGHTS)

    return request


def _executions(instrument: Instrument, window: Window) -> Iterable[Request]:
    path = f"/api/history/v3/market/{instrument.symbol}/executions"
    params: dict[str, str | int] = {"since": window.start, "before": window.end, "sort": "asc", "count": EXECUTIONS}
    yield Request(path, params, context={"symbol": instrument.symbol}, window=window, weights=WEIGHTS)


def _candles(name: str, kind: str, record: type[Record]) -> Endpoint:
    return Endpoint(
        name,
        record,
        key=("symbol", "time"),
        time="time",
        plan=hourly(2000, _chart(f"/api/charts/v1/{kind}/{{symbol}}/1h", start="from", end="to")),
        page=msgspec.defstruct("Candles", [("candles", list[record]), ("more_candles", bool, False)]),  # type: ignore[valid-type]
        rows=lambda page: page.candles,
        next_page=_more_candles,
        context=("symbol",),
        bar=HOUR,
        ignored_fields=frozenset({"volume"}),
    )


SOURCE = Source(
    name="kraken_futures",
    venue="kraken",
    base_url="https://futures.kraken.com",
    # Public endpoints cost nothing of the documented budget; this is our own moderation.
    limits={"requests": Limit(200, 10)},
    error=error,
    parse_instruments=instruments,
    endpoints=(
        Endpoint(
            "instruments",
            Symbol,
            key=("symbol",),
            plan=once(Request("/derivatives/api/v3/instruments", weights=WEIGHTS)),
            page=Symbols,
            rows=lambda page: page.instruments,
            bulk=True,
            ignored_fields=frozenset(
                "underlying tickSize impactMidSize maxPositionSize marginLevels retailMarginLevels marginSchedules "
                "isin fundingRateCoefficient maxRelativeFundingRate contractValueTradePrecision postOnly "
                "feeScheduleUid tags mtf tradfi platform".split()
            ),
        ),
        Endpoint(
            "tickers",
            Ticker,
            key=("symbol",),
            plan=once(Request("/derivatives/api/v3/tickers", weights=WEIGHTS)),
            page=Tickers,
            rows=lambda page: page.tickers,
            bulk=True,
            ignored_fields=frozenset(
                "last lastTime lastSize bid bidSize ask askSize vol24h volumeQuote open24h high24h low24h change24h "
                "postOnly isUnderlyingMarketClosed extrinsicValue maturityTime".split()
            ),
        ),
        Endpoint(
            "funding_rates",
            FundingRate,
            key=("symbol", "timestamp"),
            time="timestamp",
            plan=_symbol("/derivatives/api/v4/historicalfundingrates"),
            **enveloped("rates", list[FundingRate]),
            context=("symbol",),
            history_days=365,
        ),
        Endpoint(
            "open_interest",
            OpenInterest,
            key=("symbol", "timestamp"),
            time="timestamp",
            plan=hourly(500, _chart("/api/charts/v1/analytics/{symbol}/open-interest", start="since", end="to")),
            page=Analytics,
            rows=_open_interest_rows,
            next_page=_more_points,
            context=("symbol",),
        ),
        _candles("candles", "trade", Candle),
        _candles("mark_candles", "mark", PriceCandle),
        _candles("index_candles", "spot", PriceCandle),
        Endpoint(
            "liquidations",
            Liquidation,
            key=("symbol", "uid"),
            time="timestamp",
            plan=_executions,
            page=Executions,
            rows=_liquidations,
            empty=lambda page: not page.elements,
            next_page=_next_executions,
            wire_type=Execution,
            ignored_fields=frozenset({"makerOrder", "oldTakerOrder", "limitFilled", "executionType"}),
            context=("symbol",),
            is_event=True,
        ),
    ),
)
