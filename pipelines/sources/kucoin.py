"""KuCoin Futures: linear perpetuals settled in USDT, counted in lots.

Facts: `shared/venues/kucoin.md`. JSON numbers, times in milliseconds, `XBT` for BTC. `multiplier` is coins in a lot, negative
where a lot is dollars (inverse). The list of contracts is the present too: mark, index, running rate and open interest, of which
there is no history. `nextFundingRateTime` is what remains until then, `nextFundingRateDateTime` the moment. `isQuanto` is true of
contracts that are none. Errors are `{"code", "msg"}`, where 200000 is none.
Alone: `perps fetch --venues kucoin --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

import msgspec

from pipelines.paging import hourly, once
from pipelines.records import MaybeNumber, Ms, Number, Record
from pipelines.shapes import Bar, decode_or_none, enveloped
from pipelines.source import Endpoint, Instrument, Limit, Request, Source, VenueProblem
from pipelines.symbols import base_asset
from pipelines.windows import HOUR, Window

#: What each request costs is not known for certain: as much as the dearest.
WEIGHTS = {"public": 5}
#: Bars in a page: 500 are documented, of late clients ask for 200.
BARS = 200
#: Settlements in a page.
RATES = 100


class Contract(Record, rename="camel"):
    symbol: str
    type: str
    base_currency: str
    quote_currency: str
    multiplier: Number
    is_inverse: bool
    status: str
    settle_currency: str | None = None
    first_open_date: int | None = None
    expire_date: int | None = None
    funding_fee_rate: MaybeNumber = None
    funding_rate_granularity: int | None = None
    next_funding_rate_time: int | None = None
    next_funding_rate_date_time: int | None = None
    open_interest: MaybeNumber = None
    mark_price: MaybeNumber = None
    index_price: MaybeNumber = None


class FundingRate(Record, rename="camel"):
    symbol: str
    timepoint: Ms
    funding_rate: Number


class Kline(Bar, array_like=True):
    """What follows the volume (lots), perhaps the turnover, is not read: it is not documented."""

    volume: Number


class ErrorBody(msgspec.Struct):
    code: str
    msg: str = ""


def error(status: int, body: bytes) -> VenueProblem | None:
    """A `code` other than 200000, whatever the status."""
    said = decode_or_none(body, ErrorBody)
    if said is None or said.code == "200000":
        return None
    message = f"{said.code} {said.msg}".rstrip()
    if said.code == "429000":
        return VenueProblem("limited", message)
    return VenueProblem("transient" if said.code.startswith("5") else "rejected", message)


def instruments(page: object) -> list[Instrument]:
    """Perpetuals (`FFWCSX`) quoted and settled in USDT."""
    return [
        Instrument(c.symbol, base_asset(c.base_currency))
        for c in page.data  # type: ignore[attr-defined]
        if c.type == "FFWCSX" and c.quote_currency == c.settle_currency == "USDT"
    ]


def _funding(instrument: Instrument, window: Window) -> Request:
    params: dict[str, str | int] = {"symbol": instrument.symbol, "from": window.start, "to": window.end - 1}
    return Request("/api/v1/contract/funding-rates", params, window=window, weights=WEIGHTS)


def _klines(instrument: Instrument, window: Window) -> Request:
    params: dict[str, str | int] = {"symbol": instrument.symbol, "granularity": 60, "from": window.start, "to": window.end - 1}
    context = {"symbol": instrument.symbol}
    return Request("/api/v1/kline/query", params, context=context, window=window, weights=WEIGHTS)


SOURCE = Source(
    name="kucoin",
    venue="kucoin",
    base_url="https://api-futures.kucoin.com",
    limits={"public": Limit(2000, 30)},
    error=error,
    parse_instruments=instruments,
    endpoints=(
        Endpoint(
            "instruments",
            Contract,
            key=("symbol",),
            plan=once(Request("/api/v1/contracts/active", weights=WEIGHTS)),
            **enveloped("data", list[Contract]),
            bulk=True,
            ignored_fields=frozenset(
                "baseMaxSize baseMinSize fairMethod fundingBaseSymbol fundingBaseSymbol1M fundingQuoteSymbol "
                "fundingQuoteSymbol1M fundingRateSymbol highPrice indexPriceTickSize indexSymbol initialMargin isDeleverage "
                "isQuanto lastTradePrice lotSize lowPrice maintainMargin makerFeeRate makerFixFee markMethod maxLeverage "
                "maxOrderQty maxPrice maxRiskLimit minRiskLimit predictedFundingFeeRate premiumsSymbol1M premiumsSymbol8H "
                "priceChg priceChgPct riskStep rootSymbol settleDate settlementFee settlementFeeRate settlementFixFee "
                "settlementSymbol sourceExchanges takerFeeRate takerFixFee tickSize turnoverOf24h volumeOf24h".split()
            ),
        ),
        Endpoint(
            "funding_rates",
            FundingRate,
            key=("symbol", "timepoint"),
            time="timepoint",
            plan=hourly(RATES, _funding),
            **enveloped("data", list[FundingRate]),
        ),
        Endpoint(
            "candles",
            Kline,
            key=("symbol", "open_time"),
            time="open_time",
            plan=hourly(BARS, _klines),
            **enveloped("data", list[Kline]),
            context=("symbol",),
            bar=HOUR,
        ),
    ),
)
