"""dbt as assets: one call in this process builds seeds and models for what changed since the last time.

The window is the hull of what loads have noted (`meta.changed`), so that a run that died between load and dbt is made good by
the next one, whatever window that one has. Tests and unit tests are not part of a run; asset checks are (`assets/defs/checks`).
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, build_dbt_asset_specs

from assets.defs.resources import WAREHOUSE_POOL
from assets.runtime.interrupts import plain_interrupts
from assets.runtime.session import Session
from pipelines import warehouse

PROJECT = Path(__file__).parents[2] / "dbt_project"
MANIFEST = PROJECT / "target" / "manifest.json"
PARSED = MANIFEST.with_name("partial_parse.msgpack")

os.environ.setdefault("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")


def _invoke(arguments: list[str], database: Path | None = None, parsed: Any = None) -> Any:
    """Run dbt in this process, on a project that was parsed before if there is one; returns its result object.

    Raises `dg.Failure` with dbt's own message when it fails.
    """
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner  # 3 s of imports, for those who run it

    if database:
        os.environ["PERPLAKE_WAREHOUSE"] = str(database.resolve())
    folders = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT), "--log-level", "none"]
    try:
        with plain_interrupts():
            outcome = dbtRunner(parsed).invoke([*arguments, *folders])
    finally:
        DuckDBConnectionManager.close_all_connections()  # it would keep the file from the other steps
    if isinstance(outcome.exception, KeyboardInterrupt):
        raise outcome.exception
    if not outcome.success:
        failed = [f"{r.node.unique_id}: {r.message}" for r in getattr(outcome.result, "results", []) if r.status == "error"]
        raise dg.Failure(f"dbt {arguments[0]} failed: {'; '.join(failed) or outcome.exception}")
    return outcome.result


def _files() -> list[Path]:
    made = {"target", "logs"}
    return sorted(f for f in PROJECT.rglob("*") if f.suffix in {".sql", ".yml", ".csv", ".md"} and not made & set(f.parts))


@cache
def manifest() -> dict[str, Any]:
    """dbt's manifest, parsed anew when a file of the project is newer."""
    if not (PARSED.exists() and MANIFEST.exists()) or MANIFEST.stat().st_mtime < max(f.stat().st_mtime for f in _files()):
        MANIFEST.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=MANIFEST.parent) as folder:  # never half a manifest, for others and after a kill
            _invoke(["parse", "--target-path", folder])
            for made in (PARSED, MANIFEST):
                (Path(folder) / made.name).replace(made)
    found: dict[str, Any] = json.loads(MANIFEST.read_text())
    return found


def _parsed(database: Path) -> Any:
    """The project as dbt parsed it for `manifest`, None where it must parse anew.

    dbt itself would parse all of it again for each warehouse, since the path is in its profile. What it made of the project
    holds for any path but for the file's name, which is the catalog of every relation.
    """
    from dbt.contracts.graph.manifest import Manifest
    from dbt.parser.manifest import extended_mashumuro_decoder

    manifest()
    parsed = Manifest.from_msgpack(PARSED.read_bytes(), decoder=extended_mashumuro_decoder)
    return parsed if {node.database for node in parsed.nodes.values()} == {database.stem} else None


class Translator(DagsterDbtTranslator):
    """Models are keyed `<schema>/<name>`, raw tables as load keys them, and a source's staging models lie in its group."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        return dg.AssetKey([dbt_resource_props["schema"], dbt_resource_props.get("identifier") or dbt_resource_props["name"]])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:
        layer = dbt_resource_props["fqn"][1:-1]
        return str(layer[-1]) if layer else "seeds"


TRANSLATOR = Translator(settings=DagsterDbtTranslatorSettings(enable_asset_checks=False, enable_code_references=False))


#: The share of the expected observations that a fact table holds, by the name of its model.
_COVERAGE = """
SELECT coalesce('fct_' || dataset, 'coverage_daily'), sum(seen) / sum(expected)
FROM marts.coverage_daily GROUP BY GROUPING SETS ((dataset), ())
"""


@cache
def fingerprint() -> str:
    """A hash of the dbt project's files: other models make other marts."""
    digest = hashlib.sha256()
    for file in _files():
        digest.update(f"{file.relative_to(PROJECT)}".encode() + file.read_bytes())
    return digest.hexdigest()


