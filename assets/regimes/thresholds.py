"""Every regime and every number of the rules, in one place; rules, schemas, report, command line and documentation read it.

* `REGIMES`: a record for each regime (name, meaning, rule, colours), in order of precedence. A new label is one record here.
* `THRESHOLDS`: one comparison of a feature with a limit. The limit is the feature's own trailing quantile where there is one
  and enough history, else the fixed value; `bound` limits it in a market that has been very calm or very volatile (30 %
  volatility is not "stress", however quiet the year was).
* `RULE_FEATURES`: the features that thresholds read, with their description and format.
* `INPUTS`: the datasets behind the features, with their weight in the confidence.

The fixed values are round numbers chosen from the daily ranges of BTC, ETH and SOL in 2025 and from the venues' constants
(0.01 % per 8 hours is the resting rate of Binance and Bybit). They were not fitted to any one event.

Alone: ``python -c "from assets.regimes.thresholds import REGIMES; print(*REGIMES)"``.
"""

from dataclasses import dataclass
from typing import Literal, get_args

WINDOW_DAYS = 180
"""Days of a trailing quantile."""
MIN_HISTORY_DAYS = 20
"""Under this many days of history a limit is the fixed value."""
KNOWN_OI_SHARE = 0.5
"""Liquidations are known where the venues with complete lists hold at least this share of the asset's open interest. Such a total
can refute forced closing; any other is a lower bound, which can show it, and open interest counts beside it."""
FORCED_SHARE = 0.08
"""Share of open interest, closed by force in a day, that is a cascade's: the least of the limits tried by which nine days in ten
that are named are a cascade's, on synthetic markets whose cascades are known (`infra.bench.streams`). It is fixed, as a quantile
would compare days on which other venues were heard, and would change when a collector begins."""

