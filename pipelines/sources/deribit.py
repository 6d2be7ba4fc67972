"""Deribit: inverse perpetuals (`BTC-PERPETUAL`, amounts in USD) and linear ones (`SOL_USDC-PERPETUAL`, amounts in the base coin).

Facts: `shared/venues/deribit.md`. JSON-RPC over GET, JSON numbers, milliseconds. Funding is continuous: `interest_1h` is what an
hour came to and is stamped with its end; `interest_8h` is the sum of eight such hours and must never be added up hourly. Open
interest is told for now alone. Whether a window's start is counted in is unverified: it is asked for from a millisecond before.
Alone: `perps fetch --venues deribit --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from pipelines.paging import hourly, once
from pipelines.records import MaybeNumber, Ms, Number, Record
from pipelines.shapes import decode_or_none, enveloped, rows_from_columns
from pipelines.source import Endpoint, Instrument, Limit, Request, Source, VenueProblem
from pipelines.symbols import base_asset
from pipelines.windows import HOUR, Window

PUBLIC = "/api/v2/public"
WEIGHTS = {"requests": 1}
FUNDING_ROWS = 744
BARS = 1000
#: Whose books are summed up in one request each: the inverse ones by their coin, the linear ones by what they settle in.
CURRENCIES = ("BTC", "ETH", "USDC", "USDT")


class Symbol(Record):
    """Options and combinations have fewer fields."""

    instrument_name: str
    kind: str
    is_active: bool
    settlement_period: str | None = None
    instrument_type: str | None = None
    base_currency: str | None = None
    quote_currency: str | None = None
    settlement_currency: str | None = None
    contract_size: MaybeNumber = None
    creation_timestamp: Ms | None = None


class Summary(Record):
    instrument_name: str
    quote_currency: str
    open_interest: MaybeNumber = None
    mark_price: MaybeNumber = None
    current_funding: MaybeNumber = None


class FundingRate(Record):
    timestamp: Ms
    interest_1h: Number
    interest_8h: MaybeNumber = None
    index_price: MaybeNumber = None


class Candle(Record):
    tick: Ms
    open: Number
    high: Number
    low: Number
    close: Number
    volume: Number
    cost: Number


class Columns(msgspec.Struct):
    """Bars, a list to each of their fields."""

    status: Literal["ok", "no_data"]
    ticks: list[Ms]
    open: list[Number]
    high: list[Number]
    low: list[Number]
    close: list[Number]
    volume: list[Number]
    cost: list[Number]


class Chart(msgspec.Struct):
    result: Columns


class Error(msgspec.Struct):
    code: int
    message: str = ""


class ErrorBody(msgspec.Struct):
    error: Error | None = None


def error(status: int, body: bytes) -> VenueProblem | None:
    """`{"error": {"code": 10028, "message": "too_many_requests"}}`, whatever the status.

    Other codes refuse what was asked, unless the status or the code of JSON-RPC (-32603) tells of the server.
    """
    answer = decode_or_none(body, ErrorBody)
    said = answer.error if answer else None
    if said is None:
        return None
    message = f"{said.code} {said.message}"
    if said.code == 10028 or "too_many_requests" in said.message:
        return VenueProblem("limited", message)
    return VenueProblem("transient" if status >= 500 or said.code == -32603 else "rejected", message)


def instruments(page: object) -> list[Instrument]:
    return [
        Instrument(s.instrument_name, base_asset(s.base_currency or ""))
        for s in page.result  # type: ignore[attr-defined]
        if s.kind == "future" and s.settlement_period == "perpetual"
    ]


def _bars(page: Chart) -> Sequence[Candle]:
    """Raises ValueError where the columns differ in length."""
    c = page.result
    return rows_from_columns(Candle, c.ticks, c.open, c.high, c.low, c.close, c.volume, c.cost)


def _summaries(instrument: Instrument, window: Window) -> Iterable[Request]:
    for currency in CURRENCIES:
        params: dict[str, str | int] = {"currency": currency, "kind": "future"}
        yield Request(f"{PUBLIC}/get_book_summary_by_currency", params, weights=WEIGHTS)


def _span(instrument: Instrument, window: Window) -> dict[str, str | int]:
    return {"instrument_name": instrument.symbol, "start_timestamp": window.start - 1, "end_timestamp": window.end - 1}


def _funding(instrument: Instrument, window: Window) -> Request:
    return Request(
        f"{PUBLIC}/get_funding_rate_history",
        _span(instrument, window),
        context={"symbol": instrument.symbol},
        window=window,
        weights=WEIGHTS,
    )


def _candles(instrument: Instrument, window: Window) -> Request:
    """The bar in which the millisecond before lies may come along."""
    return Request(
        f"{PUBLIC}/get_tradingview_chart_data",
        _span(instrument, window) | {"resolution": "60"},
        context={"symbol": instrument.symbol},
        window=window,
        clip_start=True,
        weights=WEIGHTS,
    )


SOURCE = Source(
    name="deribit",
    venue="deribit",
    base_url="https://www.deribit.com",
    # Half of what is said to be sustained by an address without an account; the list of instruments has a limit of its own.
    limits={"requests": Limit(100, 10), "instruments": Limit(5, 50)},
    error=error,
    parse_instruments=instruments,
    endpoints=(
        Endpoint(
            "instruments",
            Symbol,
            key=("instrument_name",),
            plan=once(Request(f"{PUBLIC}/get_instruments", {"currency": "any", "kind": "future"}, weights={"instruments": 1})),
            **enveloped("result", list[Symbol]),
            bulk=True,
            ignored_fields=frozenset(
                "counter_currency min_trade_amount tick_size tick_size_steps price_index expiration_timestamp state max_leverage "
                "underlying_type instrument_id future_type maker_commission taker_commission block_trade_commission "
                "block_trade_min_trade_amount block_trade_tick_size max_liquidation_commission max_non_default_leverage "
                "rfq".split()
            ),
        ),
        Endpoint(
            "summaries",
            Summary,
            key=("instrument_name",),
            plan=_summaries,
            **enveloped("result", list[Summary]),
            bulk=True,
            ignored_fields=frozenset(
                "volume volume_usd volume_notional funding_8h mid_price low high last estimated_delivery_price "
                "creation_timestamp bid_price ask_price base_currency price_change".split()
            ),
        ),
        Endpoint(
            "funding_rates",
            FundingRate,
            key=("symbol", "timestamp"),
            time="timestamp",
            plan=hourly(FUNDING_ROWS, _funding),
            **enveloped("result", list[FundingRate]),
            context=("symbol",),
            ignored_fields=frozenset({"prev_index_price"}),
        ),
        Endpoint(
            "candles",
            Candle,
            key=("symbol", "tick"),
            time="tick",
            plan=hourly(BARS, _candles),
            page=Chart,
            rows=_bars,
            context=("symbol",),
            bar=HOUR,
            wire_type=Columns,
        ),
    ),
)
