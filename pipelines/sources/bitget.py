"""Bitget: perpetuals settled in USDT, by the v2 API.

Facts: `shared/venues/bitget.md`. Numbers are text, times in milliseconds, sizes in coins throughout: `sizeMultiplier` is a step.
An answer is `{"code": "00000", …}`, an error any other code, mostly in HTTP 400. Settled funding takes no window: its pages are
counted from the newest row. Bars are cut from the end of the window, so none asks for more of them than a page holds. Of open
interest there is no history. Liquidations are the v3 API's: three days, pages by cursor from the newest, the side of the
position, and an amount in USDT by the arithmetic of a sample (U).
Alone: `perps fetch --venues bitget --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from pipelines.paging import from_newest, hourly, once, windowed
from pipelines.records import MaybeMs, MaybeNumber, Ms, Number, Record
from pipelines.shapes import Bar, PriceBar, decode_or_none, enveloped
from pipelines.source import Endpoint, Instrument, Limit, Request, Source, VenueProblem
from pipelines.symbols import base_asset
from pipelines.windows import HOUR, Window

ROOT = "/api/v2/mix/market/"
PRODUCT = {"productType": "USDT-FUTURES"}
#: The most rows of a page.
RATES, BARS, EVENTS = 100, 200, 100
LIQUIDATIONS = "/api/v3/market/liquidations"


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
    volume: Number
    quote_volume: Number


class Liquidation(Record):
    """`side` is the position's; `amount` is its worth in USDT."""

    symbol: str
    side: str
    price: Number
    amount: Number
    ts: Ms


class ErrorBody(msgspec.Struct):
    code: str
    msg: str = ""


def error(status: int, body: bytes) -> VenueProblem | None:
    """A `code` other than 00000, whatever the status."""
    said = decode_or_none(body, ErrorBody)
    if said is None or said.code == "00000":
        return None
    message = f"{said.code} {said.msg}".rstrip()
    if status == 429 or said.code in ("429", "30007"):
        return VenueProblem("limited", message)
    return VenueProblem("transient" if status >= 500 or said.code in ("40015", "40725", "45001") else "rejected", message)


def instruments(page: object) -> list[Instrument]:
    """Perpetuals quoted in USDT; dated futures stand in the same list."""
    return [
        Instrument(c.symbol, base_asset(c.base_coin))
        for c in page.data  # type: ignore[attr-defined]
        if c.symbol_type == "perpetual" and c.quote_coin == "USDT"
    ]


def _weights(endpoint: str) -> dict[str, int]:
    return {"all": 1, endpoint: 1}


def _now(name: str, endpoint: str, record: type[Record], known: str) -> Endpoint:
    """All instruments at once, as they are."""
    return Endpoint(
        name,
        record,
        key=("symbol",),
        plan=once(Request(ROOT + endpoint, PRODUCT, weights=_weights(endpoint))),
        **enveloped("data", list[record]),  # type: ignore[valid-type]
        bulk=True,
        ignored_fields=frozenset(known.split()),
    )


def _funding(instrument: Instrument, window: Window) -> Iterable[Request]:
    params: dict[str, str | int] = {"symbol": instrument.symbol, **PRODUCT, "pageSize": RATES, "pageNo": 1}
    weights = _weights("history-fund-rate")
    yield Request(ROOT + "history-fund-rate", params, window=window, clip_start=True, clip_end=True, weights=weights)


def _liquidations(instrument: Instrument, window: Window) -> Iterable[Request]:
    params: dict[str, str | int] = {"category": "USDT-FUTURES", "symbol": instrument.symbol, "limit": EVENTS}
    context, weights = {"symbol": instrument.symbol}, _weights("liquidations")
    yield Request(LIQUIDATIONS, params, None, context, window, clip_start=True, clip_end=True, weights=weights)


def _older(request: Request, page: Any, rows: Sequence[Liquidation]) -> Request | None:
    """The page before, until one reaches back before the window."""
    assert request.window
    if not rows or not page.data.cursor or min(row.ts for row in rows) < request.window.start:
        return None
    return replace(request, params={**request.params, "cursor": page.data.cursor})


def _candles(name: str, endpoint: str, record: type[Record]) -> Endpoint:
    """Bars that are over."""
    return Endpoint(
        name,
        record,
        key=("symbol", "open_time"),
        time="open_time",
        plan=hourly(BARS, windowed(ROOT + endpoint, BARS, _weights(endpoint), granularity="1H", productType="USDT-FUTURES")),
        **enveloped("data", list[record]),  # type: ignore[valid-type]
        context=("symbol",),
        bar=HOUR,
    )


SOURCE = Source(
    name="bitget",
    venue="bitget",
    base_url="https://api.bitget.com",
    limits={
        "all": Limit(6000, 60),
        "liquidations": Limit(5, 1),
        **{
            endpoint: Limit(20, 1)
            for endpoint in (
                "contracts",
                "tickers",
                "current-fund-rate",
                "history-fund-rate",
                "history-candles",
                "history-mark-candles",
                "history-index-candles",
            )
        },
    },
    error=error,
    parse_instruments=instruments,
    endpoints=(
        _now(
            "instruments",
            "contracts",
            Contract,
            "buyLimitPriceRatio sellLimitPriceRatio feeRateUpRatio makerFeeRate takerFeeRate openCostUpRatio supportMarginCoins "
            "minTradeNum priceEndStep volumePlace pricePlace sizeMultiplier minTradeUSDT maxSymbolOrderNum maxProductOrderNum "
            "maxPositionNum limitOpenTime deliveryTime deliveryStartTime deliveryPeriod minLever maxLever posLimit maintainTime "
            "openTime maxMarketOrderQty maxOrderQty",
        ),
        _now(
            "tickers",
            "tickers",
            Ticker,
            "lastPr askPr bidPr bidSz askSz high24h low24h ts change24h baseVolume quoteVolume usdtVolume openUtc changeUtc24h "
            "fundingRate deliveryStartTime deliveryTime deliveryStatus open24h",
        ),
        _now("running_rates", "current-fund-rate", RunningRate, "minFundingRate maxFundingRate"),
        Endpoint(
            "funding_rates",
            FundingRate,
            key=("symbol", "funding_time"),
            time="funding_time",
            plan=_funding,
            **enveloped("data", list[FundingRate]),
            next_page=from_newest("pageNo", "pageSize", "funding_time"),
        ),
        Endpoint(
            "liquidations",
            Liquidation,
            key=("symbol", "ts", "side", "price", "amount"),
            time="ts",
            plan=_liquidations,
            **enveloped("data.list", list[Liquidation], cursor=(str | None, None)),
            next_page=_older,
            history_days=3,
            is_event=True,
        ),
        _candles("candles", "history-candles", Candle),
        _candles("mark_candles", "history-mark-candles", PriceBar),
        _candles("index_candles", "history-index-candles", PriceBar),
    ),
)
