"""MEXC contract v1: perpetuals settled in USDT that count contracts.

Facts: `shared/venues/mexc.md`. JSON numbers in an envelope with `success` and `code`; milliseconds, but bars in seconds and
a list to each of their fields. A contract is `contractSize` coins. Settled funding comes in numbered pages from the newest row,
without a window. There is no history of open interest and no list of liquidations. Its own volumes are widely doubted: a fact.
Alone: `perps fetch --venues mexc --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from pipelines.paging import from_newest, hourly, no_params, once, windowed
from pipelines.records import MaybeMs, MaybeNumber, Ms, Number, Record, Seconds
from pipelines.shapes import Bar, decode_or_none, enveloped, rows_from_columns
from pipelines.source import Endpoint, Instrument, Limit, Request, Source, VenueProblem
from pipelines.symbols import base_asset
from pipelines.windows import HOUR, Window

ROOT = "/api/v1/contract/"
#: The most rows of a page.
RATES, BARS = 100, 2000


class Contract(Record, rename="camel"):
    symbol: str
    base_coin: str
    quote_coin: str
    settle_coin: str
    contract_size: Number
    state: int
    create_time: MaybeMs = None


class Ticker(Record, rename="camel"):
    """`hold_vol` counts contracts."""

    symbol: str
    hold_vol: MaybeNumber = None
    fair_price: MaybeNumber = None
    index_price: MaybeNumber = None


class RunningRate(Record, rename="camel"):
    symbol: str
    funding_rate: Number
    collect_cycle: MaybeNumber = None
    next_settle_time: MaybeMs = None


class FundingRate(Record, rename="camel"):
    symbol: str
    funding_rate: Number
    settle_time: Ms


class Candle(Bar):
    """`volume` counts contracts, `amount` the quote currency."""

    volume: Number
    amount: Number


class Columns(msgspec.Struct):
    """Bars, a list to each of their fields; `time` in seconds."""

    time: list[Seconds]
    open: list[Number]
    close: list[Number]
    high: list[Number]
    low: list[Number]
    vol: list[Number] = []
    amount: list[Number] = []


class Chart(msgspec.Struct):
    data: Columns


class ErrorBody(msgspec.Struct):
    success: bool
    code: int = 0
    message: str = ""


def error(status: int, body: bytes) -> VenueProblem | None:
    """`{"success": false, "code": 510, "message": …}`, in any status; 510 is too often, as a status too."""
    said = decode_or_none(body, ErrorBody)
    if status == 510 or (said and said.code == 510):
        return VenueProblem("limited", f"510 {said.message if said else ''}".rstrip())
    if said is None or said.success:
        return None
    message = f"{said.code} {said.message}".rstrip()
    return VenueProblem("transient" if status >= 500 or said.code in (500, 501) else "rejected", message)


def instruments(page: object) -> list[Instrument]:
    """Perpetuals quoted and settled in USDT; there is no other kind of contract."""
    return [
        Instrument(c.symbol, base_asset(c.base_coin))
        for c in page.data  # type: ignore[attr-defined]
        if c.quote_coin == c.settle_coin == "USDT"
    ]


def _bars(page: Chart) -> Sequence[Candle]:
    """Raises ValueError where the columns differ in length. Index and mark bars have no volume: zeros or nothing."""
    c = page.data
    none = [0.0] * len(c.time)
    times = [second * 1000 for second in c.time]
    return rows_from_columns(Candle, times, c.open, c.high, c.low, c.close, c.vol or none, c.amount or none)


def _now(name: str, endpoint: str, record: type[Record], known: str) -> Endpoint:
    """All instruments at once, as they are."""
    return Endpoint(
        name,
        record,
        key=("symbol",),
        plan=once(Request(ROOT + endpoint, weights={endpoint: 1})),
        **enveloped("data", list[record]),  # type: ignore[valid-type]
        bulk=True,
        ignored_fields=frozenset(known.split()),
    )


def _funding(instrument: Instrument, window: Window) -> Iterable[Request]:
    params: dict[str, str | int] = {"symbol": instrument.symbol, "page_num": 1, "page_size": RATES}
    path = ROOT + "funding_rate/history"
    yield Request(path, params, window=window, clip_start=True, clip_end=True, weights={"funding_rate/history": 1})


def _candles(name: str, endpoint: str) -> Endpoint:
    path, ends = ROOT + endpoint + "/{symbol}", ("start", "end")
    return Endpoint(
        name,
        Candle,
        key=("symbol", "open_time"),
        time="open_time",
        plan=hourly(
            BARS, windowed(path, None, {endpoint: 1}, instrument_params=no_params, bounds=ends, unit=1000, interval="Min60")
        ),
        page=Chart,
        rows=_bars,
        context=("symbol",),
        bar=HOUR,
        wire_type=Columns,
        ignored_fields=frozenset("realOpen realClose realHigh realLow".split()),
    )


SOURCE = Source(
    name="mexc",
    venue="mexc",
    base_url="https://contract.mexc.com",
    limits={
        "detail": Limit(1, 5),
        **{
            endpoint: Limit(20, 2)
            for endpoint in (
                "ticker",
                "funding_rate",
                "funding_rate/history",
                "kline",
                "kline/fair_price",
                "kline/index_price",
            )
        },
    },
    error=error,
    parse_instruments=instruments,
    endpoints=(
        _now(
            "instruments",
            "detail",
            Contract,
            "displayName displayNameEn positionOpenType minLeverage maxLeverage priceScale volScale amountScale priceUnit "
            "volUnit minVol maxVol bidLimitPriceRate askLimitPriceRate takerFeeRate makerFeeRate maintenanceMarginRate "
            "initialMarginRate riskBaseVol riskIncrVol riskIncrMmr riskIncrImr riskLevelLimit priceCoefficientVariation "
            "indexOrigin isNew isHot isHidden apiAllowed",
        ),
        _now(
            "tickers",
            "ticker",
            Ticker,
            "contractId lastPrice bid1 ask1 volume24 amount24 lower24Price high24Price riseFallRate riseFallValue fundingRate "
            "maxBidPrice minAskPrice timestamp riseFallRates riseFallRatesOfTimezone",
        ),
        _now("running_rates", "funding_rate", RunningRate, "maxFundingRate minFundingRate timestamp"),
        Endpoint(
            "funding_rates",
            FundingRate,
            key=("symbol", "settle_time"),
            time="settle_time",
            plan=_funding,
            **enveloped("data.resultList", list[FundingRate]),
            next_page=from_newest("page_num", "page_size", "settle_time"),
            ignored_fields=frozenset({"collectCycle"}),
        ),
        _candles("candles", "kline"),
        _candles("mark_candles", "kline/fair_price"),
        _candles("index_candles", "kline/index_price"),
    ),
)
