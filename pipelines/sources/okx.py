"""OKX v5, `https://www.okx.com`: perpetual swaps, linear in USDT or USDC and inverse in USD (`BTC-USDT-SWAP`, `BTC-USD-SWAP`).

Where OKX has a host for your region (`us.`, `eea.`, `my.okx.com`), name it: `PERPLAKE_HOSTS=okx=https://us.okx.com`.
Facts: the venue page of OKX. An error is a text `code` other than "0", with any status. Numbers and times (ms) are text, "" is
absent. Pages are newest first; `after` means older than, `before` newer than, both exclusive, and `before` alone gives the latest
rows: so both are always sent. The history of open interest names them `end` and `begin`. In the history of funding `fundingRate`
is the forecast, `realizedRate` the charged rate. An index is named by the pair without `-SWAP`. The stream of liquidations has
the rows of the request for them, of all swaps; its first frame may repeat recent ones.
Alone: `perps fetch --venues okx --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from operator import attrgetter
from typing import Any

import msgspec

from pipelines.endpoints import series, snapshot
from pipelines.error_bodies import error_reader
from pipelines.order_books import Level, book, order_book
from pipelines.paging import hourly, present
from pipelines.records import MaybeMs, MaybeNumber, Ms, Number, Record
from pipelines.shapes import Bar, PriceBar
from pipelines.source import Endpoint, Instrument, Limit, NextPage, Request, Source, Stream, Subscription
from pipelines.streams import by_argument, frames
from pipelines.symbols import base_asset
from pipelines.windows import HOUR, Window

QUOTES = ("USDT", "USDC", "USD")
#: The most liquidations of a page.
EVENTS = 100
#: The most levels of a side of the order book.
DEPTH = 5000


def camel(name: str) -> str:
    """`ct_val_ccy` is `ctValCcy`; a symbol is an `instId`."""
    first, *rest = name.split("_")
    return "instId" if name == "symbol" else first + "".join(map(str.title, rest))


class Swap(Record, rename=camel):
    """A swap before its listing (`preopen`) has a name and nothing else."""

    symbol: str
    state: str
    inst_type: str
    inst_family: str = ""
    uly: str = ""
    settle_ccy: str = ""
    ct_type: str = ""
    ct_val: MaybeNumber = None
    ct_mult: MaybeNumber = None
    ct_val_ccy: str = ""
    rule_type: str = ""
    inst_category: str = ""
    list_time: MaybeMs = None
    exp_time: MaybeMs = None

    @property
    def pair(self) -> list[str]:
        """Base and quote: `baseCcy` and `quoteCcy` are empty for derivatives."""
        return (self.inst_family or self.uly).split("-")


class RunningRate(Record, rename=camel):
    """The rate to be charged at `funding_time`, the coming settlement. The list of all has dated XPERP futures too."""

    symbol: str
    inst_type: str
    funding_rate: MaybeNumber
    funding_time: Ms
    next_funding_time: MaybeMs = None


class FundingRate(Record, rename=camel):
    symbol: str
    funding_time: Ms
    realized_rate: Number
    funding_rate: MaybeNumber = None


class MarkPrice(Record, rename=camel):
    symbol: str
    mark_px: MaybeNumber
    ts: Ms


class OpenInterestNow(Record, rename=camel):
    symbol: str
    oi: Number
    oi_ccy: MaybeNumber
    ts: Ms
    oi_usd: MaybeNumber = None


class OpenInterest(Record, array_like=True):
    """Contracts, coins, USD; one side."""

    ts: Ms
    oi: Number
    oi_ccy: Number
    oi_usd: MaybeNumber


class Candle(Bar, array_like=True):
    """Contracts, coins, quote currency."""

    vol: Number
    vol_ccy: MaybeNumber
    vol_ccy_quote: MaybeNumber


class Detail(msgspec.Struct, rename=camel):
    side: str
    bk_px: Number
    sz: Number
    ts: Ms
    pos_side: str = ""


class Family(msgspec.Struct, rename=camel):
    """Liquidations of one instrument of a family, dated ones among them."""

    symbol: str
    details: list[Detail]


class Families(msgspec.Struct):
    """The body of a page, a frame of the stream."""

    data: list[Family]


class Liquidation(Record):
    """`side` is the order's (sell: a long), `sz` contracts, `bk_px` the price of bankruptcy and not of a fill."""

    symbol: str
    ts: Ms
    side: str
    bk_px: Number
    sz: Number
    pos_side: str


