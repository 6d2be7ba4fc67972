"""How good forecasts and labels were: events, and a scorecard with intervals that know that days overlap.

Daily rows of a seven-day target overlap, so intervals come from a stationary bootstrap of whole days over all assets (Politis and
Romano 1994, by `arch`), differences to volatility alone from the same draws, and the best of many variants is judged by its
max-t. Under `plan.ENOUGH_EVENTS` events the verdict is `insufficient`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

from assets.regimes.forecasts import plan
from assets.regimes.forecasts.plan import TARGETS
from assets.regimes.forecasts.schemas import EVENTS, SCORECARD

AGAINST = "volatility_alone"
POOLED = "all"
#: What is said of flags.
FLAGGED = ("flag_rate", "precision", "p_shifted", "recall_events", "recall_fresh", "lead_days", "false_alarms_per_year")
Part = tuple[pd.DatetimeIndex, np.ndarray, np.ndarray]
#: Not an event: it lasts.
STATE = "high_volatility"


# --- events -----------------------------------------------------------------------------------------------------------------


def events(frame: pd.DataFrame) -> pd.DataFrame:
    """`regime_events`: what there was to be warned of.

    Columns: `asset`, `target`, `started_on`, `ended_on` (trigger days less than a week apart are one event), `worst` (the
    lowest low under the highest close of the week before, fraction; null for cascades), `fresh` (more than 30 days after the
    last).
    """
    made: list[dict[str, Any]] = []
    for asset, rows in frame.groupby("asset") if len(frame) else []:
        rows = rows.set_index("day")
        highest = rows["close"].rolling(plan.HORIZON_DAYS, min_periods=1).max().shift()
        fall = rows["low"] / highest - 1
        for target in TARGETS.values():
            if target.name == STATE:
                continue
            hit = rows["label"].eq("cascade")
            if target.depth is not None:
                hit = rows["low"] <= highest * (1 - target.depth)
            days = rows.index[hit]
            if not len(days):
                continue
            group = (pd.Series(days).diff() >= pd.Timedelta(days=plan.SAME_EVENT_DAYS)).cumsum().to_numpy()
            last_end: pd.Timestamp | None = None
            for n in range(group[-1] + 1):
                span = days[group == n]
                made.append(
                    {
                        "asset": asset,
                        "target": target.name,
                        "started_on": span[0],
                        "ended_on": span[-1],
                        "worst": None if target.depth is None else float(fall[span].min()),
                        "fresh": last_end is None or (span[0] - last_end).days > plan.FRESH_DAYS,
                    }
                )
                last_end = span[-1]
    return pd.DataFrame(made, columns=list(EVENTS.columns)).sort_values(["asset", "target", "started_on"], ignore_index=True)


# --- ranking ----------------------------------------------------------------------------------------------------------------


def auroc(probability: np.ndarray, happened: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """The chance that a day before the event had the higher probability, ties counting half; a row of `weights` each (draws x
    days).

    NaN where one of the classes has no weight. Mann and Whitney 1947, by sums over distinct probabilities.
    """
    weights = np.ones((1, len(probability))) if weights is None else weights
    _, place = np.unique(probability, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    yes, no = (np.add.reduceat((weights * side)[:, order], starts, axis=1) for side in (happened, 1 - happened))
    below = np.cumsum(no, axis=1) - no / 2
    total = yes.sum(axis=1) * no.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: np.ndarray = np.where(total > 0, (yes * below).sum(axis=1) / total, np.nan)
    return found


def draws(days: pd.Series) -> np.ndarray:
    """How often each row is drawn (draws x rows): blocks of days, all assets of a day together."""
    from arch.bootstrap import StationaryBootstrap

    place, distinct = pd.factorize(days, sort=True)
    if len(distinct) < 2:
        return np.ones((1, len(days)))
    sampler = StationaryBootstrap(min(plan.BLOCK_DAYS, len(distinct)), np.arange(len(distinct)), seed=plan.SEED)
    counts = np.stack([np.bincount(drawn[0][0], minlength=len(distinct)) for drawn in sampler.bootstrap(plan.DRAWS)])
    return counts[:, place].astype(float)


def _interval(values: np.ndarray) -> tuple[float, float]:
    values = values[~np.isnan(values)]
    return tuple(np.quantile(values, [0.025, 0.975])) if len(values) else (np.nan, np.nan)


# --- the scorecard ----------------------------------------------------------------------------------------------------------


def card(frame: pd.DataFrame, forecasts: pd.DataFrame, *, synthetic: bool) -> pd.DataFrame:
    """`regime_scorecard`: a row per target, method and asset (`all`: pooled).

    Ranks: `auroc` with its interval, the same within each year (`auroc_within_years`), the difference to volatility alone with
    its paired interval, `p_best` (max-t over all methods of the target). Probabilities: `average_precision` beside `base_rate`,
    `brier_skill` against climatology and `brier_skill_over_volatility`, `calibration` (mean probability less the rate). Flags:
    `flag_rate`, `precision`, `p_shifted` (against the same flags turned round the calendar), `recall_events`, `recall_fresh`,
    `lead_days` (median), `false_alarms_per_year` (per asset). Then what it stands on: `days`, `events`, `fresh_events`,
    `verdict`.
    """
    made: list[dict[str, Any]] = []
    known = events(frame)
    truth = frame.melt(["day", "asset"], list(TARGETS), "target", "happened") if len(frame) else pd.DataFrame()
    if not len(forecasts):
        return pd.DataFrame(columns=list(SCORECARD.columns))
    joined = forecasts.merge(truth, on=["day", "asset", "target"]).dropna(subset=["happened"])
    for target, of_target in joined.groupby("target"):
        for asset in [POOLED, *sorted(of_target["asset"].unique())]:
            rows = of_target if asset == POOLED else of_target[of_target["asset"] == asset]
            happened_events = known[known["target"] == target]
            if asset != POOLED:
                happened_events = happened_events[happened_events["asset"] == asset]
            made += _target(str(target), asset, rows, happened_events, synthetic)
    return pd.DataFrame(made + nowcast(frame), columns=list(SCORECARD.columns)).sort_values(
        ["target", "asset", "method"], ignore_index=True
    )


def nowcast(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of the scorecard for the day's own label: does it say `cascade` or `stress` on the days with a deep low?"""
    close = frame.groupby("asset")["close"].shift()
    usable = frame[frame["label"].notna() & close.notna() & frame["low"].notna()]
    hit = usable["low"] <= close[usable.index] * (1 - (plan.NOWCAST.depth or 0))
    said = usable["label"].isin(plan.NOWCAST_LABELS)
    made = []
    for asset in [POOLED, *sorted(usable["asset"].unique())]:
        of = usable["asset"].eq(asset) | (asset == POOLED)
        came, told = hit[of], said[of]
        deep = _apart(usable.loc[of & hit, "day"])
        made.append(
            {
                "target": plan.NOWCAST.name, "method": "rule_v1", "kind": "nowcast", "asset": asset,
                "base_rate": float(came.mean()), "flag_rate": float(told.mean()),
                "precision": float(came[told].mean()) if told.any() else np.nan,
                "recall_events": float(told[came].mean()) if came.any() else np.nan,
                "first_day": usable["day"].min(), "last_day": usable["day"].max(), "days": int(usable.loc[of, "day"].nunique()),
                "events": deep, "fresh_events": 0, "methods_tried": 1,
                "verdict": "a nowcast" if deep >= plan.ENOUGH_EVENTS else "insufficient", "plan_hash": plan.HASH,
            }
        )  # fmt: skip
    return made if len(usable) else []


