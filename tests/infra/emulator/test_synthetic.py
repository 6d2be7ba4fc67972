"""The synthetic market: the same for ever, possible as a market, and with the events that it says it has."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from infra.emulator.market import Market
from infra.emulator.rendering import Rows
from infra.emulator.store import MS_HOUR, MarketStore, OpenInterest
from infra.emulator.synthetic import ASSETS, EPOCH, Causes, Event, SyntheticMarket
from infra.emulator.venues import profiles

DAY = 24 * MS_HOUR
UNTIL = 1_795_305_600_000  # 2026-11-22
SINCE = UNTIL - 120 * DAY
ROOT = Path(__file__).parents[3]
VENUES = profiles()
INSTRUMENTS = [("binance", "1000PEPE"), ("bybit", "SOL"), ("hyperliquid", "kPEPE"), ("kraken", "BTC")]


@pytest.fixture(scope="module")
def market() -> SyntheticMarket:
    return SyntheticMarket(seed=7, until=UNTIL, since=SINCE)


@pytest.fixture(scope="module", params=[1, 2, 3])
def long(request: pytest.FixtureRequest) -> SyntheticMarket:
    """Near two years of another seed."""
    return SyntheticMarket(seed=request.param, until=UNTIL)


def bundles(store: MarketStore, venue: str, listed: str) -> list[object]:
    candles = [store.candles(venue, listed, kind) for kind in ("trade", "mark", "index")]
    return [*candles, store.funding(venue, listed), store.open_interest(venue, listed), store.liquidations(venue, listed)]


def columns(bundle: object, until: int) -> list[np.ndarray]:
    """The bundle's arrays up to an instant."""
    columns = list(vars(bundle).values())
    return [column[: np.searchsorted(columns[0], until)] for column in columns]


def same(one: MarketStore, other: MarketStore, until: int) -> None:
    for venue, listed in INSTRUMENTS:
        for a, b in zip(bundles(one, venue, listed), bundles(other, venue, listed), strict=True):
            for x, y in zip(columns(a, until), columns(b, until), strict=True):
                assert len(x)
                np.testing.assert_array_equal(x, y)


def test_more_time_leaves_the_past_alone(market: SyntheticMarket) -> None:
    early = UNTIL - 60 * DAY
    grown = SyntheticMarket(seed=7, until=early, since=SINCE)
    same(grown, market, early)
    past = [event for event in grown.events() if event.end_ms < early]
    for step in (1, 13, 61):
        grown.extend(early + step * DAY)
    same(grown, market, UNTIL)
    assert [event for event in grown.events() if event.end_ms < early] == past


def test_where_the_view_begins_changes_nothing(market: SyntheticMarket) -> None:
    later = SyntheticMarket(seed=7, until=UNTIL, since=UNTIL - 7 * DAY - 5 * MS_HOUR)
    for venue, listed in INSTRUMENTS:
        for whole, part in zip(bundles(market, venue, listed), bundles(later, venue, listed), strict=True):
            for x, y in zip(columns(whole, UNTIL), columns(part, UNTIL), strict=True):
                np.testing.assert_array_equal(x[len(x) - len(y) :], y)


def digest() -> str:
    store = SyntheticMarket(seed=11, until=EPOCH + 30 * DAY)
    total = hashlib.sha256()
    for venue, listed in INSTRUMENTS:
        for bundle in bundles(store, venue, listed):
            for column in vars(bundle).values():
                total.update(column.tobytes())
    return total.hexdigest()


