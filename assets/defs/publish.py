"""Publishing as assets: the marts as one read-only DuckDB file, as Parquet, in PostgreSQL where one is named, and the report.

    marts, meta ──► published/perplake.duckdb ──► published/parquet/, report.html, PostgreSQL

Each is replaced in one step. A lake's published copy is a snapshot of it.

A reader with the old file open reads on in it; one who opens it during a run gets the whole old one. The warehouse itself is
only the writer's. Only what changed is written (`assets.defs.snapshot`). Renamed tables and columns keep their old names for one
release (`assets.defs.renamed`).
"""

import os
from collections.abc import Iterator, Sequence
from functools import cache

import dagster as dg

from assets.defs import dbt  # the module: a definition that is imported by name would be loaded twice
from assets.defs.checks import steps
from assets.defs.dbt import manifest
from assets.defs.postgres import VARIABLE, PostgresError, copy_to_postgres
from assets.defs.regimes import REGIMES
from assets.defs.resources import SettingsResource
from assets.defs.snapshot import copy_marts, write_parquet
from assets.runtime.outcomes import check_outcomes, last_evaluations
from pipelines import ducklake, warehouse

MARTS = [
    dg.AssetKey(["marts", n["name"]])
    for n in manifest()["nodes"].values()
    if n["schema"] == "marts" and n["resource_type"] == "model"
]
COPY, PARQUET, POSTGRES, REPORT = (
    dg.AssetKey(["serving", name]) for name in ("marts_duckdb", "marts_parquet", "marts_postgres", "report")
)


@cache
def published_marts() -> dict[str, str | None]:
    """The marts to publish, each with the incremental model that it is, or is a view of and nothing else.

    A table that an older version of perplake has left in `marts` is not published.
    """
    nodes = manifest()["nodes"]
    found: dict[str, str | None] = {}
    for key in (*MARTS, *REGIMES):
        node = nodes.get(f"model.perplake.{key.path[-1]}", {"config": {}})
        reads = node["depends_on"]["nodes"] if node["config"].get("materialized") == "view" else []
        model = nodes[reads[0]] if len(reads) == 1 and reads[0] in nodes else node
        found[key.path[-1]] = model["name"] if model["config"].get("materialized") == "incremental" else None
    return found


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
            description="The marts as Parquet, a file a month.",
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
        copy = copy_marts(resolved.database, resolved.published, published_marts(), context.run_id)
    yield dg.MaterializeResult(asset_key=COPY, metadata={"path": dg.MetadataValue.path(str(copy)), "bytes": copy.stat().st_size})
    if ducklake.is_lake(copy):
        yield dg.MaterializeResult(asset_key=PARQUET, metadata={"status": "nothing is copied: a lake's rows are Parquet files"})
        return
    folder = resolved.published / "parquet"
    write_parquet(copy, folder)
    files = [file for file in folder.rglob("*.parquet") if file.is_file()]  # of most marts one a month
    size = sum(file.stat().st_size for file in files)
    yield dg.MaterializeResult(
        asset_key=PARQUET,
        metadata={"path": dg.MetadataValue.path(str(folder)), "bytes": size, "files": len(files)},
    )


def failed_checks(instance: dg.DagsterInstance, keys: Sequence[dg.AssetCheckKey]) -> list[str]:
    """The checks whose last evaluation failed with severity error."""
    return sorted(
        f"{key.asset_key.to_user_string()}: {key.name}"
        for key, evaluation in last_evaluations(instance, keys).items()
        if evaluation.severity == dg.AssetCheckSeverity.ERROR and not evaluation.passed
    )


@dg.asset(
    key=POSTGRES,
    deps=[COPY],
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="serving",
    kinds={"postgresql"},
    description=f"The published marts in the PostgreSQL database of `{VARIABLE}`, of those days that changed. "
    "Runs leave it out where the variable is not set.",
)
def marts_postgres(context: dg.AssetExecutionContext, settings: SettingsResource) -> dg.MaterializeResult[None]:
    """Send what changed. A failure leaves the published files, and the database, as they are."""
    if not (url := os.environ.get(VARIABLE)):
        return dg.MaterializeResult(metadata={"status": f"nothing was sent: {VARIABLE} is not set"})
    resolved = settings.resolve()
    try:
        sent = copy_to_postgres(resolved.published / resolved.copy_name, url)
    except PostgresError as problem:
        raise dg.Failure(
            f"the marts are not in PostgreSQL ({VARIABLE}): {problem}. The published files are new, the database has "
            "what it had; `perps run` sends it again"
        ) from None
    return dg.MaterializeResult(metadata={"rows sent": sum(sent.values()), "tables": len(sent), "by table": sent})


@dg.asset(
    key=REPORT,
    deps=[COPY],
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="serving",
    kinds={"html"},
    description="One self-contained page: the market by asset and venue, regimes and forecasts, coverage, checks, claims.",
)
def report(context: dg.AssetExecutionContext, settings: SettingsResource) -> dg.MaterializeResult[None]:
    """Write the report from the published copy."""
    from assets.report.page import write_report

    resolved = settings.resolve()
    out = resolved.published
    written = write_report(out / resolved.copy_name, out, checks=check_outcomes(context.instance, context.run_id))
    return dg.MaterializeResult(
        metadata={"path": dg.MetadataValue.path(str(out / "report.html")), **{k: str(v) for k, v in written.items()}}
    )
