"""The synthetic market: eight assets on the emulator's venues, invented hour by hour, the same for ever for one seed.

    market = SyntheticMarket(seed=7, until=clock_ms, since=clock_ms - 120 * 24 * MS_HOUR)
    market.candles("binance", "1000PEPE", "trade"), market.events()

`python -m infra.emulator.synthetic` prints the true cascades of the last 120 days. Nothing here describes a real market:
it is for running the pipeline without a network and for scoring methods against dates that are known.

**Determinism.** Randomness is counter-based (Philox keyed by seed and the name of a stream, its counter the number of a
ten-day block) and the simulation always starts at `EPOCH`, so a value is a function of seed and absolute hour: neither
`extend`, nor `since`, nor the order of questions changes the past. `assets` takes the first so many of `ASSETS`; each
count is a market of its own.

**The market** (`_simulate`), per hour; every asset has a log price, a crowd and open interest:

* *Returns*: a market factor with beta plus an own part, Student t, scaled by a log volatility that reverts to its mean
  (stochastic volatility as of Taylor 1986); a weak pull keeps price levels plausible over years.
* *Crowd* (signed; about N(0.7, 1.1) when left alone, half-life ten days, partly driven by returns: trend followers): who
  is leveraged, longs (+) or shorts (-). Open interest in USD moves slowly towards a level that grows with |crowd|.
* *Cascades*: a crowd beyond `ONSET` makes a share of the open interest vulnerable. An adverse move of size m closes
  `1 - exp(-(m / distance)^3)` of it by force (few positions stand near their liquidation); forced orders move the price
  by `IMPACT` times their share of open interest, part at once and part in the next hour, which forces more (fire-sale
  spiral as of Brunnermeier and Pedersen 2009). It ends when the crowd is spent. Large moves set it off, and so does a
  hazard that grows with the market's crowd and falls with volatility: calm markets are the fragile ones (Minsky;
  Danielsson, Valenzuela and Zer 2018). Afterwards volatility is raised, part of the move is given back, and open
  interest is lower by more than what was forced. `Causes` says how much of this the crowd causes: at crowding 0 there are
  no cascades but those by chance, which come as often in any market and leave the crowd as it was.

**The venues** see the same index price, and differ by premium, share of open interest and funding rules:

* *Premium* (perpetual over index) follows the crowd, dives when longs are forced out and leaps when shorts are, and has
  noise of a few hours.
* *Funding* puts the plain mean P of the interval's hourly premiums into the form that the venues publish,
  `P + clamp(I - P, -0.05 %, 0.05 %)` with I = 0.01 % per 8 h, scaled to the interval (Binance, Bybit, Hyperliquid), or
  P / 8 per hour without interest (Kraken; simplified). It is hourly on Hyperliquid and Kraken; 8 h on Binance and Bybit
  but for HYPE (Binance) and PEPE (Bybit), 4 h, and LINK (Binance) and SOL (Bybit), which change between 8 h and 4 h by
  the calendar so that any 120 days hold a change of both.
* *Volume* is turnover of open interest that rises with volatility, plus twice the change of open interest: the change
  of open interest in an hour never exceeds the hour's volume, as in a real market.
* *Liquidations* are the forced share of the hour, plus a trickle, cut into events of power-law sizes. Every venue has
  them in the store; what a venue shows of them is its module's business.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, TypeVar, cast

import numpy as np

from infra.emulator.store import (
    MS_HOUR,
    Bools,
    Candles,
    Floats,
    Funding,
    Ints,
    Liquidations,
    Listing,
    OpenInterest,
    PriceKind,
    Profile,
)
from infra.emulator.venues import profiles

EPOCH = 1_735_689_600_000
"""First simulated instant and listing of everything: 2025-01-01T00:00Z, ms."""
LAST = EPOCH + 25 * 8766 * MS_HOUR
"""About 2050, until when it can be simulated: each year takes some megabytes and a second."""
BLOCK = 240
"""Hours that are simulated, and given random numbers, together."""


@dataclass(frozen=True)
class Asset:
    """What makes one asset different; `noise` is its own hourly volatility, `turnover` volume per day over open interest."""

    base: str
    price: float  # USD at the epoch, about which the price wanders
    beta: float
    noise: float
    oi_usd: float  # all venues, at rest
    turnover: float


ASSETS = (
    Asset("BTC", 92_000.0, 1.0, 0.0010, 16e9, 2.2),
    Asset("ETH", 3_200.0, 1.25, 0.0020, 9e9, 2.8),
    Asset("SOL", 150.0, 1.4, 0.0030, 3.5e9, 3.0),
    Asset("XRP", 2.2, 1.2, 0.0030, 2e9, 2.4),
    Asset("DOGE", 0.16, 1.5, 0.0032, 1e9, 2.8),
    Asset("HYPE", 32.0, 1.4, 0.0045, 1.6e9, 2.0),
    Asset("LINK", 15.0, 1.35, 0.0030, 6e8, 2.2),
    Asset("PEPE", 0.000008, 1.7, 0.0045, 3.5e8, 3.2),
)


HOME = {"HYPE": ("hyperliquid", 2.5)}
"""Assets that have so many times a venue's usual share there."""

