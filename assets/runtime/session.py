"""What the steps of one run share in this process: the emulator, the window and clock, and the fetched pages handed to load.

The command line makes a session for its run; the code location has one for the runs of the UI, each in a process of its own.
A run's window is its partitions where it has any, the session's otherwise, else that of the settings.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
from contextlib import ExitStack
from datetime import date
from typing import TYPE_CHECKING

from assets.runtime.emulator import RunningEmulator, emulator
from pipelines.clock import Clock
from pipelines.fetch import FetchResult
from pipelines.run import Run, resolve_window_and_clock
from pipelines.settings import Settings
from pipelines.windows import Window

if TYPE_CHECKING:
    import dagster as dg

Progress = Callable[[str, int, int], None]


class Session:
    """Runs of one process by their Dagster run id. `messages` are notes that the command line prints at the end."""

    def __init__(
        self,
        attached: RunningEmulator | None = None,
        window: Window | None = None,
        clock: Clock | None = None,
        progress: Progress = lambda source, done, total: None,
    ) -> None:
        self.attached, self.window, self.clock, self.progress = attached, window, clock, progress
        self.fetched: dict[str, dict[str, FetchResult]] = {}
        self.messages: list[str] = list(attached.notes) if attached else []
        #: Days that were answered whole, by source.
        self.whole_days: dict[str, list[date]] = {}
        self._runs: dict[str, Run] = {}

    def run(self, context: dg.AssetExecutionContext, settings: Settings) -> Run:
        """The run that this step belongs to."""
        if context.run_id not in self._runs:
            self._runs[context.run_id] = self._begin(settings, _partitions(context.run.tags))
        return self._runs[context.run_id]

    def end_requests(self) -> None:
        """Nothing more is requested: the emulator of a run of the command line ends, whose memory the later steps need."""
        if self.clock and self.attached:
            self.attached.stop()

    def _begin(self, settings: Settings, days: Window | None) -> Run:
        if self.clock is None and self.attached is None and settings.mode not in ("live", "replay"):
            stack = ExitStack()  # under `dagster dev` alone each run starts an emulator; `perps ui` runs one for all
            self.attached = stack.enter_context(emulator(settings, None))
            atexit.register(stack.close)
        end_of_data = self.attached.clock if self.attached else None
        window, clock = resolve_window_and_clock(settings, end_of_data)
        window, clock = self.window or window, self.clock or (Clock(end_of_data) if self.attached else clock)
        return Run.begin(settings, days or window, clock, self.attached.emulator if self.attached else None)


def _partitions(tags: dict[str, str]) -> Window | None:
    """The hull of a run's partitions, from its tags: steps of assets without partitions belong to the same days."""
    first = tags.get("dagster/partition") or tags.get("dagster/asset_partition_range_start")
    last = tags.get("dagster/partition") or tags.get("dagster/asset_partition_range_end")
    return Window.of_days(date.fromisoformat(first), date.fromisoformat(last)) if first and last else None
