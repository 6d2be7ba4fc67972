"""Landing: every response as it came, and the manifest of who asked what, when, and what came back.

A body is stored once, compressed, under the hash of its bytes; the manifest of a run is a file of JSON lines, one entry per
page, written in parts so that a killed run loses seconds and never tears a file. Two calls touch storage, `put` and
`iterate`; a folder and `s3://` are the same to them (fsspec; credentials come from the environment).

    landing/pages/3f/3f8a…e1.zst          bodies, content-addressed
    landing/manifest/<run id>/0001.jsonl  entries, in the order in which they arrived
Alone: `Landing("folder").iterate()`.
"""

from __future__ import annotations

import errno
import hashlib
import threading
from collections.abc import Iterator
from typing import Any

import fsspec
import msgspec
import zstandard

from pipelines.errors import LandingFull
from pipelines.source import Request
from pipelines.windows import Window

PART = 64


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One page in the manifest. Times in milliseconds, UTC; `window` as asked, null where the endpoint takes none.

    `final`: what was asked for was over when the answer came, so that asking again would bring the same. `last`: no page
    follows, so that the window is covered. `clip_end`: the window was no part of what was asked, as in pages that are counted
    from the newest row. `empty`: the venue had nothing to say of it. `problem`: the page could not be read when it came.
    """

    run: str
    source: str
    dataset: str
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

    @property
    def page(self) -> str:
        """The page's short name in raw tables (`_page`)."""
        return self.sha256[:16]

    def asks(self, within: Window) -> bool:
        """Whether the page can hold rows of this window."""
        return self.window is None or (self.window[0] < within.end and self.window[1] > within.start)


def request_fingerprint(source: str, dataset: str, request: Request, snapshot_at: int | None) -> str:
    """What makes two requests one question: of a snapshot the moment too, of pages counted from the newest row the window."""
    asked: list[object] = [
        source,
        dataset,
        request.method,
        request.path,
        sorted(request.params.items()),
        request.body,
        snapshot_at,
    ]
    if request.clip_end and request.window:
        asked.append([request.window.start, request.window.end])
    return hashlib.sha256(msgspec.json.encode(asked, order="sorted")).hexdigest()


class Landing:
    """A landing area. One instance writes for one run."""

    def __init__(self, root: str, run: str = "", max_bytes: float = float("inf")) -> None:
        self.root, self.run, self.max_bytes = root.rstrip("/"), run, max_bytes
        self.fs, self.path = fsspec.core.url_to_fs(self.root)
        self._pending: list[Entry] = []
        self._part = 0
        self._used: int | None = None
        self._one = threading.RLock()  # sources put their pages side by side, from threads

    def used(self) -> int:
        """Bytes that landing takes on its disk."""
        return int(self.fs.du(self.path)) if self.fs.exists(self.path) else 0

    def put(self, entry: Entry, body: bytes) -> None:
        """Store a body (once) and its entry. Raises `LandingFull` before anything is written beyond the cap."""
        where = self._where(entry.sha256)
        packed = zstandard.compress(body, 1)
        with self._one:
            if not self.fs.exists(where):
                if self._used is None:
                    self._used = self.used()
                if self._used + len(packed) > self.max_bytes:
                    raise LandingFull(
                        f"landing {self.root} would pass its cap of {self.max_bytes / 1e9:.1f} GB: raise landing_max_gb, or free "
                        "room with `perps prune --before DAY`; what is stored stays usable"
                    )
                self._write(where, packed)
                self._used += len(packed)
            self.note(entry)

    def note(self, entry: Entry) -> None:
        """Add an entry whose body is stored already."""
        with self._one:
            self._pending.append(entry)
            if len(self._pending) >= PART:
                self.flush()

    def flush(self) -> None:
        """Write the pending part of the manifest."""
        with self._one:
            if self._pending:
                self._part += 1
                lines = b"".join(msgspec.json.encode(entry) + b"\n" for entry in self._pending)
                self._write(f"{self.path}/manifest/{self.run}/{self._part:04d}.jsonl", lines)
                self._pending = []

    def body(self, entry: Entry) -> bytes:
        """The bytes as the venue sent them. Raises `OSError` naming the page when they are missing or damaged."""
        try:
            data = zstandard.decompress(self.fs.cat_file(self._where(entry.sha256)))
        except (FileNotFoundError, zstandard.ZstdError) as problem:
            raise OSError(
                f"landing: page {entry.page} of {entry.source} {entry.path_label}: {problem}; `perps run --refetch`"
            ) from None
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise OSError(f"landing: page {entry.page} of {entry.source} {entry.path_label} is damaged; `perps run --refetch`")
        return data

    def runs(self) -> list[str]:
        """The run ids that have a manifest, oldest first."""
        base = f"{self.path}/manifest"
        return (
            sorted(str(p).rstrip("/").rsplit("/", 1)[-1] for p in self.fs.ls(base, detail=False)) if self.fs.exists(base) else []
        )

    def iterate(self, runs: list[str] | None = None) -> Iterator[Entry]:
        """The manifest's entries of some runs (default: all), in the order of their writing."""
        decoder = msgspec.json.Decoder(Entry)
        for run in self.runs() if runs is None else runs:
            for part in sorted(self.fs.glob(f"{self.path}/manifest/{run}/*.jsonl")):
                yield from (decoder.decode(line) for line in self.fs.cat_file(part).splitlines())

    def prune(self, before: str) -> int:
        """Forget the runs whose id sorts before `before` (`20250101`) and bodies that no other names; returns bytes freed."""
        used = self.used()
        kept = [run for run in self.runs() if run >= before]
        needed = {entry.sha256 for entry in self.iterate(kept)}
        for run in set(self.runs()) - set(kept):
            self.fs.rm(f"{self.path}/manifest/{run}", recursive=True)
        for body in self.fs.glob(f"{self.path}/pages/*/*"):
            if str(body).rsplit("/", 1)[-1].partition(".")[0] not in needed:
                self.fs.rm(body)
        return used - self.used()

    def _where(self, sha256: str) -> str:
        return f"{self.path}/pages/{sha256[:2]}/{sha256}.zst"

    def _write(self, where: str, data: bytes) -> None:
        """Write a file so that it is there whole or not at all."""
        local = "file" in (self.fs.protocol if isinstance(self.fs.protocol, tuple) else (self.fs.protocol,))
        target = f"{where}.{self.run}.part" if local else where
        try:
            self.fs.makedirs(where.rsplit("/", 1)[0], exist_ok=True)
            self.fs.pipe_file(target, data)
            if local:
                self.fs.mv(target, where)
        except OSError as problem:
            if problem.errno == errno.ENOSPC:
                raise LandingFull(
                    f"landing {self.root}: the disk is full; free room and run again, it goes on from here"
                ) from problem
            raise
