"""MEXC contract v1, `https://api.mexc.com`: perpetuals settled in USDT that count contracts.

Facts: the venue page of MEXC. JSON numbers in an envelope with `success` and `code`; times in milliseconds, but bars in seconds
and as a list to each field. A contract is `contractSize` coins. The history of funding comes in numbered pages from the newest
row, without a window. There is no history of open interest and no list of liquidations. Its volumes are widely doubted. Stocks,
metals and indices are told from coins by their trade zones (`conceptPlate`).
Alone: `perps fetch --venues mexc --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from pipelines.endpoints import hourly_bars, series, snapshot
from pipelines.error_bodies import error_reader
from pipelines.order_books import UNTOLD, order_book, sides
from pipelines.paging import from_newest, hourly, latest, no_params, present, windowed
from pipelines.records import Labels, MaybeMs, MaybeNumber, Ms, Number, Record, Seconds
from pipelines.shapes import Bar, decode_or_none, rows_from_columns
from pipelines.source import Endpoint, Instrument, Limit, Request, Source, VenueProblem
from pipelines.symbols import base_asset

ROOT = "/api/v1/contract/"
#: The most rows of a page.
RATES, BARS = 100, 2000
ENDPOINTS = ("depth", "ticker", "funding_rate", "funding_rate/history", "kline", "kline/fair_price", "kline/index_price")


class Contract(Record, rename="camel"):
    symbol: str
    base_coin: str
    quote_coin: str
    settle_coin: str
    contract_size: Number
    state: int
    create_time: MaybeMs = None
    concept_plate: Labels | None = None


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


class Failure(msgspec.Struct):
    success: bool
    message: str | None = None


#: 510 is "too frequent", as a code and as a status.
_by_code = error_reader("code", "message", success=(0,), limited=(510,), transient=(500, 501), statuses={510: "limited"})


def error(status: int, body: bytes) -> VenueProblem | None:
    """By the code; a body that is no success is an error whatever its code."""
    if problem := _by_code(status, body):
        return problem
    failure = decode_or_none(body, Failure)
    return VenueProblem.by_status(status, failure.message or "no success") if failure and not failure.success else None


def instruments(page: Any) -> list[Instrument]:
    """Perpetuals quoted and settled in USDT; there is no other kind of contract. States 2 and 3: completed, offline."""
    return [
        Instrument(c.symbol, base_asset(c.base_coin), trading=c.state not in (2, 3))
        for c in page.data
        if c.quote_coin == c.settle_coin == "USDT"
    ]


def _bar_rows(page: Chart) -> Sequence[Candle]:
    """Raises ValueError where the lists differ in length. Bars of mark and index have no volume: zeros or no list."""
    c = page.data
    zeros = [0.0] * len(c.time)
    times = [second * 1000 for second in c.time]
    return rows_from_columns(Candle, times, c.open, c.high, c.low, c.close, c.vol or zeros, c.amount or zeros)


def _snapshot(name: str, endpoint: str, record: type[Record], ignored_fields: str) -> Endpoint:
    request = Request(ROOT + endpoint, weights={endpoint: 1})
    return snapshot(name, record, "symbol", request, rows_at="data", ignored_fields=ignored_fields)


def _bars(name: str, endpoint: str) -> Endpoint:
    path, bounds = f"{ROOT}{endpoint}/{{symbol}}", ("start", "end")
    request = windowed(path, None, {endpoint: 1}, instrument_params=no_params, bounds=bounds, unit=1000, interval="Min60")
    ignored = "realOpen realClose realHigh realLow"
    return hourly_bars(
        name,
        Candle,
        hourly(BARS, request),
        page=Chart,
        rows=_bar_rows,
        wire_type=Columns,
        aligned=tuple(f"$.data.{field}" for field in Columns.__struct_fields__),
        ignored_fields=ignored,
    )


#: Sizes count contracts; how many levels come without a limit the venue's page doesn't say. ccxt 4.5.90 has the same path.
ORDER_BOOKS = order_book(
    present(ROOT + "depth/{symbol}", {"depth": 1}, instrument_params=no_params), **sides(UNTOLD, "data", time="data.timestamp")
)

SOURCE = Source(
    name="mexc",
    collected=(ORDER_BOOKS,),
    venue="mexc",
    base_url="https://api.mexc.com",
    limits={"detail": Limit(1, 5), **dict.fromkeys(ENDPOINTS, Limit(20, 2))},
    error=error,
    parse_instruments=instruments,
    endpoints=(
        _snapshot(
            "instruments",
            "detail",
            Contract,
            "displayName displayNameEn positionOpenType minLeverage maxLeverage priceScale volScale amountScale priceUnit "
            "volUnit minVol maxVol bidLimitPriceRate askLimitPriceRate takerFeeRate makerFeeRate maintenanceMarginRate "
            "initialMarginRate riskBaseVol riskIncrVol riskIncrMmr riskIncrImr riskLevelLimit priceCoefficientVariation "
            "indexOrigin isNew isHot isHidden apiAllowed conceptPlateId riskLimitType riskLimitMode maxNumOrders limitMaxVol "
            "marketOrderMaxLevel depthStepList",
        ),
        _snapshot(
            "tickers",
            "ticker",
            Ticker,
            "contractId lastPrice bid1 ask1 volume24 amount24 lower24Price high24Price riseFallRate riseFallValue fundingRate "
            "maxBidPrice minAskPrice timestamp riseFallRates riseFallRatesOfTimezone",
        ),
        _snapshot("running_rates", "funding_rate", RunningRate, "maxFundingRate minFundingRate timestamp"),
        series(
            "funding_rates",
            FundingRate,
            "settle_time",
            latest(ROOT + "funding_rate/history", {"funding_rate/history": 1}, page_num=1, page_size=RATES),
            next_page=from_newest("page_num", "settle_time"),
            ignored_fields="collectCycle",
            rows_at="data.resultList",
        ),
        _bars("candles", "kline"),
        _bars("mark_candles", "kline/fair_price"),
        _bars("index_candles", "kline/index_price"),
    ),
)
