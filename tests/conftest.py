"""How the whole run is shared out between two cores: a file stays on one, and what takes minutes comes first.

So do all tests of dbt, which share one build of its models, and all tests of the run of all sources.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Examples may be slow on a busy machine.
settings.register_profile("perplake", deadline=None)
settings.load_profile("perplake")

SLOW = (
    "tests/simulation/",
    "tests/assets/test_job.py",
    "tests/assets/test_programs.py",
    "tests/assets/test_ui.py",
    "tests/dbt/",
    "tests/sources/test_every_source.py",
    "tests/sources/test_sources.py",
    "tests/pipelines/test_fetch.py",
)

#: Files that share a session's fixture: a build of dbt's models, the marts of the report, one small run, one run of all sources.
TOGETHER = (
    ("tests/dbt/",),
    ("tests/assets/report/",),
    tuple(f"tests/assets/test_{name}.py" for name in ("job", "programs", "superset", "ducklake", "canaries", "postgres")),
    ("tests/sources/test_every_source.py", "tests/sources/test_ccxt.py", "tests/sources/test_coingecko.py"),
)


#: The files of tests are kept in memory where it has this room: a whole run waits some 1,700 times for a disk.
MEMORY, ROOM_BYTES = Path("/dev/shm"), 8e9
_made = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Limits and pauses of the user's own runs are left alone, also by what is made while tests are collected."""
    os.environ["PERPLAKE_STATE"] = state = tempfile.mkdtemp(prefix="perplake-state-")
    config.stash[_made] = [state]
    if config.option.basetemp is None and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM_BYTES:
        for left in MEMORY.glob("perplake-tests-*-*"):  # by a run that was killed: gigabytes of memory
            if not Path("/proc", left.name.split("-")[2]).exists():
                shutil.rmtree(left, ignore_errors=True)
        config.option.basetemp = tempfile.mkdtemp(prefix=f"perplake-tests-{os.getpid()}-", dir=MEMORY)
        config.stash[_made].append(config.option.basetemp)


def pytest_unconfigure(config: pytest.Config) -> None:
    for folder in config.stash[_made]:
        shutil.rmtree(folder, ignore_errors=True)


def pytest_make_parametrize_id(val: Any, argname: str) -> str | None:
    """Bytes are named by their argument: what an encoder writes may hold the time, and then each worker has other names."""
    return argname if isinstance(val, bytes) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: next((n for n, name in enumerate(SLOW) if item.nodeid.startswith(name)), len(SLOW)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """By file, and of those that share a run by what they share."""
    from xdist.scheduler import LoadFileScheduling

    class Shared(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next((" ".join(files) for files in TOGETHER if nodeid.startswith(files)), super()._split_scope(nodeid))

    return Shared(config, log)