def plan(connection: duckdb.DuckDBPyConnection) -> list[str] | None:
    """The arguments of the dbt call that brings the marts up to date; None when they are. Sets the window that dbt reads.

    Another project than the one that made them rebuilds everything; else tables are made anew for the window that changed,
    and what can't have changed (seeds, views) is left alone.
    """
    os.environ["PERPLAKE_CHANGED_FROM"] = os.environ["PERPLAKE_CHANGED_TO"] = ""
    made, window = warehouse.built(connection), warehouse.changed(connection)
    build = ["build", "--no-populate-cache", "--no-write-json", "--resource-type", "model"]
    if made is None or made[0] != fingerprint():
        return [*build, "--resource-type", "seed", "--full-refresh"]
    if window is None and made[1] == warehouse.scope(connection):
        return None
    os.environ["PERPLAKE_CHANGED_FROM"], os.environ["PERPLAKE_CHANGED_TO"] = map(str, window or warehouse.as_of(connection))
    return [*build, "--exclude", "config.materialized:view"]


#: What perplake notes about itself and models read; written by load.
NOTES = [
    dg.AssetSpec(TRANSLATOR.get_asset_key(source), description=source["description"], group_name="meta", kinds={"duckdb"})
    for source in manifest()["sources"].values()
    if source["schema"] == "meta"
]


# One dbt call is one step: it costs seconds whatever it builds, so it builds everything; what is chosen is what it tells of.
@dg.multi_asset(
    name="dbt",
    specs=build_dbt_asset_specs(
        manifest=manifest(), dagster_dbt_translator=TRANSLATOR, select="resource_type:model resource_type:seed"
    ),
    pool=WAREHOUSE_POOL,
    can_subset=True,
)
def transform(context: dg.AssetExecutionContext, session: dg.ResourceParam[Session]) -> Iterator[dg.MaterializeResult[None]]:
    """Build every model for the window that changed."""
    with warehouse.one_writer(session.database):
        with warehouse.connect(session.database) as connection:
            warehouse.prepare(connection, session.settings.market)
            arguments = plan(connection)
        if arguments is not None:
            _invoke(arguments, session.database, _parsed(session.database))
        with warehouse.connect(session.database) as connection:
            warehouse.note_built(connection, fingerprint())
            counts = "SELECT schema_name || '.' || table_name, estimated_size FROM duckdb_tables() WHERE schema_name <> 'raw'"
            rows = dict(connection.execute(counts).fetchall())
            coverage = dict(connection.execute(_COVERAGE).fetchall())
            window = connection.execute("SELECT window_start, window_end FROM meta.scope").fetchone()
    nodes = {k: n for k, n in manifest()["nodes"].items() if n["resource_type"] in ("model", "seed")}
    before = {k: [d for d in n["depends_on"].get("nodes", []) if d in nodes] for k, n in nodes.items()}
    for name in TopologicalSorter(before).static_order():
        node = nodes[name]
        if TRANSLATOR.get_asset_key(node) not in context.selected_asset_keys:
            continue
        metadata = {
            "built": " ".join(arguments or ["up to date"]),
            "window": " to ".join(f"{end:%Y-%m-%dT%H:%M:%SZ}" for end in window or ()),
            "dagster/row_count": rows.get(f"{node['schema']}.{node['name']}"),
            "coverage": coverage.get(node["name"]),
        }
        yield dg.MaterializeResult(
            asset_key=TRANSLATOR.get_asset_key(node), metadata={k: v for k, v in metadata.items() if v is not None}
        )
