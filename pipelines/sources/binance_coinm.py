"""Binance COIN-M futures (dapi): inverse perpetuals quoted in USD, settled in the coin.

Facts: the venue page of Binance. Volume and open interest count contracts of `contractSize` dollars (100 for BTC, 10 for the
others); the eighth column of a bar is its volume in coins, and `sumOpenInterestValue` coins too. Bars: at most 200 days a
request, the newest rows of a window first to be kept, so no window is longer than a page. Open-interest history and index
bars are requested by pair. A perpetual that is being closed becomes `PERPETUAL DELIVERING`. Errors and the rest are USD-M's.
Alone: `perps fetch --venues binance --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from typing import Any

from pipelines.records import MaybeNumber, Ms, Number, Record
from pipelines.shapes import Bar
from pipelines.source import Instrument, Limit, Source, UsageHeaders
from pipelines.sources.binance_usdm import POOL, delivered_at, endpoints, error, liquidations, order_books
from pipelines.symbols import base_asset


class Symbol(Record, rename="camel"):
    symbol: str
    pair: str
    contract_type: str
    contract_status: str
    contract_size: Number
    base_asset: str
    quote_asset: str
    margin_asset: str
    underlying_type: str | None = None
    onboard_date: Ms | None = None
    delivery_date: int | None = None


class PremiumIndex(Record, rename="camel"):
    symbol: str
    time: Ms
    mark_price: MaybeNumber
    index_price: MaybeNumber = None
    # Dated contracts have no funding: empty and 0, or in 2020 not there at all.
    last_funding_rate: MaybeNumber = None
    next_funding_time: int | None = None


class OpenInterestHist(Record, rename="camel"):
    pair: str
    contract_type: str
    timestamp: Ms
    sum_open_interest: Number
    sum_open_interest_value: MaybeNumber = None


class Kline(Bar, array_like=True):
    volume: Number
    close_time: Ms
    base_volume: MaybeNumber
    trades: int | None


def _pair(instrument: Instrument) -> dict[str, str]:
    return {"pair": instrument.symbol.removesuffix("_PERP")}


def instruments(page: Any) -> list[Instrument]:
    """Those that are named after their pair, as all are: the pair in requests follows from the symbol."""
    return [
        Instrument(
            s.symbol, base_asset(s.base_asset), s.onboard_date, delivered_at(s.delivery_date), s.contract_status == "TRADING"
        )
        for s in page.symbols
        if s.contract_type.startswith("PERPETUAL") and s.quote_asset == "USD" and s.symbol == f"{s.pair}_PERP"
    ]


SOURCE = Source(
    name="binance_coinm",
    venue="binance",
    host="binance_coinm",
    base_url="https://dapi.binance.com",
    pool=POOL,
    # The page gives the limit of /futures/data for USD-M alone (U): kept to here as well.
    usage_headers=UsageHeaders(used="X-MBX-USED-WEIGHT-1M", name="weight"),
    limits={"weight": Limit(2400, 60), "data": Limit(1000, 300)},
    error=error,
    parse_instruments=instruments,
    endpoints=endpoints(
        "/dapi/v1",
        symbol=Symbol,
        premium_index=PremiumIndex,
        kline=Kline,
        open_interest=OpenInterestHist,
        open_interest_key=("symbol", "contract_type", "timestamp"),
        open_interest_params=lambda instrument: _pair(instrument) | {"contractType": "PERPETUAL"},
        pair=_pair,
        funding={"weight": 1},
    ),
    streams=(liquidations("wss://dstream.binance.com/ws", lambda symbol: symbol.endswith("_PERP")),),
    collected=(order_books("/dapi/v1"),),
)
