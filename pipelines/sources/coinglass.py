"""CoinGlass v4: open interest, funding and liquidations of an asset over all venues, by day. A key is needed.

Facts: the venue page of CoinGlass. Errors come in HTTP 200 with a `code` of text that isn't "0"; a bad key is 401, or 30001.
Rates are percent of each venue's own interval, sizes US dollars; a row's time is its day's start, in milliseconds or in seconds
by endpoint. Only days are requested: every plan answers them, whole. Totals take Binance's thinned-out liquidations as they come.
Alone: `COINGLASS_API_KEY=… perps fetch --mode live --venues coinglass`.
"""

from __future__ import annotations

from pipelines.endpoints import series
from pipelines.error_bodies import error_reader
from pipelines.paging import hourly, windowed
from pipelines.records import Number, Record
from pipelines.source import Endpoint, Limit, Source, UsageHeaders
from pipelines.windows import DAY

ROOT = "/api/futures/"
WEIGHTS = {"calls": 1}
ROWS = 1000
#: Whose liquidations are summed up: the vendor's own names.
EXCHANGES = "Binance,OKX,Bybit,Bitget,Gate,HTX,Kraken,Coinbase,dYdX,Hyperliquid,Deribit,Bitfinex"


class Dated(Record):
    """A row whose time may be seconds: milliseconds once it is read."""

    time: int

    def __post_init__(self) -> None:
        self.time *= 1000 if self.time < 100_000_000_000 else 1
        if not 1_388_534_400_000 <= self.time < 2_208_988_800_000:
            raise ValueError(f"Expected a time of 2014-2040, got {self.time}")


class Close(Dated):
    """The last value of the day: open interest in US dollars, a rate in percent."""

    close: Number


class Liquidations(Dated):
    """US dollars by side of the position."""

    aggregated_long_liquidation_usd: Number
    aggregated_short_liquidation_usd: Number


error = error_reader(
    "code",
    "msg",
    success=("0",),
    key=("401", "30001"),
    limited=("429",),
    transient=("500",),
    statuses={401: "key"},
    phrases={"upgrade": "key"},
)


def _daily(name: str, path: str, record: type[Record], ignored_fields: str = "", **params: str) -> Endpoint:
    request = windowed(ROOT + path, ROWS, WEIGHTS, bounds=("start_time", "end_time"), interval="1d", **params)  # type: ignore[arg-type]
    return series(name, record, "time", hourly(24 * ROWS, request), bar=DAY, rows_at="data", ignored_fields=ignored_fields)


SOURCE = Source(
    name="coinglass",
    venue="coinglass",
    base_url="https://open-api-v4.coinglass.com",
    # The smallest plan's.
    limits={"calls": Limit(30, 60)},
    usage_headers=UsageHeaders(limit="API-KEY-MAX-LIMIT", used="API-KEY-USE-LIMIT"),
    error=error,
    key_header="CG-API-KEY",
    by_asset=True,
    endpoints=(
        _daily("open_interest", "open-interest/aggregated-history", Close, "open high low"),
        _daily("funding_rates", "funding-rate/oi-weight-history", Close, "open high low"),
        _daily("liquidations", "liquidation/aggregated-history", Liquidations, exchange_list=EXCHANGES),
    ),
)
