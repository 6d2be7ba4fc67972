"""A suggested posture: a cap on leverage and a hedge ratio by a fixed rule, and how the rule performed. It is no advice.

The rule reads the volatility of the last week alone. A move of `MOVE` standard deviations of such a week may take
`MARGIN_SHARE` of a position's margin (this gives the cap), and `HOLDING_LOSS` of an unlevered holding (this gives the share to
hedge). The score of a day covers all weeks that were over by then (seven days each; one begins on every day), and compares with
a fixed leverage and a fixed hedge of the same average.

    daily rows ──► build ──► marts.regime_posture ──► describe: a row in sentences

Alone: ``build(daily)`` with rows of all assets (`asset`, `day`, `close`, `low`, `realised_vol_7d`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from math import sqrt
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pandera.pandas as pa

from assets.regimes.forecasts.plan import HORIZON_DAYS
from assets.regimes.schemas import ASSET, KEY, KNOWN_AT, count, day, number

MOVE, MARGIN_SHARE, HOLDING_LOSS = 2.33, 0.5, 0.10

_OF_WEEKS = "Share of `weeks` in which the low took more than"
_MARGIN = f"{_OF_WEEKS} {MARGIN_SHARE:.0%} of the margin, fraction"
_HOLDING = f"{_OF_WEEKS} {HOLDING_LOSS:.0%} of the holding, fraction"
POSTURE = pa.DataFrameSchema(
    {
        "day": day("UTC day."),
        "asset": ASSET,
        "known_at": KNOWN_AT,
        "volatility_7d": number(
            "Realised volatility of 7 days that the rule reads, annualised fraction.", 0, unit="1 per sqrt(year)"
        ),
        "move_7d": number(f"A move of {MOVE} standard deviations of a week of this volatility, fraction of the price.", 0),
        "max_leverage": number(f"The most leverage: `move_7d` takes {MARGIN_SHARE:.0%} of the margin.", 0),
        "hedge_ratio": number(f"Share of a holding to hedge: of the rest, `move_7d` takes {HOLDING_LOSS:.0%} of it.", 0, 1),
        "weeks": count("Overlapping weeks that were over by the day, and whose volatility and lows are known."),
        "margin_breaches": number(f"{_MARGIN}, at the suggested leverage. Null: no such week.", 0, 1),
        "margin_breaches_fixed": number(f"{_MARGIN}, at a fixed leverage of the same average.", 0, 1),
        "holding_breaches": number(f"{_HOLDING}, with the suggested hedge.", 0, 1),
        "holding_breaches_fixed": number(f"{_HOLDING}, with a fixed hedge of the same average.", 0, 1),
    },
    unique=KEY,
    strict=True,
    name="regime_posture",
    description=(
        "A suggested posture by UTC day and asset: a cap on leverage and a share to hedge by a fixed rule of the last week's "
        "volatility, and how often the rule was broken in the weeks that were over by that day. Null: that volatility is "
        "unknown. No advice."
    ),
)


def build(daily: pd.DataFrame, since: date = date.min) -> pd.DataFrame:
    """`regime_posture` without `known_at`, for the rows given from a day on, sorted by day and asset.

    The score of a day reads all weeks that were over by then, so the rows before `since` have to be given, too.
    """
    rows = daily.assign(day=pd.to_datetime(daily["day"])).set_index(KEY).sort_index()
    volatility, low, close = (rows[name].unstack("asset").asfreq("D") for name in ("realised_vol_7d", "low", "close"))
    move = MOVE * volatility.where(volatility > 0) * sqrt(HORIZON_DAYS / 365)
    leverage = MARGIN_SHARE / move
    hedge = (1 - HOLDING_LOSS / move).clip(lower=0.0)
    # What a day's score adds: the week that began `HORIZON_DAYS` before it.
    fall = 1 - low.rolling(HORIZON_DAYS).min() / close.shift(HORIZON_DAYS)
    fall = fall.where(move.shift(HORIZON_DAYS).notna())
    weeks = fall.notna().cumsum()
    columns = {
        "volatility_7d": volatility,
        "move_7d": move,
        "max_leverage": leverage,
        "hedge_ratio": hedge,
        "weeks": weeks,
    }
    for name, exposure, limit in (("margin", leverage, MARGIN_SHARE), ("holding", 1 - hedge, HOLDING_LOSS)):
        taken = exposure.shift(HORIZON_DAYS).where(fall.notna())
        columns[f"{name}_breaches"] = (fall * taken > limit).cumsum() / weeks.where(weeks > 0)
        columns[f"{name}_breaches_fixed"] = _of_mean(fall, weeks, limit * weeks / taken.fillna(0.0).cumsum(), since)
    given = rows.index[pd.DatetimeIndex(rows.index.get_level_values("day")).date >= since]
    at = move.index.get_indexer(given.get_level_values("day")), move.columns.get_indexer(given.get_level_values("asset"))
    return pd.DataFrame({name: frame.to_numpy()[at] for name, frame in columns.items()}, index=given).reset_index()


def _of_mean(fall: pd.DataFrame, weeks: pd.DataFrame, limits: pd.DataFrame, since: date) -> pd.DataFrame:
    """By day from `since` on and asset: the share of the weeks by then whose fall was deeper than that day's limit."""
    falls, deepest = fall.to_numpy(), limits.to_numpy()
    deeper = np.zeros(falls.shape)
    for n in np.flatnonzero(pd.DatetimeIndex(fall.index).date >= since):
        deeper[n] = np.count_nonzero(falls[: n + 1] > deepest[n], axis=0)
    return pd.DataFrame(deeper, fall.index, fall.columns) / weeks.where(weeks > 0)


def of(db: duckdb.DuckDBPyConnection, asset: str, day: object) -> str:
    """The posture of an asset by the close of a day, in sentences, from `marts.regime_posture`."""
    found = db.execute("FROM marts.regime_posture WHERE asset = ? AND day = ?", [asset, day])
    names, row = [column[0] for column in found.description], found.fetchone()
    return describe(dict(zip(names, row, strict=True)) if row else {})


def describe(row: Mapping[Any, Any]) -> str:
    """A row of `regime_posture`, the rule and its score, in sentences."""
    if pd.isna(row.get("max_leverage")):
        return "No posture is suggested: the volatility of the last week is unknown."
    rule = (
        f"Rule: leverage of at most {row['max_leverage']:.1f} and {row['hedge_ratio']:.0%} of a holding hedged. A move of {MOVE} "
        f"standard deviations of a week like the last ({row['move_7d']:.0%}) then takes half of the margin, and at most "
        f"{HOLDING_LOSS:.0%} of the holding. The rule reads volatility alone."
    )
    if not row["weeks"]:
        return f"{rule} It has no score yet: no week is over. No advice."
    return (
        f"{rule} In {row['weeks']:,} overlapping weeks the low took more than half of the margin in {row['margin_breaches']:.1%} "
        f"(with a fixed leverage of the same average: {row['margin_breaches_fixed']:.1%}), and more than {HOLDING_LOSS:.0%} of "
        f"the hedged holding in {row['holding_breaches']:.1%} (with a fixed hedge of the same average: "
        f"{row['holding_breaches_fixed']:.1%}). No advice."
    )
