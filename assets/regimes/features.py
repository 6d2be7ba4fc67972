"""Daily rows to regime features: the features that rules read, and the trailing limits that they are compared with.

Each quantity is pivoted to days x assets on the full calendar, so that "the day before" is yesterday and not the row before,
and a quantile of 180 days covers 180 days. A missing day stays missing.

Alone: ``features.build(schemas.DAILY.validate(daily))``.
"""

import math

import numpy as np
import pandas as pd

from assets.regimes.schemas import KEY
from assets.regimes.thresholds import INPUTS, KNOWN_OI_SHARE, MIN_HISTORY_DAYS, THRESHOLDS, WINDOW_DAYS, Threshold

_UNCHANGED = (
    "realised_vol_7d", "realised_vol_1d", "low_vs_prev_close", "drawdown_7d",
    "oi_change_1d", "funding_8h", "oi_to_volume",
)  # fmt: skip
_LIQUIDATIONS = ("liq_complete_over_oi", "liq_complete_oi_share", "liq_at_least_over_oi")
_OI_DAYS = 5
#: A row reads this many days before its own: the trailing ones of a quantile, and those that the first of them reads.
REACH_DAYS = WINDOW_DAYS + _OI_DAYS


def build(daily: pd.DataFrame) -> pd.DataFrame:
    """Features of `schemas.DAILY` rows, one row per row given, sorted by day and asset (`schemas.FEATURES`)."""
    rows = daily.set_index(KEY).sort_index()
    wide = {name: rows[name].unstack("asset").asfreq("D") for name in (*_UNCHANGED, *_LIQUIDATIONS, "high", "close")}

    features = {name: wide[name] for name in _UNCHANGED}
    features["high_vs_prev_close"] = wide["high"] / wide["close"].shift() - 1
    change = features["oi_change_1d"]
    features["liq_over_oi"] = wide["liq_complete_over_oi"].where(wide["liq_complete_oi_share"] >= KNOWN_OI_SHARE)
    features["liq_over_oi_at_least"] = wide["liq_at_least_over_oi"]
    features["oi_change_liq_incomplete"] = change.where(features["liq_over_oi"].isna())
    growth = math.prod((1 + change.shift(n) for n in range(1, _OI_DAYS)), start=1 + change)
    features["oi_change_5d"] = growth - 1
    features["oi_falling_days_5d"] = change.lt(0).rolling(_OI_DAYS).sum().where(growth.notna())
    features["funding_abs"] = features["funding_8h"].abs()

    columns = dict(features)
    for threshold in THRESHOLDS.values():
        columns |= _limits(threshold, features[threshold.feature])
    history = features["realised_vol_7d"].notna().rolling(WINDOW_DAYS, min_periods=1).sum().shift(fill_value=0)
    columns["history_days"] = history

    evidence = ["venues_total", *(i.venues_column for i in INPUTS), *(i.coverage_column for i in INPUTS)]
    evidence += ["liq_complete_oi_share", "funding_weighting"]
    evidence += ["oi_venue_names"] if "oi_venue_names" in rows else []
    days, assets = (rows.index.get_level_values(level) for level in KEY)
    at = change.index.get_indexer(days), change.columns.get_indexer(assets)
    long = pd.DataFrame({name: frame.to_numpy()[at] for name, frame in columns.items()}, index=rows.index)
    return long.join(rows[evidence]).reset_index()


def _limits(threshold: Threshold, feature: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Trailing quantile of a threshold (if it has one) and its limit, days x assets."""
    limit = pd.DataFrame(np.nan, feature.index, feature.columns)
    columns = {}
    if threshold.quantile is not None:
        # The day itself is left out: it is compared with the days before it.
        limit = feature.rolling(WINDOW_DAYS, min_periods=MIN_HISTORY_DAYS).quantile(threshold.quantile).shift()
        columns[f"{threshold.name}_quantile"] = limit
    limit = limit.fillna(threshold.fixed)
    if threshold.bound is not None:
        limit = limit.clip(lower=threshold.bound) if threshold.side == 1 else limit.clip(upper=threshold.bound)
    return columns | {f"{threshold.name}_limit": limit}