def _target(target: str, asset: str, rows: pd.DataFrame, known: pd.DataFrame, synthetic: bool) -> list[dict[str, Any]]:
    wide = rows.pivot(index=["day", "asset"], columns="method", values="probability")
    flags = rows.pivot(index=["day", "asset"], columns="method", values="flag").reindex(wide.index)
    happened = rows.drop_duplicates(["day", "asset"]).set_index(["day", "asset"])["happened"].reindex(wide.index).to_numpy()
    days = wide.index.get_level_values("day").to_series(index=pd.RangeIndex(len(wide)))
    first, last = days.min(), days.max()
    inside = known[(known["started_on"] > first) & (known["started_on"] <= last + pd.Timedelta(days=plan.HORIZON_DAYS))]
    weights = draws(days)
    names = [str(name) for name in wide]
    drawn = {m: auroc(wide[m].to_numpy(), happened, weights) for m in names}
    plain = {m: float(auroc(wide[m].to_numpy(), happened)[0]) for m in names}
    best = _max_t(plain, drawn)
    climate = ((wide["climatology"] - happened) ** 2).mean() if "climatology" in wide else np.nan
    alone = ((wide[AGAINST] - happened) ** 2).mean() if AGAINST in wide else np.nan
    made = []
    for method in names:
        told, brier = wide[method].to_numpy(), float(((wide[method] - happened) ** 2).mean())
        low, high = _interval(drawn[method])
        over = drawn[method] - drawn[AGAINST] if AGAINST in drawn else np.array([np.nan])
        over_low, over_high = _interval(over)
        said = {
            "target": target, "method": method, "kind": rows.loc[rows["method"] == method, "kind"].iloc[0], "asset": asset,
            "auroc": plain[method], "auroc_low": low, "auroc_high": high,
            "auroc_within_years": _within_years(days.dt.year.to_numpy(), told, happened),
            "auroc_over_volatility": plain[method] - plain.get(AGAINST, np.nan),
            "over_low": over_low, "over_high": over_high, "p_best": best.get(method, np.nan),
            "average_precision": average_precision_score(happened, told) if happened.any() else np.nan,
            "base_rate": float(happened.mean()),
            "brier_skill": 1 - brier / climate if climate > 0 else np.nan,
            "brier_skill_over_volatility": 1 - brier / alone if alone > 0 else np.nan,
            "calibration": float(told.mean() - happened.mean()),
            **_flags(flags[method], happened, inside),
            "first_day": first, "last_day": last, "days": int(days.nunique()), "events": _apart(inside["started_on"]),
            "fresh_events": _apart(inside.loc[inside["fresh"].astype(bool), "started_on"]), "methods_tried": wide.shape[1],
        }  # fmt: skip
        made.append(said | {"verdict": _verdict(said, synthetic), "plan_hash": plan.HASH})
    return made


