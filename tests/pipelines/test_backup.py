"""A backup, also one made while a run writes, gives the same tables back; what is damaged or no backup is named."""

from __future__ import annotations

import os
import tarfile
from io import BytesIO
from pathlib import Path

import duckdb
import pytest
import zstandard

from pipelines import warehouse
from pipelines.backup import backup, restore
from pipelines.landing import PART, Landing
from pipelines.meta_tables import create_meta_tables
from pipelines.settings import Settings
from tests.pipelines.test_landing import entry

BODIES = [f"[{i}]".encode() for i in range(PART + 3)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A market with a warehouse and a landing to which a run is adding: its last entries are in no manifest yet."""
    made = Settings(home=tmp_path / "home")
    made.database.parent.mkdir(parents=True)
    with duckdb.connect(str(made.database)) as connection:
        connection.execute(create_meta_tables())
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    landing = Landing(made.landing_root, "r1")
    landing.hold()
    for body in BODIES:
        landing.put(entry(body, market=made.market), body)
    return made


def content(settings: Settings) -> tuple[list[bytes], list[tuple[int]]]:
    landing = Landing(settings.landing_root)
    with warehouse.connect(settings.database, read_only=True) as connection:
        return [landing.body(e) for e in landing.iterate()], connection.execute("FROM kept").fetchall()


@pytest.mark.parametrize("name", ["folder", "file.tar"])
def test_what_is_restored_is_what_was_backed_up(name: str, settings: Settings, tmp_path: Path) -> None:
    copied = backup(settings, tmp_path / name)
    assert (copied.pages, copied.has_warehouse, copied.damage) == (PART, True, [])
    assert backup(settings, tmp_path / name).pages == PART, "a second time"
    restored = restore(Settings(home=tmp_path / "new"), tmp_path / name)
    assert (restored.market, restored.pages, restored.damage) == (settings.market, PART, [])
    assert content(Settings(home=tmp_path / "new")) == (BODIES[:PART], [(42,)])
    with pytest.raises(ValueError, match=r"warehouse.duckdb is there already: name another --home"):
        restore(Settings(home=tmp_path / "new"), tmp_path / name)


def test_a_damaged_page_is_left_out_and_named(settings: Settings, tmp_path: Path) -> None:
    pages = sorted(Path(settings.landing_root).glob("pages/*/*"))
    first = next(Landing(settings.landing_root).iterate())
    next(page for page in pages if page.name.startswith(first.sha256)).write_bytes(b"damaged")
    copied = backup(settings, tmp_path / "copy")
    assert copied.pages == PART - 1 and "is damaged" in copied.damage[0]
    sorted((tmp_path / "copy").rglob("*.zst"))[0].write_bytes(b"damaged")
    restored = restore(Settings(home=tmp_path / "new"), tmp_path / "copy")
    assert restored.pages == PART - 2 and "in the backup is damaged and left out" in restored.damage[0]


def test_what_is_no_backup_is_refused(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is nothing to back up"):
        backup(Settings(home=tmp_path / "none"), tmp_path / "copy")
    with pytest.raises(ValueError, match="lies in the landing that it would copy"):
        backup(settings, Path(settings.landing_root) / "copy")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="it is neither a file nor a folder"):
        restore(Settings(home=tmp_path / "new"), tmp_path / "pipe")
    with pytest.raises(ValueError, match="s3:/bucket/x is no folder of this machine"):
        backup(settings, Path("s3://bucket/x"))
    with pytest.raises(ValueError, match="is no whole backup"):
        restore(Settings(home=tmp_path / "new"), tmp_path)
    backup(settings, tmp_path / "copy")
    with pytest.raises(ValueError, match="has a backup of synthetic-7, not of synthetic-8"):
        backup(settings.model_copy(update={"seed": 8}), tmp_path / "copy")
    hostile = tmp_path / "hostile.tar"
    with tarfile.open(hostile, "w") as tar:
        for name in ("backup.json", "../escaped", "/tmp/escaped", "landing/manifest/../../escaped/1.jsonl"):
            body = (tmp_path / "copy" / "backup.json").read_bytes().replace(b"true", b"false")
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, BytesIO(body))
    restore(Settings(home=tmp_path / "new"), hostile)
    assert not list(tmp_path.rglob("*escaped*"))
    bomb = tmp_path / "copy" / "landing" / "pages" / "00" / f"{'0' * 64}.zst"
    bomb.parent.mkdir(exist_ok=True)
    stated = (1 << 50).to_bytes(8, "little")  # a petabyte
    bomb.write_bytes(zstandard.compress(b"")[:4] + b"\xc0" + stated)
    (linked := bomb.with_name(f"{'1' * 64}.zst")).symlink_to("/etc/hostname")
    restored = restore(Settings(home=tmp_path / "bombed"), tmp_path / "copy")
    assert [line.partition(" in the backup")[0] for line in restored.damage] == [f"landing/pages/00/{bomb.name}"]
    bomb.unlink()
    linked.unlink()
    about = tmp_path / "copy" / "backup.json"
    about.write_bytes(about.read_bytes().replace(b"synthetic-7", b"../../x"))
    with pytest.raises(ValueError, match="no market is called"):
        restore(Settings(home=tmp_path / "other"), tmp_path / "copy")


@pytest.mark.parametrize("how", ["empty", "garbage", "cut", "flipped"])
def test_a_damaged_warehouse_is_named_with_what_mends_it(how: str, tmp_path: Path) -> None:
    file = tmp_path / "warehouse.duckdb"
    with duckdb.connect(str(file)) as connection:
        connection.execute("CREATE TABLE large AS SELECT range AS a, hash(range) AS b FROM range(300000)")
    good = file.read_bytes()
    flipped = good[: len(good) // 2] + bytes([good[len(good) // 2] ^ 255]) + good[len(good) // 2 + 1 :]
    file.write_bytes({"empty": b"", "garbage": b"x" * 5000, "cut": good[: len(good) // 2], "flipped": flipped}[how])
    if how == "empty":  # a full disk: there is nothing in it
        with warehouse.connect(file) as connection:
            assert connection.execute("SHOW TABLES").fetchall() == []
        return
    with pytest.raises(warehouse.WarehouseMismatch) as told, warehouse.connect(file) as connection:
        connection.execute("SELECT sum(a), sum(b) FROM large")
    message = str(told.value)
    assert message.startswith(f"{file} can't be opened: ") and "\n" not in message
    assert "it is damaged: move it away, then `perps restore`" in message and "`perps run --mode replay`" in message
