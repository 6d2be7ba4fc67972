"""How good forecasts and labels were: events, and a scorecard with intervals that know that days overlap.

Daily rows of a seven-day target overlap, so an interval is Student's t for the number of events, times the deviation over a
stationary bootstrap of whole days of all assets (Politis and Romano 1994, by `arch`); of a difference, over the same draws of
both. Crowds last for months, and a dozen events then favour one who watches them by luck: what perpetuals' data add is held to
the larger of that deviation and the one when the targets are turned round the calendar. The best of many variants is judged by
its max-t. Under `plan.ENOUGH_EVENTS` events the verdict is `insufficient`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.metrics import average_precision_score

from assets.regimes.forecasts import plan
from assets.regimes.forecasts.methods import METHODS
from assets.regimes.forecasts.plan import POOLED, STATE, TARGETS
from assets.regimes.forecasts.schemas import EVENTS, SCORECARD
from assets.regimes.market import MARKET
from assets.regimes.rules import METHOD as RULE

AGAINST = "volatility_alone"
#: What is said of flags.
FLAGGED = ("flag_rate", "precision", "p_shifted", "recall_events", "recall_fresh", "lead_days", "false_alarms_per_year")
Part = tuple[pd.DatetimeIndex, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Ranked:
    """An AUROC or a difference of two: as it is, and in draws."""

    value: float
    drawn: np.ndarray

    def __sub__(self, other: Ranked) -> Ranked:
        return Ranked(self.value - other.value, self.drawn - other.drawn)


UNKNOWN = Ranked(np.nan, np.array([np.nan]))


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
    """The chance that a day before the event had the higher probability, ties counting half.

    `happened` and `weights` are of days, or of draws x days; a value for each draw. NaN where one of the classes has no weight.
    Mann and Whitney 1947, by sums over distinct probabilities.
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


