"""The scorecard: the skill of every method by target and asset, and that of the day's own label.

Methods are compared on the days on which both forecast. Intervals are those of `metrics`. Crowding lasts for months, so a dozen
events can favour a method that watches it by chance: the interval of what perpetuals' data add uses the larger of the bootstrap's
deviation and that under circular shifts of the targets. The best of many methods is judged by its max-t. Under
`plan.ENOUGH_EVENTS` events the verdict is `insufficient`.

Alone: ``build_scorecard(frame, walk_forward(frame), find_events(frame), synthetic=False)`` with a frame of `inputs.build`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

from assets.regimes.forecasts import metrics, plan
from assets.regimes.forecasts.events import count_episodes, documented_crashes
from assets.regimes.forecasts.methods import METHODS
from assets.regimes.forecasts.metrics import UNKNOWN, Estimate
from assets.regimes.forecasts.plan import POOLED, STATE, TARGETS
from assets.regimes.forecasts.schemas import SCORECARD
from assets.regimes.market import MARKET
from assets.regimes.rules import METHOD as RULE

#: The null method that skill is measured against.
REFERENCE = "volatility_alone"
FLAG_COLUMNS = (
    "flag_rate", "precision", "p_shifted_flags", "recall_events", "recall_after_calm", "lead_days", "false_alarms_per_year",
)  # fmt: skip


def build_scorecard(
    frame: pd.DataFrame, forecasts: pd.DataFrame, events: pd.DataFrame, *, synthetic: bool, pooled_only: bool = False
) -> pd.DataFrame:
    """`regime_scorecard`: a row per target, method and asset, `POOLED` among the assets; columns as in `schemas.SCORECARD`.

    `frame` is from `inputs.build`, `events` from `find_events`.
    """
    if not len(forecasts):
        return pd.DataFrame(columns=list(SCORECARD.columns))
    outcomes = frame.melt(["day", "asset"], list(TARGETS), "target", "outcome")
    scored = forecasts.merge(outcomes, on=["day", "asset", "target"]).dropna(subset=["outcome"])
    records: list[dict[str, Any]] = []
    for target, rows in scored.groupby("target"):
        target_events = events[events["target"] == target]
        for asset in [POOLED, *([] if pooled_only else sorted(rows["asset"].unique()))]:
            own = _rows_of(rows, asset)
            if len(own):
                records += _Comparison(str(target), asset, own, _rows_of(target_events, asset), synthetic).records()
    records += score_nowcasts(frame, synthetic=synthetic)
    return pd.DataFrame(records, columns=list(SCORECARD.columns)).sort_values(["target", "asset", "method"], ignore_index=True)


def _rows_of(table: pd.DataFrame, asset: str) -> pd.DataFrame:
    """Rows of an asset; `POOLED` is all assets but MARKET, which is their average."""
    return table[(table["asset"] != MARKET) if asset == POOLED else (table["asset"] == asset)]


# --- forecasts --------------------------------------------------------------------------------------------------------------


class _Comparison:
    """All methods of one target on the rows of one asset (or of all, pooled).

    `rows` are forecasts with `outcome`; `events` are the target's.
    """

    def __init__(self, target: str, asset: str, rows: pd.DataFrame, events: pd.DataFrame, synthetic: bool) -> None:
        self.target, self.asset, self.events, self.synthetic = target, asset, events, synthetic
        keys = ["day", "asset"]
        self.probabilities = rows.pivot(index=keys, columns="method", values="probability")
        self.index = self.probabilities.index
        self.flags = rows.pivot(index=keys, columns="method", values="flag").reindex(self.index)
        self.outcome = rows.drop_duplicates(keys).set_index(keys)["outcome"].reindex(self.index).to_numpy()
        self.days = self.index.get_level_values("day").to_series(index=pd.RangeIndex(len(self.index)))
        self.kinds = rows.drop_duplicates("method").set_index("method")["kind"]
        self.methods = [str(name) for name in self.probabilities]
        self.weights = metrics.bootstrap_weights(self.days)
        self.shifted, self.shifted_known = metrics.circular_shifts(self.index, self.outcome)
        self._aurocs: dict[tuple[str, bytes], Estimate] = {}

    def records(self) -> list[dict[str, Any]]:
        """A row of the scorecard for each method."""
        return [self._record(method) for method in self.methods]

    def _record(self, method: str) -> dict[str, Any]:
        rows = self._known(method)
        probability, outcome, days = self.probabilities[method].to_numpy()[rows], self.outcome[rows], self.days[rows]
        first, last = days.min(), days.max()
        in_time = (self.events["started_on"] > first) & (self.events["started_on"] <= last + pd.Timedelta(days=plan.HORIZON_DAYS))
        events = self.events[in_time]
        event_count = count_episodes(events["started_on"])
        record = {
            "target": self.target, "method": method, "kind": self.kinds[method], "asset": self.asset,
            **self._ranking(method, rows, days.nunique() // plan.BLOCK_DAYS if self.target == STATE else event_count),
            "auroc_within_years": metrics.auroc_within_years(days.dt.year.to_numpy(), probability, outcome),
            "average_precision": average_precision_score(outcome, probability) if outcome.any() else np.nan,
            "base_rate": float(outcome.mean()),
            "brier_skill": self._brier_skill(method, "climatology"),
            "brier_skill_over_volatility": self._brier_skill(method, REFERENCE),
            "calibration_bias": float(probability.mean() - outcome.mean()),
            "calibration_error": metrics.calibration_error(probability, outcome),
            **_score_flags(self.flags[method][rows], outcome, events),
            "first_day": first, "last_day": last, "days": int(days.nunique()), "events": event_count,
            "events_after_calm": count_episodes(events.loc[events["after_calm"].astype(bool), "started_on"]),
            "methods_tried": len(self.methods), "plan_hash": plan.HASH,
        }  # fmt: skip
        return record | {"verdict": _verdict(record, self.synthetic)}

    def _ranking(self, method: str, rows: np.ndarray, independent: int) -> dict[str, float]:
        """AUROC, its gain over volatility alone and over the method without perpetuals' data, each with its interval."""
        without_perps = METHODS[method].without_perps
        columns: dict[str, float] = {"p_max_t": self._p_max_t.get(method, np.nan)}
        for name, estimate, low, other_draws in (
            ("auroc", self._auroc(method, rows), 0.0, ()),
            ("auroc_over_volatility", self._gain(method, REFERENCE), -1.0, ()),
            ("perp_data_gain", self._gain(method, without_perps), -1.0, (self._shifted_gains(method, without_perps),)),
        ):
            columns[name] = estimate.value
            columns[f"{name}_low"], columns[f"{name}_high"] = metrics.interval(estimate, independent, low, *other_draws)
        return columns

    @cached_property
    def _p_max_t(self) -> dict[str, float]:
        return metrics.max_t({m: self._gain(m, REFERENCE) for m in self.methods if m != REFERENCE})

    def _known(self, *methods: str) -> np.ndarray:
        """True for rows that all of these methods forecast."""
        if not set(methods) <= set(self.methods):
            return np.zeros(len(self.index), bool)
        known: np.ndarray = self.probabilities[list(methods)].notna().all(axis=1).to_numpy()
        return known

    def _auroc(self, method: str, rows: np.ndarray) -> Estimate:
        """AUROC of a method on some rows, with the bootstrap's draws."""
        key = (method, rows.tobytes())
        if key not in self._aurocs:
            probability, outcome = self.probabilities[method].to_numpy()[rows], self.outcome[rows]
            draws = metrics.auroc(probability, outcome, self.weights[:, rows])
            self._aurocs[key] = Estimate(float(metrics.auroc(probability, outcome)[0]), draws)
        return self._aurocs[key]

    def _gain(self, method: str, other: str) -> Estimate:
        """AUROC of a method less that of another, on the rows that both forecast."""
        rows = self._known(method, other)
        return self._auroc(method, rows) - self._auroc(other, rows) if rows.any() else UNKNOWN

    def _shifted_gains(self, method: str, other: str) -> np.ndarray:
        """The same difference for each circular shift of the outcomes: what chance gives."""
        rows = self._known(method, other)
        if not rows.any():
            return UNKNOWN.draws
        one, two = (
            metrics.auroc(self.probabilities[m].to_numpy()[rows], self.shifted[:, rows], self.shifted_known[:, rows])
            for m in (method, other)
        )
        return one - two

    def _brier_skill(self, method: str, other: str) -> float:
        """Brier skill over another method on the rows that both forecast; NaN where the target never happened."""
        rows = self._known(method, other)
        if not rows.any() or not self.outcome.any():
            return np.nan
        probability, reference = (self.probabilities[m].to_numpy()[rows] for m in (method, other))
        return metrics.brier_skill(probability, reference, self.outcome[rows])


