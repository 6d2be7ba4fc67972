"""Rate limits hold in any window, for all processes together, and are used up except for the margin."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest

from pipelines import limits
from pipelines.clock import Clock
from pipelines.limits import File, Limiter
from pipelines.locks import moment
from pipelines.run import Run
from pipelines.settings import Settings
from pipelines.source import Limit
from pipelines.sources import get_source
from pipelines.windows import Window

ROOT = Path(__file__).parents[2]
WORKER = """
import asyncio, sys, time
from pathlib import Path
from pipelines import limits
from pipelines.limits import File, Limiter
from pipelines.source import Limit
limits.SLACK_MS = 50
async def main():
    limiter = Limiter(File(Path(sys.argv[1])), "venue", {"weight": Limit(100, 1)})
    weight = int(sys.argv[2])
    for _ in range(30):
        await limiter.acquire({"weight": weight})
        print(int(time.time() * 1000), weight, flush=True)
asyncio.run(main())
"""


class FakeTime:
    """Replaces time in `pipelines.limits`: a sleep returns at once, and time has passed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_760_054_400.0
        monkeypatch.setattr(limits, "time", SimpleNamespace(time=lambda: self.now))
        monkeypatch.setattr(limits, "asyncio", SimpleNamespace(sleep=self.sleep))

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    def spend(self, limiter: Limiter, weights: list[int]) -> list[tuple[int, int]]:
        """The times in milliseconds at which requests of these weights were sent, with their weights."""

        async def send() -> list[tuple[int, int]]:
            sent = []
            for weight in weights:
                await limiter.acquire({"weight": weight})
                sent.append((round(self.now * 1000), weight))
            return sent

        sent = asyncio.run(send())
        limiter.close()
        return sent


@pytest.fixture
def fake_time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    return FakeTime(monkeypatch)


def greatest_weight(sent: list[tuple[int, int]], length: int) -> int:
    """The greatest weight in any window of `length` milliseconds."""
    return max(sum(weight for at, weight in sent if start <= at < start + length) for start, _ in sent)


