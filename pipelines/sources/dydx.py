"""dYdX v4, by its indexer: perpetuals quoted in USD, settled in USDC.

Facts: the venue page of dYdX. Times are ISO 8601, lists newest first and at most 1000 rows, errors
`{"errors": [{"msg": …}]}`. The oracle price is mark and index in one. A candle has the open interest as it was when the bar
began. A request for funding names an end, no start. A ticker may hold commas (`FARTCOIN,RAYDIUM,9BB6…-USD`). Liquidations are
trades of the type LIQUIDATED, by stream; frames without one are not kept, and the first of a subscription has the last trades.
Alone: `perps fetch --venues dydx --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from pipelines.endpoints import hourly_bars, series, snapshot
from pipelines.order_books import named_level, order_book, sides
from pipelines.paging import hourly
from pipelines.records import IsoMs, MaybeNumber, Number, Record
from pipelines.shapes import decode_or_none, enveloped
from pipelines.source import Heard, Instrument, Kind, Limit, Request, Source, Stream, Subscription, UsageHeaders, VenueProblem
from pipelines.streams import frames
from pipelines.symbols import base_asset
from pipelines.windows import HOUR, Window, iso_ms

ROWS = 1000
#: Levels of a side of the order book (v4-chain, comlink, API_ORDERBOOK_LEVELS_PER_SIDE_LIMIT).
DEPTH = 100
LIQUIDATED = "LIQUIDATED"
#: The kind of an error by its HTTP status; any other is transient.
KINDS: dict[int, Kind] = {400: "rejected", 403: "blocked", 404: "rejected", 429: "limited"}


class Market(Record, rename="camel"):
    ticker: str
    status: str
    oracle_price: MaybeNumber = None
    next_funding_rate: MaybeNumber = None
    open_interest: MaybeNumber = None


class FundingRate(Record, rename="camel"):
    ticker: str
    effective_at: IsoMs
    rate: Number
    price: MaybeNumber = None


class Candle(Record, rename="camel"):
    ticker: str
    started_at: IsoMs
    open: Number
    high: Number
    low: Number
    close: Number
    base_token_volume: Number
    usd_volume: Number
    trades: int
    starting_open_interest: MaybeNumber = None


class Error(msgspec.Struct):
    msg: str = ""


class ErrorBody(msgspec.Struct):
    errors: list[Error]


def error(status: int, body: bytes) -> VenueProblem | None:
    """`errors` in a body are errors whatever the status; a 403 is a refused country, with a body of whatever shape."""
    content = decode_or_none(body, ErrorBody)
    if content is None:
        return VenueProblem("blocked", "HTTP 403") if status == 403 else None
    message = "; ".join(e.msg for e in content.errors)
    return VenueProblem(KINDS.get(status, "transient"), message)


def _markets(page: Any) -> Sequence[Market]:
    if len(page.markets) >= ROWS:
        raise ValueError(f"{len(page.markets)} markets: the list may have been cut at {ROWS}")
    return list(page.markets.values())


def instruments(page: Any) -> list[Instrument]:
    """All that are listed: one in final settlement still has its history."""
    over = ("INITIALIZING", "FINAL_SETTLEMENT")
    return [
        Instrument(m.ticker, base_asset(m.ticker.split(",")[0].removesuffix("-USD")), trading=m.status not in over)
        for m in _markets(page)
    ]


def _funding(instrument: Instrument, window: Window) -> Iterable[Request]:
    """From the end back. A row more than there are hours: the one before the window says that none of it is left."""
    hours = -(-(window.end - window.start) // HOUR)
    yield Request(
        f"/v4/historicalFunding/{instrument.in_path}",
        {"limit": min(ROWS, hours + 1), "effectiveBeforeOrAt": iso_ms(window.end - 1)},
        window=window,
        clip_start=True,
        weights={"requests": 1},
    )


def _further_back(request: Request, page: Any, rows: Sequence[FundingRate]) -> Request | None:
    assert request.window
    if len(rows) < int(request.params["limit"]) or rows[-1].effective_at < request.window.start:
        return None
    return replace(request, params={**request.params, "effectiveBeforeOrAt": iso_ms(rows[-1].effective_at - 1)})


def _candles(instrument: Instrument, window: Window) -> Request:
    """The end is a millisecond early: whether the venue counts it in is unverified, and makes no difference then."""
    return Request(
        f"/v4/candles/perpetualMarkets/{instrument.in_path}",
        {"resolution": "1HOUR", "limit": ROWS, "fromISO": iso_ms(window.start), "toISO": iso_ms(window.end - 1)},
        window=window,
        weights={"candles": 1},
    )


def _order_book(instrument: Instrument, window: Window) -> Iterable[Request]:
    """100 levels a side, sizes in coins, without a time. By the venue's page and ccxt 4.5.90."""
    path = f"/v4/orderbooks/perpetualMarket/{instrument.in_path}"
    yield Request(path, context={"ticker": instrument.symbol}, weights={"requests": 1})


