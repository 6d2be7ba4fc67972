"""Gate futures v4, settle currency USDT: linear perpetuals that count contracts.

Facts: the venue page of Gate. Times are seconds (milliseconds in our tables), prices text, sizes whole contracts or, newer,
decimal text. `quanto_multiplier` is coins in a contract; coins are listed whole, PEPE by contracts of ten million. The list of
contracts is the present too: mark, index, running rate and open interest. Errors are `{"label", "message"}` with a status.
Liquidations are asked an hour at a time: how complete the venue's list is, and how far it goes back, is not documented. They come
by stream too, since 2026-08-20 all of them, by the order's size and price, where the list has the position's size and the fill's.
Bars go back 10,000 hours since 2026-02-06: a window that begins earlier is refused whole.
Alone: `perps fetch --venues gate --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from pipelines.endpoints import hourly_bars, series, snapshot
from pipelines.error_bodies import error_reader
from pipelines.order_books import named_level, order_book, sides
from pipelines.paging import WindowRequest, hourly, present, rest_of_window, windowed
from pipelines.records import MaybeNumber, Ms, Number, Record, Seconds
from pipelines.shapes import Stamped
from pipelines.source import Heard, Instrument, Limit, Plan, Request, Source, Stream, Subscription, UsageHeaders
from pipelines.streams import frames
from pipelines.symbols import base_asset
from pipelines.windows import HOUR, Window

#: Rows of a page that is asked for without a limit, where there is one; also what funding and statistics are asked by.
PAGE = 100
#: The most liquidations of a page, and no window of them is longer than an hour.
EVENTS = 1000
#: The most levels of a side of the order book, by ccxt 4.5.90.
DEPTH = 300
#: How far back bars go: 10,000 hours.
BARS_DAYS = 416
ROOT = "/api/v4/futures/usdt/"
#: The parameters for the ends of a window, and the milliseconds in their unit.
BOUNDS, SECOND = ("from", "to"), 1000
#: The channel of all liquidations.
LIQUIDATES = "futures.public_liquidates"


class Contract(Record):
    name: str
    type: str
    quanto_multiplier: Number
    funding_interval: int
    funding_rate: MaybeNumber = None
    funding_next_apply: int | None = None
    mark_price: MaybeNumber = None
    index_price: MaybeNumber = None
    position_size: MaybeNumber = None
    in_delisting: bool = False
    status: str | None = None
    contract_type: str | None = None
    create_time: int | None = None
    launch_time: int | None = None
    delisted_time: int | None = None


class FundingRate(Stamped):
    time: Seconds = msgspec.field(name="t")
    rate: Number = msgspec.field(name="r")


class Statistics(Stamped):
    open_interest: Number
    open_interest_usd: MaybeNumber = None
    mark_price: MaybeNumber = None


class PriceCandle(Stamped):
    """A bar of the mark or the index price: no volume."""

    time: Seconds = msgspec.field(name="t")
    open: Number = msgspec.field(name="o")
    high: Number = msgspec.field(name="h")
    low: Number = msgspec.field(name="l")
    close: Number = msgspec.field(name="c")


class Candle(PriceCandle):
    volume: Number = msgspec.field(name="v")
    turnover: MaybeNumber = msgspec.field(name="sum", default=None)


class Liquidation(Stamped):
    """`size` is the position's, in contracts: positive where a long was closed; `left` of the order was not filled."""

    size: Number
    fill_price: Number
    left: Number
    order_size: Number = 0.0
    order_price: MaybeNumber = None


class StreamedLiquidation(Record):
    """`size` is the order's, in contracts: negative, a sale, where a long was closed; `price` is the order's too."""

    contract: str
    time: Ms
    size: Number
    price: Number
    nth: int = 0


class Liquidated(msgspec.Struct):
    """A row of a frame: its time is called `time` since 2026-08-20, and `time_ms` before; a row may have both."""

    contract: str
    size: Number
    price: Number
    time_ms: Ms | None = None
    time: int | None = None

    @property
    def row(self) -> StreamedLiquidation:
        at = self.time if self.time_ms is None else self.time_ms
        return StreamedLiquidation(self.contract, msgspec.convert(at, Ms), self.size, self.price)


class Liquidates(msgspec.Struct):
    result: list[Liquidated]


error = error_reader(
    "label",
    "message",
    limited=("TOO_MANY_REQUESTS", "TOO_FAST"),
    blocked=("FORBIDDEN", "IP_FORBIDDEN"),
    transient=("INTERNAL", "SERVER_ERROR", "TOO_BUSY"),
)


def instruments(page: list[Contract]) -> list[Instrument]:
    return [
        Instrument(c.name, base_asset(c.name.split("_")[0]), trading=c.status not in ("prelaunch", "delisted"))
        for c in page
        if c.type == "direct"
    ]


def _windowed(endpoint: str, limit: int | None = None, price: str = "", **params: str) -> WindowRequest:
    """Both ends in seconds, inclusive; `price` stands before the contract's name."""
    return windowed(
        ROOT + endpoint,
        limit,
        {endpoint: 1},
        instrument_params=lambda instrument: {"contract": price + instrument.symbol},
        bounds=BOUNDS,
        unit=SECOND,
        **params,
    )


