"""Market regimes: one label per UTC day and asset, by rules that a person can read and check.

Daily rows go in, features and labels come out; both are pure functions of the rows given:

    marts.daily_assets, daily_market ──► features.build ──► regime_features ──► rules.apply ──► regime_labels

`thresholds` holds every regime and number, `schemas` the schema of each frame, `tables` all published tables. A row of day d is
computed from rows with day <= d, and its trailing quantiles from the 180 days before d: no label uses the future.

`MARKET` is an additional asset: the average of the others. `METHOD` is the version of the rules; v2 separated a crash (a low
10 % or more under the last close, without evidence of forced closing) from stress, v3 takes a cascade's forced closing from
liquidations where they are heard (`cascade_evidence`), from open interest where not.

Alone: ``features, labels = regimes.label(duckdb.connect(path).sql(f"FROM {regimes.DAILY}").df())``.
"""

import hashlib
from datetime import date
from functools import cache
from pathlib import Path

import pandas as pd

from assets.regimes import features, rules, schemas
from assets.regimes.market import DAILY, MARKET

METHOD = rules.METHOD
REACH_DAYS = features.REACH_DAYS
__all__ = ["DAILY", "MARKET", "METHOD", "REACH_DAYS", "fingerprint", "label"]


@cache
def fingerprint() -> str:
    """A hash of the code of features and rules: with other code all days are labelled anew."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def label(daily: pd.DataFrame, since: date = date.min) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Features and labels of daily rows (`schemas.DAILY`; any row order, one row per day and asset).

    Returns `regime_features` (`schemas.FEATURES`) and `regime_labels` (`schemas.LABELS`), sorted by day and asset, with the
    same keys as the input, of the days from `since` on. Raises `pandera.errors.SchemaErrors`, with all failing rows, where the
    input violates its schema.
    """
    # Pandera can't report duplicate keys of a frame whose index repeats.
    rows = schemas.DAILY.validate(daily.reset_index(drop=True), lazy=True)
    built = features.build(rows)
    computed = schemas.FEATURES.validate(built[built["day"].dt.date >= since].reset_index(drop=True), lazy=True)
    return computed, schemas.LABELS.validate(rules.apply(computed), lazy=True)