class Trade(Record):
    """A trade that closed a position by force; `side` is the taker's, which is the liquidation order (SELL: a long)."""

    ticker: str
    trade_id: str
    created_at: IsoMs
    side: str
    price: Number
    size: Number


class AnyTrade(msgspec.Struct, rename="camel"):
    """A trade of a frame."""

    id: str
    side: str
    size: Number
    price: Number
    created_at: IsoMs
    type: str = ""


class Trades(msgspec.Struct):
    trades: list[AnyTrade]


class Contents(msgspec.Struct):
    """A frame of the channel: one batch of trades, or several."""

    id: str
    contents: Trades | list[Trades]


def _forced(frame: Contents) -> list[Trade]:
    batches = frame.contents if isinstance(frame.contents, list) else [frame.contents]
    trades = [trade for batch in batches for trade in batch.trades]
    return [Trade(frame.id, t.id, t.created_at, t.side, t.price, t.size) for t in trades if t.type == LIQUIDATED]


def _hear(frame: Any) -> Heard:
    kind, contents = frame["type"], frame.get("contents") or []
    batches = contents if isinstance(contents, list) else [contents]
    forced = any(trade["type"] == LIQUIDATED for batch in batches for trade in batch["trades"])
    match kind:
        case "subscribed":
            return Heard("acknowledged", frame["id"], has_events=forced)
        case "error":
            return Heard("refused", frame.get("id", ""), str(frame.get("message")))
        case "channel_data" | "channel_batch_data":
            return Heard("event" if forced else "data")
    return Heard("other")


#: The list has the present too: the collector asks for it again and again, as `listed_now`.
LISTED = snapshot(
    "instruments",
    Market,
    "ticker",
    Request("/v4/perpetualMarkets", weights={"requests": 1}),
    **enveloped("markets", dict[str, Market]) | {"rows": _markets},
    ignored_fields="clobPairId priceChange24H volume24H trades24H initialMarginFraction maintenanceMarginFraction "
    "atomicResolution quantumConversionExponent tickSize stepSize stepBaseQuantums subticksPerTick marketType "
    "openInterestLowerCap openInterestUpperCap baseOpenInterest defaultFundingRate1H",
)

SOURCE = Source(
    name="dydx",
    collected=(
        order_book(_order_book, symbol="ticker", **sides(DEPTH, level=named_level("price", "size"))),
        replace(LISTED, name="listed_now"),
    ),
    venue="dydx",
    base_url="https://indexer.dydx.trade",
    retry_after_unit=0.001,  # msBeforeNext of its limiter (comlink, rate-limit.ts)
    limits={"requests": Limit(100, 10), "candles": Limit(1000, 10)},
    usage_headers=UsageHeaders(limit="RateLimit-Limit", remaining="RateLimit-Remaining", name="requests"),
    error=error,
    parse_instruments=instruments,
    endpoints=(
        LISTED,
        series(
            "funding_rates",
            FundingRate,
            "effective_at",
            _funding,
            instrument="ticker",
            **enveloped("historicalFunding", list[FundingRate]),
            next_page=_further_back,
            ignored_fields="effectiveAtHeight",
        ),
        hourly_bars(
            "candles",
            Candle,
            hourly(ROWS, _candles),
            time="started_at",
            instrument="ticker",
            **enveloped("candles", list[Candle]),
            ignored_fields="resolution orderbookMidPriceOpen orderbookMidPriceClose",
        ),
    ),
    streams=(
        Stream(
            "liquidations",
            "wss://indexer.dydx.trade/v4/ws",
            frames("liquidations_stream", Trade, Contents, _forced, key=("ticker", "trade_id"), time="created_at"),
            subscribe=lambda symbols, number: Subscription(
                {"type": "subscribe", "channel": "v4_trades", "id": symbols[0], "batched": True}, symbols[0]
            ),
            hear=_hear,
            by_instrument=True,
            per_request=1,
            per_connection=32,
            per_second=2,
            delay=2,
            silence=24 * 3600,  # many of its markets trade seldom
            numbers=lambda frame: [("messages", frame["message_id"])] if "message_id" in frame else [],
        ),
    ),
)
