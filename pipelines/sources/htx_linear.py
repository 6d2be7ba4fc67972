"""HTX linear swaps, settled in USDT; what coin-margined swaps have in common with them stands here too.

Facts: `shared/venues/htx.md`. Errors come in HTTP 200, in one of two envelopes; milliseconds, but bars in seconds. A contract is
`contract_size` coins. Klines count both sides of a trade; of open interest the documentation contradicts itself: both are facts.
Settled funding comes in numbered pages from the newest row, open interest's history and the mark's bars as their latest rows
(200 and 2000), all without a window. The text `null` stands for null in a field that is not read.
Alone: `perps fetch --venues htx --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import msgspec

from pipelines.paging import from_newest, hourly, once, windowed
from pipelines.records import MaybeMs, MaybeNumber, Ms, Number, Record, Seconds
from pipelines.shapes import Stamped, decode_or_none, enveloped
from pipelines.source import Endpoint, Instrument, Limit, Plan, Request, Source, VenueProblem
from pipelines.symbols import base_asset
from pipelines.windows import HOUR, Window

BASE_URL = "https://api.hbdm.com"
LIMITS = {"reference": Limit(240, 3), "market": Limit(800, 1)}
#: The most rows of a page, or of all that there is.
RATES, BARS, POINTS, MARKS = 50, 2000, 200, 2000
#: Too often (U), and what the venue's own machines do wrong (U).
OFTEN, SYSTEM = {1032}, {1000, 1001, 1002, 1003, 1004}


class Contract(Record):
    """`contract_size` is coins, of an inverse contract US dollars; `create_date` is a day as text."""

    contract_code: str
    symbol: str
    contract_size: Number
    contract_status: int
    create_date: str
    business_type: str = "swap"


class OpenInterestNow(Record):
    """`volume` counts contracts, `amount` coins, `value` the quote currency."""

    contract_code: str
    volume: MaybeNumber
    amount: MaybeNumber = None
    value: MaybeNumber = None
    business_type: str = "swap"


class RunningRate(Record):
    """`funding_time` is the settlement that the rate will apply to."""

    contract_code: str
    funding_rate: MaybeNumber
    funding_time: MaybeMs = None


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
    """`direction` is the order's side, `volume` contracts, `amount` coins, `price` that of bankruptcy."""

    contract_code: str
    query_id: int
    created_at: Ms
    direction: str
    price: Number
    volume: Number
    amount: Number
    trade_turnover: MaybeNumber = None


class ErrorBody(msgspec.Struct):
    """Both envelopes: `{"status": "error", "err_code": …}` and `{"code": 200, …}`."""

    status: str | int | None = None
    err_code: int | None = None
    err_msg: str = ""
    code: int | None = None
    message: str = ""
    msg: str = ""


def error(status: int, body: bytes) -> VenueProblem | None:
    said = decode_or_none(body, ErrorBody)
    if said is None:
        return None
    code = said.err_code if said.status == "error" else said.code if said.code not in (None, 200) else None
    if code is None:
        return None
    message = f"{code} {said.err_msg or said.message or said.msg}".rstrip()
    if status == 429 or code in OFTEN:
        return VenueProblem("limited", message)
    return VenueProblem("transient" if status >= 500 or code in SYSTEM else "rejected", message)


def instruments(page: object) -> list[Instrument]:
    """Perpetuals; dated futures may stand in the same list."""
    return [
        Instrument(c.contract_code, base_asset(c.symbol))
        for c in page.data  # type: ignore[attr-defined]
        if c.business_type == "swap"
    ]


def by_code(instrument: Instrument) -> dict[str, str]:
    return {"contract_code": instrument.symbol}


def _latest(path: str, kind: str, **params: str | int) -> Plan:
    """The latest rows, however many: the window is no part of the question."""

    def plan(instrument: Instrument, window: Window) -> Iterable[Request]:
        asked: dict[str, str | int] = {**by_code(instrument), **params}
        context = {"symbol": instrument.symbol}
        yield Request(path, asked, context=context, window=window, clip_start=True, clip_end=True, weights={kind: 1})

    return plan


def _liquidations(path: str) -> Plan:
    """Two hours at a time, both ends inclusive; every kind of trade."""

    def request(instrument: Instrument, window: Window) -> Request:
        asked: dict[str, str | int] = {"contract": instrument.symbol, "trade_type": 0, "direct": "next"}
        span = {"start_time": window.start, "end_time": window.end - 1}
        return Request(path, asked | span, context={"symbol": instrument.symbol}, window=window, weights={"reference": 1})

    return hourly(2, request)


