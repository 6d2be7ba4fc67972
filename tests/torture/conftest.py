"""`--kills N`: how many times the small job is killed: at the named points first, then at random moments.

`--forecasts`: the job makes forecasts too, which are published with the rest.
`--in-a-row N`: how many kills one warehouse of the core venues meets, with forecasts, publication and report.
"""

from __future__ import annotations

import pytest

from tests.torture.points import POINTS


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kills", type=int, default=len(POINTS), help="kill the small job this many times: at named points, then at random"
    )
    parser.addoption("--forecasts", action="store_true", help="the job that is killed makes forecasts, too")
    parser.addoption("--in-a-row", type=int, default=2, help="kill runs of one warehouse this many times")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kill" in metafunc.fixturenames:
        # Pytest reads this file too late for the option to exist when all of tests/ runs.
        kills = metafunc.config.getoption("--kills", default=len(POINTS))
        names = [point.name for point in POINTS[:kills]]
        metafunc.parametrize("kill", range(kills), ids=[*names, *(f"random-{n}" for n in range(len(names), kills))])
