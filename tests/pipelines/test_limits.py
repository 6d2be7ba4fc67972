"""Limits are kept in any window, by all processes together, and used up to almost nothing."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.limits import Limiter
from pipelines.source import Limit

ROOT = Path(__file__).parents[2]
WORKER = """
import asyncio, sys, time
from pathlib import Path
from pipelines import limits
from pipelines.limits import Limiter
from pipelines.source import Limit
limits.SLACK_MS = 50
async def main():
    limiter = Limiter(Path(sys.argv[1]), "venue", {"weight": Limit(100, 1)})
    weight, until = int(sys.argv[2]), float(sys.argv[3])
    while time.time() < until:
        await limiter.acquire({"weight": weight})
        print(int(time.time() * 1000), weight, flush=True)
asyncio.run(main())
"""


def most_in_a_window(sent: list[tuple[int, int]], length: int) -> int:
    """The greatest weight in any window of `length` ms."""
    return max(sum(w for t, w in sent if start <= t < start + length) for start, _ in sent)


def test_two_processes_share_one_limit(tmp_path: Path) -> None:
    until = time.time() + 3.5
    command = [sys.executable, "-c", WORKER, str(tmp_path / "limits.sqlite")]
    both = [
        subprocess.Popen(
            [*command, weight, str(until)], cwd=ROOT, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT), "PATH": ""}
        )
        for weight in ("3", "7")
    ]
    outputs = [p.communicate(timeout=30)[0] for p in both]
    assert [p.returncode for p in both] == [0, 0]
    assert all(outputs), "neither may starve the other"
    sent = sorted((int(t), int(w)) for output in outputs for t, w in (line.split() for line in output.splitlines()))
    assert most_in_a_window(sent, 1000) <= 100
    seconds = (sent[-1][0] - sent[0][0]) / 1000
    assert sum(w for _, w in sent) >= 0.7 * 100 * seconds, "and most of it is used"


@pytest.mark.parametrize("weights", [[1], [10], [45, 20, 1], [7, 3, 50]])
def test_no_window_ever_holds_more_than_the_limit(weights: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.limits.SLACK_MS", 20)

    async def send() -> list[tuple[int, int]]:
        limiter = Limiter(tmp_path / "limits.sqlite", "venue", {"weight": Limit(100, 1)})
        sent: list[tuple[int, int]] = []

        async def one(weight: int) -> None:
            await limiter.acquire({"weight": weight})
            sent.append((int(time.time() * 1000), weight))

        many = [weights[i % len(weights)] for i in range(220 * len(weights) // sum(weights))]
        await asyncio.gather(*(one(w) for w in many))
        limiter.close()
        assert sorted(w for _, w in sent) == sorted(many)
        return sent

    assert most_in_a_window(asyncio.run(send()), 1000) <= 100


def test_a_scale_multiplies(tmp_path: Path) -> None:
    async def send() -> float:
        limiter = Limiter(tmp_path / "limits.sqlite", "venue", {"weight": Limit(10, 60)}, scale=100)
        begun = time.monotonic()
        for _ in range(90):
            await limiter.acquire({"weight": 10})
        limiter.close()
        return time.monotonic() - begun

    assert asyncio.run(send()) < 5


def test_a_request_heavier_than_the_whole_limit_takes_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small `limits_scale` makes limits smaller than one request's weight: it waits its turn, and does not wait for ever."""
    monkeypatch.setattr("pipelines.limits.SLACK_MS", 20)

    async def send() -> float:
        limiter = Limiter(tmp_path / "limits.sqlite", "venue", {"weight": Limit(30, 1)}, scale=0.1)
        begun = time.monotonic()
        for _ in range(3):
            await asyncio.wait_for(limiter.acquire({"weight": 10}), 5)
        limiter.close()
        return time.monotonic() - begun

    assert asyncio.run(send()) >= 2