class StreamedLiquidation(Liquidation):
    nth: int = 0


#: What makes an event one, of a page and of the stream.
EVENT = ("symbol", "ts", "side", "sz", "bk_px")

error = error_reader(
    "code",
    "msg",
    success=("0",),
    limited=("50011",),
    # Maintenance, a timeout, offline, busy, a system error.
    transient=("50001", "50004", "50005", "50013", "50026"),
)


def instruments(page: Any) -> list[Instrument]:
    return [
        Instrument(s.symbol, base_asset(s.pair[0]), s.list_time or None, s.exp_time or None, s.state == "live")
        for s in page.data
        if s.inst_type == "SWAP" and s.ct_type in ("linear", "inverse") and s.pair[-1] in QUOTES
    ]


def _family(symbol: str) -> str:
    """The pair of a swap: `BTC-USDT` of `BTC-USDT-SWAP`."""
    return symbol.removesuffix("-SWAP")


def _older(bound: str, time: str, *, overlap: int = 0) -> NextPage:
    """After a page that may have been cut: the rows older than its oldest, of which `overlap` ms are requested again.

    The venue has changed how long its pages are, never below 100 rows. A shorter page is the last one, and so is a page whose
    oldest row lies nearer to the window's start than any two of its rows to each other.
    """

    def next_page(request: Request, page: Any, rows: Sequence[Any]) -> Request | None:
        if len(rows) < 100 or not request.window:
            return None
        times = sorted(map(attrgetter(time), rows))
        rest = request.window.before(times[0] + overlap)
        if rest.end - rest.start < min(b - a for a, b in pairwise(times)):
            return None
        return replace(request, params={**request.params, bound: rest.end}, window=rest)

    return next_page


def _snapshot(name: str, record: type[Record], path: str, ignored_fields: str, **params: str) -> Endpoint:
    request = Request(f"/api/v5/public/{path}", params, weights={name: 1})
    return snapshot(name, record, "symbol", request, rows_at="data", ignored_fields=ignored_fields)


def _history(
    name: str,
    record: type[Record],
    time: str,
    path: str,
    limit: int,
    params: dict[str, str],
    *,
    bounds: tuple[str, str] = ("before", "after"),
    by_family: bool = False,
    hours: int = 1,
    **more: Any,
) -> Endpoint:
    """Rows of one instrument, mostly one in `hours`, newest first between two exclusive `bounds`."""
    newer, older = bounds

    def request(instrument: Instrument, window: Window) -> Request:
        symbol = _family(instrument.symbol) if by_family else instrument.symbol
        return Request(
            f"/api/v5/{path}",
            {"instId": symbol, **params, newer: window.start - 1, older: window.end, "limit": limit},
            context={"symbol": instrument.symbol},
            window=window,
            weights={name: 1},
        )

    return series(name, record, time, hourly(limit * hours, request), rows_at="data", next_page=_older(older, time), **more)


def _candles(name: str, record: type[Record], path: str, limit: int, *, by_family: bool = False) -> Endpoint:
    return _history(name, record, "open_time", f"market/{path}", limit, {"bar": "1H"}, by_family=by_family, bar=HOUR)


def _liquidations(instrument: Instrument, window: Window) -> Iterable[Request]:
    """Those of the swap's family, newest first between two exclusive bounds."""
    filters = {"instType": "SWAP", "instFamily": _family(instrument.symbol), "state": "filled"}
    yield Request(
        "/api/v5/public/liquidation-orders",
        {**filters, "before": window.start - 1, "after": window.end, "limit": EVENTS},
        context={"symbol": instrument.symbol},  # the rows name it too; coverage counts windows by it
        window=window,
        weights={"liquidations": 1},
    )


def _events(page: Any) -> Sequence[Liquidation]:
    return [
        Liquidation(each.symbol, d.ts, d.side, d.bk_px, d.sz, d.pos_side)
        for each in page.data
        if each.symbol.endswith("-SWAP")
        for d in each.details
    ]


def _streamed(frame: Families) -> Sequence[StreamedLiquidation]:
    return [StreamedLiquidation(*msgspec.structs.astuple(event)) for event in _events(frame)]


