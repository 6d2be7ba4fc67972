"""OKX's public archive (static.okx.com): hourly bars out of its minutes, and settled funding, of every swap there was.

A zip of a CSV by month or by day, whose days are those of UTC+8; minutes since July 2023, funding by month since 2022. Nothing
lists the files: they have known names, and HEAD tells which are there. The list of swaps is that of the day's file of funding
of all swaps, of the first day of each month of the window: so delisted ones come along; one that lived between two of them is
not found. Files of the day follow two days later.

Checked against public downloaders and their tests (a Rust back-filler with month bounds at UTC+8, two research parsers,
StockSharp, devvir/tradebot `docs/venues/OKX.md`): paths, headers, the first and the last minute of a day's file (16:00 UTC
before, 15:59), milliseconds, `confirm`, exact duplicates of minutes (the last counts), `vol` in contracts, `vol_ccy` in coins.
Unverified: whether `funding_rate` is the rate that was charged (REST has `realizedRate` beside the forecast;
`archive_differences` tells), whether a minute without a trade has a row (an hour without 60 minutes is left out, and named by
coverage), and how many coins a contract has, which REST's list says. Of some days of 2025 the file of all swaps is missing.
Alone: `perps fetch --mode live --venues okx_archive --from 2024-02-01 --to 2024-02-29`.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import msgspec

from pipelines.archives import Archive, Files, error
from pipelines.csv_files import Bars, open_file, read_rows
from pipelines.records import MaybeNumber, Ms, Number, Record
from pipelines.source import Endpoint, Instrument, Limit, Request, Source
from pipelines.symbols import base_asset
from pipelines.windows import DAY, HOUR, Window, to_datetime

ROOT = "cdn/okex/traderecords"
#: By how much the venue's days are ahead of UTC's.
AHEAD = 8 * HOUR
#: The first days with minutes and with funding, 2023-07-01 and 2022-03-01 of UTC+8, and how late a day's file may be.
MINUTES_SINCE, FUNDING_SINCE, LATE = 1_688_140_800_000, 1_646_064_000_000, 3 * DAY
PERPETUAL = re.compile(r"(?P<base>.+)-(?:USDT|USDC|USD)-SWAP")
MINUTE = "instrument_name open high low close vol vol_ccy vol_quote open_time confirm".split()
FUNDING = "instrument_name funding_rate funding_time".split()
MINUTES = Bars(
    MINUTE,
    needed=("instrument_name", "open", "high", "low", "close", "vol", "vol_ccy", "vol_quote", "open_time", "confirm"),
    time="try_cast(open_time as bigint)",
    prices=("open", "high", "low", "close"),
    sums={"vol": "vol", "vol_ccy": "vol_ccy", "vol_quote": "vol_quote"},
    by=("symbol", "instrument_name"),
    only="confirm is distinct from '0'",
    step=60_000,
)


class Swap(Record):
    symbol: str = msgspec.field(name="instrument_name")


class Kline(Record):
    symbol: str
    open_time: Ms
    open: Number
    high: Number
    low: Number
    close: Number
    vol: Number
    vol_ccy: MaybeNumber
    vol_quote: MaybeNumber


class FundingRate(Record):
    funding_time: Ms
    funding_rate: Number
    symbol: str = msgspec.field(name="instrument_name")


def names(body: bytes) -> list[dict[str, str]]:
    """The swaps of a file of funding. Raises `ValueError` where it has no column of them."""
    with open_file(body) as file:
        rows = csv.DictReader(io.TextIOWrapper(file, "utf-8-sig", "replace"))
        if "instrument_name" not in (rows.fieldnames or ()):
            raise ValueError(f"the header has no column instrument_name: {', '.join(rows.fieldnames or ())}")
        return [{"instrument_name": name} for name in sorted({row["instrument_name"] for row in rows})]


def lists(instrument: Instrument, window: Window) -> Iterable[Request]:
    """The files of all swaps of the first day of each month, and of the last day that may be there."""
    last = max(window.end - LATE, FUNDING_SINCE)
    days = {max(month.start - AHEAD, FUNDING_SINCE) for month in window.months() if month.start - AHEAD < last} | {last}
    for day in sorted((day + AHEAD) // DAY * DAY for day in days):
        at = to_datetime(day)
        yield Request(f"/{ROOT}/swaprates/daily/{at:%Y%m%d}/allswap-fundingrates-{at:%Y-%m-%d}.zip", weights={"requests": 1})


def instruments(page: Sequence[Any]) -> list[Instrument]:
    found = ((swap.symbol, PERPETUAL.fullmatch(swap.symbol)) for swap in page)
    return [Instrument(symbol, base_asset(match["base"])) for symbol, match in found if match]


def series(name: str, record: type[Record], time: str, where: Files, **more: Any) -> Endpoint:
    return Endpoint(
        name, record, key=("symbol", time), time=time, plan=where.plan, listed=where.listed, allow_identical_pages=True, **more
    )


CANDLES = Files(
    f"{ROOT}/candlesticks/daily/{{at:%Y%m%d}}/{{symbol}}-candlesticks-{{at:%Y-%m-%d}}.zip",
    f"{ROOT}/candlesticks/monthly/{{at:%Y%m}}/{{symbol}}-candlesticks-{{at:%Y-%m}}.zip",
    day_ahead=AHEAD,
    month_ahead=AHEAD,
    since=MINUTES_SINCE,
    cut=True,
    probed=True,
)
RATES = Files(
    monthly=f"{ROOT}/swaprates/monthly/{{at:%Y%m}}/{{symbol}}-fundingrates-{{at:%Y-%m}}.zip",
    month_ahead=AHEAD,
    since=FUNDING_SINCE,
    cut=True,
    probed=True,
)
SOURCE = Source(
    name="okx_archive",
    venue="okx",
    host="okx_archive",
    base_url="https://static.okx.com",
    limits={"requests": Limit(20, 1)},  # our own moderation
    error=error,
    body_mb=64,
    parse_instruments=instruments,
    transport=Archive,
    endpoints=(
        Endpoint("instruments", Swap, key=("symbol",), bulk=True, plan=lists, decode=names),
        series(
            "funding_rates", FundingRate, "funding_time", RATES, columnar=partial(read_rows, record=FundingRate, names=FUNDING)
        ),
        series("candles", Kline, "open_time", CANDLES, columnar=partial(MINUTES.read, record=Kline), bar=HOUR),
    ),
)
