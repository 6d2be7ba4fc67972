"""Regime features, labels, forecasts and their scores as assets: read the marts, call `assets.regimes`, write the tables.

Features, labels and postures are made again from the first day whose daily rows changed: a label of these rows and the trailing
ones that it reads (`regimes.REACH_DAYS`), the score of a posture of all before. The other tables are rebuilt whole: a score reads
all of the past, and they are small. Descriptions come from `assets.regimes.tables` and become comments of the tables and columns.

Alone: `dagster asset materialize -m assets.definitions --select "group:regimes"`, or `perps run --forecasts`.
"""

from collections.abc import Iterator, Mapping
from datetime import date, timedelta

import dagster as dg
import duckdb
import pandas as pd

from assets import regimes
from assets.defs.resources import SettingsResource
from assets.regimes import DAILY, known, posture
from assets.regimes.tables import TABLES
from pipelines import warehouse
from pipelines.meta_tables import quoted
from pipelines.units import comment

FEATURES, LABELS, POSTURE, FORECASTS, EVENTS, SCORECARD, CHANGES, SIGNALS, LAST_DAY = REGIMES = tuple(
    dg.AssetKey(["marts", name]) for name in TABLES
)
#: Assets built only with `--forecasts`.
ON_DEMAND = (FORECASTS, EVENTS, SCORECARD, CHANGES)
LAST_DAY_READS = ("daily_assets", "daily_market", "daily_venues", "daily_funding_spreads", "daily_liquidations")


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
    specs=[_spec(key, _marts("daily_assets", "daily_market", *known.FACTS), "pandera") for key in (FEATURES, LABELS, POSTURE)],
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def label_regimes(settings: SettingsResource) -> Iterator[dg.MaterializeResult[None]]:
    """Label the days whose rows changed and those after them, and suggest a posture for each day."""
    database = settings.resolve().database
    with warehouse.one_writer(database), warehouse.connect(database) as connection:
        since = label_changed(connection)
        labels = dict(connection.execute("SELECT label, count(*) FROM marts.regime_labels GROUP BY ALL ORDER BY ALL").fetchall())
        for key in (FEATURES, LABELS, POSTURE):
            sql = f"SELECT count(*), coalesce(min(day) || ' to ' || max(day), '') FROM marts.{key.path[-1]}"
            rows, window = connection.execute(sql).fetchall()[0]
            metadata = {"dagster/row_count": rows, "window": window, "labels": labels if key == LABELS else {}}
            metadata["made_from"] = str(since or "no day changed")
            yield dg.MaterializeResult(asset_key=key, metadata=metadata)


#: The days, and what their labels are made of, as `meta.labelled` has it; `$1` is the hash of the rules.
_LABELLED = f"SELECT day, sum(hash(t)::HUGEINT) AS rows, $1 AS rules FROM {DAILY} AS t GROUP BY day"


def label_changed(connection: duckdb.DuckDBPyConnection) -> date | None:
    """Label all days, and their posture, from the first whose daily rows are not those of its labels. Gives that day, or None."""
    since: date | None
    rules = regimes.fingerprint()
    with warehouse.transaction(connection):
        connection.execute(f"CREATE OR REPLACE TEMP TABLE now AS {_LABELLED}", [rules])
        differ = "(FROM now EXCEPT FROM meta.labelled UNION ALL (FROM meta.labelled EXCEPT FROM now))"
        (since,) = connection.execute(f"SELECT min(day) FROM {differ}").fetchall()[0]
        (kept,) = connection.execute("SELECT count(*) FROM meta.labelled WHERE day < $1", [since]).fetchall()[0]
        if since or not kept:
            from_day = since if kept else date.min
            read_from = since - timedelta(days=regimes.REACH_DAYS) if kept else date.min
            features, labels = regimes.label(
                connection.execute(f"FROM {DAILY} WHERE day >= $1 ORDER BY day, asset", [read_from]).df(), from_day
            )
            postures = posture.build(
                connection.sql(f"SELECT day, asset, close, low, realised_vol_7d FROM {DAILY}").df(), from_day
            )
            labels["known_at"] = known.known_at(connection, labels)
            postures["known_at"] = known.known_at(connection, postures, "fct_candles")
            for key, frame in ((FEATURES, features), (LABELS, labels), (POSTURE, postures[list(posture.POSTURE.columns)])):
                write_table(connection, key.path[-1], frame, since if kept else None)
            connection.execute("DELETE FROM meta.labelled; INSERT INTO meta.labelled FROM now")
    return since


