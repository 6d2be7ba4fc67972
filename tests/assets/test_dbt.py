"""Which dbt call a run makes: everything, the window that changed, the tests alone, or a chosen model and what it needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from assets.defs.dbt import dbt_models, fingerprint, manifest, needed, plan
from assets.defs.regimes import label_regimes
from assets.defs.resources import SettingsResource
from pipelines import warehouse
from pipelines.settings import Settings
from pipelines.windows import DAY, Window

MODELS = {name for name, node in manifest()["nodes"].items() if node["resource_type"] == "model"}
CANDLES = "model.perplake.fct_candles"


@pytest.fixture
def built(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A warehouse that this project's models were built in."""
    with warehouse.connect(tmp_path / "warehouse.duckdb") as connection:
        warehouse.prepare(connection, "synthetic-7")
        warehouse.note_run(
            connection, "synthetic-7", "synthetic", "synthetic", Window(0, DAY), DAY, ["BTC"], ["kraken"], "kraken_futures"
        )
        warehouse.note_built(connection, fingerprint())
        yield connection


def test_another_project_rebuilds_everything(built: duckdb.DuckDBPyConnection) -> None:
    warehouse.note_built(built, "another")
    todo = plan(built)
    assert "--full-refresh" in todo.arguments and "seed" in todo.arguments and "--select" not in todo.arguments
    assert todo.window == {} and todo.is_whole


def test_changed_rows_rebuild_their_window(built: duckdb.DuckDBPyConnection) -> None:
    warehouse.mark_changed(built, Window(DAY, 2 * DAY))
    todo = plan(built, MODELS)
    assert "--full-refresh" not in todo.arguments and "config.materialized:incremental" in todo.arguments
    assert todo.window == {"changed_from": "1970-01-02 00:00:00", "changed_to": "1970-01-03 00:00:00"}
    assert todo.is_whole


def test_another_scope_rebuilds_what_is_expected_of_no_window(built: duckdb.DuckDBPyConnection) -> None:
    warehouse.note_run(built, "synthetic-7", "synthetic", "synthetic", Window(0, DAY), DAY, ["ETH"], ["kraken"], "x")
    assert plan(built).window == {"changed_from": "1970-01-02 00:00:00", "changed_to": "1970-01-02 00:00:00"}


def test_the_first_rows_of_a_source_make_its_views_and_sources_without_rows_have_none(built: duckdb.DuckDBPyConnection) -> None:
    columns = built.execute("DESCRIBE raw.okx__candles").fetchall()
    values = ", ".join(f'{"now()" if kind == "TIMESTAMP" else 0}::{kind} AS "{name}"' for name, kind, *_ in columns)
    built.execute(f"INSERT INTO raw.okx__candles BY NAME SELECT {values}")
    warehouse.mark_changed(built, Window(DAY, 2 * DAY))
    arguments = plan(built).arguments
    assert "--full-refresh" not in arguments and "--select" not in arguments
    assert "stg_gate__*" in arguments and "stg_okx__*" not in arguments
    warehouse.note_built(built, fingerprint())
    warehouse.mark_changed(built, Window(DAY, 2 * DAY))
    assert "config.materialized:incremental" in plan(built).arguments


def test_a_warehouse_that_is_up_to_date_is_tested(built: duckdb.DuckDBPyConnection) -> None:
    arguments = plan(built).arguments
    assert arguments[0] == "test" and arguments[-2:] == ["--resource-type", "test"]


def test_a_chosen_model_builds_what_it_needs(built: duckdb.DuckDBPyConnection) -> None:
    warehouse.mark_changed(built, Window(DAY, 2 * DAY))
    todo = plan(built, {CANDLES})
    assert todo.arguments[-2:] == ["--select", "+fct_candles"] and not todo.is_whole
    assert "model.perplake.int_candles" in needed({CANDLES}) and "model.perplake.daily_venues" not in needed({CANDLES})


def test_every_data_test_is_an_asset_check_that_blocks_where_its_severity_is_error() -> None:
    tests = [n for n in manifest()["nodes"].values() if n["resource_type"] == "test"]
    checks = {spec.name: spec.blocking for spec in dbt_models.check_specs}
    assert checks == {test["name"]: test["config"]["severity"].lower() == "error" for test in tests}


def test_chosen_seeds_are_made_where_they_are_not(built: duckdb.DuckDBPyConnection) -> None:
    built.execute("DELETE FROM meta.built")
    todo = plan(built, {"seed.perplake.venues"}, ["unique_venues_venue"])
    assert todo.arguments[0] == "build" and "seed" in todo.arguments and "+venues" in todo.arguments and not todo.is_whole
    assert plan(built, set(), ["unique_venues_venue"]).arguments[-2:] == ["--select", "unique_venues_venue"]


@pytest.mark.slow
def test_a_group_alone_is_made_in_a_warehouse_that_has_nothing_else(tmp_path: Path) -> None:
    resources = {"settings": SettingsResource(home=str(tmp_path), mode="synthetic")}

    def materialised(made: dg.AssetsDefinition, group: str) -> str:
        """Why it failed; empty where it did not."""
        with dg.DagsterInstance.ephemeral() as instance:
            chosen = dg.AssetSelection.groups(group)
            ended = dg.materialize([made], selection=chosen, resources=resources, instance=instance, raise_on_error=False)
        return " ".join(str(event.step_failure_data.error) for event in ended.all_events if event.is_step_failure)

    for made, group in ((dbt_models, "seeds"), (dbt_models, "okx"), (label_regimes, "regimes")):
        assert "materialise first what it is made of, or `perps run`" in materialised(made, group)
    with warehouse.connect(Settings(home=tmp_path).database) as connection:
        warehouse.prepare(connection, "synthetic-7")
        scope = (connection, "synthetic-7", "synthetic", "synthetic", Window(0, DAY), DAY, ["BTC"], ["okx"], "okx")
        warehouse.note_run(*scope)
    assert [materialised(dbt_models, group) for group in ("seeds", "okx")] == ["", ""]
    with duckdb.connect(str(Settings(home=tmp_path).database), read_only=True) as connection:
        assert connection.execute("SELECT count(*) > 5 FROM seeds.venues").fetchall() == [(True,)]
