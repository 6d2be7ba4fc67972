"""Forecasts of the coming week, made walking forward, and their skill.

Three things are separate. The **nowcast** is `regime_labels`: what today is, by its close. The **risk state** is how volatile the
coming week will be, the **early warning** whether it brings a crash or a cascade; both are probabilities here.

    marts ──► inputs.build ──► methods.walk_forward ──► regime_forecasts ──► score ──► regime_scorecard, regime_events

`plan` holds what was fixed before any scoring: targets, features, length of fits, the flag rule; every row has its hash.
A forecast of day d uses days up to d; a fit uses days whose week was over `plan.EMBARGO_DAYS` before.

Alone: ``forecasts.tables_from_marts(duckdb.connect(path))``.
"""

from __future__ import annotations

from datetime import date

import duckdb
import pandas as pd

from assets.regimes.forecasts import plan
from assets.regimes.market import DAILY

Tables = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]

QUERY = f"""
SELECT m.*, l.label, d.funding_dispersion, d.positive_share, i.hhi_volume, i.dex_volume_share, c.market_cap
FROM {DAILY} AS m
LEFT JOIN marts.regime_labels AS l USING (day, asset)
LEFT JOIN (
    SELECT day, base_asset AS asset, stddev(funding_8h) AS funding_dispersion, avg((funding_8h > 0)::INTEGER) AS positive_share
    FROM marts.daily_instruments WHERE funding_8h IS NOT NULL GROUP BY ALL
) AS d USING (day, asset)
LEFT JOIN marts.daily_industry AS i USING (day)
LEFT JOIN (
    SELECT period_end::DATE AS day, base_asset AS asset, arg_max(value, period_end) AS market_cap
    FROM marts.fct_references WHERE metric = 'market_cap' AND base_asset IS NOT NULL GROUP BY ALL
) AS c USING (day, asset)
"""


def tables_from_marts(connection: duckdb.DuckDBPyConnection) -> Tables:
    """`regime_forecasts`, `regime_events` and `regime_scorecard` of a warehouse's marts, from the days that are over."""
    daily = _rows(connection, "day < (SELECT as_of FROM meta.scope)::DATE")
    return tables_from_rows(daily, synthetic=_is_synthetic(daily))


def scorecard_as_of(connection: duckdb.DuckDBPyConnection, day: date) -> pd.DataFrame:
    """The scorecard over all assets as a run on the evening of `day` would have written it, from the published forecasts."""
    from assets.regimes.forecasts import events, inputs, score

    daily = _rows(connection, f"day <= '{day}'")
    frame = inputs.build(daily)
    columns = f"FROM marts.regime_forecasts WHERE run_type = 'backtest' AND day <= '{day}'"
    table = score.build_scorecard(
        frame, connection.sql(columns).df(), events.find_events(frame), synthetic=_is_synthetic(daily), pooled_only=True
    )
    return _rounded(table)


def _rows(connection: duckdb.DuckDBPyConnection, days: str) -> pd.DataFrame:
    """Daily rows with `inputs.REQUIRED_COLUMNS` of the days that the SQL condition chooses, MARKET's among them."""
    return connection.sql(f"FROM ({QUERY}) WHERE {days} ORDER BY asset, day").df()


def _is_synthetic(daily: pd.DataFrame) -> bool:
    return bool(daily["origin"].eq("synthetic").any())


def tables_from_rows(daily: pd.DataFrame, *, synthetic: bool) -> Tables:
    """The same from daily rows: a row per day and asset with `inputs.REQUIRED_COLUMNS`. Too few days give empty tables."""
    from assets.regimes.forecasts import schemas

    if daily["day"].nunique() <= plan.MIN_TRAIN_DAYS:
        return schemas.empty(schemas.FORECASTS), schemas.empty(schemas.EVENTS), schemas.empty(schemas.SCORECARD)

    from assets.regimes.forecasts import events, inputs, methods, score  # scikit-learn takes seconds to import

    frame = inputs.build(daily)
    forecasts = methods.walk_forward(frame)
    found = events.find_events(frame)
    scorecard = score.build_scorecard(frame, forecasts, found, synthetic=synthetic)
    return (
        schemas.FORECASTS.validate(_rounded(forecasts), lazy=True),
        schemas.EVENTS.validate(_rounded(found), lazy=True),
        schemas.SCORECARD.validate(_rounded(scorecard), lazy=True),
    )


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    """Floats to six digits, so that another order of summation gives the same table."""
    numbers = table.select_dtypes("float").columns
    return table.assign(**{name: table[name].round(6) for name in numbers})