# the market, per hour
MARKET_NOISE = 0.0036
PULL = math.log(2) / (180 * 24)  # of prices to their level
VOLATILITY_DECAY, VOLATILITY_SPREAD = math.log(2) / (4 * 24), 0.45
CROWD_BIAS = 0.7
LEVERAGE_DECAY, LEVERAGE = math.log(2) / (3 * 24), 0.28  # speed, and log open interest per unit of crowd
# cascades
ONSET = 0.7  # crowd from which positions are vulnerable
VULNERABLE, VULNERABLE_MAX = 0.14, 0.30  # share of open interest per (crowd - ONSET) squared
IMPACT, PROMPT = (
    0.45,
    0.4,
)  # log price per share of open interest that is forced; how much of it in the same hour
OUTSIDE = 0.08  # share of open interest that a cascade by chance forces
RESET, DELEVERAGING, ALARM = 7.0, 2.0, 4.0  # of crowd, log open interest, log volatility, per forced share
OVERSHOOT, REBOUND = 0.35, math.log(2) / 12
TRICKLE = 0.004  # share of open interest that is vulnerable in any market
# premium
CROWD_PREMIUM, FORCED_PREMIUM, PREMIUM_NOISE = 0.00035, 0.06, 0.00018
INTEREST, CLAMP = 0.0001, 0.0005  # per 8 h

EventKind = Literal["crowded_long", "crowded_short", "cascade", "quiet"]
Bundle = TypeVar("Bundle")


@dataclass(frozen=True)
class Causes:
    """What sets cascades off, and how slowly a crowd builds up."""

    crowding: float = 1.0
    """Scales the share that a crowd makes vulnerable, and its hazard."""
    half_life_days: float = 10.0
    """Of a crowd that is left alone."""
    hazard: float = 0.010
    """Per hour, of a shock that sets a cascade off, at a crowd of one beyond its onset and usual volatility."""
    shock: float = 0.022
    """Log price, times beta."""
    distance: float = 0.032
    """Scale of the distance to liquidation, times beta."""
    chance: float = 0.0
    """Per hour, of a cascade that no crowd caused."""


@dataclass(frozen=True)
class Event:
    """A true date of the synthetic market: `asset` was in this state in [start_ms, end_ms)."""

    kind: EventKind
    asset: str
    start_ms: int
    end_ms: int


@dataclass
class _Market:
    """The simulated path: rows are hourly instants from EPOCH (`forced`: the hour that ends there), columns assets."""

    price: Floats  # log of price over its level
    oi: Floats  # log of open interest in coins over its level
    crowd: Floats
    forced: Floats  # share of open interest closed by force
    volatility: Floats  # log, of the market: one column
    due: Floats  # two rows, of the last hour: what the price is to give back, and what impact is still to come


def _rng(seed: int, stream: str, block: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, zlib.crc32(stream.encode())], counter=[0, 0, 0, block]))


def _smooth(values: Floats, half_life: float) -> Floats:
    """Exponential mean of the past, so scaled that white noise keeps its variance; half-life in hours, the first value 0."""
    keep = 0.5 ** (1 / half_life)
    powers = keep ** np.arange(1, BLOCK + 1)
    fresh = powers * np.cumsum(values[1:].reshape(-1, BLOCK) / powers, axis=1)
    ends = list(accumulate(fresh[:, -1].tolist(), lambda old, new: old * powers[-1] + new, initial=0.0))
    return math.sqrt(1 - keep**2) * np.concatenate([[0.0], (fresh + powers * np.array(ends[:-1])[:, None]).ravel()])


