"""Binance USD-M futures (fapi): linear perpetuals settled in USDT or USDC.

Facts: `shared/venues/binance.md`. Decimal strings, milliseconds, ascending pages, both ends of a window inclusive.
Funding intervals are listed only where they differ from 8 hours, and only today's; open-interest history goes back 30 days.
COIN-M has most of the same under another path: what both have is made by the functions here.
Alone: `perps fetch --venues binance --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pipelines.paging import by_symbol, hourly, once, windowed
from pipelines.records import MaybeNumber, Ms, Number, Record
from pipelines.shapes import Bar, PriceBar, decode_or_none, enveloped
from pipelines.source import Endpoint, Instrument, Limit, Request, Source, VenueProblem
from pipelines.symbols import base_asset
from pipelines.windows import HOUR

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


def error(status: int, body: bytes) -> VenueProblem | None:
    """`{"code": -1121, "msg": ...}`; 451 is a region block, -1003 the weight limit, -1130 a start before the kept history."""
    if not body.startswith(b"{"):
        return None
    said = decode_or_none(body, dict[str, Any])
    if said is None or "code" not in said or "msg" not in said or said["code"] == 200:
        return None
    message = f"{said['code']} {said['msg']}"
    if status == 451 or "restricted location" in str(said["msg"]):
        return VenueProblem("blocked", message)
    if said["code"] in (-1003, -1015):
        return VenueProblem("limited", message)
    return VenueProblem("transient" if said["code"] in (-1000, -1001, -1007, -1008) else "rejected", message)


def instruments(page: Any) -> list[Instrument]:
    return [
        Instrument(s.symbol, base_asset(s.base_asset))
        for s in page.symbols
        if s.contract_type in PERPETUAL and s.quote_asset == "USDT"
    ]


def listed(api: str, record: type[Record]) -> Endpoint:
    """The list of instruments."""
    return Endpoint(
        "instruments",
        record,
        key=("symbol",),
        plan=once(Request(f"{api}/exchangeInfo", weights={"weight": 1})),
        **enveloped("symbols", list[record]),  # type: ignore[valid-type]
        bulk=True,
        ignored_fields=frozenset(
            "maintMarginPercent requiredMarginPercent pricePrecision quantityPrecision baseAssetPrecision equalQtyPrecision "
            "quotePrecision underlyingSubType settlePlan triggerProtect liquidationFee marketTakeBound "
            "maxMoveOrderLimit filters orderTypes timeInForce permissionSets".split()
        ),
    )


def held(record: type[Record], asked: Callable[[Instrument], Mapping[str, str]] = by_symbol, **more: Any) -> Endpoint:
    """Open-interest history: the same path on every host of Binance's, what it is asked by is not."""
    plan = hourly(500, windowed("/futures/data/openInterestHist", 500, {"data": 1}, instrument_params=asked, period="1h"))
    return Endpoint("open_interest", record, time="timestamp", plan=plan, history_days=30, **more)


def bars(path: str, name: str, record: type[Record], asked: Callable[[Instrument], Mapping[str, str]] = by_symbol) -> Endpoint:
    """Hourly bars by the path of their endpoint."""
    return Endpoint(
        name,
        record,
        key=("symbol", "open_time"),
        time="open_time",
        plan=hourly(1500, windowed(path, 1500, {"weight": 10}, instrument_params=asked, interval="1h")),
        context=("symbol",),
        bar=HOUR,
    )


def datasets(
    api: str,
    *,
    symbol: type[Record],
    premium_index: type[Record],
    kline: type[Record],
    open_interest: Endpoint,
    pair: Callable[[Instrument], Mapping[str, str]],
    funding: Mapping[str, int],
) -> tuple[Endpoint, ...]:
    """The endpoints that USD-M and COIN-M share, under `api`; `funding` is what those of the funding rates weigh."""
    return (
        listed(api, symbol),
        Endpoint(
            "funding_info",
            FundingInfo,
            key=("symbol",),
            plan=once(Request(f"{api}/fundingInfo", weights=funding)),
            page=list[FundingInfo] | None,
            rows=lambda page: page or [],
            bulk=True,
            ignored_fields=frozenset({"disclaimer", "updateTime"}),
        ),
        Endpoint(
            "premium_index",
            premium_index,
            key=("symbol",),
            plan=once(Request(f"{api}/premiumIndex", weights={"weight": 10})),
            page=list[premium_index] | premium_index,  # type: ignore[valid-type]
            rows=lambda page: page if isinstance(page, list) else [page],
            bulk=True,
            ignored_fields=frozenset({"estimatedSettlePrice", "interestRate", "pair"}),
        ),
        Endpoint(
            "open_interest_now",
            OpenInterestNow,
            key=("symbol",),
            plan=lambda instrument, window: [Request(f"{api}/openInterest", by_symbol(instrument), weights={"weight": 1})],
            page=OpenInterestNow,
            rows=lambda page: [page],
            ignored_fields=frozenset({"pair", "contractType"}),
        ),
        open_interest,
        # Twice the hours that a page of 1000 could hold hourly: room for the `Special` rows beside the regular ones.
        Endpoint(
            "funding_rates",
            FundingRate,
            key=("symbol", "funding_time", "rate_type"),
            time="funding_time",
            plan=hourly(500, windowed(f"{api}/fundingRate", 1000, funding)),
            page=list[FundingRate] | None,
            rows=lambda page: page or [],
        ),
        bars(f"{api}/klines", "candles", kline),
        bars(f"{api}/markPriceKlines", "mark_candles", PriceBar),
        bars(f"{api}/indexPriceKlines", "index_candles", PriceBar, pair),
    )


SOURCE = Source(
    name="binance_usdm",
    venue="binance",
    base_url="https://fapi.binance.com",
    limits={"weight": Limit(2400, 60), "funding": Limit(500, 300), "data": Limit(1000, 300)},
    error=error,
    parse_instruments=instruments,
    endpoints=datasets(
        "/fapi/v1",
        symbol=Symbol,
        premium_index=PremiumIndex,
        kline=Kline,
        open_interest=held(OpenInterestHist, key=("symbol", "timestamp"), ignored_fields=frozenset({"CMCCirculatingSupply"})),
        pair=lambda instrument: {"pair": instrument.symbol},
        funding={"funding": 1},
    ),
)
