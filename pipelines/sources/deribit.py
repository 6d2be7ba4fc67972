"""Deribit: inverse perpetuals (`BTC-PERPETUAL`, sizes in US dollars) and linear ones (`SOL_USDC-PERPETUAL`, sizes in coins).

Facts: the venue page of Deribit. JSON-RPC over GET at https://www.deribit.com, JSON numbers, milliseconds. Funding is continuous:
`interest_1h` is the rate of one hour, stamped with the hour's end; `interest_8h` is the sum of eight such hours, so adding it up
hour by hour counts each hour eight times. Open interest has no history, only the present value. Whether a window includes its
start is not documented: requests start a millisecond earlier. Liquidations are trades with a flag, by stream: `M`: the maker was
liquidated, `T`: the taker, `MT`: both. Frames without one are not kept.
Alone: `perps fetch --venues deribit --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Literal

import msgspec

from pipelines.endpoints import hourly_bars, series, snapshot
from pipelines.error_bodies import error_reader
from pipelines.order_books import order_book, sides
from pipelines.paging import WindowRequest, hourly, present
from pipelines.records import MaybeNumber, Ms, Number, Record
from pipelines.shapes import rows_from_columns
from pipelines.source import Heard, Instrument, Limit, Request, Source, Stream, Subscription
from pipelines.streams import frames
from pipelines.symbols import base_asset
from pipelines.windows import Window

PUBLIC = "/api/v2/public"
WEIGHTS = {"requests": 1}
FUNDING_ROWS = 744
BARS = 1000
#: The most levels of a side of the order book, of 1, 5, 10, 20, 50, 100, 1000 and 10000.
DEPTH = 10_000
#: Currencies whose order books are summarised, one request each: inverse perpetuals belong to their coin, linear ones to the
#: currency that they settle in.
CURRENCIES = ("BTC", "ETH", "USDC", "USDT")


class Symbol(Record):
    """A listing; options and combinations have fewer fields."""

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
    """The bars of a chart: a list to each field."""

    status: Literal["ok", "no_data"]
    ticks: list[Ms]
    open: list[Number]
    high: list[Number]
    low: list[Number]
    close: list[Number]
    volume: list[Number]
    cost: list[Number]


COLUMNS = ("ticks", "open", "high", "low", "close", "volume", "cost")


class Chart(msgspec.Struct):
    result: Columns


error = error_reader(
    "error.code", "error.message", limited=(10028,), transient=(-32603,), phrases={"too_many_requests": "limited"}
)


def instruments(page: Any) -> list[Instrument]:
    return [
        Instrument(s.instrument_name, base_asset(s.base_currency or ""), s.creation_timestamp, trading=s.is_active)
        for s in page.result
        if s.kind == "future" and s.settlement_period == "perpetual"
    ]


def _bars(page: Chart) -> Sequence[Candle]:
    """Raises ValueError where the columns differ in length."""
    return rows_from_columns(Candle, *attrgetter(*COLUMNS)(page.result))


def _windowed(method: str, *, clip_start: bool = False, **params: str) -> WindowRequest:
    """A window from a millisecond before its start; `clip_start` where the answer may include the bar of that millisecond."""

    def request(instrument: Instrument, window: Window) -> Request:
        span = {"start_timestamp": window.start - 1, "end_timestamp": window.end - 1}
        return Request(
            f"{PUBLIC}/{method}",
            {"instrument_name": instrument.symbol, **span, **params},
            context={"symbol": instrument.symbol},
            window=window,
            clip_start=clip_start,
            weights=WEIGHTS,
        )

    return request


class Trade(Record):
    """A trade with a liquidation: `direction` is the taker's, `amount` coins, or US dollars of an inverse contract."""

    instrument_name: str
    trade_id: str
    trade_seq: int
    timestamp: Ms
    direction: str
    price: Number
    amount: Number
    liquidation: str
    mark_price: MaybeNumber = None
    index_price: MaybeNumber = None


class AnyTrade(Trade):
    """A trade of a frame: most are without a liquidation."""

    liquidation: str | None = None  # type: ignore[assignment]


class TradesOf(msgspec.Struct):
    data: list[AnyTrade]


class Notification(msgspec.Struct):
    params: TradesOf


