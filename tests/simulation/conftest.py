"""`--seeds 17`, `--seeds 0:40` or `--seeds 1,15,30:40`: which seeds the simulation draws histories from; an end is excluded.

`7009@30:34` is a part of a history: its steps 30 to 33. `345@12:13+49:50` is two parts: its steps 12 and 49.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

#: The seeds of `make test-slow`, with short histories: 1 found that a damaged page was held against every later load, 7009 that
#: the hash decided between two answers at one time, 345 (in short what 7016 found) that a damaged page of a time that its venue
#: had forgotten failed each later load, 7010 that an answer about another instrument can be a page of an earlier run.
SHORT = "1@4:17,7009@30:34,345@12:13+15:16+49:50,7010@34:38"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seeds", default=SHORT, help="seeds of the simulation, such as 17 or 0:40")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        # Pytest reads this file too late for the option to exist when all of tests/ runs.
        chosen = metafunc.config.getoption("--seeds", default=SHORT)
        marks = [pytest.mark.slow] if chosen == SHORT else []
        metafunc.parametrize("seed", [pytest.param(seed, marks=marks) for seed in _seeds(chosen)])


def _seeds(text: str) -> Iterator[str]:
    for part in text.split(","):
        first, _, end = part.partition(":")
        yield from [part] if "@" in part else map(str, range(int(first), int(end or int(first) + 1)))