def turned(index: pd.Index, happened: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The targets of rows (`day`, `asset`) turned round the calendar, all assets together, and which rows then have one.

    Both are draws x rows; without draws where the calendar is too short to turn.
    """
    wide = pd.Series(happened, index).unstack("asset")
    place = wide.index.get_indexer(index.get_level_values("day")), wide.columns.get_indexer(index.get_level_values("asset"))
    if len(wide) < 3 * plan.BLOCK_DAYS:
        return np.empty((0, len(index))), np.empty((0, len(index)))
    by = np.random.default_rng(plan.SEED).integers(plan.BLOCK_DAYS, len(wide) - plan.BLOCK_DAYS, plan.DRAWS)
    rolled = np.stack([np.roll(wide.to_numpy(), n, axis=0)[place] for n in by])
    return np.nan_to_num(rolled), (~np.isnan(rolled)).astype(float)


def _interval(name: str, found: Ranked, events: int, *others: np.ndarray) -> dict[str, float]:
    """95 % within what the figure can be; other draws of it may widen the interval."""
    spreads = [np.nanstd(draws) for draws in (found.drawn, *others) if np.isfinite(draws).any()]
    if np.isnan(found.value) or not spreads:
        return {f"{name}_low": np.nan, f"{name}_high": np.nan}
    wide = stats.t.ppf(0.975, max(events, 3) - 1) * max(spreads)
    least = 0.0 if name == "auroc" else -1.0
    return {f"{name}_low": max(least, found.value - wide), f"{name}_high": min(1.0, found.value + wide)}


# --- the scorecard ----------------------------------------------------------------------------------------------------------


def card(
    frame: pd.DataFrame, forecasts: pd.DataFrame, known: pd.DataFrame, *, synthetic: bool, pooled_only: bool = False
) -> pd.DataFrame:
    """`regime_scorecard`: a row per target, method and asset (`all`: pooled; `MARKET`: their average as an asset of its own).

    `frame` is of `inputs.build`, `known` of `events`.

    Ranks: `auroc` with its interval, the same within each year (`auroc_within_years`), the difference to volatility alone with
    its paired interval, what perpetuals' data add to the same method without them, `p_best` (max-t over all methods of the
    target). Probabilities: `average_precision` beside `base_rate`, `brier_skill` against climatology and
    `brier_skill_over_volatility`, `calibration` (mean probability less the rate) and its error over tenths. Flags: `flag_rate`,
    `precision`, `p_shifted` (against the same flags turned round the calendar), `recall_events`, `recall_fresh`, `lead_days`
    (median), `false_alarms_per_year` (per asset). Then what it stands on: `days`, `events`, `fresh_events`, `verdict`. A method
    is held against others on the days on which both spoke.
    """
    made: list[dict[str, Any]] = []
    truth = frame.melt(["day", "asset"], list(TARGETS), "target", "happened") if len(frame) else pd.DataFrame()
    if not len(forecasts):
        return pd.DataFrame(columns=list(SCORECARD.columns))
    joined = forecasts.merge(truth, on=["day", "asset", "target"]).dropna(subset=["happened"])
    for target, of_target in joined.groupby("target"):
        for asset in [POOLED, *([] if pooled_only else sorted(of_target["asset"].unique()))]:
            rows, happened_events = (_of(table, asset) for table in (of_target, known[known["target"] == target]))
            made += _target(str(target), asset, rows, happened_events, synthetic) if len(rows) else []
    return pd.DataFrame(made + nowcast(frame, synthetic=synthetic), columns=list(SCORECARD.columns)).sort_values(
        ["target", "asset", "method"], ignore_index=True
    )


def _of(table: pd.DataFrame, asset: str) -> pd.DataFrame:
    """Rows of an asset; of all but their average, where they are pooled."""
    return table[(table["asset"] != MARKET) if asset == POOLED else (table["asset"] == asset)]


def documented() -> pd.DataFrame:
    """The list of documented crash days: `day`, `what`, `source` (an address)."""
    return pd.read_csv(Path(__file__).parent / "documented.csv", parse_dates=["day"])


def nowcast(frame: pd.DataFrame, *, synthetic: bool) -> list[dict[str, Any]]:
    """Rows of the scorecard for the day's own label: does it say `cascade` or `crash` on the days that were one?

    Held against three truths (`plan.NOWCASTS`), each on the days on which it is known; no documented day is one of a synthetic
    market. `precision` and `recall_events` are of days, `false_alarms_per_year` are the other days on which it fires.
    """
    close = frame.groupby("asset")["close"].shift()
    listed = documented()["day"]
    forced = frame["liq_over_oi"].where(frame["liq_over_oi"] > 0).groupby(frame["asset"])
    rank = forced.rank(pct=True).where(forced.transform("count") >= plan.LIQUIDATION_LEAST)
    fell = frame["low"] <= close * (1 - (plan.NOWCASTS["low10_today"].depth or 0))
    truths = {
        "low10_today": fell.where(close.notna() & frame["low"].notna()),
        "liquidations_today": (rank > 1 - plan.LIQUIDATION_DAYS).where(rank.notna()),
        "documented_today": frame["day"].isin(listed).where(frame["day"].between(listed.min(), listed.max()) & (not synthetic)),
    }  # fmt: skip
    made = []
    for target, truth in truths.items():
        usable = frame.assign(came=truth)[frame["label"].notna() & truth.notna()]
        for asset in [POOLED, *sorted(usable["asset"].unique())]:
            rows = _of(usable, asset)
            if rows.empty:
                continue
            came, told = rows["came"].astype(bool), rows["label"].isin(plan.NOWCAST_LABELS)
            deep = _apart(rows.loc[came, "day"])
            made.append(
                {
                    "target": target, "method": RULE, "kind": "nowcast", "asset": asset,
                    "base_rate": float(came.mean()), "flag_rate": float(told.mean()),
                    "precision": float(came[told].mean()) if told.any() else np.nan,
                    "recall_events": float(told[came].mean()) if came.any() else np.nan,
                    "false_alarms_per_year": float((told & ~came).mean() * 365),
                    "first_day": rows["day"].min(), "last_day": rows["day"].max(), "days": int(rows["day"].nunique()),
                    "events": deep, "fresh_events": 0, "methods_tried": 1,
                    "verdict": "a nowcast" if deep >= plan.ENOUGH_EVENTS else "insufficient", "plan_hash": plan.HASH,
                }
            )  # fmt: skip
    return made


def _target(target: str, asset: str, rows: pd.DataFrame, known: pd.DataFrame, synthetic: bool) -> list[dict[str, Any]]:
    wide = rows.pivot(index=["day", "asset"], columns="method", values="probability")
    flags = rows.pivot(index=["day", "asset"], columns="method", values="flag").reindex(wide.index)
    happened = rows.drop_duplicates(["day", "asset"]).set_index(["day", "asset"])["happened"].reindex(wide.index).to_numpy()
    days = wide.index.get_level_values("day").to_series(index=pd.RangeIndex(len(wide)))
    weights, (rolled, there) = draws(days), turned(wide.index, happened)
    names = [str(name) for name in wide]
    spoke = {m: wide[m].notna().to_numpy() for m in names}
    kept: dict[tuple[str, bytes], Ranked] = {}

    def ranked(method: str, on: np.ndarray) -> Ranked:
        """How a method ranks some of the rows."""
        key = (method, on.tobytes())
        if key not in kept:
            told, came = wide[method].to_numpy()[on], happened[on]
            kept[key] = Ranked(float(auroc(told, came)[0]), auroc(told, came, weights[:, on]))
        return kept[key]

    def both(method: str, other: str) -> np.ndarray:
        """The rows on which two methods spoke."""
        return spoke[method] & spoke.get(other, np.False_)

    def over(method: str, other: str) -> Ranked:
        """How much better a method ranks than another, on the rows on which both spoke."""
        on = both(method, other)
        return ranked(method, on) - ranked(other, on) if on.any() else UNKNOWN

    def by_luck(method: str, other: str) -> np.ndarray:
        """The same where the targets are turned round the calendar."""
        on = both(method, other)
        if not on.any():
            return UNKNOWN.drawn
        one, two = (auroc(wide[m].to_numpy()[on], rolled[:, on], there[:, on]) for m in (method, other))
        return one - two

    gains = {m: over(m, AGAINST) for m in names if m != AGAINST}
    best = _max_t(gains)
    made = []
    for method in names:
        on = spoke[method]
        told, came, when = wide[method].to_numpy()[on], happened[on], days[on]
        first, last = when.min(), when.max()
        inside = known[(known["started_on"] > first) & (known["started_on"] <= last + pd.Timedelta(days=plan.HORIZON_DAYS))]
        happenings = _apart(inside["started_on"])
        independent = when.nunique() // plan.BLOCK_DAYS if target == STATE else happenings
        beside = METHODS[method].beside
        ranks, gain, adds = ranked(method, on), over(method, AGAINST), over(method, beside)
        said = {
            "target": target, "method": method, "kind": rows.loc[rows["method"] == method, "kind"].iloc[0], "asset": asset,
            "auroc": ranks.value, **_interval("auroc", ranks, independent),
            "auroc_within_years": _within_years(when.dt.year.to_numpy(), told, came),
            "auroc_over_volatility": gain.value, **_interval("over", gain, independent),
            "perps_add": adds.value, **_interval("perps_add", adds, independent, by_luck(method, beside)),
            "p_best": best.get(method, np.nan),
            "average_precision": average_precision_score(came, told) if came.any() else np.nan,
            "base_rate": float(came.mean()),
            "brier_skill": _skill(wide, happened, method, "climatology"),
            "brier_skill_over_volatility": _skill(wide, happened, method, AGAINST),
            "calibration": float(told.mean() - came.mean()), "calibration_error": _calibration_error(told, came),
            **_flags(flags[method][on], came, inside),
            "first_day": first, "last_day": last, "days": int(when.nunique()), "events": happenings,
            "fresh_events": _apart(inside.loc[inside["fresh"].astype(bool), "started_on"]), "methods_tried": wide.shape[1],
        }  # fmt: skip
        made.append(said | {"verdict": _verdict(said, synthetic), "plan_hash": plan.HASH})
    return made


def _skill(wide: pd.DataFrame, happened: np.ndarray, method: str, other: str) -> float:
    """1 - Brier score over another method's, on the rows on which both spoke; NaN where the target never came."""
    if other not in wide or not happened.any():
        return np.nan
    errors = wide[[method, other]].sub(happened, axis=0).dropna() ** 2
    one, two = errors.iloc[:, 0].mean(), errors.iloc[:, 1].mean()
    return float(1 - one / two) if two > 0 else np.nan


