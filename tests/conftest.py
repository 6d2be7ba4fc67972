"""How the whole run is shared out between two cores: a file stays on one, and what takes minutes comes first."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import settings

# Examples may be slow on a busy machine.
settings.register_profile("perplake", deadline=None)
settings.load_profile("perplake")

SLOW = (
    "tests/torture/",
    "tests/assets/test_job.py",
    "tests/assets/test_ui.py",
    "tests/dbt/",
    "tests/sources/test_every_source.py",
    "tests/pipelines/test_fetch.py",
)


@pytest.fixture(scope="session", autouse=True)
def _no_state_of_the_user() -> Iterator[None]:
    """Limits and pauses of the user's own runs are left alone."""
    with tempfile.TemporaryDirectory(prefix="perplake-state-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PERPLAKE_STATE", folder)
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        file, callspec = item.nodeid.partition("::")[0], getattr(item, "callspec", None)
        kill = callspec.params.get("kill") if callspec else None
        # The kills are the longest of all and need nothing of each other: half of them for each core.
        item.add_marker(pytest.mark.xdist_group(file if kill is None else f"{file} {kill % 2}"))
    items.sort(key=lambda item: next((n for n, name in enumerate(SLOW) if item.nodeid.startswith(name)), len(SLOW)))
