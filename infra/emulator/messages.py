"""A request as a venue module sees it, and the answer that goes back. Nothing to run alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

JSON = "application/json"


class MissingParameter(ValueError):
    """A parameter that is required and absent, or that can't be read. Its text is the parameter's name."""


class InvalidParameter(ValueError):
    """A parameter whose value the venue doesn't take. Its text is the parameter's name."""


class Parameters(Mapping[str, str]):
    """The parameters of a request: all that were `sent`, and the `unread` ones, which no handler has looked up: unknown ones."""

    def __init__(self, sent: Mapping[str, str]) -> None:
        self.sent = dict(sent)
        self.unread = set(self.sent)

    def __getitem__(self, name: str) -> str:
        self.unread.discard(name)
        return self.sent[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.sent)

    def __len__(self) -> int:
        return len(self.sent)


@dataclass(frozen=True)
class Ask:
    """A request: `path` without the venue's prefix, `now` the venue's clock in ms."""

    method: str
    path: str
    query: Parameters
    headers: Mapping[str, str]
    body: bytes
    now: int
    overlap: int = 0  # rows from before the window that a fault adds to the page

    def json(self) -> dict[str, Any]:
        """The body of a POST. Raises InvalidParameter for one that is no JSON object."""
        try:
            return msgspec.json.decode(self.body, type=dict[str, Any])
        except msgspec.DecodeError:
            raise InvalidParameter("body") from None

    def required(self, name: str) -> str:
        """A parameter. Raises MissingParameter."""
        if value := self.query.get(name):
            return value
        raise MissingParameter(name)

    def unused(self, *names: str) -> None:
        """Parameters that the venue takes and that make no difference to what the emulator holds."""
        self.query.unread.difference_update(names)

    def choice(self, name: str, *known: str) -> str:
        """A parameter that is required and has one of the known values. Raises MissingParameter, InvalidParameter."""
        if (value := self.required(name)) in known:
            return value
        raise InvalidParameter(name)

    def integer(self, name: str) -> int | None:
        """A parameter as a number; None when absent. Raises MissingParameter for what is none."""
        value = self.query.get(name)
        try:
            return int(value) if value else None
        except ValueError:
            raise MissingParameter(name) from None

    def limit(self, default: int, most: int, name: str = "limit") -> int:
        """The number of rows asked for, 1 to `most`. Raises InvalidParameter."""
        limit = self.integer(name)
        if limit is not None and not 1 <= limit <= most:
            raise InvalidParameter(name)
        return default if limit is None else limit

    def window(self, start: str, end: str, unit: int = 1) -> tuple[int | None, int]:
        """The ends of a window in ms, its end not after now; `unit` is the milliseconds in which they are counted."""
        first, last = self.integer(start), self.integer(end)
        return None if first is None else first * unit, self.now if last is None else min(last * unit, self.now)

    def moment(self, name: str) -> int | None:
        """A parameter in ISO 8601, UTC, as ms; None when absent. Raises MissingParameter for what is none."""
        value = self.query.get(name)
        try:
            return int(np.datetime64(value.removesuffix("Z"), "ms").astype(np.int64)) if value else None
        except ValueError:
            raise MissingParameter(name) from None

    def moments(self, start: str, end: str) -> tuple[int, int]:
        """The ends of a window in ISO 8601, UTC, as ms. Raises MissingParameter for one that is absent or can't be read."""
        first, last = self.moment(start), self.moment(end)
        if first is None or last is None:
            raise MissingParameter(start if first is None else end)
        return first, last


@dataclass(frozen=True)
class Answer:
    """What goes back. `charges` is what the request costs, by the name of the venue's limit."""

    body: bytes
    status: int = 200
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    charges: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Usage:
    """How far one limit is used: what a venue tells in headers."""

    name: str
    used: int
    limit: int
    seconds_left: float  # until the window ends
    resets_at: int  # wall clock, ms
