"""OKX's public archive (static.okx.com), which nothing lists: minutes of a day or a month, funding of a month, from REST's store.

Days are UTC+8's, and a file is there a day after its own. Of the minutes of an hour the first has open, high and low and half
of the volume, the last the close and the rest; the first stands twice, and behind the last of a file follows one that was not
over. Funding of a day is of all swaps. BTC-USDC-SWAP traded as BTC-USDT-SWAP until 8 June 2025, and REST lists it no more.
Alone: `curl -I "$URL/okx_archive/cdn/okex/traderecords/swaprates/monthly/202610/BTC-USDT-SWAP-fundingrates-2026-10.zip"`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import numpy as np

from infra.emulator.archives import MS_DAY, Files, ends, periods
from infra.emulator.market import World
from infra.emulator.rendering import plain, text
from infra.emulator.store import MS_HOUR, Listing
from infra.emulator.venues.okx import Okx, contracts

#: The clock of the files, and the end of the contract that is listed no more (ms).
AHEAD, GONE = 8 * MS_HOUR, int(np.datetime64("2025-06-08", "ms").astype(int))
ROOT = "cdn/okex/traderecords"
HEADERS = {
    "candlesticks": "instrument_name,open,high,low,close,vol,vol_ccy,vol_quote,open_time,confirm",
    "fundingrates": "instrument_name,funding_rate,funding_time",
}
KEY = re.compile(
    ROOT
    + r"/\w+/(?:daily|monthly)/\d+/(?P<name>[\w-]+?)-(?P<kind>candlesticks|fundingrates)-(?P<period>\d{4}-\d\d(?:-\d\d)?)\.zip"
)


class OkxArchive(Files):
    name = "okx_archive"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.rest = Okx(world)

    def _names(self, now: int) -> Iterator[tuple[str, Listing]]:
        for listing in self.rest.market.listings(now):
            yield self.rest.symbol(listing), listing
            if listing.listed == "BTC":
                yield "BTC-USDC-SWAP", listing

    def find(self, prefix: str, now: int) -> Iterable[str]:
        return self.market.keep(("okx_archive", now // MS_HOUR), lambda: list(self._find(now)))

    def _find(self, now: int) -> Iterator[str]:
        days: set[str] = set()
        for name, listing in self._names(now):
            bars, funding = self.rest.market.candles(listing.listed, "trade"), self.rest.market.funding(listing.listed)
            assert bars and funding
            until = min(now, GONE) if name == "BTC-USDC-SWAP" else now
            for unit, how in (("D", "daily"), ("M", "monthly")):
                for period in periods(bars.opened_at[bars.opened_at < until], unit, AHEAD):
                    yield f"{ROOT}/candlesticks/{how}/{period.replace('-', '')}/{name}-candlesticks-{period}.zip"
            settled = funding.settled_at[funding.settled_at < until]
            days.update(periods(settled, "D", AHEAD))
            for period in periods(settled, "M", AHEAD):
                yield f"{ROOT}/swaprates/monthly/{period.replace('-', '')}/{name}-fundingrates-{period}.zip"
        yield from (f"{ROOT}/swaprates/daily/{day.replace('-', '')}/allswap-fundingrates-{day}.zip" for day in days)

    def keys(self, prefix: str, now: int) -> list[str]:
        return [key for key in super().keys(prefix, now) if self.there_from(key) <= now]

    @staticmethod
    def _ends(key: str) -> tuple[int, int]:
        match = KEY.fullmatch(key)
        assert match, key
        start, end = ends(match["period"])
        return start - AHEAD, end - AHEAD

    def there_from(self, key: str) -> int:
        return self._ends(key)[1] + MS_DAY

    def lines(self, key: str, now: int) -> tuple[str, Iterable[str]]:
        match = KEY.fullmatch(key)
        assert match, key
        named, kind, (start, end) = match["name"], match["kind"], self._ends(key)
        rows = self._minutes if kind == "candlesticks" else self._funding
        lines = [
            line
            for name, listing in self._names(now)
            if named in (name, "allswap")
            for line in rows(name, listing, start, min(end, GONE) if name == "BTC-USDC-SWAP" else end)
        ]
        return HEADERS[kind], lines

    def _funding(self, name: str, listing: Listing, start: int, end: int) -> Iterator[str]:
        funding = self.rest.market.funding(listing.listed)
        assert funding
        low, high = np.searchsorted(funding.settled_at, (start, end), "left").tolist()
        for at, rate in zip(funding.settled_at[low:high].tolist(), text(funding.rate[low:high]), strict=True):
            yield f"{name},{rate},{at}"

    def _minutes(self, name: str, listing: Listing, start: int, end: int) -> Iterator[str]:
        bars = self.rest.market.candles(listing.listed, "trade")
        assert bars
        low, high = np.searchsorted(bars.opened_at, (start, end), "left").tolist()
        sizes = zip(*(x[low:high].tolist() for x in (bars.volume, bars.quote_volume)), strict=True)
        count = contracts(listing.listed, bars.volume[low:high])
        prices = zip(*(text(x[low:high]) for x in (bars.open, bars.high, bars.low, bars.close)), strict=True)
        for at, (opened, most, least, closed), (coins, quote), vol in zip(
            bars.opened_at[low:high].tolist(), prices, sizes, count, strict=True
        ):
            half = ",".join(map(plain, (float(vol) / 2, coins / 2, quote / 2)))
            first = f"{name},{opened},{most},{least},{opened},{half},{at},1"
            yield from (first, first)
            yield from (f"{name},{opened},{opened},{opened},{opened},0,0,0,{at + n * 60_000},1" for n in range(1, 59))
            yield f"{name},{closed},{closed},{closed},{closed},{half},{at + 59 * 60_000},1"
        yield f"{name},1,1,1,1,1,1,1,{end - 60_000},0"


VENUE = OkxArchive