#: Of ten, from 0 on; exact ones, unlike 10.0**-n.
_POWERS = 10.0 ** np.arange(309)


def _digits(values: Floats, digits: int) -> Floats:
    """Rounded to so many significant digits: the nearest float to a short decimal text."""
    power = digits - 1 - np.floor(np.log10(np.maximum(np.abs(values), 1e-300))).astype(np.int64)
    up, down = _POWERS[np.maximum(power, 0)], _POWERS[np.maximum(-power, 0)]
    return np.where(power >= 0, np.round(values * up) / up, np.round(values / down) * down)


def _interval(venue: Profile, base: str, month: Ints) -> Ints:
    """Funding interval in hours in calendar months (counted from January 1970); by the calendar, so that the past stays."""
    if base in venue.changing:
        return np.where(month % 3 == venue.changing[base], 4, 8)
    return np.full(len(month), 4 if base in venue.four_hourly else venue.hours)


def _months(at: Ints) -> Ints:
    return at.astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64)


def _charged(venue: Profile, premium: Floats, hours: Ints) -> Floats:
    """Rate per interval of `hours` for a mean premium (both fractions): the venues' formula, see the module's docstring."""
    eight = premium + np.clip(INTEREST - premium, -CLAMP, CLAMP) if venue.interest else premium
    return np.asarray(np.round(eight * hours / 8, venue.decimals))


def _runs(inside: Bools, join: int, least: int) -> list[tuple[int, int]]:
    """Half-open index ranges where `inside` holds, holes of up to `join` closed, those shorter than `least` left out."""
    hits = np.flatnonzero(inside)
    parts = np.split(hits, np.flatnonzero(np.diff(hits) > join + 1) + 1) if len(hits) else []
    return [(int(part[0]), int(part[-1]) + 1) for part in parts if part[-1] + 1 - part[0] >= least]


