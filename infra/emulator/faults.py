"""Faults on demand: what a venue, a proxy or a network does to an answer that was right.

`POST /admin/faults` queues one; the next `times` requests that match `venue` and contain `path_contains` (in path, query or
body), after the first `after` of them, get it. Kinds before there is an answer: `429` `418` `500` `html` `region` `error_200`
`stall`; on the answer's rows: `missing_field` `unreadable_field` `new_field` `other_value` (which the venue corrects
later) `empty_page` `repeated_page` `overlapping_page`; on its bytes: `truncated` `reset`. These stay until they are deleted:
`clock` shifts the venue's clock; a file of an archive is a `missing_file`, a `damaged_file`, or has an `other_header`.
Alone: see `tests/infra/emulator/test_faults.py`.
"""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import msgspec

from infra.emulator.messages import JSON, Answer
from infra.emulator.rendering import plain

Kind = Literal[
    "429", "418", "500", "html", "region", "error_200", "stall",
    "missing_field", "unreadable_field", "new_field", "other_value", "empty_page", "repeated_page", "overlapping_page",
    "truncated", "reset", "clock", "missing_file", "damaged_file", "other_header",
]  # fmt: skip
#: Those that stay until they are deleted.
STANDING = ("clock", "missing_file", "damaged_file", "other_header")
ON_ROWS = ("missing_field", "unreadable_field", "new_field", "other_value", "empty_page")
ON_BODY = (*ON_ROWS, "repeated_page", "overlapping_page", "truncated", "reset")
HTML = b"<!DOCTYPE html><html><head><title>Error</title></head><body><h1>502 Bad Gateway</h1></body></html>"


class Fault(msgspec.Struct, forbid_unknown_fields=True):
    """One queued fault, as posted."""

    kind: Kind
    venue: str | None = None  # 'binance', 'bybit', 'hyperliquid', 'kraken', 's3'; None = any
    path_contains: str = ""
    times: int = 1
    after: int = 0
    retry_after: float | None = None  # 429, 418: seconds
    status: int = 502  # html
    body: str | None = None  # error_200: another body than the venue's own
    seconds: float = 3600  # stall
    field: str | int = ""  # missing_field, unreadable_field: a name, or the index in rows that are arrays; empty: the first
    row: int = 0  # which row of the page
    minutes: float = 0  # clock

    def takes(self, venue: str, asked: str, method: str = "GET") -> bool:
        """Whether the request is meant. A HEAD has no body to change."""
        return self.venue in (None, venue) and self.path_contains in asked and not (method == "HEAD" and self.kind in ON_BODY)


@dataclass
class Faults:
    """The queue."""

    queue: list[Fault] = field(default_factory=list)

    def take(self, venue: str, asked: str, method: str) -> Fault | None:
        """The fault for this request, counted down; None = answer it right."""
        for fault in self.queue:
            if fault.kind in STANDING or fault.times <= 0 or not fault.takes(venue, asked, method):
                continue
            if fault.after > 0:
                fault.after -= 1
                continue
            fault.times -= 1
            return fault
        return None

    def of_file(self, venue: str, key: str) -> str:
        """What is wrong with a file of an archive; empty where nothing is."""
        return next((f.kind for f in self.queue if f.kind in STANDING[1:] and f.takes(venue, key)), "")

    def shift(self, venue: str) -> int:
        """By how many ms the venue's clock is wrong."""
        return int(sum(f.minutes for f in self.queue if f.kind == "clock" and f.takes(venue, f.path_contains)) * 60_000)


def in_rows(fault: Fault, answer: Answer) -> Answer:
    """The answer with a field of one row, a field of all rows, or its rows changed.

    Raises ValueError where no row has the field of the fault.
    """
    if answer.content_type == JSON:
        return replace(answer, body=msgspec.json.encode(_in_json(fault, msgspec.json.decode(answer.body))))
    return replace(answer, body=_in_archive(fault, answer.body))


def _in_json(fault: Fault, body: Any) -> Any:
    if fault.kind == "empty_page":
        return _emptied(body)
    if fault.kind == "new_field":
        for row in _rows(body, lambda row: True):
            row.update(unknownField="new") if isinstance(row, dict) else row.append("new")
        return body
    if fault.kind == "other_value":
        rows = _rows(body, lambda row: _decimal(row) is not None)
        if rows:
            row = rows[min(fault.row, len(rows) - 1)]
            name = _decimal(row)
            other = float(row[name]) * 1.001
            row[name] = plain(other) if isinstance(row[name], str) else other
        return body
    name = fault.field
    rows = _rows(body, lambda row: bool(row) if name == "" else _holder(row, name) is not None)
    if name == "" and not rows:
        return body
    row = rows[min(fault.row, len(rows) - 1)] if rows else None
    if name == "":
        name = next(iter(row)) if isinstance(row, dict) else 0
        if fault.kind == "unreadable_field" and isinstance(row, dict):  # a text in place of a text would be another name
            name = next((key for key, value in row.items() if not isinstance(value, str) or value[:1].isdigit()), name)
    holder = _holder(row, name)
    if holder is None:
        raise ValueError(f"no row has a field {name!r}")
    if fault.kind == "missing_field":
        del holder[name]
    else:
        holder[name] = "n/a"
    return body


def _rows(body: Any, wanted: Callable[[Any], bool]) -> list[Any]:
    """The longest list of like rows that are `wanted`, the outermost of equals; a body without one is its own row."""
    lists: list[list[Any]] = []
    waiting = deque([body])
    while waiting:
        node = waiting.popleft()
        alike = isinstance(node, list) and len({type(x) for x in node}) == 1
        if alike and isinstance(node[0], dict | list) and wanted(node[0]):
            lists.append(node)
        waiting.extend(x for x in (node.values() if isinstance(node, dict) else node) if isinstance(x, dict | list))
    return max(lists, key=len) if lists else [body] if wanted(body) else []


def _holder(row: Any, name: str | int) -> Any:
    """The object or array inside of `row`, or `row`, that has the field; None = none has."""
    if isinstance(row, dict):
        if name in row:
            return row
        return next((holder for x in row.values() if (holder := _holder(x, name)) is not None), None)
    if isinstance(row, list):
        return row if isinstance(name, int) and name < len(row) else None
    return None


def _decimal(row: Any) -> Any:
    """The name or index of a row's last number with a fraction, as a number or as text; None = it has none."""
    for name, value in reversed(list(row.items() if isinstance(row, dict) else enumerate(row))):
        if (isinstance(value, float) and value % 1) or (isinstance(value, str) and re.fullmatch(r"-?\d+\.\d*[1-9]\d*", value)):
            return name
    return None


def _emptied(node: Any) -> Any:
    if isinstance(node, list):
        return []
    return {name: _emptied(value) for name, value in node.items()} if isinstance(node, dict) else node


def _in_archive(fault: Fault, body: bytes) -> bytes:
    """The same on an LZ4-framed CSV, whose missing field is a missing column."""
    from infra.emulator.buckets import pack, unpack

    header, *rows = csv.reader(io.StringIO(unpack(body).decode()))
    if fault.kind == "empty_page":
        rows = []
    elif fault.kind == "new_field":
        header, rows = [*header, "unknown_field"], [[*row, "new"] for row in rows]
    else:
        at = header.index(str(fault.field))
        if fault.kind == "missing_field":
            header, *rows = ([*row[:at], *row[at + 1 :]] for row in (header, *rows))
        else:
            rows[fault.row][at] = "n/a"
    return pack("".join(",".join(row) + "\n" for row in (header, *rows)).encode())
