"""Daily rows from the recorded series, without the warehouse.

A second, short implementation of the daily aggregation (pandas instead of SQL), so that the regime rules can be tested on real
data alone. Open interest is Hyperliquid's only, liquidations begin on 2025-12-07; missing values stay null.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

SERIES = Path(__file__).parents[4] / "shared" / "recordings" / "series"
VENUES = 4
SETTLEMENTS_PER_DAY = {"binance": 3, "bybit": 3, "hyperliquid": 24, "kraken": 24}


@pytest.fixture(scope="session")
def recorded_daily() -> pd.DataFrame:
    """One row per UTC day and coin of the recorded series, in the columns of `marts.daily_assets`."""
    if not SERIES.is_dir():
        pytest.skip("the recorded series are absent: ../shared/recordings/series")
    return daily_rows(SERIES)


def daily_rows(series: Path) -> pd.DataFrame:
    rows = _prices(pd.read_parquet(series / "candles_1h.parquet"))
    rows = rows.join(_open_interest(pd.read_parquet(series / "open_interest_1h.parquet")))
    rows = rows.join(_funding(pd.read_parquet(series / "funding_rates.parquet")))
    rows = rows.join(_liquidations(pd.read_parquet(series / "liquidations_1d.parquet"))).reset_index()
    rows["liq_over_oi"] = (rows.liq_long_usd + rows.liq_short_usd) / rows.oi_usd
    # Hyperliquid's fills are complete, and its open interest is all that is known.
    rows["liq_complete_over_oi"] = rows["liq_at_least_over_oi"] = rows.liq_over_oi
    rows["liq_complete_oi_share"] = rows.liq_over_oi.notna().astype(float)
    volume = rows.groupby("asset").volume_usd.rolling(7).mean().droplevel(0)
    rows["oi_to_volume"] = rows.oi_usd / volume
    for dataset in ("funding", "oi", "liq"):
        rows[f"{dataset}_venues"] = rows[f"{dataset}_venues"].fillna(0).astype(int)
    for dataset in ("funding", "oi", "liquidations"):
        rows[f"coverage_{dataset}"] = rows[f"coverage_{dataset}"].fillna(0.0)
    return rows.assign(
        venues_total=VENUES, basis=np.nan, funding_weighting="equal", oi_venue_names="hyperliquid", origin="recorded"
    )


def _day(frame: pd.DataFrame) -> pd.DataFrame:
    stamp = frame["timestamp"].dt.tz_localize(None).dt.floor("min")
    return frame.assign(timestamp=stamp, day=stamp.dt.floor("D")).rename(columns={"coin": "asset"})


def _prices(candles: pd.DataFrame) -> pd.DataFrame:
    candles = _day(candles).assign(volume_usd=lambda c: c.volume_base * c.close)
    hourly = candles.groupby(["asset", "timestamp"]).agg(
        day=("day", "first"), close=("close", "median"), high=("high", "median"), low=("low", "median"),
        volume_usd=("volume_usd", "sum"), venues=("venue", "nunique"),
    )  # fmt: skip
    hourly["square"] = np.log(hourly.close).groupby("asset").diff() ** 2
    daily = hourly.groupby(["day", "asset"]).agg(
        close=("close", "last"), high=("high", "max"), low=("low", "min"), volume_usd=("volume_usd", "sum"),
        square=("square", "sum"), bars=("close", "size"), seen=("venues", "sum"), price_venues=("venues", "max"),
    )  # fmt: skip
    daily = daily[daily.bars >= 22]
    by_asset = daily.groupby("asset")
    daily["realised_vol_1d"] = np.sqrt(daily.square * 365)
    daily["realised_vol_7d"] = np.sqrt(by_asset.square.rolling(7).mean().droplevel(0) * 365)
    daily["return_1d"] = by_asset.close.pct_change()
    daily["drawdown_7d"] = daily.close / by_asset.high.rolling(7, min_periods=1).max().droplevel(0) - 1
    daily["low_vs_prev_close"] = daily.low / by_asset.close.shift() - 1
    daily["coverage_price"] = daily.seen / (24 * VENUES)
    return daily.drop(columns=["square", "bars", "seen"])


def _open_interest(interest: pd.DataFrame) -> pd.DataFrame:
    grouped = _day(interest).sort_values("timestamp").groupby(["day", "asset"])
    daily = grouped.agg(oi_usd=("oi_usd", "last"), oi_venues=("venue", "nunique"), seen=("oi_usd", "size"))
    daily["oi_change_1d"] = daily.groupby("asset").oi_usd.pct_change()
    daily["coverage_oi"] = daily.seen / (24 * VENUES)
    return daily.drop(columns="seen")


def _funding(rates: pd.DataFrame) -> pd.DataFrame:
    rates = _day(rates)
    per_venue = rates.groupby(["day", "asset", "venue"]).funding_rate.agg(["sum", "size"]).reset_index()
    expected = per_venue.venue.map(SETTLEMENTS_PER_DAY)
    per_venue["funding_8h"] = per_venue["sum"] / per_venue["size"] * expected / 3
    per_venue["coverage"] = (per_venue["size"] / expected).clip(upper=1)
    daily = per_venue.groupby(["day", "asset"]).agg(
        funding_8h=("funding_8h", "mean"), funding_venues=("venue", "nunique"), coverage_funding=("coverage", "sum")
    )
    return daily.assign(coverage_funding=daily.coverage_funding / VENUES)


def _liquidations(totals: pd.DataFrame) -> pd.DataFrame:
    daily = _day(totals).set_index(["day", "asset"])
    return pd.DataFrame(
        {"liq_long_usd": daily.long_usd, "liq_short_usd": daily.short_usd, "liq_venues": 1, "coverage_liquidations": 1 / VENUES}
    )
