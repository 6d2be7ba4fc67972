"""Landing: every response as bytes, and a manifest with one entry per response: the request, its time and its outcome.

`fetch` writes it and `load` reads it; loading again never asks the venue again. A body is stored once, compressed, under the
hash of its bytes. The manifest of a run is JSON lines in numbered parts: a killed run loses at most one part, and leaves no
half-written file. In a folder, bodies are on the disk (fsync) before the lines that name them. Both are checked on reading: a
line carries a checksum, a body is its hash. A damaged line is left out and named (`damage`), a damaged body is requested again.

    landing/pages/3f/3f8a…e1.zst          bodies, by hash
    landing/manifest/<run id>/0001.jsonl  entries, in the order of arrival
    landing/manifest/<run id>/scope.json  what the run asked for, which a replay takes as its scope
    landing/damaged/                      bodies that were not what was stored, after they were written anew
    landing/.lock, landing/running/       who uses landing now: a lock in a folder, an object per run in S3

Storage is a folder or `s3://` (fsspec; credentials come from the usual `AWS_…` variables). While a run holds landing, nothing is
pruned. Alone: `Landing("folder").iterate()`; `perps prune --before DAY` deletes old runs.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import re
import threading
import time
import weakref
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import fsspec
import msgspec
import zstandard

from pipelines.errors import FREE_ROOM, LandingFull
from pipelines.files import regular
from pipelines.reading import Flaw
from pipelines.source import Request
from pipelines.windows import DAY, SETTLED_LATE_MS, Window, to_datetime

log = logging.getLogger("perplake.landing")
_waiting = logging.getLogger("perplake.waiting")

#: The remedy for what is missing or damaged.
AGAIN = "`perps run` over its days requests it again"
#: Entries in one part of a manifest.
PART = 64
#: The end of the ids of runs that `pipelines.collect` writes: a part a minute, a run a day.
COLLECTED = "-collected"
#: An object that says that a run uses a landing in S3 counts for so many seconds: a killed run leaves it.
HELD_FOR = 86_400
_CHECK = re.compile(rb',"check":"([0-9a-f]{8})"}$')
_HASH = re.compile(rb"[0-9a-f]{64}")


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One page in the manifest. Times in milliseconds, UTC; `window` as requested, null where the endpoint takes none.

    `final`: the window was over when the response came, so that the same request would give the same page. `last`: no page
    follows, so the window is covered. `whole`: with it, the pages of the window have all rows that they should have. `silent`:
    the instrument whose missing bars of this window were requested a second time, and none came. `only`: of a page about all
    instruments, those whose rows are loaded; empty: all.
    `clip_end`: the window was not part of the request, as in pages that are counted from the newest row. `empty`: the page has no
    records. `problem`, `field`, `value`: why the page could not be read. `flaws`: rows that were left out. `place`: the page's
    number among those of its run, in the order in which they came.
    """

    run: str
    source: str
    endpoint_name: str = msgspec.field(name="dataset")  # this name and the next: those of version 0.1
    market: str
    method: str
    url: str
    path_label: str = msgspec.field(name="endpoint")
    context: dict[str, str]
    window: tuple[int, int] | None
    observed_at: int
    status: int
    sha256: str
    size: int
    params: dict[str, str | int] = {}
    body: dict[str, Any] | None = None
    origin: str = ""
    final: bool = False
    last: bool = False
    clip_end: bool = msgspec.field(name="open_end", default=False)  # the name in manifests written by 0.1
    empty: bool = False
    problem: str = ""
    field: str = ""
    value: str = ""
    whole: bool = False
    silent: str = ""
    flaws: tuple[Flaw, ...] = ()
    only: tuple[str, ...] = ()
    place: int = 0

    @property
    def page(self) -> str:
        """The page's short name in raw tables (`_page`)."""
        return self.sha256[:16]

    def overlaps(self, window: Window) -> bool:
        """True if the page can have rows of this window, or has the settlement at its end in a window of its own."""
        if self.window is None:
            return True
        start, end = self.window
        closes = self.endpoint_name == "funding_rates" and start == window.end and end <= start + SETTLED_LATE_MS
        return closes or (start < window.end and end > window.start)


_ENTRY = msgspec.json.Decoder(Entry)