def test_two_processes_share_one_limit(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WORKER, str(tmp_path / "limits.sqlite")]
    env = {"PYTHONPATH": str(ROOT), "PATH": ""}
    workers = [
        subprocess.Popen([*command, weight], cwd=ROOT, stdout=subprocess.PIPE, text=True, env=env) for weight in ("3", "7")
    ]
    outputs = [worker.communicate(timeout=60)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    sent = sorted((int(at), int(weight)) for output in outputs for at, weight in (line.split() for line in output.splitlines()))
    assert len(sent) == 60 and greatest_weight(sent, 1000) <= 100


@pytest.mark.parametrize("weights", [[1], [10], [45, 20, 1], [7, 3, 50]])
def test_the_limit_holds_in_every_window_and_is_used_up(weights: list[int], tmp_path: Path, fake_time: FakeTime) -> None:
    limiter = Limiter(File(tmp_path / "limits.sqlite"), "venue", {"weight": Limit(100, 10)})
    requests = (weights * 600)[: 600 * len(weights) // sum(weights)]
    sent = fake_time.spend(limiter, requests)
    assert greatest_weight(sent, 10_000) <= 100
    # 97 of 100 in 11 of 10 seconds are allowed; a heavy request may have to wait for the next window.
    seconds = (sent[-1][0] - sent[0][0]) / 1000
    assert sum(requests) / seconds >= (97 - max(weights)) / 11.1


def test_a_scale_multiplies_the_limits(tmp_path: Path, fake_time: FakeTime) -> None:
    limiter = Limiter(File(tmp_path / "limits.sqlite"), "venue", {"weight": Limit(10, 60)}, scale=100)
    sent = fake_time.spend(limiter, [10] * 98)
    assert sent[0][0] == sent[96][0], "970 at once"
    assert sent[97][0] - sent[0][0] >= 60_000


def test_a_request_heavier_than_the_limit_uses_all_of_it(tmp_path: Path, fake_time: FakeTime) -> None:
    """A small `limits_scale` makes a limit smaller than one request: it is sent in a window of its own."""
    limiter = Limiter(File(tmp_path / "limits.sqlite"), "venue", {"weight": Limit(30, 1)}, scale=0.1)
    times = [at for at, _ in fake_time.spend(limiter, [10, 10, 10])]
    assert 1000 <= times[1] - times[0] < 3000 and 1000 <= times[2] - times[1] < 3000


def test_sources_of_one_pool_share_limits_and_pauses(tmp_path: Path, fake_time: FakeTime) -> None:
    """Binance counts its two hosts together: 2,400 a minute and address since 2026-06-30."""
    one, two, other = (
        Limiter(File(tmp_path / "limits.sqlite"), pool, {"weight": Limit(100, 60)}) for pool in ("binance", "binance", "bybit")
    )
    assert one.spend({"weight": 90}) == 0 and two.spend({"weight": 90}) > 59
    two.pause(1000, "banned", "wait")
    two.pause(10, "slow", "")
    pause = one.paused()
    assert pause and (pause.seconds, pause.problem, pause.remedy) == (1000, "banned", "wait"), "the longer pause holds"
    assert one.spend({}) == 1000 and other.spend({"weight": 90}) == 0
    fake_time.now += 1001
    assert one.paused() is None and one.spend({"weight": 90}) == 0


def test_a_refused_region_is_of_one_host_of_a_pool(tmp_path: Path, fake_time: FakeTime) -> None:
    """The other host is still asked, and so is the one that a user names in its place."""
    one, other = (Limiter(File(tmp_path / "limits.sqlite"), "pool", {"weight": Limit(100, 60)}, host=host) for host in ("a", "b"))
    one.pause(3600, "your region", of_host=True)
    assert one.spend({}) == 3600 and other.spend({}) == 0 and other.paused() is None
    other.pause(7200, "banned")
    assert (pause := one.paused()) and pause.problem == "banned" and one.spend({}) == 7200


def test_a_clock_that_was_set_back_does_not_hold_requests(tmp_path: Path, fake_time: FakeTime) -> None:
    limiter = Limiter(File(tmp_path / "limits.sqlite"), "venue", {"weight": Limit(100, 60)})
    limiter.spend({"weight": 97})
    limiter.pause(1000, "banned")
    fake_time.now -= 3600
    assert limiter.paused() is None and limiter.spend({"weight": 97}) == 0


def test_a_damaged_file_begins_anew(tmp_path: Path) -> None:
    file = tmp_path / "limits.sqlite"
    file.write_bytes(b"garbage" * 100)
    assert Limiter(File(file), "venue", {"weight": Limit(100, 60)}).spend({"weight": 1}) == 0


def test_a_file_with_damage_anywhere_ends_nothing(tmp_path: Path) -> None:
    file = tmp_path / "limits.sqlite"
    limiter = Limiter(File(file), "venue", {"weight": Limit(100_000, 60)})
    for _ in range(50):
        limiter.spend({"weight": 1})
    limiter.pause(10, "banned")
    limiter.close()
    good, chance = file.read_bytes(), Random(7)
    for _ in range(40):
        damaged = bytearray(good[: chance.randrange(1, len(good))] if chance.random() < 0.3 else good)
        for _ in range(20):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        for part in ("-wal", "-shm"):
            Path(f"{file}{part}").unlink(missing_ok=True)
        file.write_bytes(damaged)
        limiter = Limiter(File(file), "venue", {"weight": Limit(100_000, 60)})
        limiter.spend({"weight": 1})
        assert limiter.paused() is None or limiter.paused().seconds <= 31 * 86_400  # type: ignore[union-attr]
        limiter.close()


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "limits.sqlite").mkdir()
    with pytest.raises(ValueError, match=r"limits.sqlite can't be used .*: make it writable, or name another"):
        Limiter(File(tmp_path / "limits.sqlite"), "venue", {})


def test_limits_of_venues_are_the_machines_and_not_a_homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("PERPLAKE_STATE", raising=False)
    source = get_source("binance_usdm")
    for home in "ab":
        run = Run.begin(Settings(mode="live", home=tmp_path / home), Window(0, 1), Clock())
        run.client(source).limiter.pause(1000, "banned")
    assert (tmp_path / "state" / "perplake" / "limits.sqlite").exists()
    assert Run.begin(Settings(mode="live", home=tmp_path / "c"), Window(0, 1), Clock()).client(source).limiter.paused()


def test_a_file_that_others_lock_is_named_with_what_mends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LOCKED_SECONDS", 0.05)
    path = tmp_path / "limits.sqlite"
    limiter = Limiter(File(path), "venue", {"weight": Limit(100, 1)})
    stranger = sqlite3.connect(path, isolation_level=None)
    stranger.execute("BEGIN EXCLUSIVE")
    for use in (lambda: limiter.spend({"weight": 1}), lambda: limiter.pause(1, "")):
        with pytest.raises(OSError, match=r"limits\.sqlite can't be used \(database is locked\): end what locks it") as told:
            use()
        assert told.value.errno is None, "it ends the fetch, in one line"
    stranger.close()
    assert limiter.spend({"weight": 1}) == 0


def test_a_lock_for_moments_that_a_stranger_holds_is_named(tmp_path: Path) -> None:
    with (
        moment(tmp_path / "a.lock"),
        pytest.raises(ValueError, match=r"has held .*a\.lock for 0 seconds: `fuser "),
        moment(tmp_path / "a.lock", 0.01),
    ):
        pass
    with moment(tmp_path / "a.lock", 0.01):
        pass
