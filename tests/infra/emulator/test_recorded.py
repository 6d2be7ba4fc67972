"""Recorded series come back as they were recorded, and what a file may not hold is refused in words."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.emulator.recorded import RecordedMarket
from infra.emulator.store import MS_HOUR, Listing

SERIES = Path(__file__).parents[4] / "shared" / "recordings" / "series"
recorded = pytest.mark.skipif(not SERIES.exists(), reason="../shared/recordings is absent")
T0 = int(datetime(2025, 10, 10, tzinfo=UTC).timestamp() * 1000)


def bars(venue: str, coin: str, closes: list[float], start: int = T0) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "timestamp": [start + hour * MS_HOUR for hour in range(len(closes))],
            "venue": venue,
            "coin": coin,
            "open": closes,
            "high": [close * 2 for close in closes],
            "low": [close / 2 for close in closes],
            "close": closes,
            "volume_base": 3.0,
        }
    )


def rows(venue: str, coin: str, stamps: list[int], **values: object) -> pd.DataFrame:
    return pd.DataFrame({"timestamp": stamps, "venue": venue, "coin": coin, **values})


def folder(path: Path, **files: pd.DataFrame) -> Path:
    for name, frame in files.items():
        frame.to_parquet(path / f"{name}.parquet", index=False)
    return path


def only(market: RecordedMarket, venue: str) -> Listing:
    (listing,) = market.listings(venue)
    return listing


# the real series


@pytest.fixture(scope="module")
def real() -> RecordedMarket:
    return RecordedMarket(SERIES)


def frame(name: str) -> pd.DataFrame:
    table = pd.read_parquet(SERIES / f"{name}.parquet")
    table["ms"] = table["timestamp"].dt.as_unit("ms").astype("int64")
    return table.sort_values("ms")


@recorded
def test_every_settlement_and_bar_is_there_and_no_other(real: RecordedMarket) -> None:
    seen = 0
    for (venue, coin), part in frame("funding_rates").groupby(["venue", "coin"]):
        funding = real.funding(venue, coin)
        assert funding is not None and np.isnan(funding.mark).all()
        assert funding.settled_at.tolist() == part["ms"].tolist() and funding.rate.tolist() == part["funding_rate"].tolist()
        seen += len(part)
    assert seen == 80_983
    for (venue, coin), part in frame("candles_1h").groupby(["venue", "coin"]):
        series = real.candles(venue, coin, "trade")
        assert series is not None and series.opened_at.tolist() == part["ms"].tolist()
        for name in ("open", "high", "low", "close"):
            assert getattr(series, name).tolist() == part[name].tolist()
        assert series.volume.tolist() == part["volume_base"].tolist()
        assert np.isnan(series.quote_volume).all() and (series.trades == -1).all()


@recorded
def test_open_interest_times_its_mark_is_the_recorded_value(real: RecordedMarket) -> None:
    for coin, part in frame("open_interest_1h").groupby("coin"):
        series = real.open_interest("hyperliquid", coin)
        assert series is not None and series.observed_at.tolist() == part["ms"].tolist()
        np.testing.assert_allclose(series.size * series.mark, part["oi_usd"], rtol=3e-16)
    assert real.proxies == {("hyperliquid", coin): "close" for coin in ("BTC", "DOGE", "ETH", "HYPE", "SOL")}
    assert real.origin == "recorded; series; mark=close-proxy" and not real.dropped


@recorded
def test_proxy_is_the_median_close_of_the_hour_that_ends(real: RecordedMarket) -> None:
    series = real.open_interest("hyperliquid", "BTC")
    crash = int(datetime(2025, 10, 10, 21, tzinfo=UTC).timestamp() * 1000)
    candles = frame("candles_1h")
    closes = candles[(candles["coin"] == "BTC") & (candles["ms"] == crash - MS_HOUR)]["close"]
    assert series is not None and len(closes) == 2
    assert series.mark[np.searchsorted(series.observed_at, crash)] == closes.mean()


@recorded
def test_intervals_and_clock_of_the_real_series(real: RecordedMarket) -> None:
    usual = {"binance": 8, "bybit": 8, "hyperliquid": 1, "kraken": 1}
    for venue, hours in usual.items():
        for listing in real.listings(venue):
            expected = 4 if (venue, listing.listed) == ("binance", "HYPE") else hours
            assert listing.funding_interval_hours == ((listing.listed_at, expected),)
    assert datetime.fromtimestamp(real.end / 1000, UTC) == datetime(2026, 1, 1, tzinfo=UTC)
    assert real.start == frame("candles_1h")["ms"].min()
    daily = real.daily_liquidations
    assert daily is not None and daily.num_rows == 88 and real.liquidations("hyperliquid", "BTC") is None
    assert real.candles("binance", "BTC", "mark") is None and real.candles("binance", "BTC", "index") is None
    assert real.running_rate("binance", "BTC", real.end) is None


# folders written for a test


prices = st.floats(min_value=1e-6, max_value=1e6)
usd = st.floats(min_value=1, max_value=1e11)


@settings(max_examples=30, deadline=None)
@given(data=st.lists(st.tuples(prices, usd, st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_any_open_interest_keeps_its_dollars(
    tmp_path_factory: pytest.TempPathFactory, data: list[tuple[float, float, bool, bool]]
) -> None:
    """Each row with a mark of its own, or a bar that ends or begins then, or neither: kept exactly, kept by proxy, or counted."""
    path = tmp_path_factory.mktemp("recording")
    stamps = [T0 + hour * MS_HOUR for hour in range(len(data))]
    marks = [price if own else None for price, _, own, _ in data]
    series = rows("bybit", "BTC", stamps, oi_usd=[value for _, value, _, _ in data], mark_price=pd.array(marks, "Float64"))
    candles = pd.concat(
        [bars("bybit", "BTC", [price], at) for at, (price, _, _, bar) in zip(stamps, data, strict=True) if bar]
        or [bars("kraken", "ETH", [1.0])]
    )
    for name, table in (("open_interest_1h", series), ("candles_1h", candles)):
        table.to_parquet(path / f"{name}.parquet", index=False)
    market = RecordedMarket(path)
    closes = [None, *(price if bar else None for price, _, _, bar in data)]
    proxies = [close or (price if bar else None) for close, (price, _, _, bar) in zip(closes, data, strict=False)]
    marked = [
        (at, price if own else proxy, value) for at, proxy, (price, value, own, _) in zip(stamps, proxies, data, strict=True)
    ]
    kept = [row for row in marked if row[1]]
    assert market.dropped.get(("bybit", "BTC"), 0) == len(data) - len(kept)
    series = market.open_interest("bybit", "BTC")
    assert (series is None) == (not kept)
    if series is not None:
        assert list(zip(series.observed_at.tolist(), series.mark.tolist(), strict=True)) == [row[:2] for row in kept]
        np.testing.assert_allclose(series.size * series.mark, [value for _, _, value in kept], rtol=3e-16)
    assert (("bybit", "BTC") in market.proxies) == any(
        proxy and not own for proxy, (_, _, own, _) in zip(proxies, data, strict=True)
    )


@pytest.mark.parametrize("unit", ["ms", "s", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Shanghai"])
def test_stamps_of_any_kind_are_the_same_instants(tmp_path: Path, unit: str, zone: str | None) -> None:
    table = bars("binance", "BTC", [1.0, 2.0])
    stamps = pd.to_datetime(table["timestamp"], unit="ms", utc=True).dt.tz_convert(zone or "UTC")
    table["timestamp"] = (stamps if zone else stamps.dt.tz_localize(None)).dt.as_unit(unit)
    series = RecordedMarket(folder(tmp_path, candles_1h=table)).candles("binance", "BTC", "trade")
    assert series is not None and series.opened_at.tolist() == [T0, T0 + MS_HOUR]


def test_rows_in_any_order(tmp_path: Path) -> None:
    market = RecordedMarket(folder(tmp_path, candles_1h=bars("binance", "BTC", [1.0, 2.0, 3.0]).iloc[::-1]))
    series = market.candles("binance", "BTC", "trade")
    assert series is not None and series.close.tolist() == [1.0, 2.0, 3.0]
    assert (market.start, market.end) == (T0, T0 + 3 * MS_HOUR) and market.origin == f"recorded; {tmp_path.name}"


def test_marks_that_were_recorded_are_shown_and_nothing_more(tmp_path: Path) -> None:
    table = bars("kraken", "ETH", [1.0, 2.0, 3.0]).assign(mark_price=[1.5, None, 2.5], volume_usd=7.0)
    funding = rows("kraken", "ETH", [T0], funding_rate=[1e-5], mark_price=[1.25])
    market = RecordedMarket(folder(tmp_path, candles_1h=table, funding_rates=funding))
    mark, trade, settled = (
        market.candles("kraken", "ETH", "mark"),
        market.candles("kraken", "ETH", "trade"),
        market.funding("kraken", "ETH"),
    )
    assert mark is not None and trade is not None and settled is not None
    assert mark.opened_at.tolist() == [T0, T0 + 2 * MS_HOUR] and mark.close.tolist() == [1.5, 2.5]
    assert np.isnan([mark.open, mark.high, mark.low, mark.volume]).all()
    assert trade.quote_volume.tolist() == [7.0] * 3 and settled.mark.tolist() == [1.25]


def test_coins_in_the_books_but_without_price_stay_coins(tmp_path: Path) -> None:
    table = rows("kraken", "BTC", [T0, T0 + MS_HOUR], oi_base=[5.0, 6.0], oi_usd=[None, 600.0])
    series = RecordedMarket(folder(tmp_path, open_interest_1h=table)).open_interest("kraken", "BTC")
    assert series is not None and series.size.tolist() == [5.0, 6.0]
    assert np.isnan(series.mark[0]) and series.mark[1] == 100.0


@pytest.mark.parametrize(
    ("venue", "coin", "base", "multiplier"),
    [
        ("binance", "1000PEPE", "PEPE", 1000),
        ("binance", "1MBABYDOGE", "BABYDOGE", 1_000_000),
        ("bybit", "10000SATS", "SATS", 10_000),
        ("bybit", "SHIB1000", "SHIB", 1000),
        ("hyperliquid", "kPEPE", "PEPE", 1000),
        ("binance", "1INCH", "1INCH", 1),
        ("kraken", "PEPE", "PEPE", 1),
        ("hyperliquid", "kaito", "kaito", 1),
    ],
)
def test_multiplier_is_in_the_name(tmp_path: Path, venue: str, coin: str, base: str, multiplier: int) -> None:
    listing = only(RecordedMarket(folder(tmp_path, candles_1h=bars(venue, coin, [1.0]))), venue)
    assert (listing.listed, listing.base, listing.multiplier) == (coin, base, multiplier)
    assert (listing.listed_at, listing.delisted_at) == (T0, None)


def test_proxy_minds_the_multiplier(tmp_path: Path) -> None:
    series = rows("hyperliquid", "kPEPE", [T0], oi_usd=[80.0])
    candles = pd.concat([bars("binance", "1000PEPE", [0.008]), bars("kraken", "PEPE", [0.000008])])
    series = RecordedMarket(folder(tmp_path, candles_1h=candles, open_interest_1h=series)).open_interest("hyperliquid", "kPEPE")
    assert series is not None and series.mark[0] == pytest.approx(0.008) and series.size[0] == pytest.approx(10_000)


@pytest.mark.parametrize(
    ("gaps", "expected"),
    [
        ([1] * 10, [(0, 1)]),
        ([1, 1, 1, 2, 1, 1, 1, 5, 1, 1, 24, 1], [(0, 1)]),  # missing settlements are no interval
        ([8, 8, 8, 4, 4, 4, 4], [(0, 8), (24, 4)]),
        ([8, 8, 8, 4, 4, 8, 8, 8], [(0, 8)]),  # two equal gaps are too few
        ([8, 8, 8, 4, 4, 4, 8, 8, 8], [(0, 8), (24, 4), (36, 8)]),
        ([12, 12, 12, 12], [(0, 8)]),  # no interval of any venue: the usual one
        ([], [(0, 8)]),
    ],
)
def test_interval_is_what_the_gaps_repeat(tmp_path: Path, gaps: list[int], expected: list[tuple[int, int]]) -> None:
    stamps = [T0 + int(hours) * MS_HOUR + hours % 7 for hours in np.cumsum([0, *gaps])]  # with some ms of jitter
    table = rows("binance", "BTC", [int(stamp) for stamp in stamps], funding_rate=1e-4)
    listing = only(RecordedMarket(folder(tmp_path, funding_rates=table)), "binance")
    assert [((start - T0) // MS_HOUR, hours) for start, hours in listing.funding_interval_hours] == expected


def test_a_folder_without_a_known_venue_is_no_market(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no rows of binance"):
        RecordedMarket(tmp_path)
    with pytest.raises(ValueError, match="holds no rows of binance"):
        RecordedMarket(folder(tmp_path, candles_1h=bars("okx", "BTC", [1.0])))
