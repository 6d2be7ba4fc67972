"""CoinGecko: every derivative ticker and venue as an aggregator sees them, all crypto's volume, and coins' market caps.

Facts: `shared/venues/coingecko.md`. All of it is now: there is no history without a paid plan. Rates are percent of the venue's
own interval, sizes US dollars (venues' totals bitcoin), volumes of the 24 hours to the look, times seconds. It answers without a
key at five calls a minute or somewhat more; a demo key goes into a header and raises that. The two last endpoints are not on the
venue's page: their shape is that of the public reference (U).
Alone: `perps fetch --venues coingecko`.
"""

from __future__ import annotations

import msgspec

from pipelines.paging import once
from pipelines.records import IsoMs, MaybeNumber, Number, Record, Seconds
from pipelines.shapes import decode_or_none
from pipelines.source import Endpoint, Limit, Request, Source, VenueProblem

ROOT = "/api/v3"
WEIGHTS = {"calls": 1}
#: Codes in a body that tell of the key: absent, wrong, of another plan, and its calls used up.
KEY = {10002, 10005, 10006, 10010, 10011}
#: The most rows of a page: the largest venues, the largest coins.
VENUES, COINS = 50, 250


class Ticker(Record):
    """`funding_rate` is percent; `open_interest` and `volume_24h` are US dollars."""

    market: str
    symbol: str
    index_id: str
    contract_type: str
    index: MaybeNumber = None
    price: MaybeNumber = None
    funding_rate: MaybeNumber = None
    open_interest: MaybeNumber = None
    volume_24h: MaybeNumber = None
    last_traded_at: Seconds | None = None


class Exchange(Record):
    name: str
    id: str
    open_interest_btc: MaybeNumber = None
    trade_volume_24h_btc: MaybeNumber = None
    number_of_perpetual_pairs: int | None = None


class Dollars(msgspec.Struct):
    usd: Number


class Global(msgspec.Struct):
    """All coins together; the volume is of 24 hours."""

    updated_at: Seconds
    total_volume: Dollars
    total_market_cap: Dollars


class World(msgspec.Struct):
    data: Global


class Totals(Record):
    """`updated_at` in milliseconds, amounts in US dollars."""

    updated_at: int
    volume_usd: float
    market_cap_usd: float


class Coin(Record):
    id: str
    symbol: str
    current_price: MaybeNumber = None
    market_cap: MaybeNumber = None
    total_volume: MaybeNumber = None
    circulating_supply: MaybeNumber = None
    last_updated: IsoMs | None = None


class Status(msgspec.Struct):
    error_code: int
    error_message: str = ""


class ErrorBody(msgspec.Struct):
    status: Status | None = None
    error: str | None = None


def error(status: int, body: bytes) -> VenueProblem | None:
    """`{"status": {"error_code": 429, …}}`, or `{"error": "…"}`."""
    said = decode_or_none(body, ErrorBody)
    if said is None or (said.status is None and said.error is None):
        return VenueProblem("key", f"HTTP {status}") if status == 401 else None
    code = said.status.error_code if said.status else status
    message = f"{code} {said.status.error_message if said.status else said.error}".rstrip()
    if code in KEY or status == 401:
        return VenueProblem("key", message)
    if code == 429:
        return VenueProblem("limited", message)
    return VenueProblem("transient" if status >= 500 else "rejected", message)


def _totals(page: World) -> list[Totals]:
    return [Totals(page.data.updated_at * 1000, page.data.total_volume.usd, page.data.total_market_cap.usd)]


SOURCE = Source(
    name="coingecko",
    venue="coingecko",
    base_url="https://api.coingecko.com",
    # What is allowed without a key at worst.
    limits={"calls": Limit(5, 60)},
    error=error,
    key_header="x-cg-demo-api-key",
    endpoints=(
        Endpoint(
            "tickers",
            Ticker,
            key=("market", "symbol"),
            plan=once(Request(f"{ROOT}/derivatives", weights=WEIGHTS)),
            bulk=True,
            ignored_fields=frozenset({"price_percentage_change_24h", "basis", "spread", "expired_at"}),
        ),
        Endpoint(
            "exchanges",
            Exchange,
            key=("id",),
            plan=once(
                Request(
                    f"{ROOT}/derivatives/exchanges",
                    {"order": "open_interest_btc_desc", "per_page": VENUES, "page": 1},
                    weights=WEIGHTS,
                )
            ),
            bulk=True,
            ignored_fields=frozenset({"number_of_futures_pairs", "image", "year_established", "country", "description", "url"}),
        ),
        Endpoint(
            "totals",
            Totals,
            key=("updated_at",),
            plan=once(Request(f"{ROOT}/global", weights=WEIGHTS)),
            page=World,
            rows=_totals,
            bulk=True,
            wire_type=Global,
            ignored_fields=frozenset(
                "active_cryptocurrencies upcoming_icos ongoing_icos ended_icos markets market_cap_percentage "
                "market_cap_change_percentage_24h_usd volume_change_percentage_24h_usd".split()
            ),
        ),
        Endpoint(
            "coins",
            Coin,
            key=("id",),
            plan=once(
                Request(
                    f"{ROOT}/coins/markets",
                    {"vs_currency": "usd", "order": "market_cap_desc", "per_page": COINS, "page": 1},
                    weights=WEIGHTS,
                )
            ),
            bulk=True,
            ignored_fields=frozenset(
                "name image market_cap_rank fully_diluted_valuation high_24h low_24h price_change_24h "
                "price_change_percentage_24h market_cap_change_24h market_cap_change_percentage_24h total_supply max_supply ath "
                "ath_change_percentage ath_date atl atl_change_percentage atl_date roi".split()
            ),
        ),
    ),
)
