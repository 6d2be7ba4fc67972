"""Binance USD-M futures (fapi): linear perpetuals settled in USDT or USDC.

Facts: the venue page of Binance. Decimal strings, milliseconds, ascending pages, both ends of a window inclusive.
Funding intervals are listed only where they differ from 8 hours, and only today's; open-interest history goes back 30 days.
COIN-M has the same endpoints under another path: `endpoints` makes them for both. Both hosts count into one budget of weight.
Liquidations come by stream alone, at most one order a symbol and second (`liquidations`, for both): since 2026-06-30 either host
sends those of both markets, and each source keeps its own. Without the path class `/market` the handshake and the subscription
succeed, and nothing comes.
Alone: `perps fetch --venues binance --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from pipelines.endpoints import hourly_bars, series, snapshot
from pipelines.error_bodies import error_reader
from pipelines.order_books import order_book, sides
from pipelines.paging import by_symbol, hourly, present, windowed
from pipelines.records import MaybeNumber, Ms, Number, Record
from pipelines.shapes import Bar, PriceBar
from pipelines.source import Endpoint, Heard, Instrument, Limit, Request, Source, Stream, Subscription, UsageHeaders
from pipelines.streams import frames
from pipelines.symbols import base_asset
from pipelines.windows import HOUR, Window

#: Both hosts count into one budget of an address since 2026-06-30.
POOL = "binance.com futures"
PERPETUAL = ("PERPETUAL", "TRADIFI_PERPETUAL")
QUOTES = ("USDT", "USDC")
#: The delivery date of what has none, in milliseconds.
NEVER = 4_133_404_800_000
#: Rows in a page of funding rates, and hours in a request for bars: 499 cost 2, 1500 would cost 10.
RATES, BARS = 1000, 499
#: Levels of a side of the order book.
DEPTH = 1000

InstrumentParams = Callable[[Instrument], Mapping[str, str]]


class Symbol(Record, rename="camel"):
    symbol: str
    status: str
    base_asset: str
    quote_asset: str
    # Answers of 2020 lack the next three: all that was listed then was perpetual.
    contract_type: str = "PERPETUAL"
    margin_asset: str | None = None
    pair: str | None = None
    underlying_type: str | None = None
    onboard_date: Ms | None = None
    delivery_date: int | None = None


class FundingInfo(Record, rename="camel"):
    symbol: str
    funding_interval_hours: int
    adjusted_funding_rate_cap: MaybeNumber = None
    adjusted_funding_rate_floor: MaybeNumber = None


class FundingRate(Record, rename="camel"):
    symbol: str
    funding_time: Ms
    funding_rate: Number
    mark_price: MaybeNumber = None
    rate_type: str = "Regular"


class PremiumIndex(Record, rename="camel"):
    symbol: str
    time: Ms
    mark_price: MaybeNumber
    last_funding_rate: MaybeNumber
    next_funding_time: int
    index_price: MaybeNumber = None


class OpenInterestHist(Record, rename="camel"):
    symbol: str
    timestamp: Ms
    sum_open_interest: Number
    sum_open_interest_value: MaybeNumber = None


class OpenInterestNow(Record, rename="camel"):
    symbol: str
    open_interest: MaybeNumber
    time: Ms | None = None


class Kline(Bar, array_like=True):
    volume: Number
    close_time: Ms
    quote_volume: MaybeNumber
    trades: int | None


class Liquidation(Record):
    """A liquidation order: `side` is the order's (SELL: a long was closed), `filled` coins or contracts."""

    symbol: str
    trade_time: Ms
    side: str
    average_price: Number
    filled: Number
    status: str
    price: MaybeNumber
    quantity: MaybeNumber
    event_time: Ms
    nth: int = 0


class Order(msgspec.Struct):
    """`o` of a frame."""

    symbol: str = msgspec.field(name="s")
    side: str = msgspec.field(name="S")
    trade_time: Ms = msgspec.field(name="T")
    average_price: Number = msgspec.field(name="ap")
    filled: Number = msgspec.field(name="z")
    status: str = msgspec.field(name="X")
    price: MaybeNumber = msgspec.field(name="p", default=None)
    quantity: MaybeNumber = msgspec.field(name="q", default=None)


