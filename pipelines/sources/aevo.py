"""Aevo, `https://api.aevo.xyz`: perpetuals settled in USDC, hourly funding; nanoseconds throughout, decimals as text.

Facts: the venue page of Aevo, whose lists of fields are not official (unverified): a page of another shape goes to quarantine.
The history of funding has arrays, at most fifty, newest first. There are no bars, no liquidations and no history of open
interest; the statistics of an asset are of the present, sizes in coins.
Alone: `perps fetch --venues aevo --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

import msgspec

from pipelines.endpoints import series, snapshot, snapshot_by_instrument
from pipelines.error_bodies import error_reader
from pipelines.order_books import UNTOLD, order_book, sides
from pipelines.paging import hourly, present
from pipelines.records import MaybeNumber, Nanoseconds, Number, Record
from pipelines.source import Instrument, Limit, Request, Source
from pipelines.symbols import base_asset
from pipelines.windows import Window

WEIGHTS = {"requests": 1}
RATES = 50
NANO = 1_000_000  # in a millisecond
PERPETUAL = "PERPETUAL"


class Market(Record):
    instrument_name: str
    instrument_type: str
    underlying_asset: str
    quote_asset: str
    is_active: bool
    mark_price: MaybeNumber = None
    index_price: MaybeNumber = None


class FundingRate(Record, array_like=True):
    """A fraction per hour, and when it was settled (milliseconds once read)."""

    instrument_name: str
    settled_at: Nanoseconds
    funding_rate: Number
    mark_price: MaybeNumber = None

    def __post_init__(self) -> None:
        self.settled_at //= NANO


class RunningRate(Record):
    funding_rate: Number
    next_epoch: Nanoseconds | None = None

    def __post_init__(self) -> None:
        if self.next_epoch is not None:
            self.next_epoch //= NANO


class Total(msgspec.Struct):
    total: Number


class Statistics(msgspec.Struct):
    open_interest: Total | None = None
    mark_price: MaybeNumber = None
    index_price: MaybeNumber = None
    daily_volume: MaybeNumber = None


class Summary(Record):
    """`open_interest` in coins (optional in the OpenAPI file), `daily_volume` of 24 hours (US dollars (U))."""

    open_interest: MaybeNumber
    mark_price: MaybeNumber
    index_price: MaybeNumber
    daily_volume: MaybeNumber


error = error_reader("error")


def instruments(page: list[Market]) -> list[Instrument]:
    """Perpetuals that are active: many no longer are."""
    return [
        Instrument(m.instrument_name, base_asset(m.underlying_asset))
        for m in page
        if m.instrument_type == PERPETUAL and m.is_active
    ]


def _summary(page: Statistics) -> list[Summary]:
    return [
        Summary(page.open_interest.total if page.open_interest else None, page.mark_price, page.index_price, page.daily_volume)
    ]


def _by_name(instrument: Instrument) -> dict[str, str]:
    return {"instrument_name": instrument.symbol}


def _by_asset(instrument: Instrument) -> dict[str, str]:
    return {"asset": instrument.symbol.removesuffix("-PERP")}


def _funding(instrument: Instrument, window: Window) -> Request:
    span = {"start_time": window.start * NANO, "end_time": window.end * NANO - 1, "limit": RATES}
    return Request("/funding-history", {**_by_name(instrument), **span}, window=window, weights=WEIGHTS)


#: Sizes in coins, by the venue's page ("Get Orderbook"), which doesn't say how many levels come.
ORDER_BOOKS = order_book(
    present("/orderbook", WEIGHTS, instrument_params=_by_name),
    **sides(UNTOLD, time="last_updated", stamp=Nanoseconds, unit=1 / NANO),
)

SOURCE = Source(
    name="aevo",
    collected=(ORDER_BOOKS,),
    venue="aevo",
    base_url="https://api.aevo.xyz",
    # Not documented: few.
    limits={"requests": Limit(20, 1)},
    error=error,
    parse_instruments=instruments,
    endpoints=(
        snapshot(
            "instruments",
            Market,
            "instrument_name",
            Request("/markets", {"instrument_type": PERPETUAL}, weights=WEIGHTS),
            ignored_fields="instrument_id price_step amount_step max_leverage min_order_value forward_price",
        ),
        series(
            "funding_rates",
            FundingRate,
            "settled_at",
            hourly(RATES, _funding),
            instrument="instrument_name",
            rows_at="funding_history",
        ),
        snapshot_by_instrument(
            "running_rates",
            RunningRate,
            present("/funding", WEIGHTS, instrument_params=_by_name),
            page=RunningRate,
            rows=lambda page: [page],
            allow_identical_pages=True,
        ),
        snapshot_by_instrument(
            "statistics",
            Summary,
            present("/statistics", WEIGHTS, instrument_params=_by_asset, instrument_type=PERPETUAL),
            page=Statistics,
            rows=_summary,
            wire_type=Statistics,
            ignored_fields="asset total_volume daily_volume_contracts daily_buy_volume daily_sell_volume",
        ),
    ),
)
