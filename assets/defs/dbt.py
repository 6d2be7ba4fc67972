"""dbt as assets: one call a run, in this process, builds the models for the window that changed and runs their data tests.

    meta.changed ──► dbt build --vars {window} ──► models as assets, data tests as asset checks

The window is the hull of what loads have noted, so a run that was killed between load and dbt is completed by the next one,
whatever its window. A failing test of severity error keeps the models after it from being built; one of severity warn doesn't.

dbt runs through `dbtRunner`: `DbtCliResource` starts a process that imports dbt and, because the variables are new in each run,
parses the whole project. Measured: 13 s of CPU before the first model, here 3 s of imports and 0.7 s. All 81 tests take 2.6 s.
Alone: `cd dbt_project && dbt build` on the warehouse that ran last.
"""

import hashlib
import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache, cached_property
from graphlib import TopologicalSorter
from itertools import pairwise
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pyarrow
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, dbt_assets
from dagster_dbt.core.dbt_cli_event import DbtCoreCliEventMessage

from assets.defs.checks.factory import BLOCKED, SHOWN, WARNED, shown
from assets.defs.resources import SettingsResource
from assets.runtime.interrupts import plain_interrupts, stops_the_run
from pipelines import ducklake, warehouse
from pipelines.registry import datasets, source_rows

PROJECT = Path(__file__).parents[2] / "dbt_project"
#: Apart from `target/`, so that a user's own dbt commands and runs don't invalidate each other's parsed project.
TARGET = PROJECT / "target" / "run"
MANIFEST = TARGET / "manifest.json"
#: The catalog of all relations is the warehouse's file name; a project parsed for one can't be run on another.
CATALOG = "warehouse"

os.environ.setdefault("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")


@dataclass
class Invocation:
    """A dbt call that ended: its result object, and the events of the nodes that it ran by their unique id."""

    result: Any
    events: dict[str, DbtCoreCliEventMessage] = field(default_factory=dict)


@cache
def _make_events_late() -> None:
    """Let an event of dbt's make its message where something reads it first, not at its beginning."""
    from dbt_common.events.base_types import BaseEvent

    make = BaseEvent.__init__

    def keep(event: Any, *positional: Any, **named: Any) -> None:
        vars(event)["given"] = positional, named

    def message(event: Any) -> Any:
        positional, named = vars(event)["given"]
        make(event, *positional, **named)
        return vars(event)["pb_msg"]

    late = cached_property(message)
    late.__set_name__(BaseEvent, "pb_msg")
    BaseEvent.__init__, BaseEvent.pb_msg = keep, late


def drop_debug_events() -> None:
    """Let dbt in this process make no messages of its debug events, which nothing reads here: they are a fifth of its time."""
    from dbt_common.events.base_types import EventLevel
    from dbt_common.events.event_manager import EventManager
    from dbt_common.events.event_manager_client import ctx_set_event_manager

    class WithoutDebug(EventManager):
        def fire_event(self, e: Any, level: Any = None, *rest: Any, **options: Any) -> None:
            if (level or e.level_tag()) is not EventLevel.DEBUG:
                super().fire_event(e, level, *rest, **options)

    _make_events_late()
    ctx_set_event_manager(WithoutDebug())


