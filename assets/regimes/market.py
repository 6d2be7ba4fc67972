"""The market as one asset: the average of the assets' daily rows, weighted by open interest or volume.

`MARKET` is an average coin and not the path of an index: its volatility is the mean of the coins' volatilities, and its low the
mean of lows that need not have come at one time. Weights are the traded volume of the thirty days before, or the open interest
of the day before, so that nothing of the day itself decides how much it counts. MARKET gets labels, forecasts and scores like
any asset.

Alone: ``with_market(duckdb.connect(path).sql("from marts.daily_assets").df())``.
"""

from enum import Enum, auto

import numpy as np
import pandas as pd

MARKET = "MARKET"


class Aggregation(Enum):
    """How a column of the assets becomes the column of MARKET."""

    SUM = auto()
    """Sum of the known values."""
    CHAIN = auto()
    """Begins with the sum, and grows from day to day as the sum over the assets that are known on both days."""
    MEAN_BY_VOLUME = auto()
    """Mean, weighted by the traded volume of the thirty days before."""
    MEAN_BY_OI = auto()
    """Mean, weighted by the open interest of the day before."""
    MEAN = auto()
    MAX = auto()
    OWN = auto()
    """Set by `with_market`: keys, texts, and prices, which follow from MARKET's own returns."""
    NULL = auto()
    """Has no meaning for MARKET, such as coins of several assets."""


#: Columns of `marts.daily_assets`. One that is not here is null for MARKET.
AGGREGATIONS = {
    "day": Aggregation.OWN,
    "asset": Aggregation.OWN,
    "close": Aggregation.OWN,
    "high": Aggregation.OWN,
    "low": Aggregation.OWN,
    "volume_usd": Aggregation.SUM,
    "oi_usd": Aggregation.SUM,
    "volume_usd_chained": Aggregation.CHAIN,
    "oi_usd_chained": Aggregation.CHAIN,
    "oi_base": Aggregation.NULL,
    "oi_change_1d": Aggregation.MEAN_BY_OI,
    "funding_8h": Aggregation.MEAN_BY_OI,
    "funding_weighting": Aggregation.OWN,
    "funding_8h_equal": Aggregation.MEAN_BY_OI,
    "funding_weight_known": Aggregation.MEAN_BY_OI,
    "liq_long_usd": Aggregation.SUM,
    "liq_short_usd": Aggregation.SUM,
    "realised_vol_1d": Aggregation.MEAN_BY_VOLUME,
    "realised_vol_7d": Aggregation.MEAN_BY_VOLUME,
    "range_vol_1d": Aggregation.MEAN_BY_VOLUME,
    "range_vol_7d": Aggregation.MEAN_BY_VOLUME,
    "return_1d": Aggregation.MEAN_BY_VOLUME,
    "drawdown_7d": Aggregation.OWN,
    "low_vs_prev_close": Aggregation.MEAN_BY_VOLUME,
    "basis": Aggregation.MEAN_BY_VOLUME,
    "oi_to_volume": Aggregation.MEAN_BY_OI,
    "liq_over_oi": Aggregation.MEAN_BY_OI,
    "liq_complete_over_oi": Aggregation.MEAN_BY_OI,
    "liq_complete_oi_share": Aggregation.MEAN_BY_OI,
    "liq_at_least_over_oi": Aggregation.MEAN_BY_OI,
    "venues_total": Aggregation.MAX,
    "price_venues": Aggregation.MAX,
    "funding_venues": Aggregation.MAX,
    "oi_venues": Aggregation.MAX,
    "liq_venues": Aggregation.MAX,
    "oi_venue_names": Aggregation.NULL,
    "coverage_price": Aggregation.MEAN,
    "coverage_funding": Aggregation.MEAN,
    "coverage_oi": Aggregation.MEAN,
    "coverage_liquidations": Aggregation.MEAN,
    "coverage_liquidations_listed": Aggregation.MEAN,
    "origin": Aggregation.OWN,
}


