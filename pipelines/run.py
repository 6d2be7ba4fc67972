"""What fetch and load share in one run: settings, the market, the clock, the window, landing, and where venues are found.

A run never writes another market's warehouse or landing: both belong to one market (`Settings.market`).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from pipelines import keys
from pipelines.client import Client
from pipelines.clock import Clock
from pipelines.landing import Landing
from pipelines.limits import Limiter
from pipelines.registry import closed_at, source_rows
from pipelines.settings import Settings
from pipelines.source import Source
from pipelines.sources import get_source
from pipelines.windows import DAY, Window, to_datetime, to_ms


@dataclass(frozen=True)
class EmulatorInfo:
    """A running venue emulator: its URL, and what it says that its data are (`synthetic; seed=7`)."""

    url: str
    origin: str


@dataclass
class Run:
    """One run. `emulator` is None where the venues themselves are asked, or nobody (replay).

    `started` (milliseconds, UTC) is the one moment that all its snapshots are observed at, so that those of one venue join.
    """

    settings: Settings
    window: Window
    clock: Clock
    emulator: EmulatorInfo | None
    id: str
    landing: Landing
    started: int

    @classmethod
    def begin(cls, settings: Settings, window: Window, clock: Clock, emulator: EmulatorInfo | None = None) -> Run:
        """A new run with an id that sorts by time."""
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
        landing = Landing(settings.landing_root, name, settings.landing_max_gb * 1e9)
        return cls(settings, window, clock, emulator, name, landing, clock.now())

    @property
    def origin(self) -> str:
        return self.emulator.origin if self.emulator else "live"

    def chosen_sources(self) -> tuple[list[Source], list[str]]:
        """The sources of this run, and a line for each that is left out because its key is missing or was refused."""
        rows = source_rows()
        found: list[Source] = []
        left_out: list[str] = []
        for name in self.settings.sources:
            row, live = rows[name], self.settings.mode == "live" and not self.emulator
            if live and (closed := closed_at(row.venue)):
                day = f"{to_datetime(closed - DAY):%Y-%m-%d}"
                left_out.append(
                    f"{name} is not asked: {row.venue} closed on {day}. "
                    f"Files in its format are loaded after `perps import {name} DATASET FILE …`"
                )
            elif live and (key := keys.missing(name)):
                of = row.venue or name
                left_out.append(f"{name} is left out: set {key} to have {', '.join(row.datasets)} of {of}")
            elif line := keys.cooldown_message(self.settings.folder, get_source(name), bool(self.emulator)):
                left_out.append(line)
            elif row.venue is None:
                several, lines = self.settings.expand_multi_venue(name)
                found += several
                left_out += lines
            else:
                found.append(get_source(name))
        return found, left_out

    def client(self, of: Source) -> Client:
        """A client for a source, at the venue or at the emulator in its place."""
        settings = self.settings
        at: Mapping[str, str | None] = {"base_url": of.base_url, "s3_endpoint": None}
        if self.emulator:
            s3 = of.base_url.startswith("s3://")
            at = {
                "base_url": of.base_url if s3 else f"{self.emulator.url}/{of.host or of.venue}",
                "s3_endpoint": f"{self.emulator.url}/s3" if s3 else None,
            }
        # Each emulator counts on its own; the venues count for the whole machine.
        limits = settings.folder / "limits.sqlite" if self.emulator else settings.home / "limits.sqlite"
        return Client(
            of,
            at["base_url"] or "",
            # By host: two categories of one venue spend from the same limits.
            Limiter(limits, urlsplit(of.base_url).netloc, of.limits, settings.scale),
            self.clock,
            timeout=settings.timeout_seconds,
            tries=settings.tries,
            check_clock=bool(self.emulator) or not self.clock.frozen,
            s3_endpoint=at["s3_endpoint"],
            key=keys.headers(of, bool(self.emulator)),
        )

    def refuse_key(self, of: Source, said: str) -> None:
        """Leave a source alone for a while, in later runs too."""
        keys.refuse(self.settings.folder, of, bool(self.emulator), said)

    @property
    def history_is_limited(self) -> bool:
        """Whether history limits hold. A recording is served whole, however long ago it ends."""
        return not self.settings.recording


def resolve_window_and_clock(settings: Settings, stands: int | None = None) -> tuple[Window, Clock]:
    """The window and the clock that settings ask for.

    The clock is `as_of`; else where the data stand (`stands`: the end of a recording or of a landing); else, live, real time,
    and for the synthetic market the last midnight, so that all of a day's runs agree (unless today itself is asked for).
    Raises `ValueError` when the window ends before it starts.
    """
    real = int(datetime.now(UTC).timestamp() * 1000)
    told = to_ms(settings.as_of.replace(tzinfo=settings.as_of.tzinfo or UTC)) if settings.as_of else stands
    reference = real if told is None else told
    last = settings.last or to_datetime(reference // DAY * DAY - DAY).date()
    first = settings.first or last - timedelta(days=settings.days - 1)
    if first > last:
        raise ValueError(f"the first day {first} is after the last day {last}")
    window = Window.of_days(first, last)
    if told is None and settings.mode == "synthetic":
        told = real // DAY * DAY if window.end <= real else real
    return window, Clock(told)
