"""The market as one asset: the average of the assets' daily rows, each weighing by its open interest or else its volume.

`MARKET` is an average coin, not an index's path: its volatility is the coins' mean, not that of their sum, and its low is the
mean of lows that need not have come at one time. A weight of a day is what was traded in the thirty days before it, so that
nothing of the day decides how much it counts. Rows go the way of any asset's: labels, forecasts, scores.

Alone: ``with_market(duckdb.connect(path).sql("from marts.daily_assets").df())``.
"""

import numpy as np
import pandas as pd

MARKET = "MARKET"
_SUMS = ("volume_usd", "oi_usd", "liq_long_usd", "liq_short_usd")
_BY_VOLUME = ("return_1d", "low_vs_prev_close", "high_vs_prev_close", "realised_vol_1d", "realised_vol_7d", "basis")
_BY_OI = ("oi_change_1d", "funding_8h", "liq_over_oi", "oi_to_volume")
_COVERAGES = ("coverage_price", "coverage_funding", "coverage_oi", "coverage_liquidations")
_COUNTS = ("venues_total", "price_venues", "funding_venues", "oi_venues", "liq_venues")


def with_market(daily: pd.DataFrame) -> pd.DataFrame:
    """`marts.daily_assets` (a row per day and asset) with `MARKET`'s rows added; as given where there is but one asset."""
    if daily["asset"].nunique() < 2:
        return daily
    rows = daily.assign(day=pd.to_datetime(daily["day"])).set_index(["day", "asset"]).sort_index()
    wide = {str(name): rows[name].unstack("asset").asfreq("D") for name in rows.select_dtypes("number")}
    wide["high_vs_prev_close"] = wide["high"] / wide["close"].shift() - 1
    traded = wide["volume_usd"].rolling(30, min_periods=1).mean().shift().fillna(0.0)
    held = wide["oi_usd"].shift().fillna(0.0)

    made = pd.DataFrame({name: wide[name].sum(axis=1, min_count=1) for name in _SUMS})
    for names, weights in ((_BY_VOLUME, traded), (_BY_OI, held)):
        for name in names:
            made[name] = _mean(wide[name], weights)
    made["funding_weighting"] = np.where(_weighted(wide["funding_8h"], held), "oi", "equal")
    for name in _COVERAGES:
        made[name] = wide[name].mean(axis=1)
    for name in _COUNTS:
        made[name] = wide[name].max(axis=1)
    there = wide["close"].notna().any(axis=1)
    made["close"] = (100 * (1 + made["return_1d"].fillna(0.0)).cumprod()).where(there)
    before = made["close"].shift()
    made["low"], made["high"] = (before * (1 + made[f"{end}_vs_prev_close"]) for end in ("low", "high"))
    made["drawdown_7d"] = made["close"] / made["high"].rolling(7).max() - 1
    made["drawdown_7d"] = made["drawdown_7d"].clip(upper=0.0)
    made = made[there & made["venues_total"].notna()]
    made = made.astype(dict.fromkeys(_COUNTS, int)).assign(asset=MARKET).rename_axis("day").reset_index()
    for name in ("origin", "oi_venue_names"):
        if name in daily:
            made[name] = daily[name].iloc[0] if name == "origin" else None
    return pd.concat([daily, made.reindex(columns=list(daily))], ignore_index=True)


def _weighted(values: pd.DataFrame, weights: pd.DataFrame) -> pd.Series:
    """Days on which something that has a weight has a value."""
    return weights.where(values.notna(), 0.0).sum(axis=1) > 0


def _mean(values: pd.DataFrame, weights: pd.DataFrame) -> pd.Series:
    """The weighted mean of what is known; where nothing that is known has a weight, the plain one."""
    known = weights.where(values.notna(), 0.0)
    found = (values.fillna(0.0) * known).sum(axis=1) / known.sum(axis=1).replace(0.0, np.nan)
    return found.where(_weighted(values, weights), values.mean(axis=1))
