"""Binance's public archive (data.binance.vision) in S3, of USD-M and COIN-M, from the store of their REST.

Listed by S3's first API (prefix, delimiter, marker; 1000 keys a page), files whole or by ranges, a `.CHECKSUM` beside each. A
day's file is there once the day is over, a month's from the first Monday after it on. The bars of every other month have no
header. `metrics` have a row each five minutes, straight lines between the hours of the store; a liquidation, at most one a symbol
and second, stands twice. BTCBUSD traded as BTCUSDT until 8 June 2025, and REST lists it no more; a dated contract is a folder.
Alone: `curl "$URL/binance_archive/?prefix=data/futures/um/daily/klines/&delimiter=/"`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby

import numpy as np

from infra.emulator.archives import MS_DAY, PublicBucket, ends, periods
from infra.emulator.market import World
from infra.emulator.rendering import contracts, plain, text
from infra.emulator.store import MS_HOUR, Ints, Listing, PriceKind
from infra.emulator.streams import happened, largest_a_symbol
from infra.emulator.venues.binance_coinm import BinanceCoinM, face
from infra.emulator.venues.binance_usdm import Binance

#: The end of the contract that is listed no more (ms).
GONE = int(np.datetime64("2025-06-08", "ms").astype(int))
BAR = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
HEADERS = {
    "metrics": "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio",
    "fundingRate": "calc_time,funding_interval_hours,last_funding_rate",
    "liquidationSnapshot": "time,side,order_type,time_in_force,original_quantity,price,average_price,order_status,"
    "last_fill_quantity,accumulated_fill_quantity",
}
PRICES: dict[str, PriceKind] = {"klines": "trade", "markPriceKlines": "mark", "indexPriceKlines": "index"}
KEY = re.compile(
    r"(data/futures/(?P<market>um|cm)/(?P<how>daily|monthly)/(?P<kind>\w+)/(?P<name>\w+)/(?:1h/)?(?P=name)-(?:1h|(?P=kind))-)"
    r"(?P<period>\d{4}-\d\d(?:-\d\d)?)\.zip"
)


class BinanceArchive(PublicBucket):
    name = "binance_archive"
    bucket = "data.binance.vision"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.rest: dict[str, Binance] = {"um": Binance(world), "cm": BinanceCoinM(world)}

    def _names(self, market: str, kind: str, now: int) -> Iterator[tuple[str, Listing]]:
        """What a market's folders are named after, each with its listing."""
        rest = self.rest[market]
        for listing in rest.market.listings(now):
            yield (rest.pair if kind == "indexPriceKlines" else rest.symbol)(listing), listing
            if market == "um" and listing.listed == "BTC":
                yield "BTCBUSD", listing

    def _times(self, market: str, kind: str, name: str, listing: Listing) -> Ints:
        """The times (ms) of all rows of a kind, and of none but those."""
        held = self.rest[market].market
        if kind == "fundingRate":
            bundle = held.funding(listing.listed)
            times = bundle.settled_at if bundle else None
        elif kind == "metrics":
            interest = held.open_interest(listing.listed)
            times = interest.observed_at if interest else None
        elif kind == "liquidationSnapshot":
            forced = held.liquidations(listing.listed)
            times = forced.time if forced and market == "cm" else None
        else:
            bars = held.candles(listing.listed, PRICES[kind])
            times = bars.opened_at if bars else None
        if times is None:
            return np.empty(0, np.int64)
        return times[times < GONE] if name == "BTCBUSD" else times

    def _keys(self, market: str, how: str, kind: str, now: int) -> list[str]:
        """The keys of all files of a kind that are there, in order."""
        unit = "M" if how == "monthly" else "D"
        if (kind == "fundingRate") != (unit == "M") and kind not in PRICES:
            return []
        found = []
        for name, listing in self._names(market, kind, now):
            times = self._times(market, kind, name, listing)
            folder = f"data/futures/{market}/{how}/{kind}/{name}/" + ("1h/" if kind in PRICES else "")
            label = "1h" if kind in PRICES else kind
            known = periods(times[times < now], unit)
            found += [f"{folder}{name}-{label}-{period}.zip" for period in known if _there_from(period) <= now]
        return sorted(found)

    def find(self, prefix: str, now: int) -> list[str]:
        found: list[str] = []
        for market in self.rest:
            for how in ("daily", "monthly"):
                for kind in (*PRICES, *HEADERS):
                    root = f"data/futures/{market}/{how}/{kind}/"
                    if root.startswith(prefix) or prefix.startswith(root):
                        make = partial(self._keys, market, how, kind, now)
                        found += self.market.keep(("archive", root, now // MS_HOUR), make)
        return found

    def keys(self, prefix: str, now: int) -> list[str]:
        """The keys below a prefix, checksums among them, in order."""
        found = super().keys(prefix.removesuffix(".CHECKSUM"), now)
        return sorted(each for key in found for each in (key, f"{key}.CHECKSUM") if each.startswith(prefix))

    def folders(self, prefix: str) -> list[str]:
        return [f"{prefix}BTCUSDT_250627/"] if prefix.endswith("um/daily/klines/") else []

    def there_from(self, key: str) -> int:
        return _there_from(_period(key))

    def file(self, key: str, now: int) -> bytes:
        """A file, or the checksum of one: of what it was before a fault damaged it."""
        if not key.endswith(".CHECKSUM"):
            return super().file(key, now)
        key = key.removesuffix(".CHECKSUM")
        return f"{hashlib.sha256(self.sound(key, now)).hexdigest()}  {key.rpartition('/')[2]}\n".encode()

    def stated(self, key: str, now: int) -> bytes:
        return self.file(key, now) if key.endswith(".CHECKSUM") else super().stated(key, now)

    def lines(self, key: str, now: int) -> tuple[str, Iterable[str]]:
        match = KEY.fullmatch(key)
        assert match, key
        market, kind, name, period = (match[part] for part in ("market", "kind", "name", "period"))
        listing = next(listing for each, listing in self._names(market, kind, now) if each == name)
        start, end = ends(period)
        if name == "BTCBUSD":
            end = min(end, GONE)
        has_header = kind not in PRICES or int(period[5:7]) % 2
        return HEADERS.get(kind, BAR) if has_header else "", self._rows(market, kind, name, listing, start, end)

    def _rows(self, market: str, kind: str, name: str, listing: Listing, start: int, end: int) -> Iterable[str]:
        rest = self.rest[market]
        held, coin = rest.market, listing.listed
        if kind == "liquidationSnapshot":
            return [row for row in self._liquidations(market, listing, start, end) for _ in range(2)]
        times = self._times(market, kind, name, listing)
        span = slice(*np.searchsorted(times, (start, end), "left").tolist())
        if kind == "fundingRate":
            funding = held.funding(coin)
            assert funding
            hours = [next(h for at, h in reversed(listing.funding_interval_hours) if at <= t) for t in times[span].tolist()]
            return [f"{t},{h},{r}" for t, h, r in zip(times[span].tolist(), hours, text(funding.rate[span]), strict=True)]
        if kind == "metrics":
            return self._metrics(market, name, listing, span)
        bars = held.candles(coin, PRICES[kind])
        assert bars
        volumes = rest._volumes(listing, bars) if kind == "klines" else None
        zeros = ["0"] * len(times)
        columns = [text(x) for x in (bars.open, bars.high, bars.low, bars.close)] + [volumes[0] if volumes else zeros]
        columns += [(times + MS_HOUR - 1).astype(str).tolist(), volumes[1] if volumes else zeros]
        columns += [["" if n < 0 else str(n) for n in bars.trades.tolist()] if kind == "klines" else zeros, zeros, zeros, zeros]
        return [",".join(row) for row in zip(times[span].astype(str).tolist(), *(c[span] for c in columns), strict=True)]

    def _metrics(self, market: str, name: str, listing: Listing, span: slice) -> Iterator[str]:
        held = self.rest[market].market.open_interest(listing.listed)
        assert held
        steps = np.arange(12) / 12
        for n in range(span.start, span.stop):
            ends = n + 1 < len(held.observed_at) and held.observed_at[n + 1] - held.observed_at[n] == MS_HOUR
            at, mark = int(held.observed_at[n]), float(held.mark[n])
            sizes = held.size[n] + (held.size[n + 1] - held.size[n]) * steps if ends else held.size[n : n + 1]
            counted = contracts(sizes * mark, face(listing.listed)) if market == "cm" else text(sizes)
            values = text(sizes if market == "cm" else sizes * mark)
            for k, (size, value) in enumerate(zip(counted, values, strict=True)):
                moment = datetime.fromtimestamp(at / 1000, UTC) + timedelta(minutes=5 * k)
                top = '"",""' if market == "cm" else "1.9151961200,3.2748590000"
                yield f"{moment:%Y-%m-%d %H:%M:%S},{name},{size},{value},{top},1.4674543700,1.0873580000"

    def _liquidations(self, market: str, listing: Listing, start: int, end: int) -> Iterator[str]:
        events = [e for e in happened({market: self.rest[market].market}, start - 1, end - 1) if e.listing == listing]
        for _, second in groupby(events, lambda event: event.time // 1000):
            for e in largest_a_symbol(list(second)):
                size = max(1, round(e.size * e.price / face(listing.listed)))
                side = "SELL" if e.long else "BUY"
                yield f"{e.time},{side},LIMIT,IOC,{size},{plain(e.price)},{plain(e.price)},FILLED,{size},{size}"


def _period(key: str) -> str:
    match = KEY.match(key)
    assert match, key
    return match["period"]


def _there_from(period: str) -> int:
    """When a file of a day or a month is there (ms)."""
    end = ends(period)[1]
    return end if len(period) == 10 else end + (7 - datetime.fromtimestamp(end / 1000, UTC).weekday()) % 7 * MS_DAY


VENUE = BinanceArchive
