"""Publishing as assets: the marts as one read-only DuckDB file and as Parquet, and the report. Each is replaced in one step.

    marts, meta ──► published/perplake.duckdb ──► published/parquet/, report.html, regimes.html, claims.html

A reader with the old file open reads on in it; one who opens it during a run gets the whole old one. The warehouse itself is
only the writer's. Renamed tables and columns keep their old names for one release (`assets.defs.renamed`).
"""

import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg
import duckdb
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from assets.defs import dbt  # the module: a definition that is imported by name would be loaded twice
from assets.defs.checks import steps
from assets.defs.dbt import manifest
from assets.defs.regimes import REGIMES
from assets.defs.renamed import RENAMED, OldNames
from assets.defs.resources import SettingsResource
from assets.runtime.outcomes import check_outcomes
from pipelines import warehouse
from pipelines.meta_tables import quoted

MARTS = [
    dg.AssetKey(["marts", n["name"]])
    for n in manifest()["nodes"].values()
    if n["schema"] == "marts" and n["resource_type"] == "model"
]
COPY, PARQUET, REPORT = (dg.AssetKey(["serving", name]) for name in ("marts_duckdb", "marts_parquet", "report"))


def copy_marts(database: Path, out: Path) -> Path:
    """Write the schemas `marts` and `meta` of a warehouse, with their comments, into `out/perplake.duckdb`, in one step."""
    out.mkdir(parents=True, exist_ok=True)
    target, draft = out / "perplake.duckdb", out / "perplake.duckdb.part"
    draft.unlink(missing_ok=True)
    catalog = database.stem  # the name that views in the warehouse have for it
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f'ATTACH {quoted(str(database.resolve()))} AS "{catalog}" (READ_ONLY)')
        connection.execute(f'ATTACH {quoted(str(draft.resolve()))} AS "{catalog}_copy"; USE "{catalog}_copy"')
        relations = connection.execute(
            "SELECT schema_name, table_name, comment FROM duckdb_tables() WHERE database_name = $1 "
            "UNION ALL SELECT schema_name, view_name, comment FROM duckdb_views() WHERE database_name = $1",
            [catalog],
        ).fetchall()
        for schema, name, comment in relations:
            if schema != "meta" and dg.AssetKey([schema, name]) not in (*MARTS, *REGIMES):
                continue  # a table that an older version of perplake has left in `marts` is not published either
            table = f'"{schema}"."{name}"'
            connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
            connection.execute(f'CREATE TABLE {table} AS FROM "{catalog}".{table}')
            if comment:
                connection.execute(f"COMMENT ON TABLE {table} IS {quoted(comment)}")
            for column, described in connection.execute(
                "SELECT column_name, comment FROM duckdb_columns() WHERE database_name = ? AND schema_name = ? "
                "AND table_name = ? AND comment IS NOT NULL",
                [catalog, schema, name],
            ).fetchall():
                connection.execute(f'COMMENT ON COLUMN {table}."{column}" IS {quoted(described)}')
        connection.execute(f'DETACH "{catalog}"')
        _add_old_names(connection)
    draft.replace(target)
    return target


def _add_old_names(connection: duckdb.DuckDBPyConnection) -> None:
    """Views under the names of 0.1: `marts_0_1` for every table that changed, `marts.daily_markets` and `meta.run_info`."""
    columns: dict[str, list[str]] = {}
    for table, column in connection.execute(
        "SELECT table_name, column_name FROM duckdb_columns() WHERE schema_name IN ('marts', 'meta') ORDER BY column_index"
    ).fetchall():
        columns.setdefault(table, []).append(column)
    connection.execute("CREATE SCHEMA IF NOT EXISTS marts_0_1")
    for table, old in RENAMED.items():
        if table in columns:
            selected = ", ".join(f'{_old_value(old, name)} AS "{old.columns.get(name, name)}"' for name in columns[table])
            connection.execute(f'CREATE VIEW marts_0_1."{old.table or table}" AS SELECT {selected} FROM marts."{table}"')
    if "daily_assets" in columns:
        connection.execute("CREATE VIEW marts.daily_markets AS FROM marts_0_1.daily_markets")
    if "scope" in columns:
        connection.execute('CREATE VIEW meta.run_info AS SELECT * RENAME ("mode" AS source) FROM meta.scope')