class Levels(msgspec.Struct):
    bids: list[Level]
    asks: list[Level]
    ts: Ms


#: The full book, made once a second: `sz` to 5000 and 10 requests in 2 seconds, by the venue's page; ccxt 4.5.90 has both.
ORDER_BOOKS = order_book(
    present("/api/v5/market/books-full", {"order_book_depth": 1}, instrument_params=lambda i: {"instId": i.symbol}, sz=DEPTH),
    msgspec.defstruct("Body", [("data", list[Levels])]),
    lambda page: [book(each.ts, each.bids, each.asks, DEPTH) for each in page.data],
)

SOURCE = Source(
    name="okx",
    collected=(ORDER_BOOKS,),
    venue="okx",
    base_url="https://www.okx.com",
    # One for each endpoint. Where the venue counts by address and instrument, ours is by address alone, which is less.
    limits={
        "instruments": Limit(20, 2),
        "running_rates": Limit(10, 2),
        "mark_prices": Limit(10, 2),
        "open_interest_now": Limit(20, 2),
        "funding_rates": Limit(10, 2),
        "liquidations": Limit(40, 2),
        "open_interest": Limit(5, 2),  # not documented: the limit of the other statistics
        "candles": Limit(20, 2),
        "mark_candles": Limit(20, 2),
        "index_candles": Limit(10, 2),
        "order_book_depth": Limit(10, 2),
    },
    error=error,
    parse_instruments=instruments,
    endpoints=(
        _snapshot(
            "instruments",
            Swap,
            "instruments",
            "alias auctionEndTime baseCcy category contTdSwTime futureSettlement instIdCode lever lotSz maxIcebergSz maxLmtAmt "
            "maxLmtSz maxMktAmt maxMktSz maxPlatOILmt maxStopSz maxTriggerSz maxTwapSz minSz openType optType posLmtAmt "
            "posLmtPct preMktSwTime quoteCcy stk tickSz tradeQuoteCcyList groupId seriesId initPxLmtPct floatPxLmtPct "
            "maxPxLmtPct rpi rpiMinLevel rpiMinPxBand",
            instType="SWAP",
        ),
        _snapshot(
            "running_rates",
            RunningRate,
            "funding-rate",
            "formulaType impactValue interestRate maxFundingRate method minFundingRate nextFundingRate premium "
            "prevFundingTime settFundingRate settState ts",
            instId="ANY",
        ),
        _snapshot("mark_prices", MarkPrice, "mark-price", "instType", instType="SWAP"),
        _snapshot("open_interest_now", OpenInterestNow, "open-interest", "instType", instType="SWAP"),
        _history(
            "open_interest",
            OpenInterest,
            "ts",
            "rubik/stat/contracts/open-interest-history",
            100,
            {"period": "1H"},
            bounds=("begin", "end"),
            every=HOUR,
            history_days=60,
        ),
        _history(
            "funding_rates",
            FundingRate,
            "funding_time",
            "public/funding-rate-history",
            400,
            {},
            hours=8,
            history_days=90,
            ignored_fields="instType method formulaType",
        ),
        series(
            "liquidations",
            Liquidation,
            "ts",
            _liquidations,
            key=EVENT,
            page=Families,
            rows=_events,
            next_page=_older("after", "ts", overlap=1),  # several events may share a millisecond
            history_days=7,
            numbered=True,
            proven_days=1,  # seven by the venue's page, one by newer clients
            is_event=True,
            wire_type=Detail,
            ignored_fields="bkLoss ccy",
        ),
        _candles("candles", Candle, "history-candles", 300),
        _candles("mark_candles", PriceBar, "history-mark-price-candles", 100),
        _candles("index_candles", PriceBar, "history-index-candles", 100, by_family=True),
    ),
    streams=(
        Stream(
            "liquidations",
            "wss://ws.okx.com/ws/v5/public",
            frames("liquidations_stream", StreamedLiquidation, Families, _streamed, key=(*EVENT, "nth"), time="ts"),
            subscribe=lambda symbols, number: Subscription(
                {"op": "subscribe", "args": [{"channel": "liquidation-orders", "instType": "SWAP"}]}, "liquidation-orders"
            ),
            hear=by_argument("channel"),
            ping="ping",
            silence=1800,
            silent="OKX has moved its hosts and ports before: a newer version of perplake may know the new address",
        ),
    ),
)
