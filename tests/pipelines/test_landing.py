"""Landing stores every page once, and a kill leaves no half-written file: in a folder and in S3."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import fsspec
import msgspec
import pytest

from pipelines.errors import LandingFull
from pipelines.landing import PART, Entry, Landing
from pipelines.landing import request_fingerprint as fingerprint
from pipelines.source import Request
from pipelines.windows import Window

ROOT = Path(__file__).parents[2]


def entry(body: bytes, run: str = "r1", **fields: object) -> Entry:
    known: dict[str, object] = {
        "run": run, "source": "binance_usdm", "endpoint_name": "candles", "market": "m", "method": "GET", "url": "http://x/", "path_label": "/fapi/v1/klines",  # noqa: E501
        "context": {"symbol": "BTCUSDT"}, "window": (0, 10), "observed_at": 5, "status": 200, "sha256": hashlib.sha256(body).hexdigest(),  # noqa: E501
        "size": len(body),
    }  # fmt: skip
    return Entry(**{**known, **fields})  # type: ignore[arg-type]


@contextmanager
def bucket(name: str) -> Iterator[tuple[str, Any]]:
    """A new bucket of a real S3 server on loopback, and the server."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        fsspec.filesystem("s3", skip_instance_cache=True).mkdir(name)
        fsspec.get_filesystem_class("s3").clear_instance_cache()  # those of another server
        yield f"s3://{name}", server
        fsspec.get_filesystem_class("s3").clear_instance_cache()
    server.stop()


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with bucket("landing-test") as (name, _):
        yield name