def reliability(told: np.ndarray, came: np.ndarray) -> pd.DataFrame:
    """By tenths of the probability: its mean (`said`), how often the target came (`came`), and the days (`days`)."""
    order = np.argsort(told, kind="stable")
    parts = [part for part in np.array_split(order, 10) if len(part)]
    return pd.DataFrame([{"said": told[p].mean(), "came": came[p].mean(), "days": len(p)} for p in parts])


def _calibration_error(told: np.ndarray, came: np.ndarray) -> float:
    curve = reliability(told, came)
    return float(np.average((curve["said"] - curve["came"]).abs(), weights=curve["days"]))


def _apart(starts: pd.Series) -> int:
    """How many events there were in time: what befalls several assets within a week is one."""
    ordered = starts.sort_values()
    return int((ordered.diff() >= pd.Timedelta(days=plan.SAME_EVENT_DAYS)).sum()) + 1 if len(ordered) else 0


def _max_t(gains: dict[str, Ranked]) -> dict[str, float]:
    """For each method: how often the best of all differences to volatility alone, centred, reaches its t (White 2000)."""
    spread = {m: float(np.nanstd(g.drawn)) if np.isfinite(g.drawn).any() else 0.0 for m, g in gains.items()}
    useful = [m for m in gains if spread[m] > 0]
    if not useful:
        return {}
    centred = np.stack([(gains[m].drawn - np.nanmean(gains[m].drawn)) / spread[m] for m in useful])
    most = np.nanmax(np.nan_to_num(centred, nan=-np.inf), axis=0)
    return {m: float((most >= gains[m].value / spread[m]).mean()) for m in useful}


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
        elsewhere = [
            (came_, np.roll(raised, random.integers(plan.BLOCK_DAYS, len(raised) - plan.BLOCK_DAYS)))
            for _, came_, raised in parts
        ]
        hits, all_ = (sum(int(x) for x in pair) for pair in zip(*((c[r].sum(), r.sum()) for c, r in elsewhere), strict=True))
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
