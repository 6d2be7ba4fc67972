"""Landing: every response as bytes, and a manifest with one entry per response: the request, its time and its outcome.

`fetch` writes it and `load` reads it; loading again never asks the venue again. A body is stored once, compressed, under the
hash of its bytes. The manifest of a run is JSON lines in numbered parts: a killed run loses at most one part, and leaves no
half-written file. Storage is a folder or `s3://` (fsspec; credentials come from the environment).

    landing/pages/3f/3f8a…e1.zst          bodies, by hash
    landing/manifest/<run id>/0001.jsonl  entries, in the order of arrival
Alone: `Landing("folder").iterate()`; `perps prune --before DAY` deletes old runs.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import threading
from collections.abc import Iterator
from typing import Any

import fsspec
import msgspec
import zstandard

from pipelines.errors import LandingFull
from pipelines.reading import Flaw
from pipelines.source import Request
from pipelines.windows import Window

log = logging.getLogger("perplake.landing")

#: Entries in one part of a manifest.
PART = 64


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One page in the manifest. Times in milliseconds, UTC; `window` as requested, null where the endpoint takes none.

    `final`: the window was over when the response came, so that the same request would give the same page. `last`: no page
    follows, so the window is covered. `whole`: with it, the pages of the window have all rows that they should have.
    `clip_end`: the window was not part of the request, as in pages that are counted from the newest row. `empty`: the page has no
    records. `problem`, `field`, `value`: why the page could not be read. `flaws`: rows that were left out.
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
    flaws: tuple[Flaw, ...] = ()

    @property
    def page(self) -> str:
        """The page's short name in raw tables (`_page`)."""
        return self.sha256[:16]

    def overlaps(self, window: Window) -> bool:
        """True if the page can have rows of this window."""
        return self.window is None or (self.window[0] < window.end and self.window[1] > window.start)


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
        self._is_local = "file" in protocols
        if not self._is_local:
            self._check_bucket()
        self._pending: list[bytes] = []
        self._part = 0
        self._used: int | None = None
        self._lock = threading.RLock()

    def _check_bucket(self) -> None:
        bucket = self.path.partition("/")[0]
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
        return int(self.fs.du(self.path)) if self.fs.exists(self.path) else 0

    def put(self, entry: Entry, body: bytes) -> None:
        """Store a body (once) and its entry. Raises `LandingFull` instead of writing beyond the cap."""
        path = self._body_path(entry.sha256)
        packed = zstandard.compress(body, 1)
        with self._lock:
            if self._size(path) != len(packed):  # a damaged body is written anew
                if self._used is None:
                    self._used = self.used()
                if self._used + len(packed) > self.max_bytes:
                    raise LandingFull(
                        f"landing {self.root} would pass its cap of {self.max_bytes / 1e9:.1f} GB: raise landing_max_gb, or free "
                        "room with `perps prune --before DAY`; what is stored stays usable"
                    )
                self._write(path, packed)
                self._used += len(packed)
            self.add_entry(entry)

    def add_entry(self, entry: Entry) -> None:
        """Add the entry of a body that is stored already."""
        with self._lock:
            self._pending.append(msgspec.json.encode(entry) + b"\n")
            if len(self._pending) >= PART:
                self.flush()

    def flush(self) -> None:
        """Write the pending part of the manifest."""
        with self._lock:
            if self._pending:
                self._part += 1
                self._write(f"{self.path}/manifest/{self.run}/{self._part:04d}.jsonl", b"".join(self._pending))
                self._pending = []

    def body(self, entry: Entry) -> bytes:
        """The body's bytes as the venue sent them. Raises `OSError` naming the page when they are missing or damaged."""
        page = f"landing: page {entry.page} of {entry.source} {entry.path_label}"
        try:
            data = zstandard.decompress(self.fs.cat_file(self._body_path(entry.sha256)))
        except (FileNotFoundError, zstandard.ZstdError) as problem:
            raise OSError(f"{page}: {problem}; `perps run --refetch`") from None
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise OSError(f"{page} is damaged; `perps run --refetch`")
        return data

    def runs(self) -> list[str]:
        """The ids of runs with a manifest, oldest first."""
        folder = f"{self.path}/manifest"
        paths = self.fs.ls(folder, detail=False) if self.fs.exists(folder) else []
        return sorted(str(path).rstrip("/").rsplit("/", 1)[-1] for path in paths)

    def iterate(self, runs: list[str] | None = None) -> Iterator[Entry]:
        """The entries of some runs (default: all), in the order in which they were written."""
        decoder = msgspec.json.Decoder(Entry)
        for run in self.runs() if runs is None else runs:
            for part in sorted(self.fs.glob(f"{self.path}/manifest/{run}/*.jsonl")):
                for number, line in enumerate(self.fs.cat_file(part).splitlines(), 1):
                    try:
                        yield decoder.decode(line)
                    except (ValueError, RecursionError) as problem:  # damaged: the page is requested again
                        log.warning("landing %s, line %d can't be read and is left out: %s", part, number, problem)

    def prune(self, before: str) -> int:
        """Delete runs whose id sorts before `before` (`20250101`), and bodies that no other run has; returns the bytes freed."""
        used = self.used()
        kept = [run for run in self.runs() if run >= before]
        needed = {entry.sha256 for entry in self.iterate(kept)}
        for run in set(self.runs()) - set(kept):
            self.fs.rm(f"{self.path}/manifest/{run}", recursive=True)
        for body in self.fs.glob(f"{self.path}/pages/*/*"):
            if str(body).rsplit("/", 1)[-1].partition(".")[0] not in needed:
                self.fs.rm(body)
        return used - self.used()

    def _size(self, path: str) -> int | None:
        """A file's size in bytes; None where there is none."""
        try:
            return int(self.fs.size(path))
        except FileNotFoundError:
            return None

    def _body_path(self, sha256: str) -> str:
        return f"{self.path}/pages/{sha256[:2]}/{sha256}.zst"

    def _write(self, path: str, data: bytes) -> None:
        """Write a file in one step: a killed run leaves no part of it under its name."""
        target = f"{path}.{self.run}.part" if self._is_local else path
        try:
            if self._is_local:  # s3fs would create a bucket
                self.fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
            self.fs.pipe_file(target, data)
            if self._is_local:
                self.fs.mv(target, path)
        except OSError as problem:
            if problem.errno == errno.ENOSPC:
                raise LandingFull(
                    f"landing {self.root}: the disk is full; free room and run again, it goes on from here"
                ) from problem
            raise