def _apart(starts: pd.Series) -> int:
    """How many events there were in time: what befalls several assets within a week is one."""
    ordered = starts.sort_values()
    return int((ordered.diff() >= pd.Timedelta(days=plan.SAME_EVENT_DAYS)).sum()) + 1 if len(ordered) else 0


def _max_t(plain: dict[str, float], drawn: dict[str, np.ndarray]) -> dict[str, float]:
    """For each method: how often the best of all differences to volatility alone, centred, reaches its t (White 2000)."""
    if AGAINST not in drawn:
        return {}
    over = {m: drawn[m] - drawn[AGAINST] for m in drawn if m != AGAINST}
    spread = {m: np.nanstd(values) if np.isfinite(values).any() else 0.0 for m, values in over.items()}
    useful = [m for m in over if spread[m] > 0]
    if not useful:
        return {}
    centred = np.stack([(over[m] - np.nanmean(over[m])) / spread[m] for m in useful])
    most = np.nanmax(np.nan_to_num(centred, nan=-np.inf), axis=0)
    return {m: float((most >= (plain[m] - plain[AGAINST]) / spread[m]).mean()) for m in useful}


def _within_years(years: np.ndarray, told: np.ndarray, happened: np.ndarray) -> float:
    """The mean over calendar years that have both, by their days: knowing a wild year from a calm one is no warning."""
    found = [(float(auroc(told[years == y], happened[years == y])[0]), int((years == y).sum())) for y in np.unique(years)]
    found = [(value, days) for value, days in found if not np.isnan(value)]
    return float(np.average([v for v, _ in found], weights=[d for _, d in found])) if found else np.nan