@pytest.fixture(params=["folder", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "landing")
    return f"{request.getfixturevalue('s3')}/{tmp_path.name}"


def test_pages_are_read_back_in_order(root: str) -> None:
    bodies = [f'[{i},"{"x" * i}"]'.encode() for i in range(2 * PART + 5)]
    landing = Landing(root, "r1")
    for i, body in enumerate(bodies):
        landing.put(entry(body, observed_at=i, params={"limit": 5}, context={}, final=True), body)
    landing.flush()
    again = Landing(root)
    entries = list(again.iterate())
    assert again.runs() == ["r1"]
    assert [again.body(e) for e in entries] == bodies
    assert entries[3] == entry(bodies[3], observed_at=3, params={"limit": 5}, context={}, final=True)
    assert again.used() > 0


def test_a_manifest_of_version_0_1_is_read_and_written_in_the_same_form(root: str) -> None:
    line = (
        b'{"run":"20261126T193550-2e53e1","source":"htx_coinm","dataset":"funding_rates","market":"synthetic-7","method":"GET",'
        b'"url":"http://127.0.0.1:32991/htx/swap-api/v1/swap_historical_funding_rate?contract_code=XRP-USD&page_index=4",'
        b'"endpoint":"/swap-api/v1/swap_historical_funding_rate","context":{"symbol":"XRP-USD"},'
        b'"window":[1785283200000,1795651200000],"observed_at":1795651200000,"status":200,"sha256":"6a38","size":6192,'
        b'"params":{"contract_code":"XRP-USD","page_index":4},"origin":"synthetic; seed=7","final":true,"open_end":true}\n'
    )
    landing = Landing(root)
    manifest = f"{landing.path}/manifest/20261126T193550-2e53e1"
    landing.fs.makedirs(manifest, exist_ok=True)
    landing.fs.pipe_file(f"{manifest}/0001.jsonl", line)
    [page] = landing.iterate()
    assert (page.endpoint_name, page.path_label) == ("funding_rates", "/swap-api/v1/swap_historical_funding_rate")
    assert page.clip_end and page.final and not page.last
    assert msgspec.json.encode(page) + b"\n" == line


def test_equal_bytes_are_stored_once(root: str) -> None:
    body = b"[" + b"1," * 5000 + b"1]"
    for run in ("r1", "r2"):
        landing = Landing(root, run)
        landing.put(entry(body, run), body)
        landing.put(entry(body, run, endpoint_name="mark_candles"), body)
        landing.flush()
    assert len(landing.fs.glob(f"{landing.path}/pages/*/*")) == 1
    assert [(e.run, e.endpoint_name) for e in landing.iterate()] == [
        (r, d) for r in ("r1", "r2") for d in ("candles", "mark_candles")
    ]
    assert [e.run for e in landing.iterate(["r2"])] == ["r2", "r2"]


def test_a_damaged_or_lost_body_is_named(root: str) -> None:
    landing = Landing(root, "r1")
    body = b'{"a": 1}' * 100
    page = entry(body)
    landing.put(page, body)
    [where] = landing.fs.glob(f"{landing.path}/pages/*/*")
    good = landing.fs.cat_file(where)
    for damaged in (good[:-3], b"", b"not zstandard", good[:20] + bytes([good[20] ^ 1]) + good[21:]):
        landing.fs.pipe_file(where, damaged)
        with pytest.raises(OSError, match=rf"{page.page}.*binance_usdm.*damaged.*perps run"):
            landing.body(page)
    landing.fs.rm(where)
    with pytest.raises(OSError, match=page.page):
        landing.body(page)


def test_a_damaged_body_is_written_anew_and_kept_apart(root: str) -> None:
    landing = Landing(root, "r1")
    body = b'{"a": 1}' * 100
    landing.put(entry(body), body)
    landing.flush()
    [where] = landing.fs.glob(f"{landing.path}/pages/*/*")
    good = landing.fs.cat_file(where)
    damaged = good[:20] + bytes([good[20] ^ 1]) + good[21:]
    landing.fs.pipe_file(where, damaged)
    again = Landing(root, "r2")
    again.put(entry(body, "r2"), body)
    assert again.body(entry(body)) == body
    [kept] = landing.fs.glob(f"{landing.path}/damaged/*")
    assert landing.fs.cat_file(kept) == damaged
    landing.fs.rm(where)
    with pytest.raises(OSError, match="is missing"):
        Landing(root, "r3").check(entry(body))


def test_a_damaged_line_is_left_out_and_named(tmp_path: Path) -> None:
    """Also one that is JSON still; a line of version 0.1, without a checksum, is read."""
    landing = Landing(str(tmp_path), "r1")
    bodies = [b"%d" % i for i in range(4)]
    for body in bodies:
        landing.put(entry(body), body)
    landing.flush()
    [part] = (tmp_path / "manifest" / "r1").iterdir()
    lines = part.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b'"status":200', b'"status":201')
    lines[2] = lines[2][:30] + b"\xff\x00" + lines[2][32:]
    lines[3] = lines[3].partition(b',"check"')[0] + b"}\n"
    part.write_bytes(b"".join(lines))
    again = Landing(str(tmp_path))
    assert [e.sha256 for e in again.iterate()] == [entry(bodies[i]).sha256 for i in (0, 3)]
    assert [message.split(" is damaged")[0] for message in again.damage] == [f"landing {part}, line {n}" for n in (2, 3)]
    assert all("`perps run` over its days" in message for message in again.damage)
    # What the damaged lines name is not lost.
    Landing(str(tmp_path)).prune("a")
    assert len(list((tmp_path / "pages").glob("*/*"))) == 4


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "link to nothing"])
def test_what_is_no_file_is_named_and_replaced(kind: str, tmp_path: Path) -> None:
    """Reading a pipe or a device might never end."""
    landing, body = Landing(str(tmp_path), "r1"), b'{"a": 1}'
    landing.put(entry(body), body)
    landing.flush()
    make = {
        "pipe": os.mkfifo,
        "device": lambda path: path.symlink_to("/dev/zero"),
        "folder": Path.mkdir,
        "link to nothing": lambda path: path.symlink_to("x" * 40),  # as long as the body
    }[kind]
    [where], [part] = tmp_path.glob("pages/*/*"), tmp_path.glob("manifest/*/*")
    for path in (where, part):
        path.unlink()
        make(path)
    with pytest.raises(OSError, match=r"(a file is needed\)|is missing); `perps run`"):
        landing.body(entry(body))
    assert list(landing.iterate()) == [] and "is left out" in next(iter(landing.damage))
    again = Landing(str(tmp_path), "r2")
    again.put(entry(body, "r2"), body)
    assert again.body(entry(body)) == body
    assert (tmp_path / "damaged" / where.name).exists() == (kind != "link to nothing")


