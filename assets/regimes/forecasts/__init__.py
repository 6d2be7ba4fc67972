"""Forecasts of the coming week, made walking forward, and how good they were.

Three things are kept apart. The **nowcast** is `regime_labels`: what today is, by its close. The **risk state** is how volatile
the coming week will be, the **early warning** whether it brings a crash or a cascade; both are probabilities here.

    marts ──► inputs.build ──► methods (fitted on the past alone) ──► regime_forecasts ──► score ──► regime_scorecard,
    regime_events

`plan` holds what was decided before anything was scored: targets, features, refits, the flag; its hash stands in every row.
A forecast of day d uses days up to d; a fit uses days whose week was over a week before (`plan.EMBARGO_DAYS`).

Alone: ``forecasts.of_database(duckdb.connect(path))``.
"""

from __future__ import annotations

import duckdb
import pandas as pd

from assets.regimes.forecasts import plan
from assets.regimes.market import with_market

QUERY = """
SELECT m.*, l.label, d.funding_dispersion, d.positive_share, i.hhi_volume, i.dex_volume_share, c.market_cap
FROM daily_and_market AS m
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
ORDER BY asset, day
"""


def of_database(connection: duckdb.DuckDBPyConnection) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """`regime_forecasts`, `regime_events` and `regime_scorecard` of a warehouse's marts, of the days that are over."""
    over = "FROM marts.daily_assets WHERE day < (SELECT as_of FROM meta.scope)::DATE"
    connection.register("daily_and_market", with_market(connection.sql(over).df()))
    markets = connection.sql(QUERY).df()
    connection.unregister("daily_and_market")
    return of_markets(markets, synthetic=bool(markets["origin"].eq("synthetic").any()))


def of_markets(markets: pd.DataFrame, *, synthetic: bool) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The same of daily rows: a row per day and asset with the columns of `inputs.NEEDS`. Too few days give no rows."""
    from assets.regimes.forecasts import schemas

    shapes = (schemas.FORECASTS, schemas.EVENTS, schemas.SCORECARD)
    if markets["day"].nunique() <= plan.MIN_TRAIN_DAYS:
        made: tuple[pd.DataFrame, ...] = tuple(schemas.empty(shape) for shape in shapes)
    else:
        from assets.regimes.forecasts import inputs, methods, score  # seconds of imports, for those who have days enough

        frame = inputs.build(markets)
        forecasts = methods.walk_forward(frame)
        known = score.events(frame)
        made = (forecasts, known, score.card(frame, forecasts, known, synthetic=synthetic))
        made = tuple(shape.validate(_rounded(table), lazy=True) for shape, table in zip(shapes, made, strict=True))
    return made[0], made[1], made[2]


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    """To six digits: what another order of summation changes is no number."""
    numbers = table.select_dtypes("float").columns
    return table.assign(**{name: table[name].round(6) for name in numbers})
