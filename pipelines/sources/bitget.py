"""Bitget: perpetuals settled in USDT, by `https://api.bitget.com`, version 2 of its API; liquidations by version 3.

Facts: the venue page of Bitget. Numbers are text, times milliseconds, sizes coins throughout: `sizeMultiplier` is a step.
A body is `{"code": "00000", …}`; any other code is an error, mostly with HTTP 400. The history of funding takes no window: its
pages are numbered from the newest row. Bars are counted back from the end of a window; clients and pages of the documentation
differ in whether the bar that opens at the end is among them, and in whether a start counts. So a request has no start, and asks
for one bar more than its window has. There is no history of open interest. Liquidations go back three days, in pages by cursor
from the newest, and come by stream too, once a second, with stamps some ten seconds old; `side` is the position's. The unit of
their amount is not known: coins for two clients, USDT by a sample.
Alone: `perps fetch --venues bitget --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any

import msgspec

from pipelines.endpoints import hourly_bars, series, snapshot
from pipelines.error_bodies import error_reader
from pipelines.order_books import UNTOLD, order_book, sides
from pipelines.paging import from_newest, hourly, latest, present
from pipelines.records import MaybeMs, MaybeNumber, Ms, Number, Record
from pipelines.shapes import Bar, PriceBar
from pipelines.source import Endpoint, Instrument, Limit, Request, Source, Stream, Subscription
from pipelines.streams import by_argument, frames
from pipelines.symbols import base_asset
from pipelines.windows import HOUR, Window

ROOT = "/api/v2/mix/market/"
LIQUIDATIONS = "/api/v3/market/liquidations"
PRODUCT = {"productType": "USDT-FUTURES"}
#: The most rows of a page.
RATES, EVENTS = 100, 100
#: The bars of a request: eight days. A page has 200 at most, one of which may be that at the end of the window.
BARS = 192
#: Endpoints of version 2; each has a limit of its own.
ENDPOINTS = (
    "contracts",
    "tickers",
    "current-fund-rate",
    "history-fund-rate",
    "history-candles",
    "history-mark-candles",
    "history-index-candles",
    "merge-depth",
)


class Contract(Record, rename="camel"):
    symbol: str
    base_coin: str
    quote_coin: str
    symbol_type: str
    symbol_status: str
    fund_interval: MaybeNumber = None
    launch_time: MaybeMs = None
    off_time: str | None = None
    is_rwa: str | None = None


class Ticker(Record, rename="camel"):
    symbol: str
    holding_amount: MaybeNumber = None
    mark_price: MaybeNumber = None
    index_price: MaybeNumber = None


class RunningRate(Record, rename="camel"):
    symbol: str
    funding_rate: Number
    funding_rate_interval: MaybeNumber = None
    next_update: MaybeMs = None


class FundingRate(Record, rename="camel"):
    symbol: str
    funding_rate: Number
    funding_time: Ms


class Candle(Bar, array_like=True):
    """`volume` in coins, `quote_volume` in USDT."""

    volume: Number
    quote_volume: Number


class Liquidation(Record):
    """`side` is the position's (buy: a long), `amount` its size in coins or its value in USDT (unverified)."""

    symbol: str
    side: str
    price: Number
    amount: Number
    ts: Ms


class StreamedLiquidation(Liquidation):
    nth: int = 0


#: What makes an event one, of a page and of the stream.
EVENT = ("symbol", "ts", "side", "price", "amount")


error = error_reader("code", "msg", success=("00000",), limited=("429", "30007"), transient=("40015", "40725", "45001"))


def instruments(page: Any) -> list[Instrument]:
    """Perpetuals quoted in USDT; the list has dated futures too."""
    return [
        Instrument(c.symbol, base_asset(c.base_coin), trading=c.symbol_status not in ("listed", "off"))
        for c in page.data
        if c.symbol_type == "perpetual" and c.quote_coin == "USDT"
    ]


def _weights(endpoint: str) -> dict[str, int]:
    return {"all": 1, endpoint: 1}


def _snapshot(name: str, endpoint: str, record: type[Record], ignored_fields: str) -> Endpoint:
    request = Request(ROOT + endpoint, PRODUCT, weights=_weights(endpoint))
    return snapshot(name, record, "symbol", request, rows_at="data", ignored_fields=ignored_fields)


