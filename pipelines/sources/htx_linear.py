"""HTX linear swaps, settled in USDT, and what coin-margined swaps (`htx_coinm`) share with them.

Facts: the venue page of HTX. Host https://api.hbdm.com. Errors come in HTTP 200, in one of three envelopes. Times are
milliseconds, of bars seconds. A contract is `contract_size` coins. Klines count both sides of a trade. Whether open interest
counts one side or both, the documentation states both ways: the table of venue facts decides. The history of open interest and
the bars of the mark price are the latest 200 and 2000 rows, whatever the window. Rates, the present open interest and
liquidations are those of version 5, one contract in a request: the end of their older forms, which had all contracts in one,
was announced for 2026-07-13. Liquidations come by stream too, without an id, of all contracts, in frames of gzip; the server's
ping is answered as it came. Most listings are stocks, metals and indices: `tradfi_labels` tells them from coins.
Alone: `perps fetch --venues htx --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pipelines.endpoints import hourly_bars, series, snapshot, snapshot_by_instrument
from pipelines.order_books import order_book, sides
from pipelines.paging import hourly, latest, present, rest_of_window, windowed
from pipelines.records import Labels, MaybeMs, MaybeNumber, Ms, Number, Record, Seconds
from pipelines.shapes import Stamped, decode_or_none, enveloped
from pipelines.source import Endpoint, Heard, Instrument, Limit, Request, Source, Stream, Subscription, VenueProblem
from pipelines.streams import frames, gunzip
from pipelines.symbols import base_asset
from pipelines.windows import HOUR

BASE_URL = "https://api.hbdm.com"
LIMITS = {"reference": Limit(240, 3), "market": Limit(800, 1)}
REFERENCE = {"reference": 1}
#: The most rows of a page of version 5 and of bars; all rows that there are of open interest and of the mark price.
ROWS, BARS, POINTS, MARKS = 100, 2000, 200, 2000
#: Levels of a side of the order book that is not merged.
DEPTH = 150
#: The ends of a window.
BOUNDS = ("start_time", "end_time")
#: Hours in a request for settled rates: a month, of which a page has the whole unless they are hourly.
MONTH = 30 * 24
#: Error codes (unverified): too many requests, and a failure of the venue's servers.
LIMITED, TRANSIENT = {"1032"}, {"1000", "1001", "1002", "1003", "1004"}


class Contract(Record):
    """`contract_size` is coins, of an inverse contract US dollars; `create_date` is a day, `YYYYMMDD`.

    `settlement_period` is hours; `tradfi_labels` is empty for coins. Coin-margined swaps have neither.
    """

    contract_code: str
    symbol: str
    contract_size: Number
    contract_status: int
    create_date: str
    business_type: str = "swap"
    settlement_period: MaybeNumber = None
    tradfi_labels: Labels | None = None


class OpenInterestNow(Record):
    """`volume` counts contracts, `amount` coins, `value` the quote currency."""

    contract_code: str
    volume: MaybeNumber
    amount: MaybeNumber = None
    value: MaybeNumber = None
    business_type: str = "swap"


class RunningRate(Record):
    """`funding_time` is the settlement to which the rate will apply."""

    contract_code: str
    funding_rate: MaybeNumber
    funding_time: MaybeMs = None
    next_funding_time: MaybeMs = None


class FundingRate(Record):
    contract_code: str
    funding_rate: Number
    funding_time: Ms


class OpenInterest(Record):
    """`volume` counts contracts."""

    volume: Number
    ts: Ms
    value: MaybeNumber = None


class MarkCandle(Stamped):
    time: Seconds = msgspec.field(name="id")
    open: Number
    high: Number
    low: Number
    close: Number


class Candle(MarkCandle):
    """`vol` counts contracts, `amount` coins, `trade_turnover` the quote currency."""

    vol: Number
    amount: Number
    trade_turnover: MaybeNumber = None


class Liquidation(Record):
    """`direction` is the order's side, `volume` contracts, `price` that of bankruptcy.

    `amount` is contracts too in the only sample, by its turnover.
    """

    contract_code: str
    query_id: int = msgspec.field(name="id")
    created_at: Ms = msgspec.field(name="liquidation_time")
    direction: str = msgspec.field(name="side")
    price: Number = msgspec.field(name="bankrupt_price")
    volume: Number
    amount: MaybeNumber = None
    trade_turnover: MaybeNumber = None


class StreamedLiquidation(Record):
    """As `Liquidation`, without an id; `amount` is coins."""

    contract_code: str
    created_at: Ms
    direction: str
    price: Number
    volume: Number
    amount: MaybeNumber = None
    trade_turnover: MaybeNumber = None
    nth: int = 0


class Notice(msgspec.Struct):
    data: list[StreamedLiquidation]


class ErrorBody(msgspec.Struct, rename={"market_code": "err-code", "market_message": "err-msg"}):
    """`{"status": "error", "err_code": …}`, of market data `{"status": "error", "err-code": …}`, or `{"code": 200, …}`."""

    status: str | int | None = None
    err_code: int | str | None = None
    err_msg: str = ""
    market_code: int | str | None = None
    market_message: str = ""
    code: int | str | None = None
    message: str = ""
    msg: str = ""


def error(status: int, body: bytes) -> VenueProblem | None:
    content = decode_or_none(body, ErrorBody)
    if content is None:
        return None
    failed = content.status == "error" or content.code not in (None, 200, "200")
    code = next((c for c in (content.err_code, content.market_code, content.code) if c is not None), "")
    if not failed:
        return None
    message = f"{code} {content.err_msg or content.market_message or content.message or content.msg}".strip()
    if str(code) in LIMITED:
        return VenueProblem("limited", message)
    return VenueProblem("transient", message) if str(code) in TRANSIENT else VenueProblem.by_status(status, message)


def instruments(page: Any) -> list[Instrument]:
    """The perpetuals; the same list may have dated futures. States: 0, 7, 8 are over, 2 is to come."""
    return [
        Instrument(c.contract_code, base_asset(c.symbol), trading=c.contract_status not in (0, 2, 7, 8))
        for c in page.data
        if c.business_type == "swap"
    ]


def by_code(instrument: Instrument) -> dict[str, str]:
    return {"contract_code": instrument.symbol}


def list_of_contracts(prefix: str, **business: str) -> Endpoint:
    """The contracts under a prefix; `business` is a parameter that selects swaps where the list has more."""
    return snapshot(
        "instruments",
        Contract,
        "contract_code",
        Request(f"/{prefix}-api/v1/swap_contract_info", business, weights=REFERENCE),
        rows_at="data",
        ignored_fields="price_tick delivery_date delivery_time settlement_date support_margin_mode pair contract_type "
        "trade_partition enable_rpi",
    )


def market_series(prefix: str, marks: str) -> tuple[Endpoint, ...]:
    """The history of open interest and the bars of one kind of swap; `marks` names the bars of its mark price."""
    market, period = {"market": 1}, "60min"
    history = latest(
        f"/{prefix}-api/v1/swap_his_open_interest", market, instrument_params=by_code, period=period, size=POINTS, amount_type=1
    )
    bars = windowed(
        f"/{prefix}-ex/market/history/kline",
        None,
        market,
        instrument_params=by_code,
        bounds=("from", "to"),
        unit=1000,
        period=period,
    )
    mark_path = f"/index/market/history/{marks}_mark_price_kline"
    mark_bars = latest(mark_path, market, instrument_params=by_code, period=period, size=MARKS)
    return (
        series(
            "open_interest",
            OpenInterest,
            "ts",
            history,
            every=HOUR,
            rows_at="data.tick",
            history_days=POINTS / 24,
            ignored_fields="amount_type",
        ),
        hourly_bars("candles", Candle, hourly(BARS, bars), time="time", rows_at="data", history_days=730, ignored_fields="count"),
        hourly_bars(
            "mark_candles",
            MarkCandle,
            mark_bars,
            time="time",
            rows_at="data",
            history_days=MARKS / 24,
            ignored_fields="vol amount count trade_turnover",
        ),
    )


def order_books(prefix: str) -> Endpoint:
    """150 levels a side, sizes in contracts: `step0` is not merged, by the venue's page and ccxt 4.5.90."""
    plan = present(f"/{prefix}-ex/market/depth", {"market": 1}, instrument_params=by_code, type="step0")
    return order_book(plan, **sides(DEPTH, "tick", time="tick.ts"))


