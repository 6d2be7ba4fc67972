"""The values of the view of forecasts: today, forecasts over time, scorecard, events, false alarms, the audit of labels.

Everything is read from the marts; nothing is scored here. `context` fills the template, `drawn` is what the page draws.

Alone: ``context(marts := Marts.read(path), backtests(marts))``.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from math import isnan
from typing import Any

import numpy as np
import pandas as pd

from assets.regimes import MARKET, audit, posture
from assets.regimes.forecasts import plan
from assets.regimes.forecasts.plan import POOLED, TARGETS
from assets.regimes.thresholds import RULE_FEATURES
from assets.report.marts import Marts

#: The forecasts that the page shows by day: title, target, method.
HEADLINES = {"risk": ("Risk state", *plan.RISK), "warning": ("Early warning", *plan.WARNING)}
_FALSE_ALARMS_SHOWN = 10


def backtests(marts: Marts) -> dict[str, pd.DataFrame]:
    """The forecasts of each of `HEADLINES` by asset and day."""
    return {name: _backtest(marts, target, method) for name, (_, target, method) in HEADLINES.items()}


def context(marts: Marts, forecasts: dict[str, pd.DataFrame], outcomes: pd.DataFrame) -> dict[str, Any]:
    """The values of `forecasts.html.j2`; empty lists where no run has made forecasts."""
    assets = [*marts.assets, *([MARKET] if (marts.labels["asset"] == MARKET).any() else [])]
    pooled = marts.scorecard[(marts.scorecard["asset"] == POOLED)].sort_values("auroc", ascending=False)
    scores = {target: rows.to_dict("records") for target in TARGETS if len(rows := pooled[pooled["target"] == target])}
    return {
        "outlook": _outlook(marts, assets, forecasts),
        "postures": _postures(marts, assets),
        "posture_rule": posture,
        "scorecard": {target: [row | {"sentence": sentence(row)} for row in rows] for target, rows in scores.items()},
        "methods_without_forecasts": _methods_without_forecasts(marts),
        "nowcasts": _nowcasts(marts, assets),
        "events": _events(marts, assets, forecasts["warning"]),
        "false_alarms": _false_alarms(marts, forecasts["warning"], outcomes),
        "changes": marts.changes[marts.changes["asset"].isin(assets)].sort_values(["asset", "day"]).to_dict("records"),
        "near_changes": marts.changes["days_to_label_change"].le(audit.NEAR_DAYS).mean(),
        "near_by_chance": marts.changes["near_share"].mean(),
        "near_days": audit.NEAR_DAYS,
        "targets": TARGETS,
        "truths": plan.NOWCASTS,
        "headlines": HEADLINES,
        "enough": plan.ENOUGH_EVENTS,
        "features": plan.FEATURES,
        "rule_features": RULE_FEATURES,
    }


def drawn(marts: Marts, forecasts: dict[str, pd.DataFrame], outcomes: pd.DataFrame) -> dict[str, Any]:
    """What the page draws: by asset the probabilities and flags of each headline by day, and the calibration of each."""
    days = pd.DatetimeIndex(marts.series["days"])
    by_asset: dict[str, dict[str, list[float | None]]] = {}
    for name, rows in forecasts.items():
        for asset, own in rows[rows["asset"].isin(marts.assets)].groupby("asset"):
            by_day = own.set_index("day").reindex(days)
            by_asset.setdefault(str(asset), {}).update(
                {
                    f"{name}_probability": [None if isnan(p) else round(p, 4) for p in by_day["probability"]],
                    f"{name}_flag": [None if pd.isna(flag) else int(flag) for flag in by_day["flag"]],
                }
            )
    about = {
        name: {"title": title, "about": f"{TARGETS[target].description} (method {method.replace('_', ' ')})"}
        for name, (title, target, method) in HEADLINES.items()
    }
    return {"forecasts": by_asset, "headlines": about, "calibration": _calibration(forecasts, outcomes)}


def sentence(row: Mapping[Hashable, Any]) -> str:
    """What a row of the scorecard says, in one plain sentence."""
    if isnan(row["auroc"]):
        return "Not scored: the target followed all days or none."
    parts = [f"It gave the higher probability to the day before the target in {row['auroc']:.0%} of pairs of days (chance: 50 %)"]
    parts[0] += _against(row["auroc_over_volatility_low"], row["auroc_over_volatility_high"])
    if not isnan(row["recall_events"]):
        alarms = row["false_alarms_per_year"]
        parts.append(f"its flags came before {row['recall_events']:.0%} of {row['events']:,.0f} events")
        parts[-1] += "" if isnan(alarms) else f", with {alarms:.1f} false alarms a year and asset"
    if row["verdict"] == "insufficient":
        parts.append("too few events to judge")
    return re.sub(r"(?<=\d)%", " %", "; ".join(parts)) + "."


def _against(low: float, high: float) -> str:
    """A difference from 7-day volatility alone by its 95 % interval; empty where it has none, or is that of itself."""
    if isnan(low) or low == high == 0:
        return ""
    better = "better than" if low > 0 else "worse than" if high < 0 else "no better and no worse than"
    return f", {better} 7-day volatility alone"


def _backtest(marts: Marts, target: str, method: str) -> pd.DataFrame:
    """Backtest of one method and target, with `rank`: the share of the asset's past year with a lower probability."""
    rows = marts.forecasts
    rows = rows[(rows["target"] == target) & (rows["method"] == method) & (rows["run_type"] == "backtest")].sort_values("day")
    rank = rows.groupby("asset")["probability"].transform(lambda p: p.rolling(365, min_periods=30).rank(pct=True))
    return rows.assign(rank=rank)


