"""Kraken Futures (futures.kraken.com): linear multi-collateral perpetuals (`PF_`), settled in USD. Facts: venue page of Kraken.

Three APIs on one host: derivatives (JSON numbers, ISO times), charts (text numbers, seconds in, milliseconds out) and market
history. Funding comes whole, about the last year, without paging; longs pay `relativeFundingRate`, per hour. Liquidations are
the executions with a liquidation as their taker's order, the best free history there is, and many pages: only the last days are
fetched unless more are asked for. They come by stream too, as trades of the type liquidation: other trades are not kept, nor the
first frame of a subscription, which has the last trades. `termination` and `assignment`, later stages, are not counted.
Alone: `perps fetch --venues kraken --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import inf
from typing import Any

import msgspec

from pipelines.endpoints import hourly_bars, series, snapshot
from pipelines.order_books import order_book, sides
from pipelines.paging import WindowRequest, hourly, no_params, present, windowed
from pipelines.records import IsoMs, Ms, Number, Record, Seconds
from pipelines.shapes import decode_or_none, enveloped
from pipelines.source import Endpoint, Heard, Instrument, Limit, Request, Source, Stream, Subscription, VenueProblem
from pipelines.streams import frames
from pipelines.symbols import base_asset
from pipelines.windows import HOUR, Window

WEIGHTS = {"requests": 1}
EXECUTIONS = 1000
LIQUIDATION = "liquidation"


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
    """A bar of the mark or index price: no volume; a recording may have the close alone."""

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


class ExecutionElement(msgspec.Struct):
    execution: Execution


class ExecutionEvent(msgspec.Struct):
    Execution: ExecutionElement


class Element(msgspec.Struct):
    uid: str
    event: ExecutionEvent

    @property
    def execution(self) -> Execution:
        return self.event.Execution.execution


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


class StreamedLiquidation(Record):
    """A trade that closed a position by force; `side` is the taker's, which is the liquidation order (sell: a long)."""

    product_id: str
    uid: str
    time: Ms
    side: str
    price: Number
    qty: Number
    seq: int


class ErrorBody(msgspec.Struct):
    result: Any = None
    error: str | None = None


def error(status: int, body: bytes) -> VenueProblem | None:
    """`{"result": "error", "error": "apiLimitExceeded"}`, with HTTP 200 too; one of the two fields may be absent."""
    error_body = decode_or_none(body, ErrorBody)
    if error_body is None or (error_body.result != "error" and error_body.error is None):
        return None
    message = error_body.error or "error"
    if message in ("apiLimitExceeded", "requestLimitExceeded"):
        return VenueProblem("limited", message)
    return VenueProblem("transient" if message in ("Unavailable", "Server Error", "unknownError") else "rejected", message)


def instruments(page: Any) -> list[Instrument]:
    return [
        Instrument(s.symbol, base_asset(s.pair.split(":")[0]), trading=s.tradeable)
        for s in page.instruments
        if s.pair and s.symbol.startswith("PF_") and s.type == "flexible_futures" and not s.last_trading_time
    ]


def _open_interest_rows(page: Analytics) -> Sequence[OpenInterest]:
    """Open, high, low and close of each time stamp, which the venue sends as rows of four or as four columns."""
    stamps, data = page.result.timestamp, page.result.data
    if page.errors:
        raise ValueError(f"errors in the answer: {page.errors}")
    readings = [rows for rows in (data, _transposed(data)) if len(rows) == len(stamps) and all(len(row) == 4 for row in rows)]
    if not readings:
        raise ValueError(f"{len(stamps)} time stamps but {len(data)} rows of open, high, low, close")
    # Four rows of four are columns where no row is open, high, low and close.
    rows = next((rows for rows in readings if all(row[1] == max(row) for row in rows)), readings[0])
    return [OpenInterest(t * 1000, *row) for t, row in zip(stamps, rows, strict=True)]


