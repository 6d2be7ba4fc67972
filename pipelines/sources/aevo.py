"""Aevo: perpetuals settled in USDC, hourly funding; nanoseconds throughout, decimals as text.

Facts: `shared/venues/aevo.md`, whose field lists are not official (U): what isn't as expected goes to quarantine. Settled rates
come in arrays, fifty at most, newest first. There are no bars, no liquidations and no history of open interest; the statistics
of an asset are of now, sizes in coins.
Alone: `perps fetch --venues aevo --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from pipelines.paging import hourly, once
from pipelines.records import MaybeNumber, Nanoseconds, Number, Record
from pipelines.shapes import decode_or_none, enveloped
from pipelines.source import Endpoint, Instrument, Limit, Request, Source, VenueProblem
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
    open_interest: Total
    mark_price: MaybeNumber = None
    index_price: MaybeNumber = None
    daily_volume: MaybeNumber = None


class Summary(Record):
    """`open_interest` in coins, `daily_volume` of 24 hours (US dollars (U))."""

    open_interest: float
    mark_price: MaybeNumber
    index_price: MaybeNumber
    daily_volume: MaybeNumber


class ErrorBody(msgspec.Struct):
    error: str


def error(status: int, body: bytes) -> VenueProblem | None:
    """`{"error": "…"}` with a status."""
    said = decode_or_none(body, ErrorBody)
    if said is None:
        return None
    return VenueProblem.by_status(status, said.error)


def instruments(page: list[Market]) -> list[Instrument]:
    """Perpetuals that trade: many no longer do."""
    return [
        Instrument(m.instrument_name, base_asset(m.underlying_asset))
        for m in page
        if m.instrument_type == PERPETUAL and m.is_active
    ]


def _summary(page: Statistics) -> list[Summary]:
    return [Summary(page.open_interest.total, page.mark_price, page.index_price, page.daily_volume)]


def _statistics(instrument: Instrument, window: Window) -> Iterable[Request]:
    params = {"asset": instrument.symbol.removesuffix("-PERP"), "instrument_type": PERPETUAL}
    yield Request("/statistics", params, context={"symbol": instrument.symbol}, weights=WEIGHTS)


def _running(instrument: Instrument, window: Window) -> Iterable[Request]:
    context = {"symbol": instrument.symbol}
    yield Request("/funding", {"instrument_name": instrument.symbol}, context=context, weights=WEIGHTS)


def _funding(instrument: Instrument, window: Window) -> Request:
    span = {"start_time": window.start * NANO, "end_time": window.end * NANO - 1, "limit": RATES}
    return Request("/funding-history", {"instrument_name": instrument.symbol, **span}, window=window, weights=WEIGHTS)


SOURCE = Source(
    name="aevo",
    venue="aevo",
    base_url="https://api.aevo.xyz",
    # Nothing is documented: gently.
    limits={"requests": Limit(20, 1)},
    error=error,
    parse_instruments=instruments,
    endpoints=(
        Endpoint(
            "instruments",
            Market,
            key=("instrument_name",),
            plan=once(Request("/markets", {"instrument_type": PERPETUAL}, weights=WEIGHTS)),
            bulk=True,
            ignored_fields=frozenset("instrument_id price_step amount_step max_leverage min_order_value forward_price".split()),
        ),
        Endpoint(
            "funding_rates",
            FundingRate,
            key=("instrument_name", "settled_at"),
            time="settled_at",
            plan=hourly(RATES, _funding),
            **enveloped("funding_history", list[FundingRate]),
        ),
        Endpoint(
            "running_rates",
            RunningRate,
            key=("symbol",),
            plan=_running,
            page=RunningRate,
            rows=lambda page: [page],
            context=("symbol",),
            allow_identical_pages=True,
        ),
        Endpoint(
            "statistics",
            Summary,
            key=("symbol",),
            plan=_statistics,
            page=Statistics,
            rows=_summary,
            context=("symbol",),
            wire_type=Statistics,
            ignored_fields=frozenset("asset total_volume daily_volume_contracts daily_buy_volume daily_sell_volume".split()),
        ),
    ),
)
