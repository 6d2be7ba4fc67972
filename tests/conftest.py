"""How the whole run is shared out between two cores: a file stays on one, and what takes minutes comes first.

So do all tests of dbt, which share one build of its models, and all tests of the run of all sources.
"""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest
from hypothesis import settings

# Examples may be slow on a busy machine.
settings.register_profile("perplake", deadline=None)
settings.load_profile("perplake")

SLOW = (
    "tests/simulation/",
    "tests/assets/test_job.py",
    "tests/assets/test_ui.py",
    "tests/dbt/",
    "tests/sources/test_every_source.py",
    "tests/pipelines/test_fetch.py",
)


def pytest_configure() -> None:
    """Limits and pauses of the user's own runs are left alone, also by what is made while tests are collected."""
    os.environ["PERPLAKE_STATE"] = tempfile.mkdtemp(prefix="perplake-state-")


def pytest_unconfigure() -> None:
    shutil.rmtree(os.environ["PERPLAKE_STATE"], ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: next((n for n, name in enumerate(SLOW) if item.nodeid.startswith(name)), len(SLOW)))
    for item in items:
        file = item.nodeid.partition("::")[0]
        shared = (
            "every_source" if "every_source" in getattr(item, "fixturenames", ()) else "dbt" if "tests/dbt/" in file else file
        )
        item.add_marker(pytest.mark.xdist_group(shared))