def invoke(
    arguments: list[str], database: Path, variables: Mapping[str, Any] | None = None, *, parsed: bool = True
) -> Invocation:
    """Run dbt in this process on a warehouse, with the parsed project.

    Raises `dg.Failure` with dbt's own message when dbt itself or a model fails; failed tests are in the events.
    """
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner  # 3 s of imports, only for runs
    from google.protobuf.json_format import MessageToDict

    from assets.runtime.dbt_plugin import one_transaction

    messages: list[Any] = []
    target = TARGET if database.stem == CATALOG else TARGET / database.stem  # a lake's catalog is called so, too
    manifest = parse(database.stem) if parsed else None
    names = {"LogModelResult", "LogSeedResult", "LogTestResult"}
    folders = ["--project-dir", PROJECT, "--profiles-dir", PROJECT, "--target-path", target, "--log-path", target]
    given = {"warehouse": str(database.resolve()), **(variables or {})}
    options = [*map(str, folders), "--log-level", "none", "--log-level-file", "none", "--vars", json.dumps(given)]
    is_lake = ducklake.is_lake(database)
    options += ["--target", "lake"] if is_lake else []
    drop_debug_events()
    try:
        with one_transaction() if is_lake else nullcontext():
            with plain_interrupts():
                outcome = dbtRunner(
                    manifest, callbacks=[lambda event: messages.append(event) if event.info.name in names else None]
                ).invoke([*arguments, *options])
            if outcome.exception and stops_the_run(outcome.exception):
                raise outcome.exception
            errors = [f"{r.node.unique_id}: {r.message}" for r in getattr(outcome.result, "results", []) if r.status == "error"]
            errors = [error for error in errors if "transaction is aborted" not in error]  # by an error before
            if errors or (not outcome.success and outcome.exception):
                raise dg.Failure(f"dbt {arguments[0]} failed: {'; '.join(errors) or repr(outcome.exception)}")
    finally:
        DuckDBConnectionManager.close_all_connections()  # it would keep the file from the other steps
    raw = [MessageToDict(message, preserving_proto_field_name=True) for message in messages]
    return Invocation(outcome.result, {e["data"]["node_info"]["unique_id"]: DbtCoreCliEventMessage(e, {}) for e in raw})


def parse(catalog: str = CATALOG) -> Any:
    """dbt's parsed project for warehouses of a file name; dbt reads again only the files that changed (0.6 s where none did)."""
    return invoke(["parse", "--no-write-json"], Path(f"{catalog}.duckdb"), parsed=False).result


def _files() -> list[Path]:
    generated = {"target", "logs"}
    suffixes = {".sql", ".yml", ".csv", ".md"}
    return sorted(f for f in PROJECT.rglob("*") if f.suffix in suffixes and not generated & set(f.parts))


@cache
def manifest() -> dict[str, Any]:
    """dbt's manifest, written anew when a file of the project is newer."""
    if not MANIFEST.exists() or MANIFEST.stat().st_mtime < max(f.stat().st_mtime for f in _files()):
        parsed, draft = parse(), MANIFEST.with_name(f"manifest-{os.getpid()}.json")
        parsed.write(str(draft))
        draft.replace(MANIFEST)  # in one step: other processes never read half a manifest, also after a kill
    content: dict[str, Any] = json.loads(MANIFEST.read_text())
    return content


def _rule(test: Mapping[str, Any]) -> str:
    """What a dbt test holds: its description, else its macro with its arguments."""
    generic = test.get("test_metadata") or {}
    arguments = ", ".join(f"{k}={v}" for k, v in generic.get("kwargs", {}).items() if k != "model")
    return test.get("description") or (f"{generic['name']}({arguments})" if generic else str(test["name"]))


class Translator(DagsterDbtTranslator):
    """Models are keyed `<schema>/<name>`, raw tables as load keys them; a source's staging models are in its group."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        return dg.AssetKey([dbt_resource_props["schema"], dbt_resource_props.get("identifier") or dbt_resource_props["name"]])

    def get_description(self, dbt_resource_props: Mapping[str, Any]) -> str:
        """Without the SQL, which Dagster would put after it."""
        return str(dbt_resource_props["description"])

    def get_metadata(self, dbt_resource_props: Mapping[str, Any]) -> Mapping[str, Any]:
        """With the columns of its dataset for a staging model, whose file describes none."""
        found: Mapping[str, Any] = super().get_metadata(dbt_resource_props)
        name = dbt_resource_props["name"]
        dataset = datasets().get(name.partition("__")[2].removesuffix("_now")) if name.startswith("stg_") else None
        if not dataset:
            return found
        columns = [dg.TableColumn(column, kind, description) for column, (kind, description) in dataset.columns.items()]
        return {**found, "dagster/column_schema": dg.TableSchema(columns)}

    def get_asset_check_spec(self, asset_spec: dg.AssetSpec, manifest: Any, unique_id: str, project: Any) -> Any:
        """With what the test holds, and what to do where it fails."""
        spec = super().get_asset_check_spec(asset_spec, manifest, unique_id, project)
        if spec is None:
            return None
        action = f"Blocks. Where it fails: {BLOCKED}" if spec.blocking else f"Warns. Where it does: {WARNED}"
        return spec._replace(description=f"{_rule(manifest['nodes'][unique_id])}. {action}")

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:
        layer = dbt_resource_props["fqn"][1:-1]
        return str(layer[-1]) if layer else "seeds"


TRANSLATOR = Translator(settings=DagsterDbtTranslatorSettings(enable_asset_checks=True, enable_code_references=False))

#: The share of the expected observations that a fact table has, by the name of its model.
_COVERAGE = """
SELECT coalesce('fct_' || dataset, 'coverage_daily'), sum(seen) / sum(expected)
FROM marts.coverage_daily GROUP BY GROUPING SETS ((dataset), ())
"""

#: What perplake notes about itself and models read; written by load.
notes = [
    dg.AssetSpec(
        TRANSLATOR.get_asset_key(source),
        description=source["description"],
        group_name="meta",
        kinds={"duckdb"},
    )
    for source in manifest()["sources"].values()
    if source["schema"] == "meta"
]


@cache
def fingerprint() -> str:
    """A hash of the dbt project's files: with other files the marts are rebuilt."""
    digest = hashlib.sha256()
    for file in _files():
        digest.update(f"{file.relative_to(PROJECT)}".encode() + file.read_bytes())
    return digest.hexdigest()


