"""Binance USD-M futures (fapi): linear perpetuals settled in USDT or USDC.

Facts: `shared/venues/binance.md`. Decimal strings, milliseconds, ascending pages, both ends of a window inclusive.
Funding intervals are listed only where they differ from 8 hours, and only today's; open-interest history goes back 30 days.
Alone: `perps fetch --venues binance --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from pipelines.paging import hourly, once
from pipelines.records import MaybeNumber, Ms, Number, Record
from pipelines.shapes import Bar, PriceBar
from pipelines.source import Dataset, Instrument, Limit, Request, Source, VenueSays
from pipelines.symbols import base_asset
from pipelines.windows import HOUR, Window

PERPETUAL = ("PERPETUAL", "TRADIFI_PERPETUAL")


class Symbol(Record, rename="camel"):
    symbol: str
    status: str
    base_asset: str
    quote_asset: str
    # Answers of 2020 lack the next three: all that was listed then was perpetual.
    contract_type: str = "PERPETUAL"
    margin_asset: str | None = None
    pair: str | None = None
    underlying_type: str | None = None
    onboard_date: Ms | None = None
    delivery_date: int | None = None


class ExchangeInfo(msgspec.Struct):
    symbols: list[Symbol]


class FundingInfo(Record, rename="camel"):
    symbol: str
    funding_interval_hours: int
    adjusted_funding_rate_cap: MaybeNumber = None
    adjusted_funding_rate_floor: MaybeNumber = None


class FundingRate(Record, rename="camel"):
    symbol: str
    funding_time: Ms
    funding_rate: Number
    mark_price: MaybeNumber = None
    rate_type: str = "Regular"


class PremiumIndex(Record, rename="camel"):
    symbol: str
    time: Ms
    mark_price: MaybeNumber
    last_funding_rate: MaybeNumber
    next_funding_time: int
    index_price: MaybeNumber = None


class OpenInterestHist(Record, rename="camel"):
    symbol: str
    timestamp: Ms
    sum_open_interest: Number
    sum_open_interest_value: MaybeNumber = None


class OpenInterestNow(Record, rename="camel"):
    symbol: str
    open_interest: MaybeNumber
    time: Ms | None = None


class Kline(Bar, array_like=True):
    volume: Number
    close_time: Ms
    quote_volume: MaybeNumber
    trades: int | None


def error(status: int, body: bytes) -> VenueSays | None:
    """`{"code": -1121, "msg": ...}`; 451 is a region block, -1003 the weight limit, -1130 a start before the kept history."""
    if not body.startswith(b"{"):
        return None
    try:
        said = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        return None
    if "code" not in said or "msg" not in said or said["code"] == 200:
        return None
    message = f"{said['code']} {said['msg']}"
    if status == 451 or "restricted location" in str(said["msg"]):
        return VenueSays("blocked", message)
    if said["code"] in (-1003, -1015):
        return VenueSays("limited", message)
    return VenueSays("transient" if said["code"] in (-1000, -1001, -1007, -1008) else "rejected", message)


def instruments(page: ExchangeInfo) -> list[Instrument]:
    return [
        Instrument(s.symbol, base_asset(s.base_asset))
        for s in page.symbols
        if s.contract_type in PERPETUAL and s.quote_asset == "USDT"
    ]


def _klines(path: str, name: str = "symbol") -> Callable[[Instrument, Window], Request]:
    def request(instrument: Instrument, window: Window) -> Request:
        return Request(
            path,
            {
                name: instrument.symbol,
                "interval": "1h",
                "startTime": window.start,
                "endTime": window.end - 1,
                "limit": 1500,
            },
            context={"symbol": instrument.symbol},
            window=window,
            weights={"weight": 10},
        )

    return request


def _funding(instrument: Instrument, window: Window) -> Request:
    params: dict[str, str | int] = {
        "symbol": instrument.symbol,
        "startTime": window.start,
        "endTime": window.end - 1,
        "limit": 1000,
    }
    return Request("/fapi/v1/fundingRate", params, window=window, weights={"funding": 1})


def _open_interest_hist(instrument: Instrument, window: Window) -> Request:
    params: dict[str, str | int] = {
        "symbol": instrument.symbol,
        "period": "1h",
        "startTime": window.start,
        "endTime": window.end - 1,
        "limit": 500,
    }
    return Request("/futures/data/openInterestHist", params, window=window, weights={"data": 1})


SOURCE = Source(
    name="binance_usdm",
    venue="binance",
    base_url="https://fapi.binance.com",
    limits={"weight": Limit(2400, 60), "funding": Limit(500, 300), "data": Limit(1000, 300)},
    error=error,
    instruments=instruments,
    datasets=(
        Dataset(
            "instruments",
            Symbol,
            key=("symbol",),
            plan=once(Request("/fapi/v1/exchangeInfo", weights={"weight": 1})),
            page=ExchangeInfo,
            rows=lambda page: page.symbols,
            bulk=True,
            known=frozenset(
                "maintMarginPercent requiredMarginPercent pricePrecision quantityPrecision baseAssetPrecision "
                "quotePrecision underlyingSubType settlePlan triggerProtect liquidationFee marketTakeBound "
                "maxMoveOrderLimit filters orderTypes timeInForce permissionSets".split()
            ),
        ),
        Dataset(
            "funding_info",
            FundingInfo,
            key=("symbol",),
            plan=once(Request("/fapi/v1/fundingInfo", weights={"funding": 1})),
            bulk=True,
            known=frozenset({"disclaimer", "updateTime"}),
        ),
        Dataset(
            "premium_index",
            PremiumIndex,
            key=("symbol",),
            plan=once(Request("/fapi/v1/premiumIndex", weights={"weight": 10})),
            page=list[PremiumIndex] | PremiumIndex,
            rows=lambda page: page if isinstance(page, list) else [page],
            bulk=True,
            known=frozenset({"estimatedSettlePrice", "interestRate"}),
        ),
        Dataset(
            "open_interest_now",
            OpenInterestNow,
            key=("symbol",),
            plan=lambda instrument, window: [
                Request("/fapi/v1/openInterest", {"symbol": instrument.symbol}, weights={"weight": 1})
            ],
            page=OpenInterestNow,
            rows=lambda page: [page],
        ),
        Dataset(
            "open_interest",
            OpenInterestHist,
            key=("symbol", "timestamp"),
            time="timestamp",
            plan=hourly(500, _open_interest_hist),
            history_days=30,
            known=frozenset({"CMCCirculatingSupply"}),
        ),
        # Twice the hours that a page of 1000 could hold hourly: room for the `Special` rows beside the regular ones.
        Dataset(
            "funding_rates",
            FundingRate,
            key=("symbol", "funding_time", "rate_type"),
            time="funding_time",
            plan=hourly(500, _funding),
            page=list[FundingRate] | None,
            rows=lambda page: page or [],
        ),
        Dataset(
            "candles",
            Kline,
            key=("symbol", "open_time"),
            time="open_time",
            plan=hourly(1500, _klines("/fapi/v1/klines")),
            context=("symbol",),
            bar=HOUR,
        ),
        Dataset(
            "mark_candles",
            PriceBar,
            key=("symbol", "open_time"),
            time="open_time",
            plan=hourly(1500, _klines("/fapi/v1/markPriceKlines")),
            context=("symbol",),
            bar=HOUR,
        ),
        Dataset(
            "index_candles",
            PriceBar,
            key=("symbol", "open_time"),
            time="open_time",
            plan=hourly(1500, _klines("/fapi/v1/indexPriceKlines", "pair")),
            context=("symbol",),
            bar=HOUR,
        ),
    ),
)
