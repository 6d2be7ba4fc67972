"""The main job in this process: what `perps run` does, and what a test of the whole does.

It brings up the emulator where the source needs one, fixes window and clock, runs the Dagster job on an instance that the UI
shares, and says how it ended.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from assets.runtime.interrupts import interrupted
from pipelines import warehouse
from pipelines.clock import Clock
from pipelines.errors import WarehouseMismatch
from pipelines.landing import Entry, Landing
from pipelines.run import EmulatorInfo, resolve_window_and_clock
from pipelines.settings import Settings
from pipelines.windows import DAY, Window, to_ms

if TYPE_CHECKING:
    import dagster as dg

    from assets.runtime.session import Session

log = logging.getLogger("perplake.job")

INSTANCE = Path(__file__).parents[2] / "infra" / "dagster" / "dagster.yaml"
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Outcome:
    """How a run ended. `checks` as `session.evaluations` gives them; `failed` are steps with their messages."""

    settings: Settings
    window: Window
    checks: list[dict[str, Any]]
    failed: list[str]
    messages: list[str]
    asked: int
    reused: int
    seconds: dict[str, float]  # how long each source took to fetch, all having begun together

    @property
    def problems(self) -> list[dict[str, Any]]:
        return [check for check in self.checks if not check["passed"]]

    @property
    def good(self) -> bool:
        """No step failed, and no check that is an error."""
        return not self.failed and not any(check["severity"] == "ERROR" for check in self.problems)


def replayed(settings: Settings) -> tuple[Settings, Window, Clock, str]:
    """What landing alone can give: settings for the market that it holds, the hull of its windows, its last moment, where its
    data came from.

    Raises `ValueError` when landing is empty or holds several markets.
    """
    entries: list[Entry] = list(Landing(settings.landing_root).iterate())
    markets = {entry.market for entry in entries}
    if len(markets) != 1:
        held = f"holds {len(markets)} markets ({', '.join(sorted(markets))})" if markets else "is empty"
        raise ValueError(f"landing {settings.landing_root} {held}: replay needs one; name it with --landing")
    end = max(entry.observed_at for entry in entries)
    windows = [entry.window for entry in entries if entry.window]
    first = settings.first or datetime.fromtimestamp(min(w[0] for w in windows) / 1000, UTC).date()
    last = settings.last or datetime.fromtimestamp((max(w[1] for w in windows) - 1) // DAY * DAY / 1000, UTC).date()
    clock = Clock(to_ms(settings.as_of.replace(tzinfo=settings.as_of.tzinfo or UTC)) if settings.as_of else end)
    return settings.replaying(*markets), Window.of_days(first, last), clock, entries[-1].origin


@contextmanager
def instance(settings: Settings) -> Iterator[Any]:
    """The Dagster instance in the home folder, made at first use."""
    import dagster as dg

    home = (settings.home / "dagster").resolve()
    home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(INSTANCE, home / "dagster.yaml")
    os.environ["DAGSTER_HOME"] = str(home)
    with dg.DagsterInstance.get() as found:
        yield found


def run(
    settings: Settings, job_of: Callable[[Session], dg.JobDefinition], progress: Progress = lambda source, done, total: None
) -> Outcome:
    """Run the main job, which `job_of` makes for a session, for the settings' window; returns how it ended.

    Raises what stops it before it starts, `WarehouseMismatch` among that, and `KeyboardInterrupt` when it is stopped.
    """
    from assets.runtime.emulator import RunningEmulator, emulator

    nobody = None
    if settings.mode == "replay":
        settings, window, clock, origin = replayed(settings)
        nobody = RunningEmulator(EmulatorInfo("", origin), None)
    else:
        window, clock = resolve_window_and_clock(settings)
    if settings.database.exists():  # one that this run may not write is said before anything is asked
        with warehouse.one_writer(settings.database), warehouse.connect(settings.database) as connection:
            warehouse.prepare(connection, settings.market)
    needs_emulator = settings.mode == "synthetic" or settings.recording
    stands = None if settings.recording and not settings.as_of else clock.as_of
    shown = (clock.now() - window.start) // DAY + 1
    with emulator(settings, stands, shown) if needs_emulator else nullcontext(nobody) as attached:
        if attached and settings.recording:
            window, clock = resolve_window_and_clock(settings, attached.clock)
        return _execute(settings, job_of, window, clock, attached, progress)


def _execute(
    settings: Settings,
    job_of: Callable[[Session], dg.JobDefinition],
    window: Window,
    clock: Clock,
    attached: Any,
    progress: Progress,
) -> Outcome:
    from assets.runtime.orphans import alive
    from assets.runtime.session import Session, evaluations

    started = datetime.now(UTC).replace(tzinfo=None)
    session = Session(settings, attached, window, clock, progress)
    job = job_of(session)
    with instance(settings) as found, alive(found) as tag:
        result = job.execute_in_process(
            instance=found,
            raise_on_error=False,
            tags={**tag, "perplake/window": str(window), "perplake/source": settings.mode[:60]},
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        failures = [event for event in result.all_events if event.is_step_failure]
        if any(interrupted(event.step_failure_data.error) for event in failures):
            raise KeyboardInterrupt
        failed = [f"{event.step_key}: {_message(event)}" for event in failures]
        checks = evaluations(found, result.run_id)
    fetched = [f for by_source in session.fetched.values() for f in by_source.values()]
    problems = [p for check in checks if not check["passed"] for p in _lines(check)]
    warnings = [w for f in fetched for w in f.warnings]
    outcome = Outcome(
        settings,
        window,
        checks,
        failed,
        [*session.messages, *warnings, *problems],
        sum(len(f.entries) - f.reused for f in fetched),
        sum(f.reused for f in fetched),
        {f.source: f.seconds for f in fetched},
    )
    if settings.database.exists():
        ended = "succeeded" if outcome.good else "failed" if failed else "incomplete"
        said = [*failed, *outcome.messages]
        try:
            with warehouse.one_writer(settings.database), warehouse.connect(settings.database) as connection:
                warehouse.note_outcome(connection, result.run_id, settings.mode, window, started, ended, said)
        except (duckdb.Error, WarehouseMismatch) as problem:  # a full disk, most likely: what went wrong is told all the same
            outcome.messages.append(f"how this run ended could not be noted in the warehouse: {problem}")
    _point_at(settings)
    return outcome


def _message(event: Any) -> str:
    error = event.step_failure_data.error
    cause = error.cause if error and error.cause else error
    return " ".join(str(cause.message if cause else event.message).split())


def _lines(check: dict[str, Any]) -> list[str]:
    said = check["metadata"].get("problems")
    return list(said) if said else []


def _point_at(settings: Settings) -> None:
    """Make this market the one that `query`, `status`, `gaps` and `replay` speak of when nothing else is said."""
    if settings.warehouse:
        return
    link, draft = settings.home / "current", settings.home / "current.part"
    draft.unlink(missing_ok=True)
    draft.symlink_to(settings.market)
    draft.replace(link)
