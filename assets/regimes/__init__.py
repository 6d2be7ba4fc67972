"""Market regimes: one label per UTC day and asset, by a rule that a person can read and check.

Daily market rows go in, features and labels come out, both pure functions of the rows given:

    marts.daily_assets ──► with_market ──► features.build ──► regime_features ──► rules.apply ──► regime_labels

`thresholds` holds every number of the method, `schemas` the shape of each frame. Nothing looks forward: a row of day d is
made from rows with day <= d, and the quantiles it is held against from the 180 days *before* d.

`MARKET` is one asset more: the average of the others. `METHOD` names the version of the rule; v2 tells a crash (a low 10 % or
more under the last close, with no evidence of forced closing) from the volatility that is stress.

Alone: ``features, labels = regimes.label(duckdb.connect(path).sql("from marts.daily_assets").df())``.
"""

import pandas as pd

from assets.regimes import features, rules, schemas
from assets.regimes.market import MARKET, with_market

METHOD = rules.METHOD
__all__ = ["MARKET", "METHOD", "label", "with_market"]


def label(daily: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Features and labels of daily market rows (`schemas.DAILY`; any row order, one row per day x asset).

    Returns `regime_features` (`schemas.FEATURES`) and `regime_labels` (`schemas.LABELS`), sorted by day and asset, with the
    same keys as the input. Raises `pandera.errors.SchemaErrors`, with all failing rows, when the input is not of its schema.
    """
    # Pandera can't report duplicate keys of a frame whose index repeats.
    checked = schemas.DAILY.validate(daily.reset_index(drop=True), lazy=True)
    built = schemas.FEATURES.validate(features.build(checked), lazy=True)
    return built, schemas.LABELS.validate(rules.apply(built), lazy=True)