def _transposed(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    """Columns as rows; no rows where the columns differ in length."""
    return [list(row) for row in zip(*rows, strict=True)] if len(set(map(len, rows))) == 1 else []


def _liquidations(page: Executions) -> Sequence[Liquidation]:
    executions = [element.execution for element in page.elements]
    return [
        Liquidation(e.uid, e.timestamp, e.price, e.quantity, t.direction, t.order_type, e.mark_price, e.usd_value)
        for e in executions
        if (t := e.taker_order).order_type and "liquidat" in t.order_type.lower()
    ]


def _next_executions(request: Request, page: Executions, rows: Sequence[Any]) -> Request | None:
    """By the token, which is camel-cased in an answer and not in a request."""
    if not page.continuation_token or not page.elements:
        return None
    return replace(request, params={**request.params, "continuation_token": page.continuation_token})


def _more_candles(request: Request, page: Any, rows: Sequence[Any]) -> Request | None:
    return _rest(request, "from", rows[-1].time + HOUR) if page.more_candles and rows else None


def _more_points(request: Request, page: Analytics, rows: Sequence[Any]) -> Request | None:
    return _rest(request, "since", rows[-1].timestamp + HOUR) if page.result.more and rows else None


def _rest(request: Request, start: str, ms: int) -> Request | None:
    """The request for its window from `ms` on."""
    rest = request.window.after(ms) if request.window else None
    return replace(request, params={**request.params, start: rest.start // 1000}, window=rest) if rest else None


def _chart(path: str, start: str, end: str) -> WindowRequest:
    """A request in seconds, both ends inclusive; `start` and `end` are the parameters' names."""
    return windowed(path, None, WEIGHTS, instrument_params=no_params, bounds=(start, end), unit=1000)


def _funding(instrument: Instrument, window: Window) -> Iterable[Request]:
    """One request for all rates that the venue has."""
    symbol = {"symbol": instrument.symbol}
    yield Request("/derivatives/api/v4/historicalfundingrates", symbol, context=symbol, weights=WEIGHTS)


def _open_interest(instrument: Instrument, window: Window) -> Request:
    request = _chart("/api/charts/v1/analytics/{symbol}/open-interest", "since", "to")(instrument, window)
    return replace(request, params={**request.params, "interval": HOUR // 1000})


def _executions(instrument: Instrument, window: Window) -> Iterable[Request]:
    path = f"/api/history/v3/market/{instrument.in_path}/executions"
    params: dict[str, str | int] = {"since": window.start, "before": window.end, "sort": "asc", "count": EXECUTIONS}
    yield Request(path, params, context={"symbol": instrument.symbol}, window=window, weights=WEIGHTS)


def _hear(frame: Any) -> Heard:
    """The answer to a subscription names its instrument, a refusal (`alert`, `error`) doesn't."""
    match frame.get("event"):
        case "subscribed":
            return Heard("acknowledged", frame["product_ids"][0])
        case "alert" | "error" | "subscribed_failed":
            return Heard("refused", next(iter(frame.get("product_ids") or []), ""), str(frame.get("message")))
    if frame.get("feed") != "trade":
        return Heard("other")
    return Heard("event" if frame["type"] == LIQUIDATION else "data")


#: The whole book, by docs.kraken.com ("get-orderbook") and ccxt 4.5.90, which sends the symbol alone.
ORDER_BOOKS = order_book(
    present("/derivatives/api/v3/orderbook", WEIGHTS), **sides(None, "orderBook", time="serverTime", stamp=IsoMs)
)


def _bars(name: str, kind: str, record: type[Record]) -> Endpoint:
    return hourly_bars(
        name,
        record,
        hourly(2000, _chart(f"/api/charts/v1/{kind}/{{symbol}}/1h", "from", "to")),
        "time",
        **enveloped("candles", list[record], more_candles=(bool, False)),  # type: ignore[valid-type]
        next_page=_more_candles,
        ignored_fields="volume",
    )


SOURCE = Source(
    name="kraken_futures",
    collected=(ORDER_BOOKS,),
    venue="kraken",
    base_url="https://futures.kraken.com",
    # Public endpoints cost nothing of the documented budget; this is our own moderation.
    limits={"requests": Limit(200, 10)},
    error=error,
    parse_instruments=instruments,
    endpoints=(
        snapshot(
            "instruments",
            Symbol,
            "symbol",
            Request("/derivatives/api/v3/instruments", weights=WEIGHTS),
            **enveloped("instruments", list[Symbol]),
            ignored_fields="underlying tickSize impactMidSize maxPositionSize marginLevels retailMarginLevels marginSchedules "
            "isin fundingRateCoefficient maxRelativeFundingRate contractValueTradePrecision postOnly feeScheduleUid tags mtf "
            "tradfi platform",
        ),
        snapshot(
            "tickers",
            Ticker,
            "symbol",
            Request("/derivatives/api/v3/tickers", weights=WEIGHTS),
            **enveloped("tickers", list[Ticker]),
            ignored_fields="last lastTime lastSize bid bidSize ask askSize vol24h volumeQuote open24h high24h low24h change24h "
            "postOnly isUnderlyingMarketClosed extrinsicValue maturityTime",
        ),
        series("funding_rates", FundingRate, "timestamp", _funding, **enveloped("rates", list[FundingRate]), history_days=365),
        series(
            "open_interest",
            OpenInterest,
            "timestamp",
            hourly(500, _open_interest),
            every=HOUR,
            page=Analytics,
            rows=_open_interest_rows,
            aligned=("$.result.timestamp", "$.result.data"),
            next_page=_more_points,
        ),
        _bars("candles", "trade", Candle),
        _bars("mark_candles", "mark", PriceCandle),
        _bars("index_candles", "spot", PriceCandle),
        series(
            "liquidations",
            Liquidation,
            "timestamp",
            _executions,
            key=("symbol", "uid"),
            page=Executions,
            rows=_liquidations,
            empty=lambda page: not page.elements,
            next_page=_next_executions,
            wire_type=Execution,
            ignored_fields="makerOrder oldTakerOrder limitFilled executionType",
            is_event=True,
            proven_days=inf,
        ),
    ),
    streams=(
        Stream(
            "liquidations",
            "wss://futures.kraken.com/ws/v1",
            frames(
                "liquidations_stream",
                StreamedLiquidation,
                StreamedLiquidation,
                lambda frame: [frame],
                key=("product_id", "uid"),
                time="time",
            ),
            subscribe=lambda symbols, number: Subscription(
                {"event": "subscribe", "feed": "trade", "product_ids": list(symbols)}, symbols[0]
            ),
            hear=_hear,
            by_instrument=True,
            per_request=1,  # a refusal doesn't name what it refuses
            per_second=20,
            silence=3600,
            numbers=lambda frame: [(frame["product_id"], frame["seq"])] if "seq" in frame else [],
        ),
    ),
)
