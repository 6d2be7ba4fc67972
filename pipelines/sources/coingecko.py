"""CoinGecko: all derivative tickers and venues as an aggregator has them, total volume of crypto, and coins' market caps.

Facts: the venue page of CoinGecko. Host https://api.coingecko.com. All values are of the present: history needs a paid plan.
Rates are percent of the venue's own interval, sizes US dollars (totals of venues: bitcoin), volumes of the last 24 hours, times
seconds. Without a key at least five calls a minute are answered; a demo key in a header raises that. The last two endpoints are
not on the venue page: their shape is that of the public reference (U).
Alone: `perps fetch --venues coingecko --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

import msgspec

from pipelines.endpoints import snapshot
from pipelines.records import IsoMs, MaybeNumber, Number, Record, Seconds
from pipelines.shapes import decode_or_none
from pipelines.source import Limit, Request, Source, VenueProblem

ROOT = "/api/v3"
WEIGHTS = {"calls": 1}
#: Error codes of a key: absent, wrong, of another plan, and without calls left.
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
    content = decode_or_none(body, ErrorBody)
    if content is None or (content.status is None and content.error is None):
        return VenueProblem("key", f"HTTP {status}") if status == 401 else None
    code, text = (content.status.error_code, content.status.error_message) if content.status else (status, content.error)
    message = f"{code} {text}".rstrip()
    if code in KEY or status == 401:
        return VenueProblem("key", message)
    return VenueProblem("limited", message) if code == 429 else VenueProblem.by_status(status, message)


def _get(path: str, **params: str | int) -> Request:
    return Request(f"{ROOT}/{path}", params, weights=WEIGHTS)


def _totals(page: World) -> list[Totals]:
    return [Totals(page.data.updated_at * 1000, page.data.total_volume.usd, page.data.total_market_cap.usd)]


SOURCE = Source(
    name="coingecko",
    venue="coingecko",
    base_url="https://api.coingecko.com",
    # The lowest limit without a key.
    limits={"calls": Limit(5, 60)},
    error=error,
    key_header="x-cg-demo-api-key",
    endpoints=(
        snapshot(
            "tickers",
            Ticker,
            ("market", "symbol"),
            _get("derivatives"),
            ignored_fields="price_percentage_change_24h basis spread expired_at",
        ),
        snapshot(
            "exchanges",
            Exchange,
            "id",
            _get("derivatives/exchanges", order="open_interest_btc_desc", per_page=VENUES, page=1),
            ignored_fields="number_of_futures_pairs image year_established country description url",
        ),
        snapshot(
            "totals",
            Totals,
            "updated_at",
            _get("global"),
            page=World,
            rows=_totals,
            wire_type=Global,
            ignored_fields="active_cryptocurrencies upcoming_icos ongoing_icos ended_icos markets market_cap_percentage "
            "market_cap_change_percentage_24h_usd volume_change_percentage_24h_usd",
        ),
        snapshot(
            "coins",
            Coin,
            "id",
            _get("coins/markets", vs_currency="usd", order="market_cap_desc", per_page=COINS, page=1),
            ignored_fields="name image market_cap_rank fully_diluted_valuation high_24h low_24h price_change_24h "
            "price_change_percentage_24h market_cap_change_24h market_cap_change_percentage_24h total_supply max_supply ath "
            "ath_change_percentage ath_date atl atl_change_percentage atl_date roi",
        ),
    ),
)
