"""`--kills N`: how often the small job is killed. The named points come first, random moments after them."""

from __future__ import annotations

import pytest

from tests.torture.points import POINTS


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kills", type=int, default=len(POINTS), help="kill the small job so often: at named points, then at random"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kill" in metafunc.fixturenames:
        # The option is not there when the whole of tests/ is run: pytest reads this file too late for that.
        kills = metafunc.config.getoption("--kills", default=len(POINTS))
        names = [point.name for point in POINTS[:kills]]
        metafunc.parametrize("kill", range(kills), ids=[*names, *(f"random-{n}" for n in range(len(names), kills))])
