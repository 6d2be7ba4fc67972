"""Backup and restore of a market: its landing and its warehouse, as a folder or one `.tar`.

    warehouse.duckdb ──► landing's manifest ──► the bodies that it names ──► backup.json

The warehouse is copied first, under the writer's lock, and landing after it, so that landing has at least the pages of which the
warehouse has rows, also while a run writes. A body is on the disk before the line that names it, and nothing is pruned meanwhile.
Bodies are verified on the way in and out. A second backup into the same folder copies only new bodies.
Alone: `perps backup /mnt/disk/perplake`, `perps restore /mnt/disk/perplake --home new`.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Protocol

import msgspec
import zstandard

from pipelines import __version__, ducklake, warehouse
from pipelines.files import regular
from pipelines.landing import Landing
from pipelines.move import copy_warehouse
from pipelines.settings import Settings, in_full

WAREHOUSE, RUNS, ABOUT = "warehouse.duckdb", "runs.jsonl", "backup.json"
#: The names that a backup may have: nothing in it can be written elsewhere.
_NAMES = re.compile(
    r"landing/pages/[0-9a-f]{2}/[0-9a-f]{64}\.zst|landing/manifest/\w[\w.-]*/[\w-]+\.jsonl?|warehouse\.duckdb|runs\.jsonl"
)


class About(msgspec.Struct):
    """`backup.json`, which is written last: without it a backup is not whole."""

    market: str
    version: str
    made_at: str
    pages: int
    has_warehouse: bool


@dataclass
class Copied:
    """What was copied: pages, bytes, whether a warehouse, and a line for each thing that is damaged and was left out."""

    market: str
    pages: int = 0
    bytes: int = 0
    has_warehouse: bool = False
    damage: list[str] = field(default_factory=list)


class _Target(Protocol):
    def has(self, name: str, size: int) -> bool: ...

    def write(self, name: str, content: bytes | Path) -> None: ...


@dataclass
class _Folder:
    path: Path

    def has(self, name: str, size: int) -> bool:
        file = self.path / name
        return file.exists() and file.stat().st_size == size

    def write(self, name: str, content: bytes | Path) -> None:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(f"{file.name}.part")
        if isinstance(content, Path):
            shutil.copyfile(content, draft)
        else:
            draft.write_bytes(content)
        draft.replace(file)


@dataclass
class _Archive:
    tar: tarfile.TarFile

    def has(self, name: str, size: int) -> bool:
        return False

    def write(self, name: str, content: bytes | Path) -> None:
        if isinstance(content, Path):
            self.tar.add(content, name)
        else:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            self.tar.addfile(info, BytesIO(content))


@dataclass
class _Landing:
    landing: Landing

    def has(self, name: str, size: int) -> bool:
        return self.landing.has(name.removeprefix("landing/"), size)

    def write(self, name: str, content: bytes | Path) -> None:
        assert isinstance(content, bytes)
        self.landing.write_file(name.removeprefix("landing/"), content)


@contextmanager
def _writing(target: Path) -> Iterator[_Target]:
    if target.suffix != ".tar":
        (target / ABOUT).unlink(missing_ok=True)
        yield _Folder(target)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f"{target.name}.part")
    with tarfile.open(draft, "w") as tar:
        yield _Archive(tar)
    draft.replace(target)


def backup(settings: Settings, target: Path) -> Copied:
    """Copy the settings' market. Raises `ValueError` where there is nothing, or the folder has another market's backup."""
    target = in_full(target)
    about = _about(regular(target / ABOUT).read_bytes()) if (target / ABOUT).exists() else None
    if about and about.market != settings.market:
        raise ValueError(f"{target} has a backup of {about.market}, not of {settings.market}: name another folder")
    landing, copied, database = Landing(settings.landing_root, "backup"), Copied(settings.market), settings.database
    if Path(landing.path).resolve() in (target.resolve(), *target.resolve().parents):
        raise ValueError(f"{target} lies in the landing that it would copy: name another folder")
    landing.hold()
    try:
        if not database.exists() and not landing.runs():
            raise ValueError(f"there is nothing to back up: neither {database} nor landing {settings.landing_root} has anything")
        with _writing(target) as out:
            if database.exists():
                with _as_file(database) as file:
                    out.write(WAREHOUSE, file)
                copied.has_warehouse = True
            if (runs := settings.published / RUNS).exists():
                out.write(RUNS, runs)
            _copy_landing(landing, out, copied)
            made_at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
            about = About(settings.market, __version__, made_at, copied.pages, copied.has_warehouse)
            out.write(ABOUT, msgspec.json.encode(about))
    finally:
        landing.release()
    return copied


@contextmanager
def _as_file(database: Path) -> Iterator[Path]:
    """The warehouse as a file that nothing writes to; of a lake, one that is made of it."""
    if ducklake.is_lake(database):
        with TemporaryDirectory(prefix="perplake-backup-", dir=database.parent) as folder:
            copy_warehouse(database, file := Path(folder) / WAREHOUSE)
            yield file
        return
    with warehouse.one_writer(database):
        with warehouse.connect(database) as connection:
            connection.execute("CHECKPOINT")
        yield database


def copy_landing(root: str, to: str, market: str) -> Copied:
    """Copy what another landing lacks of a landing, for `perps move`."""
    landing, other, copied = Landing(root, "move"), Landing(to), Copied(market)
    landing.hold()
    try:
        _copy_landing(landing, _Landing(other), copied)
        other.flush()
    finally:
        landing.release()
    return copied


def _copy_landing(landing: Landing, out: _Target, copied: Copied) -> None:
    """The bodies that the manifest names now, then the manifest as it was."""
    runs = landing.runs()
    parts = {part: landing.content(part) for run in runs for part in [*landing.parts(run), *landing.scope_files(run)]}
    entries = {entry.sha256: entry for entry in landing.iterate(runs)}
    copied.damage += landing.damage
    for sha256, entry in entries.items():
        name = f"pages/{sha256[:2]}/{sha256}.zst"
        try:
            content = landing.packed_body(entry)
        except OSError as problem:
            copied.damage.append(str(problem))
            continue
        if not out.has(f"landing/{name}", len(content)):
            out.write(f"landing/{name}", content)
        copied.pages += 1
        copied.bytes += len(content)
    for part, content in parts.items():
        out.write(f"landing/manifest/{'/'.join(part.split('/')[-2:])}", content)


def restore(settings: Settings, source: Path) -> Copied:
    """Put a backup where the settings say.

    Raises `ValueError` for what is no whole backup, or where something is already; `WarehouseMismatch` for a lake with tables.
    """
    about = _about(_read(source, ABOUT))
    settings = settings.replaying(about.market)
    landing, database = Landing(settings.landing_root, "restore"), settings.database
    for place, is_used in {str(database): database.exists(), f"landing {settings.landing_root}": bool(landing.runs())}.items():
        if is_used:
            raise ValueError(f"{place} is there already: name another --home, or move it away first")
    if ducklake.is_lake(database):
        ducklake.require_empty(database)
    copied = Copied(about.market, has_warehouse=about.has_warehouse)
    draft = database.with_name(f"{WAREHOUSE}.part")
    places = {WAREHOUSE: draft, RUNS: settings.published / RUNS}
    for name, content in _members(source):
        if target := places.get(name):
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                shutil.copyfileobj(content, file)
        else:
            _restore_file(landing, name, content.read(), copied)
    landing.flush()
    if about.has_warehouse:
        with warehouse.connect(draft) as connection:  # raises where it is damaged
            connection.execute("FROM meta.warehouse")
        if ducklake.is_lake(database):
            copy_warehouse(draft, database)
            draft.unlink()
        else:
            draft.replace(database)
    return copied


def _restore_file(landing: Landing, name: str, content: bytes, copied: Copied) -> None:
    if name.startswith("landing/pages/"):
        try:
            with zstandard.ZstdDecompressor().stream_reader(content) as plain:  # in parts, whatever size it states
                found = hashlib.file_digest(plain, "sha256").hexdigest()
        except zstandard.ZstdError as problem:
            found = str(problem)
        if found != name.rpartition("/")[2].partition(".")[0]:
            copied.damage.append(f"{name} in the backup is damaged and left out ({found})")
            return
        copied.pages += 1
    copied.bytes += len(content)
    landing.write_file(name.removeprefix("landing/"), content)


def _about(content: bytes) -> About:
    try:
        about = msgspec.json.decode(content, type=About)
        if not re.fullmatch(r"\w[\w.-]*", about.market):  # it becomes a folder's name
            raise ValueError(f"no market is called {about.market!r}")
        return about
    except ValueError as problem:
        raise ValueError(f"{ABOUT} of the backup can't be read: {problem}") from None


def _read(source: Path, name: str) -> bytes:
    try:
        if source.is_dir():
            return regular(source / name).read_bytes()
        if not source.is_file():
            raise OSError("it is neither a file nor a folder")
        with tarfile.open(source) as tar:
            file = tar.extractfile(name)
            assert file
            return file.read()
    except (OSError, KeyError, tarfile.TarError) as problem:
        reason = str(problem).partition("\n")[0]
        raise ValueError(f"{source} is no whole backup ({name}: {reason}): make it again with `perps backup`") from None


def _members(source: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """The open files of a backup by name, the manifest's after the bodies; other names and links are left alone."""
    if source.is_dir():
        for file in sorted(source.rglob("*"), reverse=True):
            if file.is_file() and not file.is_symlink() and _NAMES.fullmatch(name := str(file.relative_to(source))):
                with file.open("rb") as opened:
                    yield name, opened
        return
    with tarfile.open(source) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isfile() and _NAMES.fullmatch(member.name) else None
            if content:
                yield member.name, content
