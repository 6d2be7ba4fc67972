"""Which runs of the command line live: each holds a file lock as long, and the system lets go of it when the process is killed.

Dagster can't tell: a killed run stays «started» and keeps its place in the pool, and every later run would wait for it for ever.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from filelock import FileLock, Timeout

TAG = "perplake/alive"
_UNFINISHED = [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]


@contextmanager
def alive(instance: dg.DagsterInstance) -> Iterator[dict[str, str]]:
    """Hold a lock until the block ends; gives the tag for the run that goes with it. Runs found dead are failed before."""
    folder = Path(instance.root_directory) / "alive"
    folder.mkdir(exist_ok=True)
    bury(instance, folder)
    path = folder / secrets.token_hex(8)
    with FileLock(path):
        yield {TAG: path.name}
    path.unlink(missing_ok=True)


def bury(instance: dg.DagsterInstance, folder: Path) -> None:
    """Fail the runs whose process was killed, and free their places in the pool."""
    for run in instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED)):
        if TAG not in run.tags:
            continue
        try:
            with FileLock(folder / run.tags[TAG], timeout=0):
                instance.report_run_failed(run, "its process was killed")
                instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        except Timeout:  # it lives
            continue
        (folder / run.tags[TAG]).unlink(missing_ok=True)
