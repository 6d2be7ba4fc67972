"""Daily market rows to the features and targets of forecasts: one row per asset and day of the full calendar.

A feature of day d is made of days up to d. A target of day d is made of the seven days after it: 1 as soon as it came true, 0
when all seven days are known and it did not, null else. A day that is missing stays missing.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from assets.regimes.forecasts.plan import HORIZON_DAYS, TARGETS
from assets.regimes.market import MARKET

NEEDS = (
    "day", "asset", "close", "low", "realised_vol_1d", "funding_8h", "oi_to_volume", "oi_change_1d", "oi_usd", "liq_over_oi",
    "liq_long_usd", "liq_short_usd", "basis", "drawdown_7d", "label", "funding_dispersion", "positive_share", "hhi_volume",
    "dex_volume_share", "market_cap",
)  # fmt: skip
#: The week that was in fact, beside the targets: what a volatility model is fitted to.
NEXT_RV = "next_rv"
#: Log of the volatility from which a coming week is called volatile: known on the day.
LIMIT = "rv_limit"
#: What Binance and Bybit charge for 8 hours when nobody is crowded.
RESTING_FUNDING = 0.0001
_FLOOR = 0.01


def build(markets: pd.DataFrame) -> pd.DataFrame:
    """Features (`plan.FEATURES`), trailing ranks of the claim, targets; sorted by asset and day. Raises KeyError for a lack."""
    rows = markets[list(NEEDS)].assign(day=pd.to_datetime(markets["day"]))
    made = [_asset(group.set_index("day").sort_index().asfreq("D"), str(asset)) for asset, group in rows.groupby("asset")]
    if not made:
        return pd.DataFrame()
    frame = pd.concat(made, ignore_index=True)
    others = frame[frame["asset"] != MARKET].groupby("day")
    for name, of in (("market_rv7", "rv7"), ("market_funding", "funding_7d"), ("market_oi_build", "oi_build")):
        frame[name] = frame["day"].map(others[of].mean())
    frame["market_basis_either"] = frame["day"].map(others["basis"].mean().abs())
    return frame


def _asset(m: pd.DataFrame, asset: str) -> pd.DataFrame:
    variance = m["realised_vol_1d"] ** 2
    week = np.sqrt(variance.rolling(7).mean())
    forced = m["liq_long_usd"] + m["liq_short_usd"]
    f = pd.DataFrame(index=m.index)
    f["rv1"] = _log(m["realised_vol_1d"])
    f["rv7"] = _log(week)
    f["rv30"] = _log(np.sqrt(variance.rolling(30, min_periods=20).mean()))
    f["rv_year"] = _log(np.sqrt(variance.rolling(365, min_periods=60).mean()))
    limit = week.rolling(365, min_periods=60).quantile(0.75)
    f[LIMIT] = _log(limit)
    f["rv7_over_limit"] = f["rv7"] - f[LIMIT]
    f["weekend"] = (pd.DatetimeIndex(m.index).dayofweek >= 5).astype(float)
    f["return_1d"] = np.log(m["close"]).diff()
    f["return_7d"] = np.log(m["close"]).diff(7)
    f["drawdown_7d"] = m["drawdown_7d"]
    f["funding_7d"] = m["funding_8h"].rolling(7, min_periods=5).mean()
    f["funding_either_7d"] = (m["funding_8h"] - RESTING_FUNDING).abs().rolling(7, min_periods=5).mean()
    f["oi_to_volume"] = _log(m["oi_to_volume"])
    f["oi_to_volume_build"] = f["oi_to_volume"] - f["oi_to_volume"].rolling(180, min_periods=30).mean()
    f["oi_to_volume_growth_7d"] = f["oi_to_volume"].diff(7)
    f["oi_build"] = np.log(m["oi_usd"]) - np.log(m["oi_usd"]).rolling(180, min_periods=30).mean()
    f["oi_growth_7d"] = np.log1p(m["oi_change_1d"].clip(lower=-0.99)).rolling(7).sum()
    f["liq_over_oi"] = m["liq_over_oi"]
    f["liq_long_share"] = (m["liq_long_usd"] / forced).where(forced > 0)
    for name in ("basis", "funding_dispersion", "positive_share", "hhi_volume", "dex_volume_share"):
        f[name] = m[name]
    f["oi_over_cap"] = m["oi_usd"] / m["market_cap"]
    # The claim: dear and leveraged and calm, each by its rank in the past half year.
    ranks = pd.concat([_rank(f["funding_7d"]), _rank(f["oi_to_volume"]), 1 - _rank(f["rv7"])], axis=1)
    f["claim"] = ranks.min(axis=1, skipna=False)
    f["crowded"] = m["label"].isin(["crowded_long", "crowded_short"]).astype(float).where(m["label"].notna())
    f["label"] = m["label"]
    f["close"], f["low"] = m["close"], m["low"]
    f = pd.concat([f, _targets(m, week, limit)], axis=1)
    f.insert(0, "asset", asset)
    return f.rename_axis("day").reset_index()


def _targets(m: pd.DataFrame, week: pd.Series, limit: pd.Series) -> pd.DataFrame:
    made = pd.DataFrame(index=m.index)
    ahead = [m["low"].shift(-n) for n in range(1, HORIZON_DAYS + 1)]
    for target in TARGETS.values():
        if target.depth is not None:
            made[target.name] = _within(pd.concat([low <= m["close"] * (1 - target.depth) for low in ahead], axis=1), ahead)
            made.loc[m["close"].isna(), target.name] = np.nan
    labels = [m["label"].shift(-n) for n in range(1, HORIZON_DAYS + 1)]
    made["cascade"] = _within(pd.concat([label == "cascade" for label in labels], axis=1), labels)
    following = week.shift(-HORIZON_DAYS)
    made[NEXT_RV] = _log(following)
    made["high_volatility"] = (following >= limit).astype(float).where(following.notna() & limit.notna())
    return made


def _within(hits: pd.DataFrame, days: list[pd.Series]) -> pd.Series:
    known = pd.concat(days, axis=1).notna().all(axis=1)
    return hits.any(axis=1).astype(float).where(known | hits.any(axis=1))


def _rank(series: pd.Series) -> pd.Series:
    return series.rolling(180, min_periods=30).rank(pct=True)


def _log(series: pd.Series) -> pd.Series:
    return np.log(series.clip(lower=_FLOOR))