class SyntheticMarket:
    """A market store (`MarketStore`) that invents its data; see the module's docstring for the model.

    `until` (ms) is how far data must reach (it reaches up to ten days beyond), `since` (ms, default EPOCH) the first
    instant that is held: an emulator that shows 120 days needn't render years. Everything is listed at EPOCH whatever
    `since` is. A bundle stays the same object until `extend` has made new hours. `venues` are those of the emulator's modules
    unless told; one more or less changes nothing of the others.
    Raises ValueError for an `until` before EPOCH or after LAST, or a number of assets outside 1..8.
    """

    def __init__(
        self,
        seed: int = 7,
        assets: int = 8,
        *,
        until: int,
        since: int = EPOCH,
        causes: Causes = Causes(),
        venues: Mapping[str, Profile] | None = None,
    ) -> None:
        if not 1 <= assets <= len(ASSETS):
            raise ValueError(f"the synthetic market has 1 to {len(ASSETS)} assets, not {assets}")
        if until < EPOCH:
            raise ValueError("the synthetic market begins at 2025-01-01T00:00Z: a clock before that has nothing to show")
        if until > LAST:
            raise ValueError("the synthetic market ends about 2050: set the clock to a time before that")
        self.origin = f"synthetic; seed={seed}"
        self.seed, self.since, self.until, self.causes = seed, max(since, EPOCH), until, causes
        self.assets = ASSETS[:assets]
        self.venues = profiles() if venues is None else venues
        zero = np.zeros((1, assets))
        self._market = _Market(zero, zero, zero + CROWD_BIAS, zero, np.zeros(1), np.zeros((2, assets)))
        self._cache: dict[tuple[str, ...], object] = {}
        self.extend(until)

    def extend(self, until: int) -> None:
        """Simulate on so that data reach beyond `until` (ms); rows given before stay equal."""
        self.until = max(self.until, until)
        first = (len(self._market.price) - 1) // BLOCK
        blocks = range(first, (until - EPOCH) // (BLOCK * MS_HOUR) + 1)
        if blocks:
            self._simulate(blocks)
            self._cache.clear()

    def listings(self, venue: str) -> list[Listing]:
        """What the venue lists of the assets; [] for one that isn't there."""
        if venue not in self.venues:
            return []
        return [
            Listing(venue, *self._named(venue, asset.base), EPOCH, None, self._timeline(venue, asset.base))
            for asset in self.assets
            if self._listed(venue, asset.base)
        ]

    def candles(self, venue: str, listed: str, kind: PriceKind) -> Candles | None:
        """Hourly bars; mark and index bars have no volume."""
        return self._cached(("candles", venue, listed, kind), lambda at: self._candles(venue, at, kind))

    def funding(self, venue: str, listed: str) -> Funding | None:
        """Settlements; Kraken's rows are stamped with the hour that begins when the rate is set."""
        return self._cached(("funding", venue, listed), lambda at: self._funding(venue, at))

    def running_rate(self, venue: str, listed: str, at: int) -> float | None:
        """The venue's formula over the hours that have passed of the interval (at least the last hour)."""
        found = self._find(venue, listed)
        hour = (at - EPOCH) // MS_HOUR
        if found is None or not 1 <= hour < len(self._market.price):
            return None
        hours = _interval(self.venues[venue], self.assets[found].base, _months(np.array([at])))
        passed = max(1, (at // MS_HOUR) % int(hours[0]))
        recent = self._premium(venue, found)[max(0, hour + 1 - passed) : hour + 1]
        return float(_charged(self.venues[venue], np.array([recent.mean()]), hours)[0])

    def open_interest(self, venue: str, listed: str) -> OpenInterest | None:
        """One-sided, hourly; the mark is the mark candle's."""
        return self._cached(("open_interest", venue, listed), lambda at: self._open_interest(venue, at))

    def liquidations(self, venue: str, listed: str) -> Liquidations | None:
        """Every forced close; the price lies within the trade bar of its hour."""
        return self._cached(("liquidations", venue, listed), lambda at: self._liquidations(venue, at))

    def events(self) -> list[Event]:
        """What truly happened from `since` to `until`, by start; an event that is under way ends at `until`.

        A `cascade` is a stretch of forced closing of at least 5 % of open interest; `crowded_*` two days or more with
        |crowd| above 1.3; `quiet` three days or more of low volatility without forced closing (a state of the market,
        told for every asset).
        """
        market, last = self._market, (self.until - EPOCH) // MS_HOUR + 1
        first = (self.since - EPOCH) // MS_HOUR
        calm = (market.volatility[:last] < -0.35) & (market.forced[:last].mean(axis=1) < 0.002)
        found: list[Event] = []
        for at, asset in enumerate(self.assets):
            crowd, forced = market.crowd[:last, at], market.forced[:last, at]
            runs: dict[EventKind, list[tuple[int, int]]] = {
                "crowded_long": _runs(crowd > 1.3, 12, 48),
                "crowded_short": _runs(crowd < -1.3, 12, 48),
                "cascade": [run for run in _runs(forced > 0.006, 4, 1) if forced[slice(*run)].sum() > 0.05],
                "quiet": _runs(calm, 6, 72),
            }
            for kind, spans in runs.items():
                shift = 1 if kind == "cascade" else 0  # forced closing is told at the end of its hour
                found += [
                    Event(kind, asset.base, EPOCH + (start - shift) * MS_HOUR, EPOCH + (end - shift) * MS_HOUR)
                    for start, end in spans
                    if end > first
                ]
        return sorted(found, key=lambda event: (event.start_ms, event.asset, event.kind))

    # the market

    def _simulate(self, blocks: range) -> None:
        """Add `blocks` to the path, hour by hour: the state of one hour makes the next.

        Plain floats: for eight assets they are several times faster than arrays.
        """
        assets, size = range(len(self.assets)), len(self.assets)
        beta = np.array([asset.beta for asset in self.assets])
        noise = np.array([asset.noise for asset in self.assets])
        past, hours = self._market, []
        price, oi, crowd, overshoot, pressure = (row.tolist() for row in (past.price[-1], past.oi[-1], past.crowd[-1], *past.due))
        volatility = float(past.volatility[-1])
        causes, decay = self.causes, math.log(2) / (self.causes.half_life_days * 24)
        exp, betas, reach = math.exp, beta.tolist(), (causes.distance * beta).tolist()
        for block in blocks:
            rng = _rng(self.seed, f"prices/{size}", block)
            factor = rng.standard_t(5, (BLOCK, 1)) * math.sqrt(3 / 5)
            news = beta * MARKET_NOISE * factor + noise * rng.standard_t(5, (BLOCK, size)) * math.sqrt(3 / 5)
            followers = 0.3 * factor + 0.95 * rng.standard_normal((BLOCK, 1)) + 0.5 * rng.standard_normal((BLOCK, size))
            joins = math.sqrt(2 * decay) * followers + decay * CROWD_BIAS
            stirs = VOLATILITY_SPREAD * math.sqrt(2 * VOLATILITY_DECAY) * rng.standard_normal(BLOCK)
            dice, shocks = rng.random(BLOCK), causes.shock * (0.8 + rng.random(BLOCK))
            chances = rng.random(BLOCK)
            for new, join, stir, die, shock, chance in zip(
                *(x.tolist() for x in (news, joins, stirs, dice, shocks, chances)), strict=True
            ):
                scale, lean = exp(volatility), sum(crowd) / size
                hazard = causes.crowding * causes.hazard * max(0.0, abs(lean) - ONSET) ** 2 / scale
                outside = chance < causes.chance
                blow = math.copysign(shock, lean) if die < hazard or outside else 0.0
                forced = [0.0] * size
                for i in assets:
                    c, rebound = crowd[i], REBOUND * overshoot[i]
                    move = scale * new[i] - PULL * price[i] + rebound + pressure[i] - blow * betas[i]
                    excess, hit, impact = abs(c) - ONSET, 0.0, 0.0
                    if excess > 0 and move * c < 0:
                        vulnerable = min(VULNERABLE_MAX, VULNERABLE * excess * excess)
                        hit = causes.crowding * vulnerable * (1 - exp(-((abs(move) / reach[i]) ** 3)))
                    forced[i] = max(hit, OUTSIDE) if outside else hit
                    if forced[i]:
                        impact = math.copysign(IMPACT * forced[i], -c)
                    price[i] += move + PROMPT * impact
                    pressure[i] = (1 - PROMPT) * impact
                    overshoot[i] -= rebound + OVERSHOOT * impact
                    oi[i] += LEVERAGE_DECAY * (LEVERAGE * abs(c) - price[i] - oi[i]) - DELEVERAGING * forced[i]
                    crowd[i] += join[i] - decay * c - math.copysign(RESET * hit, c)
                volatility += stir - VOLATILITY_DECAY * volatility + ALARM * sum(forced) / size
                hours.append([*price, *oi, *crowd, *forced, volatility])
        new_rows = np.array(hours)
        parts = [new_rows[:, k * size : (k + 1) * size] for k in range(4)]
        price_, oi_, crowd_, forced_ = map(np.vstack, zip((past.price, past.oi, past.crowd, past.forced), parts, strict=True))
        volatility_ = np.concatenate([past.volatility, new_rows[:, -1]])
        self._market = _Market(price_, oi_, crowd_, forced_, volatility_, np.array([overshoot, pressure]))

    # the venues; `at` is the asset's column, series are by hourly instant from EPOCH, bars and what is made of them from `_first`

    def _candles(self, venue: str, at: int, kind: PriceKind) -> Candles:
        asset, market, first = self.assets[at], self._market, self._first
        level, volatility = self._level(venue, at, kind)[first:], market.volatility[first:-1]
        opened, closed = level[:-1], level[1:]
        spread = 0.5 * np.exp(volatility) * (asset.beta * MARKET_NOISE + asset.noise)
        wicks = np.abs(self._wicks(asset.base)) * spread[:, None]
        wicks += 0.3 * IMPACT * np.stack(self._sides(at), axis=1)  # forced sales print below, forced purchases above
        high = _digits(np.maximum(opened, closed) * np.exp(wicks[:, 1]), 6)
        low = _digits(np.minimum(opened, closed) * np.exp(-wicks[:, 0]), 6)
        opened, closed = _digits(opened, 6), _digits(closed, 6)
        volume = quote = np.full(len(opened), np.nan)
        trades = np.full(len(opened), -1)
        if kind == "trade":
            size = self._size(venue, at)[first:]
            hour = np.arange(len(opened)) % 24
            season = 1 + 0.35 * np.cos((hour - 15) * (2 * np.pi / 24))
            noise = self._noise(f"{venue}/{asset.base}/volume", first=first)[:, 0]
            busy = season * np.exp(0.9 * volatility + 0.25 * noise)
            turned = size[:-1] * (busy * asset.turnover / 24 + 4 * market.forced[first + 1 :, at])
            volume = _digits(turned + 2 * np.abs(np.diff(size)), 6)
            quote = _digits(volume * (opened + high + low + closed) / 4, 10)
            trades = 1 + (quote / 1_800).astype(np.int64)
        return Candles(self._instants()[first:-1], opened, high, low, closed, volume, quote, trades)

    def _funding(self, venue: str, at: int) -> Funding:
        instants, premium = self._instants()[1:], self._premium(venue, at)
        hours = _interval(self.venues[venue], self.assets[at].base, _months(instants - 1))  # that of the interval which ends here
        sums = np.concatenate([[0.0], np.cumsum(premium)])
        settled = np.flatnonzero((instants // MS_HOUR) % hours == 0) + 1
        hours = hours[settled - 1]
        means = (sums[settled + 1] - sums[settled + 1 - hours]) / hours
        late = np.abs(self._normal(f"{venue}/jitter")[settled]) * self.venues[venue].jitter_ms / 4
        stamps = self._instants()[settled] + np.minimum(late, self.venues[venue].jitter_ms).astype(np.int64)
        return Funding(stamps, _charged(self.venues[venue], means, hours), _digits(self._level(venue, at, "mark")[settled], 6))

    def _open_interest(self, venue: str, at: int) -> OpenInterest:
        first = self._first
        mark = _digits(self._level(venue, at, "mark")[first:], 6)
        return OpenInterest(self._instants()[first:], self._size(venue, at)[first:], mark)

    def _liquidations(self, venue: str, at: int) -> Liquidations:
        bars, size = self._candles(venue, at, "trade"), self._size(venue, at)[self._first :]
        moves = np.stack([np.log(bars.open / bars.low), np.log(bars.high / bars.open)])
        shares = np.stack(self._sides(at)) - TRICKLE * np.expm1(-((moves / (self.causes.distance * self.assets[at].beta)) ** 3))
        parts: list[tuple[Ints, Bools, Floats, Floats]] = []
        for begins in range(0, len(bars.open), BLOCK):
            rng = _rng(self.seed, f"{venue}/{self.assets[at].base}/liquidations", (self._first + begins) // BLOCK)
            for side in (0, 1):
                hours = np.arange(begins, begins + BLOCK)
                share = shares[side, hours]
                bar = np.repeat(hours, np.where(share > 1e-5, 1 + rng.poisson(40 * np.sqrt(share)), 0))
                weight = rng.pareto(1.5, len(bar)) + 1
                weight /= np.bincount(bar, weight, len(bars.open))[bar]
                when, reach = rng.random(len(bar)), rng.random(len(bar))
                path = bars.open[bar] + (bars.close[bar] - bars.open[bar]) * when
                price = path + ((bars.high if side else bars.low)[bar] - path) * reach
                amount = weight * shares[side, bar] * size[bar]
                time = bars.opened_at[bar] + (when * MS_HOUR).astype(np.int64)
                parts.append((time, np.full(len(bar), side == 0), _digits(price, 6), _digits(amount, 5)))
        time, long, price, amount = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.argsort(time, kind="stable")
        return Liquidations(time[order], long[order], price[order], amount[order])

    def _sides(self, at: int) -> tuple[Floats, Floats]:
        """Share of open interest forced in each bar from `_first` on: of longs, of shorts."""
        forced, long = self._market.forced[self._first + 1 :, at], self._market.crowd[self._first : -1, at] > 0
        return forced * long, forced * ~long

    def _premium(self, venue: str, at: int) -> Floats:
        return cast(Floats, self._memo(("premium", venue, str(at)), lambda: self._make_premium(venue, at)))

    def _make_premium(self, venue: str, at: int) -> Floats:
        crowd, forced = self._market.crowd[:, at], self._market.forced[:, at]
        noise = _smooth(self._normal(f"{venue}/{self.assets[at].base}/premium"), 5)
        dive = _smooth(np.concatenate([[0.0], np.sign(crowd[:-1])]) * forced, 2)
        return self.venues[venue].tilt + CROWD_PREMIUM * crowd * np.abs(crowd) + PREMIUM_NOISE * noise - FORCED_PREMIUM * dive

    def _level(self, venue: str, at: int, kind: PriceKind) -> Floats:
        """Price per listed unit: index, or with the premium (trade), or with its mean of two hours (mark)."""
        asset = self.assets[at]
        multiplier = self._named(venue, asset.base)[2]
        index = asset.price * multiplier * np.exp(self._market.price[:, at])
        if kind == "index":
            return index
        premium = self._premium(venue, at)
        if kind == "mark":
            premium = (premium + np.concatenate([premium[:1], premium[:-1]])) / 2
        return index * (1 + premium)

    def _size(self, venue: str, at: int) -> Floats:
        """Open interest in listed units."""
        return cast(Floats, self._memo(("size", venue, str(at)), lambda: self._make_size(venue, at)))

    def _make_size(self, venue: str, at: int) -> Floats:
        asset = self.assets[at]
        home, times = HOME.get(asset.base, ("", 1.0))
        core = 1 + (times - 1) * (self.venues[home].share if home in self.venues else 0)
        share = self.venues[venue].share * (times if venue == home else 1) / core
        drift = np.exp(0.08 * _smooth(self._normal(f"{venue}/{asset.base}/share"), 96))
        coins = asset.oi_usd / asset.price * np.exp(self._market.oi[:, at])
        return _digits(coins * share * drift / self._named(venue, asset.base)[2], 7)

    # small things

    @property
    def _first(self) -> int:
        """The hour since EPOCH with which the block of `since` begins: no bar, and nothing by the bar, is made before it."""
        return (self.since - EPOCH) // (BLOCK * MS_HOUR) * BLOCK

    def _noise(self, stream: str, columns: int = 1, first: int = 0) -> Floats:
        """White noise by hour, from the hour `first` on, with which a block begins."""
        blocks = range(first // BLOCK, (len(self._market.price) - 1) // BLOCK)
        rows = [_rng(self.seed, stream, block).standard_normal((BLOCK, columns)) for block in blocks]
        return np.concatenate([np.zeros((0, columns)), *rows])

    def _normal(self, stream: str) -> Floats:
        """White noise by instant, the first one 0."""
        return np.concatenate([[0.0], self._noise(stream)[:, 0]])

    def _wicks(self, base: str) -> Floats:
        """Noise of the bars of an asset, which is that of all venues."""
        return cast(Floats, self._memo(("wicks", base), lambda: self._noise(f"{base}/wicks", 2, self._first)))

    def _instants(self) -> Ints:
        return EPOCH + MS_HOUR * np.arange(len(self._market.price))

    def _named(self, venue: str, base: str) -> tuple[str, str, int]:
        """Listed name, base, multiplier."""
        thousand = self.venues[venue].thousand if base == "PEPE" else ""
        return thousand + base, base, 1000 if thousand else 1

    def _listed(self, venue: str, base: str) -> bool:
        lists = self.venues[venue].lists
        return not lists or base in lists

    def _find(self, venue: str, listed: str) -> int | None:
        if venue not in self.venues:
            return None
        names = [self._named(venue, asset.base)[0] if self._listed(venue, asset.base) else "" for asset in self.assets]
        return names.index(listed) if listed in names else None

    def _timeline(self, venue: str, base: str) -> tuple[tuple[int, int], ...]:
        months = np.arange(int(_months(np.array([EPOCH]))[0]), int(_months(np.array([self.until]))[0]) + 1)
        hours = _interval(self.venues[venue], base, months)
        starts = months.astype("datetime64[M]").astype("datetime64[ms]").astype(np.int64)
        changes = np.concatenate([[True], hours[1:] != hours[:-1]])
        return tuple(zip(starts[changes].tolist(), hours[changes].tolist(), strict=True))

    def _memo(self, key: tuple[str, ...], make: Callable[[], object]) -> object:
        if key not in self._cache:
            self._cache[key] = make()
        return self._cache[key]

    def _cached(self, key: tuple[str, ...], make: Callable[[int], Bundle]) -> Bundle | None:
        """The bundle from `since` on, made once; None where the venue doesn't list it."""
        at = self._find(key[1], key[2])
        return None if at is None else cast(Bundle, self._memo(key, lambda: _from(make(at), self.since)))


def _from(bundle: Bundle, since: int) -> Bundle:
    """`bundle` without the rows before `since`."""
    columns = vars(bundle)
    first = int(np.searchsorted(next(iter(columns.values())), since))
    return type(bundle)(*(np.ascontiguousarray(column[first:]) for column in columns.values()))


if __name__ == "__main__":
    import sys
    import time

    now = time.time_ns() // 1_000_000
    for event in SyntheticMarket(until=now, since=now - 120 * 24 * MS_HOUR).events():
        if event.kind == "cascade":
            start, end = (np.datetime64(ms, "ms").astype("datetime64[h]") for ms in (event.start_ms, event.end_ms))
            sys.stdout.write(f"{event.asset:5} {start} to {end}\n")
