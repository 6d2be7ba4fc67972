"""The schemas of the regime step's frames (pandera): daily rows in, `regime_features` and `regime_labels` out.

Every column of a published table has a description with its unit, and every table one of its own; the step that writes a table
writes them as comments (`assets.regimes.tables` lists all tables). Days are UTC calendar days as naive midnights; rates,
returns and shares are fractions; money is USD. Null means unknown.

Alone: ``schemas.DAILY.validate(frame, lazy=True)``.
"""

from __future__ import annotations

import sys

import pandera.pandas as pa

from assets.regimes.thresholds import INPUTS, MIN_HISTORY_DAYS, REGIMES, RULE_FEATURES, THRESHOLDS, WINDOW_DAYS, Threshold

KEY = ["day", "asset"]


def number(
    description: str,
    low: float = -sys.float_info.max,
    high: float = sys.float_info.max,
    *,
    unit: str = "1",
    nullable: bool = True,
) -> pa.Column:
    """A finite float within bounds, in a unit of `pipelines.units`."""
    check, metadata = pa.Check.in_range(low, high), {"unit": unit}
    return pa.Column(float, check, nullable=nullable, coerce=True, description=description, metadata=metadata)


def count(description: str, low: int = 0, *, unit: str = "count") -> pa.Column:
    """A whole number, never null."""
    return pa.Column(int, pa.Check.ge(low), coerce=True, description=description, metadata={"unit": unit})


def day(description: str) -> pa.Column:
    """A UTC calendar day, as a naive midnight."""
    midnight = pa.Check(lambda day: day == day.dt.normalize(), error="not a UTC midnight")
    return pa.Column("datetime64[us]", midnight, coerce=True, description=description)


def text(description: str, *allowed: str, nullable: bool = False, required: bool = True) -> pa.Column:
    """A string; one of `allowed`, where there are any."""
    checks = pa.Check.isin(allowed) if allowed else None
    return pa.Column(str, checks, nullable=nullable, required=required, coerce=True, description=description)


ASSET = text("Base asset, such as `BTC`; `MARKET` is the average of all assets.")
KNOWN_AT = pa.Column(
    "datetime64[us]",
    coerce=True,
    description=(
        "When all inputs of the row could be known, UTC: by the latest publication among the rows of its day, and not before "
        "the day is over. A row that is read before may still change."
    ),
)
_EVIDENCE = {
    "venues_total": count("Selected venues that list the asset on the day.", low=1),
    "liq_complete_oi_share": number(
        "Share of the asset's open interest on the venues whose liquidations of the day are known completely, fraction.", 0, 1
    ),
    **{i.venues_column: count(f"Venues behind the {i.name} of the day.") for i in INPUTS},
    **{
        i.coverage_column: number(f"Observations of {i.name} seen, over those expected of the selected venues, fraction.", 0, 1)
        for i in INPUTS
    },
    "funding_weighting": text(
        "How venues are weighted in `funding_8h`: `oi` by open interest, `volume` by volume too, `equal` by neither.",
        "oi", "volume", "equal", nullable=True,
    ),
    "oi_venue_names": text("Names of the venues behind open interest, by comma.", nullable=True, required=False),
}  # fmt: skip

DAILY = pa.DataFrameSchema(
    {
        "day": day("UTC day."),
        "asset": ASSET,
        "close": number("Last price of the day, median over venues, USD.", 0),
        "high": number("Highest price of the day, USD.", 0),
        "low": number("Lowest price of the day, USD.", 0),
        "oi_change_1d": number(RULE_FEATURES["oi_change_1d"].description, -1),
        "funding_8h": number(RULE_FEATURES["funding_8h"].description),
        "realised_vol_1d": number(RULE_FEATURES["realised_vol_1d"].description, 0),
        "realised_vol_7d": number(RULE_FEATURES["realised_vol_7d"].description, 0),
        "drawdown_7d": number(RULE_FEATURES["drawdown_7d"].description, -1, 0),
        "low_vs_prev_close": number(RULE_FEATURES["low_vs_prev_close"].description, -1),
        "oi_to_volume": number(RULE_FEATURES["oi_to_volume"].description, 0),
        "liq_complete_over_oi": number("Liquidations over open interest on the venues with complete lists, fraction.", 0),
        "liq_at_least_over_oi": number(RULE_FEATURES["liq_over_oi_at_least"].description, 0),
        **_EVIDENCE,
    },
    unique=KEY,
    strict=False,
    name="daily_assets",
    description="What the regime method reads of the daily rows of an asset.",
)


def _quantile(threshold: Threshold) -> str:
    return (
        f"The {threshold.quantile:.0%} quantile of `{threshold.feature}` over the {WINDOW_DAYS} days before the day, in the "
        f"feature's unit; null under {MIN_HISTORY_DAYS} days of history."
    )


def _limit(threshold: Threshold) -> str:
    side = "above" if threshold.side == 1 else "below"
    return f"Threshold `{threshold.name}` holds where `{threshold.feature}` is at or {side} this limit, in the feature's unit."


def _compared(threshold: Threshold, description: str, *, nullable: bool = True) -> pa.Column:
    return number(description, unit=RULE_FEATURES[threshold.feature].unit, nullable=nullable)


FEATURES = pa.DataFrameSchema(
    {
        "day": day("UTC day."),
        "asset": ASSET,
        **{name: number(feature.description, unit=feature.unit) for name, feature in RULE_FEATURES.items()},
        **{f"{name}_quantile": _compared(t, _quantile(t)) for name, t in THRESHOLDS.items() if t.quantile is not None},
        **{f"{name}_limit": _compared(t, _limit(t), nullable=False) for name, t in THRESHOLDS.items()},
        "history_days": count(f"Days with a known 7-day volatility among the {WINDOW_DAYS} days before the day.", unit="day"),
        **_EVIDENCE,
    },
    unique=KEY,
    strict=True,
    name="regime_features",
    description=(
        "Inputs of the regime rules by UTC day and asset: features, the trailing quantiles and limits they are compared with, "
        "and the completeness of the data behind them."
    ),
)

LABELS = pa.DataFrameSchema(
    {
        "day": day("UTC day; the label uses no later day."),
        "asset": ASSET,
        "label": text("The regime: " + " ".join(f"`{r.name}`: {r.meaning}" for r in REGIMES.values()), *REGIMES),
        "confidence": number(
            "Share of the required inputs that is known, 0 to 1. It measures completeness and is not the probability that the "
            "label is right.",
            0, 1, nullable=False,
        ),
        "reasons": pa.Column(
            str, pa.Check.str_length(min_value=1),
            description="Comparisons that gave the label, with values and limits, and the missing inputs; separated by `; `.",
        ),
        "cascade_evidence": text(
            "What shows the forced closing of a `cascade`: `liquidations`, known completely or a lower bound that is high by "
            "itself; or `open_interest`, its fall, where liquidations aren't known completely. Null: another label.",
            "liquidations", "open_interest", nullable=True,
        ),
        "method": text("Version of the rules."),
        "known_at": pa.Column("datetime64[us]", coerce=True, required=False, description=KNOWN_AT.description),
    },
    unique=KEY,
    strict=True,
    name="regime_labels",
    description="One regime label by UTC day and asset, with its confidence and reasons. No label uses a later day.",
)  # fmt: skip
