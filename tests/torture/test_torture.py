"""The small job killed at a named point or at a random moment, then run again: the same marts as undisturbed.

One venue, one asset, a day at a time; after a random kill the days that follow are run first. Even kills meet an empty home
(this day is the first ever loaded), odd ones a warehouse that has a day already. With `--forecasts` the job makes forecasts, too.
Alone, a minute a kill: `python -m pytest -m slow tests/torture --kills 50`.
"""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from infra.emulator.testing import Served
from tests.torture.points import POINTS
from tests.whole import DAYS, Finished, Running, begin, database, different, keep_history, market, marts, perps, published, window

pytestmark = pytest.mark.slow
#: Kraken pages liquidations: of all venues the one with most kinds of page
SMALL = {"assets": "BTC", "venues": "kraken", "report": False}


@dataclass
class Undisturbed:
    """What marts say after three days without a kill, a home with the first day in it, how long a run takes, its options."""

    marts: dict[str, tuple[int, int]]
    started: Path
    seconds: float
    options: tuple[str, ...]


@pytest.fixture(scope="module")
def emulator() -> Iterator[Served]:
    with market() as served:
        yield served


@pytest.fixture(scope="module")
def undisturbed(emulator: Served, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Undisturbed:
    options = ("--forecasts",) if pytestconfig.getoption("--forecasts", default=False) else ()
    home, started = tmp_path_factory.mktemp("undisturbed"), tmp_path_factory.mktemp("torture") / "started"
    keep_history(home)
    before = time.monotonic()
    _whole(perps(home, emulator.url, *window(DAYS[0]), *options, **SMALL))
    seconds = time.monotonic() - before
    shutil.copytree(home, started, symlinks=True)
    _whole(perps(home, emulator.url, *window(DAYS[1], DAYS[2]), *options, **SMALL))
    return Undisturbed(marts(database(home)), started, seconds, options)


def test_a_kill_leaves_no_trace(kill: int, emulator: Served, undisturbed: Undisturbed, tmp_path: Path) -> None:
    home = tmp_path / "home"
    first, second, third = DAYS
    killed, following = (first, (second, third)) if kill % 2 == 0 else (second, (third,))
    if kill % 2:
        shutil.copytree(undisturbed.started, home, symlinks=True)
    else:
        keep_history(home)
    point = POINTS[kill] if kill < len(POINTS) else None
    run = begin(home, emulator.url, *window(killed), *undisturbed.options, point=point, **SMALL)
    if point is None:
        _kill_at_random(run, kill, undisturbed.seconds)
    ended = run.wait()
    assert ended.status == -signal.SIGKILL or point is None, f"never came to {point}:\n{ended.output}"
    if published(home).exists():  # whatever was cut off, readers have a whole file
        with duckdb.connect(str(published(home)), read_only=True) as reader:
            reader.execute("select count(*) from marts.regime_labels").fetchall()
    if point is None:  # another window may come first
        _whole(perps(home, emulator.url, *window(following[0], following[-1]), *undisturbed.options, **SMALL))
    _whole(perps(home, emulator.url, *window(killed, following[-1]), *undisturbed.options, **SMALL))
    assert not different(marts(database(home)), undisturbed.marts)
    assert not different(marts(published(home)), undisturbed.marts)


def _kill_at_random(run: Running, seed: int, seconds: float) -> None:
    """Kill a run at one of the moments of a usual one."""
    run.process.join(random.Random(seed).uniform(0, seconds))
    run.process.kill()


def _whole(ended: Finished) -> None:
    assert ended.status == 0, ended.output
