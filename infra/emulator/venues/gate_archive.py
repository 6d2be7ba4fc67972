"""Gate's public archive (download.gatedata.org), which nothing lists, and REST's list of all contracts there were.

Bars and settlements by month, without a header, once the month is over. XBT_USDT traded as BTC_USDT until 8 June 2025, and is
on the list of all contracts alone.
Alone: `curl -I "$URL/gate_archive/futures_usdt/candlesticks_1h/202610/BTC_USDT-202610.csv.gz"`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import numpy as np

from infra.emulator.archives import Files, ends, periods
from infra.emulator.market import World
from infra.emulator.messages import Ask
from infra.emulator.rendering import text
from infra.emulator.store import MS_HOUR, Listing
from infra.emulator.venue import route
from infra.emulator.venues.gate import Gate, contracts

#: The end of the contract that is listed no more (ms).
GONE = int(np.datetime64("2025-06-08", "ms").astype(int))
KEY = re.compile(r"futures_usdt/(?P<kind>candlesticks_1h|funding_applies)/(?P<month>\d{6})/(?P<name>\w+)-(?P=month)\.csv\.gz")


class GateArchive(Files):
    name = "gate_archive"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.rest = Gate(world)

    @route("/api/v4/futures/usdt/contracts_all", "contracts")
    def contracts(self, ask: Ask) -> object:
        limit, offset = ask.limit(100, 100), ask.integer("offset") or 0
        snapshots = [self.rest.market.snapshot(x, ask.now) for x in self.rest.market.listings(ask.now)]
        bitcoin = [at for at in snapshots if at.listing.listed == "BTC" and ask.now >= GONE]
        gone = {"name": "XBT_USDT", "status": "delisted", "delisted_time": GONE // 1000}
        contracts = [*map(self.rest._contract, snapshots), *(self.rest._contract(at) | gone for at in bitcoin)]
        return contracts[offset : offset + limit]

    def _names(self, now: int) -> Iterator[tuple[str, Listing]]:
        for listing in self.rest.market.listings(now):
            yield self.rest.symbol(listing), listing
            if listing.listed == "BTC":
                yield "XBT_USDT", listing

    def find(self, prefix: str, now: int) -> Iterable[str]:
        return self.market.keep(("gate_archive", now // MS_HOUR), lambda: list(self._find(now)))

    def _find(self, now: int) -> Iterator[str]:
        for name, listing in self._names(now):
            bars, funding = self.rest.market.candles(listing.listed, "trade"), self.rest.market.funding(listing.listed)
            assert bars and funding
            for kind, times in (("candlesticks_1h", bars.opened_at), ("funding_applies", funding.settled_at)):
                for month in periods(times[times < (min(now, GONE) if name == "XBT_USDT" else now)], "M"):
                    at = month.replace("-", "")
                    yield f"futures_usdt/{kind}/{at}/{name}-{at}.csv.gz"

    def keys(self, prefix: str, now: int) -> list[str]:
        return [key for key in super().keys(prefix, now) if self.there_from(key) <= now]

    @staticmethod
    def _ends(key: str) -> tuple[str, str, int, int]:
        """What a file has of which contract, and the ends of its month."""
        match = KEY.fullmatch(key)
        assert match, key
        start, end = ends(f"{match['month'][:4]}-{match['month'][4:]}")
        return match["kind"], match["name"], start, min(end, GONE) if match["name"] == "XBT_USDT" else end

    def there_from(self, key: str) -> int:
        start = self._ends(key)[2]
        return ends(str(np.datetime64(start, "ms").astype("datetime64[M]")))[1]

    def lines(self, key: str, now: int) -> tuple[str, Iterable[str]]:
        kind, name, start, end = self._ends(key)
        listing = next(listing for each, listing in self._names(now) if each == name)
        return "", list(self._bars(listing, start, end) if kind == "candlesticks_1h" else self._rates(listing, start, end))

    def _rates(self, listing: Listing, start: int, end: int) -> Iterator[str]:
        funding = self.rest.market.funding(listing.listed)
        assert funding
        low, high = np.searchsorted(funding.settled_at, (start, end), "left").tolist()
        for at, rate in zip(funding.settled_at[low:high].tolist(), text(funding.rate[low:high]), strict=True):
            yield f"{at // 1000},{rate}"

    def _bars(self, listing: Listing, start: int, end: int) -> Iterator[str]:
        bars = self.rest.market.candles(listing.listed, "trade")
        assert bars
        low, high = np.searchsorted(bars.opened_at, (start, end), "left").tolist()
        sizes = contracts(bars.volume[low:high], listing)
        prices = zip(*(text(x[low:high]) for x in (bars.close, bars.high, bars.low, bars.open)), strict=True)
        for at, size, each in zip(bars.opened_at[low:high].tolist(), sizes, prices, strict=True):
            yield f"{at // 1000},{size or 0},{','.join(each)}"


VENUE = GateArchive
