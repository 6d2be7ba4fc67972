"""A market store over recorded series: a folder of Parquet files, served as the venues would serve them.

    market = RecordedMarket(Path("../shared/recordings/series"))
    market.start, market.end, market.open_interest("hyperliquid", "BTC")

The files are `candles_1h`, `funding_rates`, `open_interest_1h` and `liquidations_1d`, any of them absent, with the columns of
`docs/your-own-data.md`. A user's folder is read, checked and written in this form by `pipelines.series_files`; here it is taken
as right.

**What is derived.** Open interest that is only in USD becomes a size by the row's mark, else by a proxy: the
close of the bar with the same timestamp, at the same venue or, where that has no bar, the median of the others'. Such
series stand in `proxies`, and `origin` ends with `mark=close-proxy`; a row for which there is neither mark nor proxy is
left out and counted in `dropped`, and `notes` says both. Funding intervals come from the gaps between settlements. Nothing else
is made up: no index, no running rate, no single liquidations (daily totals are not events; they stay readable in
`daily_liquidations`). Mark bars know only their close.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infra.emulator.store import (
    MS_HOUR,
    Candles,
    Floats,
    Funding,
    Ints,
    Liquidations,
    Listing,
    OpenInterest,
    PriceKind,
)

Key = tuple[str, str]
"""Venue and coin as listed."""

MS_DAY = 24 * MS_HOUR
KEYS = ("timestamp", "venue", "coin")
INTERVALS = (1, 2, 4, 8)
USUAL_INTERVAL = {"binance": 8, "bybit": 8, "hyperliquid": 1, "kraken": 1}
"""Hours; the venues that are known, and what is assumed where no gaps tell."""


@dataclass(frozen=True)
class _File:
    name: str
    lasts: int  # ms from a stamp to the end of what it tells of


CANDLES = _File("candles_1h", MS_HOUR)
FUNDING = _File("funding_rates", 0)
OPEN_INTEREST = _File("open_interest_1h", 0)
LIQUIDATIONS = _File("liquidations_1d", MS_DAY)
FILES = (CANDLES, FUNDING, OPEN_INTEREST, LIQUIDATIONS)


@dataclass(frozen=True)
class _Series:
    """One venue's coin in one file: stamps in ms, ascending; values by column, NaN = not recorded."""

    at: Ints
    values: dict[str, Floats]

    def column(self, name: str) -> Floats:
        return self.values.get(name, np.full(len(self.at), np.nan))


