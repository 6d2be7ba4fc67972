"""Bybit v5, category linear: perpetuals settled in USDT (or USDC).

Facts: `shared/venues/bybit.md`. Errors come with HTTP 200 and a `retCode`; pages are newest first; a lone start of a
window is refused, so both ends are always sent. `openInterest` counts both sides, `singleOpenInterest` one.
Category inverse has the same endpoints on the same host, made by the functions here.
Alone: `perps fetch --venues bybit --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec

from pipelines.paging import hourly, once, windowed
from pipelines.records import MaybeNumber, Ms, Number, Record
from pipelines.shapes import Bar, PriceBar, decode_or_none, enveloped
from pipelines.source import Endpoint, Instrument, Limit, Request, Source, VenueProblem
from pipelines.symbols import base_asset
from pipelines.windows import HOUR

BASE_URL = "https://api.bybit.com"
LIMITS = {"requests": Limit(600, 5)}
WEIGHTS = {"requests": 1}


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


class Envelope(msgspec.Struct, rename="camel"):
    ret_code: int
    ret_msg: str = ""


def _paged(record: type[Record]) -> dict[str, Any]:
    """A body `{"result": {"list": [...], "nextPageCursor": ...}}`."""
    return enveloped("result.list", list[record], nextPageCursor=(str | None, None))  # type: ignore[valid-type]


def error(status: int, body: bytes) -> VenueProblem | None:
    """`retCode` other than 0 in HTTP 200; a 403 that is a page is the region block, one that says «too frequent» the limit."""
    if status == 403:
        return VenueProblem("limited" if b"frequent" in body else "blocked", "HTTP 403")
    said = decode_or_none(body, Envelope)
    if said is None or said.ret_code == 0:
        return None
    kind = {10006: "limited", 10018: "limited", 10000: "transient", 10016: "transient"}.get(said.ret_code, "rejected")
    return VenueProblem(kind, f"retCode {said.ret_code} {said.ret_msg}")  # type: ignore[arg-type]


def instruments(page: Any, contract_type: str, quote: str) -> list[Instrument]:
    return [
        Instrument(s.symbol, base_asset(s.base_coin))
        for s in page.result.list
        if s.contract_type == contract_type and s.quote_coin == quote
    ]


def _next_cursor(request: Request, page: Any, rows: Sequence[Any]) -> Request | None:
    cursor = page.result.nextPageCursor
    if not cursor or not rows:
        return None
    return replace(request, params={**request.params, "cursor": cursor})


def datasets(category: str) -> tuple[Endpoint, ...]:
    """The endpoints of a category: all categories have the same, with units of their own."""

    def asked(instrument: Instrument) -> Mapping[str, str]:
        return {"category": category, "symbol": instrument.symbol}

    def bars(name: str, path: str, record: type[Record]) -> Endpoint:
        return Endpoint(
            name,
            record,
            key=("symbol", "open_time"),
            time="open_time",
            plan=hourly(
                1000,
                windowed(f"/v5/market/{path}", 1000, WEIGHTS, instrument_params=asked, bounds=("start", "end"), interval="60"),
            ),
            **_paged(record),
            context=("symbol",),
            bar=HOUR,
        )

    return (
        Endpoint(
            "instruments",
            Symbol,
            key=("symbol",),
            plan=once(Request("/v5/market/instruments-info", {"category": category, "limit": 1000}, weights=WEIGHTS)),
            **_paged(Symbol),
            next_page=_next_cursor,
            bulk=True,
            ignored_fields=frozenset(
                "symbolId priceScale leverageFilter priceFilter lotSizeFilter unifiedMarginTrade copyTrading "
                "upperFundingRate lowerFundingRate isPreListing preListingInfo riskParameters displayName "
                "deliveryFeeRate forbidUplWithdrawal skipCallAuction".split()
            ),
        ),
        Endpoint(
            "tickers",
            Ticker,
            key=("symbol",),
            plan=once(Request("/v5/market/tickers", {"category": category}, weights=WEIGHTS)),
            **_paged(Ticker),
            bulk=True,
            ignored_fields=frozenset(
                "lastPrice prevPrice24h price24hPcnt highPrice24h lowPrice24h prevPrice1h openInterestValue "
                "singleOpenInterestValue turnover24h volume24h predictedDeliveryPrice basisRate deliveryFeeRate "
                "deliveryTime ask1Size bid1Price ask1Price bid1Size basis preOpenPrice preQty curPreListingPhase "
                "fundingCap basisRateYear".split()
            ),
        ),
        Endpoint(
            "open_interest",
            OpenInterest,
            key=("symbol", "timestamp"),
            time="timestamp",
            plan=hourly(200, windowed("/v5/market/open-interest", 200, WEIGHTS, instrument_params=asked, intervalTime="1h")),
            **_paged(OpenInterest),
            context=("symbol",),
        ),
        Endpoint(
            "funding_rates",
            FundingRate,
            key=("symbol", "funding_rate_timestamp"),
            time="funding_rate_timestamp",
            plan=hourly(200, windowed("/v5/market/funding/history", 200, WEIGHTS, instrument_params=asked)),
            **_paged(FundingRate),
        ),
        bars("candles", "kline", Kline),
        bars("mark_candles", "mark-price-kline", PriceBar),
        bars("index_candles", "index-price-kline", PriceBar),
    )


SOURCE = Source(
    name="bybit_linear",
    venue="bybit",
    base_url=BASE_URL,
    limits=LIMITS,
    error=error,
    parse_instruments=partial(instruments, contract_type="LinearPerpetual", quote="USDT"),
    endpoints=datasets("linear"),
)
