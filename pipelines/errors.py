"""The errors between a venue and the warehouse, each with the source, the request and a remedy."""

from __future__ import annotations

import re

#: What moves a terminal's cursor, sets its title, turns text round or isn't seen: it is never printed as it came.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def printable(text: str) -> str:
    """A text from outside as a terminal may show it: what is not seen, but tab and newline, is `\ufffd`."""
    return _CONTROLS.sub("\ufffd", text)


#: Characters of what a venue says of an error that are shown and stored.
MOST_SAID = 1000


def said(text: str) -> str:
    """What a venue says of an error, as a message may quote it: one line of at most `MOST_SAID` characters."""
    text = printable(" ".join(text.split()))
    return text if len(text) <= MOST_SAID else f"{text[:MOST_SAID]}… ({len(text):,} characters)"


#: The remedy for problems that may pass.
AGAIN = "Run again later: it goes on where this stopped"
#: How the system, SQLite and DuckDB call a full disk, in messages of libraries; and its remedy.
DISK_FULL = re.compile(r"no space|disk full|disk is full", re.IGNORECASE)
FREE_ROOM = "free room and run again, it goes on from here"


class VenueError(Exception):
    """A request that gave no page. `remedy` is what the user can do."""

    def __init__(self, source: str, path_label: str, problem: str, remedy: str) -> None:
        path_label, problem = said(path_label), said(problem)
        super().__init__(f"{source} {path_label}: {problem}. {remedy}")
        self.source, self.path_label, self.problem, self.remedy = source, path_label, problem, remedy


class Transient(VenueError):
    """The request is worth repeating: a lost connection, a 5xx, a truncated body, an HTML page."""


class RateLimited(VenueError):
    """The venue asks for a wait of `retry_after` seconds."""

    def __init__(self, source: str, path_label: str, problem: str, remedy: str, retry_after: float) -> None:
        super().__init__(source, path_label, problem, remedy)
        self.retry_after = retry_after


class Blocked(VenueError):
    """The source gives nothing more in this run: a region block, a ban, a missing key."""


class KeyRefused(Blocked):
    """The API key is wrong, used up, or not valid for this request; repeating it with the same key is useless."""


class Rejected(VenueError):
    """The venue understood the request and refused it."""


class NotFound(Rejected):
    """HTTP 404: the venue doesn't know the instrument, or the endpoint has ended."""


class Retired(VenueError):
    """The endpoint has ended: the venue answers no request to it any more."""


class Absent(VenueError):
    """There is nothing to fetch (yet): an archive's file that comes late, the present of a contract that does not trade."""


class LandingFull(Exception):
    """Landing takes no more: it reached its cap, its disk is full, it can't be written, or its storage doesn't answer."""


class WarehouseMismatch(Exception):
    """The warehouse belongs to another market or another version of perplake, or another process holds it."""
