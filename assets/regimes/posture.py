"""A suggested posture: a cap on leverage and a hedge ratio by a stated rule, and how that rule did. It is no advice.

The rule knows the last week's volatility alone: a move of `MOVE` standard deviations of a week like the last may take `SHARE`
of a position's margin (the cap), and `LOSS` of an unlevered holding (the share of it to hedge). Its score is over all weeks that
are over, with what a fixed leverage of the same average would have done. Alone: ``of(daily_assets, "BTC", day)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan, sqrt

import numpy as np
import pandas as pd

from assets.regimes.forecasts.plan import HORIZON_DAYS

MOVE, SHARE, LOSS = 2.33, 0.5, 0.10


@dataclass(frozen=True)
class Score:
    """Over `weeks` of seven days each (one begins on every day): the share in which the low took more than was meant to.

    `cap` and `fixed` of the margin, at the capped leverage and at its mean; `hedged` and `bare` of the holding.
    """

    weeks: int
    cap: float
    fixed: float
    hedged: float
    bare: float


def score(daily: pd.DataFrame) -> Score | None:
    """Of one asset's daily rows (`day`, `close`, `low`, `realised_vol_7d`); None where no week is over."""
    rows = daily.assign(day=pd.to_datetime(daily["day"])).set_index("day").sort_index().asfreq("D")
    move = MOVE * rows["realised_vol_7d"] * sqrt(HORIZON_DAYS / 365)
    ahead = pd.concat([rows["low"].shift(-n) for n in range(1, HORIZON_DAYS + 1)], axis=1)
    fall = 1 - ahead.min(axis=1, skipna=False) / rows["close"]
    known = fall.notna() & (move > 0)
    if not known.any():
        return None
    fall, cap = fall[known], SHARE / move[known]
    left = np.minimum(1, LOSS / move[known])
    shares = (fall * cap > SHARE, fall * cap.mean() > SHARE, fall * left > LOSS, fall * left.mean() > LOSS)
    return Score(int(known.sum()), *(float(taken.mean()) for taken in shares))


def of(daily: pd.DataFrame, asset: str, day: object) -> str:
    """The posture for an asset by the close of a day, scored on the weeks that were over by then; `daily` has all its rows."""
    rows = daily[(daily["asset"] == asset) & (pd.to_datetime(daily["day"]) <= pd.Timestamp(str(day)))]
    volatility = rows.loc[pd.to_datetime(rows["day"]) == pd.Timestamp(str(day)), "realised_vol_7d"]
    return say(float(volatility.iloc[0]) if len(volatility) else None, score(rows))


def say(volatility: float | None, scored: Score | None) -> str:
    """The posture for a volatility (annualised, fraction), its rule and its score, in sentences."""
    if not volatility or isnan(volatility):
        return "No posture is suggested: the week's volatility is not known."
    move = MOVE * volatility * sqrt(HORIZON_DAYS / 365)
    hedge = max(0.0, 1 - LOSS / move)
    rule = (
        f"By rule, leverage at most {SHARE / move:.1f} and {hedge:.0%} of a holding hedged: a move of {MOVE} standard deviations "
        f"of a week like the last ({move:.0%}) then takes half of the margin, and {LOSS:.0%} of the holding at most."
    )
    if scored is None:
        return f"{rule} The rule knows volatility alone; no week is over to score it. No advice."
    return (
        f"{rule} The rule knows volatility alone. In {scored.weeks:,} overlapping weeks the low took more than half of the "
        f"margin in {scored.cap:.1%} (at a fixed leverage of the same average in {scored.fixed:.1%}), and more than "
        f"{LOSS:.0%} of the hedged holding in {scored.hedged:.1%} (hedged by a fixed share: {scored.bare:.1%}). No advice."
    )
