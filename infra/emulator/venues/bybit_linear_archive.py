"""Bybit's public archive (public.bybit.com) in its bucket, of linear and inverse perpetuals, from the store of their REST.

All trades of a day in a gzip: four to an hour, the first at its open and the last at its close, which share the store's
volume. Files of even days run backwards, those of odd months have the new column. BTCUSDT has bars by month too, until May
2025, whose clock is UTC+3 and which have the next month's first bar; one ends after 600 bars. BTCPERP traded as BTCUSDT until
8 June 2025, and REST lists it no more; a dated contract is a folder.
Alone: `curl "$URL/bybit_archive/?prefix=trading/&delimiter=/"`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np

from infra.emulator.archives import MS_DAY, PublicBucket, ends, periods
from infra.emulator.market import World
from infra.emulator.rendering import plain, text
from infra.emulator.store import MS_HOUR, Candles, Listing
from infra.emulator.venues.bybit_linear import Bybit, Category

#: The clock of the bars, and their end; the life of the contract that is listed no more (ms).
AHEAD = 3 * MS_HOUR
METATRADER_UNTIL, BEGUN, GONE = (int(np.datetime64(f"2025-{day}", "ms").astype(int)) for day in ("06-01", "05-28", "06-08"))
#: A month whose file ends too early, as those of four months do, and how many bars it has.
SHORT, KEPT = "2025-04", 600
HEADER = "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional"
TRADES = re.compile(r"trading/(?P<name>\w+)/(?P=name)(?P<period>\d{4}-\d\d-\d\d)\.csv\.gz")
BARS = re.compile(r"kline_for_metatrader4/(?P<name>\w+)/\d{4}/(?P=name)_60_(?P<period>\d{4}-\d\d)-01_[\d-]+\.csv\.gz")


class BybitArchive(PublicBucket):
    name = "bybit_archive"
    bucket = "public.bybit.com"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.rest = Bybit(world)

    def _names(self, now: int) -> Iterator[tuple[str, Category, Listing]]:
        for name in ("linear", "inverse"):
            category = self.rest.categories[name]
            for listing in category.market.listings(now):
                yield category.symbol(listing), category, listing
                if name == "linear" and listing.listed == "BTC":
                    yield "BTCPERP", category, listing

    def _bars(self, name: str, now: int) -> tuple[Category, Candles]:
        category, listing = next((category, listing) for each, category, listing in self._names(now) if each == name)
        bars = category.market.candles(listing.listed, "trade")
        assert bars
        return category, bars

    def find(self, prefix: str, now: int) -> Iterable[str]:
        return self.market.keep(("bybit_archive", now // MS_HOUR), lambda: list(self._find(now)))

    def _find(self, now: int) -> Iterator[str]:
        for name, _, _ in self._names(now):
            times = self._bars(name, now)[1].opened_at
            times = times[(times >= BEGUN) & (times < min(now, GONE))] if name == "BTCPERP" else times[times < now]
            yield from (f"trading/{name}/{name}{day}.csv.gz" for day in periods(times, "D") if ends(day)[1] <= now)
            if name == "BTCUSDT":
                for month in periods(times[times < METATRADER_UNTIL - AHEAD], "M", AHEAD):
                    last = str(np.datetime64(month) + 1 - np.timedelta64(1, "D"))
                    yield f"kline_for_metatrader4/{name}/{month[:4]}/{name}_60_{month}-01_{last}.csv.gz"

    def folders(self, prefix: str) -> list[str]:
        return [f"{prefix}BTC-27JUN25/", f"{prefix}BTCUSDM25/"] if prefix == "trading/" else []

    def there_from(self, key: str) -> int:
        match = TRADES.fullmatch(key) or BARS.fullmatch(key)
        assert match, key
        return ends(match["period"])[1]

    def lines(self, key: str, now: int) -> tuple[str, Iterable[str]]:
        if match := BARS.fullmatch(key):
            bars = self._metatrader(self._bars(match["name"], now)[1], *ends(match["period"]))
            return "", islice(bars, KEPT if match["period"] == SHORT else None)
        match = TRADES.fullmatch(key)
        assert match, key
        day = match["period"]
        rows = list(self._trades(match["name"], *self._bars(match["name"], now), ends(day)[0]))
        rpi = ",RPI" if int(day[5:7]) % 2 else ""
        return HEADER + rpi, (row + rpi.replace("RPI", "0") for row in (rows if int(day[-2:]) % 2 else reversed(rows)))

    @staticmethod
    def _metatrader(bars: Candles, start: int, end: int) -> Iterator[str]:
        low, high = np.searchsorted(bars.opened_at, (start - AHEAD, end - AHEAD + 1), "left").tolist()
        columns = (text(x[low:high]) for x in (bars.open, bars.high, bars.low, bars.close, bars.volume))
        for at, *values in zip(bars.opened_at[low:high].tolist(), *columns, strict=True):
            label = str(np.datetime64(at + AHEAD, "ms").astype("datetime64[m]")).replace("-", ".").replace("T", " ")
            yield f"{label},{','.join(values)}"

    @staticmethod
    def _trades(name: str, category: Category, bars: Candles, start: int) -> Iterator[str]:
        low, high = np.searchsorted(bars.opened_at, (start, start + MS_DAY), "left").tolist()
        sizes, others = category.sizes(bars.volume[low:high], bars.quote_volume[low:high])
        prices = zip(*(text(x[low:high]) for x in (bars.open, bars.high, bars.low, bars.close)), strict=True)
        for at, each, size, other in zip(bars.opened_at[low:high].tolist(), prices, sizes, others, strict=True):
            if not float(size or 0):
                continue
            share, rest = (int(size) // 4, int(size) % 4) if category.inverse else (float(size) / 4, 0)
            shares = [share, share, share, share + rest]
            for n, (price, share) in enumerate(zip(each, shares, strict=True)):
                stamp = f"{at / 1000 + (n * 1199.9, 0)[n == 0]:.4f}".rstrip("0").rstrip(".")
                value = plain(float(other) / 4)
                yield f"{stamp},{name},Buy,{plain(share)},{price},PlusTick,{at}-{n},0,{plain(share)},{value}"


VENUE = BybitArchive
