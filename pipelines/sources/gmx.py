"""GMX v2 on Arbitrum, by the public indexer of its contracts: GraphQL, amounts in 1e30, longs and shorts apart.

Facts: the venue page of GMX. Host https://gmx.squids.live. There is no order book: longs and shorts differ in size, trade
against a pool, and pay borrowing fees besides funding. An instrument is a market, named by the address of its token in the
indexer's spelling, disabled ones too. Its coin follows from the address of its index token by the seed `gmx_tokens.csv`; a
token that is newer than the seed is an asset by its address, without a price, since the decimals are not known. Rates are
fractions per second, hourly, for each side the amount that the side receives; two sides that both receive or both pay are an
error. Snapshots are hourly, times seconds, and start about June 2025. Oracle prices have no volume and are not read; borrowing
isn't part of the rate.
Alone: `perps fetch --venues gmx --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from math import inf
from typing import Any

import msgspec

from pipelines.endpoints import series, snapshot
from pipelines.error_bodies import graphql_error_reader
from pipelines.paging import hourly
from pipelines.records import MaybeNumber, Number, Record, Seconds
from pipelines.registry import read_seed
from pipelines.shapes import Stamped
from pipelines.source import Instrument, Limit, Plan, Request, Source
from pipelines.symbols import base_asset
from pipelines.windows import Window

PATH = "/gmx-synthetics-arbitrum:prod/api/graphql"
WEIGHTS = {"requests": 1}
ROWS = 1000
NO_TOKEN = "0x" + "0" * 40

MARKETS = """query Markets { marketInfos(limit: 5000) {
  id isDisabled marketTokenAddress indexTokenAddress longTokenAddress shortTokenAddress longOpenInterestUsd shortOpenInterestUsd
} }"""
RATES = """query Rates($market: String!, $from: Int!, $to: Int!, $limit: Int!) { fundingRateSnapshots(
  where: {marketAddress_eq: $market, snapshotTimestamp_gte: $from, snapshotTimestamp_lt: $to},
  orderBy: snapshotTimestamp_ASC, limit: $limit
) { snapshotTimestamp fundingFactorPerSecondLong fundingFactorPerSecondShort } }"""
INTEREST = """query Interest($market: String!, $from: Int!, $to: Int!, $limit: Int!) { fundingBalanceOiSnapshots(
  where: {marketAddress_eq: $market, snapshotTimestamp_gte: $from, snapshotTimestamp_lt: $to},
  orderBy: snapshotTimestamp_ASC, limit: $limit
) { snapshotTimestamp longOpenInterestUsd shortOpenInterestUsd indexTokenMinPrice } }"""
LIQUIDATIONS = """query Liquidations($market: String!, $from: Int!, $to: Int!, $limit: Int!, $offset: Int!) { tradeActions(
  where: {marketAddress_eq: $market, orderType_eq: 7, eventName_eq: "OrderExecuted", timestamp_gte: $from, timestamp_lt: $to},
  orderBy: [timestamp_ASC, id_ASC], limit: $limit, offset: $offset
) { id timestamp isLong sizeDeltaUsd executionPrice } }"""


class Market(Record, rename="camel"):
    """Amounts are US dollars in 1e30, at entry prices."""

    market_token_address: str
    index_token_address: str
    long_token_address: str
    short_token_address: str
    long_open_interest_usd: Number
    short_open_interest_usd: Number
    is_disabled: bool = False


class Rate(Stamped, rename="camel"):
    """The amount that a position of each side receives: a fraction per second in 1e30."""

    time: Seconds = msgspec.field(name="snapshotTimestamp")
    funding_factor_per_second_long: Number
    funding_factor_per_second_short: Number

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.funding_factor_per_second_long * self.funding_factor_per_second_short > 0:
            raise ValueError("Expected one side to receive what the other pays, got factors of one sign")


class Interest(Stamped, rename="camel"):
    """US dollars in 1e30, at entry prices; the price in 1e30 divided by the token's own unit."""

    time: Seconds = msgspec.field(name="snapshotTimestamp")
    long_open_interest_usd: Number
    short_open_interest_usd: Number
    index_token_min_price: MaybeNumber = None


class Liquidation(Stamped, rename="camel"):
    """`is_long` is the position's side; the size in US dollars in 1e30, the price as in `Interest`."""

    time: Seconds = msgspec.field(name="timestamp")
    id: str
    is_long: bool
    size_delta_usd: Number
    execution_price: Number


error = graphql_error_reader({"timeout": "transient", "unavailable": "transient"})


@cache
def tokens() -> Mapping[str, str]:
    """The coin of each known index token, by the token's address in lower case."""
    return {row["address"].lower(): row["symbol"] for row in read_seed("gmx_tokens")}


def instruments(page: Any) -> list[Instrument]:
    """A market without an index token only swaps."""
    return [
        Instrument(m.market_token_address, base_asset(tokens().get(m.index_token_address.lower(), m.index_token_address)))
        for m in page.data.marketInfos
        if m.index_token_address != NO_TOKEN
    ]


def _body(query: str, **variables: str | int) -> dict[str, Any]:
    return {"operationName": query.split()[1].split("(")[0], "query": query, "variables": variables}


def _by_market(query: str, **variables: int) -> Plan:
    """One market and as many hours as a page has rows: there is a row an hour. The end is exclusive, in seconds."""

    def request(instrument: Instrument, window: Window) -> Request:
        span = {"from": window.start // 1000, "to": -(-window.end // 1000), "limit": ROWS}
        body = _body(query, market=instrument.symbol, **span, **variables)
        return Request(PATH, body=body, context={"symbol": instrument.symbol}, window=window, weights=WEIGHTS)

    return hourly(ROWS, request)


def _next(request: Request, page: Any, rows: Sequence[Any]) -> Request | None:
    """The events after a full page."""
    assert request.body
    if len(rows) < ROWS:
        return None
    variables = request.body["variables"]
    return replace(request, body={**request.body, "variables": {**variables, "offset": variables["offset"] + ROWS}})


SOURCE = Source(
    name="gmx",
    venue="gmx",
    base_url="https://gmx.squids.live",
    # Limits are not documented.
    limits={"requests": Limit(2, 1)},
    error=error,
    parse_instruments=instruments,
    endpoints=(
        snapshot(
            "instruments",
            Market,
            "market_token_address",
            Request(PATH, body=_body(MARKETS), weights=WEIGHTS),
            rows_at="data.marketInfos",
            ignored_fields="id",
        ),
        series("funding_rates", Rate, "time", _by_market(RATES), rows_at="data.fundingRateSnapshots"),
        series("open_interest", Interest, "time", _by_market(INTEREST), rows_at="data.fundingBalanceOiSnapshots"),
        series(
            "liquidations",
            Liquidation,
            "time",
            _by_market(LIQUIDATIONS, offset=0),
            key=("symbol", "id"),
            rows_at="data.tradeActions",
            next_page=_next,
            is_event=True,
            proven_days=inf,
        ),
    ),
)