def _old_value(old: OldNames, column: str) -> str:
    """A column as SQL, with its values of today as they were in 0.1."""
    cases = " ".join(f"WHEN {quoted(today)} THEN {quoted(before)}" for today, before in old.values.get(column, {}).items())
    return f'CASE "{column}" {cases} ELSE "{column}" END' if cases else f'"{column}"'


def write_parquet(published: Path, out: Path) -> list[Path]:
    """Write each mart of the published copy as `out/<table>.parquet`; `out` is a link, turned to the new folder in one step."""
    draft, link = out.with_name(f"{out.name}-{time.time_ns()}"), out.with_name(f"{out.name}.part")
    draft.mkdir(parents=True)
    with warehouse.connect(published, read_only=True) as connection:
        marts = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'marts' ORDER BY 1"
        for (name,) in connection.execute(marts).fetchall():
            file = quoted(f"{(draft / name).resolve()}.parquet")
            connection.execute(f'COPY (FROM marts."{name}") TO {file} (COMPRESSION zstd)')
    link.unlink(missing_ok=True)
    link.symlink_to(draft.name)
    if out.exists() and not out.is_symlink():  # the folder of an older version
        shutil.rmtree(out)
    link.replace(out)
    for old in out.parent.glob(f"{out.name}-*"):
        if old != draft:
            shutil.rmtree(old, ignore_errors=True)
    return sorted(out.glob("*.parquet"))


@dg.multi_asset(
    name="publish",
    specs=[
        dg.AssetSpec(
            COPY,
            deps=[*MARTS, *REGIMES],
            group_name="serving",
            kinds={"duckdb"},
            description="The marts as one read-only DuckDB file, for SQL and BI while runs go on.",
        ),
        dg.AssetSpec(
            PARQUET,
            deps=[*MARTS, *REGIMES],
            group_name="serving",
            kinds={"parquet"},
            description="The marts as Parquet, a file a table.",
        ),
    ],
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def publish(context: dg.AssetExecutionContext, settings: SettingsResource) -> Iterator[dg.MaterializeResult[None]]:
    """Replace the published copy. Fails while the last word of a blocking check of the marts is that it failed."""
    resolved = settings.resolve()
    checks = [*dbt.dbt_models.check_keys, *(key for step in steps.asset_checks for key in step.check_keys)]
    if failed := failed_checks(context.instance, checks):
        raise dg.Failure(
            f"not published, because these checks failed last: {', '.join(failed)}. Materialise what they check again once the "
            "cause is mended, or `perps run`; the published copy of before stays"
        )
    with warehouse.one_writer(resolved.database):
        copy = copy_marts(resolved.database, resolved.published)
    yield dg.MaterializeResult(asset_key=COPY, metadata={"path": dg.MetadataValue.path(str(copy)), "bytes": copy.stat().st_size})
    files = write_parquet(copy, resolved.published / "parquet")
    size = sum(file.stat().st_size for file in files)
    yield dg.MaterializeResult(
        asset_key=PARQUET,
        metadata={"path": dg.MetadataValue.path(str(files[0].parent)), "bytes": size, "files": len(files)},
    )


def failed_checks(instance: dg.DagsterInstance, keys: Sequence[dg.AssetCheckKey]) -> list[str]:
    """The checks whose last evaluation, in whatever run, failed with severity error."""
    failed = []
    for key, record in instance.event_log_storage.get_latest_asset_check_execution_by_key(keys).items():
        event = record.event.dagster_event if record.event else None
        if record.status == AssetCheckExecutionRecordStatus.FAILED and event:
            evaluation = event.asset_check_evaluation_data
            if evaluation.severity == dg.AssetCheckSeverity.ERROR and not evaluation.passed:
                failed.append(f"{key.asset_key.to_user_string()}: {key.name}")
    return sorted(failed)


@dg.asset(
    key=REPORT,
    deps=[COPY],
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="serving",
    kinds={"html", "matplotlib"},
    description="Self-contained pages on the market, its regimes and public claims, and a picture of the main figure.",
)
def report(context: dg.AssetExecutionContext, settings: SettingsResource) -> dg.MaterializeResult[None]:
    """Draw the report from the published copy."""
    from assets.report.page import write_report

    out = settings.resolve().published
    written = write_report(out / "perplake.duckdb", out, checks=check_outcomes(context.instance, context.run_id))
    return dg.MaterializeResult(
        metadata={"path": dg.MetadataValue.path(str(out / "report.html")), **{k: str(v) for k, v in written.items()}}
    )
