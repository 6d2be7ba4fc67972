"""Binance's public archive of COIN-M futures: as USD-M's (`binance_usdm_archive`), in contracts, and with liquidations.

Facts: the venue page of Binance. The bars' column `quote_volume` has the volume in coins; open interest is contracts,
its value coins. Index bars are filed under the pair. `liquidationSnapshot` (June 2023 to October 2024) is the sampled stream of
that time, each row twice: equal rows are one. A file has no name of an event, so equal orders of one millisecond are one too.
The archive doesn't state how many dollars a contract is: 100 of BTC, 10 of the others (unverified), where no list says so.
Alone: `perps fetch --mode live --venues binance_coinm_archive --from 2024-08-05 --to 2024-08-05`.
"""

from __future__ import annotations

import re
from functools import partial
from math import inf

import msgspec

from pipelines.archives import LIMITS, Checked, error, instruments
from pipelines.records import MaybeNumber, Ms, Number, Record
from pipelines.source import Source
from pipelines.sources.binance_usdm_archive import BUCKET, PriceBar, endpoints, files, series

ROOT = "data/futures/cm"
PERPETUAL = re.compile(r"(?P<base>.+?)USD_PERP(?:_?SETTLED\d*)?")
LIQUIDATION = (
    "time side order_type time_in_force original_quantity price average_price order_status last_fill_quantity "
    "accumulated_fill_quantity"
).split()


class Kline(PriceBar):
    volume: Number
    base_volume: MaybeNumber = msgspec.field(name="quote_volume", default=None)
    trades: int | None = msgspec.field(name="count", default=None)


class Liquidation(Record):
    """A liquidation order: `side` is the order's (SELL: a long was closed), `filled` contracts."""

    trade_time: Ms = msgspec.field(name="time")
    side: str
    average_price: Number
    filled: Number = msgspec.field(name="accumulated_fill_quantity")
    status: str = msgspec.field(name="order_status")
    price: MaybeNumber = None
    quantity: MaybeNumber = msgspec.field(name="original_quantity", default=None)


SOURCE = Source(
    name="binance_coinm_archive",
    venue="binance",
    host="binance_archive",
    base_url=BUCKET,
    limits=LIMITS,
    error=error,
    parse_instruments=partial(instruments, perpetual=PERPETUAL),
    transport=Checked,
    endpoints=(
        *endpoints(ROOT, kline=Kline, pair="pair"),
        series(
            "liquidations",
            Liquidation,
            files(ROOT, "liquidationSnapshot", monthly=False),
            LIQUIDATION,
            ("trade_time", "side", "average_price", "filled", "status"),
            is_event=True,
            proven_days=inf,
            empty=lambda page: False,  # a file without a row: nothing was sent that day
        ),
    ),
)
