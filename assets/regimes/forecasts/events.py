"""The events that forecasts should have warned of: crashes and cascades, and the list of documented crash days.

Alone: ``find_events(inputs.build(rows))``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from assets.regimes.forecasts import plan
from assets.regimes.forecasts.plan import STATE, TARGETS
from assets.regimes.forecasts.schemas import EVENTS


def find_events(frame: pd.DataFrame) -> pd.DataFrame:
    """`regime_events` of a frame of `inputs.build`; columns and units are those of `schemas.EVENTS`.

    A crash day has its low `depth` under the highest close of the week before. Days less than `plan.SAME_EVENT_DAYS` apart are
    one event.
    """
    records: list[dict[str, Any]] = []
    for asset, rows in frame.groupby("asset") if len(frame) else []:
        rows = rows.set_index("day")
        highest = rows["close"].rolling(plan.HORIZON_DAYS, min_periods=1).max().shift()
        fall = rows["low"] / highest - 1
        for target in TARGETS.values():
            if target.name == STATE:
                continue
            is_hit = rows["label"].eq("cascade") if target.depth is None else rows["low"] <= highest * (1 - target.depth)
            last_end: pd.Timestamp | None = None
            for days in _episodes(pd.DatetimeIndex(rows.index[is_hit])):
                records.append(
                    {
                        "asset": asset,
                        "target": target.name,
                        "started_on": days[0],
                        "ended_on": days[-1],
                        "deepest_fall": None if target.depth is None else float(fall[days].min()),
                        "after_calm": last_end is None or (days[0] - last_end).days > plan.FRESH_DAYS,
                    }
                )
                last_end = days[-1]
    return pd.DataFrame(records, columns=list(EVENTS.columns)).sort_values(["asset", "target", "started_on"], ignore_index=True)


def _episodes(days: pd.DatetimeIndex) -> list[pd.DatetimeIndex]:
    """Sorted days in groups; a gap of `plan.SAME_EVENT_DAYS` or more begins a new one."""
    number = (days.to_series().diff() >= pd.Timedelta(days=plan.SAME_EVENT_DAYS)).cumsum().to_numpy()
    return [days[number == n] for n in range(number[-1] + 1)] if len(days) else []


def count_episodes(starts: pd.Series) -> int:
    """Number of events in time: starts in several assets less than `plan.SAME_EVENT_DAYS` apart are one."""
    return len(_episodes(pd.DatetimeIndex(starts.sort_values())))


def documented_crashes() -> pd.DataFrame:
    """The list of documented crash days: `day`, `event`, `source` (an address)."""
    return pd.read_csv(Path(__file__).parent / "documented.csv", parse_dates=["day"])
