"""What an operator relies on: killed runs are noticed, waits are told, days are green only when whole, and history is bounded."""

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from assets.cli import printing, serve, ui
from assets.defs.days import materialized, not_materialized
from assets.defs.landing import FETCHED_WHOLE, fetch_sources, landing_key
from assets.defs.publish import failed_checks
from assets.defs.resources import SettingsResource
from assets.defs.schedules import first_missing
from assets.defs.sensors import on_failure, on_success
from assets.runtime.emulator import RunningEmulator, last_error
from assets.runtime.history import delete_old_runs
from assets.runtime.hosts import KnownHosts
from assets.runtime.instance import TEMPLATE, dagster_home, shown_in_the_timeline, with_deaf_children
from assets.runtime.interrupts import is_interrupt
from assets.runtime.orphans import alive, fail_orphaned_runs
from assets.runtime.outcomes import noted_runs
from assets.runtime.session import Session
from pipelines import warehouse
from pipelines.clock import Clock
from pipelines.errors import WarehouseMismatch
from pipelines.fetch import FetchResult
from pipelines.landing import Entry
from pipelines.run import EmulatorInfo
from pipelines.settings import Settings
from pipelines.windows import HOUR, Window, to_ms

STARTED = dg.DagsterRunStatus.STARTED
FAILURE = dg.DagsterRunStatus.FAILURE


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def begun(instance: dg.DagsterInstance, status: dg.DagsterRunStatus = STARTED) -> str:
    """A run in this state; its id."""
    run = instance.add_run(dg.DagsterRun(job_name="run", run_id=f"run-{len(instance.get_runs())}", status=status))
    return run.run_id


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run
    return run.status


def _hold(home: Path, run_id: str) -> None:
    with alive(home, run_id):
        (home / "ready").touch()
        time.sleep(60)


