"""What the page of regimes shows: today, the history of what was said, the scorecard, events, false alarms, the audit.

Everything is read from the marts; nothing is scored here. `context(marts)` gives the template its values.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from assets.regimes import MARKET, audit, posture, with_market
from assets.regimes.forecasts import plan
from assets.regimes.forecasts.plan import POOLED
from assets.regimes.thresholds import READABLE
from assets.report import figure
from assets.report.marts import Marts

_TENTHS = 10


def context(marts: Marts, caption: str) -> dict[str, Any]:
    """The values of `regimes.html.j2`; empty lists where no run has made forecasts."""
    assets = [*marts.assets, *([MARKET] if (marts.labels["asset"] == MARKET).any() else [])]
    said = {name: _said(marts, *of) for name, of in {"risk": plan.RISK, "warning": plan.WARNING}.items()}
    drawn = [asset for asset in assets if (said["warning"]["asset"] == asset).any() or (said["risk"]["asset"] == asset).any()]
    came = _came(marts, said)
    pooled = marts.scorecard[(marts.scorecard["asset"] == POOLED)].sort_values("auroc", ascending=False)
    return {
        "outlook": _outlook(marts, assets, said),
        "histories": {asset: figure.png(_history(marts, asset, said, caption)) for asset in drawn},
        "scorecard": {
            target: rows.to_dict("records") for target in plan.TARGETS if len(rows := pooled[pooled["target"] == target])
        },
        "silent": _silent(marts),
        "calibration": _calibration(marts, said, came, caption),
        "nowcasts": _nowcasts(marts, assets),
        "events": _events(marts, assets, said["warning"]),
        "wolf": _cried_wolf(marts, said["warning"], came),
        "changes": marts.changes[marts.changes["asset"].isin(assets)].sort_values(["asset", "day"]).to_dict("records"),
        "near": _near(marts.changes),
        "near_days": audit.NEAR_DAYS,
        "targets": plan.TARGETS,
        "truths": plan.NOWCASTS,
        "risk": plan.RISK,
        "warning": plan.WARNING,
        "enough": plan.ENOUGH_EVENTS,
        "features": plan.FEATURES,
        "readable": READABLE,
    }


def _said(marts: Marts, target: str, method: str) -> pd.DataFrame:
    """What a method said of a target in the backtest, with its rank in the asset's own past year."""
    rows = marts.forecasts
    rows = rows[(rows["target"] == target) & (rows["method"] == method) & (rows["run_type"] == "backtest")].sort_values("day")
    rank = rows.groupby("asset")["probability"].transform(lambda p: p.rolling(365, min_periods=30).rank(pct=True))
    return rows.assign(rank=rank)


def _outlook(marts: Marts, assets: list[str], said: dict[str, pd.DataFrame]) -> list[dict[Hashable, Any]]:
    """Per asset the last day's label and why, and what was said of the coming week on that day."""
    last = marts.labels.sort_values("day").groupby("asset", as_index=False).last()
    for name, rows in said.items():
        told = rows[["asset", "day", "probability", "flag", "rank"]]
        last = last.merge(told.add_prefix(f"{name}_").rename(columns={f"{name}_asset": "asset", f"{name}_day": "day"}), "left")
    daily = with_market(marts.daily)
    made = []
    for asset in assets:
        for row in last[last["asset"] == asset].to_dict("records"):
            made.append({**row, "posture": posture.suggest(daily, asset, row["day"])})
    return made


def _history(marts: Marts, asset: str, said: dict[str, pd.DataFrame], caption: str) -> Figure:
    """The two probabilities of an asset over time, its flags, and the events of the warning."""
    events = marts.events[(marts.events["asset"] == asset) & (marts.events["target"] == plan.WARNING[0])]
    of = {name: rows[rows["asset"] == asset] for name, rows in said.items()}
    titles = {
        "risk": f"Risk state: {plan.TARGETS[plan.RISK[0]].what} ({plan.RISK[1].replace('_', ' ')})",
        "warning": f"Early warning: {plan.TARGETS[plan.WARNING[0]].what} ({plan.WARNING[1].replace('_', ' ')})",
    }
    return figure.history(asset, of, titles, events, caption, synthetic=marts.synthetic)


