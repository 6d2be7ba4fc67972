"""KuCoin Futures, `https://api-futures.kucoin.com`: linear perpetuals settled in USDT, counted in lots.

Facts: the venue page of KuCoin. JSON numbers, times in milliseconds, `XBT` for BTC. `multiplier` is coins in a lot, negative
where a lot is dollars (inverse). The list of contracts has mark, index, running rate and open interest; there is no history of
open interest. `nextFundingRateTime` is the time that remains until the settlement, `nextFundingRateDateTime` its moment.
`isQuanto` is true of contracts that are not. Errors are `{"code", "msg"}`; 200000 is success, also with null for no rows.
Alone: `perps fetch --venues kucoin --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pipelines.endpoints import hourly_bars, series, snapshot
from pipelines.error_bodies import error_reader
from pipelines.order_books import order_book, sides
from pipelines.paging import hourly, present, windowed
from pipelines.records import MaybeNumber, Ms, Nanoseconds, Number, Record
from pipelines.shapes import Bar
from pipelines.source import Instrument, Limit, Request, Source, UsageHeaders
from pipelines.symbols import base_asset

#: The cost of a request is not known for certain: that of the dearest.
WEIGHTS = {"public": 5}
#: Bars in a page: 500 are documented, newer clients request 200.
BARS = 200
#: Settlements in a page.
RATES = 100
BOUNDS = ("from", "to")


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
    """Values after the volume (lots), perhaps the turnover, are not read: they are not documented."""

    volume: Number


error = error_reader("code", "msg", success=("200000",), limited=("429000",), transient=("5*",))


def instruments(page: Any) -> list[Instrument]:
    """Perpetuals (`FFWCSX`) quoted and settled in USDT."""
    return [
        Instrument(c.symbol, base_asset(c.base_currency), trading=c.status not in ("Init", "Closed"))
        for c in page.data
        if c.type == "FFWCSX" and c.quote_currency == c.settle_currency == "USDT"
    ]


#: The whole book, sizes in lots. By the venue's page ("Get Full OrderBook") and ccxt 4.5.90.
ORDER_BOOKS = order_book(
    present("/api/v1/level2/snapshot", WEIGHTS), **sides(None, "data", time="data.ts", stamp=Nanoseconds, unit=1e-6)
)

#: The list has the present too: the collector asks for it again and again, as `listed_now`.
LISTED = snapshot(
    "instruments",
    Contract,
    "symbol",
    Request("/api/v1/contracts/active", weights=WEIGHTS),
    ignored_fields="baseMaxSize baseMinSize fairMethod fundingBaseSymbol fundingBaseSymbol1M fundingQuoteSymbol "
    "fundingQuoteSymbol1M fundingRateSymbol highPrice indexPriceTickSize indexSymbol initialMargin isDeleverage "
    "isQuanto lastTradePrice lotSize lowPrice maintainMargin makerFeeRate makerFixFee markMethod maxLeverage "
    "maxOrderQty maxPrice maxRiskLimit minRiskLimit predictedFundingFeeRate premiumsSymbol1M premiumsSymbol8H "
    "priceChg priceChgPct riskStep rootSymbol settleDate settlementFee settlementFeeRate settlementFixFee "
    "settlementSymbol sourceExchanges takerFeeRate takerFixFee tickSize turnoverOf24h volumeOf24h",
    rows_at="data",
)

SOURCE = Source(
    name="kucoin",
    collected=(ORDER_BOOKS, replace(LISTED, name="listed_now")),
    venue="kucoin",
    base_url="https://api-futures.kucoin.com",
    limits={"public": Limit(2000, 30)},
    usage_headers=UsageHeaders(limit="gw-ratelimit-limit", remaining="gw-ratelimit-remaining"),
    error=error,
    parse_instruments=instruments,
    endpoints=(
        LISTED,
        series(
            "funding_rates",
            FundingRate,
            "timepoint",
            hourly(RATES, windowed("/api/v1/contract/funding-rates", None, WEIGHTS, bounds=BOUNDS)),
            rows_at="data",
        ),
        hourly_bars(
            "candles",
            Kline,
            hourly(BARS, windowed("/api/v1/kline/query", None, WEIGHTS, bounds=BOUNDS, granularity=60)),
            rows_at="data",
        ),
    ),
)
