"""OKX v5: perpetual swaps, linear in USDT and inverse in USD (`BTC-USDT-SWAP`, `BTC-USD-SWAP`).

Facts: `shared/venues/okx.md`. Errors come as a text `code` other than "0", with any status. Pages are newest first; `after` means
older than, `before` newer than, both exclusive, and `before` alone gives the latest rows: so both are always sent. Open-interest
history names them `end` and `begin`. In the funding history `fundingRate` is the forecast, `realizedRate` what was charged.
Alone: `perps fetch --venues okx --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any

import msgspec

from pipelines.paging import hourly, once
from pipelines.records import MaybeMs, MaybeNumber, Ms, Number, Record
from pipelines.shapes import Bar, PriceBar, decode_or_none, enveloped
from pipelines.source import Endpoint, Instrument, Limit, NextPage, Request, Source, VenueProblem
from pipelines.symbols import base_asset
from pipelines.windows import HOUR, Window

QUOTES = ("USDT", "USD")
#: The most liquidations of a page.
EVENTS = 100


def camel(name: str) -> str:
    """`ct_val_ccy` is `ctValCcy`; a symbol is an `instId`."""
    first, *rest = name.split("_")
    return "instId" if name == "symbol" else first + "".join(map(str.title, rest))


class Swap(Record, rename=camel):
    """What waits for its listing (`preopen`) has a name and nothing else."""

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
    """The rate that is charged at `funding_time`, which is to come. Asked for all, it tells of dated XPERP futures too."""

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
    mark_px: Number
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


class Liquidation(Record):
    """`side` is the order's, `sz` contracts, `bk_px` the price of bankruptcy and not of a fill."""

    symbol: str
    ts: Ms
    side: str
    bk_px: Number
    sz: Number
    pos_side: str


class ErrorBody(msgspec.Struct):
    code: str
    msg: str = ""


def error(status: int, body: bytes) -> VenueProblem | None:
    """A `code` other than "0"; what is no such body is left to its status."""
    said = decode_or_none(body, ErrorBody)
    if said is None or said.code == "0":
        return None
    # 50011: too many requests. Maintenance, a timeout, offline, busy, a system error.
    kinds = {"50011": "limited"} | dict.fromkeys(("50001", "50004", "50005", "50013", "50026"), "transient")
    return VenueProblem(kinds.get(said.code, "rejected"), f"code {said.code} {said.msg}")  # type: ignore[arg-type]


def instruments(page: Any) -> list[Instrument]:
    return [
        Instrument(s.symbol, base_asset(s.pair[0]))
        for s in page.data
        if s.inst_type == "SWAP" and s.ct_type in ("linear", "inverse") and s.pair[-1] in QUOTES
    ]


def _older(bound: str, time: str) -> NextPage:
    """What a page that was cut leaves: all that is older than its oldest row.

    The venue has changed how long its pages are, never below 100 rows: a page of as many may have been cut.
    """

    def next_page(request: Request, page: Any, rows: Sequence[Any]) -> Request | None:
        if len(rows) < 100 or not request.window:
            return None
        rest = request.window.before(min(map(attrgetter(time), rows)))
        return replace(request, params={**request.params, bound: rest.end}, window=rest) if rest else None

    return next_page


def _bulk(name: str, record: type[Record], path: str, known: str = "", **params: str) -> Endpoint:
    return Endpoint(
        name,
        record,
        key=("symbol",),
        plan=once(Request(f"/api/v5/public/{path}", params, weights={name: 1})),
        **enveloped("data", list[record]),  # type: ignore[valid-type]
        bulk=True,
        ignored_fields=frozenset(known.split()),
    )


def _history(
    name: str,
    record: type[Record],
    path: str,
    limit: int,
    time: str,
    *,
    asked: Callable[[str], dict[str, str]] = lambda symbol: {"instId": symbol},
    newer: str = "before",
    older: str = "after",
    **others: Any,
) -> Endpoint:
    """Rows of one instrument, at most one an hour, newest first between two exclusive bounds."""
    context = () if "symbol" in record.__struct_fields__ else ("symbol",)

    def request(instrument: Instrument, window: Window) -> Request:
        bounds = {newer: window.start - 1, older: window.end, "limit": limit}
        return Request(
            f"/api/v5/{path}",
            {**asked(instrument.symbol), **bounds},
            context=dict.fromkeys(context, instrument.symbol),
            window=window,
            weights={name: 1},
        )

    return Endpoint(
        name,
        record,
        key=("symbol", time),
        time=time,
        plan=hourly(limit, request),
        **enveloped("data", list[record]),  # type: ignore[valid-type]
        next_page=_older(older, time),
        context=context,
        **others,
    )