def _forced(frame: Notification) -> list[Trade]:
    return [Trade(**msgspec.structs.asdict(trade)) for trade in frame.params.data if trade.liquidation]


def _hear(frame: Any) -> Heard:
    if frame.get("method") == "subscription":
        return Heard("event" if any(trade.get("liquidation") for trade in frame["params"]["data"]) else "data")
    if "error" in frame:
        return Heard("refused", str(frame.get("id")), f"{frame['error'].get('code')} {frame['error'].get('message')}")
    result = frame.get("result")
    if isinstance(result, list):  # a channel that the venue doesn't know is left out of it
        return Heard("acknowledged" if result else "refused", str(frame.get("id")), "no such channel")
    return Heard("other")


def _subscribe(symbols: Sequence[str], number: int) -> Subscription:
    channels = [f"trades.{symbol}.100ms" for symbol in symbols]
    message = {"jsonrpc": "2.0", "id": number, "method": "public/subscribe", "params": {"channels": channels}}
    return Subscription(message, str(number))


#: Sizes are as in trades: coins, or US dollars of an inverse contract. By the venue's page and ccxt 4.5.90.
ORDER_BOOKS = order_book(
    present(
        f"{PUBLIC}/get_order_book",
        WEIGHTS,
        instrument_params=lambda instrument: {"instrument_name": instrument.symbol},
        depth=DEPTH,
    ),
    **sides(DEPTH, "result", time="result.timestamp"),
)

SOURCE = Source(
    name="deribit",
    collected=(ORDER_BOOKS,),
    venue="deribit",
    base_url="https://www.deribit.com",
    # Half of what an address without an account sustains (unverified); the list of instruments has a limit of its own.
    limits={"requests": Limit(100, 10), "instruments": Limit(5, 50)},
    error=error,
    parse_instruments=instruments,
    endpoints=(
        snapshot(
            "instruments",
            Symbol,
            "instrument_name",
            Request(f"{PUBLIC}/get_instruments", {"currency": "any", "kind": "future"}, weights={"instruments": 1}),
            rows_at="result",
            ignored_fields="counter_currency min_trade_amount tick_size tick_size_steps price_index expiration_timestamp state "
            "max_leverage underlying_type instrument_id future_type maker_commission taker_commission block_trade_commission "
            "block_trade_min_trade_amount block_trade_tick_size max_liquidation_commission max_non_default_leverage rfq",
        ),
        snapshot(
            "summaries",
            Summary,
            "instrument_name",
            *(
                Request(f"{PUBLIC}/get_book_summary_by_currency", {"currency": currency, "kind": "future"}, weights=WEIGHTS)
                for currency in CURRENCIES
            ),
            rows_at="result",
            ignored_fields="volume volume_usd volume_notional funding_8h mid_price low high last estimated_delivery_price "
            "creation_timestamp bid_price ask_price base_currency price_change",
        ),
        series(
            "funding_rates",
            FundingRate,
            "timestamp",
            hourly(FUNDING_ROWS, _windowed("get_funding_rate_history")),
            rows_at="result",
            ignored_fields="prev_index_price",
        ),
        hourly_bars(
            "candles",
            Candle,
            hourly(BARS, _windowed("get_tradingview_chart_data", clip_start=True, resolution="60")),
            time="tick",
            page=Chart,
            rows=_bars,
            wire_type=Columns,
            aligned=tuple(f"$.result.{name}" for name in COLUMNS),
        ),
    ),
    streams=(
        Stream(
            "liquidations",
            "wss://www.deribit.com/ws/api/v2",
            frames("liquidations_stream", Trade, Notification, _forced, key=("instrument_name", "trade_id"), time="timestamp"),
            subscribe=_subscribe,
            hear=_hear,
            by_instrument=True,
            per_request=1,  # an unknown channel among others would be left out without a word
            per_connection=500,
            ping={"jsonrpc": "2.0", "id": 0, "method": "public/test"},
            silence=3600,
            numbers=lambda frame: (
                [(trade["instrument_name"], trade["trade_seq"]) for trade in frame["params"]["data"]]
                if frame.get("method") == "subscription"
                else []
            ),
        ),
    ),
)