def _silent(marts: Marts) -> list[str]:
    """The methods that said nothing: what they read is not known, or too little had happened."""
    if marts.forecasts.empty:
        return []
    from assets.regimes.forecasts.methods import METHODS  # seconds of imports, for those who have forecasts

    spoke = set(marts.forecasts["method"])
    return [name for name in METHODS if name not in spoke]


def _calibration(marts: Marts, said: dict[str, pd.DataFrame], came: pd.DataFrame, caption: str) -> bytes | None:
    """Of both spoken methods, pooled: how often the target came by tenths of its probability."""
    if all(rows.empty for rows in said.values()):
        return None
    from assets.regimes.forecasts.score import reliability  # seconds of imports, for those who have forecasts

    curves = {}
    for name, (target, _) in {"risk": plan.RISK, "warning": plan.WARNING}.items():
        rows = _known(said[name][said[name]["asset"] != MARKET], came, target)
        if len(rows) > _TENTHS:
            curves[plan.TARGETS[target].what] = reliability(rows["probability"].to_numpy(), rows[target].to_numpy(float))
    return figure.png(figure.calibration(curves, caption, synthetic=marts.synthetic)) if curves else None


def _came(marts: Marts, said: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """`asset`, `day` and a column for each target (0, 1 or null), as the scorecard has them; no rows where nothing was said."""
    if all(rows.empty for rows in said.values()):
        return marts.daily[["asset", "day"]].head(0).assign(**dict.fromkeys(plan.TARGETS, np.nan))
    from assets.regimes.forecasts import inputs

    markets = marts.daily.merge(marts.labels[["day", "asset", "label"]], on=["day", "asset"], how="left")
    return inputs.build(markets.reindex(columns=list(inputs.NEEDS)))[["asset", "day", *plan.TARGETS]]


def _known(said: pd.DataFrame, came: pd.DataFrame, target: str) -> pd.DataFrame:
    """What was said on the days of which it is known whether the target came, with that."""
    return said.merge(came[["asset", "day", target]].dropna(), on=["asset", "day"])


def _nowcasts(marts: Marts, assets: list[str]) -> list[dict[Hashable, Any]]:
    rows = marts.scorecard[marts.scorecard["target"].isin(list(plan.NOWCASTS))]
    return rows[rows["asset"].isin([POOLED, *assets])].to_dict("records")


def _events(marts: Marts, assets: list[str], said: pd.DataFrame) -> list[dict[Hashable, Any]]:
    """Every event of the warning's target, with the probability that was given 1, 3 and 7 days before; the newest first."""
    told = said.set_index(["asset", "day"])
    rows = marts.events[(marts.events["target"] == plan.WARNING[0]) & marts.events["asset"].isin(assets)]
    rows = rows.sort_values(["started_on", "asset"], ascending=[False, True])
    spoke, flagged = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    for days in range(1, plan.HORIZON_DAYS + 1):
        at = told.reindex(pd.MultiIndex.from_arrays([rows["asset"], rows["started_on"] - pd.Timedelta(days=days)]))
        spoke |= at["flag"].notna().to_numpy()
        flagged |= at["flag"].fillna(False).to_numpy(bool)
        if days in (1, 3, 7):
            rows = rows.assign(**{f"before_{days}": at["probability"].to_numpy()})
    told_of = pd.Series(flagged, rows.index).astype(object).where(spoke, None)
    return rows.assign(flagged=told_of).to_dict("records")


def _cried_wolf(marts: Marts, said: pd.DataFrame, came: pd.DataFrame) -> list[dict[str, Any]]:
    """The warning's flags whose week brought no such low: per asset how many of those that are over, and the last of them."""
    target = plan.WARNING[0]
    flagged = _known(said[said["flag"].fillna(False).astype(bool)], came, target)
    made = []
    for asset in marts.assets:
        rows = flagged[flagged["asset"] == asset].sort_values("day", ascending=False)
        false = rows.loc[rows[target] == 0, "day"]
        made.append({"asset": asset, "flags": len(rows), "false": len(false), "last": [f"{day:%Y-%m-%d}" for day in false[:10]]})
    return made


def _near(changes: pd.DataFrame) -> dict[str, float]:
    """The share of changes of level near a change of label, and of days in general."""
    near = changes["label_days"].le(audit.NEAR_DAYS).mean()
    return {"near": float(near), "chance": float(changes["near_share"].mean())}
