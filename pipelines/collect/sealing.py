"""Sealing: spooled lines become pages of landing, each complete or absent, and the spooled file is deleted after them.

A page is a stream's lines as a JSON list, with the last state of each session; its entry in the manifest is there once for the
events and once for the sessions. A page that was polled is a line with its entry, and is put into landing as it came.
A file that is sealed twice, because the collector was killed between the manifest and the deletion, gives the same pages, and
the same rows. A run in landing is what one collector sealed of one day.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from pipelines.collect import spool
from pipelines.collect.polling import PAGES, PageLine
from pipelines.files import regular
from pipelines.landing import COLLECTED, Entry, Landing
from pipelines.reading import Unreadable, read
from pipelines.settings import Settings
from pipelines.source import SESSIONS, Endpoint, SessionLine, Source, Stream
from pipelines.windows import iso, to_datetime

log = logging.getLogger("perplake.collect")

Streams = Mapping[str, tuple[Source, Stream]]


def tag(source: Source, stream: Stream) -> str:
    """How lines name their stream."""
    return f"{source.name}/{stream.name}"


class Sealer:
    """Puts spooled files of a market into its landing. `streams` are all that a file may have lines of, by tag."""

    def __init__(self, settings: Settings, streams: Streams, origin: str) -> None:
        self.settings, self.streams, self.origin = settings, streams, origin
        self._landing: Landing | None = None

    def seal(self, file: Path) -> int:
        """Seal a file; returns how many pages it gave. Raises `LandingFull`, `ValueError`, `OSError`: the file stays then."""
        pages = list(self._pages(file))
        if pages:
            landing = self._landing_of(min(entry.observed_at for entry, _ in pages))
            landing.hold()
            try:
                for entry, body in pages:
                    landing.put(msgspec.structs.replace(entry, run=landing.run), body)
                landing.flush()
            except BaseException:
                self._landing = None  # the next try counts anew what landing has
                raise
            finally:
                landing.release()
        file.unlink()
        return len(pages)

    def seal_abandoned(self, root: Path) -> None:
        """Seal what collectors left that don't live any more."""
        for folder, lock in spool.abandoned(root):
            try:
                for file in sorted(folder.glob(f"*{spool.SUFFIX}")):
                    pages = self.seal(file)
                    log.warning("%s of a collector that was killed is sealed now: %d pages", file, pages)
                spool.leave(folder)
            finally:
                os.close(lock)

    def _landing_of(self, at: int) -> Landing:
        day = f"{to_datetime(at):%Y%m%d}"
        if self._landing is None or self._landing.run[:8] != day:
            run = f"{day}T{to_datetime(at):%H%M%S%f}-{secrets.token_hex(3)}{COLLECTED}"
            self._landing = Landing(self.settings.landing_root, run, self.settings.landing_max_gb * 1e9)
        return self._landing

    def _pages(self, file: Path) -> Iterator[tuple[Entry, bytes]]:
        """The entries of a file's pages, each with its body. The run is that of the landing that they are put into."""
        by_stream: dict[str, list[bytes]] = defaultdict(list)
        for line in regular(file).read_bytes().split(b"\n")[:-1]:  # what follows the last line's end is no whole line
            of, _, content = line.partition(b"\t")
            by_stream[of.decode(errors="replace")].append(content)
        for content in by_stream.pop(PAGES, []):
            page = msgspec.json.decode(content, type=PageLine)
            yield page.entry, page.body
        for name, lines in by_stream.items():
            if name not in self.streams:
                raise ValueError(f"{file} has lines of {name!r}, a stream that this version doesn't know: keep the file")
            source, stream = self.streams[name]
            kept: list[bytes] = []
            sessions: dict[tuple[str, int], bytes] = {}
            first = last = 0
            for content in lines:
                try:
                    parsed = msgspec.json.decode(content, type=SessionLine)
                except ValueError as problem:
                    log.error("%s: a line of %s is damaged and left out (%s)", file, name, problem)
                    continue
                first, last = first or parsed.at, max(last, parsed.at)
                if parsed.session:
                    sessions[parsed.session.session, parsed.session.part] = content
                else:
                    kept.append(content)
            if not first:
                continue
            body = b"[" + b",\n".join([*kept, *sessions.values()]) + b"]"
            if kept:
                yield self._entry(source, stream, stream.endpoint, body, first, last), body
            if sessions:
                yield self._entry(source, stream, SESSIONS, body, first, last), body

    def _entry(self, source: Source, stream: Stream, endpoint: Endpoint, body: bytes, first: int, last: int) -> Entry:
        """The window is the hull of the arrivals and of the events' own times: marts are made anew there."""
        window = (first, last + 1)
        if endpoint is not SESSIONS:
            try:
                times = [int(getattr(row, endpoint.time or "")) for row in read(endpoint, body).rows]
            except Unreadable as problem:
                log.warning(
                    "%s: nothing in a segment of %s can be read (%s); load quarantines it", source.name, iso(first), problem
                )
            else:
                window = (min([first, *times]), max([last, *times]) + 1)
        return Entry(
            run="",
            source=source.name,
            endpoint_name=endpoint.name,
            market=self.settings.market,
            method="STREAM",
            url=stream.url,
            path_label=stream.name,
            context={},
            window=window,
            observed_at=last,
            status=101,
            sha256=hashlib.sha256(body).hexdigest(),
            size=len(body),
            origin=self.origin,
        )
