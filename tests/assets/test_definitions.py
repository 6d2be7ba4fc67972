"""The code location: which assets there are, which of them a run covers, and what configures it."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime
from pathlib import Path

import dagster as dg
import pytest

from assets.definitions import FRESH, defs, main_job
from assets.defs.dbt import manifest
from assets.defs.lake import LAKE
from assets.defs.publish import POSTGRES
from assets.defs.regimes import ON_DEMAND
from assets.defs.resources import SettingsResource, run_config
from assets.regimes.tables import TABLES
from assets.runtime.instance import TEMPLATE, dagster_home
from pipelines.registry import source_rows
from pipelines.settings import Settings
from pipelines.sources import get_source


def test_the_asset_graph_follows_the_table_of_sources() -> None:
    layers = Counter(spec.key.path[0] for spec in defs.resolve_all_asset_specs())
    marts = [n for n in manifest()["nodes"].values() if n["resource_type"] == "model" and n["schema"] == "marts"]
    assert layers["landing"] == len(source_rows())
    assert layers["raw"] == sum(len(get_source(name).tables) for name in source_rows())
    assert layers["staging"] >= sum(len(row.datasets) for row in source_rows().values())
    assert layers["marts"] == len(marts) + len(TABLES) and layers["serving"] == 5
    graph = defs.resolve_asset_graph()
    collected = dg.AssetKey(["collected", "okx"])
    tables = {key.path[-1] for key in graph.get(collected).child_keys}
    assert {"okx__sessions", "okx__open_interest_now"} <= tables and "okx__candles" not in tables
    assert not graph.get(collected).is_executable


def test_all_assets_have_an_owner_and_published_ones_a_freshness_policy() -> None:
    specs = list(defs.resolve_all_asset_specs())
    assert all(spec.owners for spec in specs)
    fresh = {spec.key for spec in specs if spec.freshness_policy == FRESH}
    assert {key.path[0] for key in fresh} == {"marts", "serving", "landing", "raw"}
    of_sources = {key.path[-1].partition("__")[0] for key in fresh if key.path[0] in ("landing", "raw")}
    assert of_sources == set(Settings().sources)
    assert not [key for key in fresh if key.path[-1].endswith(("_stream", "__sessions"))], "no collector may run"
    assert {spec.tags["perplake/market"] for spec in specs} == {"synthetic-7"}
    assert {spec.key for spec in specs if spec.key.path[0] in ("marts", "serving")} - fresh == {*ON_DEMAND, POSTGRES, LAKE}


def test_every_table_shows_its_columns_and_no_description_has_sql() -> None:
    specs = list(defs.resolve_all_asset_specs())
    tables = [spec for spec in specs if spec.key.path[0] in ("raw", "staging", "intermediate", "marts", "seeds")]
    assert not [spec.key for spec in tables if "dagster/column_schema" not in spec.metadata]
    assert not [spec.key for spec in specs if "Raw SQL" in (spec.description or "")]


def test_a_range_of_days_is_one_run_of_any_assets() -> None:
    definitions = [each for each in defs.resolve_asset_graph().assets_defs if each.keys and each.is_executable]
    assert [each.node_def.name for each in definitions if each.backfill_policy != dg.BackfillPolicy.single_run()] == []


def covered(settings: Settings) -> set[str]:
    """The assets that a run of the command line covers."""
    return {key.to_user_string() for key in main_job(settings)[0].asset_layer.selected_asset_keys}


def test_a_run_covers_the_chosen_sources() -> None:
    one = covered(Settings(venues=["kraken"]))
    assert {name for name in one if name.startswith("landing/")} == {"landing/kraken_futures"}
    assert {name.split("__")[0] for name in one if name.startswith(("raw/", "staging/"))} == {
        "raw/kraken_futures",
        "staging/stg_kraken_futures",
        "staging/stg_meta",
        "staging/stg_streams",
    }
    assert "marts/regime_labels" in one and "marts/regime_forecasts" not in one
    assert covered(Settings(venues=["kraken"], forecasts=True)) - one == {key.to_user_string() for key in ON_DEMAND}
    assert one - covered(Settings(mode="replay", venues=["kraken"])) == {"landing/kraken_futures"}


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(mode="live", venues=["kraken", "okx"], assets=["BTC"], refetch=True, forecasts=True, home=Path("elsewhere")),
        Settings(first=date(2025, 1, 1), last=date(2025, 1, 2), as_of=datetime(2025, 1, 3, 4), seed=8, landing="s3://a/b"),
        Settings(warehouse=Path("a.duckdb"), days=3),
    ],
    ids=["defaults", "live", "window", "warehouse"],
)
def test_a_run_configuration_gives_the_same_settings(settings: Settings) -> None:
    config = run_config(settings)["resources"]["settings"]["config"]
    assert SettingsResource(**config).resolve() == settings


def test_a_replay_keeps_the_market_of_its_landing() -> None:
    settings = Settings(mode="replay", landing="somewhere").replaying("synthetic-7")
    config = run_config(settings)["resources"]["settings"]["config"]
    assert SettingsResource(**config).resolve().market == "synthetic-7"


def test_the_launchpad_refuses_an_unknown_choice() -> None:
    config = {"resources": {"settings": {"config": {"choices": {"venue": "kraken"}}}}}
    with pytest.raises(dg.DagsterInvalidConfigError):
        dg.validate_run_config(defs.resolve_job_def("run"), config)


def test_the_instance_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    own = dagster_home(Settings(home=tmp_path / "home"))
    assert own == tmp_path / "home" / "dagster" and (own / "dagster.yaml").read_text() == TEMPLATE.read_text()
    (own / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    dagster_home(Settings(home=tmp_path / "home"))
    assert (own / "dagster.yaml").read_text() == "telemetry: {enabled: false}\n"
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "users"))
    (tmp_path / "users").mkdir()
    assert dagster_home(Settings(home=tmp_path / "home")) == tmp_path / "users"
    assert not any((tmp_path / "users").iterdir())
