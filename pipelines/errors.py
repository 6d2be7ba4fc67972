"""What can go wrong between a venue and the warehouse, each with the venue, the endpoint and what to do about it."""

from __future__ import annotations

#: The remedy for what time may mend.
AGAIN = "Run again later: it goes on where this stopped"


class VenueError(Exception):
    """A request that did not give a page. `remedy` is what the reader can do."""

    def __init__(self, source: str, path_label: str, problem: str, remedy: str) -> None:
        super().__init__(f"{source} {path_label}: {problem}. {remedy}")
        self.source, self.path_label, self.problem, self.remedy = source, path_label, problem, remedy


class Transient(VenueError):
    """Worth asking again: a lost connection, a 5xx, a body cut short, an HTML page."""


class RateLimited(VenueError):
    """The venue asks to wait `retry_after` seconds."""

    def __init__(self, source: str, path_label: str, problem: str, remedy: str, retry_after: float) -> None:
        super().__init__(source, path_label, problem, remedy)
        self.retry_after = retry_after


class Blocked(VenueError):
    """Nothing more can be had from this source in this run: a region block, a ban, a missing key."""


class KeyRefused(Blocked):
    """The key is wrong, used up, or not good for this: no use to ask again with it."""


class Rejected(VenueError):
    """The venue understood the request and refused it."""


class Absent(VenueError):
    """What was asked for is not there (yet): a file that an archive has not put up."""


class LandingFull(Exception):
    """Landing reached its cap, or its disk is full."""


class WarehouseMismatch(Exception):
    """The warehouse belongs to another market or another version of perplake."""