def test_another_process_makes_the_same_market() -> None:
    code = "from tests.infra.emulator.test_synthetic import digest; print(digest())"
    environment = {"PYTHONHASHSEED": "1", "TZ": "Asia/Shanghai", "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == digest()


def test_seeds_differ(market: SyntheticMarket) -> None:
    other = SyntheticMarket(seed=8, until=UNTIL, since=SINCE)
    a, b = (store.candles("binance", "BTC", "trade") for store in (market, other))
    assert a is not None and b is not None and abs(np.corrcoef(np.diff(np.log(a.close)), np.diff(np.log(b.close)))[0, 1]) < 0.1
    assert other.origin == "synthetic; seed=8"


@pytest.mark.parametrize("venue", VENUES)
def test_every_instrument_is_a_possible_market(market: SyntheticMarket, venue: str) -> None:
    listings = market.listings(venue)
    lists = VENUES[venue].lists
    assert [listing.base for listing in listings] == [asset.base for asset in ASSETS if not lists or asset.base in lists]
    for listing in listings:
        bars = market.candles(venue, listing.listed, "trade")
        oi = market.open_interest(venue, listing.listed)
        forced = market.liquidations(venue, listing.listed)
        assert bars is not None and oi is not None and forced is not None
        for kind in ("trade", "mark", "index"):
            of_kind = market.candles(venue, listing.listed, kind)
            assert of_kind is not None
            assert (of_kind.low <= np.minimum(of_kind.open, of_kind.close)).all() and (of_kind.low > 0).all()
            assert (of_kind.high >= np.maximum(of_kind.open, of_kind.close)).all()
            assert (np.diff(of_kind.opened_at) == MS_HOUR).all() and of_kind.opened_at[0] == SINCE
        assert (bars.trades > 0).all() and (bars.volume > 0).all()
        paid = bars.quote_volume / bars.volume
        assert (paid >= bars.low * (1 - 1e-9)).all() and (paid <= bars.high * (1 + 1e-9)).all()
        np.testing.assert_array_equal(oi.observed_at[:-1], bars.opened_at)
        assert (np.abs(np.diff(oi.size)) <= bars.volume).all()
        turnover = bars.quote_volume.sum() / (oi.size * oi.mark).mean() / (len(bars.volume) / 24)
        assert 0.5 < turnover < 10
        hour = (forced.time - SINCE) // MS_HOUR
        assert (np.diff(forced.time) >= 0).all() and (forced.size > 0).all()
        assert (forced.price >= bars.low[hour]).all() and (forced.price <= bars.high[hour]).all()
        assert (np.bincount(hour, forced.size, len(bars.volume)) <= bars.volume).all()
        assert forced.long.any() and not forced.long.all()


def test_texts_are_short_and_exact(market: SyntheticMarket) -> None:
    for listed in ("BTC", "PEPE"):
        bars, funding = market.candles("kraken", listed, "trade"), market.funding("kraken", listed)
        assert bars is not None and funding is not None
        for column in (bars.open, bars.high, bars.low, bars.close, bars.volume):
            assert all(float(f"{x:.6g}") == x for x in column.tolist())
        assert all(float(f"{x:.12f}") == x for x in funding.rate.tolist())


def test_one_asset_costs_the_same_everywhere(market: SyntheticMarket) -> None:
    for base in ("BTC", "PEPE"):
        closes = []
        for venue, listing in ((v, row) for v in VENUES for row in market.listings(v) if row.base == base):
            bars = market.candles(venue, listing.listed, "trade")
            assert bars is not None
            closes.append(bars.close / listing.multiplier)
        assert np.ptp(np.log(closes), axis=0).max() < 0.01


def test_funding_keeps_to_its_interval_and_to_the_grid(market: SyntheticMarket) -> None:
    changed = set()
    assert [VENUES[v].jitter_ms for v in ("binance", "bybit", "hyperliquid", "kraken")] == [20, 0, 90, 0]
    for venue, profile in VENUES.items():
        jitter = profile.jitter_ms
        for listing in market.listings(venue):
            funding = market.funding(venue, listing.listed)
            assert funding is not None
            late = funding.settled_at % MS_HOUR
            assert late.min() >= 0 and late.max() <= jitter and (late.max() > 0) == (jitter > 0)
            grid = funding.settled_at - late
            timeline = listing.funding_interval_hours
            assert timeline[0][0] == listing.listed_at and all(a[1] != b[1] for a, b in pairwise(timeline))
            shown = grid[grid <= UNTIL]
            for before, now in pairwise(shown.tolist()):
                hours = next(hours for start, hours in reversed(timeline) if start < now)
                assert now % (hours * MS_HOUR) == 0 and now - before in (hours * MS_HOUR, 4 * MS_HOUR, 8 * MS_HOUR)
            if len(set(np.diff(shown).tolist())) > 1:
                changed.add((venue, listing.listed))
    assert changed >= {("binance", "LINK"), ("bybit", "SOL")}
    assert {(venue, asset) for venue, asset in changed} == {(v, asset) for v, p in VENUES.items() for asset in p.changing}


def test_funding_follows_the_premium_by_the_venues_formula(market: SyntheticMarket) -> None:
    """Worked again from the candles: at hour's end premium = trade / index - 1."""
    for venue, listed in (("binance", "BTC"), ("hyperliquid", "ETH"), ("kraken", "SOL")):
        trade, index = (market.candles(venue, listed, kind) for kind in ("trade", "index"))
        funding = market.funding(venue, listed)
        assert trade is not None and index is not None and funding is not None
        premium = trade.close / index.close - 1
        hours = VENUES[venue].hours
        for at, rate in list(zip(funding.settled_at.tolist(), funding.rate.tolist(), strict=True))[1:200]:
            last = (at - SINCE) // MS_HOUR
            mean = premium[last - hours : last].mean()
            eight = mean if venue == "kraken" else mean + min(0.0005, max(-0.0005, 0.0001 - mean))
            assert rate == pytest.approx(eight * hours / 8, abs=1e-5 * hours / 8)


def test_running_rate_becomes_the_settled_one(market: SyntheticMarket) -> None:
    funding = market.funding("bybit", "BTC")
    assert funding is not None
    at, rate = int(funding.settled_at[5]), float(funding.rate[5])
    early = market.running_rate("bybit", "BTC", at - 7 * MS_HOUR)
    late = market.running_rate("bybit", "BTC", at - 1)
    assert early is not None and late is not None
    assert abs(late - rate) < 1e-4 and market.running_rate("bybit", "NONE", at) is None
    assert market.running_rate("bybit", "BTC", UNTIL + 400 * DAY) is None


def test_returns_look_like_a_market(long: SyntheticMarket) -> None:
    bars = {base: long.candles("binance", base, "index") for base in ("BTC", "ETH", "SOL")}
    moves = {base: np.diff(np.log(candles.close)) for base, candles in bars.items() if candles is not None}
    assert 0.3 < moves["BTC"].std() * np.sqrt(24 * 365) < 0.9
    assert np.corrcoef(moves["BTC"], moves["ETH"])[0, 1] > 0.6
    kurtosis = ((moves["BTC"] - moves["BTC"].mean()) ** 4).mean() / moves["BTC"].var() ** 2
    assert kurtosis > 6
    size = np.abs(moves["BTC"])
    assert np.corrcoef(size[:-24], size[24:])[0, 1] > 0.05  # volatility comes in spells


def change(store: SyntheticMarket, event: Event, hours: int = 24) -> float:
    """The largest move of the index from the event's start, signed."""
    bars = store.candles("binance", ("1000" if event.asset == "PEPE" else "") + event.asset, "index")
    assert bars is not None
    row = (event.start_ms - store.since) // MS_HOUR
    path = np.log(bars.close[row : row + hours] / bars.open[row])
    return float(path[np.argmax(np.abs(path))])


def test_cascades_come_as_often_and_as_hard_as_they_should(long: SyntheticMarket) -> None:
    days = (UNTIL - EPOCH) / DAY
    cascades = [event for event in long.events() if event.kind == "cascade"]
    starts = sorted(event.start_ms for event in cascades)
    apart = 1 + sum(b - a > 2 * DAY for a, b in pairwise(starts))
    assert 2 <= apart / days * 120 <= 8
    majors = [change(long, event) for event in cascades if event.asset in ("BTC", "ETH", "SOL")]
    assert 0.06 < np.median(np.abs(majors)) < 0.20 and min(majors) < -0.10
    assert {"crowded_long", "crowded_short", "quiet", "cascade"} == {event.kind for event in long.events()}


def test_a_cascade_leaves_its_marks(long: SyntheticMarket) -> None:
    """Forced closes of the crowded side, five to some forty per cent of open interest in a day, which then is lower."""
    for event in [event for event in long.events() if event.kind == "cascade" and event.asset == "BTC"][-3:]:
        oi, forced = long.open_interest("kraken", "BTC"), long.liquidations("kraken", "BTC")
        assert oi is not None and forced is not None
        row = (event.start_ms - long.since) // MS_HOUR
        after = (event.end_ms - long.since) // MS_HOUR
        during = (forced.time >= event.start_ms) & (forced.time < event.end_ms)
        amounts, long_side = forced.size[during], forced.long[during]
        assert 0.04 < amounts.sum() / oi.size[row] < 0.6
        fell = change(long, event, max(1, after - row)) < 0
        assert amounts[long_side == fell].sum() / amounts.sum() > 0.9
        assert oi.size[after] < 0.97 * oi.size[row]


def test_without_crowding_there_is_no_cascade() -> None:
    calm = SyntheticMarket(seed=7, until=UNTIL, since=SINCE, causes=Causes(crowding=0))
    assert not [event for event in calm.events() if event.kind == "cascade"]
    forced, oi = calm.liquidations("kraken", "BTC"), calm.open_interest("kraken", "BTC")
    assert forced is not None and oi is not None
    assert np.bincount((forced.time - SINCE) // DAY, forced.size).max() < 0.05 * oi.size.mean()


def test_cascades_by_chance_come_at_their_rate_and_leave_the_crowd_alone() -> None:
    """Two years of one in 500 hours: Poisson about 35; the crowd is that of a market without any."""
    without, by_chance = (SyntheticMarket(3, until=EPOCH + 730 * DAY, causes=Causes(0, chance=rate)) for rate in (0, 0.002))
    starts = {event.start_ms for event in by_chance.events() if event.kind == "cascade" and event.asset == "BTC"}
    assert 17 <= len(starts) <= 53
    np.testing.assert_array_equal(without._market.crowd, by_chance._market.crowd)


def test_the_usual_demonstration_shows_a_build_up_and_its_cascade(market: SyntheticMarket) -> None:
    mine = [event for event in market.events() if event.asset == "BTC"]
    cascade = min((event for event in mine if event.kind == "cascade"), key=lambda event: change(market, event))
    assert change(market, cascade) < -0.10
    assert any(e.kind == "crowded_long" and e.start_ms < cascade.start_ms <= e.end_ms for e in mine)
    assert any(event.kind == "quiet" for event in mine)


def test_what_it_does_not_hold() -> None:
    market = SyntheticMarket(assets=2, until=EPOCH + DAY)
    assert market.listings("nowhere") == [] and market.candles("nowhere", "BTC", "trade") is None
    assert [row.listed for row in market.listings("kraken")] == ["BTC", "ETH"] and market.funding("kraken", "SOL") is None
    with pytest.raises(ValueError, match="2025-01-01"):
        SyntheticMarket(until=EPOCH - 1)
    with pytest.raises(ValueError, match="1 to 8"):
        SyntheticMarket(assets=9, until=EPOCH)


def test_two_endpoints_may_render_one_dataset(market: SyntheticMarket) -> None:
    shown, calls = Market(market, "binance", SINCE), []

    def sizes(oi: OpenInterest) -> Rows:
        calls.append("sizes")
        return Rows.objects(oi.observed_at, {"size": oi.size})

    def ratios(oi: OpenInterest) -> Rows:
        calls.append("ratios")
        return Rows.objects(oi.observed_at, {"ratio": oi.size})

    cells = [shown.open_interest_rows("BTC", render).cells[0][:8] for render in (sizes, ratios, sizes)]
    assert cells == [b'{"size":', b'{"ratio"', b'{"size":']
    assert calls == ["sizes", "ratios"]
