"""`perps ui`: Dagster's code server, web server and daemon on loopback, with the venue emulator beside them.

The emulator's clock runs with real time, so that the hourly schedule has a day in progress to load. Runs of the command line
are in the same instance; the days that they fetched become materialised partitions while the UI starts. Ctrl-C and SIGTERM
stop all.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import date
from pathlib import Path
from typing import IO, TYPE_CHECKING

import typer
from filelock import FileLock, Timeout

from assets.cli.base import until_stopped
from assets.runtime.emulator import emulator
from assets.runtime.instance import dagster_home, dagster_instance
from assets.runtime.outcomes import noted_runs
from pipelines.settings import Settings
from pipelines.windows import Window

if TYPE_CHECKING:
    import dagster as dg

ROOT = Path(__file__).parents[2]
#: Until the code location has loaded, and until servers that were told to end are killed.
START_SECONDS, STOP_SECONDS = 120.0, 8.0


def serve(settings: Settings, port: int) -> None:
    """Run until stopped.

    Raises `ConnectionError` when a server ends or doesn't start, `ValueError` for replay, a taken port, a second UI of one home.
    """
    from assets.runtime.orphans import fail_orphaned_runs

    if settings.mode == "replay":
        raise ValueError("replay requests nothing, so it has no days to schedule: `perps run --mode replay`")
    with (
        until_stopped(),
        _only_one(dagster_home(settings), port),
        emulator(settings, None) if settings.mode != "live" else nullcontext() as attached,
        dagster_instance(settings) as instance,
        tempfile.TemporaryDirectory(prefix="perplake-ui-") as folder,
    ):
        if killed := fail_orphaned_runs(instance, settings.home, unlocked_too="DAGSTER_HOME" not in os.environ):
            typer.echo(f"runs whose process was killed are marked as failed: {', '.join(run[:8] for run in killed)}")
        environment = {**os.environ, "PERPLAKE_MODE": settings.mode, "DAGSTER_HOME": str(dagster_home(settings))}
        environment["PERPLAKE_HOME"] = str(settings.home.absolute())  # the servers' folder is that of the code
        if attached:
            environment["PERPLAKE_EMULATOR_URL"] = attached.emulator.url
        with _servers(Path(folder), port, environment) as servers:
            _wait_until(lambda: _answers(port), servers)
            typer.echo(f"the Dagster UI is on http://127.0.0.1:{port}; Ctrl-C stops it")
            note_whole_days(instance, settings)
            while True:
                _check(servers)
                time.sleep(0.5)


@contextmanager
def _only_one(folder: Path, port: int) -> Iterator[None]:
    """Hold the lock of the UI of this Dagster instance. Raises `ValueError` where another holds it, or the port is taken."""
    try:
        with FileLock(folder / "ui.lock", timeout=0):
            refuse_taken_port(port)
            yield
    except Timeout:
        raise ValueError(f"another `perps ui` serves {folder}: use it, or stop it first") from None


def refuse_taken_port(port: int) -> None:
    """Raises `ValueError` for a port of loopback that is taken, or is no port."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except (OSError, OverflowError) as problem:
        reason = getattr(problem, "strerror", problem)
        raise ValueError(f"port {port} can't be used ({reason}): choose another with --port") from None