def test_a_run_whose_process_was_killed_is_failed_and_others_are_not(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    killed, other_machine, canceled = begun(instance), begun(instance), begun(instance, dg.DagsterRunStatus.CANCELING)
    process = multiprocessing.get_context("fork").Process(target=_hold, args=(tmp_path, killed))
    process.start()
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    (tmp_path / "locks" / canceled).touch()
    assert fail_orphaned_runs(instance, tmp_path) == [canceled]  # the other one's process lives
    assert status(instance, canceled) == dg.DagsterRunStatus.CANCELED
    process.kill()
    process.join()
    assert fail_orphaned_runs(instance, tmp_path) == [killed]
    assert [status(instance, run) for run in (killed, other_machine)] == [FAILURE, STARTED]
    assert fail_orphaned_runs(instance, tmp_path, unlocked_too=True) == [other_machine]


def test_a_run_that_ends_leaves_no_lock(tmp_path: Path) -> None:
    with alive(tmp_path, "a"), alive(tmp_path, "a"):
        assert [path.name for path in (tmp_path / "locks").iterdir()] == ["a"]
    assert not any((tmp_path / "locks").iterdir())


def test_a_run_of_the_command_line_ends_its_emulator_after_its_requests() -> None:
    stopped: list[str] = []
    attached = RunningEmulator(EmulatorInfo("", ""), None, stop=lambda: stopped.append("stopped"))
    Session(attached).end_requests()
    assert not stopped  # that of the UI goes on
    Session(attached, clock=Clock(0)).end_requests()
    assert stopped == ["stopped"]


def test_a_wait_for_the_warehouse_names_its_writer_and_ends(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "warehouse.duckdb"
    with warehouse.one_writer(path):
        writer = f"process {os.getpid()} (since {datetime.now(UTC):%Y-%m-%d}"
        impatient = warehouse.one_writer(path, wait=0.1, patience=0.05)
        with pytest.raises(WarehouseMismatch, match=r"process \d+ .* has been writing"), impatient:
            pass
    assert [record.message.partition(" ")[0] for record in caplog.records] == ["waiting"]
    assert writer in caplog.text and "Ctrl-C" in caplog.text
    with warehouse.one_writer(path, wait=0.1):
        pass


def entry(endpoint: str, first: str, hours: float, observed: str, **values: Any) -> Entry:
    start = to_ms(datetime.fromisoformat(first).replace(tzinfo=UTC))
    window = (start, start + int(hours * HOUR))
    seen = to_ms(datetime.fromisoformat(observed).replace(tzinfo=UTC))
    return Entry("r", "kraken_futures", endpoint, "live", "GET", "", "", {}, window, seen, 200, "", 0, **values)


def test_a_day_is_whole_when_it_is_over_and_every_request_of_it_was_answered() -> None:
    window = Window.of_days(date(2025, 10, 1), date(2025, 10, 6))
    noon = to_ms(datetime(2025, 10, 6, 12, tzinfo=UTC))
    run: Any = SimpleNamespace(settings=Settings(), window=window, clock=SimpleNamespace(now=lambda: noon, frozen=False))
    result = FetchResult("kraken_futures")
    result.entries = [
        entry("candles", "2025-10-01", 72, "2025-10-04T00:10"),
        entry("candles", "2025-10-04", 24, "2025-10-05T00:02"),  # five minutes after its end it may still change
        entry("candles", "2025-10-05", 36, "2025-10-06T12:00"),  # the day in progress
        entry("funding_rates", "2025-10-01", 24 + 1 / 60, "2025-10-04T00:10"),
        entry("funding_rates", "2025-10-02", 24, "2025-10-04T00:10", problem="no number"),
    ]
    result.unfetched = [("open_interest", Window.of_days(date(2025, 10, 5), date(2025, 10, 5)))]
    assert [day.day for day in result.whole_days(run, "candles")] == [1, 2, 3, 5]
    assert [day.day for day in result.whole_days(run, "funding_rates")] == [1]
    assert result.whole_days(run, "open_interest") == result.whole_days(run, "liquidations") == []
    assert [day.day for day in result.whole_days(run)] == [1, 3]
    result.begins = to_ms(datetime(2025, 10, 3, 1, tzinfo=UTC))  # nothing is due before the first listing
    assert [day.day for day in result.whole_days(run)] == [1, 2, 3]
    assert [day.day for day in result.whole_days(run, "liquidations")] == [1, 2]
    assert result.days_not_due(run, "liquidations") == []
    result.due = {"liquidations": Window.of_days(date(2025, 10, 3), date(2025, 10, 6)), "open_interest": window.before(0)}
    assert [day.day for day in result.days_not_due(run, "liquidations")] == [1, 2]
    assert [day.day for day in result.days_not_due(run, "open_interest")] == [1, 2, 3]


DAYS = dg.DailyPartitionsDefinition("2025-10-01", end_date="2025-10-11")


@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
def upstream(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    whole = {date(2025, 10, 2): {"dagster/partition_row_count": 24}, date(2025, 10, 4): {"dagster/partition_row_count": 23}}
    return materialized(context, context.asset_key, whole, {"dagster/row_count": 1000})


@dg.asset(deps=[upstream])
def downstream(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    return not_materialized(context.asset_key)


def test_only_whole_days_are_marked_and_each_has_its_own_rows(instance: dg.DagsterInstance) -> None:
    tags = {"dagster/asset_partition_range_start": "2025-10-01", "dagster/asset_partition_range_end": "2025-10-04"}
    ended = dg.materialize([upstream, downstream], instance=instance, tags=tags)
    assert ended.success and not ended.asset_materializations_for_node("downstream")
    assert [event.step_key for event in ended.get_step_success_events()] == ["upstream", "downstream"]
    assert instance.get_materialized_partitions(upstream.key) == {"2025-10-02", "2025-10-04"}
    events = instance.fetch_materializations(upstream.key, limit=9).records
    rows = {event.partition_key: event.asset_materialization.metadata["dagster/partition_row_count"].value for event in events}  # type: ignore[union-attr]
    assert rows == {"2025-10-02": 24, "2025-10-04": 23}


def test_the_daily_schedule_asks_for_what_is_missing_before(instance: dg.DagsterInstance) -> None:
    settings, last = Settings(venues=["kraken", "bybit"], catch_up_days=5), date(2025, 10, 10)
    assert first_missing(instance, settings, last) == last  # nothing has ever been fetched
    for source, days in {"kraken_futures": (1, 2, 3, 6, 7, 9), "bybit_linear": (8, 9)}.items():
        for day in days:
            event = dg.AssetMaterialization(landing_key(source), partition=f"2025-10-{day:02}")
            instance.report_runless_asset_event(event)
    assert first_missing(instance, settings, last) == date(2025, 10, 5)  # the 4th is too far back
    assert first_missing(instance, settings.model_copy(update={"venues": ["bybit"]}), last) == last


def test_days_of_the_command_line_are_noted_and_the_check_still_tells_of_them(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = landing_key("okx")
    evaluation = dg.AssetCheckEvaluation(key, "fetched_whole", passed=False, metadata={"problems": ["a request failed"]})
    instance.report_runless_asset_event(evaluation)
    monkeypatch.setattr(ui, "whole_days", lambda settings: {"okx": {date(2025, 10, 2), date(2025, 10, 1)}})
    for _ in range(2):
        ui.note_whole_days(instance, Settings())
    assert instance.get_materialized_partitions(key) == {"2025-10-01", "2025-10-02"}
    [newest, _] = instance.fetch_materializations(key, limit=9).records
    check = dg.AssetCheckKey(key, "fetched_whole")
    last = instance.event_log_storage.get_latest_asset_check_execution_by_key([check])[check]
    assert last.event and last.event.dagster_event
    again = last.event.dagster_event.asset_check_evaluation_data
    assert again.target_materialization_data and again.target_materialization_data.storage_id == newest.storage_id
    assert (again.passed, again.metadata) == (False, evaluation.metadata)


@dg.multi_asset(
    specs=[dg.AssetSpec("table")],
    check_specs=[dg.AssetCheckSpec("whole", asset="table"), dg.AssetCheckSpec("odd", asset="table")],
)
def checked() -> Iterator[Any]:
    if os.environ.get("BREAK"):
        raise ValueError("the disk is full")
    yield dg.MaterializeResult(asset_key="table")
    yield dg.AssetCheckResult(passed=False, check_name="whole", metadata={"problems": ["2025-10-03 was not answered"]})
    yield dg.AssetCheckResult(passed=False, check_name="odd", severity=dg.AssetCheckSeverity.WARN)


@pytest.mark.parametrize("breaks", [False, True], ids=["a check fails", "a step fails"])
def test_a_failure_is_told_and_noted(
    breaks: bool, instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERPLAKE_NOTIFY", "json://127.0.0.1:9/hook")
    monkeypatch.setenv("PERPLAKE_HOME", str(tmp_path))
    if breaks:
        monkeypatch.setenv("BREAK", "1")
    told: list[str] = []
    monkeypatch.setattr("assets.defs.sensors.send", lambda notice, urls: told.append(f"{notice.title}\n{notice.body}"))
    ended = dg.materialize([checked], instance=instance, raise_on_error=False, tags={"dagster/partition": "2025-10-03"})
    run = ended.dagster_run
    for _ in range(2):  # a run that is marked already, as one of the command line, is left as it is
        if not breaks:
            success = next(event for event in ended.all_events if event.is_job_success)
            on_success(dg.build_run_status_sensor_context("sensor", success, instance, run))
        marked = instance.get_run_by_id(run.run_id)
        assert marked and marked.status == FAILURE, "the list of runs shows no checks"
        run = marked
    [failure] = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    assert failure.dagster_event
    on_failure(dg.build_run_status_sensor_context("sensor", failure.dagster_event, instance, run).for_run_failure())
    [text] = told
    assert ("the disk is full" if breaks else "table: whole: 2025-10-03 was not answered") in text and "odd" not in text
    [noted] = noted_runs(Settings().published)
    assert (noted["outcome"], noted["window"]) == ("failed" if breaks else "incomplete", "2025-10-03")


def test_lines_about_runs_that_are_damaged_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "runs.jsonl").write_bytes(
        b'[]\nnull\n{}\n{"started":1}\n{"started":"a","outcome":7}\n{"started":"a","messages":"x"}\n\xff\xfe{\n'
        b'{"started":"b","outcome":"failed","messages":["[/x]"],"whole_days":{"okx":[["2025-01-01","2025-01-02"]]}}\n'
        b'{"started":"c"}\n{"started":"d","whole_days":{"okx":[["x"]]}}'
    )
    late, early = noted_runs(tmp_path)
    assert (late["started"], late["outcome"], early["outcome"], early["messages"]) == ("c", "unknown", "failed", ["[/x]"])
    printing.last_runs([late, early])  # what looks like markup is text


def test_the_last_word_of_a_check_counts_where_it_is_an_error(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    dg.materialize([checked], instance=instance)
    keys = [dg.AssetCheckKey(dg.AssetKey("table"), name) for name in ("whole", "odd", "never run")]
    assert failed_checks(instance, keys) == ["table: whole"]
    with monkeypatch.context() as broken:
        broken.setenv("BREAK", "1")
        assert not dg.materialize([checked], instance=instance, raise_on_error=False).success
    assert failed_checks(instance, keys) == ["table: whole"], "a run that didn't come to the check says nothing of it"
    good = dg.AssetCheckEvaluation(keys[0].asset_key, "whole", passed=True)
    instance.report_runless_asset_event(good)
    assert failed_checks(instance, keys) == []


def test_a_check_of_a_fetch_that_is_executed_alone_tells_again_what_it_told(instance: dg.DagsterInstance) -> None:
    key = dg.AssetCheckKey(landing_key("okx"), FETCHED_WHOLE)

    def executed() -> dg.ExecuteInProcessResult:
        resources = {"settings": SettingsResource(), "session": Session()}
        chosen = dg.AssetSelection.checks(key)
        return dg.materialize([fetch_sources], selection=chosen, resources=resources, instance=instance, raise_on_error=False)

    assert not executed().success, "there was no fetch"
    told = dg.AssetCheckEvaluation(key.asset_key, key.name, passed=False, metadata={"problems": ["a request failed"]})
    instance.report_runless_asset_event(told)
    for _ in range(2):
        [again] = executed().get_asset_check_evaluations()
        assert (again.passed, again.severity, again.metadata) == (False, told.severity, told.metadata)


class Destroyed:
    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        sum(range(9))  # Python calls the handler here, and drops what it raises


@dg.asset
def loses_an_interrupt() -> None:
    Destroyed()


@dg.asset(deps=[loses_an_interrupt])
def comes_after(settings: SettingsResource) -> None:
    settings.resolve()


def test_an_interrupt_that_a_library_has_lost_stops_the_run_before_the_next_step(
    instance: dg.DagsterInstance, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    resources = {"settings": SettingsResource(home=str(tmp_path))}
    ended = dg.materialize([loses_an_interrupt, comes_after], resources=resources, instance=instance, raise_on_error=False)
    assert [event.step_key for event in ended.get_step_success_events()] == ["loses_an_interrupt"]
    assert is_interrupt(ended.failure_data_for_node("comes_after").error)  # type: ignore[union-attr]
    assert "Exception ignored" not in capfd.readouterr().err


def test_what_copies_the_output_of_steps_does_not_hear_ctrl_c() -> None:
    class Manager:
        @contextmanager
        def capture_logs(self, log_key: list[str]) -> Iterator[str]:
            script = "import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, []))"
            yield subprocess.check_output([sys.executable, "-c", script], text=True)

    instance: Any = SimpleNamespace(compute_log_manager=Manager())
    with with_deaf_children(instance).compute_log_manager.capture_logs(["step"]) as blocked:
        assert "SIGINT" in str(blocked) and not signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_history_is_deleted_by_age_and_what_is_materialised_stays(instance: dg.DagsterInstance) -> None:
    ended = dg.materialize([upstream], instance=instance, partition_key="2025-10-04")
    assert delete_old_runs(instance, 1) == 0 == delete_old_runs(instance, 0)
    record = instance.get_run_record_by_id(ended.run_id)
    assert record
    made = instance.get_materialized_partitions(upstream.key)
    assert made
    later = datetime.now(UTC) + timedelta(days=15)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("assets.runtime.history.datetime", type("Later", (), {"now": staticmethod(lambda zone: later)}))
        assert delete_old_runs(instance, 14) == 1
    assert instance.get_runs() == [] and instance.all_logs(ended.run_id) == []
    assert instance.get_materialized_partitions(upstream.key) == made


@pytest.mark.parametrize(
    ("host", "origin", "answer"),
    [
        ("localhost:3000", "", 200),
        ("127.0.0.1:3000", "http://127.0.0.1:3000", 200),
        ("[::1]:3000", "", 200),
        ("Perps.example.org", "https://perps.example.org", 200),
        ("evil.example", "", 403),
        ("127.0.0.1.evil.example", "", 403),
        ("localhost@evil.example", "", 403),
        ("localhost", "http://evil.example", 403),
        ("localhost", "null", 403),
        ("", "", 403),
        ("[", "", 403),
    ],
)
def test_the_ui_answers_to_known_hosts_alone(host: str, origin: str, answer: int) -> None:
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def keep(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", host.encode())] + ([(b"origin", origin.encode())] if origin else [])
    scope = {"type": "http", "method": "POST", "headers": headers}
    asyncio.run(KnownHosts(app, ["perps.example.org"])(scope, None, keep))  # type: ignore[arg-type]
    assert sent[0]["status"] == answer


def test_the_documentation_answers_to_known_hosts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    apps: list[Any] = []
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: SimpleNamespace(returncode=0))
    monkeypatch.setattr("uvicorn.Server.run", lambda server: apps.append((server.config.app, server.config.host)))
    serve.docs(port=0)
    [(app, host)] = apps
    assert isinstance(app, KnownHosts) and host == "127.0.0.1"
    with pytest.raises(ValueError, match="port 99999 can't be used"):
        serve.docs(port=99999)


def test_a_second_ui_and_a_taken_port_are_refused(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"port {port} can't be used"), ui._only_one(tmp_path, port):
            pass
    with ui._only_one(tmp_path, port), pytest.raises(ValueError, match="another `perps ui` serves"), ui._only_one(tmp_path, port):
        pass


def test_the_ui_is_told_of_once_its_port_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ui._wait_until(lambda: ui._answers(port), {})
    monkeypatch.setattr(ui, "START_SECONDS", 0.1)
    with pytest.raises(ConnectionError, match="the UI did not start within 0 s"):
        ui._wait_until(lambda: ui._answers(port), {})


def test_stopping_ends_children_of_children_also_where_signals_are_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ui, "STOP_SECONDS", 0.2)
    script = "trap '' INT TERM; sleep 60 & echo $! > child; wait"
    server = subprocess.Popen(["bash", "-c", script], cwd=tmp_path, start_new_session=True)
    while not (tmp_path / "child").exists() or not (tmp_path / "child").read_text():
        time.sleep(0.01)
    ui._stop([server])
    assert server.returncode == -signal.SIGKILL
    child = int((tmp_path / "child").read_text())
    status = Path(f"/proc/{child}/stat")
    deadline = time.monotonic() + 10
    while status.exists() and status.read_text().split()[2] != "Z":  # the signal was sent; the kernel delivers it later
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with pytest.raises(ConnectionError, match="the daemon of the UI ended with status"):
        ui._check({"daemon": server})


def test_runs_of_the_command_line_are_in_the_timeline(instance: dg.DagsterInstance) -> None:
    job = dg.Definitions(assets=[checked], jobs=[dg.define_asset_job("run")]).resolve_job_def("run")
    ended = job.execute_in_process(instance=shown_in_the_timeline(instance))
    run = instance.get_run_by_id(ended.run_id)
    assert run and run.remote_job_origin and run.remote_job_origin.job_name == "run"
    assert run.remote_job_origin.repository_origin.get_label() == "__repository__@perplake"


def test_settings_of_the_instance_follow_the_version_until_the_user_changes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    settings = Settings(home=tmp_path)
    used = dagster_home(settings) / "dagster.yaml"
    for file in (used, used.with_name(".dagster.yaml")):
        file.write_text("# an older version's\n")
    assert dagster_home(settings) == used.parent and used.read_text() == TEMPLATE.read_text()
    used.write_text("# the user's\n")
    dagster_home(settings)
    assert used.read_text() == "# the user's\n"


def test_the_last_error_of_an_emulator_is_told_without_what_follows() -> None:
    first, last = (
        f'Traceback (most recent call last):\n  File "acme.py", line {n}\n    text(1)\nNameError: no text\n' for n in (1, 2)
    )
    assert last_error(f"serving\n{first}serving\n{last}Exception in task\n") == last.partition("\n")[2].rstrip()
    assert last_error("serving\n") == ""
