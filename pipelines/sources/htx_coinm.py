"""HTX coin-margined swaps: inverse perpetuals, whose contract is an amount of US dollars (100 for BTC, 10 for the others).

Facts: the venue page of HTX. Errors, limits and market data are those of the linear swaps (`htx_linear`) under other paths of the
same host; rates, the present open interest and liquidations are those of versions 1 and 3. Open interest has no value in
dollars. Settled funding comes in numbered pages from the newest row.
Alone: `perps fetch --venues htx --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pipelines.endpoints import series, snapshot
from pipelines.paging import from_newest, hourly, latest, windowed
from pipelines.records import MaybeNumber, Ms, Number, Record
from pipelines.source import Endpoint, Request, Source
from pipelines.sources.htx_linear import (
    BASE_URL,
    BOUNDS,
    LIMITS,
    REFERENCE,
    FundingRate,
    OpenInterestNow,
    RunningRate,
    by_code,
    error,
    instruments,
    liquidations_stream,
    list_of_contracts,
    market_series,
    order_books,
)

API = "/swap-api/"
#: The most rows of a page of settled rates.
RATES = 50


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


def _after_last_id(request: Request, page: Any, rows: Sequence[Liquidation]) -> Request | None:
    """The events after the last id; the length of a page is not documented, so the last page is the empty one."""
    return replace(request, params={**request.params, "from_id": max(row.query_id for row in rows)}) if rows else None


def _now(name: str, endpoint: str, record: type[Record], ignored_fields: str) -> Endpoint:
    request = Request(f"{API}v1/{endpoint}", weights=REFERENCE)
    return snapshot(name, record, "contract_code", request, rows_at="data", ignored_fields=ignored_fields)


SOURCE = Source(
    name="htx_coinm",
    collected=(order_books("swap"),),
    venue="htx",
    base_url=BASE_URL,
    limits=LIMITS,
    error=error,
    parse_instruments=instruments,
    endpoints=(
        list_of_contracts("swap"),
        _now("open_interest_now", "swap_open_interest", OpenInterestNow, "symbol trade_amount trade_volume trade_turnover"),
        _now("running_rates", "swap_batch_funding_rate", RunningRate, "symbol fee_asset estimated_rate"),
        series(
            "funding_rates",
            FundingRate,
            "funding_time",
            latest(f"{API}v1/swap_historical_funding_rate", REFERENCE, instrument_params=by_code, page_index=1, page_size=RATES),
            instrument="contract_code",
            rows_at="data.data",
            next_page=from_newest("page_index", "funding_time"),
            ignored_fields="avg_premium_index realized_rate symbol fee_asset",
        ),
        # At most two hours in a request.
        series(
            "liquidations",
            Liquidation,
            "created_at",
            hourly(
                2,
                windowed(
                    f"{API}v3/swap_liquidation_orders",
                    None,
                    REFERENCE,
                    instrument_params=lambda instrument: {"contract": instrument.symbol},
                    bounds=BOUNDS,
                    trade_type=0,
                    direct="next",
                ),
            ),
            instrument="contract_code",
            key=("contract_code", "query_id"),
            rows_at="data",
            next_page=_after_last_id,
            history_days=90,
            proven_days=90,
            is_event=True,
            ignored_fields="symbol offset business_type pair contract_type",
        ),
        *market_series("swap", "swap"),
    ),
    streams=(liquidations_stream("swap"),),
)
