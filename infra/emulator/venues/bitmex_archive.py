"""BitMEX's public archive in its bucket: the trades of all instruments of a day in one gzip, from the store of its REST.

Four trades to an hour, the first at its open and the last at its close, which share the store's volume; beside them an index,
a dated contract and a spot pair. The last file is that of the day on which the venue closed.
Alone: `curl "$URL/bitmex_archive/?prefix=data/trade/"`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import numpy as np

from infra.emulator.archives import MS_DAY, PublicBucket, ends, periods
from infra.emulator.market import World
from infra.emulator.rendering import plain, text
from infra.emulator.store import MS_HOUR, Listing
from infra.emulator.venues.bitmex import CLOSED, BitMex

HEADER = "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional"
KEY = re.compile(r"data/trade/(\d{4})(\d\d)(\d\d)\.csv\.gz")
#: What else a file has, each at an hour's begin.
OTHERS = (".BXBT,Buy,0,1,PlusTick,x,,,", "XBTM25,Sell,100,1,MinusTick,x,100,1,100", "XBT_USDT,Buy,100,1,MinusTick,x,100,1,100")


class BitMexArchive(PublicBucket):
    name = "bitmex_archive"
    bucket = "public.bitmex.com"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.rest = BitMex(world)

    def find(self, prefix: str, now: int) -> Iterable[str]:
        return self.market.keep(("bitmex_archive", now // MS_HOUR), lambda: list(self._find(now)))

    def _find(self, now: int) -> Iterator[str]:
        days: set[str] = set()
        for listing in self.rest.market.listings(now):
            bars = self.rest.market.candles(listing.listed, "trade")
            assert bars
            days.update(periods(bars.opened_at[bars.opened_at < min(now, CLOSED)], "D"))
        yield from (f"data/trade/{day.replace('-', '')}.csv.gz" for day in days if ends(day)[1] <= now)

    def there_from(self, key: str) -> int:
        return self._day(key) + MS_DAY

    @staticmethod
    def _day(key: str) -> int:
        match = KEY.fullmatch(key)
        assert match, key
        return ends("-".join(match.groups()))[0]

    def lines(self, key: str, now: int) -> tuple[str, Iterable[str]]:
        start = self._day(key)
        lines = [line for listing in self.rest.market.listings(now) for line in self._trades(listing, start)]
        lines += [f"{_stamp(start + hour * MS_HOUR)},{other}" for hour in range(24) for other in OTHERS]
        return HEADER, sorted(lines)

    def _trades(self, listing: Listing, start: int) -> Iterator[str]:
        bars = self.rest.market.candles(listing.listed, "trade")
        assert bars
        low, high = np.searchsorted(bars.opened_at, (start, min(start + MS_DAY, CLOSED)), "left").tolist()
        prices = zip(*(text(x[low:high]) for x in (bars.open, bars.high, bars.low, bars.close)), strict=True)
        sizes = zip(bars.volume[low:high].tolist(), bars.quote_volume[low:high].tolist(), strict=True)
        for at, each, (coins, dollars) in zip(bars.opened_at[low:high].tolist(), prices, sizes, strict=True):
            share = f"{plain(coins / 4)},{plain(dollars / 4)}"
            for n, price in enumerate(each):
                stamp = _stamp(at + n * 1_199_900)
                yield f"{stamp},{self.rest.symbol(listing)},Buy,{round(dollars / 4)},{price},PlusTick,{at}-{n},0,{share}"


def _stamp(ms: int) -> str:
    return str(np.datetime64(ms, "ms")).replace("T", "D") + "000000"


VENUE = BitMexArchive
