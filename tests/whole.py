"""The main job as a user runs it: `perps` in its own process, forked from one that has imported everything.

`market()` serves a small synthetic market to all runs of a test session; `perps(...)` runs a command against it and gives
status and output, `begin(...)` starts one that can be interrupted, or that kills itself at a named point. `marts(path)` gives
rows and checksums of the marts.
"""

from __future__ import annotations

import gc
import importlib
import multiprocessing
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
from sqlalchemy import event
from sqlalchemy.engine import Engine

from assets.runtime.instance import TEMPLATE
from infra.emulator.server import to_ms
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served, serve
from pipelines import warehouse

ROOT = Path(__file__).parents[1]
AS_OF = "2025-06-10T00:00:00Z"
DAYS = ("2025-06-07", "2025-06-08", "2025-06-09")
TIMEOUT_SECONDS = 600
#: The imports of a run and dbt's parsed project, so that forks have them already. None of these modules starts a thread, so
#: forking is safe.
PRELOAD = """
    tests.whole assets.cli assets.cli.printing assets.definitions assets.runtime.job assets.report.page
    dlt dlt.destinations.impl.duckdb.factory dbt.cli.main dbt.adapters.duckdb dagster._core.instance tests.parsed
""".split()

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(PRELOAD)
_NUMBERS = count()


