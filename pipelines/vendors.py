"""What the sources of data vendors share: a vendor is a second source for venues that have a source of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pipelines.source import Source

#: The venues of the emulator's vendors, chosen where the settings name none.
EMULATED = ("binance", "bybit")


def second_sources(
    name: str, codes: Mapping[str, str], make: Callable[[str, str], Source], wanted: Sequence[str], origin: str
) -> tuple[tuple[Source, ...], tuple[str, ...]]:
    """A source for each wanted venue by the vendor's code for it, and a note for each venue without a code."""
    if not wanted and origin == "live":
        return (), (f"{name} is left out: name venues in the setting vendor_venues",)
    chosen = wanted or EMULATED
    notes = [f"{name} can't be read for {v}; it can for {', '.join(codes)}" for v in chosen if v not in codes]
    return tuple(make(venue, codes[venue]) for venue in chosen if venue in codes), tuple(notes)
