"""Kaiko: perpetuals of any venue that it carries, as a second source: running rates and open interest, hourly bars. A key.

Facts: venue page `kaiko.md`, most of them unverified. Rows come in an envelope whose `next_url` leads to the next page: only
its path and parameters are followed. Numbers are texts. Above a minute a row of `risk` is that of the interval's last minute,
though its time is the interval's start; open interest is in the venue's own unit. Instruments have names of its own (U).
Alone: `KAIKO_API_KEY=… PERPLAKE_VENDOR_VENUES=binance perps fetch --mode live --venues all`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

import msgspec

from pipelines.paging import hourly, linked, once
from pipelines.records import MaybeNumber, Ms, Record
from pipelines.shapes import decode_or_none, enveloped
from pipelines.source import Endpoint, Instrument, Limit, Request, Source, VenueProblem
from pipelines.symbols import base_asset
from pipelines.vendors import second_sources
from pipelines.windows import HOUR, Window, iso

ROOT = "/v2/data/"
WEIGHTS = {"requests": 1}
ROWS = 1000
CLASS = "perpetual-future"
#: Our venue: the vendor's code (U).
VENUES = {"binance": "binc", "bybit": "bbit", "okx": "okex"}
QUOTES = ("usdt", "usdc", "usd")
#: The next page by the URL in a page.
NEXT = linked(attrgetter("next_url"))


class Contract(Record):
    """`instrument` is `btc-usdt`; its other fields are not documented (U)."""

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


def _source(venue: str, exchange: str) -> Source:
    where: Mapping[str, str] = {"exchange": exchange, "instrument_class": CLASS}
    context = {"venue": venue}

    def request(path: str, names: Mapping[str, str], instrument: Instrument, window: Window) -> Request:
        """The start is part of it, the end is not."""
        span: dict[str, str | int] = {"start_time": iso(window.start), "end_time": iso(window.end)}
        span |= {"interval": "1h", "sort": "asc", "page_size": ROWS}
        named = {"symbol": instrument.symbol, **context}
        parameters = {name: value.format(instrument.symbol) for name, value in names.items()}
        return Request(
            ROOT + path.format(instrument.symbol), {**parameters, **span}, context=named, window=window, weights=WEIGHTS
        )

    def series(name: str, path: str, names: Mapping[str, str], record: type[Record], known: str = "") -> Endpoint:
        return Endpoint(
            name,
            record,
            key=("symbol", "venue", "time"),
            time="time",
            plan=hourly(ROWS, partial(request, path, names)),
            **enveloped("data", list[record], next_url=(str | None, None)),  # type: ignore[valid-type]
            next_page=NEXT,
            context=("symbol", "venue"),
            bar=HOUR,
            ignored_fields=frozenset(known.split()),
        )

    reference = Request(ROOT + "derivatives.v2/reference", {**where, "page_size": ROWS}, context=context, weights=WEIGHTS)
    return Source(
        name="kaiko",
        venue=venue,
        base_url="https://us.market-api.kaiko.io",
        # By plan; gently.
        limits={"requests": Limit(5, 1)},
        error=error,
        parse_instruments=instruments,
        key_header="X-Api-Key",
        host="kaiko",
        endpoints=(
            Endpoint(
                "instruments",
                Contract,
                key=("instrument", "venue"),
                plan=once(reference),
                **enveloped("data", list[Contract], next_url=(str | None, None)),
                next_page=NEXT,
                context=("venue",),
                bulk=True,
                ignored_fields=frozenset({"exchange", "instrument_class"}),
            ),
            series("risk", "derivatives.v2/risk", {**where, "instrument": "{}"}, Risk, "24h_volume"),
            series("candles", f"trades.v1/exchanges/{exchange}/{CLASS}/{{}}/aggregations/ohlcv", {}, Candle),
        ),
    )


#: Without a venue: the raw tables that all venues share.
SOURCE = _source("", "")


def expand_multi_venue(names: Sequence[str], origin: str) -> tuple[tuple[Source, ...], tuple[str, ...]]:
    """A source for each venue that is named, and a line for each that the vendor has no code for."""
    return second_sources("kaiko", VENUES, _source, names, origin)
