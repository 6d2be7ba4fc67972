"""The venues that the emulator speaks as: one module a source, found by itself. Each has its `Venue` as `VENUE`."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module

from infra.emulator.store import Profile
from infra.emulator.venue import Venue


@cache
def venues() -> tuple[type[Venue], ...]:
    """The venue of every module of this folder, by the modules' names."""
    return tuple(import_module(f"{__name__}.{module.name}").VENUE for module in pkgutil.iter_modules(__path__))


def profiles() -> dict[str, Profile]:
    """The markets that are part of the synthetic market, by name."""
    own = {venue.name: venue.profile for venue in venues() if venue.profile}
    return own | {name: profile for venue in venues() for name, profile in venue.beside.items()}
