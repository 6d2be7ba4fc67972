"""Amberdata: futures of any venue that it carries, as a second source: running rates, open interest, hourly bars. A key.

Facts: venue page `amberdata.md`. An answer is good where its status is 200 and its title OK; the next page is a whole URL, of
which only path and parameters are followed. Instruments have the venue's own names, and all that is told of them is that they
are: those in Tether are asked for. Funding is the running estimate, looked at often, and no settlement; open interest and volume
are in the venue's own unit. Alone: `AMBERDATA_API_KEY=… PERPLAKE_VENDOR_VENUES=binance perps fetch --mode live --venues all`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

import msgspec

from pipelines.paging import hourly, linked, once
from pipelines.records import MaybeNumber, Ms, Number, Record
from pipelines.shapes import decode_or_none, enveloped
from pipelines.source import Endpoint, Instrument, Limit, Request, Source, VenueProblem
from pipelines.symbols import base_asset
from pipelines.vendors import second_sources
from pipelines.windows import HOUR, Window, iso

ROOT = "/markets/futures/"
WEIGHTS = {"requests": 1}
#: Hours in a request: of series that are sampled often a window is short (U).
HOURS = 24
#: Our venue: the vendor's name for it.
VENUES = {"binance": "binance", "bybit": "bybit", "bitget": "bitget", "htx": "huobi"}
QUOTE = "USDT"
#: The next page by the URL in a page.
NEXT = linked(attrgetter("payload.metadata.next"))


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
    return [Instrument(name, base_asset(name.removesuffix(QUOTE))) for name in names]


class Metadata(msgspec.Struct, frozen=True):
    next: str | None = None


def _source(venue: str, exchange: str) -> Source:
    where: Mapping[str, str] = {"exchange": exchange}
    context = {"venue": venue}

    def request(path: str, params: Mapping[str, str], instrument: Instrument, window: Window) -> Request:
        span = {"startDate": iso(window.start), "endDate": iso(window.end), "timeFormat": "milliseconds"}
        named = {"symbol": instrument.symbol, **context}
        return Request(f"{ROOT}{path}/{instrument.symbol}", {**where, **params, **span}, None, named, window, weights=WEIGHTS)

    def series(name: str, path: str, record: type[Record], bar: int | None = None, ignored: str = "", **params: str) -> Endpoint:
        return Endpoint(
            name,
            record,
            key=("symbol", "venue", "time"),
            time="time",
            plan=hourly(HOURS, partial(request, path, params)),
            **enveloped("payload.data", list[record], metadata=(Metadata, Metadata())),  # type: ignore[valid-type]
            next_page=NEXT,
            context=("symbol", "venue"),
            bar=bar,
            ignored_fields=frozenset(f"exchange instrument timestamp exchangeTimestampNanoseconds {ignored}".split()),
        )

    listed = Request(ROOT + "funding-rates/information", {**where, "timeFormat": "milliseconds"}, None, context, weights=WEIGHTS)
    return Source(
        name="amberdata",
        venue=venue,
        base_url="https://api.amberdata.com",
        # By plan; gently.
        limits={"requests": Limit(5, 1)},
        error=error,
        parse_instruments=instruments,
        key_header="x-api-key",
        host="amberdata",
        endpoints=(
            Endpoint(
                "instruments",
                Information,
                key=("instrument", "venue"),
                plan=once(listed),
                **enveloped("payload.data", list[Information], metadata=(Metadata, Metadata())),
                next_page=NEXT,
                context=("venue",),
                bulk=True,
                ignored_fields=frozenset({"exchange"}),
            ),
            series("running_rates", "funding-rates", Rate, ignored="nextFundingRate nextFundingTime fundingInterval"),
            series("open_interest", "open-interest", OpenInterest),
            series("candles", "ohlcv", Candle, HOUR, timeInterval="hours"),
        ),
    )


#: Without a venue: the raw tables that all venues share.
SOURCE = _source("", "")


def expand_multi_venue(names: Sequence[str], origin: str) -> tuple[tuple[Source, ...], tuple[str, ...]]:
    """A source for each venue that is named, and a line for each that the vendor has no name for."""
    return second_sources("amberdata", VENUES, _source, names, origin)