def _now(name: str, endpoint: str, record: type[Record], ignored_fields: str, **page: Any) -> Endpoint:
    plan = present(f"/v5/market/{endpoint}", REFERENCE, instrument_params=by_code)
    return snapshot_by_instrument(name, record, plan, key="contract_code", ignored_fields=ignored_fields, **page)


def _history(name: str, endpoint: str, record: type[Record], time: str, hours: int, **more: Any) -> Endpoint:
    request = windowed(f"/v5/market/{endpoint}", ROWS, REFERENCE, instrument_params=by_code, bounds=BOUNDS)
    return series(
        name,
        record,
        time,
        hourly(hours, request),
        instrument="contract_code",
        rows_at="data",
        next_page=rest_of_window(ROWS, time, BOUNDS),
        **more,
    )


def _hear(frame: Any) -> Heard:
    """A ping's `ts` is text where an answer's is a number: it is sent back as it came. Five unanswered ones end a connection."""
    match frame.get("op"):
        case "ping":
            return Heard("other", reply={"op": "pong", "ts": frame["ts"]})
        case "notify":
            return Heard("event")
        case "sub" if not frame.get("err-code"):
            return Heard("acknowledged", frame["topic"])
        case "sub" | "error":
            return Heard("refused", frame.get("topic", ""), f"{frame.get('err-code')} {frame.get('err-msg')}")
    return Heard("other")


