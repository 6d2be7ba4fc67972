"""What the sources of data vendors share: a vendor is a second source for venues that have a source of their own.

    VENDOR = Vendor("kaiko", "https://…", "X-Api-Key", Limit(5, 1), {"binance": "binc"}, error, instruments, endpoints)
    SOURCE, expand_multi_venue = VENDOR.source(), VENDOR.expand

Each venue is a source of its own with the same name; the rows of all of them have the column `venue`. Nothing to run alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipelines.source import Endpoint, Instrument, Limit, Request, Source, VenueProblem
from pipelines.windows import Window

#: The venues of the emulator's vendors, chosen where the settings name none.
EMULATED = ("binance", "bybit")
#: The cost of a request, by the vendor's only limit.
WEIGHTS = {"requests": 1}


@dataclass(frozen=True)
class Vendor:
    """`venues`: our venues and the vendor's code for each; `endpoints` makes the endpoints for a code."""

    name: str
    base_url: str
    key_header: str
    limit: Limit
    venues: Mapping[str, str]
    error: Callable[[int, bytes], VenueProblem | None]
    instruments: Callable[[Any], list[Instrument]]
    endpoints: Callable[[str], Iterable[Endpoint]]

    def source(self, venue: str = "") -> Source:
        """The source for a venue; without one, that of the raw tables that all venues share."""
        return Source(
            name=self.name,
            venue=venue,
            base_url=self.base_url,
            limits={"requests": self.limit},
            error=self.error,
            parse_instruments=self.instruments,
            key_header=self.key_header,
            host=self.name,
            endpoints=tuple(_about(endpoint, venue) for endpoint in self.endpoints(self.venues.get(venue, ""))),
        )

    def expand(self, wanted: Sequence[str], origin: str) -> tuple[tuple[Source, ...], tuple[str, ...]]:
        """A source for each wanted venue, and a note for each venue that the vendor has no code for."""
        if not wanted and origin == "live":
            return (), (f"{self.name} is left out: name venues in the setting vendor_venues",)
        chosen = wanted or EMULATED
        unknown = [venue for venue in chosen if venue not in self.venues]
        notes = [f"{self.name} can't be read for {venue}; it can for {', '.join(self.venues)}" for venue in unknown]
        return tuple(self.source(venue) for venue in chosen if venue in self.venues), tuple(notes)


def _about(endpoint: Endpoint, venue: str) -> Endpoint:
    """An endpoint whose rows have the venue that they are about, as a column and as a part of their key."""

    def plan(instrument: Instrument, window: Window) -> Iterable[Request]:
        return (replace(r, context={**r.context, "venue": venue}) for r in endpoint.plan(instrument, window))

    instrument, *rest = endpoint.key
    return replace(endpoint, plan=plan, key=(instrument, "venue", *rest), context=(*endpoint.context, "venue"))
