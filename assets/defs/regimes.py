"""Regime features, labels, forecasts and their scores as assets: read the marts, call `assets.regimes`, write the tables.

The tables are rebuilt whole: a label depends on 180 trailing days, a fit on all of the past, and the tables are small. Their
descriptions come from `assets.regimes.tables` and become comments of the tables and columns.

Alone: `dagster asset materialize -m assets.definitions --select "group:regimes"`, or `perps run --forecasts`.
"""

from collections.abc import Iterator

import dagster as dg
import duckdb
import pandas as pd

from assets.defs.resources import SettingsResource
from assets.regimes.tables import TABLES
from pipelines import warehouse
from pipelines.meta_tables import quoted

FEATURES, LABELS, FORECASTS, EVENTS, SCORECARD, CHANGES = (dg.AssetKey(["marts", name]) for name in TABLES)
#: Assets built only with `--forecasts`.
ON_DEMAND = (FORECASTS, EVENTS, SCORECARD, CHANGES)
REGIMES = (FEATURES, LABELS, *ON_DEMAND)


def _spec(key: dg.AssetKey, deps: list[dg.AssetKey], *kinds: str) -> dg.AssetSpec:
    schema = TABLES[key.path[-1]]
    columns = [dg.TableColumn(name, str(column.dtype), column.description) for name, column in schema.columns.items()]
    return dg.AssetSpec(
        key,
        deps=deps,
        group_name="regimes",
        kinds={"pandas", *kinds},
        description=schema.description,
        metadata={"dagster/column_schema": dg.TableSchema(columns)},
    )


def _marts(*names: str) -> list[dg.AssetKey]:
    return [dg.AssetKey(["marts", name]) for name in names]


@dg.multi_asset(
    name="label_regimes",
    specs=[_spec(FEATURES, _marts("daily_assets"), "pandera"), _spec(LABELS, _marts("daily_assets"), "pandera")],
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def label_regimes(settings: SettingsResource) -> Iterator[dg.MaterializeResult[None]]:
    """Label all days."""
    from assets import regimes

    database = settings.resolve().database
    with warehouse.one_writer(database), warehouse.connect(database) as connection:
        daily = connection.sql("SELECT * FROM marts.daily_assets ORDER BY day, asset").df()
        tables = dict(zip((FEATURES, LABELS), regimes.label(regimes.with_market(daily)), strict=True))
        connection.begin()
        for key, frame in tables.items():
            write_table(connection, key.path[-1], frame)
        connection.commit()
    for key, frame in tables.items():
        counts = frame["label"].value_counts().to_dict() if "label" in frame else {}
        window = f"{frame['day'].min():%Y-%m-%d} to {frame['day'].max():%Y-%m-%d}" if len(frame) else ""
        metadata = {"dagster/row_count": len(frame), "window": window, "labels": counts}
        yield dg.MaterializeResult(asset_key=key, metadata=metadata)


@dg.multi_asset(
    name="forecast_regimes",
    specs=[
        _spec(
            FORECASTS,
            [LABELS, *_marts("daily_assets", "daily_instruments", "daily_industry", "fct_references")],
            "scikitlearn",
        ),
        _spec(EVENTS, [LABELS], "scikitlearn"),
        _spec(SCORECARD, [LABELS, FORECASTS, EVENTS], "scikitlearn"),
        _spec(CHANGES, [LABELS, FEATURES], "scikitlearn"),
    ],
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def forecast_regimes(settings: SettingsResource) -> Iterator[dg.MaterializeResult[None]]:
    """Forecast all days that are over, walking forward, and score the forecasts; live forecasts are kept unchanged.

    Selecting these assets asks for forecasts; a run whose choice `forecasts` is false leaves the tables as they are.
    """
    if settings.choices.forecasts is False:
        yield from (dg.MaterializeResult(asset_key=key, metadata={"status": "not asked for"}) for key in ON_DEMAND)
        return
    from assets.regimes import audit, forecasts

    resolved = settings.resolve()
    with warehouse.one_writer(resolved.database), warehouse.connect(resolved.database) as connection:
        backtest, events, scorecard = forecasts.tables_from_marts(connection)
        labelled = "FROM marts.regime_features JOIN marts.regime_labels USING (day, asset) ORDER BY asset, day"
        changes = audit.changes(connection.sql(labelled).df())
        if resolved.mode == "live":
            backtest = pd.concat([backtest, live_forecasts(connection, backtest)], ignore_index=True)
        tables = dict(zip(ON_DEMAND, (backtest, events, scorecard, changes), strict=True))
        connection.begin()
        for key, frame in tables.items():
            write_table(connection, key.path[-1], frame)
        connection.commit()
    for key, frame in tables.items():
        verdicts = frame["verdict"].value_counts().to_dict() if "verdict" in frame else {}
        yield dg.MaterializeResult(asset_key=key, metadata={"dagster/row_count": len(frame), "verdicts": verdicts})


def live_forecasts(connection: duckdb.DuckDBPyConnection, backtest: pd.DataFrame) -> pd.DataFrame:
    """All live forecasts (`meta.forecasts_live`), after adding those of the last day that is over where they are new."""
    connection.execute("CREATE TABLE IF NOT EXISTS meta.forecasts_live AS SELECT * FROM backtest LIMIT 0")
    if "basis" in connection.table("meta.forecasts_live").columns:  # its old name
        connection.execute("ALTER TABLE meta.forecasts_live RENAME COLUMN basis TO run_type")
    latest = backtest[backtest["day"] == backtest["day"].max()].assign(run_type="live")  # noqa: F841 (DuckDB reads it by name)
    connection.execute(
        "INSERT INTO meta.forecasts_live BY NAME "
        "FROM latest ANTI JOIN meta.forecasts_live USING (day, asset, target, method) SELECT *"
    )
    return connection.sql("FROM meta.forecasts_live").df()


def write_table(connection: duckdb.DuckDBPyConnection, name: str, frame: pd.DataFrame) -> None:
    """Replace `marts.<name>` with a frame; the descriptions of its schema become comments.

    The schema is the table's contract: raises pandera's `SchemaErrors` for a frame that breaks it, such as an infinite number.
    """
    schema = TABLES[name]
    frame = schema.validate(frame, lazy=True)
    days = [column for column in frame if str(schema.columns[column].dtype).startswith("datetime64")]
    columns = ", ".join(f'"{c}"::DATE AS "{c}"' if c in days else f'"{c}"' for c in frame.columns)
    connection.register("frame", frame)
    connection.execute(f'CREATE OR REPLACE TABLE marts."{name}" AS SELECT {columns} FROM frame')
    connection.unregister("frame")
    connection.execute(f'COMMENT ON TABLE marts."{name}" IS {quoted(schema.description)}')
    for column in frame:
        connection.execute(f'COMMENT ON COLUMN marts."{name}"."{column}" IS {quoted(schema.columns[column].description)}')