def _verdict(record: dict[str, Any], synthetic: bool) -> str:
    """The verdict on one row of the scorecard, one of `schemas.VERDICTS`."""
    is_state = record["target"] == STATE
    enough = record["days"] >= plan.ENOUGH_DAYS if is_state else record["events"] >= plan.ENOUGH_EVENTS
    if not synthetic and not is_state and record["events"] > 1 and record["auroc"] > plan.TOO_GOOD:
        return "too good: taken for a bug until shown otherwise"
    if not enough or np.isnan(record["auroc"]):
        return "insufficient"
    if record["kind"] == "null":
        return "a null"
    # Better than a reference that is worse than chance is not enough.
    if record["auroc_over_volatility_low"] > 0 and record["auroc_low"] > 0.5:
        return "adds to volatility alone"
    return "less than volatility alone" if record["auroc_over_volatility_high"] < 0 else "adds nothing over volatility"


# --- flags ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Flags:
    """One asset's flags in the order of days: whether a flag was raised, and whether the target followed."""

    days: pd.DatetimeIndex
    outcome: np.ndarray
    raised: np.ndarray


def _score_flags(flags: pd.Series, outcome: np.ndarray, events: pd.DataFrame) -> dict[str, float]:
    """`FLAG_COLUMNS` of a method: `flags` by (`day`, `asset`) with the outcome of each, null while there is no flag yet."""
    known = flags.notna().to_numpy()
    if not known.any():
        return dict.fromkeys(FLAG_COLUMNS, np.nan)
    joined = pd.DataFrame({"raised": flags[known].astype(bool), "outcome": outcome[known]}).sort_index()
    by_asset = {
        asset: _Flags(pd.DatetimeIndex(rows.index.get_level_values("day")), rows["outcome"].to_numpy(), rows["raised"].to_numpy())
        for asset, rows in joined.groupby(level="asset")
    }
    precision = float(joined["outcome"][joined["raised"]].mean()) if joined["raised"].any() else np.nan
    warnings = pd.DataFrame(_warnings(by_asset, events), columns=["lead_days", "after_calm"])
    warned = warnings["lead_days"].notna()
    false_alarms = sum(_count_false_alarms(asset_flags) for asset_flags in by_asset.values())
    values = (
        float(joined["raised"].mean()),
        precision,
        _p_shifted_flags(list(by_asset.values()), precision),
        float(warned.mean()),
        float(warned[warnings["after_calm"].astype(bool)].mean()),
        float(warnings["lead_days"].median()),
        false_alarms * 365 / len(joined),
    )
    return dict(zip(FLAG_COLUMNS, values, strict=True))