def _outlook(marts: Marts, assets: list[str], forecasts: dict[str, pd.DataFrame]) -> list[dict[Hashable, Any]]:
    """For each asset the last day's label with its reasons, and that day's forecasts."""
    last = marts.labels.sort_values("day").groupby("asset", as_index=False).last()
    for name, rows in forecasts.items():
        columns = rows[["asset", "day", "probability", "flag", "rank"]].add_prefix(f"{name}_")
        last = last.merge(columns.rename(columns={f"{name}_asset": "asset", f"{name}_day": "day"}), "left")
    return [row for asset in assets for row in last[last["asset"] == asset].to_dict("records")]


def _postures(marts: Marts, assets: list[str]) -> list[dict[Hashable, Any]]:
    """The rows of the posture of each asset's last day."""
    last = marts.posture.sort_values("day").groupby("asset").last()
    return last.loc[[asset for asset in assets if asset in last.index]].reset_index().to_dict("records")


def _methods_without_forecasts(marts: Marts) -> list[str]:
    """Methods without any forecast: their inputs are unknown, or too few events have happened."""
    if marts.forecasts.empty:
        return []
    from assets.regimes.forecasts.methods import METHODS  # scikit-learn takes seconds to import

    return sorted(set(METHODS) - set(marts.forecasts["method"]))


def outcomes_of(marts: Marts, forecasts: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """`asset`, `day` and a column for each target (0, 1 or null), as in the scorecard; no rows without forecasts."""
    if all(rows.empty for rows in forecasts.values()):
        return marts.daily[["asset", "day"]].head(0).assign(**dict.fromkeys(TARGETS, np.nan))
    from assets.regimes.forecasts import inputs

    daily = marts.daily.merge(marts.labels[["day", "asset", "label"]], on=["day", "asset"], how="left")
    return inputs.build(daily.reindex(columns=list(inputs.REQUIRED_COLUMNS)))[["asset", "day", *TARGETS]]


def _with_outcome(forecasts: pd.DataFrame, outcomes: pd.DataFrame, target: str) -> pd.DataFrame:
    """Forecasts of the days whose outcome is known, with the outcome in a column named like the target."""
    return forecasts.merge(outcomes[["asset", "day", target]].dropna(), on=["asset", "day"])


def _calibration(forecasts: dict[str, pd.DataFrame], outcomes: pd.DataFrame) -> list[dict[str, Any]]:
    """Frequency of each headline's target by tenths of its probability, all assets pooled; none without enough forecasts."""
    curves: list[dict[str, Any]] = []
    for key, (_, target, _) in HEADLINES.items():
        rows = _with_outcome(forecasts[key][forecasts[key]["asset"] != MARKET], outcomes, target)
        if len(rows) > 10:
            from assets.regimes.forecasts.metrics import reliability

            curve = reliability(rows["probability"].to_numpy(), rows[target].to_numpy(float)).round(4)
            curves.append({"heading": TARGETS[target].description} | {str(name): curve[name].tolist() for name in curve})
    return curves


def _nowcasts(marts: Marts, assets: list[str]) -> list[dict[Hashable, Any]]:
    """Scorecard rows of the day's own label, in the order of `plan.NOWCASTS`, for all assets pooled and for each."""
    rows = marts.scorecard.set_index(["target", "asset"], drop=False)
    order = pd.MultiIndex.from_product([plan.NOWCASTS, [POOLED, *assets]])
    return rows.loc[order[order.isin(rows.index)]].to_dict("records")


def _events(marts: Marts, assets: list[str], forecasts: pd.DataFrame) -> list[dict[Hashable, Any]]:
    """Events of the warning's target, newest first, with the probabilities 1, 3 and 7 days before.

    `flagged` tells whether one of the seven days before had a flag; None where there was no flag yet.
    """
    by_day = forecasts.set_index(["asset", "day"])
    rows = marts.events[(marts.events["target"] == plan.WARNING[0]) & marts.events["asset"].isin(assets)]
    rows = rows.sort_values(["started_on", "asset"], ascending=[False, True])
    known, flagged = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    for days in range(1, plan.HORIZON_DAYS + 1):
        before = by_day.reindex(pd.MultiIndex.from_arrays([rows["asset"], rows["started_on"] - pd.Timedelta(days=days)]))
        known |= before["flag"].notna().to_numpy()
        flagged |= before["flag"].fillna(False).to_numpy(bool)
        if days in (1, 3, 7):
            rows = rows.assign(**{f"before_{days}": before["probability"].to_numpy()})
    return rows.assign(flagged=pd.Series(flagged, rows.index).astype(object).where(known, None)).to_dict("records")


def _false_alarms(marts: Marts, forecasts: pd.DataFrame, outcomes: pd.DataFrame) -> list[dict[str, Any]]:
    """For each asset the days flagged by the warning whose week is over, and those without the target, the last by date."""
    target = plan.WARNING[0]
    flagged = _with_outcome(forecasts[forecasts["flag"].fillna(False).astype(bool)], outcomes, target)
    records = []
    for asset in marts.assets:
        rows = flagged[flagged["asset"] == asset].sort_values("day", ascending=False)
        days = rows.loc[rows[target] == 0, "day"]
        last = [f"{day:%Y-%m-%d}" for day in days[:_FALSE_ALARMS_SHOWN]]
        records.append({"asset": asset, "flagged": len(rows), "false": len(days), "last": last})
    return records
