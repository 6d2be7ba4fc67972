"""CryptoQuant v1: open interest, funding, liquidations of bitcoin, ether and XRP over all its exchanges, by day. A key is needed.

Facts: the venue page of CryptoQuant, whose envelope and dates are not official (U): anything unexpected goes to quarantine. Host
https://api.cryptoquant.com. Rates are percent (U), open interest US dollars, liquidations coins and US dollars by side of the
position; days are UTC and are revised for about one day. A request without `exchange` is answered with HTTP 400.
Alone: `CRYPTOQUANT_API_KEY=… perps fetch --mode live --venues cryptoquant --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from pipelines.endpoints import series
from pipelines.error_bodies import error_reader
from pipelines.records import Number, Record, UtcMs
from pipelines.source import Endpoint, Instrument, Limit, Request, Source
from pipelines.windows import DAY, Window, to_datetime

#: The assets that these endpoints have, as in their paths.
ASSETS = {"BTC": "btc", "ETH": "eth", "XRP": "xrp"}
ROWS = 1000


class OpenInterest(Record):
    """US dollars."""

    day: UtcMs = msgspec.field(name="date")
    value: Number = msgspec.field(name="open_interest")


class FundingRate(Record):
    """Percent of an interval."""

    day: UtcMs = msgspec.field(name="date")
    value: Number = msgspec.field(name="funding_rates")


class Liquidations(Record):
    """US dollars by side of the position."""

    day: UtcMs = msgspec.field(name="date")
    long_usd: Number = msgspec.field(name="long_liquidations_usd")
    short_usd: Number = msgspec.field(name="short_liquidations_usd")


error = error_reader("status.code", "status.message", success=(200,), statuses={401: "key", 402: "key", 403: "key"})


def _daily(name: str, path: str, record: type[Record], ignored_fields: str = "") -> Endpoint:
    def plan(instrument: Instrument, window: Window) -> Iterable[Request]:
        if instrument.symbol not in ASSETS:
            return
        for days in window.chunks(ROWS * DAY):
            first, last = (f"{to_datetime(ms):%Y%m%d}" for ms in (days.start, days.end - 1))
            params: dict[str, str | int] = {"exchange": "all_exchange", "window": "day", "from": first, "to": last, "limit": ROWS}
            url = f"/v1/{ASSETS[instrument.symbol]}/market-data/{path}"
            yield Request(url, params, context={"symbol": instrument.symbol}, window=days, weights={"calls": 1})

    return series(name, record, "day", plan, bar=DAY, rows_at="result.data", ignored_fields=ignored_fields)


SOURCE = Source(
    name="cryptoquant",
    venue="cryptoquant",
    base_url="https://api.cryptoquant.com",
    # The limits depend on the plan and are not documented: a low rate.
    limits={"calls": Limit(20, 60)},
    error=error,
    key_header="Authorization",
    key_prefix="Bearer ",
    by_asset=True,
    endpoints=(
        _daily("open_interest", "open-interest", OpenInterest),
        _daily("funding_rates", "funding-rates", FundingRate),
        _daily("liquidations", "liquidations", Liquidations, "long_liquidations short_liquidations"),
    ),
)