def _warnings(by_asset: dict[Any, _Flags], events: pd.DataFrame) -> list[tuple[float, bool]]:
    """For each event with forecasts in the week before: days from the first flag to it (NaN without a flag), `after_calm`."""
    warnings = []
    for event in events.to_dict("records"):
        if event["asset"] not in by_asset:
            continue
        flags, start = by_asset[event["asset"]], event["started_on"]
        week_before = (flags.days >= start - pd.Timedelta(days=plan.HORIZON_DAYS)) & (flags.days < start)
        if not week_before.any():
            continue
        raised = flags.days[week_before & flags.raised]
        warnings.append((float((start - raised[0]).days) if len(raised) else np.nan, bool(event["after_calm"])))
    return warnings


def _count_false_alarms(flags: _Flags) -> int:
    """Number of alarms without the target. Flags less than `plan.SAME_EVENT_DAYS` apart are one alarm."""
    raised = np.flatnonzero(flags.raised)
    if not len(raised):
        return 0
    days = flags.days[raised].to_numpy()
    alarm = np.cumsum(np.diff(days, prepend=days[0]) >= np.timedelta64(plan.SAME_EVENT_DAYS, "D"))
    return sum(not flags.outcome[raised[alarm == n]].any() for n in np.unique(alarm))


def _p_shifted_flags(by_asset: list[_Flags], precision: float) -> float:
    """Share of random circular shifts of the flags, which keep their rate and clustering, that are as precise."""
    if np.isnan(precision) or min(len(flags.days) for flags in by_asset) < 2 * plan.BLOCK_DAYS:
        return np.nan
    random = np.random.default_rng(plan.SEED)
    as_precise = 0
    for _ in range(plan.DRAWS):
        hits = raised = 0
        for flags in by_asset:
            shift = random.integers(plan.BLOCK_DAYS, len(flags.raised) - plan.BLOCK_DAYS)
            shifted = np.roll(flags.raised, shift)
            hits, raised = hits + int(flags.outcome[shifted].sum()), raised + int(shifted.sum())
        as_precise += bool(raised) and hits / raised >= precision
    return as_precise / plan.DRAWS


