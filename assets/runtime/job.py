"""Run the main job in this process, as `perps run` does: emulator, window and clock, the Dagster job, and the record of its end.

The job itself is Dagster's (`assets.definitions`); `run` gets it as an argument, so that this module knows no asset.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import duckdb
import msgspec

from assets.runtime.emulator import RunningEmulator, emulator
from assets.runtime.instance import dagster_instance, shown_in_the_timeline, with_deaf_children
from assets.runtime.interrupts import is_interrupt
from assets.runtime.outcomes import WINDOW_TAG, RunOutcome, check_outcomes, fail_incomplete, note_run, ranges
from assets.runtime.session import Progress, Session
from pipelines import warehouse
from pipelines.clock import Clock
from pipelines.errors import DISK_FULL, FREE_ROOM, WarehouseMismatch
from pipelines.landing import Entry, Landing
from pipelines.run import EmulatorInfo, Run, resolve_window_and_clock
from pipelines.settings import Settings
from pipelines.windows import DAY, SETTLED_LATE_MS, Window, to_datetime, to_ms

if TYPE_CHECKING:
    import dagster as dg


def no_progress(source: str, done: int, total: int) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class Prepared:
    """A run ready to start: its settings (of a replay, for the market in landing), window, clock and emulator."""

    settings: Settings
    window: Window
    clock: Clock
    attached: RunningEmulator | None

    def begin(self) -> Run:
        """The run itself, for fetch or load without Dagster."""
        return Run.begin(self.settings, self.window, self.clock, self.attached.emulator if self.attached else None)


@contextmanager
def prepared(settings: Settings, meanwhile: Callable[[], object] = lambda: None) -> Iterator[Prepared]:
    """Resolve window and clock, and run the emulator where the mode needs one until the block ends; `meanwhile` as in `emulator`.

    Raises `ValueError` for settings that contradict each other, `WarehouseMismatch` for a warehouse of another market, `OSError`
    for a home that can't be written, all before any request is made.
    """
    settings.folder.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=settings.folder):  # a home that can't be written is told before anything is started
        pass
    if settings.mode == "replay":
        yield from_landing(settings)
        return
    window, clock = resolve_window_and_clock(settings)
    Landing(settings.landing_root)  # a bucket that is missing is told before anything is requested
    if settings.database.exists():
        with warehouse.one_writer(settings.database, []), warehouse.noting(settings.database) as connection:
            warehouse.prepare(connection, settings.market)
    if settings.mode == "live":
        yield Prepared(settings, window, clock, None)
        return
    fixed = None if settings.recording and not settings.as_of else clock.as_of
    with emulator(settings, fixed, days=(clock.now() - window.start) // DAY + 1, meanwhile=meanwhile) as attached:
        if settings.recording:
            window, clock = resolve_window_and_clock(settings, attached.clock)
        yield Prepared(settings, window, clock, attached)


def from_landing(settings: Settings) -> Prepared:
    """A run from landing alone: the hull of its windows, the time of its last page, the origin of its data.

    A replay takes the market from landing too, and what isn't chosen: sources and assets that its runs asked for. Raises
    `ValueError` when landing is empty, holds several markets, or another than the settings'.
    """
    landing = Landing(settings.landing_root)
    entries: list[Entry] = list(landing.iterate())
    markets = {entry.market for entry in entries}
    if len(markets) != 1:
        content = f"holds {len(markets)} markets ({', '.join(sorted(markets))})" if markets else "is empty"
        raise ValueError(f"landing {settings.landing_root} {content}: one market is needed; name its landing with --landing")
    if settings.mode == "replay":
        scope, (market,) = landing.scope(), markets
        noted = msgspec.structs.asdict(scope) if scope else {}
        sources = {*noted.pop("sources", ()), *(entry.source for entry in entries)}
        chosen = {*settings.model_fields_set, *({*noted} - {"assets"} if "venues" in settings.model_fields_set else ())}
        settings = settings.model_copy(update={name: value for name, value in noted.items() if value and name not in chosen})
        settings = settings.replaying(market, sources)
    elif {settings.market} != markets:
        raise ValueError(f"landing {settings.landing_root} holds the market {min(markets)!r}, not {settings.market!r}")
    end = max(entry.observed_at for entry in entries)
    windows = [entry.window for entry in entries if entry.window] or [(end, end + 1)]
    start = min(w[0] for w in windows)
    # The settlement at a window's end is asked for a moment longer, which is no day.
    stop = max(start, max(w[1] for w in windows) - 1 - SETTLED_LATE_MS)
    first, last = settings.first or to_datetime(start).date(), settings.last or to_datetime(stop).date()
    clock = Clock(to_ms(settings.as_of.replace(tzinfo=settings.as_of.tzinfo or UTC)) if settings.as_of else end)
    attached = RunningEmulator(EmulatorInfo("", entries[-1].origin), None, tuple(landing.damage))
    return Prepared(settings, Window.of_days(first, last), clock, attached)


JobOf = Callable[[Settings], tuple["dg.JobDefinition", Mapping[str, Any]]]


def run(settings: Settings, load_job: Callable[[], JobOf], progress: Progress = no_progress) -> RunOutcome:
    """Run the main job for the settings' window; returns how it ended.

    `load_job` imports what gives the Dagster job and its run configuration for settings. Raises what `prepared` raises, and
    `KeyboardInterrupt` when the run is stopped.
    """
    with prepared(settings, load_job) as ready:
        started = datetime.now(UTC).replace(tzinfo=None)
        about = {"mode": ready.settings.mode, "window": str(ready.window), "outcome": "running", "messages": []}
        _note_run(ready.settings, started, **about)
        try:
            return _execute(ready, load_job(), progress, started)
        except BaseException as problem:
            outcome = "stopped" if isinstance(problem, KeyboardInterrupt) else "failed"
            _note_run(ready.settings, started, outcome=outcome, messages=[str(problem)] if str(problem) else [])
            raise


def _execute(ready: Prepared, job_of: JobOf, progress: Progress, started: datetime) -> RunOutcome:
    from assets.runtime.event_log import kept_open
    from assets.runtime.history import delete_old_runs
    from assets.runtime.orphans import alive, fail_orphaned_runs

    settings, session = ready.settings, Session(ready.attached, ready.window, ready.clock, progress)
    job, config = job_of(settings)
    run_id = str(uuid.uuid4())
    with dagster_instance(settings) as instance, kept_open(instance), alive(settings.home, run_id):
        fail_orphaned_runs(instance, settings.home)
        result = job.execute_in_process(
            instance=with_deaf_children(shown_in_the_timeline(instance)),
            run_id=run_id,
            raise_on_error=False,
            resources={"session": session},
            tags={WINDOW_TAG: str(ready.window), "perplake/mode": settings.mode[:60]},
            run_config={**config, "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        failures = [event for event in result.all_events if event.is_step_failure]
        if any(is_interrupt(event.step_failure_data.error) for event in failures):
            raise KeyboardInterrupt
        checks = check_outcomes(instance, result.run_id)
        if result.success:
            fail_incomplete(instance, result.dagster_run, checks)
        delete_old_runs(instance, settings.history_days)
    fetched = [f for by_source in session.fetched.values() for f in by_source.values()]
    outcome = RunOutcome(
        settings,
        ready.window,
        checks,
        failed=[f"{event.step_key}: {_message(event)}" for event in failures],
        messages=[
            *session.messages,
            *(warning for f in fetched for warning in f.warnings),
            *(problem for check in checks if not check.passed for problem in check.problems),
        ],
        requested=sum(len(f.entries) - f.reused for f in fetched),
        reused=sum(f.reused for f in fetched),
        seconds={f.source: f.seconds for f in fetched},
    )
    _record(outcome, result.run_id, started)
    _note_run(settings, started, whole_days={source: ranges(days) for source, days in session.whole_days.items()})
    point_at(settings)
    return outcome


def _message(event: dg.DagsterEvent) -> str:
    error = event.step_failure_data.error
    cause = error.cause if error and error.cause else error
    text = " ".join(str(cause.message if cause else event.message).split())
    if DISK_FULL.search(text) and "free room" not in text:
        return f"the disk is full: {FREE_ROOM} ({text})"
    return text


def _record(outcome: RunOutcome, run_id: str, started: datetime) -> None:
    """Note how the run ended, for `perps status` and in the warehouse; a full disk is one more message."""
    settings, ended = outcome.settings, "succeeded" if outcome.succeeded else "failed" if outcome.failed else "incomplete"
    reasons = [f"{check.name}: {check.reason}" for check in outcome.failed_checks if check.is_error]
    _note_run(settings, started, outcome=ended, messages=[*outcome.failed, *reasons, *outcome.messages])
    if not settings.database.exists():
        return
    messages = [*outcome.failed, *outcome.messages]
    try:
        with (
            warehouse.one_writer(settings.database, []),
            warehouse.noting(settings.database) as connection,
            warehouse.transaction(connection),
        ):
            warehouse.note_outcome(connection, run_id, settings.mode, outcome.window, started, ended, messages)
    except (duckdb.Error, WarehouseMismatch) as problem:
        outcome.messages.append(f"how this run ended could not be noted in the warehouse: {problem}")


def _note_run(settings: Settings, started: datetime, **values: Any) -> None:
    with suppress(OSError):  # a full disk: the run itself has a message about it
        note_run(settings.published, f"{started:%Y-%m-%dT%H:%M:%S}", **values)


def point_at(settings: Settings) -> None:
    """Make this market the one that reading commands and `replay` use by default."""
    if settings.warehouse:
        return
    link, draft = settings.home / "current", settings.home / "current.part"
    draft.unlink(missing_ok=True)
    draft.symlink_to(settings.market)
    draft.replace(link)
