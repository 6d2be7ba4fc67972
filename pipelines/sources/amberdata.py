"""Amberdata: futures of any venue that it carries, as a second source: running rates, open interest, hourly bars. A key.

Facts: the venue page of Amberdata. An answer is good where its status is 200 and its title OK; the next page is a whole URL, of
which only path and parameters are followed. Instruments have the venue's own names and no further fields: those that end in USDT
are requested, after a hyphen at HTX. Funding is the running estimate, sampled often, and no settlement; open interest and volume
are in the venue's own unit. Alone: `AMBERDATA_API_KEY=… PERPLAKE_VENDOR_VENUES=binance perps fetch --mode live --venues all`.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Any

import msgspec

from pipelines.endpoints import series, snapshot
from pipelines.paging import hourly, linked, windowed
from pipelines.records import MaybeNumber, Ms, Number, Record
from pipelines.shapes import decode_or_none
from pipelines.source import Endpoint, Instrument, Limit, Request, VenueProblem
from pipelines.symbols import base_asset
from pipelines.vendors import WEIGHTS, Vendor
from pipelines.windows import HOUR

ROOT = "/markets/futures/"
#: Hours in a request: of series that are sampled often a window is short (U).
HOURS = 24
#: Our venue: the vendor's name for it.
VENUES = {"binance": "binance", "bybit": "bybit", "bitget": "bitget", "htx": "huobi"}
QUOTE = "USDT"


class Information(Record, rename="camel"):
    """An instrument for which the vendor has funding, and since when: what has funding is a perpetual."""

    instrument: str
    start_date: Ms | None = None
    end_date: Ms | None = None


class Rate(Record, rename="camel"):
    time: Ms = msgspec.field(name="exchangeTimestamp")
    funding_rate: Number


class OpenInterest(Record, rename="camel"):
    time: Ms = msgspec.field(name="exchangeTimestamp")
    value: Number


class Candle(Record, rename="camel"):
    time: Ms = msgspec.field(name="exchangeTimestamp")
    open: MaybeNumber
    high: MaybeNumber
    low: MaybeNumber
    close: MaybeNumber
    volume: MaybeNumber


class ErrorBody(msgspec.Struct):
    """The envelope of every answer."""

    status: int = 200
    title: str = "OK"
    description: str = ""
    message: str = ""


def error(status: int, body: bytes) -> VenueProblem | None:
    content = decode_or_none(body, ErrorBody)
    if content is None or (status == 200 and content.status == 200 and content.title == "OK"):
        return None
    message = f"{content.title} {content.description or content.message}".strip()
    worst = max(status, content.status)
    if worst in (401, 403):
        return VenueProblem("key", message)
    return VenueProblem.by_status(worst, message)


def instruments(page: Any) -> list[Instrument]:
    names = [row.instrument for row in page.payload.data if row.instrument.endswith(QUOTE)]
    return [Instrument(name, base_asset(name.removesuffix(QUOTE).rstrip("-"))) for name in names]


class Metadata(msgspec.Struct, frozen=True):
    next: str | None = None


#: Where a page has its rows, and the URL of the next page.
PAGED: dict[str, Any] = {
    "rows_at": "payload.data",
    "beside": {"metadata": (Metadata, Metadata())},
    "next_page": linked(attrgetter("payload.metadata.next")),
}


def _endpoints(exchange: str) -> Iterable[Endpoint]:
    listed = {"exchange": exchange, "timeFormat": "milliseconds"}

    def samples(name: str, path: str, record: type[Record], ignored: str = "", bar: int | None = None, **params: str) -> Endpoint:
        """Rows of a window; whether the end is part of it is not documented."""
        path, where, bounds = f"{ROOT}{path}/{{symbol}}", {**listed, **params}, ("startDate", "endDate")
        request = windowed(path, None, WEIGHTS, instrument_params=lambda i: where, bounds=bounds, unit="iso")
        ignored = f"exchange instrument timestamp exchangeTimestampNanoseconds {ignored}"
        return series(name, record, "time", hourly(HOURS, request), bar=bar, ignored_fields=ignored, **PAGED)

    information = Request(ROOT + "funding-rates/information", listed, weights=WEIGHTS)
    yield snapshot("instruments", Information, "instrument", information, ignored_fields="exchange", **PAGED)
    yield samples("running_rates", "funding-rates", Rate, "nextFundingRate nextFundingTime fundingInterval")
    yield samples("open_interest", "open-interest", OpenInterest)
    yield samples("candles", "ohlcv", Candle, bar=HOUR, timeInterval="hours")


VENDOR = Vendor(
    "amberdata",
    "https://api.amberdata.com",
    "x-api-key",
    Limit(5, 1),  # by plan
    VENUES,
    error,
    instruments,
    _endpoints,
)
SOURCE, expand_multi_venue = VENDOR.source(), VENDOR.expand
