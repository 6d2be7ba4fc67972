"""Bybit v5 (api.bybit.com), category linear: perpetuals settled in USDT or USDC. Facts: the venue page of Bybit.

Milliseconds, numbers as text, pages newest first. Errors come with HTTP 200 and a `retCode`. A request with the start of a
window but no end is refused, so both are always sent. `openInterest` counts both sides, `singleOpenInterest` one. Category
inverse has the same endpoints on the same host; both sources use the functions below. Liquidations come by stream alone, all of
them since 2025-02-20, a topic for each symbol: the side is the position's, the price that of bankruptcy.
Alone: `perps fetch --venues bybit --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any

import msgspec

from pipelines.endpoints import hourly_bars, series, snapshot
from pipelines.error_bodies import error_reader
from pipelines.order_books import order_book, sides
from pipelines.paging import hourly, present, windowed
from pipelines.records import MaybeNumber, Ms, Number, Record
from pipelines.shapes import Bar, PriceBar, enveloped
from pipelines.source import Endpoint, Heard, Instrument, Limit, Plan, Request, Source, Stream, Subscription, VenueProblem
from pipelines.streams import frames
from pipelines.symbols import base_asset
from pipelines.windows import HOUR

BASE_URL = "https://api.bybit.com"
LIMITS = {"requests": Limit(600, 5)}
WEIGHTS = {"requests": 1}
#: The most levels of a side of the order book.
DEPTH = 500


class Symbol(Record, rename="camel"):
    symbol: str
    contract_type: str
    status: str
    base_coin: str
    quote_coin: str
    settle_coin: str
    funding_interval: int
    launch_time: int | None = None
    delivery_time: int | None = None
    symbol_type: str | None = None


class FundingRate(Record, rename="camel"):
    symbol: str
    funding_rate_timestamp: Ms
    funding_rate: Number


class OpenInterest(Record, rename="camel"):
    timestamp: Ms
    open_interest: Number
    single_open_interest: MaybeNumber = None


class Ticker(Record, rename="camel"):
    symbol: str
    mark_price: MaybeNumber = None
    index_price: MaybeNumber = None
    funding_rate: MaybeNumber = None
    next_funding_time: int | None = None
    funding_interval_hour: MaybeNumber = None
    open_interest: MaybeNumber = None
    single_open_interest: MaybeNumber = None


class Kline(Bar, array_like=True):
    volume: Number
    turnover: MaybeNumber


class Liquidation(Record):
    """`side` is the position's (Buy: a long was closed), `size` coins or, inverse, dollars, `price` that of bankruptcy."""

    symbol: str = msgspec.field(name="s")
    time: Ms = msgspec.field(name="T")
    side: str = msgspec.field(name="S")
    price: Number = msgspec.field(name="p")
    size: Number = msgspec.field(name="v")
    nth: int = 0


_error_in_body = error_reader(
    "retCode",
    "retMsg",
    success=(0,),
    limited=(10006, 10018),
    blocked=(10009, 10024),  # the address is banned or in a restricted region; the account's rules of compliance
    transient=(10000, 10016),
    statuses={403: "blocked"},
)


def error(status: int, body: bytes) -> VenueProblem | None:
    """A `retCode` other than 0; a 403 is the region block, or the rate limit where its page says "too frequent"."""
    if status == 403 and b"frequent" in body:
        return VenueProblem("limited", "HTTP 403")
    return _error_in_body(status, body)


def instruments(page: Any, contract_type: str, *quotes: str) -> list[Instrument]:
    return [
        Instrument(s.symbol, base_asset(s.base_coin), s.launch_time or None, s.delivery_time or None, s.status == "Trading")
        for s in page.result.list
        if s.contract_type == contract_type and s.quote_coin in quotes
    ]


def _next_cursor(request: Request, page: Any, rows: Sequence[Any]) -> Request | None:
    cursor = page.result.nextPageCursor
    return replace(request, params={**request.params, "cursor": cursor}) if cursor and rows else None