class Scope(msgspec.Struct, frozen=True):
    """What a run asked for: the sources by name, base assets or `all`, and the names in the settings of multi-venue sources.

    `window` is the hull of what it asked for, in milliseconds; null where an earlier version did not note it.
    """

    sources: list[str]
    assets: list[str]
    ccxt_venues: list[str] = []
    vendor_venues: list[str] = []
    subgraphs: list[str] = []
    window: tuple[int, int] | None = None

    def __or__(self, other: Scope) -> Scope:
        names = [name for name in self.__struct_fields__ if name != "window"]
        both = {name: {*getattr(self, name), *getattr(other, name)} for name in names}
        hull = None
        if self.window and other.window:
            hull = min(self.window[0], other.window[0]), max(self.window[1], other.window[1])
        return Scope(**{name: ["all"] if "all" in values else sorted(values) for name, values in both.items()}, window=hull)


def request_fingerprint(source: str, dataset: str, request: Request, snapshot_at: int | None) -> str:
    """A hash that is equal for requests with the same answer.

    For a snapshot it includes the time, for pages that are counted from the newest row the window.
    """
    parts: list[object] = [
        source,
        dataset,
        request.method,
        request.path,
        sorted(request.params.items()),
        request.body,
        snapshot_at,
    ]
    if request.clip_end and request.window:
        parts.append([request.window.start, request.window.end])
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()


