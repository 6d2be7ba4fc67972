"""Regime features to labels: the first rule of `thresholds.RULES` that holds, with its confidence and its reasons.

Every sentence of a reason is a value beside the limit that it met, or the name of what was not known.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from assets.regimes.thresholds import (
    EQUAL_WEIGHT_FACTOR,
    INPUTS,
    MIN_HISTORY_DAYS,
    READABLE,
    RULES,
    THRESHOLDS,
    UNWEIGHTED_HISTORY,
    WINDOW_DAYS,
    Format,
    Threshold,
)

METHOD = "rule_v2"
_INCOMPLETE = 0.98  # of what the venues present should have given; below it, the reason says so
_SHOWN_WHEN_NEUTRAL = ("realised_vol_7d", "low_vs_prev_close", "oi_change_1d", "funding_8h", "oi_to_volume")


def apply(features: pd.DataFrame) -> pd.DataFrame:
    """Label each row of `schemas.FEATURES`; rows are independent of each other. Returns `schemas.LABELS`."""
    holds = {name: _holds(features, t) for name, t in THRESHOLDS.items()}
    everywhere = np.ones(len(features), dtype=bool)
    met = [
        np.logical_and.reduce([everywhere, *(np.logical_or.reduce([holds[n] for n in one_of]) for one_of in rule)])
        for rule in RULES.values()
    ]
    label = np.select(met, list(RULES), default="neutral").astype(object)
    return features[["day", "asset"]].assign(
        label=pd.Series(label, features.index, dtype=str),
        confidence=confidence(features),
        reasons=pd.Series(_reasons(features, label, holds), features.index, dtype=str),
        method=METHOD,
    )


def confidence(features: pd.DataFrame) -> pd.Series:
    """How much of what the rules ask for was known, 0..1 (formula: `thresholds.INPUTS`).

    It speaks of the completeness of the inputs, not of the odds that the label is right.
    """
    support = sum(
        i.weight * features[i.coverage].fillna(0.0) * features[list(i.features)].notna().mean(axis=1)
        * (np.where(features["funding_weighting"] == "equal", EQUAL_WEIGHT_FACTOR, 1.0) if i.text == "funding" else 1.0)
        for i in INPUTS
    )  # fmt: skip
    history = (features["history_days"] / WINDOW_DAYS).clip(upper=1.0)
    return (support * (UNWEIGHTED_HISTORY + (1 - UNWEIGHTED_HISTORY) * history)).round(4)


def _holds(features: pd.DataFrame, threshold: Threshold) -> np.ndarray:
    excess = features[threshold.feature] - features[f"{threshold.name}_limit"]
    return (excess * threshold.side >= 0).to_numpy()


def _reasons(features: pd.DataFrame, label: np.ndarray, holds: dict[str, np.ndarray]) -> list[str]:
    parts: list[list[str]] = [[] for _ in label]
    for name, rule in RULES.items():
        rows = np.flatnonzero(label == name)
        for threshold in (THRESHOLDS[t] for one_of in rule for t in one_of):
            for row, text in _comparisons(features, threshold, rows[holds[threshold.name][rows]]):
                parts[row].append(text)
    for row, text in _values(features, np.flatnonzero(label == "neutral")):
        parts[row].append(text)
    for row, notes in enumerate(_notes(features)):
        parts[row] += notes
    return ["; ".join(texts) for texts in parts]


def _comparisons(features: pd.DataFrame, threshold: Threshold, rows: np.ndarray) -> Iterator[tuple[int, str]]:
    """(row, "7-day volatility 112 % ≥ limit 88 % (95 % quantile of the trailing 180 days)") for each of `rows`."""
    name, form = READABLE[threshold.feature].text, READABLE[threshold.feature].format
    sign = "≥" if threshold.side == 1 else "≤"
    limits = features[f"{threshold.name}_limit"]
    quantiles = features.get(f"{threshold.name}_quantile", pd.Series(np.nan, features.index))
    columns = (column.to_numpy()[rows] for column in (features[threshold.feature], limits, quantiles))
    for row, value, limit, quantile in zip(rows, *columns, strict=True):
        yield (row, f"{name} {_write(value, form)} {sign} limit {_write(limit, form)} ({_basis(threshold, limit, quantile)})")


def _basis(threshold: Threshold, limit: float, quantile: float) -> str:
    if threshold.quantile is None:
        return "fixed"
    if np.isnan(quantile):
        return f"fixed, under {MIN_HISTORY_DAYS} days of history"
    share = f"{threshold.quantile * 100:.0f} % quantile"
    if limit != quantile:
        return f"fixed bound, {share} {_write(quantile, READABLE[threshold.feature].format)}"
    return f"{share} of the trailing {WINDOW_DAYS} days"


def _values(features: pd.DataFrame, rows: np.ndarray) -> Iterator[tuple[int, str]]:
    """(row, "no rule met: 7-day volatility 41 %, …") for each of `rows`, with what was known of the main features."""
    columns = [features[name].to_numpy()[rows] for name in _SHOWN_WHEN_NEUTRAL]
    for row, *values in zip(rows, *columns, strict=True):
        known = [
            f"{READABLE[name].text} {_write(value, READABLE[name].format)}"
            for name, value in zip(_SHOWN_WHEN_NEUTRAL, values, strict=True)
            if not np.isnan(value)
        ]
        yield row, f"no rule met: {', '.join(known) or 'nothing known'}"


def _notes(features: pd.DataFrame) -> list[list[str]]:
    """Per row: which inputs were missing, or stood on some of the venues only, and which features that left unknown."""
    notes: list[list[str]] = [[] for _ in range(len(features))]
    unknown: list[list[str]] = [[] for _ in range(len(features))]
    total = features["venues_total"].to_numpy()
    for source in INPUTS:
        venues, coverage = (features[source.venues].to_numpy(), features[source.coverage].fillna(0.0).to_numpy())
        names = features[source.names].to_numpy() if source.names in features else np.full(len(features), None)
        for row in np.flatnonzero(venues == 0):
            notes[row].append(f"{source.text} missing")
        for row in np.flatnonzero((venues > 0) & (venues < total)):
            named = f" ({names[row]})" if isinstance(names[row], str) else ""
            notes[row].append(f"{source.text} from {venues[row]} of {total[row]} venues{named}")
        for row in np.flatnonzero((venues > 0) & (coverage < _INCOMPLETE * venues / total)):
            notes[row].append(f"{source.text}: {coverage[row] * 100:.0f} % of the expected observations seen")
        for name in source.features:
            for row in np.flatnonzero(features[name].isna() & (venues > 0)):
                unknown[row].append(READABLE[name].text)
    equal_weights = features["funding_weighting"].eq("equal") & features["funding_8h"].notna()
    for row in np.flatnonzero(equal_weights):
        notes[row].append("funding weighted equally")
    return [[*texts, f"not known: {', '.join(u)}"] if u else texts for texts, u in zip(notes, unknown, strict=True)]


def _write(value: float, form: Format) -> str:
    match form:
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
