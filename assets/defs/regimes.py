"""Regime features, labels, forecasts and their scores as assets: a read of marts, the pure functions of `assets.regimes`, a
write.

They are rebuilt whole: a label depends on 180 trailing days, a fit on all of the past, and the tables are small.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import pandas as pd

from assets.defs.resources import WAREHOUSE_POOL
from assets.runtime.session import Session
from pipelines import warehouse

FEATURES, LABELS = (dg.AssetKey(["marts", name]) for name in ("regime_features", "regime_labels"))
FORECASTS, EVENTS, SCORECARD, CHANGES = (
    dg.AssetKey(["marts", f"regime_{name}"]) for name in ("forecasts", "events", "scorecard", "changes")
)
#: What runs make that ask for it.
ON_DEMAND = (FORECASTS, EVENTS, SCORECARD, CHANGES)


@dg.multi_asset(
    name="label_regimes",
    specs=[
        dg.AssetSpec(
            FEATURES,
            deps=[["marts", "daily_assets"]],
            group_name="regimes",
            kinds={"pandas", "pandera"},
            description="Inputs of the regime rule per UTC day and asset, with the trailing quantiles they are held against.",
        ),
        dg.AssetSpec(
            LABELS,
            deps=[["marts", "daily_assets"]],
            group_name="regimes",
            kinds={"pandas", "pandera"},
            description="One label per UTC day and asset with its confidence and reasons. No label uses a later day.",
        ),
    ],
    pool=WAREHOUSE_POOL,
)
def label_regimes(session: dg.ResourceParam[Session]) -> Iterator[dg.MaterializeResult[None]]:
    """Label every day anew."""
    from assets import regimes

    with warehouse.one_writer(session.database), warehouse.connect(session.database) as connection:
        daily = connection.sql("SELECT * FROM marts.daily_assets ORDER BY day, asset").df()
        made = regimes.label(regimes.with_market(daily))
        connection.begin()
        for key, frame in zip((FEATURES, LABELS), made, strict=True):
            _replace(connection, key.path[-1], frame)
        connection.commit()
    for key, frame in zip((FEATURES, LABELS), made, strict=True):
        counts = frame["label"].value_counts().to_dict() if "label" in frame else {}
        window = f"{frame['day'].min():%Y-%m-%d} to {frame['day'].max():%Y-%m-%d}" if len(frame) else ""
        metadata = {"dagster/row_count": len(frame), "window": window, "labels": counts}
        yield dg.MaterializeResult(asset_key=key, metadata=metadata)


@dg.multi_asset(
    name="forecast_regimes",
    specs=[
        dg.AssetSpec(key, deps=[LABELS, *deps], group_name="regimes", kinds={"pandas", "scikitlearn"}, description=told)
        for key, deps, told in (
            (
                FORECASTS,
                [["marts", name] for name in ("daily_assets", "daily_instruments", "daily_industry", "fct_references")],
                "What each method said of the coming week on each day, from the past alone; live rows stay as they were said.",
            ),
            (EVENTS, [], "Crashes and cascades: what there was to be warned of."),
            (SCORECARD, [FORECASTS, EVENTS], "How good each method was, with intervals, against its nulls."),
            (CHANGES, [FEATURES], "Where levels changed, told in hindsight: an audit of the labels that feeds none."),
        )
    ],
    pool=WAREHOUSE_POOL,
)
def forecast_regimes(session: dg.ResourceParam[Session]) -> Iterator[dg.MaterializeResult[None]]:
    """Forecast every day that is over anew, walking forward, and score it; what was said live is kept as it was said."""
    from assets.regimes import audit, forecasts
    from assets.regimes.forecasts import schemas

    shapes = (schemas.FORECASTS, schemas.EVENTS, schemas.SCORECARD, audit.CHANGES)
    with warehouse.one_writer(session.database), warehouse.connect(session.database) as connection:
        said, events, card = forecasts.of_database(connection)
        labelled = "FROM marts.regime_features JOIN marts.regime_labels USING (day, asset) ORDER BY asset, day"
        changed = audit.changes(connection.sql(labelled).df())
        if session.settings.mode == "live":
            said = pd.concat([said, _said_live(connection, said)], ignore_index=True)
        connection.begin()
        for key, frame, shape in zip(ON_DEMAND, (said, events, card, changed), shapes, strict=True):
            _replace(connection, key.path[-1], frame, shape.columns)
        connection.commit()
    for key, frame in zip(ON_DEMAND, (said, events, card, changed), strict=True):
        verdicts = frame["verdict"].value_counts().to_dict() if "verdict" in frame else {}
        yield dg.MaterializeResult(asset_key=key, metadata={"dagster/row_count": len(frame), "verdicts": verdicts})


def _said_live(connection: object, said: pd.DataFrame) -> pd.DataFrame:
    """All that was ever said live, with today's last closed day added to it where it is new."""
    execute = connection.execute  # type: ignore[attr-defined]
    execute("CREATE TABLE IF NOT EXISTS meta.forecasts_live AS SELECT * FROM said LIMIT 0")
    latest = said[said["day"] == said["day"].max()].assign(run_type="live")  # noqa: F841 (DuckDB reads it by its name)
    execute(
        "INSERT INTO meta.forecasts_live SELECT * FROM latest ANTI JOIN meta.forecasts_live USING (day, asset, target, method)"
    )
    found: pd.DataFrame = execute("FROM meta.forecasts_live").df()
    return found


def _replace(connection: object, name: str, frame: pd.DataFrame, described: Mapping[str, Any] | None = None) -> None:
    """Write a table anew; `described` are columns of a schema whose descriptions become comments."""
    connection.register("made", frame)  # type: ignore[attr-defined]
    days = ("day", "started_on", "ended_on", "fitted_on", "first_day", "last_day")
    columns = ", ".join(f'"{c}"::DATE AS "{c}"' if c in days else f'"{c}"' for c in frame.columns)
    connection.execute(f'CREATE OR REPLACE TABLE marts."{name}" AS SELECT {columns} FROM made')  # type: ignore[attr-defined]
    connection.unregister("made")  # type: ignore[attr-defined]
    for column, schema in (described or {}).items():
        text = schema.description.replace("'", "''")
        connection.execute(f'COMMENT ON COLUMN marts."{name}"."{column}" IS \'{text}\'')  # type: ignore[attr-defined]