class ForceOrder(msgspec.Struct):
    """A frame of `!forceOrder@arr`."""

    event_time: Ms = msgspec.field(name="E")
    order: Order = msgspec.field(name="o")


# -1003 is the limit of weight, -1015 of orders; -1130 also a start before the kept history.
error = error_reader(
    "code",
    "msg",
    success=(200,),
    limited=(-1003, -1015),
    transient=(-1000, -1001, -1007, -1008),
    absent=(-4108,),  # the symbol is being settled, closed, or does not trade yet
    statuses={451: "blocked"},
    phrases={"restricted location": "blocked"},
)


def instruments(page: Any) -> list[Instrument]:
    return [
        Instrument(s.symbol, base_asset(s.base_asset), s.onboard_date, delivered_at(s.delivery_date), s.status == "TRADING")
        for s in page.symbols
        if s.contract_type in PERPETUAL and s.quote_asset in QUOTES
    ]


def delivered_at(delivery_date: int | None) -> int | None:
    """The end of a contract, in milliseconds; None where it is 2100-12-25 or later, or not stated: no delivery is planned."""
    return delivery_date if delivery_date and delivery_date < NEVER else None


def bar_weight(rows: int) -> int:
    """What a request for so many bars costs."""
    return 1 if rows < 100 else 2 if rows < 500 else 5 if rows <= 1000 else 10


