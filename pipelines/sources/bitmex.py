"""BitMEX, as it was: closed on 2026-09-23. Inverse, linear and quanto perpetuals, by its REST's wire format.

Facts: `shared/venues/bitmex.md`. It is never asked live: its history comes from files in its own format (`perps import bitmex
…`) or from a recording that the emulator serves, and ends where the venue did; of open interest there is none. ISO times, JSON
numbers. A bar is stamped with its end (U); `homeNotional` is coins and `foreignNotional` quote currency whatever the contract.
`fundingInterval` is a time of day after 2000-01-01.
Alone: `perps import bitmex funding_rates funding.json` and `perps run --mode live --venues bitmex --from … --to …`.
"""

from __future__ import annotations

import msgspec

from pipelines.paging import hourly, once
from pipelines.records import IsoMs, MaybeNumber, Number, Record, read_iso
from pipelines.shapes import decode_or_none
from pipelines.source import Endpoint, Instrument, Limit, Plan, Request, Source, VenueProblem
from pipelines.symbols import base_asset
from pipelines.windows import HOUR, Window, iso

ROOT = "/api/v1/"
WEIGHTS = {"requests": 1}
ROWS = 500
#: What settles in the quote, or in bitcoin: smallest units of other coins are not documented.
SETTLED_IN = ("XBt", "USDt")
PERPETUAL = "FFWCSX"


class Contract(Record, rename="camel"):
    """`multiplier` is smallest units of the settlement currency a contract pays for a dollar of price, negative where inverse."""

    symbol: str
    root_symbol: str
    typ: str
    state: str
    quote_currency: str
    settl_currency: str | None
    is_quanto: bool
    is_inverse: bool
    multiplier: MaybeNumber
    listing: IsoMs | None = None
    underlying_to_position_multiplier: MaybeNumber = None


class FundingRate(Record, rename="camel"):
    timestamp: IsoMs
    symbol: str
    funding_interval: str
    funding_rate: Number


class Candle(Record):
    """`opened_at` is the bar's start: the venue's stamp is its end. Without a trade there is no price."""

    opened_at: IsoMs = msgspec.field(name="timestamp")
    symbol: str
    open: MaybeNumber = None
    high: MaybeNumber = None
    low: MaybeNumber = None
    close: MaybeNumber = None
    trades: int | None = None
    home_notional: MaybeNumber = msgspec.field(name="homeNotional", default=None)
    foreign_notional: MaybeNumber = msgspec.field(name="foreignNotional", default=None)

    def __post_init__(self) -> None:
        self.opened_at = IsoMs(self.opened_at - HOUR)


class Inner(msgspec.Struct):
    message: str
    name: str = ""


class ErrorBody(msgspec.Struct):
    error: Inner


def error(status: int, body: bytes) -> VenueProblem | None:
    """`{"error": {"message": …, "name": …}}` with a status."""
    said = decode_or_none(body, ErrorBody)
    if said is None:
        return None
    return VenueProblem.by_status(status, said.error.message)


def instruments(page: list[Contract]) -> list[Instrument]:
    """Perpetuals of coins, in bitcoin or dollars of Tether."""
    return [
        Instrument(c.symbol, base_asset(c.root_symbol)) for c in page if c.typ == PERPETUAL and c.settl_currency in SETTLED_IN
    ]


def _windowed(path: str, shift: int = 0, **params: str) -> Plan:
    """Both ends inclusive; `shift` is from a row's time to the venue's stamp."""

    def request(instrument: Instrument, window: Window) -> Request:
        span = {"startTime": iso(window.start + shift), "endTime": iso(window.end - 1 + shift)}
        asked: dict[str, str | int] = {"symbol": instrument.symbol, **params, "count": ROWS, **span}
        return Request(ROOT + path, asked, window=window, weights=WEIGHTS)

    return hourly(ROWS, request)


SOURCE = Source(
    name="bitmex",
    venue="bitmex",
    base_url="https://www.bitmex.com",
    limits={"requests": Limit(30, 60)},
    error=error,
    parse_instruments=instruments,
    endpoints=(
        Endpoint(
            "instruments",
            Contract,
            key=("symbol",),
            plan=once(Request(ROOT + "instrument/active", weights=WEIGHTS)),
            bulk=True,
            # A hundred columns and more.
            decode=msgspec.json.Decoder(list[Contract], strict=False, dec_hook=read_iso).decode,
        ),
        Endpoint(
            "funding_rates",
            FundingRate,
            key=("symbol", "timestamp"),
            time="timestamp",
            plan=_windowed("funding"),
            ignored_fields=frozenset({"fundingRateDaily"}),
        ),
        Endpoint(
            "candles",
            Candle,
            key=("symbol", "opened_at"),
            time="opened_at",
            plan=_windowed("trade/bucketed", HOUR, binSize="1h", partial="false"),
            bar=HOUR,
            ignored_fields=frozenset({"volume", "vwap", "lastSize", "turnover"}),
        ),
    ),
)
