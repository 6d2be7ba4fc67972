"""Every number of the regime method, in one table.

A threshold compares one feature with one limit. The limit is the feature's own trailing quantile, where it has one and
there is history enough, else the fixed value; `bound` keeps a limit from becoming meaningless in a market that has been very
calm or very wild (a day can't be "stress" at 30 % volatility because the year was quieter still).

The fixed values are round numbers chosen from the daily ranges of BTC, ETH and SOL over 2025 and from the venues' own
constants (0.01 % per 8 hours is the resting rate of Binance and Bybit). They were not fitted to any one event.
"""

from dataclasses import dataclass
from typing import Literal

WINDOW_DAYS = 180
MIN_HISTORY_DAYS = 20

Format = Literal["percent", "signed", "rate", "ratio", "days"]


@dataclass(frozen=True)
class Threshold:
    """`feature` at or above (`side` = 1), or at or below (`side` = -1), its limit."""

    name: str
    feature: str
    side: Literal[1, -1]
    fixed: float
    quantile: float | None = None
    bound: float | None = None
    """The least demanding limit allowed: a floor for side 1, a ceiling for side -1."""


THRESHOLDS = {
    t.name: t
    for t in (
        Threshold("vol_7d_extreme", "realised_vol_7d", 1, 1.00, quantile=0.95, bound=0.60),
        Threshold("vol_1d_extreme", "realised_vol_1d", 1, 1.20, quantile=0.95, bound=0.70),
        Threshold("vol_7d_not_high", "realised_vol_7d", -1, 0.60, quantile=0.75),
        Threshold("vol_7d_low", "realised_vol_7d", -1, 0.30, quantile=0.25),
        Threshold("low_crash", "low_vs_prev_close", -1, -0.10),
        Threshold("low_deep", "low_vs_prev_close", -1, -0.08, quantile=0.05, bound=-0.08),
        Threshold("high_steep", "high_vs_prev_close", 1, 0.08, quantile=0.95, bound=0.08),
        Threshold("drawdown_deep", "drawdown_7d", -1, -0.20, quantile=0.05, bound=-0.12),
        Threshold("liquidations_high", "liq_over_oi", 1, 0.03, quantile=0.95, bound=0.02),
        Threshold("oi_collapse", "oi_change_unrefuted", -1, -0.15, quantile=0.05, bound=-0.15),
        Threshold("oi_shrinking", "oi_change_5d", -1, -0.15, quantile=0.10, bound=-0.10),
        Threshold("oi_falls_often", "oi_falling_days_5d", 1, 3),
        Threshold("funding_high", "funding_8h", 1, 0.0002, quantile=0.90, bound=0.00012),
        Threshold("funding_low", "funding_8h", -1, -0.0001, quantile=0.10, bound=-0.00003),
        Threshold("funding_small", "funding_abs", -1, 0.00011),
        Threshold("oi_to_volume_high", "oi_to_volume", 1, 0.75, quantile=0.75),
    )
}

RULES: dict[str, tuple[tuple[str, ...], ...]] = {
    "cascade": (("low_deep", "high_steep", "vol_1d_extreme"), ("liquidations_high", "oi_collapse")),
    "crash": (("low_crash",),),
    "stress": (("vol_7d_extreme", "vol_1d_extreme", "low_deep", "drawdown_deep"),),
    "deleveraging": (("oi_shrinking",), ("oi_falls_often",)),
    "crowded_long": (("funding_high",), ("oi_to_volume_high",), ("vol_7d_not_high",)),
    "crowded_short": (("funding_low",), ("oi_to_volume_high",), ("vol_7d_not_high",)),
    "quiet": (("vol_7d_low",), ("funding_small",)),
    "neutral": (),
}
"""Label to rule, in order of precedence: of each inner tuple one threshold must hold, of the outer all. The first rule that
holds gives the label. A threshold whose feature is unknown doesn't hold."""


@dataclass(frozen=True)
class Feature:
    """How a feature is called and written in a reason."""

    text: str
    format: Format


READABLE = {
    "realised_vol_7d": Feature("7-day volatility", "percent"),
    "realised_vol_1d": Feature("1-day volatility", "percent"),
    "low_vs_prev_close": Feature("low vs yesterday's close", "signed"),
    "high_vs_prev_close": Feature("high vs yesterday's close", "signed"),
    "drawdown_7d": Feature("close vs 7-day high", "signed"),
    "liq_over_oi": Feature("liquidations over open interest", "percent"),
    "oi_change_1d": Feature("1-day change of open interest", "signed"),
    "oi_change_unrefuted": Feature("1-day change of open interest", "signed"),
    "oi_change_5d": Feature("5-day change of open interest", "signed"),
    "oi_falling_days_5d": Feature("open interest falling on", "days"),
    "funding_8h": Feature("funding per 8 h", "rate"),
    "funding_abs": Feature("absolute funding per 8 h", "rate"),
    "oi_to_volume": Feature("open interest over daily volume", "ratio"),
}


@dataclass(frozen=True)
class Input:
    """A dataset behind the features: its share of the confidence, and the columns that tell how well it is known."""

    text: str
    weight: float
    venues: str
    coverage: str
    features: tuple[str, ...]
    names: str = ""
    """Optional column with the names of the venues, shown in the reasons."""


INPUTS = (
    Input(
        "price", 0.40, "price_venues", "coverage_price",
        ("realised_vol_7d", "realised_vol_1d", "low_vs_prev_close", "high_vs_prev_close", "drawdown_7d"),
    ),
    Input("open interest", 0.25, "oi_venues", "coverage_oi", ("oi_change_1d", "oi_change_5d", "oi_to_volume"), "oi_venue_names"),
    Input("funding", 0.20, "funding_venues", "coverage_funding", ("funding_8h",)),
    Input("liquidations", 0.15, "liq_venues", "coverage_liquidations", ("liq_over_oi",)),
)  # fmt: skip
"""Confidence = history x sum over inputs of weight x coverage x share of the input's features that are known, where history
= 0.5 + 0.5 x min(1, days of history / 180). Equal-weighted funding counts `EQUAL_WEIGHT_FACTOR`."""

EQUAL_WEIGHT_FACTOR = 0.75
UNWEIGHTED_HISTORY = 0.5
