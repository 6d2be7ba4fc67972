"""BitMEX's public archive: hourly bars of the closed venue's perpetuals, out of all its trades since November 2014.

A gzip a day has the trades of all instruments: it is had once, and all perpetuals in USD and USDT are added up by hour,
whatever assets are asked for, since what landing has of a file doesn't depend on who asks. Dated contracts, indices (a point
before the name), spot pairs and contracts in other currencies are left out. Instruments are those that have a bar. There is no
funding and no open interest.

Checked against public downloaders (bmex, four scrapers, a study of 2026-09 that read 2,800 files of 2018 to 2022): the bucket,
the keys, the columns, microseconds of UTC as `2018-03-04D00:00:00.123456000`, all symbols in one file; that study read them on
2026-09-27, after the venue had closed on the 23rd. The bucket's list is S3's, which one reader of its proofs of reserves
shows, and is unverified for trades. `homeNotional` is coins by REST's documentation and a row of XBTUSD (10,000 dollars at
6,379 are 1.5676); unverified for quanto contracts and before 2018. How long the bucket stays is not known.
Alone: `perps fetch --mode live --venues bitmex_archive --from 2024-02-01 --to 2024-02-01`.
"""

from __future__ import annotations

from functools import partial

from pipelines.archives import Archive, Files, error
from pipelines.csv_files import Bars
from pipelines.records import Ms, Number, Record
from pipelines.source import Endpoint, Limit, Source
from pipelines.windows import HOUR

#: The first day with a file, 2014-11-22.
SINCE = 1_416_614_400_000
TRADE = "timestamp symbol side size price tickDirection trdMatchID grossValue homeNotional foreignNotional".split()
TRADES = Bars(
    TRADE,
    needed=("timestamp", "symbol", "price", "homeNotional", "foreignNotional"),
    time="epoch_ms(try_strptime(left(replace(timestamp, 'D', ' '), 26), '%Y-%m-%d %H:%M:%S.%f'))",
    order="timestamp",
    prices=("price",) * 4,
    sums={"home_notional": "homeNotional", "foreign_notional": "foreignNotional"},
    count="trades",
    by=("symbol", "symbol"),
    only="regexp_full_match(symbol, '[A-Z0-9]+USDT?') is not false",
)
DAYS = Files("data/trade/{at:%Y%m%d}.csv.gz", since=SINCE)


class Kline(Record):
    """`home_notional` in coins, `foreign_notional` in quote currency."""

    symbol: str
    open_time: Ms
    open: Number
    high: Number
    low: Number
    close: Number
    home_notional: Number
    foreign_notional: Number
    trades: int


SOURCE = Source(
    name="bitmex_archive",
    venue="bitmex",
    host="bitmex_archive",
    base_url="https://s3-eu-west-1.amazonaws.com/public.bitmex.com",
    limits={"requests": Limit(10, 1)},  # our own moderation
    error=error,
    concurrency=2,
    body_mb=512,
    transport=Archive,
    endpoints=(
        Endpoint(
            "candles",
            Kline,
            key=("symbol", "open_time"),
            time="open_time",
            bar=HOUR,
            bulk=True,
            plan=DAYS.plan,
            listed=DAYS.listed,
            columnar=partial(TRADES.read, record=Kline),
        ),
    ),
)