def liquidations_stream(prefix: str, **business: str) -> Stream:
    """The stream of one kind of swap; `business` selects swaps where it has more."""
    topic = "public.*.liquidation_orders"
    return Stream(
        "liquidations",
        f"wss://api.hbdm.com/{prefix}-notification",
        frames(
            "liquidations_stream",
            StreamedLiquidation,
            Notice,
            lambda frame: frame.data,
            key=("contract_code", "created_at", "direction", "price", "volume", "nth"),
            time="created_at",
        ),
        subscribe=lambda symbols, number: Subscription({"op": "sub", "cid": str(number), "topic": topic, **business}, topic),
        hear=_hear,
        unpack=gunzip,
        silence=6 * 3600,
        silent="HTX has moved its hosts before: a newer version of perplake may know the new address",
    )


SOURCE = Source(
    name="htx_linear",
    collected=(order_books("linear-swap"),),
    venue="htx",
    base_url=BASE_URL,
    limits=LIMITS,
    error=error,
    parse_instruments=instruments,
    endpoints=(
        list_of_contracts("linear-swap", business_type="swap"),
        _now(
            "open_interest_now",
            "open_interest",
            OpenInterestNow,
            "trade_amount trade_volume trade_turnover",
            **enveloped("data", OpenInterestNow) | {"rows": lambda page: [page.data] if page.data else []},
        ),
        _now(
            "running_rates",
            "funding_rate",
            RunningRate,
            "min_funding_rate max_funding_rate",
            **enveloped("data", list[RunningRate]),
        ),
        _history("funding_rates", "funding_rate_history", FundingRate, "funding_time", MONTH, ignored_fields="id"),
        # At most two hours in a request.
        _history(
            "liquidations",
            "liquidation_orders",
            Liquidation,
            "created_at",
            2,
            key=("contract_code", "query_id"),
            history_days=90,
            proven_days=90,
            is_event=True,
            ignored_fields="position_side",
        ),
        *market_series("linear-swap", "linear_swap"),
    ),
    streams=(liquidations_stream("linear-swap", business_type="swap"),),
)