@dataclass(frozen=True)
class Point:
    """A named moment of the job: before or after the `nth` call of a function, where the process sends itself a signal.

    With `error`, the call fails with this number of `OSError` instead.
    """

    name: str
    function: str  # `module:qualified.name`
    nth: int = 1
    after: bool = False
    signal: int = signal.SIGKILL
    error: int = 0

    def arm(self) -> None:
        """Patch the function in this process."""
        module, _, path = self.function.partition(":")
        *holders, name = path.split(".")
        owner: Any = importlib.import_module(module)
        for holder in holders:
            owner = getattr(owner, holder)
        function: Callable[..., Any] = getattr(owner, name)
        calls = 0

        @wraps(function)
        def switch(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            mine = calls == self.nth
            if mine and self.error:
                raise OSError(self.error, os.strerror(self.error))
            if mine and not self.after:
                os.kill(os.getpid(), self.signal)
            result = function(*args, **kwargs)
            if mine and self.after:
                os.kill(os.getpid(), self.signal)
            return result

        setattr(owner, name, switch)


@dataclass(frozen=True)
class Finished:
    """How a command ended: its exit status (minus the signal that killed it) and its output."""

    status: int
    output: str


class Running:
    """A running command."""

    def __init__(self, arguments: list[str], environment: dict[str, str], log: Path, point: Point | None) -> None:
        self.log = log
        self.process = CONTEXT.Process(target=_run, args=(arguments, environment, str(log), point))
        self.process.start()
        assert self.process.pid
        self.pid = self.process.pid

    def wait(self) -> Finished:
        """Wait for its end; a run that hangs is killed and fails the test."""
        self.process.join(TIMEOUT_SECONDS)
        if self.process.exitcode is None:
            self.process.kill()
            raise TimeoutError(f"still running after {TIMEOUT_SECONDS} s:\n{self.log.read_text()}")
        return Finished(self.process.exitcode, self.log.read_text())


#: Dagster's events in memory and no output of steps, where no test reads them: each event is otherwise written to two files, a
#: quarter of a small run's time, and four processes copy the output.
IN_MEMORY = """
event_log_storage:
  module: dagster._core.storage.event_log
  class: InMemoryEventLogStorage
compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
"""


def _without_syncs(connection: Any, _: object) -> None:
    """Dagster's history of a test need not survive a power cut; its syncs take a sixth of a small run."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


def _run(arguments: list[str], environment: dict[str, str], log: str, point: Point | None) -> None:
    """In the child: the command with its output in a file, and none of the caller's settings."""
    gc.freeze()  # what was imported before the fork is never garbage
    event.listen(Engine, "connect", _without_syncs)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in [name for name in os.environ if name.startswith(("PERPLAKE_", "DAGSTER_"))]:
        del os.environ[name]
    os.environ.update(environment)
    os.chdir(ROOT)
    with Path(log).open("wb") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # what a killed run said is in the file
    if point:
        point.arm()
    from assets.cli import app
    from assets.cli.printing import console

    console.width = 140  # whatever the terminal of the tests
    try:
        app(arguments, prog_name="perps")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def keep_history(home: Path) -> None:
    """Let Dagster's events stay in the home, as a user's do: for tests that read them or stop a run."""
    (home / "dagster").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(TEMPLATE, home / "dagster" / "dagster.yaml")


#: Leaves dbt's data tests out of a run whose marts are compared with those of a run that passed them: a quarter of dbt's time.
NO_DATA_TESTS = {"DBT_EXCLUDE_RESOURCE_TYPES": "test"}


def begin(
    home: Path,
    url: str,
    *arguments: str,
    point: Point | None = None,
    data_tests: bool = True,
    variables: Mapping[str, str] | None = None,
    **settings: object,
) -> Running:
    """Start `perps` on a home folder; `settings` go into its environment (`landing_max_gb=1`), and `variables` as they are."""
    if not (home / "dagster" / "dagster.yaml").exists():
        keep_history(home)
        with (home / "dagster" / "dagster.yaml").open("a") as file:
            file.write(IN_MEMORY)
    environment = {f"PERPLAKE_{name.upper()}": str(value) for name, value in settings.items()}
    environment |= variables or {}
    environment |= {"PERPLAKE_HOME": str(home), **({} if data_tests else NO_DATA_TESTS)}
    environment |= {"PERPLAKE_EMULATOR_URL": url} if url else {}
    # One file a command: two may run at once.
    return Running(list(arguments), environment, home / f"output-{next(_NUMBERS)}.txt", point)


def perps(home: Path, url: str, *arguments: str, **options: Any) -> Finished:
    """Run `perps` to its end, with the options of `begin`."""
    return begin(home, url, *arguments, **options).wait()


def window(first: str, last: str = "") -> list[str]:
    """The options of a run of these days, at the one clock of all tests."""
    return ["run", "--from", first, "--to", last or first, "--as-of", AS_OF]


#: A small run of all core venues, and its window.
SMALL = {"assets": "BTC,ETH", "report": "false"}
WHOLE = window(DAYS[0], DAYS[2])


@dataclass(frozen=True)
class Reference:
    """An undisturbed run: its home, and rows and checksums of its marts."""

    home: Path
    marts: dict[str, tuple[int, int]]


@contextmanager
def market() -> Iterator[Served]:
    """The synthetic market as it stood at `AS_OF`."""
    with serve(SyntheticMarket(seed=7, until=to_ms(AS_OF)), as_of=AS_OF, days=1000, limits_scale=500) as served:
        yield served


def database(home: Path) -> Path:
    return home / "synthetic-7" / "warehouse.duckdb"


def published(home: Path) -> Path:
    return home / "synthetic-7" / "published" / "perplake.duckdb"


def marts(path: Path) -> dict[str, tuple[int, int]]:
    """Rows and checksum of each mart. `daily_markets`, the old name of `daily_assets`, is only in the published copy."""
    found = checksums(path, "marts")
    found.pop("daily_markets", None)
    return found


def checksums(path: Path, schema: str) -> dict[str, tuple[int, int]]:
    """Rows and checksum of each table and view, whatever the order of rows; names that begin with `_` are left out."""
    with warehouse.connect(path, read_only=True) as connection:
        tables = connection.execute(
            "select table_name, list(column_name order by column_index) from duckdb_columns()"
            " where database_name = current_database() and schema_name = ?"
            " and not starts_with(table_name, '_') and not starts_with(column_name, '_')"
            " group by 1 order by 1",
            [schema],
        ).fetchall()
        return {
            name: connection.execute(
                'select count(*), coalesce(sum(hash({})::hugeint), 0) from {}."{}"'.format(
                    ", ".join(f'"{column}"' for column in columns), schema, name
                )
            ).fetchall()[0]
            for name, columns in tables
        }


def different(one: dict[str, tuple[int, int]], other: dict[str, tuple[int, int]]) -> list[str]:
    """The tables that differ, with their numbers of rows."""
    return [
        f"{name}: {one.get(name, ('no',))[0]} and {other.get(name, ('no',))[0]} rows"
        for name in sorted(one.keys() | other.keys())
        if one.get(name) != other.get(name)
    ]


@contextmanager
def reading(path: Path) -> Iterator[Callable[[], list[str]]]:
    """Another process that opens and reads the published copy repeatedly; yields a function that gives the refusals."""
    stop, refusals = CONTEXT.Event(), CONTEXT.Queue()
    reader = CONTEXT.Process(target=_read, args=(str(path), stop, refusals))
    reader.start()
    refused: list[str] = []
    try:
        yield lambda: refused
    finally:
        stop.set()
        opened, refused[:] = refusals.get(timeout=60)
        reader.join()
    assert opened > 10


def _read(path: str, stop: Any, refusals: Any) -> None:
    opened, refused = 0, []
    while not stop.wait(0.05):
        try:
            with duckdb.connect(path, read_only=True) as connection:
                connection.execute("select count(*) from marts.fct_candles").fetchall()
            opened += 1
        except duckdb.Error as problem:
            refused.append(str(problem))
    refusals.put((opened, refused))
