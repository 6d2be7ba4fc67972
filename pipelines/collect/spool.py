"""The spool: what was heard, in a file on this machine, on the disk (fsync) within a second, until it is sealed into landing.

    <home>/<market>/collect/<id of the collector>/000001.lines    a line for each frame and each state of a session
    <home>/<market>/collect/<id of the collector>/.lock           held while the collector lives
    <home>/<market>/collect/<id of the collector>/status.json     what `perps collect --status` prints

A line is `<source>/<stream>`, a tab, and a JSON object on one line. A killed collector leaves its last file, of which whole lines
count; the next collector seals it. Nothing to run alone.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

SUFFIX = ".lines"
#: Bytes that may wait for a slow disk, over all streams; what comes beyond is dropped, and the session says so.
MOST_WAITING = 32_000_000


class Spool:
    """The files of one collector. `add` is called by the event loop, the rest by one thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self._lock = hold(folder)
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._guard = threading.Lock()
        self._number = 0
        self._file: int | None = None
        self._written = 0
        #: Why the last write failed; empty where it didn't.
        self.problem = ""

    @property
    def size(self) -> int:
        """Bytes in the open file."""
        return self._written

    def add(self, tag: str, content: bytes) -> bool:
        """Put a line of the stream `tag`; False where the disk is so slow, or so full, that there is no room."""
        with self._guard:
            if self._waiting_bytes + len(content) > MOST_WAITING:
                return False
            line = b"%s\t%s\n" % (tag.encode(), content)
            self._waiting.append(line)
            self._waiting_bytes += len(line)
            return True

    def flush(self) -> None:
        """Bring what waits to the disk. Where that fails it waits on, and `problem` says why."""
        with self._guard:
            lines, self._waiting = self._waiting, []
        if not lines:
            return
        data = b"".join(lines)
        try:
            if self._file is None:
                self._number += 1
                path = self.folder / f"{self._number:06d}{SUFFIX}"
                self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
                self._written = 0
            view = memoryview(data)
            while view:
                view = view[os.write(self._file, view) :]
            os.fsync(self._file)
        except OSError as problem:
            self.problem = f"{self.folder} can't be written ({problem.strerror or problem})"
            with suppress(OSError):  # what was written of it in part is written again, whole
                os.ftruncate(self._file or -1, self._written)
            with self._guard:
                self._waiting = lines + self._waiting
            return
        self.problem = ""
        self._written += len(data)
        with self._guard:
            self._waiting_bytes -= len(data)

    def rotate(self) -> None:
        """End the open file, so that it can be sealed; the next line begins another."""
        if self._file is not None:
            os.close(self._file)
            self._file, self._written = None, 0

    def ended(self) -> list[Path]:
        """The files that are not written any more, oldest first."""
        files = sorted(self.folder.glob(f"*{SUFFIX}"))
        return files[:-1] if self._file is not None else files

    def close(self) -> None:
        """Let go of the folder, and delete it where everything in it is sealed."""
        self.rotate()
        leave(self.folder)
        os.close(self._lock)


def hold(folder: Path) -> int:
    """Lock a collector's folder. Raises `BlockingIOError` where its collector lives."""
    lock = os.open(folder / ".lock", os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise
    return lock


def leave(folder: Path) -> None:
    """Delete a collector's folder, unless a file waits in it for being sealed."""
    if not list(folder.glob(f"*{SUFFIX}")):
        for file in (*folder.glob("status.json*"), folder / ".lock"):
            file.unlink(missing_ok=True)
        with suppress(OSError):
            folder.rmdir()


def abandoned(root: Path) -> Iterator[tuple[Path, int]]:
    """The folders of collectors that don't live any more, each with its lock, which the caller closes."""
    for folder in sorted(root.glob("*/")):
        with suppress(BlockingIOError, FileNotFoundError):
            yield folder, hold(folder)


def lives(folder: Path) -> bool:
    """True while the collector of a folder runs."""
    try:
        os.close(hold(folder))
    except BlockingIOError:
        return True
    return False


def line(at: int, frame: bytes) -> tuple[bytes, object]:
    """A frame with its time of arrival as JSON on one line, and what it decodes to: the text itself where it is no JSON."""
    try:
        content = msgspec.json.decode(frame)
    except (ValueError, RecursionError):
        content = frame.decode(errors="backslashreplace")
        frame = msgspec.json.encode(content)
    if b"\n" in frame or b"\r" in frame:  # blanks between tokens: a text has none of these
        frame = frame.replace(b"\n", b" ").replace(b"\r", b" ")
    return b'{"at":%d,"frame":%b}' % (at, frame), content
