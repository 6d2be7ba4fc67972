"""What readers get: the marts as Parquet and as one read-only DuckDB file, and the report. Replaced in one step each.

A reader who has the old file open reads on in it; one who opens it during a run gets the old one, whole. The warehouse itself
is the writer's alone.
"""

import shutil
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import duckdb

from assets.defs.dbt import manifest
from assets.defs.regimes import EVENTS, FEATURES, FORECASTS, LABELS, SCORECARD
from assets.runtime.session import Session
from pipelines import warehouse

MARTS = [
    dg.AssetKey(["marts", n["name"]])
    for n in manifest()["nodes"].values()
    if n["schema"] == "marts" and n["resource_type"] == "model"
]
REGIMES = [FEATURES, LABELS, FORECASTS, EVENTS, SCORECARD]
COPY, PARQUET, REPORT = (dg.AssetKey(["serving", name]) for name in ("marts_duckdb", "marts_parquet", "report"))


def copy_marts(database: Path, out: Path) -> Path:
    """Write the schemas `marts` and `meta` of a warehouse into `out/perplake.duckdb`, replacing it in one step."""
    out.mkdir(parents=True, exist_ok=True)
    target, draft = out / "perplake.duckdb", out / "perplake.duckdb.part"
    draft.unlink(missing_ok=True)
    with duckdb.connect(str(draft)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"ATTACH '{_quoted(database)}' AS warehouse (READ_ONLY)")
        tables = connection.execute(
            "SELECT schema_name, table_name FROM duckdb_tables() "
            "WHERE database_name = 'warehouse' AND schema_name IN ('marts', 'meta')"
        ).fetchall()
        for schema, name in tables:
            connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
            connection.execute(f'CREATE TABLE "{schema}"."{name}" AS FROM warehouse."{schema}"."{name}"')
            for column, comment in connection.execute(
                "SELECT column_name, comment FROM duckdb_columns() WHERE database_name = 'warehouse' AND schema_name = ? "
                "AND table_name = ? AND comment IS NOT NULL",
                [schema, name],
            ).fetchall():
                connection.execute(f'COMMENT ON COLUMN "{schema}"."{name}"."{column}" IS {_text(comment)}')
        connection.execute("DETACH warehouse")
    draft.replace(target)
    return target


def write_parquet(published: Path, out: Path) -> list[Path]:
    """Write each mart of the published copy as `out/<table>.parquet`; `out` is a link, turned to the new folder in one step."""
    draft, link = out.with_name(f"{out.name}-{time.time_ns()}"), out.with_name(f"{out.name}.part")
    draft.mkdir(parents=True)
    with warehouse.connect(published, read_only=True) as connection:
        names = [
            n for (n,) in connection.execute("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'marts'").fetchall()
        ]
        for name in sorted(names):
            connection.execute(f"COPY marts.\"{name}\" TO '{_quoted(draft / name)}.parquet' (COMPRESSION zstd)")
    link.unlink(missing_ok=True)
    link.symlink_to(draft.name)
    if out.exists() and not out.is_symlink():  # an older version's
        shutil.rmtree(out)
    link.replace(out)
    for old in out.parent.glob(f"{out.name}-*"):
        if old != draft:
            shutil.rmtree(old, ignore_errors=True)
    return sorted(out.glob("*.parquet"))


def _quoted(path: Path) -> str:
    return str(path.resolve()).replace("'", "''")


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


@dg.multi_asset(
    name="publish",
    specs=[
        dg.AssetSpec(
            COPY,
            deps=[*MARTS, *REGIMES],
            group_name="serving",
            kinds={"duckdb"},
            description="The marts as one read-only DuckDB file, for SQL and BI while runs go on.",
            freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=26)),  # daily, and two hours' grace
        ),
        dg.AssetSpec(
            PARQUET,
            deps=[*MARTS, *REGIMES],
            group_name="serving",
            kinds={"parquet"},
            description="The marts as Parquet, a file a table.",
        ),
    ],
)
def publish(session: dg.ResourceParam[Session]) -> Iterator[dg.MaterializeResult[None]]:
    """Replace the published copy."""
    out = session.settings.published
    with warehouse.one_writer(session.database):
        copy = copy_marts(session.database, out)
    yield dg.MaterializeResult(asset_key=COPY, metadata={"path": dg.MetadataValue.path(str(copy)), "bytes": copy.stat().st_size})
    files = write_parquet(copy, out / "parquet")
    size = sum(f.stat().st_size for f in files)
    yield dg.MaterializeResult(
        asset_key=PARQUET,
        metadata={"path": dg.MetadataValue.path(str(out / "parquet")), "bytes": size, "files": len(files)},
    )


@dg.asset(
    key=REPORT,
    deps=[COPY],
    group_name="serving",
    kinds={"html", "matplotlib"},
    description="One self-contained page, and a picture of its main figure.",
)
def report(context: dg.AssetExecutionContext, session: dg.ResourceParam[Session]) -> dg.MaterializeResult[None]:
    """Draw the report from the published copy."""
    from assets.report.page import write_report

    out = session.settings.published
    made = write_report(out / "perplake.duckdb", out, checks=session.checks(context))
    return dg.MaterializeResult(
        metadata={"path": dg.MetadataValue.path(str(out / "report.html")), **{k: str(v) for k, v in made.items()}}
    )