@contextmanager
def _servers(folder: Path, port: int, environment: dict[str, str]) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Code server, web server and daemon, each in a process group of its own, until the block ends.

    Runs are children of the code server: they are told to end too, and stop cleanly where they can in time.
    """
    code, workspace = folder / "code.sock", folder / "workspace.yaml"
    workspace.write_text(f"load_from: [{{grpc_server: {{socket: {code}, location_name: perplake}}}}]\n")
    load = ["dagster", "code-server", "start", "--module-name", "assets.definitions", "--location-name", "perplake"]
    commands = {
        "code server": [*load, "--socket", str(code), "--use-python-environment-entry-point", "--log-level", "warning"],
        "web server": ["assets.runtime.webserver", "--port", str(port), "--workspace", str(workspace)],
        "daemon": ["dagster._daemon", "run", "--workspace", str(workspace), "--log-level", "warning"],
    }
    commands["web server"] += ["--uvicorn-log-level", "warning", "--dagster-log-level", "warning"]
    servers: dict[str, subprocess.Popen[bytes]] = {}
    is_stopping = threading.Event()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has it ignored
    for stop in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(stop, _end)
    try:
        for name, command in commands.items():
            servers[name] = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
            threading.Thread(target=_show, args=(servers[name].stdout, is_stopping), daemon=True).start()
            _wait_until(code.exists, servers)
        yield servers
    finally:
        is_stopping.set()
        _stop(list(servers.values()))


def _show(output: IO[bytes], is_stopping: threading.Event) -> None:
    """Show what a server writes until it is stopped, which Dagster's processes answer with tracebacks."""
    for line in output:
        if not is_stopping.is_set():
            with suppress(OSError):
                os.write(2, line)


def _end(*_: object) -> None:
    """A handler of SIGTERM, by which a service is stopped, and of a terminal that was closed."""
    raise typer.Exit(0)


def _end_with_parent() -> None:
    """In the child: have Linux end it when its parent is killed; other systems leave it to the user."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _wait_until(ready: Callable[[], bool], servers: dict[str, subprocess.Popen[bytes]]) -> None:
    """Raises `ConnectionError` where a server ends before, or `START_SECONDS` pass."""
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        _check(servers)
        if time.monotonic() > deadline:
            raise ConnectionError(f"the UI did not start within {START_SECONDS:.0f} s")
        time.sleep(0.1)


def _answers(port: int) -> bool:
    """True if a server listens on this port of loopback."""
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    return False


def _check(servers: dict[str, subprocess.Popen[bytes]]) -> None:
    """Raises `ConnectionError` where a server has ended."""
    for name, process in servers.items():
        if process.poll() is not None:
            raise ConnectionError(f"the {name} of the UI ended with status {process.returncode}; its output is above")


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    """End processes and their children: by SIGTERM, after `STOP_SECONDS` by SIGKILL."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=max(0.0, deadline - time.monotonic()))
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def whole_days(settings: Settings) -> dict[str, set[date]]:
    """The UTC days that runs of the command line were answered whole, by source."""
    days: dict[str, set[date]] = {}
    for run in noted_runs(settings.published):
        for source, found in run.get("whole_days", {}).items():
            for first, last in found:
                days.setdefault(source, set()).update(Window.of_days(first, last).days)
    return days


def note_whole_days(instance: dg.DagsterInstance, settings: Settings) -> None:
    """Note the days that runs of the command line fetched as materialised partitions of `landing/<source>`.

    Only of these assets, and only here: Dagster takes 10 to 30 ms for each asset and day, too long for each run and raw table.
    """
    import dagster as dg

    from assets.defs.landing import landing_key

    for source, days in whole_days(settings).items():
        key = landing_key(source)
        new = sorted(set(map(str, days)) - instance.get_materialized_partitions(key))
        for day in new:
            event = dg.AssetMaterialization(key, partition=day, metadata={"from": "a run of the command line"})
            instance.report_runless_asset_event(event)
        if new:
            _note_check_again(instance, key)


def _note_check_again(instance: dg.DagsterInstance, key: dg.AssetKey) -> None:
    """Note the last result of `fetched_whole` for the newest event of its asset: else Dagster shows it as not evaluated."""
    import dagster as dg
    from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData
    from dagster_shared.record import replace

    from assets.defs.landing import FETCHED_WHOLE

    check, [newest] = dg.AssetCheckKey(key, FETCHED_WHOLE), instance.fetch_materializations(key, limit=1).records
    record = instance.event_log_storage.get_latest_asset_check_execution_by_key([check]).get(check)
    event = record.event.dagster_event if record and record.event else None
    if event and event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
        target = AssetCheckEvaluationTargetMaterializationData(
            storage_id=newest.storage_id, run_id=newest.run_id, timestamp=newest.timestamp
        )
        instance.report_runless_asset_event(replace(event.asset_check_evaluation_data, target_materialization_data=target))
