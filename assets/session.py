"""What the assets of one run share: settings, the venues' place, and the pages that fetch had for load.

The command line makes a session for its settings; the UI's code location makes one from the environment. A run's window is
its partitions where it has any, the settings' otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import duckdb

from assets.emulator import Attached, attach
from pipelines import warehouse
from pipelines.clock import Clock
from pipelines.fetch import Fetched
from pipelines.run import Run, span
from pipelines.settings import Settings
from pipelines.sources import table
from pipelines.windows import Window, to_ms

Progress = Callable[[str, int, int], None]


class Session:
    """One process's runs by their Dagster run id."""

    def __init__(
        self,
        settings: Settings,
        attached: Attached | None = None,
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
        self.fetched: dict[str, dict[str, Fetched]] = {}
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
        if self.attached is None and self.settings.emulator_url and self.settings.source != "live":
            self.attached = attach(self.settings.emulator_url.rstrip("/"))
        stands = self.attached.clock if self.attached else None
        window, clock = span(self.settings, stands)
        window, clock = self.window or window, self.clock or (Clock(stands) if self.settings.emulator_url else clock)
        if isinstance(context, dg.AssetExecutionContext) and context.has_partition_key:
            days = context.partition_time_window
            window = Window(to_ms(days.start), to_ms(days.end))
        return Run.begin(self.settings, window, clock, self.attached.emulator if self.attached else None)

    def note_coverage(self, connection: duckdb.DuckDBPyConnection, run: Run) -> None:
        """Tell the warehouse which window, assets and venues it is now expected to cover."""
        venues = sorted({table()[name]["venue"] for name in self.settings.sources})
        warehouse.note_run(
            connection,
            self.settings.market,
            run.origin,
            self.settings.source,
            run.window,
            run.clock.now(),
            self.settings.assets,
            venues,
        )

    def checks(self, context: dg.AssetExecutionContext) -> list[dict[str, object]]:
        """The checks that this run has evaluated so far: name, asset, severity, passed, reason."""
        return evaluations(context.instance, context.run_id)


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