def _older(request: Request, page: Any, rows: Sequence[Liquidation]) -> Request | None:
    """The page before, until one reaches back before the window."""
    assert request.window
    if not rows or not page.data.cursor or min(row.ts for row in rows) < request.window.start:
        return None
    return replace(request, params={**request.params, "cursor": page.data.cursor})


def _bars(name: str, endpoint: str, record: type[Record]) -> Endpoint:
    def request(instrument: Instrument, window: Window) -> Request:
        context, end = {"symbol": instrument.symbol}, -(-window.end // HOUR)
        span: dict[str, str | int] = {"granularity": "1H", "endTime": end * HOUR, "limit": end - window.start // HOUR + 1}
        return Request(ROOT + endpoint, {**context, **PRODUCT, **span}, None, context, window, True, True, _weights(endpoint))

    return hourly_bars(name, record, hourly(BARS, request), rows_at="data")


#: All levels that the venue gives, how many these are it doesn't say; not merged (`scale0`, the default). By the venue's page
#: "Get Merge Depth"; ccxt 4.5.90 has the same path and parameters.
ORDER_BOOKS = order_book(
    present(ROOT + "merge-depth", _weights("merge-depth"), limit="max", productType="USDT-FUTURES"),
    **sides(UNTOLD, "data", time="data.ts"),
)

SOURCE = Source(
    name="bitget",
    collected=(ORDER_BOOKS,),
    venue="bitget",
    base_url="https://api.bitget.com",
    limits={"all": Limit(6000, 60), "liquidations": Limit(5, 1), **dict.fromkeys(ENDPOINTS, Limit(20, 1))},
    error=error,
    parse_instruments=instruments,
    endpoints=(
        _snapshot(
            "instruments",
            "contracts",
            Contract,
            "buyLimitPriceRatio sellLimitPriceRatio feeRateUpRatio makerFeeRate takerFeeRate openCostUpRatio supportMarginCoins "
            "minTradeNum priceEndStep volumePlace pricePlace sizeMultiplier minTradeUSDT maxSymbolOrderNum maxProductOrderNum "
            "maxPositionNum limitOpenTime deliveryTime deliveryStartTime deliveryPeriod minLever maxLever posLimit maintainTime "
            "openTime maxMarketOrderQty maxOrderQty",
        ),
        _snapshot(
            "tickers",
            "tickers",
            Ticker,
            "lastPr askPr bidPr bidSz askSz high24h low24h ts change24h baseVolume quoteVolume usdtVolume openUtc changeUtc24h "
            "fundingRate deliveryStartTime deliveryTime deliveryStatus open24h",
        ),
        _snapshot("running_rates", "current-fund-rate", RunningRate, "minFundingRate maxFundingRate"),
        series(
            "funding_rates",
            FundingRate,
            "funding_time",
            latest(
                ROOT + "history-fund-rate", _weights("history-fund-rate"), productType="USDT-FUTURES", pageSize=RATES, pageNo=1
            ),
            next_page=from_newest("pageNo", "funding_time"),
            rows_at="data",
        ),
        series(
            "liquidations",
            Liquidation,
            "ts",
            latest(LIQUIDATIONS, _weights("liquidations"), category="USDT-FUTURES", limit=EVENTS),
            key=EVENT,
            next_page=_older,
            history_days=3,
            numbered=True,
            proven_days=3,
            is_event=True,
            rows_at="data.list",
            beside={"cursor": (str | None, None)},
        ),
        _bars("candles", "history-candles", Candle),
        _bars("mark_candles", "history-mark-candles", PriceBar),
        _bars("index_candles", "history-index-candles", PriceBar),
    ),
    streams=(
        Stream(
            "liquidations",
            "wss://ws.bitget.com/v3/ws/public",
            frames(
                "liquidations_stream",
                StreamedLiquidation,
                msgspec.defstruct("Frame", [("data", list[StreamedLiquidation])]),
                attrgetter("data"),
                key=(*EVENT, "nth"),
                time="ts",
            ),
            subscribe=lambda symbols, number: Subscription(
                {"op": "subscribe", "args": [{"instType": "usdt-futures", "topic": "liquidation"}]}, "liquidation"
            ),
            hear=by_argument("topic"),
            ping="ping",
            delay=20,
            silence=1800,
            silent="Bitget has the topic in version 3 of its streams alone: a newer version of perplake may know its new address",
        ),
    ),
)
