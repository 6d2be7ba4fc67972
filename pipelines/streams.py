"""Endpoints that read what a stream sent, and the answers to subscriptions that venues have in common.

A segment of a stream is a page: a JSON list of `{"at": ms of arrival, "frame": the frame as the venue sent it}`; a frame that is
no JSON is a text there, and goes to quarantine at load. `{"at": ms, "session": …}` are the collector's own sessions.

To add a stream to a source: a record for the event, a struct for the venue's frame, `frames(…)` as its endpoint, and a `Stream`
(`pipelines.source`) with the venue's address, its subscription, what its frames are (`hear`), its limits and its ping; then
`streams=(…,)` in `SOURCE`, `liquidations` among the source's datasets, and a staging model. `pipelines/sources/bybit_linear.py`
is one by instrument, `okx.py` one of everything. Try it with `perps collect --venues bybit`.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from pipelines.records import Ms, Record
from pipelines.source import Endpoint, Heard

#: The most bytes of a frame that was compressed by the venue.
MOST_UNPACKED = 8_000_000


def frames(
    name: str, record: type[Record], frame: Any, rows: Callable[[Any], Sequence[Any]], *, key: tuple[str, ...], time: str
) -> Endpoint:
    """The endpoint of a stream: `rows` takes the records out of a frame of the type `frame`.

    A record with a column `nth` has no id: it is numbered among the equals of its frame, so that an event that is sent again,
    after a reconnection or to another collector, stays one.
    """
    line = msgspec.defstruct("Line", [("at", Ms), ("frame", frame | None, None)])
    others = [column for column in key if column != "nth"]
    identity = attrgetter(*others)

    def read(page: Any) -> list[Any]:
        found: list[Any] = []
        for each in page:
            if each.frame is None:
                continue
            events = rows(each.frame)
            if len(others) < len(key) and len(events) > 1:
                seen: Counter[Any] = Counter()
                for event in events:
                    event.nth = seen[identity(event)]
                    seen[identity(event)] += 1
            found += events
        return found

    return Endpoint(
        name,
        record,
        key=key,
        plan=lambda instrument, window: (),
        page=list[line],  # type: ignore[valid-type]
        rows=read,
        time=time,
        is_event=True,
        streamed=True,
        ignored_fields=frozenset("*"),
    )


def gunzip(frame: bytes) -> bytes:
    """A frame sent as gzip, `MOST_UNPACKED` bytes at most. Raises `zlib.error`, `ValueError` where it is longer or cut."""
    unpacking = zlib.decompressobj(wbits=31)
    content = unpacking.decompress(frame, MOST_UNPACKED)
    if not unpacking.eof:
        raise ValueError(f"a frame of {len(frame)} bytes is cut, or has more than {MOST_UNPACKED} bytes unpacked")
    return content


def by_argument(name: str) -> Callable[[Any], Heard]:
    """What a frame is where each names its subscription in `arg`, by the field `name`, and answers have an `event`."""

    def hear(frame: Any) -> Heard:
        if "data" in frame:
            return Heard("event")
        key = (frame.get("arg") or {}).get(name, "")
        if frame.get("event") == "error":
            return Heard("refused", key, f"{frame.get('code')} {frame.get('msg')}")
        return Heard("acknowledged", key) if frame.get("event") == "subscribe" else Heard("other")

    return hear
