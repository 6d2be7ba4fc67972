"""Regime features to labels: the first regime of `thresholds.REGIMES` whose rule holds, with its confidence and reasons.

Each reason is a comparison of a value with a limit, or names an input that is missing or incomplete. Rows are independent of
each other.

Alone: ``rules.apply(features)`` with a frame of `schemas.FEATURES`.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from assets.regimes.thresholds import (
    EQUAL_WEIGHT_FACTOR,
    INPUTS,
    MIN_HISTORY_DAYS,
    MIN_HISTORY_FACTOR,
    REGIMES,
    RULE_FEATURES,
    THRESHOLDS,
    WINDOW_DAYS,
    Feature,
    Threshold,
)

METHOD = "rule_v3"
_COMPLETE = 0.98
"""Under this share of the observations expected of the venues present, the reasons state the coverage."""
_SHOWN_WITHOUT_RULE = ("realised_vol_7d", "low_vs_prev_close", "oi_change_1d", "funding_8h", "oi_to_volume")


def apply(features: pd.DataFrame) -> pd.DataFrame:
    """Label each row of `schemas.FEATURES`. Returns `schemas.LABELS`."""
    holds = {name: _holds(features, t) for name, t in THRESHOLDS.items()}
    everywhere = np.ones(len(features), dtype=bool)
    met = [
        np.logical_and.reduce([everywhere, *(np.logical_or.reduce([holds[n] for n in one_of]) for one_of in regime.rule)])
        for regime in REGIMES.values()
    ]
    label = np.select(met, list(REGIMES), default="").astype(object)
    return features[["day", "asset"]].assign(
        label=pd.Series(label, features.index, dtype=str),
        confidence=confidence(features),
        reasons=pd.Series(_reasons(features, label, holds), features.index, dtype=str),
        cascade_evidence=pd.Series(_cascade_evidence(label, holds), features.index, dtype=object),
        method=METHOD,
    )


def confidence(features: pd.DataFrame) -> pd.Series:
    """Share of the required inputs that is known, 0 to 1 (formula: `thresholds.INPUTS`).

    It measures completeness and is not the probability that the label is right.
    """
    support = sum(
        i.weight * features[i.coverage_column].fillna(0.0) * features[list(i.features)].notna().mean(axis=1)
        * (np.where(features["funding_weighting"] == "equal", EQUAL_WEIGHT_FACTOR, 1.0) if i.name == "funding" else 1.0)
        for i in INPUTS
    )  # fmt: skip
    history = (features["history_days"] / WINDOW_DAYS).clip(upper=1.0)
    return (support * (MIN_HISTORY_FACTOR + (1 - MIN_HISTORY_FACTOR) * history)).round(4)


def _holds(features: pd.DataFrame, threshold: Threshold) -> np.ndarray:
    excess = features[threshold.feature] - features[f"{threshold.name}_limit"]
    return (excess * threshold.side >= 0).to_numpy()


def _cascade_evidence(label: np.ndarray, holds: dict[str, np.ndarray]) -> np.ndarray:
    """`liquidations` where they show a cascade, `open_interest` of any other cascade, None of another label."""
    by_liquidations = holds["liquidations_high"] | holds["listed_liquidations_high"]
    evidence = np.where(by_liquidations, "liquidations", "open_interest").astype(object)
    evidence[label != "cascade"] = None
    return evidence


def _reasons(features: pd.DataFrame, label: np.ndarray, holds: dict[str, np.ndarray]) -> list[str]:
    parts: list[list[str]] = [[] for _ in label]
    for regime in REGIMES.values():
        rows = np.flatnonzero(label == regime.name)
        for threshold in (THRESHOLDS[t] for one_of in regime.rule for t in one_of):
            for row, text in _comparisons(features, threshold, rows[holds[threshold.name][rows]]):
                parts[row].append(text)
        if not regime.rule:
            for row, text in _values(features, rows):
                parts[row].append(text)
    for row, notes in enumerate(_notes(features)):
        parts[row] += notes
    return ["; ".join(texts) for texts in parts]


def _comparisons(features: pd.DataFrame, threshold: Threshold, rows: np.ndarray) -> Iterator[tuple[int, str]]:
    """(row, "7-day volatility 112 % ≥ limit 88 % (95 % quantile of the trailing 180 days)") for each of `rows`."""
    feature = RULE_FEATURES[threshold.feature]
    sign = "≥" if threshold.side == 1 else "≤"
    limits = features[f"{threshold.name}_limit"]
    quantiles = features.get(f"{threshold.name}_quantile", pd.Series(np.nan, features.index))
    columns = (column.to_numpy()[rows] for column in (features[threshold.feature], limits, quantiles))
    for row, value, limit, quantile in zip(rows, *columns, strict=True):
        origin = _limit_origin(threshold, limit, quantile)
        yield row, f"{feature.text} {_format(value, feature)} {sign} limit {_format(limit, feature)} ({origin})"


def _limit_origin(threshold: Threshold, limit: float, quantile: float) -> str:
    """Whether a limit is a fixed value, a bound or a trailing quantile."""
    if threshold.quantile is None:
        return "fixed"
    if np.isnan(quantile):
        return f"fixed, under {MIN_HISTORY_DAYS} days of history"
    share = f"{threshold.quantile * 100:.0f} % quantile"
    if limit != quantile:
        return f"fixed bound, {share} {_format(quantile, RULE_FEATURES[threshold.feature])}"
    return f"{share} of the trailing {WINDOW_DAYS} days"


def _values(features: pd.DataFrame, rows: np.ndarray) -> Iterator[tuple[int, str]]:
    """(row, "no rule met: 7-day volatility 41 %, …") for each of `rows`, with the known values of the main features."""
    columns = [features[name].to_numpy()[rows] for name in _SHOWN_WITHOUT_RULE]
    for row, *values in zip(rows, *columns, strict=True):
        known = [
            f"{RULE_FEATURES[name].text} {_format(value, RULE_FEATURES[name])}"
            for name, value in zip(_SHOWN_WITHOUT_RULE, values, strict=True)
            if not np.isnan(value)
        ]
        yield row, f"no rule met: {', '.join(known) or 'nothing known'}"


def _notes(features: pd.DataFrame) -> list[list[str]]:
    """For each row: inputs that are missing or come from some venues only, and features that are unknown."""
    notes: list[list[str]] = [[] for _ in range(len(features))]
    unknown: list[list[str]] = [[] for _ in range(len(features))]
    total = features["venues_total"].to_numpy()
    for i in INPUTS:
        venues, coverage = features[i.venues_column].to_numpy(), features[i.coverage_column].fillna(0.0).to_numpy()
        names = features[i.venue_names_column].to_numpy() if i.venue_names_column in features else np.full(len(features), None)
        for row in np.flatnonzero(venues == 0):
            notes[row].append(f"{i.name} missing")
        for row in np.flatnonzero((venues > 0) & (venues < total)):
            named = f" ({names[row]})" if isinstance(names[row], str) else ""
            notes[row].append(f"{i.name} from {venues[row]} of {total[row]} venues{named}")
        for row in np.flatnonzero((venues > 0) & (coverage < _COMPLETE * venues / total)):
            notes[row].append(f"{i.name}: {coverage[row] * 100:.0f} % of the expected observations seen")
        for name in i.features:
            for row in np.flatnonzero(features[name].isna() & (venues > 0)):
                unknown[row].append(RULE_FEATURES[name].text)
    equal_weights = features["funding_weighting"].eq("equal") & features["funding_8h"].notna()
    for row in np.flatnonzero(equal_weights):
        notes[row].append("funding weighted equally")
    return [[*texts, f"not known: {', '.join(u)}"] if u else texts for texts, u in zip(notes, unknown, strict=True)]


def _format(value: float, feature: Feature) -> str:
    match feature.format:
        case "percent":
            return f"{value * 100:.3g} %"
        case "signed":
            return f"{value * 100:+.1f} %"
        case "rate":
            return f"{value * 100:.4f} %"
        case "ratio":
            return f"{value:.2f}"
        case "days":
            return f"{value:.0f} of 5 days"
