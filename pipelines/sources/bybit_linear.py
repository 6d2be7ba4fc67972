"""Bybit v5, category linear: perpetuals settled in USDT (or USDC).

Facts: `shared/venues/bybit.md`. Errors come with HTTP 200 and a `retCode`; pages are newest first; a lone start of a
window is refused, so both ends are always sent. `openInterest` counts both sides, `singleOpenInterest` one.
Alone: `perps fetch --venues bybit --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from pipelines.paging import hourly, once
from pipelines.records import MaybeNumber, Ms, Number, Record
from pipelines.shapes import Bar, PriceBar, enveloped
from pipelines.source import Dataset, Instrument, Limit, Request, Source, VenueSays
from pipelines.symbols import base_asset
from pipelines.windows import HOUR, Window

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


def error(status: int, body: bytes) -> VenueSays | None:
    """`retCode` other than 0 in HTTP 200; a 403 that is a page is the region block, one that says «too frequent» the limit."""
    if status == 403:
        return VenueSays("limited" if b"frequent" in body else "blocked", "HTTP 403")
    try:
        said = msgspec.json.decode(body, type=Envelope)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None
    if said.ret_code == 0:
        return None
    kind = {10006: "limited", 10018: "limited", 10000: "transient", 10016: "transient"}.get(said.ret_code, "rejected")
    return VenueSays(kind, f"retCode {said.ret_code} {said.ret_msg}")  # type: ignore[arg-type]


def instruments(page: Any) -> list[Instrument]:
    return [
        Instrument(s.symbol, base_asset(s.base_coin))
        for s in page.result.list
        if s.contract_type == "LinearPerpetual" and s.quote_coin == "USDT"
    ]


def _next_cursor(request: Request, page: Any, rows: Sequence[Any]) -> Request | None:
    cursor = page.result.nextPageCursor
    if not cursor or not rows:
        return None
    return replace(request, params={**request.params, "cursor": cursor})


def _in_window(path: str, limit: int, start: str, end: str, **params: str | int) -> Callable[[Instrument, Window], Request]:
    def request(instrument: Instrument, window: Window) -> Request:
        return Request(
            path,
            {
                "category": "linear",
                "symbol": instrument.symbol,
                **params,
                start: window.start,
                end: window.end - 1,
                "limit": limit,
            },
            context={"symbol": instrument.symbol},
            window=window,
            weights=WEIGHTS,
        )

    return request


def _candles(name: str, path: str, record: type[Record]) -> Dataset:
    return Dataset(
        name,
        record,
        key=("symbol", "open_time"),
        time="open_time",
        plan=hourly(1000, _in_window(path, 1000, "start", "end", interval="60")),
        **_paged(record),
        context=("symbol",),
        bar=HOUR,
    )


SOURCE = Source(
    name="bybit_linear",
    venue="bybit",
    base_url="https://api.bybit.com",
    limits={"requests": Limit(600, 5)},
    error=error,
    instruments=instruments,
    datasets=(
        Dataset(
            "instruments",
            Symbol,
            key=("symbol",),
            plan=once(Request("/v5/market/instruments-info", {"category": "linear", "limit": 1000}, weights=WEIGHTS)),
            **_paged(Symbol),
            more=_next_cursor,
            bulk=True,
            known=frozenset(
                "symbolId priceScale leverageFilter priceFilter lotSizeFilter unifiedMarginTrade copyTrading "
                "upperFundingRate lowerFundingRate isPreListing preListingInfo riskParameters displayName "
                "deliveryFeeRate forbidUplWithdrawal skipCallAuction".split()
            ),
        ),
        Dataset(
            "tickers",
            Ticker,
            key=("symbol",),
            plan=once(Request("/v5/market/tickers", {"category": "linear"}, weights=WEIGHTS)),
            **_paged(Ticker),
            bulk=True,
            known=frozenset(
                "lastPrice prevPrice24h price24hPcnt highPrice24h lowPrice24h prevPrice1h openInterestValue "
                "singleOpenInterestValue turnover24h volume24h predictedDeliveryPrice basisRate deliveryFeeRate "
                "deliveryTime ask1Size bid1Price ask1Price bid1Size basis preOpenPrice preQty curPreListingPhase "
                "fundingCap basisRateYear".split()
            ),
        ),
        Dataset(
            "open_interest",
            OpenInterest,
            key=("symbol", "timestamp"),
            time="timestamp",
            plan=hourly(200, _in_window("/v5/market/open-interest", 200, "startTime", "endTime", intervalTime="1h")),
            **_paged(OpenInterest),
            context=("symbol",),
        ),
        Dataset(
            "funding_rates",
            FundingRate,
            key=("symbol", "funding_rate_timestamp"),
            time="funding_rate_timestamp",
            plan=hourly(200, _in_window("/v5/market/funding/history", 200, "startTime", "endTime")),
            **_paged(FundingRate),
        ),
        _candles("candles", "/v5/market/kline", Kline),
        _candles("mark_candles", "/v5/market/mark-price-kline", PriceBar),
        _candles("index_candles", "/v5/market/index-price-kline", PriceBar),
    ),
)
