"""One small run, undisturbed, that tests of the job compare others with, and that readers read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.emulator.testing import Served
from tests.whole import SMALL, WHOLE, Reference, database, market, marts, perps


@pytest.fixture(scope="session")
def emulator() -> Iterator[Served]:
    with market() as served:
        yield served


@pytest.fixture(scope="session")
def reference(emulator: Served, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    emulator.clear_faults()
    home = tmp_path_factory.mktemp("reference")
    ended = perps(home, emulator.url, *WHOLE, **{**SMALL, "report": True})
    assert ended.status == 0, ended.output
    return Reference(home, marts(database(home)))
