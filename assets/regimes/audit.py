"""An audit of the labels: the days on which volatility, funding or open interest over volume changed its level.

A change-point detector (PELT, Killick and others 2012, by `ruptures`) uses the days after a change to find it, so it is no label
and no label uses it. It tests whether labels change when the market does. Each row of `regime_changes` has the two levels and the
distance to the nearest change of label; labels that follow the market are near such days more often than days in general.

Alone: ``changes(duckdb.connect(path).sql("from marts.regime_features join marts.regime_labels using (day, asset)").df())``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from assets.regimes import schemas

#: The features audited, and whether by their logarithm.
SERIES = {"realised_vol_7d": True, "funding_8h": False, "oi_to_volume": True}
#: A level lasts at least a fortnight. A change must reduce the squared error, in deviations squared, by `PENALTY` times the
#: logarithm of the number of days.
MIN_LEVEL_DAYS, PENALTY = 14, 6.0
NEAR_DAYS = 3

CHANGES = pa.DataFrameSchema(
    {
        "asset": schemas.text("Base asset; `MARKET` is the average of all assets."),
        "series": schemas.text("The feature whose level changed, a column of regime_features.", *SERIES),
        "day": schemas.day("First UTC day of the new level, found with the days after it."),
        "level_before": schemas.number(
            "Level until then, in the feature's unit: geometric mean, of funding arithmetic mean.",
            unit="in series", nullable=False,
        ),
        "level_after": schemas.number("Level from that day on, in the same unit.", unit="in series", nullable=False),
        "label": schemas.text("The label of that day."),
        "days_to_label_change": schemas.number(
            "Days to the nearest change of label; null where the label never changes.", 0, unit="day"
        ),
        "near_share": schemas.number(
            f"Share of the asset's days within {NEAR_DAYS} days of a change of label, 0 to 1: what chance gives.",
            0, 1, nullable=False,
        ),
    },
    unique=["asset", "series", "day"],
    strict=True,
    name="regime_changes",
    description="Days on which a feature changed its level, found in hindsight: an audit of the labels that no label uses.",
)  # fmt: skip


def changes(rows: pd.DataFrame) -> pd.DataFrame:
    """`regime_changes` of features and labels (`day`, `asset`, `label` and `SERIES`); sorted by its first three columns."""
    records: list[dict[str, Any]] = []
    for asset, group in rows.groupby("asset"):
        group = group.sort_values("day").set_index("day")
        label_changes = group.index[group["label"].ne(group["label"].shift()).to_numpy()][1:]
        distance = _days_to(group.index, label_changes)
        for series, logarithmic in SERIES.items():
            for day, before, after in _levels(group[series].dropna(), logarithmic):
                records.append(
                    {
                        "asset": asset, "series": series, "day": day, "level_before": before, "level_after": after,
                        "label": group.at[day, "label"], "days_to_label_change": distance[day],
                        "near_share": float((distance <= NEAR_DAYS).mean()),
                    }
                )  # fmt: skip
    table = pd.DataFrame(records, columns=list(CHANGES.columns)).sort_values(["asset", "series", "day"], ignore_index=True)
    validated: pd.DataFrame = CHANGES.validate(table)
    return validated


def _levels(values: pd.Series, logarithmic: bool) -> list[tuple[pd.Timestamp, float, float]]:
    """First day, level before and level of each level after the first."""
    from ruptures import KernelCPD

    level = np.log(values.clip(lower=1e-9)) if logarithmic else values
    spread = level.diff().std() * np.sqrt(MIN_LEVEL_DAYS)  # of a fortnight's random walk: a slow drift is no change of level
    if len(values) < 2 * MIN_LEVEL_DAYS or not spread > 0:
        return []
    scaled = (level / spread).to_numpy().reshape(-1, 1)
    ends = KernelCPD(kernel="linear", min_size=MIN_LEVEL_DAYS).fit(scaled).predict(pen=PENALTY * np.log(len(values)))
    parts = np.split(level.to_numpy(), ends[:-1])
    means = [float(np.exp(part.mean()) if logarithmic else part.mean()) for part in parts]
    return [(level.index[end], before, after) for end, before, after in zip(ends[:-1], means, means[1:], strict=False)]


def _days_to(days: pd.Index, label_changes: pd.Index) -> pd.Series:
    """Days from each day to the nearest change of label; null where there is none."""
    if not len(label_changes):
        return pd.Series(np.nan, days)
    gap = np.abs(days.to_numpy()[:, None] - label_changes.to_numpy()[None, :]).min(axis=1)
    return pd.Series(gap / np.timedelta64(1, "D"), days)
