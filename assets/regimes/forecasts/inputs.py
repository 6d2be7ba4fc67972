"""Daily rows to the features and targets of forecasts: one row per asset and day of the full calendar.

A feature of day d is computed from days up to d. A target of day d is computed from the seven days after it: 1 once it has
happened, 0 when all seven days are known and it has not, null otherwise. A missing day stays missing.

Alone: ``inputs.build(rows)`` with a frame of `REQUIRED_COLUMNS`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from assets.regimes.forecasts.plan import HORIZON_DAYS, TARGETS
from assets.regimes.market import MARKET

REQUIRED_COLUMNS = (
    "day", "asset", "close", "low", "realised_vol_1d", "funding_8h", "oi_to_volume", "oi_change_1d", "oi_usd",
    "oi_usd_chained", "liq_over_oi",
    "liq_long_usd", "liq_short_usd", "basis", "drawdown_7d", "label", "funding_dispersion", "positive_share", "hhi_volume",
    "dex_volume_share", "market_cap",
)  # fmt: skip
#: Log of the volatility of the seven days after the day, which volatility models are fitted to.
NEXT_RV = "next_rv"
#: Log of the volatility from which on a week counts as volatile; known on the day.
RV_LIMIT = "rv_limit"
#: Funding per 8 hours at Binance and Bybit without crowding, fraction.
RESTING_FUNDING = 0.0001
_MIN_VOLATILITY = 0.01


def build(daily: pd.DataFrame) -> pd.DataFrame:
    """Features (`plan.FEATURES`) and targets (`plan.TARGETS`), sorted by asset and day.

    Raises KeyError where one of `REQUIRED_COLUMNS` is missing.
    """
    rows = daily[list(REQUIRED_COLUMNS)].assign(day=pd.to_datetime(daily["day"]))
    assets = [_asset(group.set_index("day").sort_index().asfreq("D"), str(asset)) for asset, group in rows.groupby("asset")]
    if not assets:
        return pd.DataFrame()
    frame = pd.concat(assets, ignore_index=True)
    coins = frame[frame["asset"] != MARKET].groupby("day")
    for name, column in (("market_rv7", "rv7"), ("market_funding", "funding_7d"), ("market_oi_build", "oi_build")):
        frame[name] = frame["day"].map(coins[column].mean())
    frame["market_basis_abs"] = frame["day"].map(coins["basis"].mean().abs())
    return frame


def _asset(daily: pd.DataFrame, asset: str) -> pd.DataFrame:
    """Features and targets of one asset, from its rows by day."""
    variance = daily["realised_vol_1d"] ** 2
    week = np.sqrt(variance.rolling(7).mean())
    limit = week.rolling(365, min_periods=60).quantile(0.75)
    liquidated = daily["liq_long_usd"] + daily["liq_short_usd"]
    f = pd.DataFrame(index=daily.index)
    f["rv1"] = _log(daily["realised_vol_1d"])
    f["rv7"] = _log(week)
    f["rv30"] = _log(np.sqrt(variance.rolling(30, min_periods=20).mean()))
    f["rv_year"] = _log(np.sqrt(variance.rolling(365, min_periods=60).mean()))
    f[RV_LIMIT] = _log(limit)
    f["rv7_over_limit"] = f["rv7"] - f[RV_LIMIT]
    f["weekend"] = (pd.DatetimeIndex(daily.index).dayofweek >= 5).astype(float)
    f["return_1d"] = np.log(daily["close"]).diff()
    f["return_7d"] = np.log(daily["close"]).diff(7)
    f["drawdown_7d"] = daily["drawdown_7d"]
    f["funding_7d"] = daily["funding_8h"].rolling(7, min_periods=5).mean()
    f["funding_off_rest_7d"] = (daily["funding_8h"] - RESTING_FUNDING).abs().rolling(7, min_periods=5).mean()
    f["oi_to_volume"] = _log(daily["oi_to_volume"])
    f["oi_to_volume_build"] = f["oi_to_volume"] - f["oi_to_volume"].rolling(180, min_periods=30).mean()
    f["oi_to_volume_growth_7d"] = f["oi_to_volume"].diff(7)
    # Over a constant set of venues: the raw sum jumps where a venue's history begins.
    level = np.log(daily["oi_usd_chained"].where(daily["oi_usd_chained"] > 0))
    f["oi_build"] = level - level.rolling(180, min_periods=30).mean()
    f["oi_growth_7d"] = np.log1p(daily["oi_change_1d"].clip(lower=-0.99)).rolling(7).sum()
    f["liq_over_oi"] = daily["liq_over_oi"]
    f["liq_long_share"] = (daily["liq_long_usd"] / liquidated).where(liquidated > 0)
    for name in ("basis", "funding_dispersion", "positive_share", "hhi_volume", "dex_volume_share"):
        f[name] = daily[name]
    f["oi_over_cap"] = daily["oi_usd"] / daily["market_cap"]
    # High funding, high open interest over volume and low volatility: the lowest of their ranks in the past half year.
    ranks = pd.concat([_rank(f["funding_7d"]), _rank(f["oi_to_volume"]), 1 - _rank(f["rv7"])], axis=1)
    f["claim"] = ranks.min(axis=1, skipna=False)
    # The rule can't speak without its inputs: its silence is unknown then, not a no.
    can_speak = daily[["label", "funding_8h", "oi_to_volume"]].notna().all(axis=1)
    f["crowded"] = daily["label"].isin(["crowded_long", "crowded_short"]).astype(float).where(can_speak)
    f["label"] = daily["label"]
    f["close"], f["low"] = daily["close"], daily["low"]
    f = pd.concat([f, _targets(daily, week, limit)], axis=1)
    f.insert(0, "asset", asset)
    return f.rename_axis("day").reset_index()


def _targets(daily: pd.DataFrame, week: pd.Series, limit: pd.Series) -> pd.DataFrame:
    """Targets by day; `week` is the volatility of the week that ends on the day, `limit` that of a volatile week."""
    targets = pd.DataFrame(index=daily.index)
    lows = [daily["low"].shift(-n) for n in range(1, HORIZON_DAYS + 1)]
    for target in TARGETS.values():
        if target.depth is not None:
            hits = pd.concat([low <= daily["close"] * (1 - target.depth) for low in lows], axis=1)
            targets[target.name] = _any_within(hits, lows)
            targets.loc[daily["close"].isna(), target.name] = np.nan
    labels = [daily["label"].shift(-n) for n in range(1, HORIZON_DAYS + 1)]
    targets["cascade"] = _any_within(pd.concat([label == "cascade" for label in labels], axis=1), labels)
    next_week = week.shift(-HORIZON_DAYS)
    targets[NEXT_RV] = _log(next_week)
    targets["high_volatility"] = (next_week >= limit).astype(float).where(next_week.notna() & limit.notna())
    return targets


def _any_within(hits: pd.DataFrame, days: list[pd.Series]) -> pd.Series:
    """1 where a following day is a hit, 0 where all are known and none is, null otherwise."""
    known = pd.concat(days, axis=1).notna().all(axis=1)
    return hits.any(axis=1).astype(float).where(known | hits.any(axis=1))


def _rank(series: pd.Series) -> pd.Series:
    return series.rolling(180, min_periods=30).rank(pct=True)


def _log(series: pd.Series) -> pd.Series:
    return np.log(series.clip(lower=_MIN_VOLATILITY))
