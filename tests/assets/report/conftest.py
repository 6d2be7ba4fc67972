"""A small warehouse with the marts that the report reads: a random market with a crash, gaps and missing venues."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from assets import regimes
from assets.regimes import audit, forecasts, posture
from assets.regimes.forecasts import plan

VENUES = {"binance": 0.55, "bybit": 0.25, "hyperliquid": 0.15, "kraken": 0.05}
START, DAYS, CRASH = "2025-01-01", 120, 70


def daily_assets(asset: str, seed: int, price: float, origin: str) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    heat = np.concatenate([np.linspace(0.2, 1.0, CRASH), np.linspace(0.3, 0.1, DAYS - CRASH)])
    vol = 0.35 + 0.15 * rng.random(DAYS)
    vol[CRASH : CRASH + 7] += np.linspace(0.9, 0.4, 7)
    returns = rng.normal(0.001, 0.02, DAYS)
    returns[CRASH] = -0.14
    close = price * np.exp(np.cumsum(returns))
    low_vs_prev = np.minimum(returns, 0) - np.abs(rng.normal(0, 0.008, DAYS))
    oi = price * 2e5 * (1 + heat) * (1 + rng.normal(0, 0.01, DAYS))
    liquidations = np.abs(rng.normal(0, 0.002, DAYS)) * oi
    liquidations[CRASH] = 0.09 * oi[CRASH]
    high = close * 1.015
    rows = pd.DataFrame(
        {
            "day": pd.date_range(START, periods=DAYS), "asset": asset, "close": close, "high": high, "low": close * 0.985,
            "volume_usd": oi * rng.uniform(1.2, 2.2, DAYS), "oi_usd": oi, "oi_usd_chained": oi, "oi_base": oi / close,
            "oi_change_1d": pd.Series(oi).pct_change(), "funding_8h": 0.00005 + 0.0003 * heat**3 + rng.normal(0, 2e-5, DAYS),
            "funding_weighting": "oi", "liq_long_usd": 0.6 * liquidations, "liq_short_usd": 0.4 * liquidations,
            "realised_vol_1d": vol, "realised_vol_7d": vol, "range_vol_1d": vol, "range_vol_7d": vol, "return_1d": returns,
            "drawdown_7d": close / pd.Series(high).rolling(7, min_periods=1).max() - 1, "low_vs_prev_close": low_vs_prev,
            "basis": 0.0001, "oi_to_volume": 0.3 + 0.5 * heat, "liq_over_oi": liquidations / oi, "venues_total": 4,
            "price_venues": 4, "funding_venues": 4, "oi_venues": 3, "liq_venues": 1, "coverage_price": 1.0,
            "coverage_funding": 0.99, "coverage_oi": 0.75, "coverage_liquidations": 0.25, "coverage_liquidations_listed": 0.5,
            "volume_usd_chained": oi, "funding_weight_known": 0.9, "origin": origin,
            "oi_venue_names": "binance, bybit, kraken",
        }
    )  # fmt: skip
    no_liquidations = slice(0, 39)
    rows.loc[no_liquidations, ["liq_long_usd", "liq_short_usd", "liq_over_oi"]] = np.nan
    rows.loc[no_liquidations, ["liq_venues", "coverage_liquidations"]] = 0
    rows.loc[90:96, ["oi_usd", "oi_usd_chained", "oi_base", "oi_change_1d", "oi_to_volume", "liq_over_oi"]] = np.nan
    rows.loc[90:96, ["oi_venues", "coverage_oi"]] = 0
    rows = rows.assign(liq_complete_over_oi=np.nan, liq_complete_oi_share=0.0, liq_at_least_over_oi=rows["liq_over_oi"])
    rows.loc[:6, "realised_vol_7d"] = np.nan
    return rows


def market(daily: pd.DataFrame) -> pd.DataFrame:
    """`MARKET`, here the plain mean of the assets."""
    counts = [name for name in daily if name.endswith("_venues") or name == "venues_total"]
    mean = daily.groupby("day", as_index=False).mean(numeric_only=True).astype(dict.fromkeys(counts, int))
    texts = daily.groupby("day", as_index=False)[["funding_weighting", "origin", "oi_venue_names"]].first()
    return mean.merge(texts, on="day").assign(asset=regimes.MARKET)


#: What the columns of trust say of every number.
TRUST = {
    "price_trust": "whole",
    "volume_trust": "suspect: turnover 120 a day",
    "oi_trust": "part: 0.75 of hours, 3 of 4 venues",
    "funding_trust": "estimated: 0.5 of the weights is open interest",
    "liquidations_trust": "lower bound: 0.25 of lists complete; 0.5 listed",
}


def daily_venues() -> pd.DataFrame:
    days = pd.date_range(START, periods=DAYS)
    drift = np.linspace(0, 0.1, DAYS)
    rows = [
        pd.DataFrame({"day": days, "venue": venue, "volume_usd": 1e9 * share, "oi_usd": 5e8 * share,
                      "volume_share": share + (drift if venue == "hyperliquid" else -drift if venue == "binance" else 0),
                      "oi_share": np.nan if venue == "kraken" else share / 0.95})
        for venue, share in VENUES.items()
    ]  # fmt: skip
    table = pd.concat(rows, ignore_index=True)
    table.loc[table.day.between("2025-04-01", "2025-04-07"), ["oi_usd", "oi_share"]] = np.nan
    covered = dict.fromkeys(["coverage_price", "coverage_funding", "coverage_oi", "coverage_liquidations_listed"], 1.0)
    return table.assign(
        **covered, funding_8h=1e-4, instruments=5, coverage_liquidations=(table["venue"] == "kraken").astype(float),
        suspect_volume_reason=pd.Series(None, table.index, dtype=object),
    )  # fmt: skip


def daily_asset_venues(daily: pd.DataFrame) -> pd.DataFrame:
    """Each venue's part of each asset; funding is never known on Bybit, and not in April's first week on Kraken."""
    rng = np.random.default_rng(6)
    parts = []
    for n, (venue, share) in enumerate(VENUES.items()):
        rows = daily[["day", "asset", "volume_usd", "oi_usd"]].assign(venue=venue, instruments=1)
        rows[["volume_usd", "oi_usd"]] *= share
        rows["funding_8h"] = daily["funding_8h"] + (n - 1) * 2e-5 + rng.normal(0, 1e-5, len(daily))
        for name in ("liq_long_usd", "liq_short_usd"):
            rows[name] = daily[name] if venue == "kraken" else np.nan
        parts.append(rows.assign(liq_is_complete=rows["liq_long_usd"].notna().map({True: True, False: None})))
    table = pd.concat(parts, ignore_index=True)
    unknown = (table["venue"] == "bybit") | ((table["venue"] == "kraken") & table["day"].between("2025-04-01", "2025-04-07"))
    table.loc[unknown, "funding_8h"] = np.nan
    return table.assign(funding_instrument_id=table["venue"] + ":X", funding_charged=3 * table["funding_8h"])


def daily_funding_spreads(cells: pd.DataFrame) -> pd.DataFrame:
    rates = cells.pivot(index=["day", "asset"], columns="venue", values="funding_8h")
    spread = rates.max(axis=1) - rates.min(axis=1)
    return pd.DataFrame(
        {
            "highest_funding_venue": rates.idxmax(axis=1), "lowest_funding_venue": rates.idxmin(axis=1),
            "highest_funding_rate_8h": rates.max(axis=1), "lowest_funding_rate_8h": rates.min(axis=1), "spread_8h": spread,
            "spread_apr": spread * 3 * 365, "spread_charged": 3 * spread, "consecutive_days": 1, "venues": rates.count(axis=1),
            "known_pair_charged": 2 * spread,
        }
    ).reset_index()  # fmt: skip


def daily_liquidations(daily: pd.DataFrame) -> pd.DataFrame:
    """One venue with a complete list and one without, each known where `daily` knows liquidations; MARKET is the sum."""
    known = daily.dropna(subset="liq_long_usd")
    market = known.groupby("day", as_index=False)[["liq_long_usd", "liq_short_usd"]].sum().assign(asset="MARKET")
    rows = pd.concat([known, market], ignore_index=True)
    return pd.DataFrame(
        {
            "day": rows["day"], "asset": rows["asset"], "complete_long_usd": rows["liq_long_usd"],
            "complete_short_usd": rows["liq_short_usd"], "complete_venues": 1, "lower_bound_long_usd": 3 * rows["liq_long_usd"],
            "lower_bound_short_usd": 3 * rows["liq_short_usd"], "lower_bound_venues": 1, "venues_total": 4,
        }
    )  # fmt: skip


def coverage_daily() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    rows = []
    for dataset, venues in {"candles": 4, "funding": 4, "open_interest": 3, "liquidations": 1}.items():
        for venue in list(VENUES)[-venues:] if venues < 4 else list(VENUES):
            seen = np.where(rng.random(DAYS) < 0.05, rng.integers(0, 24, DAYS), 24)
            rows.append(pd.DataFrame({"day": pd.date_range(START, periods=DAYS), "venue": venue, "source": venue,
                                      "dataset": dataset, "expected": 24, "seen": seen, "comparable": seen,
                                      "coverage": seen / 24}))  # fmt: skip
    return pd.concat(rows, ignore_index=True)


@pytest.fixture(scope="session")
def marts() -> dict[str, pd.DataFrame]:
    """Tables by name, origin "synthetic"; tests must not change them in place."""
    return make_marts("synthetic")


def make_marts(origin: str) -> dict[str, pd.DataFrame]:
    prices = {"BTC": 100_000.0, "ETH": 4_000.0, "SOL": 200.0, "DOGE": 0.2, "XRP": 2.0}
    daily = pd.concat(
        [daily_assets(asset, seed, price, origin) for seed, (asset, price) in enumerate(prices.items())], ignore_index=True
    )
    cells = daily_asset_venues(daily)
    whole = pd.concat([daily, market(daily)], ignore_index=True)
    features, labels = regimes.label(whole)
    others = ("funding_dispersion", "positive_share", "hhi_volume", "dex_volume_share", "market_cap")
    joined = whole.merge(labels[["day", "asset", "label"]]).assign(**dict.fromkeys(others, np.nan))
    with pytest.MonkeyPatch.context() as patch:  # this market has one crash only
        patch.setattr(plan, "MIN_EVENTS", 1)
        backtest, events, scorecard = forecasts.tables_from_rows(joined, synthetic=origin == "synthetic")
    return {
        "daily_assets": daily.assign(**TRUST),
        "daily_market": whole[whole["asset"] == regimes.MARKET],
        "regime_labels": labels,
        "regime_posture": posture.build(whole),
        "regime_forecasts": backtest,
        "regime_events": events,
        "regime_scorecard": scorecard,
        "regime_changes": audit.changes(features.merge(labels[["day", "asset", "label"]])),
        "daily_venues": daily_venues().assign(**TRUST),
        "daily_asset_venues": cells,
        "daily_funding_spreads": daily_funding_spreads(cells),
        "daily_liquidations": daily_liquidations(daily),
        "dim_venues": pd.DataFrame({"venue": list(VENUES), "title": [f"{venue} futures" for venue in VENUES], "kind": "cex"}),
        "coverage_daily": coverage_daily(),
        "daily_industry": daily.groupby("day", as_index=False)[["volume_usd", "oi_usd"]]
        .sum()
        .assign(
            venues=3, oi_venues=1, top3_volume_share=1.0, perp_share_of_volume=np.nan, funding_8h=1e-4, funding_weight_known=1.0,
            volume_usd_chained=2e9, oi_usd_chained=1e9, **TRUST,
        ),
        "scope": pd.DataFrame(
            {
                "origin": [origin], "mode": ["synthetic:seed=7" if origin == "synthetic" else "recorded:series"],
                "window_start": [pd.Timestamp(START)], "window_end": [pd.Timestamp("2025-04-30")],
                "as_of": [pd.Timestamp("2025-05-01")],
            }
        ),
    }  # fmt: skip


@pytest.fixture(scope="session")
def write_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, pd.DataFrame]], Path]:
    """Writes tables to `marts` (`scope` to `meta`) of a new DuckDB file, days as DATE; returns its path."""
    return lambda marts: write(marts, tmp_path_factory.mktemp("warehouse") / "warehouse.duckdb")


def write(marts: dict[str, pd.DataFrame], path: Path) -> Path:
    with duckdb.connect(str(path)) as db:
        db.sql("create schema marts; create schema meta")
        for name, frame in marts.items():
            date = " replace (day::date as day)" if "day" in frame else ""
            db.register("frame", frame)
            schema = "meta" if name == "scope" else "marts"
            db.sql(f"create table {schema}.{name} as select *{date} from frame")
    return path