def _statistics(instrument: Instrument, window: Window) -> Request:
    """There is no end to ask for, only a number of rows: where hours are missing these reach beyond it."""
    context = {"symbol": instrument.symbol}
    asked: dict[str, str | int] = {"contract": instrument.symbol, "from": window.start // SECOND, "interval": "1h"}
    params = asked | {"limit": _hours(window)}
    return Request(ROOT + "contract_stats", params, None, context, window, clip_end=True, weights={"contract_stats": 1})


def _hours(window: Window) -> int:
    return -(-(window.end - window.start) // HOUR)


def _later(request: Request, page: Any, rows: Sequence[Statistics]) -> Request | None:
    """What a page leaves of its hours: the most rows that the venue sends is not documented."""
    if not rows or not request.window:
        return None
    rest = request.window.after(max(row.time for row in rows) + HOUR)
    params = {**request.params, "from": rest.start // SECOND, "limit": _hours(rest)}
    return replace(request, params=params, window=rest) if rest else None


def _more_contracts(request: Request, page: Any, rows: Sequence[Any]) -> Request | None:
    """All of them come at once as far as is known; a page of exactly a hundred may have been cut."""
    offset = int(request.params.get("offset", 0)) + PAGE
    return replace(request, params={"limit": PAGE, "offset": offset}) if len(rows) == PAGE else None


def _hear(frame: Any) -> Heard:
    """A refusal has an `error`: `{"code": 2, "message": "…"}`; without one, any result of a subscription is its success."""
    if frame.get("error"):
        return Heard("refused", frame["channel"], f"{frame['error'].get('code')} {frame['error'].get('message')}")
    if frame.get("event") == "subscribe":
        return Heard("acknowledged", frame["channel"])
    return Heard("event" if frame.get("channel") == LIQUIDATES and frame["event"] == "update" else "other")


def _bars(price: str = "") -> Plan:
    """A page holds 2000 points at most, and more is refused."""
    return hourly(1000, _windowed("candlesticks", price=price, interval="1h"))


#: Sizes count contracts, times seconds. By the venue's page and ccxt 4.5.90, which always asks for the book's id.
ORDER_BOOKS = order_book(
    present(
        ROOT + "order_book",
        {"order_book": 1},
        instrument_params=lambda instrument: {"contract": instrument.symbol},
        limit=DEPTH,
        with_id="true",
    ),
    **sides(DEPTH, time="current", unit=SECOND, level=named_level("p", "s")),
)

#: The list has the present too: the collector asks for it again and again, as `listed_now`.
LISTED = snapshot(
    "instruments",
    Contract,
    "name",
    Request(ROOT + "contracts", weights={"contracts": 1}),
    next_page=_more_contracts,
    ignored_fields="config_change_time cross_leverage_default delisting_time enable_bonus enable_circuit_breaker "
    "enable_credit enable_decimal funding_cap_ratio funding_impact_value funding_offset funding_rate_indicative "
    "funding_rate_limit interest_rate is_pre_market last_price leverage_max leverage_min long_users maintenance_rate "
    "maker_fee_rate mark_price_round mark_type market_order_size_max market_order_slip_ratio order_price_deviate "
    "order_price_round order_size_max order_size_min orderbook_id orders_limit ref_discount_rate ref_rebate_rate "
    "risk_limit_base risk_limit_max risk_limit_step short_users taker_fee_rate trade_id trade_size voucher_leverage",
)

SOURCE = Source(
    name="gate",
    collected=(ORDER_BOOKS, replace(LISTED, name="listed_now")),
    venue="gate",
    base_url="https://api.gateio.ws",
    limits={
        endpoint: Limit(200, 10)
        for endpoint in ("contracts", "funding_rate", "contract_stats", "candlesticks", "liq_orders", "order_book")
    },
    usage_headers=UsageHeaders(limit="X-Gate-RateLimit-Limit", remaining="X-Gate-RateLimit-Requests-Remain"),
    error=error,
    parse_instruments=instruments,
    endpoints=(
        LISTED,
        series(
            "open_interest",
            Statistics,
            "time",
            hourly(PAGE, _statistics),
            every=HOUR,
            next_page=_later,
            ignored_fields="lsr_taker lsr_account top_lsr_account top_lsr_size long_liq_size long_liq_amount long_liq_usd "
            "short_liq_size short_liq_amount short_liq_usd",
        ),
        series("funding_rates", FundingRate, "time", hourly(PAGE, _windowed("funding_rate", PAGE)), allow_identical_pages=True),
        series(
            "liquidations",
            Liquidation,
            "time",
            hourly(1, _windowed("liq_orders", EVENTS)),
            key=("symbol", "time", "size", "order_size", "fill_price", "left"),
            next_page=rest_of_window(EVENTS, "time", BOUNDS, SECOND),
            is_event=True,
            numbered=True,
            ignored_fields="contract",
        ),
        hourly_bars("candles", Candle, _bars(), time="time", history_days=BARS_DAYS),
        hourly_bars("mark_candles", PriceCandle, _bars("mark_"), time="time", history_days=BARS_DAYS),
        hourly_bars("index_candles", PriceCandle, _bars("index_"), time="time", history_days=BARS_DAYS),
    ),
    streams=(
        Stream(
            "liquidations",
            "wss://fx-ws.gateio.ws/v4/ws/usdt",
            frames(
                "liquidations_stream",
                StreamedLiquidation,
                Liquidates,
                lambda frame: [row.row for row in frame.result],
                key=("contract", "time", "size", "price", "nth"),
                time="time",
            ),
            subscribe=lambda symbols, number: Subscription(
                {"time": int(time.time()), "channel": LIQUIDATES, "event": "subscribe", "payload": ["!all"]}, LIQUIDATES
            ),
            hear=_hear,
            delay=2,  # a second is gathered before it is sent
            silence=3600,
            silent="Gate sends liquidations of all contracts here: a newer version of perplake may know another address",
        ),
    ),
)
