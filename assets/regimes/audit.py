"""An audit of the labels: where volatility, funding and leverage changed their level, by a detector that knows what came after.

A change point is found with what came after it (PELT, Killick and others 2012, by `ruptures`), so it is no label and feeds none:
it asks whether the labels turned when the market did. Rows of `regime_changes` say what changed, from which level to which, and
how far the nearest change of label is; a rule that follows the market has its own near them more often than days in general are.

Alone: ``changes(duckdb.connect(path).sql("from marts.regime_features join marts.regime_labels using (day, asset)").df())``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

#: What is watched, and whether its logarithm is.
WATCHED = {"realised_vol_7d": True, "funding_8h": False, "oi_to_volume": True}
#: No level lasts less than a fortnight; a change must be worth so many times the logarithm of the days, in deviations squared.
LEAST_DAYS, PENALTY = 14, 6.0
NEAR_DAYS = 3

CHANGES = pa.DataFrameSchema(
    {
        "asset": pa.Column(str, coerce=True, description="Base asset, or MARKET, their average."),
        "series": pa.Column(str, pa.Check.isin(list(WATCHED)), coerce=True, description="Which feature changed its level."),
        "day": pa.Column("datetime64[us]", coerce=True, description="The first day of the new level, told in hindsight."),
        "before": pa.Column(float, coerce=True, description="The level until then, own unit: a mean, geometric but of funding."),
        "after": pa.Column(float, coerce=True, description="The level from then on."),
        "label": pa.Column(str, coerce=True, description="The label of that day."),
        "label_days": pa.Column(
            float, nullable=True, coerce=True, description="Days to the nearest change of label; null where there is none."
        ),
        "near_share": pa.Column(
            float, pa.Check.in_range(0, 1), coerce=True,
            description=f"Share of the asset's days within {NEAR_DAYS} days of a change of label: what chance gives.",
        ),
    },
    unique=["asset", "series", "day"],
    strict=True,
    name="regime_changes",
)  # fmt: skip


def changes(rows: pd.DataFrame) -> pd.DataFrame:
    """`regime_changes` of features and labels (`day`, `asset`, `label` and `WATCHED`); sorted by its first three columns."""
    made: list[dict[str, Any]] = []
    for asset, group in rows.groupby("asset"):
        group = group.sort_values("day").set_index("day")
        turns = group.index[group["label"].ne(group["label"].shift()).to_numpy()][1:]
        away = _days_to(group.index, turns)
        for series, logged in WATCHED.items():
            for day, before, after in _levels(group[series].dropna(), logged):
                made.append(
                    {
                        "asset": asset, "series": series, "day": day, "before": before, "after": after,
                        "label": group.at[day, "label"], "label_days": away[day], "near_share": float((away <= NEAR_DAYS).mean()),
                    }
                )  # fmt: skip
    table = pd.DataFrame(made, columns=list(CHANGES.columns)).sort_values(["asset", "series", "day"], ignore_index=True)
    checked: pd.DataFrame = CHANGES.validate(table)
    return checked


def _levels(values: pd.Series, logged: bool) -> list[tuple[pd.Timestamp, float, float]]:
    """The first day of each level but the first, the level before and its own."""
    from ruptures import KernelCPD

    level = np.log(values.clip(lower=1e-9)) if logged else values
    spread = level.diff().std() * np.sqrt(LEAST_DAYS)  # of a fortnight's walk: a slow drift is no change of level
    if len(values) < 2 * LEAST_DAYS or not spread > 0:
        return []
    scaled = (level / spread).to_numpy().reshape(-1, 1)
    ends = KernelCPD(kernel="linear", min_size=LEAST_DAYS).fit(scaled).predict(pen=PENALTY * np.log(len(values)))
    parts = np.split(level.to_numpy(), ends[:-1])
    means = [float(np.exp(part.mean()) if logged else part.mean()) for part in parts]
    return [(level.index[at], one, two) for at, one, two in zip(ends[:-1], means, means[1:], strict=False)]


def _days_to(days: pd.Index, turns: pd.Index) -> pd.Series:
    """Days from each day to the nearest of some days."""
    if not len(turns):
        return pd.Series(np.nan, days)
    distance = np.abs(days.to_numpy()[:, None] - turns.to_numpy()[None, :]).min(axis=1)
    return pd.Series(distance / np.timedelta64(1, "D"), days)