# --- nowcasts ---------------------------------------------------------------------------------------------------------------


def score_nowcasts(frame: pd.DataFrame, *, synthetic: bool) -> list[dict[str, Any]]:
    """Rows of the scorecard for the day's own label: does it name a shock (`plan.NOWCAST_LABELS`) on the days that were one?

    The label is compared with each truth of `plan.NOWCASTS` on the days on which that is known; documented days are not those of
    a synthetic market. `precision` and `recall_events` are of days, `false_alarms_per_year` are other days with the label.
    """
    records = []
    for target, truth in _nowcast_truths(frame, synthetic).items():
        known = frame.assign(truth=truth)[frame["label"].notna() & truth.notna()]
        for asset in [POOLED, *sorted(known["asset"].unique())]:
            rows = _rows_of(known, asset)
            if rows.empty:
                continue
            is_true, is_named = rows["truth"].astype(bool), rows["label"].isin(plan.NOWCAST_LABELS)
            events = count_episodes(rows.loc[is_true, "day"])
            records.append(
                {
                    "target": target, "method": RULE, "kind": "nowcast", "asset": asset,
                    "base_rate": float(is_true.mean()), "flag_rate": float(is_named.mean()),
                    "precision": float(is_true[is_named].mean()) if is_named.any() else np.nan,
                    "recall_events": float(is_named[is_true].mean()) if is_true.any() else np.nan,
                    "false_alarms_per_year": float((is_named & ~is_true).mean() * 365),
                    "first_day": rows["day"].min(), "last_day": rows["day"].max(), "days": int(rows["day"].nunique()),
                    "events": events, "events_after_calm": 0, "methods_tried": 1,
                    "verdict": "a nowcast" if events >= plan.ENOUGH_EVENTS else "insufficient", "plan_hash": plan.HASH,
                }
            )  # fmt: skip
    return records


def _nowcast_truths(frame: pd.DataFrame, synthetic: bool) -> dict[str, pd.Series]:
    """By truth of `plan.NOWCASTS`: whether each row's day meets it, null where that is unknown."""
    last_close = frame.groupby("asset")["close"].shift()
    is_low = frame["low"] <= last_close * (1 - (plan.NOWCASTS["low10_today"].depth or 0))
    liquidated = frame["liq_over_oi"].where(frame["liq_over_oi"] > 0).groupby(frame["asset"])
    rank = liquidated.rank(pct=True).where(liquidated.transform("count") >= plan.LIQUIDATION_MIN_DAYS)
    listed = documented_crashes()["day"]
    in_list_time = frame["day"].between(listed.min(), listed.max()) & (not synthetic)
    return {
        "low10_today": is_low.where(last_close.notna() & frame["low"].notna()),
        "liquidations_today": (rank > 1 - plan.LIQUIDATION_SHARE).where(rank.notna()),
        "documented_today": frame["day"].isin(listed).where(in_list_time),
    }