def note_built(connection: duckdb.DuckDBPyConnection) -> None:
    """Note that this project has transformed all changes, and the versions of instruments with which it did."""
    with warehouse.transaction(connection):
        connection.execute("DELETE FROM meta.built_versions")
        connection.execute(
            "INSERT INTO meta.built_versions "
            "SELECT instrument_id, any_value(_versions) FROM intermediate.int_instrument_versions GROUP BY 1"
        )
        connection.execute("UPDATE meta.replaced SET invocation = NULL")
    warehouse.note_built(connection, fingerprint())


@dataclass(frozen=True)
class Plan:
    """One dbt call: the arguments, the window as variables, and whether all models are up to date after it.

    `left_out` are the first parts of the names of staging models that have no rows, `loaded` the sources that have. `before` are
    calls that come first, and their variables: they build the incremental models of a long window in parts.
    """

    arguments: list[str]
    window: dict[str, str]
    is_whole: bool
    left_out: tuple[str, ...]
    loaded: tuple[str, ...] = ()
    before: list[tuple[list[str], dict[str, str]]] = field(default_factory=list)


#: Raw rows of which the incremental models are built at a time, which bounds memory.
ROWS_AT_A_TIME = 2_000_000


def _cuts(connection: duckdb.DuckDBPyConnection, window: tuple[datetime, datetime] | None) -> list[datetime]:
    """The times at which a window, or that in scope, is cut into equal parts, as if its rows were spread evenly over it."""
    rows = sum(warehouse.raw_rows(connection).values())
    scope = connection.execute("SELECT window_start, window_end FROM meta.scope").fetchall()[0]
    start, end = window or scope
    span = end - start
    parts = int(rows * min(1, span / (scope[1] - scope[0])) / ROWS_AT_A_TIME) + 1
    return sorted({start + timedelta(days=span.days * n // parts) for n in range(1, parts)} - {start, end})


def plan(connection: duckdb.DuckDBPyConnection, chosen: set[str] | None = None, tests: Collection[str] = ()) -> Plan:
    """The dbt call that brings the marts up to date, or only the `chosen` models and seeds (unique ids) and what they need.

    Another project than the one that built the marts rebuilds everything. Otherwise tables are rebuilt for the window that
    changed; what can't have changed (seeds, views) is left alone. A source's first rows make the views of it, and of what reads
    it; staging models of sources without rows are left out. Tests run in any case; where nothing is chosen, these `tests` alone,
    by name.
    """
    if chosen == set() and tests:
        return Plan(["test", "--no-populate-cache", "--no-write-json", "--select", *sorted(tests)], {}, False, ())
    built, changed, sources = warehouse.built(connection), warehouse.changed(connection), warehouse.loaded_sources(connection)
    rebuild = built is None or built.project != fingerprint()
    window = None
    if built and not rebuild and (changed or (built.scope, built.sources) != (warehouse.scope(connection), sources)):
        window = changed or warehouse.as_of(connection)
    types = ["seed", "model", "test"] if rebuild else ["model", "test"] if window else ["test"]
    is_whole = chosen is None or not needed(chosen) < set(_nodes("model"))
    selection: list[str] = []
    if not is_whole:
        names = [f"+{manifest()['nodes'][name]['name']}" for name in sorted(chosen or ())]
        selection = ["--indirect-selection", "buildable", "--select", *names]
    elif window and built and built.sources == sources:
        selection = ["--select", "config.materialized:table", "config.materialized:incremental", "test_type:data"]
    left_out = without_rows(sources)
    if left_out and "model" in types:
        selection += ["--exclude", *(f"{prefix}*" for prefix in left_out)]
    # `build` skips what is downstream of a failed test, `test` runs them all.
    arguments = ["build" if "model" in types else "test", "--no-populate-cache", "--no-write-json"]
    before = []
    if is_whole and "model" in types and (cuts := _cuts(connection, window)):
        in_parts = [node["name"] for node in manifest()["nodes"].values() if _is_built_in_parts(node["config"])]
        first, last = window or (datetime(1970, 1, 1), datetime(2200, 1, 1))
        part = [*arguments, "--resource-type", "model", "--select", *in_parts]
        before = [(part, _variables(ends)) for ends in pairwise([first, *cuts, last])]
        if rebuild:
            types_of_first = ["--full-refresh", "--resource-type", "seed", "--resource-type", "model"]
            first_part = [*arguments, *types_of_first, "--select", *(f"+{name}" for name in in_parts), *selection]
            before[0] = (first_part, {"build_until": f"{cuts[0]}"})
        selection = [*selection, *([] if "--exclude" in selection else ["--exclude"]), *in_parts]
    elif rebuild:
        arguments += ["--full-refresh"]
    arguments += [argument for name in types for argument in ("--resource-type", name)] + selection
    return Plan(arguments, _variables(window) if window else {}, is_whole, tuple(left_out), tuple(sources), before)


def without_rows(loaded: Collection[str]) -> list[str]:
    """The first parts of the names of staging models of sources that have no rows; none where no source has."""
    return [f"stg_{name}__" for name in source_rows() if name not in loaded] if loaded else []


def _is_built_in_parts(config: Mapping[str, Any]) -> bool:
    """True of incremental models that read raw rows or facts; those that follow daily models are built once, at the end."""
    meta = config.get("meta") or {}
    return bool(config.get("materialized") == "incremental" and ("follows" not in meta or meta["time"] == "month"))


def _variables(window: tuple[datetime, datetime]) -> dict[str, str]:
    return dict(zip(("changed_from", "changed_to"), map(str, window), strict=True))


def build(plan: Plan, database: Path) -> Invocation:
    """Carry out a plan. Publishing sums up again all that was built in parts."""
    events: dict[str, Any] = {}
    variables = {"loaded": list(plan.loaded)}
    for arguments, window in plan.before:
        events |= invoke(arguments, database, variables | window).events
    if plan.before:
        with warehouse.connect(database) as connection, warehouse.transaction(connection):
            connection.execute("UPDATE meta.replaced SET window_start = NULL, window_end = NULL")
    done = invoke(plan.arguments, database, variables | plan.window)
    return Invocation(done.result, events | done.events)


def _nodes(*types: str) -> dict[str, list[str]]:
    """Models or seeds by unique id, each with the nodes that it reads."""
    nodes = {name: node for name, node in manifest()["nodes"].items() if node["resource_type"] in types}
    return {name: [d for d in node["depends_on"].get("nodes", []) if d in nodes] for name, node in nodes.items()}


def needed(chosen: set[str]) -> set[str]:
    """The chosen models and all models that they read, directly or not."""
    parents, models, waiting = _nodes("model"), set[str](), list(chosen)
    while waiting:
        if (name := waiting.pop()) in parents and name not in models:
            models.add(name)
            waiting += parents[name]
    return models


# One dbt call is one step: it costs seconds, whatever it builds.
@dbt_assets(
    manifest=manifest(),
    name="dbt",
    dagster_dbt_translator=TRANSLATOR,
    select="resource_type:model resource_type:seed resource_type:test",
    exclude="test_type:unit",
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def dbt_models(context: dg.AssetExecutionContext, settings: SettingsResource) -> Iterator[Any]:
    """Build the chosen models for the window that changed, and run their tests."""
    resolved, nodes = settings.resolve(), manifest()["nodes"]
    order = list(TopologicalSorter(_nodes("model", "seed")).static_order())
    keys = {name: TRANSLATOR.get_asset_key(nodes[name]) for name in order}
    selected = [name for name in order if keys[name] in context.selected_asset_keys]
    with warehouse.one_writer(resolved.database):
        with warehouse.connect(resolved.database) as connection:
            warehouse.prepare(connection, resolved.market)
            if not connection.execute("FROM meta.scope").fetchall():
                raise dg.Failure(f"nothing has been loaded into {resolved.database} yet: {warehouse.NOT_MADE_YET}")
            tests = [key.name for key in context.selected_asset_check_keys]
            todo = plan(connection, set(selected), tests)
        done = build(todo, resolved.database)
        failed = {r.node.unique_id: r for r in done.result.results if r.status in ("fail", "warn")}
        with warehouse.connect(resolved.database) as connection:
            passed = not any(r.status == "fail" for r in failed.values())
            if passed and todo.is_whole:
                note_built(connection)
            elif not passed and not any(name.startswith("model.") for name in done.events):
                with warehouse.transaction(connection):
                    connection.execute("DELETE FROM meta.built")  # nothing changed but the marts: the next run rebuilds them
            metadata = _metadata(connection)
            rows = {name: _offending(connection, r.node.compiled_code) for name, r in failed.items()}
    for name in selected:
        node = nodes[name]
        extra = {**metadata.get(f"{node['schema']}.{node['name']}", {}), "dbt": " ".join(todo.arguments), **todo.window}
        if event := done.events.get(name):
            context.add_output_metadata(extra, output_name=keys[name].to_python_identifier())
            yield from event.to_default_asset_events(manifest(), TRANSLATOR, context)
        else:
            status = "no raw rows" if node["name"].startswith(todo.left_out) else "up to date"
            yield dg.MaterializeResult(asset_key=keys[name], metadata={**extra, "status": status})
    for name, event in done.events.items():
        if name.startswith("test."):
            for result in event.to_default_asset_events(manifest(), TRANSLATOR, context):
                yield _described(result, failed.get(name), rows.get(name))


def _metadata(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, Any]]:
    """Rows and coverage by table (`schema.name`)."""
    sizes = "SELECT schema_name || '.' || table_name, estimated_size FROM duckdb_tables() WHERE schema_name <> 'raw'"
    is_covered = connection.execute("FROM duckdb_columns() WHERE table_name = 'coverage_daily'").fetchall()  # not by a part alone
    coverage = dict(connection.execute(_COVERAGE).fetchall()) if is_covered else {}
    metadata = {table: {"dagster/row_count": rows} for table, rows in connection.execute(sizes).fetchall()}
    for (view,) in connection.execute("SELECT view_name FROM duckdb_views() WHERE schema_name = 'marts'").fetchall():
        metadata[f"marts.{view}"] = {
            "dagster/row_count": connection.execute(f'SELECT count(*) FROM marts."{view}"').fetchall()[0][0]
        }
    for model, value in coverage.items():
        if value is not None:
            metadata.setdefault(f"marts.{model}", {})["coverage"] = value
    return metadata


def _offending(connection: duckdb.DuckDBPyConnection, sql: str) -> pyarrow.Table:
    return connection.execute(f"FROM ({sql}) LIMIT {SHOWN}").to_arrow_table()


def _described(result: Any, failure: Any, rows: pyarrow.Table) -> Any:
    """A failed test's result with its reason and offending rows; any other result as it is."""
    if failure is None or not isinstance(result, dg.AssetCheckResult):
        return result
    blocking = result.severity == dg.AssetCheckSeverity.ERROR
    return dg.AssetCheckResult(
        asset_key=result.asset_key,
        check_name=result.check_name,
        passed=result.passed,
        severity=result.severity,
        description=f"{failure.failures} offending: {_rule(manifest()['nodes'][failure.node.unique_id])}",
        metadata={**result.metadata, **shown(rows, failure.failures, blocking)},
    )
