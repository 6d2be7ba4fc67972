"""Detect runs whose process was killed, and fail them.

Each run, of the command line or the UI, holds a file lock `locks/<run id>` in the home folder. The system releases the lock when
the process ends, however it ends. Dagster can't tell: a run of the command line that was killed, and any run after a power cut,
would stay «started» for ever, and the queue would wait for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from filelock import FileLock, Timeout

_UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_held: set[Path] = set()


@contextmanager
def alive(home: Path, run_id: str) -> Iterator[None]:
    """Hold the lock of a run of this process until the block ends; within the block again, do nothing."""
    path = home.absolute() / "locks" / run_id
    if path in _held:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path):
        _held.add(path)
        try:
            yield
        finally:
            _held.discard(path)
            path.unlink(missing_ok=True)


def fail_orphaned_runs(instance: dg.DagsterInstance, home: Path, unlocked_too: bool = False) -> list[str]:
    """Fail the runs whose process was killed; returns their ids.

    A run without a lock may be one of another machine, or one that has just been launched. `unlocked_too` fails these as well:
    for an instance of this home alone, while nothing can launch runs.
    """
    failed = []
    for run in instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED)):
        path = home.absolute() / "locks" / run.run_id
        if not path.exists() and not unlocked_too:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(path, timeout=0):
                if run.status == dg.DagsterRunStatus.CANCELING:
                    instance.report_run_canceled(run, "its process ended")
                else:
                    instance.report_run_failed(run, "its process was killed")
        except Timeout:  # its process is alive
            continue
        path.unlink(missing_ok=True)
        failed.append(run.run_id)
    return failed