def endpoints(category: str) -> tuple[Endpoint, ...]:
    """The endpoints of a category: all categories have the same; the units differ."""

    def instrument_params(instrument: Instrument) -> Mapping[str, str]:
        return {"category": category, "symbol": instrument.symbol}

    def plan(path: str, rows: int, **params: Any) -> Plan:
        return hourly(rows, windowed(f"/v5/market/{path}", rows, WEIGHTS, instrument_params=instrument_params, **params))

    def body(record: type[Record]) -> dict[str, Any]:
        return enveloped("result.list", list[record], nextPageCursor=(str | None, None))  # type: ignore[valid-type]

    def bars(name: str, path: str, record: type[Record]) -> Endpoint:
        return hourly_bars(name, record, plan(path, 1000, bounds=("start", "end"), interval="60"), **body(record))

    return (
        snapshot(
            "instruments",
            Symbol,
            "symbol",
            Request("/v5/market/instruments-info", {"category": category, "limit": 1000}, weights=WEIGHTS),
            **body(Symbol),
            next_page=_next_cursor,
            ignored_fields="symbolId priceScale leverageFilter priceFilter lotSizeFilter unifiedMarginTrade copyTrading "
            "upperFundingRate lowerFundingRate isPreListing preListingInfo riskParameters displayName deliveryFeeRate "
            "forbidUplWithdrawal skipCallAuction",
        ),
        snapshot(
            "tickers",
            Ticker,
            "symbol",
            Request("/v5/market/tickers", {"category": category}, weights=WEIGHTS),
            **body(Ticker),
            ignored_fields="lastPrice prevPrice24h price24hPcnt highPrice24h lowPrice24h prevPrice1h openInterestValue "
            "singleOpenInterestValue turnover24h volume24h predictedDeliveryPrice basisRate deliveryFeeRate deliveryTime "
            "ask1Size bid1Price ask1Price bid1Size basis preOpenPrice preQty curPreListingPhase fundingCap basisRateYear",
        ),
        series(
            "open_interest",
            OpenInterest,
            "timestamp",
            plan("open-interest", 200, intervalTime="1h"),
            every=HOUR,
            **body(OpenInterest),
        ),
        series("funding_rates", FundingRate, "funding_rate_timestamp", plan("funding/history", 200), **body(FundingRate)),
        bars("candles", "kline", Kline),
        bars("mark_candles", "mark-price-kline", PriceBar),
        bars("index_candles", "index-price-kline", PriceBar),
    )


def order_books(category: str) -> Endpoint:
    """1 to 500 levels a side, by ccxt 4.5.90 (`bybit.py`, `fetch_order_book`) and the venue's page of 2025-11."""

    def params(instrument: Instrument) -> Mapping[str, str]:
        return {"category": category, "symbol": instrument.symbol}

    plan = present("/v5/market/orderbook", WEIGHTS, instrument_params=params, limit=DEPTH)
    return order_book(plan, **sides(DEPTH, "result", bids="b", asks="a", time="result.ts"))


def _hear(frame: Any) -> Heard:
    if "topic" in frame:
        return Heard("event")
    if frame.get("op") == "subscribe":
        key = frame.get("req_id", "")
        return Heard("acknowledged", key) if frame.get("success") else Heard("refused", key, str(frame.get("ret_msg")))
    return Heard("other") if frame.get("op") in ("ping", "pong") or frame.get("ret_msg") == "pong" else Heard("event")


def liquidations(category: str) -> Stream:
    """Those of a category. The topics of a request may have 21,000 characters."""
    key = ("symbol", "time", "side", "price", "size", "nth")
    frame = msgspec.defstruct("Frame", [("data", list[Liquidation])])
    return Stream(
        "liquidations",
        f"wss://stream.bybit.com/v5/public/{category}",
        frames("liquidations_stream", Liquidation, frame, attrgetter("data"), key=key, time="time"),
        subscribe=lambda symbols, number: Subscription(
            {"op": "subscribe", "req_id": str(number), "args": [f"allLiquidation.{symbol}" for symbol in symbols]}, str(number)
        ),
        hear=_hear,
        by_instrument=True,
        per_request=200,
        delay=0.6,  # each half second
        ping={"op": "ping"},
        silence=3600,
    )


SOURCE = Source(
    name="bybit_linear",
    venue="bybit",
    base_url=BASE_URL,
    limits=LIMITS,
    error=error,
    parse_instruments=lambda page: instruments(page, "LinearPerpetual", "USDT", "USDC"),
    endpoints=endpoints("linear"),
    streams=(liquidations("linear"),),
    collected=(order_books("linear"),),
)