def with_market(daily: pd.DataFrame) -> pd.DataFrame:
    """`marts.daily_assets` (a row per day and asset) and the rows of `MARKET`; unchanged where there is only one asset.

    A column without an aggregation is null for MARKET.
    """
    if daily["asset"].nunique() < 2:
        return daily
    rows = daily.assign(day=pd.to_datetime(daily["day"])).set_index(["day", "asset"]).sort_index()
    wide = {str(name): rows[name].unstack("asset").asfreq("D") for name in rows.select_dtypes("number")}
    by_volume = wide["volume_usd"].rolling(30, min_periods=1).mean().shift().fillna(0.0)
    by_oi = wide["oi_usd"].shift().fillna(0.0)

    columns = {
        name: _aggregate(values, AGGREGATIONS.get(name, Aggregation.NULL), by_volume, by_oi) for name, values in wide.items()
    }
    market = pd.DataFrame({name: values for name, values in columns.items() if values is not None})
    market["funding_weighting"] = np.where(_has_weight(wide["funding_8h"], by_oi), "oi", "equal")
    priced = wide["close"].notna().any(axis=1)
    market["close"] = (100 * (1 + market["return_1d"].fillna(0.0)).cumprod()).where(priced)
    market["low"] = market["close"].shift() * (1 + market["low_vs_prev_close"])
    market["high"] = market["close"].shift() * (1 + _mean(wide["high"] / wide["close"].shift() - 1, by_volume))
    market["drawdown_7d"] = (market["close"] / market["high"].rolling(7).max() - 1).clip(upper=0.0)
    market = market[priced & market["venues_total"].notna()]
    counts = [name for name, how in AGGREGATIONS.items() if how is Aggregation.MAX]
    market = market.astype(dict.fromkeys(counts, int)).assign(asset=MARKET).rename_axis("day").reset_index()
    if "origin" in daily:
        market["origin"] = daily["origin"].iloc[0]
    if "oi_venue_names" in daily:
        market["oi_venue_names"] = None
    return pd.concat([daily, market.reindex(columns=list(daily))], ignore_index=True)


def _aggregate(values: pd.DataFrame, how: Aggregation, by_volume: pd.DataFrame, by_oi: pd.DataFrame) -> pd.Series | None:
    """A column of MARKET by day from days x assets; None for a column that is set otherwise or stays null."""
    match how:
        case Aggregation.SUM:
            return values.sum(axis=1, min_count=1)
        case Aggregation.CHAIN:
            return _chained(values)
        case Aggregation.MEAN_BY_VOLUME:
            return _mean(values, by_volume)
        case Aggregation.MEAN_BY_OI:
            return _mean(values, by_oi)
        case Aggregation.MEAN:
            return values.mean(axis=1)
        case Aggregation.MAX:
            return values.max(axis=1)
        case _:
            return None


def _chained(values: pd.DataFrame) -> pd.Series:
    """The level over a constant set of assets, as `chained_levels` of dbt has it over venues; null on days without any."""
    level, before = values.sum(axis=1, min_count=1), values.shift()
    both = values.notna() & (before > 0)
    growth = values.where(both).sum(axis=1, min_count=1) / before.where(both).sum(axis=1, min_count=1)
    spans = growth.isna().cumsum()
    start = level.where(growth.isna()).groupby(spans).transform("first")
    return start * growth.fillna(1.0).groupby(spans).cumprod()


def _has_weight(values: pd.DataFrame, weights: pd.DataFrame) -> pd.Series:
    """True on days on which an asset with a known value has a weight above zero."""
    return weights.where(values.notna(), 0.0).sum(axis=1) > 0


def _mean(values: pd.DataFrame, weights: pd.DataFrame) -> pd.Series:
    """Weighted mean of the known values; the plain mean on days on which none of them has a weight."""
    known = weights.where(values.notna(), 0.0)
    mean = (values.fillna(0.0) * known).sum(axis=1) / known.sum(axis=1).replace(0.0, np.nan)
    return mean.where(_has_weight(values, weights), values.mean(axis=1))
