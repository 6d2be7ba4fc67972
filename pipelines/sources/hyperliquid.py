"""Hyperliquid (api.hyperliquid.xyz), main dex: linear perpetuals in USD, settled in USDC. Facts: the venue page of Hyperliquid.

The other dexs (HIP-3), whose perpetuals anyone lists, are left out.

One POST endpoint, milliseconds, numbers as text, pages oldest first. `meta` and its contexts are two arrays aligned by index;
delisted coins stay in the list. Funding is hourly, 500 rows a page; of candles only the latest 5,000 exist. Open interest has
no history here: see `hyperliquid_archive`.
Alone: `perps fetch --venues hyperliquid --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from pipelines.endpoints import hourly_bars, series, snapshot
from pipelines.order_books import book, named_level, order_book
from pipelines.paging import hourly
from pipelines.records import Ms, Number, Record
from pipelines.source import Instrument, Limit, Request, Source, VenueProblem
from pipelines.symbols import base_asset
from pipelines.windows import HOUR, Window

CANDLES_KEPT = 5000
#: Levels of a side of the order book.
DEPTH = 20


class Coin(Record, rename={"sz_decimals": "szDecimals", "max_leverage": "maxLeverage", "is_delisted": "isDelisted"}):
    name: str
    sz_decimals: int
    max_leverage: int | None = None
    is_delisted: bool | None = None


class Meta(Record):
    universe: list[Coin]


class Context(Record, rename="camel"):
    """A coin's present values. The wire gives the coin by position only: it is filled in."""

    coin: str = ""
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


BAR = "open_time t close_time T coin s open o high h low l close c volume v trades n".split()


class Candle(Record, rename=dict(zip(BAR[::2], BAR[1::2], strict=True))):
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
    """The body of an error is `null`, whatever the status."""
    return VenueProblem("transient", f"HTTP {status} null") if body.strip() == b"null" else None


def instruments(page: Meta) -> list[Instrument]:
    return [Instrument(coin.name, base_asset(coin.name), trading=not coin.is_delisted) for coin in page.universe]


def _contexts(page: tuple[Meta, list[Context]]) -> Sequence[Context]:
    meta, contexts = page
    if len(meta.universe) != len(contexts):
        raise ValueError(f"{len(meta.universe)} coins but {len(contexts)} contexts: they are aligned by index")
    for coin, context in zip(meta.universe, contexts, strict=True):
        context.coin = coin.name
    return contexts


def _weight(window: Window, hours: int) -> int:
    """What a request for the hours of a window costs: 20, and one for so many rows."""
    return 20 + -(-(window.end - window.start) // HOUR // hours)


def _info(weight: int, window: Window | None = None, **body: object) -> Request:
    return Request("/info", body=body, window=window, weights={"weight": weight})


def _funding(instrument: Instrument, window: Window) -> Request:
    body = {"type": "fundingHistory", "coin": instrument.symbol, "startTime": window.start, "endTime": window.end - 1}
    return _info(_weight(window, 20), window, **body)


def _candles(instrument: Instrument, window: Window) -> Request:
    """From the first bar that opens in the window: the venue sends the bar that contains the start as well."""
    start = -(-window.start // HOUR) * HOUR
    span = {"coin": instrument.symbol, "interval": "1h", "startTime": start, "endTime": window.end - 1}
    return _info(_weight(window, 60), window, type="candleSnapshot", req=span)


LEVELS: Any = list[named_level("px", "sz")]  # type: ignore[misc]


class L2Book(msgspec.Struct):
    coin: str
    time: Ms
    levels: tuple[LEVELS, LEVELS]


def _book(instrument: Instrument, window: Window) -> Iterable[Request]:
    """At full precision, where 20 levels reach some hundredths of a percent.

    Coarser levels (`nSigFigs`) reach further, and no edge of a band is an edge of theirs: their sums would not be exact.
    Weight 2 by ccxt 4.5.90, which sends the same two fields.
    """
    context = {"coin": instrument.symbol}
    yield Request("/info", body={"type": "l2Book", "coin": instrument.symbol}, context=context, weights={"weight": 2})


def _rows(page: L2Book) -> list[Any]:
    return [book(page.time, *page.levels, DEPTH)]


SOURCE = Source(
    name="hyperliquid",
    collected=(order_book(_book, L2Book, _rows, symbol="coin"),),
    venue="hyperliquid",
    base_url="https://api.hyperliquid.xyz",
    limits={"weight": Limit(1200, 60)},
    error=error,
    parse_instruments=instruments,
    endpoints=(
        snapshot(
            "instruments",
            Coin,
            "name",
            _info(20, type="meta"),
            page=Meta,
            rows=lambda page: page.universe,
            ignored_fields="onlyIsolated marginTableId marginMode growthMode lastGrowthModeChangeTime",
        ),
        snapshot(
            "contexts",
            Context,
            "coin",
            _info(20, type="metaAndAssetCtxs"),
            page=tuple[Meta, list[Context]],
            rows=_contexts,
            aligned=("$[0].universe", "$[1]"),
            ignored_fields="prevDayPx midPx impactPxs dayBaseVlm",
        ),
        series("funding_rates", FundingRate, "time", hourly(500, _funding), instrument="coin"),
        hourly_bars(
            "candles",
            Candle,
            hourly(CANDLES_KEPT, _candles),
            instrument="coin",
            history_days=CANDLES_KEPT / 24,
            ignored_fields="i",
        ),
    ),
)