def _next(request: Request, page: object, rows: Sequence[Liquidation]) -> Request | None:
    """How long a page is isn't documented: it goes on until one is empty."""
    if not rows:
        return None
    return replace(request, params={**request.params, "from_id": max(row.query_id for row in rows)})


def datasets(prefix: str, marks: str, **business: str) -> tuple[Endpoint, ...]:
    """What both kinds of swap have, under `/<prefix>-api` and `/<prefix>-ex`; `marks` is the path of the mark's bars."""
    api, reference = f"/{prefix}-api/v1/", {"reference": 1}

    def now(name: str, endpoint: str, record: type[Record], known: str, **params: str) -> Endpoint:
        return Endpoint(
            name,
            record,
            key=("contract_code",),
            plan=once(Request(api + endpoint, params, weights=reference)),
            **enveloped("data", list[record]),  # type: ignore[valid-type]
            bulk=True,
            ignored_fields=frozenset(known.split()),
        )

    bars = windowed(
        f"/{prefix}-ex/market/history/kline",
        None,
        {"market": 1},
        instrument_params=by_code,
        bounds=("from", "to"),
        unit=1000,
        period="60min",
    )
    return (
        now(
            "instruments",
            "swap_contract_info",
            Contract,
            "price_tick delivery_date delivery_time settlement_date support_margin_mode pair contract_type trade_partition",
            **business,
        ),
        now(
            "open_interest_now",
            "swap_open_interest",
            OpenInterestNow,
            "symbol trade_amount trade_volume trade_turnover pair contract_type trade_partition",
            **business,
        ),
        now(
            "running_rates",
            "swap_batch_funding_rate",
            RunningRate,
            "symbol fee_asset estimated_rate next_funding_time trade_partition",
        ),
        Endpoint(
            "open_interest",
            OpenInterest,
            key=("symbol", "ts"),
            time="ts",
            plan=_latest(api + "swap_his_open_interest", "market", period="60min", size=POINTS, amount_type=1),
            **enveloped("data.tick", list[OpenInterest]),
            context=("symbol",),
            history_days=POINTS / 24,
            ignored_fields=frozenset({"amount_type"}),
        ),
        Endpoint(
            "funding_rates",
            FundingRate,
            key=("contract_code", "funding_time"),
            time="funding_time",
            plan=_latest(api + "swap_historical_funding_rate", "reference", page_index=1, page_size=RATES),
            **enveloped("data.data", list[FundingRate]),
            next_page=from_newest("page_index", "page_size", "funding_time"),
            ignored_fields=frozenset({"avg_premium_index", "realized_rate", "symbol", "fee_asset"}),
        ),
        Endpoint(
            "liquidations",
            Liquidation,
            key=("contract_code", "query_id"),
            time="created_at",
            plan=_liquidations(f"/{prefix}-api/v3/swap_liquidation_orders"),
            **enveloped("data", list[Liquidation]),
            next_page=_next,
            history_days=90,
            is_event=True,
            ignored_fields=frozenset({"symbol", "offset", "business_type", "pair", "contract_type"}),
        ),
        Endpoint(
            "candles",
            Candle,
            key=("symbol", "time"),
            time="time",
            plan=hourly(BARS, bars),
            **enveloped("data", list[Candle]),
            context=("symbol",),
            bar=HOUR,
            history_days=730,
            ignored_fields=frozenset({"count"}),
        ),
        Endpoint(
            "mark_candles",
            MarkCandle,
            key=("symbol", "time"),
            time="time",
            plan=_latest(marks, "market", period="60min", size=MARKS),
            **enveloped("data", list[MarkCandle]),
            context=("symbol",),
            bar=HOUR,
            history_days=MARKS / 24,
            ignored_fields=frozenset({"vol", "amount", "count", "trade_turnover"}),
        ),
    )


SOURCE = Source(
    name="htx_linear",
    venue="htx",
    base_url=BASE_URL,
    limits=LIMITS,
    error=error,
    parse_instruments=instruments,
    endpoints=datasets("linear-swap", "/index/market/history/linear_swap_mark_price_kline", business_type="swap"),
)