@dg.multi_asset(
    name="forecast_regimes",
    specs=[
        _spec(
            FORECASTS,
            [LABELS, *_marts("daily_assets", "daily_market", "daily_instruments", "daily_industry", "fct_references")],
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
        write_tables(connection, tables)
    for key, frame in tables.items():
        verdicts = frame["verdict"].value_counts().to_dict() if "verdict" in frame else {}
        yield dg.MaterializeResult(asset_key=key, metadata={"dagster/row_count": len(frame), "verdicts": verdicts})


@dg.multi_asset(
    name="summarise_regimes",
    specs=[
        _spec(SIGNALS, [LABELS, POSTURE, FORECASTS]),
        _spec(LAST_DAY, [LABELS, POSTURE, *_marts(*LAST_DAY_READS)]),
    ],
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def summarise_regimes(settings: SettingsResource) -> Iterator[dg.MaterializeResult[None]]:
    """List all signals, with the red flags of the last forecasts, and the market's last day that is over."""
    from assets.regimes import last_day, signals

    database = settings.resolve().database
    with warehouse.one_writer(database), warehouse.connect(database) as connection:
        tables = {SIGNALS: signals.read(connection), LAST_DAY: last_day.read(connection)}
        write_tables(connection, tables)
    for key, frame in tables.items():
        yield dg.MaterializeResult(asset_key=key, metadata={"dagster/row_count": len(frame)})


def live_forecasts(connection: duckdb.DuckDBPyConnection, backtest: pd.DataFrame) -> pd.DataFrame:
    """All live forecasts (`meta.forecasts_live`), after adding those of the last day that is over where they are new."""
    with warehouse.transaction(connection):
        connection.execute("CREATE TABLE IF NOT EXISTS meta.forecasts_live AS SELECT * FROM backtest LIMIT 0")
        if "basis" in connection.table("meta.forecasts_live").columns:  # its old name
            connection.execute("ALTER TABLE meta.forecasts_live RENAME COLUMN basis TO run_type")
        latest = backtest[backtest["day"] == backtest["day"].max()].assign(run_type="live")  # noqa: F841 (DuckDB reads it by name)
        connection.execute(
            "INSERT INTO meta.forecasts_live BY NAME "
            "FROM latest ANTI JOIN meta.forecasts_live USING (day, asset, target, method) SELECT *"
        )
    return connection.sql("FROM meta.forecasts_live").df()


def write_tables(connection: duckdb.DuckDBPyConnection, tables: Mapping[dg.AssetKey, pd.DataFrame]) -> None:
    """Replace tables of `marts` together."""
    with warehouse.transaction(connection):
        for key, frame in tables.items():
            write_table(connection, key.path[-1], frame)


def write_table(connection: duckdb.DuckDBPyConnection, name: str, frame: pd.DataFrame, since: date | None = None) -> None:
    """Replace `marts.<name>` with a frame, or its rows from a day on; the descriptions of its schema become comments.

    The schema is the table's contract: raises pandera's `SchemaErrors` for a frame that breaks it, such as an infinite number.
    """
    schema = TABLES[name]
    frame = schema.validate(frame, lazy=True)
    days = [c for c in frame if str(schema.columns[c].dtype).startswith("datetime64") and not str(c).endswith("_at")]
    columns = ", ".join(f'"{c}"::DATE AS "{c}"' if c in days else f'"{c}"' for c in frame.columns)
    connection.register("frame", frame)
    if since:
        connection.execute(f'DELETE FROM marts."{name}" WHERE day >= $1', [since])
        connection.execute(f'INSERT INTO marts."{name}" SELECT {columns} FROM frame')
        connection.unregister("frame")
        return
    connection.execute(f'CREATE OR REPLACE TABLE marts."{name}" AS SELECT {columns} FROM frame')
    connection.unregister("frame")
    connection.execute(f'COMMENT ON TABLE marts."{name}" IS {quoted(schema.description)}')
    for column in frame:
        about = schema.columns[column]
        text = comment(about.description, (about.metadata or {}).get("unit"))
        connection.execute(f'COMMENT ON COLUMN marts."{name}"."{column}" IS {quoted(text)}')
