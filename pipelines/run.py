"""One run, as fetch and load share it: settings, window, clock, landing, and a client for each source.

A warehouse and a landing belong to one market (`Settings.market`); a run never writes another market's.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import count
from urllib.parse import urlsplit

from pipelines import keys
from pipelines.client import Client
from pipelines.clock import Clock
from pipelines.errors import VenueError
from pipelines.landing import Entry, Landing
from pipelines.limits import File, Limiter, Store
from pipelines.page_tables import Decoded
from pipelines.registry import closed_at, source_rows
from pipelines.series_files import read_series
from pipelines.settings import Settings
from pipelines.shared_limits import Shared
from pipelines.source import Endpoint, Source, Stream
from pipelines.sources import get_source
from pipelines.windows import DAY, HOUR, Window, to_datetime, to_ms

#: The time in a run's id, UTC.
_ID = "%Y%m%dT%H%M%S%f"
#: The distance from the limit of a venue's history, in milliseconds: a request may take so long to arrive.
HISTORY_MARGIN_MS = 60_000


@dataclass(frozen=True)
class EmulatorInfo:
    """The URL of a running venue emulator, and the origin of its data (`synthetic; seed=7`)."""

    url: str
    origin: str


@dataclass
class Run:
    """One run. `emulator` is None where requests go to the venues, or where there are none (replay).

    `started` (milliseconds, UTC) is the time of observation of all its snapshots, so that a venue's snapshots can be joined.
    """

    settings: Settings
    window: Window
    clock: Clock
    emulator: EmulatorInfo | None
    id: str
    landing: Landing
    started: int
    #: Tables of the pages that this run has fetched, until they are loaded.
    decoded: Decoded
    #: By source, why its key was refused in this run: a source of several venues has one key for all of them.
    refused: dict[str, VenueError] = field(default_factory=dict)
    #: By source and endpoint, the windows of each symbol that are had elsewhere (in its archive): nothing is requested of them.
    had: Mapping[tuple[str, str], Mapping[str, Sequence[Window]]] = field(default_factory=dict)
    #: Numbers the run's pages as they come: of two that came at the same time, the later one counts.
    places: Iterator[int] = field(default_factory=count)

    @classmethod
    def begin(cls, settings: Settings, window: Window, clock: Clock, emulator: EmulatorInfo | None = None) -> Run:
        """A new run. Its id is the time at which it began, or sorts right after those in landing if the clock was set back."""
        landing = Landing(settings.landing_root, max_bytes=settings.landing_max_gb * 1e9)
        landing.run = run_id = _next_id(landing.runs(), datetime.now(UTC))
        landing.hold()
        decoded = Decoded(settings.memory_gb * 1e9 / 8)
        return cls(settings, window, clock, emulator, run_id, landing, clock.now(), decoded)

    @cached_property
    def collected(self) -> Mapping[str, Sequence[Entry]]:
        """By source, the segments of streams that landing has of the window."""
        found: dict[str, list[Entry]] = defaultdict(list)
        for entry in self.landing.collected(self.window):
            found[entry.source].append(entry)
        return found

    @property
    def origin(self) -> str:
        return self.emulator.origin if self.emulator else "live"

    def chosen_sources(self) -> tuple[list[Source], list[str]]:
        """The sources of this run, and a note for each one left out: its venue closed, or its key is missing or refused."""
        sources: list[Source] = []
        notes: list[str] = []
        live = self.settings.mode == "live" and not self.emulator
        for name in self.settings.sources:
            row = source_rows()[name]
            if live and (closed := closed_at(row.venue)) and not row.archive_of:
                day = f"{to_datetime(closed - DAY):%Y-%m-%d}"
                notes.append(
                    f"{name} is not fetched: {row.venue} closed on {day}. "
                    f"Load files in its format with `perps import {name} DATASET FILE …`"
                )
            elif live and (key := keys.missing(name)):
                notes.append(f"{name} is left out: set {key} to have {', '.join(row.datasets)} of {row.venue or name}")
            elif note := keys.cooldown_message(self.settings.folder, get_source(name), bool(self.emulator)):
                notes.append(note)
            elif row.venue is None:
                by_venue, more_notes = self.settings.expand_multi_venue(name)
                sources += by_venue
                notes += more_notes
            else:
                sources.append(get_source(name))
        return sources, notes

    def client(self, source: Source) -> Client:
        """A client for a source, at its venue or at the emulator."""
        settings, s3_endpoint = self.settings, None
        if not self.emulator and (host := settings.host_of(source.name)):
            source = replace(source, base_url=host + urlsplit(source.base_url).path, files_url="")
        base_url = source.base_url
        if self.emulator and base_url.startswith("s3://"):
            s3_endpoint = f"{self.emulator.url}/s3"
        elif self.emulator:
            base_url = f"{self.emulator.url}/{source.host or source.venue}"
        # An emulator's limits are its own; a venue's hold for all processes that ask from one address, whatever their home.
        limits: Store
        if settings.profile == "lake":
            limits = Shared(self.emulator.url if self.emulator else settings.address)
        else:
            limits = File((settings.folder if self.emulator else settings.state_folder) / "limits.sqlite")
        return Client(
            source,
            base_url,
            Limiter(limits, source.limit_pool, source.limits, settings.scale, host=urlsplit(base_url).netloc),
            self.clock,
            timeout=settings.timeout_seconds,
            tries=settings.tries,
            check_clock=bool(self.emulator) or not self.clock.frozen,
            s3_endpoint=s3_endpoint,
            key=keys.headers(source, bool(self.emulator)),
            most_bytes=int(max(settings.body_max_mb, source.body_mb) * 1e6),
        )

    def stream_url(self, source: Source, stream: Stream) -> str:
        """The address of a stream, at its venue or at the emulator."""
        host, path = urlsplit(stream.url)[1:3]
        if self.emulator:
            return f"{self.emulator.url.replace('http', 'ws', 1)}/{source.host or source.venue}{path}"
        return (self.settings.host_of(source.name, "wss") or f"wss://{host}") + path

    def refuse_key(self, source: Source, problem: VenueError) -> None:
        """Leave a source out from now on, for a while in later runs too."""
        if source.name not in self.refused:
            self.refused[source.name] = problem
            keys.refuse(self.settings.folder, source, bool(self.emulator), str(problem))

    def kept(self, endpoint: Endpoint, window: Window) -> Window:
        """The part of a window that can be requested now; of a live series of bars or points it begins with a whole hour.

        The emulator serves the whole of a recording, however old. A stream is heard once.
        """
        if endpoint.streamed:
            return window.before(window.start)
        if not endpoint.history_days or self.settings.recording or self.settings.market.startswith("recorded-"):
            return window
        edge = self.clock.now() - int(endpoint.history_days * DAY)
        if not self.clock.frozen or self.settings.market == "live":
            edge += HISTORY_MARGIN_MS
            edge = edge if endpoint.is_event else -(-edge // HOUR) * HOUR
        return window.after(edge)


def _next_id(runs: Sequence[str], now: datetime) -> str:
    """An id after all of these runs, but for those that a clock named that was more than a year ahead."""
    own, latest = (f"{at:{_ID}}" for at in (now, now + timedelta(days=366)))
    for stamp in sorted({run.partition("-")[0] for run in runs}, reverse=True):
        if own <= stamp < latest:
            with suppress(ValueError):  # it is none of a run
                own = f"{datetime.strptime(stamp, _ID) + timedelta(microseconds=1):{_ID}}"
                break
    return f"{own}-{secrets.token_hex(3)}"


def resolve_window_and_clock(settings: Settings, data_end: int | None = None) -> tuple[Window, Clock]:
    """The window and the clock that settings ask for.

    The clock is frozen at `as_of`, else at `data_end` (the end of a recording or of a landing, milliseconds); live it is real
    time. The synthetic market's stops at the last midnight, so that all runs of a day agree, unless the window ends later.
    The window of a recording begins with its first day, unless the settings name one or a number of days.
    Raises `ValueError` when the window ends before it starts, `SeriesError` for a recording that can't be read.
    """
    now = int(datetime.now(UTC).timestamp() * 1000)
    frozen = to_ms(settings.as_of.replace(tzinfo=settings.as_of.tzinfo or UTC)) if settings.as_of else data_end
    reference = now if frozen is None else frozen
    last = settings.last or to_datetime(reference // DAY * DAY - DAY).date()
    first = settings.first or last - timedelta(days=settings.days - 1)
    if settings.recording and not {"first", "days"} & settings.model_fields_set:
        first = min(last, to_datetime(read_series(settings.recording).start).date())
    if first > last:
        reason = "" if settings.last else f", the last that is over; `--to {first}` takes the day in progress too"
        raise ValueError(f"the first day {first} is after the last day {last}{reason}")
    window = Window.of_days(first, last)
    if frozen is None and settings.mode == "synthetic":
        frozen = now // DAY * DAY if window.end <= now else now
    return window, Clock(frozen)