class RecordedMarket:
    """A market store (`MarketStore`) over the files of `folder`; see the module's docstring for their format.

    `start` and `end` (ms) bound what it holds: `end` is the first full hour at which everything recorded has happened,
    so the clock of a recorded run. Raises ValueError for a folder without a row of a known venue.
    """

    def __init__(self, folder: Path) -> None:
        self.proxies: dict[Key, str] = {}
        self.dropped: dict[Key, int] = {}
        tables = {file: table for file in FILES if (table := _read(folder, file)) is not None}
        self._series = {file: self._split(table) for file, table in tables.items()}
        spans = [(s.at[0], s.at[-1] + file.lasts) for file, found in self._series.items() for s in found.values()]
        if not spans:
            names = ", ".join(f"{file.name}.parquet" for file in FILES)
            raise ValueError(f"{folder} holds no rows of {', '.join(USUAL_INTERVAL)} in {names}")
        self.start = int(min(first for first, _ in spans))
        self.end = -(-int(max(last for _, last in spans)) // MS_HOUR) * MS_HOUR
        self.daily_liquidations: pa.Table | None = tables.get(LIQUIDATIONS)
        """The daily totals as read, `timestamp` in ms; None = no such file."""
        held = {key: self._sized(key, series) for key, series in self._series.get(OPEN_INTEREST, {}).items()}
        self._open_interest = {key: series for key, series in held.items() if len(series.observed_at)}
        self.origin = f"recorded; {folder.name}" + ("; mark=close-proxy" if self.proxies else "")

    @property
    def notes(self) -> list[str]:
        """What is left out, a line per series."""
        return [
            f"open_interest_1h: {count:,} rows of {venue} {coin} are left out: neither mark_price nor a candle gives their price"
            for (venue, coin), count in sorted(self.dropped.items())
        ]

    def listings(self, venue: str) -> list[Listing]:
        """Every coin of `venue` in any file, listed at its first stamp."""
        return self._listings.get(venue, [])

    def candles(self, venue: str, listed: str, kind: PriceKind) -> Candles | None:
        """Trade bars as recorded; mark bars with nothing but a close; no index bars."""
        series = self._series.get(CANDLES, {}).get((venue, listed))
        if series is None or kind == "index":
            return None
        if kind == "trade":
            open_, high, low, close = (series.values[name] for name in ("open", "high", "low", "close"))
            volume, quote = series.column("volume_base"), series.column("volume_usd")
            return Candles(series.at, open_, high, low, close, volume, quote, np.full(len(series.at), -1))
        known = ~np.isnan(series.column("mark_price"))
        nan = np.full(int(known.sum()), np.nan)
        close = series.column("mark_price")[known]
        return Candles(series.at[known], nan, nan, nan, close, nan, nan, np.full(len(nan), -1)) if len(nan) else None

    def funding(self, venue: str, listed: str) -> Funding | None:
        """Settlements at their recorded stamps."""
        series = self._series.get(FUNDING, {}).get((venue, listed))
        if series is None:
            return None
        return Funding(series.at, series.values["funding_rate"], series.column("mark_price"))

    def running_rate(self, venue: str, listed: str, at: int) -> None:
        """Not recorded."""

    def open_interest(self, venue: str, listed: str) -> OpenInterest | None:
        """Sizes such that size x mark is the recorded USD value as nearly as floats allow; the mark may be a proxy."""
        return self._open_interest.get((venue, listed))

    def liquidations(self, venue: str, listed: str) -> Liquidations | None:
        """Not recorded: daily totals are not events, see `daily_liquidations`."""

    def extend(self, until: int) -> None:
        """Nothing: a recording ends where it ends."""

    @cached_property
    def _listings(self) -> dict[str, list[Listing]]:
        first: dict[Key, int] = {}
        for found in self._series.values():
            for key, series in found.items():
                first[key] = min(first.get(key, int(series.at[0])), int(series.at[0]))
        listings: dict[str, list[Listing]] = {}
        for (venue, listed), listed_at in sorted(first.items()):
            settled = self._series.get(FUNDING, {}).get((venue, listed))
            timeline = _timeline(settled.at if settled else np.empty(0, np.int64), USUAL_INTERVAL[venue], listed_at)
            listings.setdefault(venue, []).append(Listing(venue, listed, *_whole(venue, listed), listed_at, None, timeline))
        return listings

    def _split(self, table: pa.Table) -> dict[Key, _Series]:
        """The series of the known venues, from a table that is sorted by venue, coin and timestamp."""
        venues, coins = (table[name].to_pylist() for name in ("venue", "coin"))
        at = table["timestamp"].to_numpy()
        values = {name: table[name].to_numpy() for name in table.column_names if name not in KEYS}
        first = [row for row in range(len(at)) if row == 0 or (venues[row], coins[row]) != (venues[row - 1], coins[row - 1])]
        found: dict[Key, _Series] = {}
        for start, end in pairwise([*first, len(at)]):
            if venues[start] in USUAL_INTERVAL:
                columns = {name: column[start:end] for name, column in values.items()}
                found[venues[start], coins[start]] = _Series(at[start:end], columns)
        return found

    def _sized(self, key: Key, series: _Series) -> OpenInterest:
        """Open interest in listed coins, its mark from the row, from USD over coins, or from the proxy, in this order."""
        usd, base, mark = (series.column(name) for name in ("oi_usd", "oi_base", "mark_price"))
        with np.errstate(divide="ignore", invalid="ignore"):
            mark = np.where(np.isnan(mark), usd / base, mark)
        mark = np.where(np.isfinite(mark) & (mark > 0), mark, np.nan)
        if np.isnan(mark).any():
            proxy = np.where(np.isnan(mark), self._close(key, series.at), np.nan)
            mark = np.where(np.isnan(mark), proxy, mark)
            if not np.isnan(proxy).all():
                self.proxies[key] = "close"
        size = np.where(np.isnan(base), _divide(usd, mark), base)
        known = ~np.isnan(size)
        if not known.all():
            self.dropped[key] = int((~known).sum())
        return OpenInterest(series.at[known], size[known], mark[known])

    def _close(self, key: Key, at: Ints) -> Floats:
        """The last price at `at`: the venue's own, else the median of the others' for the same asset; NaN = none.

        It is the close of the bar that ends then, as for live data; where that is missing, the open of the bar that begins.
        """
        base, multiplier = _whole(*key)
        own, others = np.full(len(at), np.nan), []
        for other, bars in self._series.get(CANDLES, {}).items():
            asset, units = _whole(*other)
            if asset != base:
                continue
            close = _at(bars, "close", at - MS_HOUR)
            close = np.where(np.isnan(close), _at(bars, "open", at), close)
            if other == key:
                own = close
            else:
                others.append(close * (multiplier / units))
        if not others:
            return own
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # hours that no venue has: NaN, as meant
            return np.where(np.isnan(own), np.nanmedian(others, axis=0), own)


def _at(bars: _Series, name: str, at: Ints) -> Floats:
    """A column of the bars opened at `at`; NaN = no such bar."""
    row = np.minimum(np.searchsorted(bars.at, at), len(bars.at) - 1)
    return np.asarray(np.where(bars.at[row] == at, bars.values[name][row], np.nan))


def _read(folder: Path, file: _File) -> pa.Table | None:
    """The file's table: `timestamp` as int64 ms, values as float64 with NaN for null; None where it is absent."""
    path = folder / f"{file.name}.parquet"
    if not path.exists():
        return None
    table = pq.ParquetFile(path).read()
    table = pa.table({name: _typed(name, table[name]) for name in table.column_names})
    return table.take(pc.sort_indices(table, sort_keys=[(name, "ascending") for name in ("venue", "coin", "timestamp")]))


def _typed(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("ms", tz=column.type.tz), safe=False)
    return column.cast(pa.int64() if name == "timestamp" else pa.string() if name in KEYS else pa.float64())


def _whole(venue: str, listed: str) -> tuple[str, int]:
    """Asset and whole coins per listed unit: ('PEPE', 1000) for Binance's 1000PEPE."""
    if venue == "hyperliquid" and (found := re.fullmatch(r"k([A-Z].*)", listed)):
        return found[1], 1000
    if venue in ("binance", "bybit") and (found := re.fullmatch(r"(10{3,9}|1M|1K)([A-Z].*)", listed)):
        return found[2], int(found[1].replace("M", "0" * 6).replace("K", "0" * 3))
    if venue == "bybit" and (found := re.fullmatch(r"(.*[A-Z])1000", listed)):
        return found[1], 1000
    return listed, 1


def _timeline(settled_at: Ints, usual: int, listed_at: int) -> tuple[tuple[int, int], ...]:
    """Funding intervals: a gap counts from three equal ones in a row on, so that missing settlements are no interval.

    `settled_at` in ms with the venue's jitter; returns ((from_ms, hours), ...), the first from `listed_at`.
    """
    gaps = np.round(np.diff(settled_at) / MS_HOUR).astype(np.int64)
    edges = np.flatnonzero(np.diff(gaps, prepend=-1, append=-1))
    timeline: list[tuple[int, int]] = []
    for start, end in pairwise(edges.tolist()):
        hours = int(gaps[start])
        if end - start >= 3 and hours in INTERVALS and (not timeline or timeline[-1][1] != hours):
            timeline.append((int(settled_at[start]) // MS_HOUR * MS_HOUR if timeline else listed_at, hours))
    return tuple(timeline) or ((listed_at, usual),)


def _divide(product: Floats, factor: Floats) -> Floats:
    """The quotient q, or a neighbouring float, for which q * factor is nearest to `product`."""
    quotient = product / factor
    tries = np.stack([quotient, np.nextafter(quotient, np.inf), np.nextafter(quotient, -np.inf)])
    best = np.argmin(np.abs(tries * factor - product), axis=0)
    return np.asarray(np.take_along_axis(tries, best[None], axis=0)[0])