class Landing:
    """A landing area; an instance writes the pages of one run. Threads may share it.

    Raises `ValueError` for a bucket that doesn't exist, which is never created, and for storage that doesn't answer.
    """

    def __init__(self, root: str, run: str = "", max_bytes: float = float("inf")) -> None:
        self.root, self.run, self.max_bytes = root.rstrip("/"), run, max_bytes
        self.fs, self.path = fsspec.core.url_to_fs(self.root)
        protocols = self.fs.protocol if isinstance(self.fs.protocol, tuple) else (self.fs.protocol,)
        self.is_local = "file" in protocols
        if not self.is_local:
            self._check_bucket()
            self.fs = _Storage(self.fs, self.root)
        #: What `iterate` could not read, a line for the user each.
        self.damage: dict[str, bytes] = {}
        self._pending: list[bytes] = []
        self._unsynced: list[str] = []
        self._stored: set[str] | None = None
        #: Ends what `hold` began.
        self.release: Callable[[], object] = lambda: None
        self._part = 0
        self._used: int | None = None
        self._lock = threading.RLock()

    def _check_bucket(self) -> None:
        bucket = self.path.partition("/")[0]
        if not bucket:
            raise ValueError(f"landing {self.root}: it names no bucket; write s3://BUCKET/FOLDER")
        try:
            self.fs.call_s3("head_bucket", Bucket=bucket)
        except PermissionError:  # a key for a prefix alone may not ask for its bucket
            pass
        except FileNotFoundError:
            message = f"landing {self.root}: there is no bucket {bucket!r}; correct its name, or create it first"
            raise ValueError(message) from None
        except Exception as problem:  # botocore's errors share no base with others
            reason = " ".join(str(problem).split())[:200]
            raise ValueError(f"landing {self.root}: the storage doesn't answer ({reason}); see the AWS_… variables") from None

    def used(self) -> int:
        """The size of landing in bytes."""
        if self.is_local:  # links are not followed: they may lead nowhere, or round in a circle
            return sum(_size_of(Path(folder) / name) for folder, _, names in os.walk(self.path) for name in names)
        return int(self.fs.du(self.path)) if self.fs.exists(self.path) else 0

    def hold(self) -> None:
        """Tell `prune` that a run uses landing, until `release` or the end of the process. Waits for a prune that is going on."""
        if not self.is_local:
            marker = f"{self.path}/running/{self.run}"
            with suppress(OSError):
                self.fs.pipe_file(marker, b"")
                self.release = weakref.finalize(self, _remove, self.fs, marker)
            return
        with suppress(OSError):  # a landing that can't be written can't be pruned either
            Path(self.path).mkdir(parents=True, exist_ok=True)
            held = regular(Path(f"{self.path}/.lock")).open("ab")
            self.release = weakref.finalize(self, held.close)
            try:
                fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                _waiting.warning("waiting for what prunes landing %s (`fuser %s`); Ctrl-C stops the wait", self.root, held.name)
                fcntl.flock(held, fcntl.LOCK_SH)

    def put(self, entry: Entry, body: bytes) -> None:
        """Store a body (once) and its entry. Raises `LandingFull` instead of writing beyond the cap."""
        path = self._body_path(entry.sha256)
        packed = zstandard.compress(body, 1)
        with self._lock:
            size = self._size(path)
            if not self._has(path, size, packed):
                if self._used is None:
                    self._used = self.used()
                if self._used + len(packed) > self.max_bytes:
                    raise LandingFull(
                        f"landing {self.root} would pass its cap of {self.max_bytes / 1e9:.1f} GB: raise landing_max_gb, or free "
                        "room with `perps prune --before DAY`; what is stored stays usable"
                    )
                if size is not None:
                    self._set_aside(path)
                self._write(path, packed)
                self._unsynced.append(path)
                self._used += len(packed)
            self.add_entry(entry)

    def content(self, path: str) -> bytes:
        """The bytes of a file. Raises `OSError` also for a pipe or a device in its place, which might have no end."""
        return regular(Path(path)).read_bytes() if self.is_local else bytes(self.fs.cat_file(path))

    def _has(self, path: str, size: int | None, content: bytes) -> bool:
        """True if a file of this size has this content; not a link to nothing."""
        try:
            return size == len(content) and self.content(path) == content
        except OSError:
            return False

    def _set_aside(self, path: str) -> None:
        """Keep a damaged body apart from the one that takes its place."""
        target = f"{self.path}/damaged/{path.rpartition('/')[2]}"
        self.fs.makedirs(target.rpartition("/")[0], exist_ok=True)
        if self.is_local and not Path(path).is_file():
            Path(path).rename(target)
        else:
            self.fs.copy(path, target)
        log.warning("landing %s: a damaged body is written anew, and kept as %s", self.root, target)

    def add_entry(self, entry: Entry) -> None:
        """Add the entry of a body that is stored already."""
        line = msgspec.json.encode(entry)
        with self._lock:
            self._pending.append(line[:-1] + b',"check":"%08x"}\n' % zlib.crc32(line))
            if len(self._pending) >= PART:
                self.flush()

    def flush(self) -> None:
        """Write the pending part of the manifest, after its bodies are on the disk."""
        with self._lock:
            if self.is_local and self._unsynced:
                self._sync(self._unsynced)
            self._unsynced = []
            if self._pending:
                self._part += 1
                part = f"{self.path}/manifest/{self.run}/{self._part:04d}.jsonl"
                self._write(part, b"".join(self._pending))
                if self.is_local:
                    self._sync([part])
                self._pending = []

    def _sync(self, paths: Iterable[str]) -> None:
        """Bring files and the names of them and of their folders to the disk."""
        files = [*{*paths}]
        folders = [*{str(folder) for file in files for folder in Path(file).parents[:3]}]
        try:
            with ThreadPoolExecutor(8) as pool:  # together 64 files take 20 ms, one after the other 180
                for those in (files, folders):
                    list(pool.map(_fsync, (those[n::8] for n in range(8))))
        except OSError as problem:
            raise self._unwritable(problem) from None

    def check(self, entry: Entry) -> None:
        """Raise `OSError` where an entry's body is missing or damaged; in S3, which checks its objects, where it is missing."""
        if self.is_local:
            self.body(entry)
            return
        if self._stored is None:
            self._stored = set(map(str, self.fs.find(f"{self.path}/pages")))
        if self._body_path(entry.sha256) not in self._stored:
            raise OSError(f"{self._page(entry)} is missing; {AGAIN}")

    def body(self, entry: Entry) -> bytes:
        """The body's bytes as the venue sent them. Raises `OSError` naming the page when they are missing or damaged."""
        return self._read(entry)[1]

    def packed_body(self, entry: Entry) -> bytes:
        """The body as it is stored. Raises what `body` raises."""
        return self._read(entry)[0]

    def _read(self, entry: Entry) -> tuple[bytes, bytes]:
        """A body as it is stored and as it was sent."""
        try:
            packed = self.content(self._body_path(entry.sha256))
            if (size := zstandard.frame_content_size(packed)) != entry.size:  # which would be reserved, however large
                raise zstandard.ZstdError(f"it has {size} bytes, not {entry.size}")
            data = zstandard.decompress(packed)
        except FileNotFoundError:
            raise OSError(f"{self._page(entry)} is missing; {AGAIN}") from None
        except (OSError, zstandard.ZstdError) as problem:
            raise OSError(f"{self._page(entry)} is damaged ({problem}); {AGAIN}") from None
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise OSError(f"{self._page(entry)} is damaged; {AGAIN}")
        return packed, data

    def _page(self, entry: Entry) -> str:
        return f"landing: page {entry.page} of {entry.source} {entry.path_label}"

    def runs(self) -> list[str]:
        """The ids of runs with a manifest, oldest first."""
        folder = f"{self.path}/manifest"
        paths = self.fs.ls(folder, detail=False) if self.fs.exists(folder) else []
        return sorted(str(path).rstrip("/").rsplit("/", 1)[-1] for path in paths)

    def runs_since(self, first: str) -> list[str]:
        """The ids of runs from this one, or this day (`20250101`), on: what came later is in no manifest before."""
        return [run for run in self.runs() if run >= first]

    def collected(self, window: Window) -> Iterator[Entry]:
        """What the collector has put there on the days of a window, and on the day before and after."""
        first, last = (f"{to_datetime(at):%Y%m%d}" for at in (window.start - DAY, window.end + DAY))
        yield from self.iterate([run for run in self.runs() if run.endswith(COLLECTED) and first <= run[:8] <= last])

    def note_scope(self, scope: Scope) -> None:
        """Note what this run asks for, beside what it noted before."""
        for file in self.scope_files(self.run):
            scope |= msgspec.json.decode(self.content(file), type=Scope)
        self._write(f"{self.path}/manifest/{self.run}/scope.json", msgspec.json.encode(scope))

    def scope_files(self, run: str = "*") -> list[str]:
        return sorted(map(str, self.fs.glob(f"{self.path}/manifest/{run}/scope.json")))

    def scope(self) -> Scope | None:
        """What all runs together asked for; None where none has noted it, as before version 0.2."""
        found: Scope | None = None
        for noted in self._scopes():
            found = found | noted if found else noted
        return found

    def _scopes(self, run: str = "*") -> Iterator[Scope]:
        for file in self.scope_files(run):
            try:
                yield msgspec.json.decode(self.content(file), type=Scope)
            except (OSError, ValueError) as problem:
                self._note_damage(f"landing {file} is damaged and left out ({problem})", b"")

    def may_have_asked(self, run: str, window: Window) -> bool:
        """False where a run noted that it asked for other times, a day and more from this window."""
        noted = next(self._scopes(run), None)
        return not noted or not noted.window or window.widened(DAY).meets(Window(*noted.window))

    def parts(self, run: str) -> list[str]:
        """The files of a run's manifest, in order."""
        return sorted(map(str, self.fs.glob(f"{self.path}/manifest/{run}/*.jsonl")))

    def write_file(self, name: str, content: bytes) -> None:
        """Write a file by its name in landing (`pages/…`, `manifest/…`), as a restore does; `flush` brings it to the disk."""
        self._write(f"{self.path}/{name}", content)
        self._unsynced.append(f"{self.path}/{name}")

    def has(self, name: str, size: int) -> bool:
        """True if a file of this name in landing has this size."""
        return self._size(f"{self.path}/{name}") == size

    def iterate(self, runs: list[str] | None = None) -> Iterator[Entry]:
        """The entries of some runs (default: all), in the order in which they were written; what can't be read is in `damage`."""
        for run in self.runs() if runs is None else runs:
            for part in self.parts(run):
                yield from self.entries(part)

    def entries(self, part: str) -> Iterator[Entry]:
        """The entries of one file of a manifest."""
        try:
            lines = self.content(part).splitlines()
        except OSError as problem:
            self._note_damage(f"landing {part} can't be read and is left out: {problem}", b"")
            return
        for number, line in enumerate(lines, 1):
            try:
                check = _CHECK.search(line)
                if check and zlib.crc32(line[: check.start()] + b"}") != int(check[1], 16):
                    raise ValueError("it is not what was written")
                yield _ENTRY.decode(line)
            except (ValueError, RecursionError) as problem:
                place = f"landing {part}, line {number} is damaged and left out ({problem})"
                self._note_damage(f"{place}; {AGAIN}", line)

    def _note_damage(self, message: str, line: bytes) -> None:
        if message not in self.damage:
            self.damage[message] = line
            log.warning("%s", message)

    def prune(self, before: str) -> int:
        """Delete runs whose id sorts before `before` (`20250101`), and bodies that no other run has; returns the bytes freed.

        Raises `ValueError` while a run uses landing: what it has fetched is in no manifest yet.
        """
        busy = f"landing {self.root} is in use by a run: wait for its end, then prune again"
        if not self.is_local:
            if any(self._age(str(marker)) < HELD_FOR for marker in self.fs.glob(f"{self.path}/running/*")):
                raise ValueError(busy)
            return self._prune(before)
        if not self.fs.exists(self.path):
            return 0
        with regular(Path(f"{self.path}/.lock")).open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(busy) from None
            return self._prune(before)

    def _prune(self, before: str) -> int:
        used = self.used()
        kept = self.runs_since(before)
        needed = {entry.sha256 for entry in self.iterate(kept)}
        # The bodies that a damaged line names are kept as well.
        needed |= {name.decode() for line in self.damage.values() for name in _HASH.findall(line)}
        for run in set(self.runs()) - set(kept):
            self.fs.rm(f"{self.path}/manifest/{run}", recursive=True)
        for body in self.fs.glob(f"{self.path}/pages/*/*"):
            if str(body).rsplit("/", 1)[-1].partition(".")[0] not in needed:
                self.fs.rm(body)
        return used - self.used()

    def _age(self, path: str) -> float:
        """Seconds since an object was written."""
        return time.time() - float(self.fs.modified(path).timestamp())

    def _size(self, path: str) -> int | None:
        """A file's size in bytes, of a link to nothing 0; None where there is none."""
        try:
            return Path(path).stat().st_size if self.is_local else int(self.fs.size(path))
        except FileNotFoundError:
            return 0 if self.is_local and Path(path).is_symlink() else None

    def _body_path(self, sha256: str) -> str:
        return f"{self.path}/pages/{sha256[:2]}/{sha256}.zst"

    def _write(self, path: str, data: bytes) -> None:
        """Write a file in one step: a killed run leaves no part of it under its name."""
        try:
            if self.is_local:
                _write_draft(draft := Path(f"{path}.{self.run}.part"), data)
                _rename(draft, path)
            else:
                self.fs.pipe_file(path, data)
        except OSError as problem:
            raise self._unwritable(problem) from problem

    def _unwritable(self, problem: OSError) -> LandingFull:
        if problem.errno in (errno.ENOSPC, errno.EDQUOT):
            return LandingFull(f"landing {self.root}: the disk is full; {FREE_ROOM}")
        reason = problem.strerror or str(problem)
        return LandingFull(f"landing {self.root} can't be written ({reason}): make it writable, or name another with --landing")


class _Storage:
    """A file system of S3. Raises `LandingFull` where it doesn't answer: what can't be read is neither missing nor damaged."""

    def __init__(self, fs: Any, root: str) -> None:
        self._fs, self._root = fs, root

    def __getattr__(self, name: str) -> Any:
        from botocore.exceptions import BotoCoreError  # half a second of imports, for S3 only

        found = getattr(self._fs, name)

        def call(*arguments: Any, **options: Any) -> Any:
            try:
                return found(*arguments, **options)
            except BotoCoreError as problem:
                message = f"landing {self._root}: the storage doesn't answer ({problem}); run again, and see the AWS_… variables"
                raise LandingFull(message) from None

        return call if callable(found) else found


def _size_of(file: Path) -> int:
    """A file's size in bytes; 0 for one that another process has just moved."""
    try:
        return file.lstat().st_size
    except OSError:
        return 0


def _write_draft(draft: Path, data: bytes) -> None:
    draft.parent.mkdir(parents=True, exist_ok=True)
    draft.write_bytes(data)


def _rename(draft: Path, path: str) -> None:
    draft.replace(path)


def _fsync(paths: Iterable[str]) -> None:
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove(fs: Any, path: str) -> None:
    with suppress(Exception):
        fs.rm(path)