def test_nothing_is_pruned_while_a_run_uses_landing(root: str) -> None:
    landing = Landing(root, "20250101T000000-a")
    landing.hold()
    landing.put(entry(b"old"), b"old")
    with pytest.raises(ValueError, match=r"landing .* is in use by a run"):
        Landing(root).prune("2026")
    landing.flush()
    landing.release()
    assert Landing(root).prune("2026") > 0


def test_a_landing_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    landing = Landing(str(tmp_path), "r1")
    for number, expected in {28: "the disk is full", 30: "can't be written (Read-only file system): make it writable"}.items():
        problem = OSError(number, os.strerror(number))
        monkeypatch.setattr("pipelines.landing._write_draft", Mock(side_effect=problem))
        with pytest.raises(LandingFull) as refused:
            landing.put(entry(b"1"), b"1")
        assert str(refused.value).startswith(f"landing {tmp_path}") and expected in str(refused.value)


def test_a_storage_that_does_not_answer_is_one_line_and_no_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with bucket("landing-gone") as (root, server):
        landing = Landing(f"{root}/away", "r1")
        landing.put(entry(b"1"), b"1")
        landing.flush()
        server.stop()
        for work in (lambda: landing.put(entry(b"2"), b"2"), lambda: landing.body(entry(b"1")), lambda: list(landing.iterate())):
            with pytest.raises(
                LandingFull, match=r"landing s3://landing-gone/away: the storage doesn't answer \(.*\); run again"
            ):
                work()
        assert not landing.damage


def test_nothing_is_written_beyond_the_cap(root: str) -> None:
    small, large = b"a" * 50, bytes(range(256)) * 40
    landing = Landing(root, "r1", max_bytes=200)
    landing.put(entry(small), small)
    landing.flush()
    before = landing.used()
    with pytest.raises(LandingFull, match=r"cap.*prune"):
        Landing(root, "r2", max_bytes=200).put(entry(large, "r2"), large)
    assert landing.used() == before
    # What is stored already needs no room.
    again = Landing(root, "r3", max_bytes=before)
    again.put(entry(small, "r3"), small)
    assert [e.run for e in landing.iterate()] == ["r1"]


def test_prune_deletes_old_runs_and_their_bodies(root: str) -> None:
    old, both, new = b"old" * 50, b"both" * 50, b"new" * 50
    for run, bodies in {"20250101T000000-a": (old, both), "20250201T000000-b": (both, new)}.items():
        landing = Landing(root, run)
        for body in bodies:
            landing.put(entry(body, run), body)
        landing.flush()
    assert landing.prune("202502") > 0
    left = list(Landing(root).iterate())
    assert [landing.body(e) for e in left] == [both, new]
    assert len(landing.fs.glob(f"{landing.path}/pages/*/*")) == 2


KILLED = """
import os, sys
sys.path.insert(0, sys.argv[2])
from test_landing import entry
from pipelines.landing import Landing, PART
landing = Landing(sys.argv[1], "r1")
for i in range(PART + 10):
    body = b"%d" % i
    landing.put(entry(body, observed_at=i), body)
os._exit(9)
"""


