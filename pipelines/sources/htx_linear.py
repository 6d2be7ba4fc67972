"""HTX linear swaps, settled in USDT, and what coin-margined swaps (`htx_coinm`) share with them.

Facts: venue page `htx.md`. Host https://api.hbdm.com. Errors come in HTTP 200, in one of two envelopes. Times are milliseconds,
of bars seconds. A contract is `contract_size` coins. Klines count both sides of a trade. Whether open interest counts one side
or both, the documentation states both ways: the table of venue facts decides. Settled funding comes in numbered pages from the
newest row; the history of open interest and the bars of the mark price are the latest 200 and 2000 rows, whatever the window.
The text `null` is sent for null in a field that is not read.
Alone: `perps fetch --venues htx --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from pipelines.endpoints import hourly_bars, series, snapshot
from pipelines.paging import from_newest, hourly, latest, windowed
from pipelines.records import MaybeMs, MaybeNumber, Ms, Number, Record, Seconds
from pipelines.shapes import Stamped, decode_or_none
from pipelines.source import Endpoint, Instrument, Limit, Request, Source, VenueProblem
from pipelines.symbols import base_asset

BASE_URL = "https://api.hbdm.com"
LIMITS = {"reference": Limit(240, 3), "market": Limit(800, 1)}
#: The most rows of a page of settled rates and of bars; all rows that there are of open interest and of the mark price.
RATES, BARS, POINTS, MARKS = 50, 2000, 200, 2000
#: Error codes (unverified): too many requests, and a failure of the venue's servers.
LIMITED, TRANSIENT = {1032}, {1000, 1001, 1002, 1003, 1004}


class Contract(Record):
    """`contract_size` is coins, of an inverse contract US dollars; `create_date` is a day, `YYYYMMDD`."""

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
    """`funding_time` is the settlement to which the rate will apply."""

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
    content = decode_or_none(body, ErrorBody)
    if content is None:
        return None
    code = content.err_code if content.status == "error" else content.code if content.code != 200 else None
    if code is None:
        return None
    message = f"{code} {content.err_msg or content.message or content.msg}".rstrip()
    if code in LIMITED:
        return VenueProblem("limited", message)
    return VenueProblem("transient", message) if code in TRANSIENT else VenueProblem.by_status(status, message)


def instruments(page: Any) -> list[Instrument]:
    """The perpetuals; the same list may have dated futures."""
    return [Instrument(c.contract_code, base_asset(c.symbol)) for c in page.data if c.business_type == "swap"]


def by_code(instrument: Instrument) -> dict[str, str]:
    return {"contract_code": instrument.symbol}


def _after_last_id(request: Request, page: Any, rows: Sequence[Liquidation]) -> Request | None:
    """The events after the last id; the length of a page is not documented, so the last page is the empty one."""
    return replace(request, params={**request.params, "from_id": max(row.query_id for row in rows)}) if rows else None


def endpoints(prefix: str, marks: str, **business: str) -> tuple[Endpoint, ...]:
    """The endpoints of one kind of swap, under `/<prefix>-api` and `/<prefix>-ex`.

    `marks` names the bars of its mark price, `business` is a parameter that selects swaps where the lists have more.
    """
    api, reference, period = f"/{prefix}-api", {"reference": 1}, "60min"

    def present(name: str, endpoint: str, record: type[Record], ignored_fields: str, **params: str) -> Endpoint:
        request = Request(f"{api}/v1/{endpoint}", params, weights=reference)
        return snapshot(name, record, "contract_code", request, rows_at="data", ignored_fields=ignored_fields)

    bars = windowed(
        f"/{prefix}-ex/market/history/kline",
        None,
        {"market": 1},
        instrument_params=by_code,
        bounds=("from", "to"),
        unit=1000,
        period=period,
    )
    # At most two hours in a request.
    liquidations = windowed(
        f"{api}/v3/swap_liquidation_orders",
        None,
        reference,
        instrument_params=lambda instrument: {"contract": instrument.symbol},
        bounds=("start_time", "end_time"),
        trade_type=0,
        direct="next",
    )
    return (
        present(
            "instruments",
            "swap_contract_info",
            Contract,
            "price_tick delivery_date delivery_time settlement_date support_margin_mode pair contract_type trade_partition",
            **business,
        ),
        present(
            "open_interest_now",
            "swap_open_interest",
            OpenInterestNow,
            "symbol trade_amount trade_volume trade_turnover pair contract_type trade_partition",
            **business,
        ),
        present(
            "running_rates",
            "swap_batch_funding_rate",
            RunningRate,
            "symbol fee_asset estimated_rate next_funding_time trade_partition",
        ),
        series(
            "open_interest",
            OpenInterest,
            "ts",
            latest(
                f"{api}/v1/swap_his_open_interest",
                {"market": 1},
                instrument_params=by_code,
                period=period,
                size=POINTS,
                amount_type=1,
            ),
            rows_at="data.tick",
            history_days=POINTS / 24,
            ignored_fields="amount_type",
        ),
        series(
            "funding_rates",
            FundingRate,
            "funding_time",
            latest(f"{api}/v1/swap_historical_funding_rate", reference, instrument_params=by_code, page_index=1, page_size=RATES),
            instrument="contract_code",
            rows_at="data.data",
            next_page=from_newest("page_index", "page_size", "funding_time"),
            ignored_fields="avg_premium_index realized_rate symbol fee_asset",
        ),
        series(
            "liquidations",
            Liquidation,
            "created_at",
            hourly(2, liquidations),
            instrument="contract_code",
            key=("contract_code", "query_id"),
            rows_at="data",
            next_page=_after_last_id,
            history_days=90,
            is_event=True,
            ignored_fields="symbol offset business_type pair contract_type",
        ),
        hourly_bars(
            "candles",
            Candle,
            hourly(BARS, bars),
            time="time",
            rows_at="data",
            history_days=730,
            ignored_fields="count",
        ),
        hourly_bars(
            "mark_candles",
            MarkCandle,
            latest(
                f"/index/market/history/{marks}_mark_price_kline",
                {"market": 1},
                instrument_params=by_code,
                period=period,
                size=MARKS,
            ),
            time="time",
            rows_at="data",
            history_days=MARKS / 24,
            ignored_fields="vol amount count trade_turnover",
        ),
    )


SOURCE = Source(
    name="htx_linear",
    venue="htx",
    base_url=BASE_URL,
    limits=LIMITS,
    error=error,
    parse_instruments=instruments,
    endpoints=endpoints("linear-swap", "linear_swap", business_type="swap"),
)
