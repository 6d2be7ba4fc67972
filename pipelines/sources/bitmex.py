"""BitMEX, a closed venue (2026-09-23): inverse, linear and quanto perpetuals in the wire format of its former REST.

Facts: the venue page of BitMEX. It is never asked live: its history comes from files in this format (`perps import bitmex …`)
or from a recording that the emulator serves, and ends with the venue; open interest has no history. ISO times, JSON numbers. A
bar is stamped with its end (unverified); `homeNotional` is coins and `foreignNotional` quote currency for every kind of
contract. `fundingInterval` is a time of day after 2000-01-01: 08:00 is eight hours.
Alone: `perps import bitmex funding_rates funding.json` and `perps run --mode live --venues bitmex --from … --to …`.
"""

from __future__ import annotations

import msgspec

from pipelines.endpoints import hourly_bars, series, snapshot
from pipelines.error_bodies import error_reader
from pipelines.paging import hourly
from pipelines.records import IsoMs, MaybeNumber, Number, Record
from pipelines.source import Instrument, Limit, Plan, Request, Source
from pipelines.symbols import base_asset
from pipelines.windows import HOUR, Window, iso

ROOT = "/api/v1/"
WEIGHTS = {"requests": 1}
ROWS = 500
#: Settlement in bitcoin or Tether: the smallest units of other coins are not documented.
SETTLED_IN = ("XBt", "USDt")
PERPETUAL = "FFWCSX"


class Contract(Record, rename="camel"):
    """`multiplier`: smallest units of the settlement currency that a contract pays per dollar of price; negative if inverse."""

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
    """`opened_at` is the bar's start, an hour before the venue's stamp. A bar without a trade has no prices."""

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


error = error_reader(message="error.message")


def instruments(page: list[Contract]) -> list[Instrument]:
    """Perpetuals of coins, settled in bitcoin or Tether."""
    return [
        Instrument(c.symbol, base_asset(c.root_symbol)) for c in page if c.typ == PERPETUAL and c.settl_currency in SETTLED_IN
    ]


def _windowed(path: str, shift: int = 0, **params: str) -> Plan:
    """Both ends inclusive; `shift` is the venue's stamp minus the row's time, in ms."""

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
        snapshot(
            "instruments",
            Contract,
            "symbol",
            Request(ROOT + "instrument/active", weights=WEIGHTS),
            # No report of unknown fields: the record reads a few of more than a hundred.
            ignored_fields="*",
        ),
        series("funding_rates", FundingRate, "timestamp", _windowed("funding"), ignored_fields="fundingRateDaily"),
        hourly_bars(
            "candles",
            Candle,
            _windowed("trade/bucketed", HOUR, binSize="1h", partial="false"),
            time="opened_at",
            ignored_fields="volume vwap lastSize turnover",
        ),
    ),
)
