"""Statistics of the scorecard: AUROC with draws of a bootstrap, intervals, calibration, max-t. They know no method and no table.

Daily rows of a seven-day target overlap, so an interval is Student's t for the number of events times the standard deviation over
a stationary bootstrap of whole days of all assets (Politis and Romano 1994, by `arch`); that of a difference uses the same
draws for both sides.

Alone: ``metrics.auroc(np.array([0.1, 0.9]), np.array([0.0, 1.0]))``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from assets.regimes.forecasts import plan


@dataclass(frozen=True)
class Estimate:
    """A statistic, or a difference of two, with its values in the bootstrap's draws."""

    value: float
    draws: np.ndarray

    def __sub__(self, other: Estimate) -> Estimate:
        return Estimate(self.value - other.value, self.draws - other.draws)


UNKNOWN = Estimate(np.nan, np.array([np.nan]))


def auroc(probability: np.ndarray, outcome: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Probability that a day with the outcome got the higher forecast than a day without it; ties count half.

    `outcome` (0 or 1) and `weights` are by row, or draws x rows; returns a value for each draw. NaN where one of the classes has
    no weight. Mann and Whitney 1947, by sums over distinct probabilities.
    """
    weights = np.ones((1, len(probability))) if weights is None else weights
    _, place = np.unique(probability, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    yes, no = (np.add.reduceat((weights * side)[:, order], starts, axis=1) for side in (outcome, 1 - outcome))
    below = np.cumsum(no, axis=1) - no / 2
    total = yes.sum(axis=1) * no.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        area: np.ndarray = np.where(total > 0, (yes * below).sum(axis=1) / total, np.nan)
    return area


def auroc_within_years(years: np.ndarray, probability: np.ndarray, outcome: np.ndarray) -> float:
    """Mean AUROC of the calendar years that have both outcomes, weighted by their days.

    A forecast that only separates volatile years from calm ones has 0.5 here.
    """
    values, days = [], []
    for year in np.unique(years):
        rows = years == year
        value = float(auroc(probability[rows], outcome[rows])[0])
        if not np.isnan(value):
            values.append(value)
            days.append(int(rows.sum()))
    return float(np.average(values, weights=days)) if values else np.nan


def bootstrap_weights(days: pd.Series) -> np.ndarray:
    """How often each row is drawn (draws x rows), in blocks of days, all assets of a day together."""
    from arch.bootstrap import StationaryBootstrap

    place, distinct = pd.factorize(days, sort=True)
    if len(distinct) < 2:
        return np.ones((1, len(days)))
    sampler = StationaryBootstrap(min(plan.BLOCK_DAYS, len(distinct)), np.arange(len(distinct)), seed=plan.SEED)
    counts = np.stack([np.bincount(drawn[0][0], minlength=len(distinct)) for drawn in sampler.bootstrap(plan.DRAWS)])
    return counts[:, place].astype(float)


def circular_shifts(index: pd.Index, outcome: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes of rows (`day`, `asset`) shifted around the calendar, all assets together, and which rows then have one.

    Both are draws x rows; without draws where the calendar is too short to shift.
    """
    wide = pd.Series(outcome, index).unstack("asset")
    place = wide.index.get_indexer(index.get_level_values("day")), wide.columns.get_indexer(index.get_level_values("asset"))
    if len(wide) < 3 * plan.BLOCK_DAYS:
        return np.empty((0, len(index))), np.empty((0, len(index)))
    shifts = np.random.default_rng(plan.SEED).integers(plan.BLOCK_DAYS, len(wide) - plan.BLOCK_DAYS, plan.DRAWS)
    shifted = np.stack([np.roll(wide.to_numpy(), shift, axis=0)[place] for shift in shifts])
    return np.nan_to_num(shifted), (~np.isnan(shifted)).astype(float)


def interval(estimate: Estimate, events: int, low: float, *other_draws: np.ndarray) -> tuple[float, float]:
    """95 % interval of an estimate, between `low` and 1. Other draws of it may widen the interval."""
    deviations = [np.nanstd(draws) for draws in (estimate.draws, *other_draws) if np.isfinite(draws).any()]
    if np.isnan(estimate.value) or not deviations:
        return np.nan, np.nan
    half = stats.t.ppf(0.975, max(events, 3) - 1) * max(deviations)
    return max(low, estimate.value - half), min(1.0, estimate.value + half)


def max_t(gains: dict[str, Estimate]) -> dict[str, float]:
    """p-value of each gain against the best of all: how often the largest centred t of a draw reaches its t (White 2000)."""
    deviation = {m: float(np.nanstd(g.draws)) if np.isfinite(g.draws).any() else 0.0 for m, g in gains.items()}
    usable = [m for m in gains if deviation[m] > 0]
    if not usable:
        return {}
    centred = np.stack([(gains[m].draws - np.nanmean(gains[m].draws)) / deviation[m] for m in usable])
    largest = np.nanmax(np.nan_to_num(centred, nan=-np.inf), axis=0)
    return {m: float((largest >= gains[m].value / deviation[m]).mean()) for m in usable}


def brier_skill(probability: np.ndarray, reference: np.ndarray, outcome: np.ndarray) -> float:
    """1 less the Brier score over that of a reference; NaN where the reference's is zero."""
    score, reference_score = ((p - outcome) ** 2 for p in (probability, reference))
    return float(1 - score.mean() / reference_score.mean()) if reference_score.mean() > 0 else np.nan


def reliability(probability: np.ndarray, outcome: np.ndarray) -> pd.DataFrame:
    """By tenths of the probability: its mean (`probability`), the share of days with the outcome (`frequency`), and `days`."""
    tenths = [rows for rows in np.array_split(np.argsort(probability, kind="stable"), 10) if len(rows)]
    return pd.DataFrame([{"probability": probability[t].mean(), "frequency": outcome[t].mean(), "days": len(t)} for t in tenths])


def calibration_error(probability: np.ndarray, outcome: np.ndarray) -> float:
    """Mean distance of probability and frequency over tenths of the probability."""
    curve = reliability(probability, outcome)
    return float(np.average((curve["probability"] - curve["frequency"]).abs(), weights=curve["days"]))
