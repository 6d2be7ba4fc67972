"""The Dagster UI as its users meet it: `perps ui` as a process, the emulator beside it, and everything over GraphQL."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from assets.definitions import defs
from assets.defs.landing import landing_key
from assets.defs.raw import raw_key
from assets.defs.schedules import daily, hourly
from infra.emulator.server import to_ms
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import serve
from pipelines.registry import source_rows
from pipelines.settings import Settings
from pipelines.sources import get_source

ROOT = Path(__file__).parents[2]
TODAY = datetime.now(UTC).date()
NEXT = str(TODAY - timedelta(1))
RANGE = [str(TODAY - timedelta(days)) for days in (6, 5, 4, 3, 2)]
LAYERS = {"seeds", "meta", "streams", "intermediate", "marts", "regimes", "serving"}

LAUNCH = """mutation($backfill: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $backfill) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
STATUS = """query($id: String!) { partitionBackfillOrError(backfillId: $id) {
    ... on PartitionBackfill { status runs(limit: 10) { id status assetSelection { path } } } } }"""
MADE = """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
    assetPartitionStatuses { ... on TimePartitionStatuses { ranges { startKey endKey status } } } } } }"""


class Ui:
    """A running UI: its GraphQL, and the folder that it writes."""

    def __init__(self, url: str, home: Path) -> None:
        self.url, self.home = url, home

    def ask(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            result = json.load(answer)
        assert "errors" not in result, result["errors"]
        return next(iter(result["data"].values()))


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = tmp_path_factory.mktemp("ui")
    environment = {**os.environ, "PERPLAKE_HOME": str(home), "PERPLAKE_ASSETS": "BTC", "PERPLAKE_MODE": "synthetic"}
    with (home / "log").open("wb") as log:
        command = [sys.executable, "-m", "assets.cli", "ui", "--port", str(port)]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        running = Ui(f"http://127.0.0.1:{port}", home)
        _until(lambda: _answers(running, process), "the UI to answer", 90)
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=240) == 0, (home / "log").read_text(errors="replace")[-3000:]


