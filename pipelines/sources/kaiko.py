"""Kaiko: perpetuals of any venue that it carries, as a second source: running rates and open interest, hourly bars. A key.

Facts: the venue page of Kaiko, most of them unverified. Rows come in an envelope whose `next_url` leads to the next page: only
its path and parameters are followed. Numbers are texts. Above a minute a row of `risk` is that of the interval's last minute,
though its time is the interval's start; open interest is in the venue's own unit. Instruments have names of its own (U).
Alone: `KAIKO_API_KEY=… PERPLAKE_VENDOR_VENUES=binance perps fetch --mode live --venues all`.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Any

import msgspec

from pipelines.endpoints import hourly_bars, snapshot
from pipelines.paging import InstrumentParams, hourly, linked, no_params, windowed
from pipelines.records import MaybeNumber, Ms, Record
from pipelines.shapes import decode_or_none
from pipelines.source import Endpoint, Instrument, Limit, Request, VenueProblem
from pipelines.symbols import base_asset
from pipelines.vendors import WEIGHTS, Vendor

RISK = "/v2/data/derivatives.v2/risk"
BARS = "/v2/data/trades.v1/exchanges/{exchange}/perpetual-future/{{symbol}}/aggregations/ohlcv"
ROWS = 1000
CLASS = "perpetual-future"
#: Our venue: the vendor's code (U).
VENUES = {"binance": "binc", "bybit": "bbit", "okx": "okex"}
QUOTES = ("usdt", "usdc", "usd")
#: Where a page has its rows, and the URL of the next page.
PAGED: dict[str, Any] = {
    "rows_at": "data",
    "beside": {"next_url": (str | None, None)},
    "next_page": linked(attrgetter("next_url")),
}


class Contract(Record):
    """`instrument` is `btc-usdt`; the other fields are not documented (U)."""

    instrument: str
    base_asset: str = ""
    quote_asset: str = ""


class Risk(Record):
    """At the last minute of the hour that begins at `time`."""

    time: Ms = msgspec.field(name="timestamp")
    open_interest: MaybeNumber = None
    funding_rate: MaybeNumber = None
    predicted_funding_rate: MaybeNumber = None


class Candle(Record):
    time: Ms = msgspec.field(name="timestamp")
    open: MaybeNumber
    high: MaybeNumber
    low: MaybeNumber
    close: MaybeNumber
    volume: MaybeNumber


class ErrorBody(msgspec.Struct):
    message: str = ""
    result: str = "success"


def error(status: int, body: bytes) -> VenueProblem | None:
    """`{"message": …}` with a status; `result` other than `success` (U)."""
    content = decode_or_none(body, ErrorBody)
    if content is None or (status == 200 and content.result == "success"):
        return None
    message = content.message or content.result
    if status in (401, 403):
        return VenueProblem("key", message)
    return VenueProblem.by_status(status, message)


def instruments(page: Any) -> list[Instrument]:
    pairs = [(c.instrument, *c.instrument.split("-")) for c in page.data if c.instrument.count("-") == 1]
    return [Instrument(name, base_asset(base.upper())) for name, base, quote in pairs if quote in QUOTES]


def _endpoints(exchange: str) -> Iterable[Endpoint]:
    def hours(name: str, record: type[Record], path: str, instrument_params: InstrumentParams, **more: Any) -> Endpoint:
        request = windowed(
            path,
            None,
            WEIGHTS,
            instrument_params=instrument_params,
            bounds=("start_time", "end_time"),
            unit="iso",
            interval="1h",
            sort="asc",
            page_size=ROWS,
        )
        return hourly_bars(name, record, hourly(ROWS, request), time="time", **PAGED, **more)

    listed = {"exchange": exchange, "instrument_class": CLASS}
    yield snapshot(
        "instruments",
        Contract,
        "instrument",
        Request("/v2/data/derivatives.v2/reference", {**listed, "page_size": ROWS}, weights=WEIGHTS),
        ignored_fields="exchange instrument_class",
        **PAGED,
    )
    yield hours("risk", Risk, RISK, lambda i: {**listed, "instrument": i.symbol}, ignored_fields="24h_volume")
    yield hours("candles", Candle, BARS.format(exchange=exchange), no_params)


VENDOR = Vendor(
    "kaiko",
    "https://us.market-api.kaiko.io",
    "X-Api-Key",
    Limit(5, 1),  # by plan
    VENUES,
    error,
    instruments,
    _endpoints,
)
SOURCE, expand_multi_venue = VENDOR.source(), VENDOR.expand