Severity = Literal["notice", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""How much a change to a regime matters to who holds positions, in rising order."""

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
        Threshold("liquidations_high", "liq_over_oi", 1, FORCED_SHARE),
        Threshold("listed_liquidations_high", "liq_over_oi_at_least", 1, FORCED_SHARE),
        Threshold("oi_collapse", "oi_change_liq_incomplete", -1, -0.15, quantile=0.05, bound=-0.15),
        Threshold("oi_shrinking", "oi_change_5d", -1, -0.15, quantile=0.10, bound=-0.10),
        Threshold("oi_falls_often", "oi_falling_days_5d", 1, 3),
        Threshold("funding_high", "funding_8h", 1, 0.0002, quantile=0.90, bound=0.00012),
        Threshold("funding_low", "funding_8h", -1, -0.0001, quantile=0.10, bound=-0.00003),
        Threshold("funding_small", "funding_abs", -1, 0.00011),
        Threshold("oi_to_volume_high", "oi_to_volume", 1, 0.75, quantile=0.75),
    )
}


@dataclass(frozen=True)
class Regime:
    """One label.

    `rule` names thresholds: at least one of each inner tuple must hold, and all inner tuples. A threshold whose feature is
    unknown does not hold. `is_shock` marks single days of violent moves: figures mark them, and the scorecard tests whether the
    label names them. `severity` is that of the signal of a change to it. `colour` is for the report (hex), `terminal_style` for
    the command line (Rich).
    """

    name: str
    meaning: str
    rule: tuple[tuple[str, ...], ...]
    colour: str
    terminal_style: str
    is_shock: bool = False
    severity: Severity = "notice"


# Colours from Paul Tol's "bright" and "vibrant" sets, which common kinds of colour blindness can distinguish.
REGIMES = {
    r.name: r
    for r in (
        Regime(
            "cascade",
            "A violent fall or rise with forced closing: high liquidations or a collapse of open interest.",
            (("low_deep", "high_steep", "vol_1d_extreme"), ("liquidations_high", "listed_liquidations_high", "oi_collapse")),
            "#bb1133", "bold red", is_shock=True, severity="critical",
        ),
        Regime(
            "crash",
            "A low 10 % or more under the last close, without evidence of forced closing.",
            (("low_crash",),),
            "#661100", "bold dark_red", is_shock=True, severity="critical",
        ),
        Regime(
            "stress",
            "Very high volatility or a deep fall, without evidence of forced closing.",
            (("vol_7d_extreme", "vol_1d_extreme", "low_deep", "drawdown_deep"),),
            "#ee7733", "red", severity="warning",
        ),
        Regime(
            "deleveraging",
            "Open interest falls over several days.",
            (("oi_shrinking",), ("oi_falls_often",)),
            "#aa4499", "magenta", severity="warning",
        ),
        Regime(
            "crowded_long",
            "Funding and open interest over volume are high, volatility is not: many traders pay to stay long.",
            (("funding_high",), ("oi_to_volume_high",), ("vol_7d_not_high",)),
            "#0077bb", "yellow",
        ),
        Regime(
            "crowded_short",
            "Funding is far below zero and open interest over volume high, volatility is not: many traders pay to stay short.",
            (("funding_low",), ("oi_to_volume_high",), ("vol_7d_not_high",)),
            "#33bbcc", "yellow",
        ),
        Regime(
            "quiet",
            "Low volatility and funding near zero.",
            (("vol_7d_low",), ("funding_small",)),
            "#88aa55", "green",
        ),
        Regime(
            "neutral",
            "No rule holds.",
            (),
            "#eceef1", "default",
        ),
    )
}  # fmt: skip
"""Name to regime, in order of precedence: the first rule that holds gives the label. The last has no rule and always holds."""


@dataclass(frozen=True)
class Feature:
    """A feature of the rules: `text` and `format` in a reason, `description` and `unit` of the column."""

    text: str
    format: Format
    description: str
    unit: str = "1"


RULE_FEATURES = {
    "realised_vol_7d": Feature(
        "7-day volatility",
        "percent",
        "Realised volatility of the last 7 days, by hourly returns, annualised, fraction.",
        "1 per sqrt(year)",
    ),
    "realised_vol_1d": Feature(
        "1-day volatility",
        "percent",
        "Realised volatility of the day, by hourly returns, annualised, fraction.",
        "1 per sqrt(year)",
    ),
    "low_vs_prev_close": Feature(
        "low vs yesterday's close", "signed", "The day's low over the close of the day before, less one, fraction."
    ),
    "high_vs_prev_close": Feature(
        "high vs yesterday's close", "signed", "The day's high over the close of the day before, less one, fraction."
    ),
    "drawdown_7d": Feature(
        "close vs 7-day high", "signed", "Close over the highest high of the last 7 days, less one, fraction, zero or below."
    ),
    "liq_over_oi": Feature(
        "liquidations over open interest",
        "percent",
        "Liquidations of both sides over open interest, over the venues whose liquidations are known completely for the whole "
        f"day, fraction; null where those venues hold under {KNOWN_OI_SHARE:.0%} of the asset's open interest.",
    ),
    "liq_over_oi_at_least": Feature(
        "liquidations over open interest, at least",
        "percent",
        "All liquidations that venues listed, of both sides, over the open interest of all venues, fraction: a lower bound, as "
        "some lists are sampled, partial or absent.",
    ),
    "oi_change_1d": Feature(
        "1-day change of open interest", "signed", "Change of open interest over one day, in contracts (not in USD), fraction."
    ),
    "oi_change_liq_incomplete": Feature(
        "1-day change of open interest",
        "signed",
        "`oi_change_1d`, fraction, on days whose liquidations are not known completely (`liq_over_oi` is null); null on others.",
    ),
    "oi_change_5d": Feature(
        "5-day change of open interest", "signed", "Change of open interest over five days, in contracts (not in USD), fraction."
    ),
    "oi_falling_days_5d": Feature(
        "open interest falling on",
        "days",
        "Days of the last five on which open interest fell, 0 to 5; null if one is unknown.",
        "day",
    ),
    "funding_8h": Feature(
        "funding per 8 h", "rate", "Mean funding rate per 8 hours, fraction; positive: longs pay shorts.", "1 per 8 hours"
    ),
    "funding_abs": Feature("absolute funding per 8 h", "rate", "Absolute value of `funding_8h`, fraction.", "1 per 8 hours"),
    "oi_to_volume": Feature(
        "open interest over daily volume", "ratio", "Open interest over the mean daily volume of the last 7 days, ratio."
    ),
}


@dataclass(frozen=True)
class Input:
    """A dataset behind the features: its weight in the confidence, and the columns that state its venues and completeness."""

    name: str
    weight: float
    venues_column: str
    coverage_column: str
    features: tuple[str, ...]
    venue_names_column: str = ""
    """Optional column with the names of the venues, which reasons show."""


INPUTS = (
    Input(
        "price", 0.40, "price_venues", "coverage_price",
        ("realised_vol_7d", "realised_vol_1d", "low_vs_prev_close", "high_vs_prev_close", "drawdown_7d"),
    ),
    Input("open interest", 0.25, "oi_venues", "coverage_oi", ("oi_change_1d", "oi_change_5d", "oi_to_volume"), "oi_venue_names"),
    Input("funding", 0.20, "funding_venues", "coverage_funding", ("funding_8h",)),
    Input("liquidations", 0.15, "liq_venues", "coverage_liquidations", ("liq_over_oi_at_least",)),
)  # fmt: skip
"""Confidence = history x sum over inputs of weight x coverage x share of the input's features that are known, where history
= 0.5 + 0.5 x min(1, days of history / 180). Funding with equal weights counts `EQUAL_WEIGHT_FACTOR`."""

EQUAL_WEIGHT_FACTOR = 0.75
MIN_HISTORY_FACTOR = 0.5
