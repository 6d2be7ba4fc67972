"""A suggested posture: a cap on leverage and a hedge ratio by a fixed rule, and how the rule performed. It is no advice.

The rule reads the volatility of the last week alone. A move of `MOVE` standard deviations of such a week may take
`MARGIN_SHARE` of a position's margin (this gives the cap), and `HOLDING_LOSS` of an unlevered holding (this gives the share to
hedge). The score covers all weeks that are over, and compares with a fixed leverage and a fixed hedge of the same average.

Alone: ``suggest(daily_assets, "BTC", day)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan, sqrt

import numpy as np
import pandas as pd

from assets.regimes.forecasts.plan import HORIZON_DAYS

MOVE, MARGIN_SHARE, HOLDING_LOSS = 2.33, 0.5, 0.10


@dataclass(frozen=True)
class Score:
    """Shares of `weeks` (seven days each; one begins on every day) in which the low took more than the rule allows.

    `capped` and `fixed_leverage`: more than `MARGIN_SHARE` of the margin, at the capped leverage and at its mean. `hedged` and
    `fixed_hedge`: more than `HOLDING_LOSS` of the holding, with the suggested hedge and with its mean.
    """

    weeks: int
    capped: float
    fixed_leverage: float
    hedged: float
    fixed_hedge: float


def suggest(daily: pd.DataFrame, asset: str, day: object) -> str:
    """The posture for an asset by the close of a day, scored on the weeks that were over by then.

    `daily` holds the rows of all assets (`asset`, `day`, `close`, `low`, `realised_vol_7d`).
    """
    rows = daily[(daily["asset"] == asset) & (pd.to_datetime(daily["day"]) <= pd.Timestamp(str(day)))]
    volatility = rows.loc[pd.to_datetime(rows["day"]) == pd.Timestamp(str(day)), "realised_vol_7d"]
    return describe(float(volatility.iloc[0]) if len(volatility) else None, score(rows))


def score(daily: pd.DataFrame) -> Score | None:
    """Score of one asset's daily rows (`day`, `close`, `low`, `realised_vol_7d`); None where no week is over."""
    rows = daily.assign(day=pd.to_datetime(daily["day"])).set_index("day").sort_index().asfreq("D")
    move = MOVE * rows["realised_vol_7d"] * sqrt(HORIZON_DAYS / 365)
    lows = pd.concat([rows["low"].shift(-n) for n in range(1, HORIZON_DAYS + 1)], axis=1)
    fall = 1 - lows.min(axis=1, skipna=False) / rows["close"]
    known = fall.notna() & (move > 0)
    if not known.any():
        return None
    fall, leverage = fall[known], MARGIN_SHARE / move[known]
    unhedged = np.minimum(1, HOLDING_LOSS / move[known])
    breaches = (
        fall * leverage > MARGIN_SHARE,
        fall * leverage.mean() > MARGIN_SHARE,
        fall * unhedged > HOLDING_LOSS,
        fall * unhedged.mean() > HOLDING_LOSS,
    )
    return Score(int(known.sum()), *(float(breach.mean()) for breach in breaches))


def limits(volatility: float) -> tuple[float, float] | None:
    """The most leverage, and the share of a holding to hedge, for a volatility (annualised, fraction); None if unknown."""
    if not volatility or isnan(volatility):
        return None
    move = _move(volatility)
    return MARGIN_SHARE / move, max(0.0, 1 - HOLDING_LOSS / move)


def _move(volatility: float) -> float:
    """A move of `MOVE` standard deviations of a week, fraction."""
    return MOVE * volatility * sqrt(HORIZON_DAYS / 365)


def describe(volatility: float | None, score: Score | None) -> str:
    """The posture for a volatility (annualised, fraction), the rule and its score, in sentences."""
    if volatility is None or (found := limits(volatility)) is None:
        return "No posture is suggested: the volatility of the last week is unknown."
    leverage, hedge = found
    rule = (
        f"Rule: leverage of at most {leverage:.1f} and {hedge:.0%} of a holding hedged. A move of {MOVE} standard deviations of "
        f"a week like the last ({_move(volatility):.0%}) then takes half of the margin, and at most {HOLDING_LOSS:.0%} of the "
        f"holding. The rule reads volatility alone."
    )
    if score is None:
        return f"{rule} It has no score yet: no week is over. No advice."
    return (
        f"{rule} In {score.weeks:,} overlapping weeks the low took more than half of the margin in {score.capped:.1%} (with a "
        f"fixed leverage of the same average: {score.fixed_leverage:.1%}), and more than {HOLDING_LOSS:.0%} of the hedged "
        f"holding in {score.hedged:.1%} (with a fixed hedge of the same average: {score.fixed_hedge:.1%}). No advice."
    )
