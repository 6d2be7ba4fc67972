"""Hyperliquid, main dex: linear perpetuals in USD, settled in USDC, by one POST endpoint.

Facts: `shared/venues/hyperliquid.md`. `meta` and its contexts are two arrays aligned by index; delisted coins stay in the
list. Funding is hourly, 500 rows a page; of candles only the latest 5,000 exist. Open interest has no history here: see
`hyperliquid_archive`.
Alone: `perps fetch --venues hyperliquid --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.paging import hourly, once
from pipelines.records import Ms, Number, Record
from pipelines.source import Endpoint, Instrument, Limit, Request, Source, VenueProblem
from pipelines.symbols import base_asset
from pipelines.windows import HOUR, Window

CANDLES_KEPT = 5000


class Coin(Record, rename={"sz_decimals": "szDecimals", "max_leverage": "maxLeverage", "is_delisted": "isDelisted"}):
    name: str
    sz_decimals: int
    max_leverage: int | None = None
    is_delisted: bool | None = None


class Meta(Record):
    universe: list[Coin]


class Context(Record, rename="camel"):
    funding: Number | None = None
    open_interest: Number | None = None
    oracle_px: Number | None = None
    mark_px: Number | None = None
    premium: Number | None = None
    day_ntl_vlm: Number | None = None


class CoinContext(Record):
    """A coin's context with its name, which the wire gives by position only."""

    coin: str
    funding: Number | None = None
    open_interest: Number | None = None
    oracle_px: Number | None = None
    mark_px: Number | None = None
    premium: Number | None = None
    day_ntl_vlm: Number | None = None


class FundingRate(Record, rename="camel"):
    coin: str
    time: Ms
    funding_rate: Number
    premium: Number | None = None


class Candle(
    Record,
    rename={
        "open_time": "t",
        "close_time": "T",
        "coin": "s",
        "open": "o",
        "high": "h",
        "low": "l",
        "close": "c",
        "volume": "v",
        "trades": "n",
    },
):
    open_time: Ms
    close_time: Ms
    coin: str
    open: Number
    high: Number
    low: Number
    close: Number
    volume: Number
    trades: int | None = None


def error(status: int, body: bytes) -> VenueProblem | None:
    """`null` is all that it says of an error, whatever the status."""
    return VenueProblem("transient", f"HTTP {status} null") if body.strip() == b"null" else None


def instruments(page: Meta) -> list[Instrument]:
    return [Instrument(coin.name, base_asset(coin.name)) for coin in page.universe]


def _contexts(page: tuple[Meta, list[Context]]) -> Sequence[CoinContext]:
    meta, contexts = page
    if len(meta.universe) != len(contexts):
        raise ValueError(f"{len(meta.universe)} coins but {len(contexts)} contexts: they are aligned by index")
    return [
        CoinContext(coin.name, c.funding, c.open_interest, c.oracle_px, c.mark_px, c.premium, c.day_ntl_vlm)
        for coin, c in zip(meta.universe, contexts, strict=True)
    ]


def _info(weight: int, window: Window | None = None, **body: object) -> Request:
    return Request("/info", body=body, window=window, weights={"weight": weight})


def _funding(instrument: Instrument, window: Window) -> Request:
    body = {"type": "fundingHistory", "coin": instrument.symbol, "startTime": window.start, "endTime": window.end - 1}
    return _info(45, window, **body)


def _candles(instrument: Instrument, window: Window) -> Request:
    span = {"coin": instrument.symbol, "interval": "1h", "startTime": window.start, "endTime": window.end - 1}
    return _info(20 + -(-(window.end - window.start) // HOUR // 60), window, type="candleSnapshot", req=span)


SOURCE = Source(
    name="hyperliquid",
    venue="hyperliquid",
    base_url="https://api.hyperliquid.xyz",
    limits={"weight": Limit(1200, 60)},
    error=error,
    parse_instruments=instruments,
    endpoints=(
        Endpoint(
            "instruments",
            Coin,
            key=("name",),
            plan=once(_info(20, type="meta")),
            page=Meta,
            rows=lambda page: page.universe,
            bulk=True,
            ignored_fields=frozenset({"onlyIsolated", "marginTableId", "marginMode", "growthMode", "lastGrowthModeChangeTime"}),
        ),
        Endpoint(
            "contexts",
            CoinContext,
            key=("coin",),
            plan=once(_info(20, type="metaAndAssetCtxs")),
            page=tuple[Meta, list[Context]],
            rows=_contexts,
            bulk=True,
            wire_type=Context,
            ignored_fields=frozenset({"prevDayPx", "midPx", "impactPxs", "dayBaseVlm"}),
        ),
        Endpoint("funding_rates", FundingRate, key=("coin", "time"), time="time", plan=hourly(500, _funding)),
        Endpoint(
            "candles",
            Candle,
            key=("coin", "open_time"),
            time="open_time",
            plan=hourly(CANDLES_KEPT, _candles),
            bar=HOUR,
            history_days=CANDLES_KEPT / 24,
            ignored_fields=frozenset({"i"}),
        ),
    ),
)
