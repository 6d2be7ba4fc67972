"""The spool: what was flushed is in landing once, wherever the collector was killed."""

from __future__ import annotations

import errno
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipelines.collect import spool
from pipelines.collect.collector import known_streams
from pipelines.collect.sealing import Sealer
from pipelines.collect.spool import Spool, line
from pipelines.landing import Entry, Landing
from pipelines.load import LoadResult, arrow_tables
from pipelines.page_tables import Decoded
from pipelines.reading import read
from pipelines.settings import Settings
from pipelines.source import SESSIONS, Session
from pipelines.sources import get_source
from pipelines.windows import Window

TAG = "bybit_linear/liquidations"
ENDPOINT = get_source("bybit_linear").endpoint("liquidations_stream")
NOW = 1_795_764_000_000


def frame(number: int) -> bytes:
    row = {"T": NOW + number, "s": "BTCUSDT", "S": "Buy", "v": "0.5", "p": "100000"}
    return msgspec.json.encode({"topic": "allLiquidation.BTCUSDT", "type": "snapshot", "ts": NOW + number, "data": [row]})


def session(heard_to: int) -> bytes:
    counts = dict.fromkeys(("messages", "bytes", "events", "missing", "dropped"), 0)
    state = Session("id", 0, "liquidations", "BTCUSDT", NOW, NOW, heard_to, None, None, **counts)
    return b'{"at":%d,"session":%b}' % (heard_to, msgspec.json.encode(state))


def sealer(home: Path) -> Sealer:
    return Sealer(Settings(home=home), known_streams(), "synthetic; seed=7")


def landed(home: Path) -> list[tuple[Entry, bytes]]:
    landing = Landing(Settings(home=home).landing_root)
    return [(entry, landing.body(entry)) for entry in landing.iterate()]


def times(home: Path) -> list[int]:
    """The numbers of the frames in landing."""
    pages = {e.sha256: body for e, body in landed(home) if e.endpoint_name == ENDPOINT.name}
    return sorted(row.time - NOW for body in pages.values() for row in read(ENDPOINT, body).rows)


def spend_a_life(folder: Path, home: Path, told: int) -> None:
    """A collector's writer: it flushes and seals as fast as it can, and tells each number that is flushed."""
    written, each, number = Spool(folder), sealer(home), 0
    while True:
        for _ in range(random.randint(1, 40)):
            number += 1
            written.add(TAG, line(NOW + number, frame(number))[0])
        written.flush()
        os.write(told, b"%d\n" % number)
        if random.random() < 0.2:
            written.rotate()
            for file in written.ended():
                each.seal(file)


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment_what_was_flushed_is_there_once(tmp_path: Path, seed: int) -> None:
    reads, told = os.pipe()
    child = os.fork()
    if not child:
        random.seed(seed)
        spend_a_life(tmp_path / "collect" / "dead", tmp_path, told)
    os.close(told)
    os.read(reads, 1)  # it has begun
    time.sleep(random.Random(seed).uniform(0.02, 0.25))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    flushed = int((b"0" + os.read(reads, 1 << 20)).split(b"\n")[-2])
    for _ in range(2):
        sealer(tmp_path).seal_abandoned(tmp_path / "collect")
    found = times(tmp_path)
    assert found == list(range(1, len(found) + 1)) and len(found) >= flushed > 0
    assert not list((tmp_path / "collect").iterdir())


def test_a_file_that_is_sealed_twice_is_one_page(tmp_path: Path) -> None:
    """As after a kill between the manifest and the deletion."""
    written = Spool(tmp_path / "spool")
    written.add(TAG, line(NOW, frame(1))[0])
    written.flush()
    written.rotate()
    [file] = written.ended()
    content = file.read_bytes()
    for _ in range(2):
        file.write_bytes(content)
        sealer(tmp_path).seal(file)
    assert len({entry.sha256 for entry, _ in landed(tmp_path)}) == 1 and times(tmp_path) == [1]


