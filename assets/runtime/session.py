"""What the assets of one run share: settings, the venues' place, and the pages that fetch had for load.

The command line makes a session for its settings; the UI's code location makes one from the environment. A run's window is
its partitions where it has any, the settings' otherwise.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
from contextlib import ExitStack
from datetime import date
from pathlib import Path

import dagster as dg
import duckdb

from assets.runtime.emulator import RunningEmulator, emulator
from pipelines import warehouse
from pipelines.clock import Clock
from pipelines.fetch import FetchResult
from pipelines.run import Run, resolve_window_and_clock
from pipelines.settings import Settings
from pipelines.windows import Window

Progress = Callable[[str, int, int], None]


class Session:
    """One process's runs by their Dagster run id."""

    def __init__(
        self,
        settings: Settings,
        attached: RunningEmulator | None = None,
        window: Window | None = None,
        clock: Clock | None = None,
        progress: Progress = lambda source, done, total: None,
    ) -> None:
        self.settings, self.attached, self.window, self.clock, self.progress = (
            settings,
            attached,
            window,
            clock,
            progress,
        )
        self.fetched: dict[str, dict[str, FetchResult]] = {}
        self.messages: list[str] = []
        self._runs: dict[str, Run] = {}

    @property
    def database(self) -> Path:
        return self.settings.database

    def run(self, context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> Run:
        """The run that this step belongs to."""
        if context.run_id not in self._runs:
            self._runs[context.run_id] = self._begin(context)
        return self._runs[context.run_id]

    def _begin(self, context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> Run:
        if self.clock is None and self.attached is None and self.settings.mode not in ("live", "replay"):
            ours = ExitStack()  # `perps ui` has one running; under plain `dagster dev` each run brings up its own
            self.attached = ours.enter_context(emulator(self.settings, None))
            atexit.register(ours.close)
        stands = self.attached.clock if self.attached else None
        window, clock = resolve_window_and_clock(self.settings, stands)
        window, clock = self.window or window, self.clock or (Clock(stands) if self.attached else clock)
        return Run.begin(self.settings, _days(context) or window, clock, self.attached.emulator if self.attached else None)

    def note_coverage(self, connection: duckdb.DuckDBPyConnection, run: Run, venues: list[str]) -> None:
        """Tell the warehouse which window and assets of venues it is now expected to cover."""
        warehouse.note_run(
            connection,
            self.settings.market,
            run.origin,
            self.settings.mode,
            run.window,
            run.clock.now(),
            self.settings.assets,
            venues,
        )

    def checks(self, context: dg.AssetExecutionContext) -> list[dict[str, object]]:
        """The checks that this run has evaluated so far: name, asset, severity, passed, reason."""
        return evaluations(context.instance, context.run_id)


def _days(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> Window | None:
    """The hull of a run's partitions, from its tags: steps of assets without partitions belong to the same days."""
    tags = context.run.tags
    first = tags.get("dagster/partition") or tags.get("dagster/asset_partition_range_start")
    last = tags.get("dagster/partition") or tags.get("dagster/asset_partition_range_end")
    return Window.of_days(date.fromisoformat(first), date.fromisoformat(last)) if first and last else None


def evaluations(instance: dg.DagsterInstance, run_id: str) -> list[dict[str, object]]:
    """Asset checks of a run, in the order of their evaluation."""
    logs = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    found = [log.dagster_event.asset_check_evaluation_data for log in logs if log.dagster_event]
    return [
        {
            "name": f"{'/'.join(e.asset_key.path)}: {e.check_name}",
            "severity": e.severity.value,
            "passed": e.passed,
            "blocking": bool(e.blocking),
            "reason": e.description or "",
            "metadata": {name: value.value for name, value in e.metadata.items()},
        }
        for e in found
    ]