def _flags(flags: pd.Series, happened: np.ndarray, known: pd.DataFrame) -> dict[str, float]:
    usable = flags.notna().to_numpy()
    on, came = flags[usable].astype(bool), happened[usable]
    raised = on.to_numpy()
    if not usable.any():
        return dict.fromkeys(FLAGGED, np.nan)
    parts = _by_asset(on, came)
    precision = float(came[raised].mean()) if raised.any() else np.nan
    caught, fresh, leads = [], [], []
    for event in map(_untyped, known.itertuples()):
        if event.asset not in parts:
            continue
        days, _, flagged = parts[event.asset]
        before = (days >= event.started_on - pd.Timedelta(days=plan.HORIZON_DAYS)) & (days < event.started_on)
        if not before.any():
            continue
        warned = days[before & flagged]
        caught.append(len(warned) > 0)
        fresh += [len(warned) > 0] if event.fresh else []
        leads += [(event.started_on - warned[0]).days] if len(warned) else []
    told = (
        float(raised.mean()),
        precision,
        _shifted(list(parts.values()), precision),
        float(np.mean(caught)) if caught else np.nan,
        float(np.mean(fresh)) if fresh else np.nan,
        float(np.median(leads)) if leads else np.nan,
        sum(_false_alarms(*part) for part in parts.values()) * 365 / len(on),
    )
    return dict(zip(FLAGGED, told, strict=True))


def _untyped(row: Any) -> Any:
    """A row of `itertuples`: pandas' types know nothing of its columns."""
    return row


def _by_asset(on: pd.Series, came: np.ndarray) -> dict[Any, Part]:
    """By asset: its days in their order, whether the target came, whether there was a flag."""
    joined = pd.DataFrame({"on": on.to_numpy(), "came": came}, on.index).sort_index()
    parts = {asset: part.droplevel("asset") for asset, part in joined.groupby(level="asset")}
    return {a: (pd.DatetimeIndex(p.index), p["came"].to_numpy(), p["on"].to_numpy(bool)) for a, p in parts.items()}


def _false_alarms(days: pd.DatetimeIndex, came: np.ndarray, raised: np.ndarray) -> int:
    """Flags less than a week apart are one alarm; false where none of its days was followed by the event."""
    at = np.flatnonzero(raised)
    if not len(at):
        return 0
    group = np.cumsum(np.diff(days[at].to_numpy(), prepend=days[at[0]].to_numpy()) >= np.timedelta64(plan.SAME_EVENT_DAYS, "D"))
    return sum(not came[at[group == n]].any() for n in np.unique(group))


def _shifted(parts: list[Part], precision: float) -> float:
    """How often flags of the same rate and clustering, turned round the calendar at random, were as precise: no knowledge."""
    random = np.random.default_rng(plan.SEED)
    if np.isnan(precision) or min(len(days) for days, _, _ in parts) < 2 * plan.BLOCK_DAYS:
        return np.nan
    reached = 0
    for _ in range(plan.DRAWS):
        turned = [
            (came_, np.roll(raised, random.integers(plan.BLOCK_DAYS, len(raised) - plan.BLOCK_DAYS)))
            for _, came_, raised in parts
        ]
        hits, all_ = (sum(int(x) for x in pair) for pair in zip(*((c[r].sum(), r.sum()) for c, r in turned), strict=True))
        reached += hits / all_ >= precision if all_ else 0
    return reached / plan.DRAWS


def _verdict(said: dict[str, Any], synthetic: bool) -> str:
    """One phrase: what may be said of this row, and no more."""
    state = said["target"] == STATE
    enough = said["days"] >= plan.ENOUGH_DAYS if state else said["events"] >= plan.ENOUGH_EVENTS
    if not synthetic and not state and said["events"] > 1 and said["auroc"] > plan.TOO_GOOD:
        return "too good: taken for a bug until shown otherwise"
    if not enough or np.isnan(said["auroc"]):
        return "insufficient"
    if said["kind"] == "null":
        return "a null"
    # A null that is worse than chance is no one to beat.
    if said["over_low"] > 0 and said["auroc_low"] > 0.5:
        return "adds to volatility alone"
    return "less than volatility alone" if said["over_high"] < 0 else "adds nothing over volatility"