def _answers(ui: Ui, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, (ui.home / "log").read_text(errors="replace")[-3000:]
    try:
        return bool(ui.ask("{ assetNodes { id } }"))
    except OSError:
        return False


def _until(done: Any, what: str, seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := done():
            return result
        time.sleep(0.5)
    pytest.fail(f"waited {seconds} s for {what}")


def test_every_asset_is_described_and_in_its_group() -> None:
    specs = defs.resolve_all_asset_specs()
    assert [s.key.to_user_string() for s in specs if not s.description or s.description.startswith("dbt model")] == []
    assert [s.key.to_user_string() for s in specs if not s.kinds] == []
    assert {s.group_name for s in specs} == {*source_rows(), *LAYERS}
    groups = {s.key.to_user_string(): s.group_name for s in specs}
    assert groups["staging/stg_kraken_futures__liquidations"] == "kraken_futures"
    assert groups["marts/regime_labels"] == "regimes"


@pytest.mark.parametrize(
    ("schedule", "tick", "day"),
    [(hourly, f"{TODAY}T00:05+00:00", f"{TODAY}"), (daily, f"{TODAY}T00:15+00:00", NEXT)],
    ids=["hourly", "daily"],
)
def test_schedules_ask_for_the_day_in_progress_and_the_day_that_is_over(
    schedule: dg.ScheduleDefinition, tick: str, day: str
) -> None:
    repository = defs.get_repository_def()
    with (
        dg.instance_for_test() as instance,
        dg.build_schedule_context(
            instance=instance, scheduled_execution_time=datetime.fromisoformat(tick), repository_def=repository
        ) as context,
    ):
        requests = schedule.evaluate_tick(context).run_requests
    assert [r.partition_key for r in requests or []] == [day]


def test_the_daily_schedule_asks_in_one_run_for_what_is_missing_before() -> None:
    with dg.instance_for_test() as instance:
        for source in Settings().sources:
            for days_ago in (7, 6, 4, 2):
                event = dg.AssetMaterialization(landing_key(source), partition=str(TODAY - timedelta(days_ago)))
                instance.report_runless_asset_event(event)
        tick = datetime.fromisoformat(f"{TODAY}T00:15+00:00")
        repository = defs.get_repository_def()
        with dg.build_schedule_context(instance, scheduled_execution_time=tick, repository_def=repository) as context:
            [request] = daily.evaluate_tick(context).run_requests or []
    days = [request.tags[f"dagster/asset_partition_range_{end}"] for end in ("start", "end")]
    assert (request.partition_key, days) == (None, [str(TODAY - timedelta(5)), NEXT])


def test_a_range_of_days_of_one_source_fills_these_days_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run that a backfill launches, in this process."""
    first, last, after = (str(TODAY - timedelta(days)) for days in (3, 2, 1))
    now = f"{TODAY}T00:00:00Z"
    binance = get_source("binance_usdm")
    keys = [landing_key("binance_usdm"), *(raw_key(binance, d) for d in binance.tables)]
    job = defs.resolve_implicit_global_asset_job_def().get_subset(asset_selection=set(keys))
    synthetic = SyntheticMarket(seed=7, until=to_ms(now))
    with serve(synthetic, as_of=now, days=30, limits_scale=500) as served, dg.DagsterInstance.ephemeral() as instance:
        settings = {"home": tmp_path, "assets": "BTC,ETH", "mode": "synthetic", "emulator_url": served.url, "as_of": now}
        for name, value in settings.items():
            monkeypatch.setenv(f"PERPLAKE_{name.upper()}", str(value))
        tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        assert job.execute_in_process(instance=instance, tags=tags).success
        candles = raw_key(binance, binance.endpoint("candles"))
        for key in (keys[0], candles):
            assert instance.get_materialized_partitions(key) == {first, last}
        [event] = instance.fetch_materializations(candles, limit=1).records
    with duckdb.connect(str(Settings().database), read_only=True) as db:
        hours = "SELECT symbol, count(*), count(DISTINCT open_time // 86400000) FROM raw.binance_usdm__candles GROUP BY 1"
        assert sorted(db.execute(hours).fetchall()) == [("BTCUSDT", 48, 2), ("ETHUSDT", 48, 2)]
        covered = db.execute("SELECT window_start::date, window_end::date, venues FROM meta.scope").fetchone()
        assert [str(x) for x in covered or ()] == [first, after, "['binance']"]
    metadata = {name: value.value for name, value in event.asset_materialization.metadata.items()}  # type: ignore[union-attr]
    assert (metadata["dagster/row_count"], metadata["coverage"]) == (96, 1.0)
    assert metadata["bytes"] > 0 and metadata["window"] == f"{first}T00:00:00Z to {after}T00:00:00Z"


@pytest.mark.slow
def test_a_backfill_of_a_source_and_all_that_reads_it_ends(ui: Ui) -> None:
    """Of five days, though liquidations are requested of the last three alone (`liquidation_days`)."""
    graph = defs.resolve_asset_graph()
    chosen = dg.AssetSelection.groups("kraken_futures").downstream().resolve(graph)
    keys = [key for key in chosen if graph.get(key).is_materializable]
    launched = ui.ask(
        LAUNCH,
        backfill={"assetSelection": [{"path": k.path} for k in keys], "partitionNames": RANGE, "fromFailure": False},
    )
    assert "backfillId" in launched, launched

    def ended() -> Any:
        backfill = ui.ask(STATUS, id=launched["backfillId"])
        return backfill if backfill["status"] not in ("REQUESTED", "CANCELING", "COMPLETING") else None

    backfill = _until(ended, "the backfill to end", 600)
    assert (backfill["status"], [r["status"] for r in backfill["runs"]]) == ("COMPLETED_SUCCESS", ["SUCCESS"] * 2)
    assert sum(len(r["assetSelection"]) for r in backfill["runs"]) == len(keys)
    landed = ui.ask(MADE, key={"path": ["landing", "kraken_futures"]})
    assert [(r["startKey"], r["endKey"]) for r in landed["assetPartitionStatuses"]["ranges"]] == [(RANGE[0], RANGE[-1])]
    with duckdb.connect(str(Settings(mode="synthetic", home=ui.home).published / "perplake.duckdb"), read_only=True) as db:
        assert db.execute("SELECT count(DISTINCT day) FROM marts.daily_assets WHERE oi_usd > 0").fetchall() == [(len(RANGE),)]