def test_a_page_has_the_frames_and_the_last_state_of_each_session(tmp_path: Path) -> None:
    written = Spool(tmp_path / "spool")
    for content in (session(NOW + 1000), line(NOW + 5, frame(1))[0], session(NOW + 2000), b'{"at":torn'):
        written.add(TAG, content)
    written.flush()
    written.rotate()
    [file] = written.ended()
    with file.open("ab") as torn:
        torn.write(b'bybit_linear/liquidations\t{"at":17')
    sealer(tmp_path).seal(file)
    (events, body), (sessions, same) = landed(tmp_path)
    assert (events.endpoint_name, sessions.endpoint_name) == (ENDPOINT.name, "sessions") and body == same
    assert [row.heard_to for row in read(SESSIONS, body).rows] == [NOW + 2000]
    assert events.window == (NOW + 1, NOW + 2001) and events.observed_at == NOW + 2000, "the hull of arrivals and events"


def test_garbage_is_kept_and_goes_to_quarantine_at_load(tmp_path: Path) -> None:
    garbage = [b"<html>502</html>", b"\xff\xfe\x00", b'{"data":[{"s":"X"}]}', b'{\n"data":[]\r}', b"[1]", b"null"]
    body = b"[" + b",\n".join(line(NOW, each)[0] for each in (frame(1), *garbage, frame(2))) + b"]"
    reading = read(ENDPOINT, body)
    assert [row.time for row in reading.rows] == [NOW + 1, NOW + 2]
    assert {flaw.place.partition(".")[0] for flaw in reading.flaws} == {"$[1]", "$[2]", "$[3]", "$[5]"}


def test_equal_events_of_a_frame_are_several_and_a_repeated_frame_is_none(tmp_path: Path) -> None:
    row = {"T": NOW, "s": "BTCUSDT", "S": "Buy", "v": "0.5", "p": "100000"}
    twins = msgspec.json.encode({"data": [row, row]})
    body = b"[" + b",".join(line(NOW, twins)[0] for _ in range(2)) + b"]"
    assert [event.nth for event in read(ENDPOINT, body).rows] == [0, 1, 0, 1]
    assert ENDPOINT.primary_key[-1] == "nth"


def test_a_full_disk_keeps_frames_until_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = Spool(tmp_path / "spool")
    written.add(TAG, b"1")
    with monkeypatch.context() as full:

        def refuse(*_: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        full.setattr(os, "write", refuse)
        written.flush()
        assert "No space left" in written.problem
        written.add(TAG, b"2")
    written.flush()
    written.rotate()
    assert written.problem == "" and b"".join(file.read_bytes() for file in written.ended()).count(b"\n") == 2
    monkeypatch.setattr(spool, "MOST_WAITING", 10)
    assert not written.add(TAG, b"x" * 20)


def test_a_collector_that_lives_is_left_alone(tmp_path: Path) -> None:
    alive = Spool(tmp_path / "collect" / "alive")
    alive.add(TAG, line(NOW, frame(1))[0])
    alive.flush()
    sealer(tmp_path).seal_abandoned(tmp_path / "collect")
    assert spool.lives(alive.folder) and not landed(tmp_path)
    alive.close()
    sealer(tmp_path).seal_abandoned(tmp_path / "collect")
    assert times(tmp_path) == [1]


def test_a_run_finds_what_was_collected_around_its_window(tmp_path: Path) -> None:
    day = 86_400_000
    written, each = Spool(tmp_path / "spool"), sealer(tmp_path)
    for late in (0, 1, 5):
        written.add(TAG, line(NOW + late * day, frame(late * day))[0])
        written.flush()
        written.rotate()
        each.seal(written.ended()[0])
    landing = Landing(Settings(home=tmp_path).landing_root)
    assert [len(list(landing.collected(Window(NOW + at * day, NOW + (at + 1) * day)))) for at in (0, 2, 9)] == [2, 1, 0]
    assert len(landing.runs()) == 3 and all(run.endswith("-collected") for run in landing.runs())


def test_an_event_older_than_its_page_is_loaded(tmp_path: Path) -> None:
    """A venue may repeat events of hours ago when a connection begins; rows of a stream are not cut to a window."""
    written = Spool(tmp_path / "spool")
    written.add(TAG, line(NOW + 86_400_000, frame(1))[0])
    written.flush()
    written.rotate()
    sealer(tmp_path).seal(written.ended()[0])
    [(entry, _)] = landed(tmp_path)
    assert entry.window == (NOW + 1, NOW + 86_400_001)

    class Run:
        landing, window, decoded = Landing(Settings(home=tmp_path).landing_root), None, Decoded(0)

    [table] = arrow_tables(Run, ENDPOINT, [entry], LoadResult("bybit_linear"))  # type: ignore[arg-type]
    assert table["time"].to_pylist() == [NOW + 1]