def _liquidations(instrument: Instrument, window: Window) -> Iterable[Request]:
    """Of a family, the swap's alone; newest first between two exclusive bounds."""
    asked = {"instType": "SWAP", "instFamily": family(instrument.symbol), "state": "filled"}
    params: dict[str, str | int] = {**asked, "before": window.start - 1, "after": window.end, "limit": EVENTS}
    context = {"symbol": instrument.symbol}
    yield Request("/api/v5/public/liquidation-orders", params, context=context, window=window, weights={"liquidations": 1})


def _events(page: Any) -> Sequence[Liquidation]:
    return [
        Liquidation(each.symbol, d.ts, d.side, d.bk_px, d.sz, d.pos_side)
        for each in page.data
        if each.symbol.endswith("-SWAP")
        for d in each.details
    ]


def _earlier(request: Request, page: Any, rows: Sequence[Liquidation]) -> Request | None:
    """What is older than a full page, its last millisecond once more."""
    if len(rows) < EVENTS or not request.window:
        return None
    rest = request.window.before(min(row.ts for row in rows) + 1)
    return replace(request, params={**request.params, "after": rest.end}, window=rest)


def _candles(name: str, record: type[Record], path: str, limit: int, whose: Callable[[str], str] = str) -> Endpoint:
    def asked(symbol: str) -> dict[str, str]:
        return {"instId": whose(symbol), "bar": "1H"}

    return _history(name, record, f"market/{path}", limit, "open_time", asked=asked, bar=HOUR)


def family(symbol: str) -> str:
    """`BTC-USDT-SWAP` is of `BTC-USDT`, which is what an index goes by."""
    return symbol.removesuffix("-SWAP")


SOURCE = Source(
    name="okx",
    venue="okx",
    base_url="https://www.okx.com",
    # Each endpoint has its own. Those that the venue counts by instrument besides are taken by address, which is less.
    limits={
        "instruments": Limit(20, 2),
        "running_rates": Limit(10, 2),
        "mark_prices": Limit(10, 2),
        "open_interest_now": Limit(20, 2),
        "funding_rates": Limit(10, 2),
        "liquidations": Limit(40, 2),
        "open_interest": Limit(5, 2),  # not documented: that of its neighbours among the statistics
        "candles": Limit(20, 2),
        "mark_candles": Limit(20, 2),
        "index_candles": Limit(10, 2),
    },
    error=error,
    parse_instruments=instruments,
    endpoints=(
        _bulk(
            "instruments",
            Swap,
            "instruments",
            "alias auctionEndTime baseCcy category contTdSwTime futureSettlement instIdCode lever lotSz maxIcebergSz maxLmtAmt "
            "maxLmtSz maxMktAmt maxMktSz maxPlatOILmt maxStopSz maxTriggerSz maxTwapSz minSz openType optType posLmtAmt "
            "posLmtPct preMktSwTime quoteCcy stk tickSz tradeQuoteCcyList groupId seriesId initPxLmtPct floatPxLmtPct "
            "maxPxLmtPct rpi rpiMinLevel rpiMinPxBand",
            instType="SWAP",
        ),
        _bulk(
            "running_rates",
            RunningRate,
            "funding-rate",
            "formulaType impactValue interestRate maxFundingRate method minFundingRate nextFundingRate premium "
            "prevFundingTime settFundingRate settState ts",
            instId="ANY",
        ),
        _bulk("mark_prices", MarkPrice, "mark-price", "instType", instType="SWAP"),
        _bulk("open_interest_now", OpenInterestNow, "open-interest", "instType", instType="SWAP"),
        _history(
            "open_interest",
            OpenInterest,
            "rubik/stat/contracts/open-interest-history",
            100,
            "ts",
            asked=lambda symbol: {"instId": symbol, "period": "1H"},
            newer="begin",
            older="end",
            history_days=60,
        ),
        _history(
            "funding_rates",
            FundingRate,
            "public/funding-rate-history",
            400,
            "funding_time",
            history_days=90,
            ignored_fields=frozenset({"instType", "method", "formulaType"}),
        ),
        Endpoint(
            "liquidations",
            Liquidation,
            key=("symbol", "ts", "side", "sz", "bk_px"),
            time="ts",
            plan=_liquidations,
            page=msgspec.defstruct("Body", [("data", list[Family])]),
            rows=_events,
            next_page=_earlier,
            history_days=7,
            is_event=True,
            wire_type=Detail,
            ignored_fields=frozenset({"bkLoss", "ccy"}),
        ),
        _candles("candles", Candle, "history-candles", 300),
        _candles("mark_candles", PriceBar, "history-mark-price-candles", 100),
        _candles("index_candles", PriceBar, "history-index-candles", 100, family),
    ),
)