def _bars(path: str, name: str, record: type[Record], params: InstrumentParams = by_symbol) -> Endpoint:
    def request(instrument: Instrument, window: Window) -> Request:
        rows = -(-(window.end - window.start) // HOUR)
        asked = windowed(path, rows, {"weight": bar_weight(rows)}, instrument_params=params, interval="1h")
        return asked(instrument, window)

    return hourly_bars(name, record, hourly(BARS, request))


def _more_rates(request: Request, page: Any, rows: Sequence[Any]) -> Request | None:
    """After a full page: from its last time on. Rows of type `Special` may lie beside the regular ones."""
    if len(rows) < RATES or not request.window:
        return None
    rest = request.window.after(rows[-1].funding_time)
    return replace(request, params={**request.params, "startTime": rest.start}, window=rest)


def endpoints(
    api: str,
    *,
    symbol: type[Record],
    premium_index: type[Record],
    kline: type[Record],
    open_interest: type[Record],
    open_interest_key: tuple[str, ...],
    funding: Mapping[str, int],
    pair: InstrumentParams = lambda instrument: {"pair": instrument.symbol},
    open_interest_params: InstrumentParams = by_symbol,
    funding_of_all: bool = False,
) -> tuple[Endpoint, ...]:
    """The endpoints of a host, under `api`.

    `funding` is what requests for funding weigh; `pair` and `open_interest_params` are the parameters that name the instrument in
    requests for index bars and for the history of open interest. `funding_of_all`: funding can be requested without a symbol.
    """
    all_rates = windowed(f"{api}/fundingRate", RATES, funding, instrument_params=lambda instrument: {})
    history = windowed("/futures/data/openInterestHist", 500, {"data": 1}, instrument_params=open_interest_params, period="1h")
    return (
        snapshot(
            "instruments",
            symbol,
            "symbol",
            Request(f"{api}/exchangeInfo", weights={"weight": 1}),
            rows_at="symbols",
            ignored_fields="maintMarginPercent requiredMarginPercent pricePrecision quantityPrecision baseAssetPrecision "
            "equalQtyPrecision quotePrecision underlyingSubType settlePlan triggerProtect liquidationFee marketTakeBound "
            "maxMoveOrderLimit filters orderTypes timeInForce permissionSets",
        ),
        snapshot(
            "funding_info",
            FundingInfo,
            "symbol",
            Request(f"{api}/fundingInfo", weights=funding),
            page=list[FundingInfo] | None,
            rows=lambda page: page or [],
            empty=lambda page: False,  # nothing is listed where all intervals are 8 hours
            ignored_fields="disclaimer updateTime",
        ),
        snapshot(
            "premium_index",
            premium_index,
            "symbol",
            Request(f"{api}/premiumIndex", weights={"weight": 10}),
            page=list[premium_index] | premium_index,  # type: ignore[valid-type]
            rows=lambda page: page if isinstance(page, list) else [page],
            ignored_fields="estimatedSettlePrice interestRate pair",
        ),
        Endpoint(
            "open_interest_now",
            OpenInterestNow,
            key=("symbol",),
            plan=present(f"{api}/openInterest", {"weight": 1}),
            page=OpenInterestNow,
            rows=lambda page: [page],
            ignored_fields=frozenset({"pair", "contractType"}),
        ),
        series(
            "open_interest",
            open_interest,
            "timestamp",
            hourly(500, history),
            key=open_interest_key,
            every=HOUR,
            history_days=30,
            ignored_fields="CMCCirculatingSupply",
        ),
        series(
            "funding_rates",
            FundingRate,
            "funding_time",
            hourly(RATES, windowed(f"{api}/fundingRate", RATES, funding)),
            key=("symbol", "funding_time", "rate_type"),
            page=list[FundingRate] | None,
            rows=lambda page: page or [],
            next_page=_more_rates,
            plan_all=hourly(8, all_rates) if funding_of_all else None,  # 600 contracts settle every 8 hours, some more often
        ),
        _bars(f"{api}/klines", "candles", kline),
        _bars(f"{api}/markPriceKlines", "mark_candles", PriceBar),
        _bars(f"{api}/indexPriceKlines", "index_candles", PriceBar, pair),
    )


def order_books(api: str) -> Endpoint:
    """1000 levels a side, of 5, 10, 20, 50, 100, 500 and 1000 that may be asked for, at a weight of 20.

    By `UMFutures.depth` of the venue's connector 4.2.0; weights by ccxt 4.5.90 (`binance.py`, `depth`, 2 to 20 by limit). `E` is
    when the answer was made.
    """
    return order_book(present(f"{api}/depth", {"weight": 20}, limit=DEPTH), **sides(DEPTH, time="E"))


def _hear(frame: Any) -> Heard:
    if frame.get("e") == "forceOrder":
        return Heard("event")
    if "error" in frame or "code" in frame:
        problem = frame.get("error", frame)
        return Heard("refused", str(frame.get("id")), f"{problem.get('code')} {problem.get('msg')}")
    return Heard("acknowledged", str(frame["id"])) if "result" in frame else Heard("event")


def liquidations(url: str, is_own: Callable[[str], bool]) -> Stream:
    """The stream of a host, of which the perpetuals of one market are kept; a dated contract has its date in its name."""

    def rows(frame: ForceOrder) -> list[Liquidation]:
        o = frame.order
        if not is_own(o.symbol):
            return []
        more = (o.status, o.price, o.quantity, frame.event_time)
        return [Liquidation(o.symbol, o.trade_time, o.side, o.average_price, o.filled, *more)]

    key = ("symbol", "trade_time", "side", "average_price", "filled", "nth")
    return Stream(
        "liquidations",
        url,
        frames("liquidations_stream", Liquidation, ForceOrder, rows, key=key, time="trade_time"),
        subscribe=lambda symbols, number: Subscription(
            {"method": "SUBSCRIBE", "params": ["!forceOrder@arr"], "id": number}, str(number)
        ),
        hear=_hear,
        lifetime=23 * 3600,  # the venue ends a connection after 24 hours
        silence=900,
        silent="Binance answers so under a path that is retired for a stream: a newer version of perplake may know the new one",
    )


SOURCE = Source(
    name="binance_usdm",
    venue="binance",
    base_url="https://fapi.binance.com",
    pool=POOL,
    usage_headers=UsageHeaders(used="X-MBX-USED-WEIGHT-1M", name="weight"),
    limits={"weight": Limit(2400, 60), "funding": Limit(500, 300), "data": Limit(1000, 300)},
    error=error,
    parse_instruments=instruments,
    endpoints=endpoints(
        "/fapi/v1",
        symbol=Symbol,
        premium_index=PremiumIndex,
        kline=Kline,
        open_interest=OpenInterestHist,
        open_interest_key=("symbol", "timestamp"),
        funding={"funding": 1},
        funding_of_all=True,
    ),
    streams=(liquidations("wss://fstream.binance.com/market/ws", lambda symbol: "_" not in symbol),),
    collected=(order_books("/fapi/v1"),),
)
