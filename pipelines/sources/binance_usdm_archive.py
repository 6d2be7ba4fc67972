"""Binance's public archive of USD-M futures (data.binance.vision): hourly bars, funding, and open interest each five minutes.

Facts: the venue page of Binance. Zipped CSVs by day and month, sha256 beside each; funding by month alone, `metrics`
(open interest and long/short ratios, since September 2020 at the earliest) by day alone. Header rows come and go, files may be
replaced, days are missing. Delisted contracts stay, so the past has no survivors' bias: the list of folders is the list of
instruments, and what a symbol is made of is read from its name. Files and their list are asked of the bucket itself, as several
public downloaders do: the host of the download page lists nothing. The liquidations of this market have been removed. COIN-M has
the same layout: `endpoints` makes them for both. It is the same data as REST's, which marts prefer.
Alone: `perps fetch --mode live --venues binance_usdm_archive --from 2024-02-01 --to 2024-02-29`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec

from pipelines.archives import LIMITS, WITH_CHECKSUM, Checked, Files, error, folders, instruments
from pipelines.csv_files import read_rows
from pipelines.records import MaybeNumber, Ms, Number, Record, UtcMs
from pipelines.source import Endpoint, Source

BUCKET = "https://s3-ap-northeast-1.amazonaws.com/data.binance.vision"
QUOTES = ("USDT", "USDC", "BUSD")
#: A perpetual, also one that was settled and listed again under its name; dated ones end with their date.
PERPETUAL = re.compile(rf"(?P<base>.+?)(?:{'|'.join(QUOTES)})(?:_?SETTLED\d*)?")
BAR = "open_time open high low close volume close_time quote_volume count taker_buy_volume taker_buy_quote_volume ignore".split()
FUNDING = "calc_time funding_interval_hours last_funding_rate".split()
METRICS = (
    "create_time symbol sum_open_interest sum_open_interest_value count_toptrader_long_short_ratio "
    "sum_toptrader_long_short_ratio count_long_short_ratio sum_taker_long_short_vol_ratio"
).split()
#: A day's file may have the point at its end, in milliseconds.
STEP = 300_000


class PriceBar(Record):
    open_time: Ms
    open: Number
    high: Number
    low: Number
    close: Number


class Kline(PriceBar):
    volume: Number
    quote_volume: MaybeNumber = None
    trades: int | None = msgspec.field(name="count", default=None)


class FundingRate(Record):
    funding_time: Ms = msgspec.field(name="calc_time")
    funding_rate: Number = msgspec.field(name="last_funding_rate")
    funding_interval_hours: MaybeNumber = None


class Metrics(Record):
    """Open interest, and ratios of long to short: the top traders' accounts and positions, all accounts, takers' volume."""

    create_time: UtcMs
    sum_open_interest: MaybeNumber = None
    sum_open_interest_value: MaybeNumber = None
    count_toptrader_long_short_ratio: MaybeNumber = None
    sum_toptrader_long_short_ratio: MaybeNumber = None
    count_long_short_ratio: MaybeNumber = None
    sum_taker_long_short_vol_ratio: MaybeNumber = None


def files(root: str, kind: str, *, interval: str = "", name: str = "symbol", daily: bool = True, monthly: bool = True) -> Files:
    """The files of a kind below a root: of bars of an interval, or without one."""
    symbol = f"{{{name}}}"  # `Files` fills it in
    key = f"{kind}/{symbol}/{interval}/{symbol}-{interval}" if interval else f"{kind}/{symbol}/{symbol}-{kind}"
    day, month = f"{root}/daily/{key}-{{at:%Y-%m-%d}}.zip", f"{root}/monthly/{key}-{{at:%Y-%m}}.zip"
    return Files(day if daily else "", month if monthly else "", weights=WITH_CHECKSUM)


def series(
    name: str, record: type[Record], where: Files, columns: Sequence[str], key: Sequence[str] = (), **more: Any
) -> Endpoint:
    """Rows of an instrument by the record's first field, the time; `key` is what makes one its own (default: the time)."""
    time = record.__struct_fields__[0]
    return Endpoint(
        name,
        record,
        key=("symbol", *(key or (time,))),
        time=time,
        context=("symbol",),
        plan=where.plan,
        listed=where.listed,
        columnar=partial(read_rows, record=record, names=columns, key=key),
        **more,
    )


def endpoints(root: str, *, kline: type[Record], pair: str = "symbol") -> tuple[Endpoint, ...]:
    """The endpoints of a market below a root; `pair` is what index bars are filed under."""
    bars = partial(files, root, interval="1h")
    return (
        folders(f"{root}/daily/klines/"),
        series("open_interest", Metrics, files(root, "metrics", monthly=False), METRICS, cut_late=STEP),
        series("funding_rates", FundingRate, files(root, "fundingRate", daily=False), FUNDING),
        series("candles", kline, bars("klines"), BAR),
        series("mark_candles", PriceBar, bars("markPriceKlines"), BAR),
        series("index_candles", PriceBar, bars("indexPriceKlines", name=pair), BAR),
    )


SOURCE = Source(
    name="binance_usdm_archive",
    venue="binance",
    host="binance_archive",
    base_url=BUCKET,
    limits=LIMITS,
    error=error,
    parse_instruments=partial(instruments, perpetual=PERPETUAL),
    transport=Checked,
    endpoints=endpoints("data/futures/um", kline=Kline),
)
