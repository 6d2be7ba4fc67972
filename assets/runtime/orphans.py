"""Detect runs of the command line whose process was killed, and fail them.

Each run holds a file lock, which the system releases when the process ends. Dagster itself can't tell: a killed run would stay
«started» and keep its place in the pool, and every later run would wait for it for ever.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from filelock import FileLock, Timeout

TAG = "perplake/lock"
_UNFINISHED = [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]


@contextmanager
def run_lock(instance: dg.DagsterInstance) -> Iterator[dict[str, str]]:
    """Fail orphaned runs, then hold a lock until the block ends; yields the tag of the run that goes with the lock."""
    folder = Path(instance.root_directory) / "locks"
    folder.mkdir(exist_ok=True)
    fail_orphaned_runs(instance, folder)
    path = folder / secrets.token_hex(8)
    with FileLock(path):
        yield {TAG: path.name}
    path.unlink(missing_ok=True)


def fail_orphaned_runs(instance: dg.DagsterInstance, folder: Path) -> None:
    """Fail the runs whose process was killed, and free their places in the pool."""
    for run in instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED)):
        if TAG not in run.tags:
            continue
        try:
            with FileLock(folder / run.tags[TAG], timeout=0):
                instance.report_run_failed(run, "its process was killed")
                instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        except Timeout:  # its process is alive
            continue
        (folder / run.tags[TAG]).unlink(missing_ok=True)