def test_a_kill_between_put_and_flush_loses_only_the_last_part(tmp_path: Path) -> None:
    root = tmp_path / "landing"
    process = subprocess.run(
        [sys.executable, "-c", KILLED, str(root), str(Path(__file__).parent)], cwd=ROOT, env={"PYTHONPATH": str(ROOT), "PATH": ""}
    )
    assert process.returncode == 9
    landing = Landing(str(root), "r2")
    assert [e.observed_at for e in landing.iterate()] == list(range(PART))
    assert len(landing.fs.glob(f"{root}/pages/*/*")) == PART + 10
    body = b"%d" % (PART + 3)
    landing.put(entry(body, "r2"), body)  # what was stored without an entry is taken up
    landing.flush()
    assert landing.body(next(landing.iterate(["r2"]))) == body


def test_half_written_files_are_not_read(tmp_path: Path) -> None:
    landing = Landing(str(tmp_path), "r1")
    landing.put(entry(b"1"), b"1")
    landing.flush()
    (tmp_path / "manifest" / "r1" / "0002.jsonl.r1.part").write_bytes(b'{"run": "r1", "sou')
    assert len(list(landing.iterate())) == 1


def test_many_threads_lose_no_entry(tmp_path: Path) -> None:
    landing = Landing(str(tmp_path), "r1")
    bodies = [f"[{i}]".encode() * 50 for i in range(1500)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda b: landing.put(entry(b), b), bodies))
    landing.flush()
    entries = list(landing.iterate())
    assert sorted(e.sha256 for e in entries) == sorted(hashlib.sha256(b).hexdigest() for b in bodies)
    assert {landing.body(e) for e in entries} == set(bodies)


def test_fingerprints_of_requests() -> None:
    request = Request("/a", {"x": 1, "y": "2"})
    same = fingerprint("s", "d", request, None)
    assert same == fingerprint("s", "d", Request("/a", {"y": "2", "x": 1}, context={"symbol": "B"}, window=Window(0, 1)), None)
    others = [
        fingerprint("s", "d", request, 5),
        fingerprint("s", "e", request, None), fingerprint("t", "d", request, None),
        fingerprint("s", "d", Request("/a", {"x": 1, "y": "3"}), None),
        fingerprint("s", "d", Request("/b", {"x": 1, "y": "2"}), None),
        fingerprint("s", "d", Request("/a", body={"x": 1, "y": "2"}), None),
    ]  # fmt: skip
    assert len({same, *others}) == len(others) + 1
    pages = [fingerprint("s", "d", Request("/a", {"page": 1}, window=Window(0, end), clip_end=True), None) for end in (1, 2, 2)]
    assert pages[0] != pages[1] == pages[2], "the first page has other rows tomorrow"


def test_windows_of_pages_are_half_open() -> None:
    page = entry(b"", window=(10, 20))
    assert page.overlaps(Window(0, 11)) and page.overlaps(Window(19, 30)) and page.overlaps(Window(12, 13))
    assert not page.overlaps(Window(0, 10)) and not page.overlaps(Window(20, 30))
    assert entry(b"", window=None).overlaps(Window(0, 1))
    closing, next_day = (entry(b"", endpoint_name="funding_rates", window=(10, end)) for end in (60_010, 86_400_010))
    assert closing.overlaps(Window(0, 10)) and not closing.overlaps(Window(0, 9)) and not next_day.overlaps(Window(0, 10))


def test_a_misspelt_bucket_is_refused_and_not_made(s3: str) -> None:
    with pytest.raises(
        ValueError, match=r"landing s3://lnading-test/a: there is no bucket 'lnading-test'; correct its name"
    ) as error:
        Landing("s3://lnading-test/a")
    assert "\n" not in str(error.value)
    assert "lnading-test" not in fsspec.filesystem("s3").ls("/", refresh=True)


def test_storage_that_does_not_answer_is_one_line(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    fsspec.filesystem("s3").clear_instance_cache()
    with pytest.raises(ValueError, match="landing s3://landing-test/a: the storage doesn't answer") as error:
        Landing("s3://landing-test/a")
    fsspec.filesystem("s3").clear_instance_cache()
    assert "\n" not in str(error.value)
