"""CoinAPI: perpetuals of any venue that it carries, as a second source: running rates, open interest, hourly bars. A key.

Facts: the venue page of CoinAPI. A hundred rows cost a credit. The vendor has ids of its own for instruments;
`symbol_id_exchange` is the venue's name, by which its rows meet the venue's own. Metrics are hourly and have the first and
last value of the hour (U): the last is read, as of the hour's end. Open interest and volume are in the venue's own unit.
Alone: `COINAPI_KEY=… PERPLAKE_VENDOR_VENUES=binance perps fetch --mode live --venues all`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from pipelines.endpoints import hourly_bars, snapshot
from pipelines.error_bodies import error_reader
from pipelines.paging import InstrumentParams, hourly, no_params, windowed
from pipelines.records import IsoMs, MaybeNumber, Number, Record
from pipelines.source import Endpoint, Instrument, Limit, Plan, Request
from pipelines.symbols import base_asset
from pipelines.vendors import WEIGHTS, Vendor

#: A hundred is what one credit buys: rows of four days.
ROWS = 100
#: Our venue: the vendor's id (U: but the first).
VENUES = {"binance": "BINANCEFTS", "bybit": "BYBIT", "okx": "OKEX", "deribit": "DERIBIT"}
PERPETUAL = "PERPETUAL"


class Symbol(Record):
    symbol_id: str
    symbol_type: str
    symbol_id_exchange: str | None = None
    asset_id_base: str | None = None
    asset_id_quote: str | None = None
    contract_unit: MaybeNumber = None
    contract_unit_asset: str | None = None


class Metric(Record):
    """The hour's last value; the time is the hour's start."""

    time: IsoMs = msgspec.field(name="time_period_start")
    last: Number


class Candle(Record):
    time: IsoMs = msgspec.field(name="time_period_start")
    price_open: Number
    price_high: Number
    price_low: Number
    price_close: Number
    volume_traded: MaybeNumber
    trades_count: int | None = None


#: `{"error": …}` by the status; 550 is no data.
error = error_reader(message="error", statuses={401: "key", 403: "key", 550: "rejected"})


def instruments(page: Any) -> list[Instrument]:
    return [
        Instrument(s.symbol_id, base_asset(s.asset_id_base))
        for s in page
        if s.symbol_type == PERPETUAL and s.symbol_id_exchange and s.asset_id_base
    ]


def _endpoints(exchange: str) -> Iterable[Endpoint]:
    def period(path: str, instrument_params: InstrumentParams) -> Plan:
        """Hourly rows; the end is not part of the window (U)."""
        bounds = ("time_start", "time_end")
        request = windowed(path, ROWS, WEIGHTS, instrument_params=instrument_params, bounds=bounds, unit="iso", period_id="1HRS")
        return hourly(ROWS, request)

    def metric(name: str, metric_id: str) -> Endpoint:
        plan = period("/v1/metrics/symbol/history", lambda i: {"metric_id": metric_id, "symbol_id": i.symbol})
        ignored = "time_period_end first min max count sum"
        equal = name == "running_rates"
        return hourly_bars(name, Metric, plan, time="time", ignored_fields=ignored, allow_identical_pages=equal)

    yield snapshot(
        "instruments",
        Symbol,
        "symbol_id",
        Request("/v1/symbols", {"filter_exchange_id": exchange}, weights=WEIGHTS),
        # Volumes and precisions by the dozen are not read.
        ignored_fields="*",
    )
    yield metric("running_rates", "DERIVATIVES_FUNDING_RATE_CURRENT")
    yield metric("open_interest", "DERIVATIVES_OPEN_INTEREST")
    plan = period("/v1/ohlcv/{symbol}/history", no_params)
    yield hourly_bars("candles", Candle, plan, time="time", ignored_fields="time_period_end time_open time_close")


VENDOR = Vendor(
    "coinapi",
    "https://rest.coinapi.io",
    "X-CoinAPI-Key",
    Limit(10, 1),  # credits are used up before requests are
    VENUES,
    error,
    instruments,
    _endpoints,
)
SOURCE, expand_multi_venue = VENDOR.source(), VENDOR.expand
