"""The schemas of the three tables of forecasts (pandera): every column with its unit. Days are UTC calendar days as naive
midnights.

Alone: ``schemas.FORECASTS.validate(frame, lazy=True)``.
"""

from __future__ import annotations

import pandas as pd
import pandera.pandas as pa

from assets.regimes.forecasts.plan import ENOUGH_EVENTS, FRESH_DAYS, HORIZON_DAYS, NOWCASTS, SAME_EVENT_DAYS, TARGETS
from assets.regimes.schemas import count, day, number, text

VERDICTS = (
    "insufficient", "a null", "adds to volatility alone", "less than volatility alone", "adds nothing over volatility",
    "too good: taken for a bug until shown otherwise", "a nowcast",
)  # fmt: skip
KINDS = ("null", "rule", "volatility", "state", "learned")

_ASSET = text("Base asset, such as `BTC`; `MARKET` is the average of all assets.")
_TARGET = text(
    f"What may happen in the {HORIZON_DAYS} days after the day. "
    + "; ".join(f"`{t.name}`: {t.description}" for t in TARGETS.values())
    + ".",
    *TARGETS,
)
_PLAN_HASH = text("Hash of the code and constants that made the row.")

FORECASTS = pa.DataFrameSchema(
    {
        "day": day("UTC day; the forecast uses nothing after its close."),
        "asset": _ASSET,
        "target": _TARGET,
        "method": text("Forecasting method, a key of METHODS in `assets/regimes/forecasts/methods.py`."),
        "kind": text("Kind of method.", *KINDS),
        "horizon_days": count("Days after `day` that the forecast covers; `day` itself is not among them.", unit="day"),
        "probability": number("Probability of the target, 0 to 1.", 0, 1, nullable=False),
        "flag": pa.Column(
            "boolean", nullable=True, coerce=True,
            description="True if the probability is in the top tenth of the asset's past year; null while that is too short.",
        ),
        "fitted_on": day("Last UTC day in the data that the method was fitted to."),
        "run_type": text(
            "`backtest`: made walking forward from the data loaded now; `live`: made on the day and never changed.",
            "backtest", "live",
        ),
        "plan_hash": _PLAN_HASH,
    },
    unique=["day", "asset", "target", "method", "run_type"],
    strict=True,
    name="regime_forecasts",
    description="Forecasts of the coming week by UTC day, asset, target and method, each from the past of its day alone.",
)  # fmt: skip

EVENTS = pa.DataFrameSchema(
    {
        "asset": _ASSET,
        "target": _TARGET,
        "started_on": day("First UTC day that meets the target's condition."),
        "ended_on": day(f"Last such day; days less than {SAME_EVENT_DAYS} days apart are one event."),
        "deepest_fall": number(
            "Deepest low over the highest close of the week before, less one, fraction, zero or below; null for a cascade.", -1, 0
        ),
        "after_calm": pa.Column(
            bool, coerce=True,
            description=f"True for the first event and for one more than {FRESH_DAYS} days after the end of the last.",
        ),
    },
    unique=["asset", "target", "started_on"],
    strict=True,
    name="regime_events",
    description="Crashes and cascades that happened: the events that forecasts should have warned of.",
)  # fmt: skip

SCORECARD = pa.DataFrameSchema(
    {
        "target": text(
            "As in regime_forecasts; or the truth that the day's own label is compared with. "
            + "; ".join(f"`{t.name}`: {t.description}" for t in NOWCASTS.values())
            + ".",
            *TARGETS,
            *NOWCASTS,
        ),
        "method": text("Forecasting method, or the version of the label rules."),
        "kind": text("Kind of method.", *KINDS, "nowcast"),
        "asset": text("Base asset; `all` pools all assets, `MARKET` is their average as an asset of its own."),
        "auroc": number("Probability that a day before the target got the higher forecast than another day, 0 to 1.", 0, 1),
        "auroc_low": number("Lower bound of the 95 % interval of `auroc`, by a bootstrap of days.", 0, 1),
        "auroc_high": number("Upper bound of that interval.", 0, 1),
        "auroc_within_years": number("`auroc` within each calendar year, averaged by days, 0 to 1.", 0, 1),
        "auroc_over_volatility": number("`auroc` less that of 7-day volatility alone on the same days.", -1, 1),
        "auroc_over_volatility_low": number("Lower bound of the 95 % interval of that difference, paired.", -1, 1),
        "auroc_over_volatility_high": number("Upper bound of that interval.", -1, 1),
        "perp_data_gain": number("`auroc` less that of the nearest method without data of perpetuals.", -1, 1),
        "perp_data_gain_low": number("Lower bound of the 95 % interval of that difference, paired.", -1, 1),
        "perp_data_gain_high": number("Upper bound of that interval.", -1, 1),
        "p_max_t": number("p-value of `auroc_over_volatility` by max-t over all methods of the target.", 0, 1),
        "average_precision": number("Area under the precision-recall curve, 0 to 1; `base_rate` has no skill.", 0, 1),
        "base_rate": number("Share of days that the target followed, 0 to 1.", 0, 1),
        "brier_skill": number("1 less the Brier score over that of climatology; above zero is better."),
        "brier_skill_over_volatility": number("1 less the Brier score over that of 7-day volatility alone."),
        "calibration_bias": number("Mean probability less `base_rate`.", -1, 1),
        "calibration_error": number("Mean distance of probability and frequency over tenths of the probability.", 0, 1),
        "flag_rate": number("Share of days flagged, 0 to 1.", 0, 1),
        "precision": number("Share of flagged days that the target followed, 0 to 1.", 0, 1),
        "p_shifted_flags": number("p-value of `precision`: share of circular shifts of the flags that are as precise.", 0, 1),
        "recall_events": number("Share of events with a flag in the 7 days before; of a nowcast, share of the days.", 0, 1),
        "recall_after_calm": number("The same share for events with `after_calm`.", 0, 1),
        "lead_days": number("Median days from the first flag in the 7 days before an event to the event.", 1, 7, unit="day"),
        "false_alarms_per_year": number(
            f"Alarms (flags less than {SAME_EVENT_DAYS} days apart) without the target, per asset and year; of a nowcast, other "
            "days with the label.",
            0, 366, unit="count",
        ),
        "first_day": day("First UTC day scored."),
        "last_day": day("Last UTC day scored."),
        "days": count("Days scored.", unit="day"),
        "events": count("Events in that time; events of several assets within a week are one."),
        "events_after_calm": count("Events with `after_calm` among them."),
        "methods_tried": count("Methods scored for the target, including nulls."),
        "verdict": text(f"Verdict on the method; `insufficient` under {ENOUGH_EVENTS} events.", *VERDICTS),
        "plan_hash": _PLAN_HASH,
    },
    unique=["target", "method", "asset"],
    strict=True,
    name="regime_scorecard",
    description="Skill of each forecasting method by target and asset, with 95 % intervals and comparison with null methods.",
)  # fmt: skip


def empty(schema: pa.DataFrameSchema) -> pd.DataFrame:
    """A frame without rows that satisfies a schema."""
    return schema.validate(pd.DataFrame({name: pd.Series(dtype=str(column.dtype)) for name, column in schema.columns.items()}))
