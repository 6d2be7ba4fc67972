"""The shapes of the three tables of forecasts (pandera): every column with its unit. Days are UTC calendar days as naive
midnights.
"""

from __future__ import annotations

import pandas as pd
import pandera.pandas as pa

from assets.regimes.forecasts.plan import NOWCASTS, TARGETS

VERDICTS = (
    "insufficient", "a null", "adds to volatility alone", "less than volatility alone", "adds nothing over volatility",
    "too good: taken for a bug until shown otherwise", "a nowcast",
)  # fmt: skip


def _text(description: str, *allowed: str) -> pa.Column:
    return pa.Column(str, pa.Check.isin(allowed) if allowed else None, coerce=True, description=description)


def _day(description: str) -> pa.Column:
    return pa.Column("datetime64[us]", coerce=True, description=description)


def _number(description: str, low: float | None = None, high: float | None = None) -> pa.Column:
    check = None if low is None else pa.Check.in_range(low, high)
    return pa.Column(float, check, nullable=True, coerce=True, description=description)


def _count(description: str) -> pa.Column:
    return pa.Column(int, pa.Check.ge(0), coerce=True, description=description)


_TARGET = _text("What the coming week brings or doesn't: " + "; ".join(f"{t.name}: {t.what}" for t in TARGETS.values()), *TARGETS)

FORECASTS = pa.DataFrameSchema(
    {
        "day": _day("The day by whose close this was known."),
        "asset": _text("Base asset."),
        "target": _TARGET,
        "method": _text("Who says it: see `assets/regimes/forecasts/methods.py`."),
        "kind": _text("What kind of method it is.", "null", "rule", "volatility", "state", "learned"),
        "horizon_days": _count("Days ahead, the day itself left out."),
        "probability": pa.Column(float, pa.Check.in_range(0, 1), coerce=True, description="Of the target, 0 to 1."),
        "flag": pa.Column(
            "boolean",
            nullable=True,
            coerce=True,
            description="In the top tenth of its own past year; null while it is short.",
        ),
        "fitted_on": _day("The last day that the fit had learnt from."),
        "run_type": _text("`backtest`: made walking forward from what is held now; `live`: said on the day.", "backtest", "live"),
        "plan_hash": _text("Of the code and settings that made it."),
    },
    unique=["day", "asset", "target", "method", "run_type"],
    strict=True,
    name="regime_forecasts",
)

EVENTS = pa.DataFrameSchema(
    {
        "asset": _text("Base asset."),
        "target": _TARGET,
        "started_on": _day("The first day that triggered it."),
        "ended_on": _day("The last such day less than a week after the one before."),
        "worst": _number("The deepest low under the highest close of the week before, fraction; null for a cascade.", -1, 0),
        "fresh": pa.Column(bool, coerce=True, description="NextPage than 30 days after the last one ended, or the first."),
    },
    unique=["asset", "target", "started_on"],
    strict=True,
    name="regime_events",
)

SCORECARD = pa.DataFrameSchema(
    {
        "target": _text(
            "As in regime_forecasts; or what the day's own label is held against: "
            + "; ".join(f"{t.name}: {t.what}" for t in NOWCASTS.values()),
            *TARGETS,
            *NOWCASTS,
        ),
        "method": _text("The method."),
        "kind": _text("Its kind."),
        "asset": _text("Base asset; `all` is pooled over them, `MARKET` is their average as an asset of its own."),
        "auroc": _number("Chance that a day before the target had the higher probability than one that wasn't.", 0, 1),
        "auroc_low": _number("2.5 % bound: see `assets/regimes/forecasts/score.py`.", 0, 1),
        "auroc_high": _number("97.5 % bound.", 0, 1),
        "auroc_within_years": _number("The same within each calendar year, averaged by days.", 0, 1),
        "auroc_over_volatility": _number("Less that of 7-day volatility alone.", -1, 1),
        "over_low": _number("2.5 % bound of that difference, paired.", -1, 1),
        "over_high": _number("97.5 % bound.", -1, 1),
        "perps_add": _number("AUROC less that of the nearest method that knows nothing of perpetuals alone.", -1, 1),
        "perps_add_low": _number("2.5 % bound of that difference, paired.", -1, 1),
        "perps_add_high": _number("97.5 % bound.", -1, 1),
        "p_best": _number("Max-t p-value of that difference over all methods tried for the target.", 0, 1),
        "average_precision": _number("Area under precision and recall, to be held against base_rate.", 0, 1),
        "base_rate": _number("Share of days whose week brought it.", 0, 1),
        "brier_skill": _number("1 - Brier score over that of climatology."),
        "brier_skill_over_volatility": _number("1 - Brier score over that of 7-day volatility alone."),
        "calibration": _number("Mean probability less base_rate.", -1, 1),
        "calibration_error": _number("Mean distance of probability and rate over tenths of the probability.", 0, 1),
        "flag_rate": _number("Share of days flagged.", 0, 1),
        "precision": _number("Share of flagged days whose week brought it.", 0, 1),
        "p_shifted": _number("How often the same flags, turned round the calendar, were as precise.", 0, 1),
        "recall_events": _number("Share of events with a flag in the 7 days before; of a nowcast, of the days themselves.", 0, 1),
        "recall_fresh": _number("The same of fresh events.", 0, 1),
        "lead_days": _number("Median days from the first flag of that week to the event.", 1, 7),
        "false_alarms_per_year": _number(
            "Alarms (flags less than a week apart) that nothing followed, per asset; of a nowcast, other days on which it fires.",
            0,
            366,
        ),
        "first_day": _day("The first day scored."),
        "last_day": _day("The last."),
        "days": _count("Days scored."),
        "events": _count("Events in that time; what befalls several assets within a week is one."),
        "fresh_events": _count("Fresh ones among them."),
        "methods_tried": _count("Methods scored for the target, nulls among them."),
        "verdict": _text("What may be said of it, and no more.", *VERDICTS),
        "plan_hash": _text("Of the code and settings."),
    },
    unique=["target", "method", "asset"],
    strict=True,
    name="regime_scorecard",
)


def empty(schema: pa.DataFrameSchema) -> pd.DataFrame:
    """A frame of a schema without rows."""
    return schema.validate(pd.DataFrame({name: pd.Series(dtype=str(column.dtype)) for name, column in schema.columns.items()}))
