"""Bybit's public archive (public.bybit.com), linear perpetuals: hourly bars of every contract there was, out of its trades.

Each contract has a gzip of all its trades a day, delisted ones too, since 2019 at the earliest; some twenty USDT perpetuals
also have hourly bars by month, of 2020 to 2024 (`kline_for_metatrader4`), which are taken where there are. There is no
funding, no open interest, no order of liquidation. Files and list are asked of the bucket itself, whose ETags are md5.

Checked against published studies of the archive (devvir/tradebot `docs/venues/BYBIT.md`, an H010 data note of 2026-10): the
layout, that the bucket is listed by S3's API, that the bars' clock is UTC+3 the whole year (their BTCUSDT equals the trades of
each hour, and ten months of three contracts fit another venue's minutes at that offset alone), that a file of bars may have
the next month's first bar, that some months of 2023 and 2024 have 200 bars (the trades of the days that they lack are asked
for then). Against several parsers of trades: the columns, seconds with a fraction or without, `RPI` as a new column, old files
that run backwards, and that `foreignNotional` is the other side of `size` for inverse contracts too. Unverified: whether all
months of all contracts are whole, and that REST's volume is that of the trades (`archive_differences` tells). A contract that
was renamed keeps its old name in its files (DATAOLD01USDT), and those are not found. A bar's open is the first trade's, where
REST has the close of the bar before.
Alone: `perps fetch --mode live --venues bybit_linear_archive --from 2024-02-01 --to 2024-02-29`.
"""

from __future__ import annotations

import re
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.archives import Archive, Files, error, folders, instruments
from pipelines.csv_files import Bars, open_file, read_rows
from pipelines.records import Columns, MaybeNumber, Ms, Number, Record, UtcMs
from pipelines.source import Endpoint, Limit, Source
from pipelines.windows import HOUR, Window

BUCKET = "https://s3.ap-southeast-1.amazonaws.com/public.bybit.com"
#: Our own moderation, below what the bucket was seen to answer.
LIMITS = {"requests": Limit(30, 1)}
#: USDT, or USDC (`BTCPERP`); dated ones have their date behind a hyphen.
PERPETUAL = re.compile(r"(?P<base>\w+?)(?:USDT|PERP)")
#: By how much the clock of the bars is ahead of UTC.
AHEAD = 3 * HOUR
TRADE = "timestamp symbol side size price tickDirection trdMatchID grossValue homeNotional foreignNotional".split()
BAR = ("open_time", "open", "high", "low", "close", "volume")
TRADES = Bars(
    TRADE,
    needed=("timestamp", "size", "price", "foreignNotional"),
    time="floor(try_cast(timestamp as double) * 1000)::bigint",
    order="try_cast(timestamp as double)",
    prices=("price",) * 4,
    sums={"volume": "size", "turnover": "foreignNotional"},
    count="trades",
)


class Kline(Record):
    """`volume` in coins or, inverse, dollars, `turnover` the other way round; files of bars have neither it nor `trades`."""

    open_time: Ms
    open: Number
    high: Number
    low: Number
    close: Number
    volume: Number
    turnover: MaybeNumber = None
    trades: int | None = None


class Bar(Record):
    open_time: UtcMs
    open: Number
    high: Number
    low: Number
    close: Number
    volume: Number


def read(body: bytes) -> Columns:
    """The bars of a file of either kind: of trades, or of bars, of which those of its month are taken."""
    with open_file(body) as file:
        first = file.readline(1 << 16)
    if not re.match(rb"\d{4}\.\d\d\.\d\d ", first):
        return TRADES.read(body, Kline)
    bars = read_rows(body, Bar, BAR, mend=lambda plain: re.sub(rb"(?m)^(\d{4})\.(\d\d)\.(\d\d) ", rb"\1-\2-\3 ", plain))
    times = bars.table["open_time"].cast(pa.int64())
    [month] = Window(first := pc.min(times).as_py(), first + 1).months()
    table = bars.table.set_column(0, "open_time", pc.subtract(times, AHEAD)).filter(pc.less(times, month.end))
    for name, kind in (("turnover", pa.float64()), ("trades", pa.int64())):
        table = table.append_column(name, pa.nulls(table.num_rows, kind))
    return Columns(Kline, table, bars.flaws)


def endpoints() -> tuple[Endpoint, ...]:
    """Those of both kinds of contracts: the lists are the same folders."""
    where = Files(
        "trading/{symbol}/{symbol}{at:%Y-%m-%d}.csv.gz",
        "kline_for_metatrader4/{symbol}/{at:%Y}/{symbol}_60_{at:%Y-%m-%d}_{last:%Y-%m-%d}.csv.gz",
        month_ahead=AHEAD,
        cut=True,
        mended=True,
    )
    candles = Endpoint(
        "candles",
        Kline,
        key=("symbol", "open_time"),
        time="open_time",
        bar=HOUR,
        context=("symbol",),
        plan=where.plan,
        listed=where.listed,
        columnar=read,
    )
    return folders("trading/"), candles


def source(name: str, perpetual: re.Pattern[str]) -> Source:
    return Source(
        name=name,
        venue="bybit",
        host="bybit_archive",
        base_url=BUCKET,
        limits=LIMITS,
        error=error,
        concurrency=4,
        body_mb=512,
        parse_instruments=partial(instruments, perpetual=perpetual),
        transport=Archive,
        endpoints=endpoints(),
    )


SOURCE = source("bybit_linear_archive", PERPETUAL)
