"""One warehouse of the core venues whose runs are killed one after the other, as on a bad week: at the end nothing shows it.

Each day of the market is run until `KILLS_A_DAY` of its runs were killed at random moments, each going on where the one before
was cut off, and then once in peace. A run that isn't killed in time ends whole. Forecasts, the published copy and the report are
made, too. The outputs of all runs are in the home. Alone, half an hour: `make kills`, `make kills N=10`.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from infra.emulator.testing import Served
from tests.whole import DAYS, begin, database, different, keep_history, market, marts, perps, published, window

pytestmark = pytest.mark.slow
KILLS_A_DAY = 5
#: As many days of events as are ever run: a run of one day asks for no more of them than one of all.
SETTINGS = {"assets": "BTC", "liquidation_days": 30}


@pytest.fixture
def emulator() -> Iterator[Served]:
    with market() as served:
        yield served


def test_killed_runs_of_one_warehouse_leave_no_trace(emulator: Served, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    most = pytestconfig.getoption("--in-a-row", default=2)
    rng, home, undisturbed = random.Random(most), tmp_path / "home", tmp_path / "undisturbed"
    last = date.fromisoformat(DAYS[-1])
    days = [f"{last - timedelta(days=n)}" for n in reversed(range(-(-most // KILLS_A_DAY)))]
    keep_history(home)
    keep_history(undisturbed)
    started = time.monotonic()
    ended = perps(undisturbed, emulator.url, *window(days[0], days[-1]), "--forecasts", **SETTINGS)
    assert ended.status == 0, ended.output
    seconds, kills, runs = time.monotonic() - started, 0, 0

    def run(day: str, kill_after: float | None) -> int:
        """One run up to a day; returns its exit status. `seconds` is what the last whole run took."""
        nonlocal seconds, runs
        runs += 1
        started = time.monotonic()
        running = begin(home, emulator.url, *window(days[0], day), "--forecasts", **SETTINGS)
        if kill_after is not None:
            running.process.join(kill_after)
            running.process.kill()
        ended = running.wait()
        allowed = (0,) if kill_after is None else (0, -signal.SIGKILL)
        assert ended.status in allowed, f"run {runs}, of {day}, after {kills} kills:\n{ended.output}"
        seconds = time.monotonic() - started if ended.status == 0 else seconds
        return ended.status

    for day in days:
        due = min(most, kills + KILLS_A_DAY)
        while kills < due:
            kills += run(day, rng.uniform(0, seconds)) != 0
        run(day, None)
    assert not different(marts(database(home)), marts(database(undisturbed)))
    assert not different(marts(published(home)), marts(published(undisturbed)))
