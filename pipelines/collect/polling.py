"""Polling: what venues state and don't keep, asked each `poll_seconds` by the same requests as a fetch, into the spool.

Each source has a round of its own, at whole multiples of `poll_seconds`, so that one that fails or is slow stops no other; a
round that takes longer than that leaves the next one out. Two collectors' answers of a round have one time, and give one row.
Limits and pauses are those of the client: during a venue's ban nothing is sent. Of the assets in the settings; where a round of
all their instruments would take more of a limit than `SHARE`, those of the default assets are asked in each, the others in turn.
Nothing to run alone: `collector` has a poller for each source.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from pipelines.collect.listener import listed
from pipelines.errors import LandingFull, VenueError
from pipelines.fetch import poll
from pipelines.landing import Entry
from pipelines.reading import Unreadable
from pipelines.run import Run
from pipelines.settings import Settings
from pipelines.source import Endpoint, Instrument, Source

log = logging.getLogger("perplake.collect")

#: How spooled lines name pages, which no stream is called.
PAGES = "pages"
#: Seconds between two looks at the list of instruments.
LISTING_SECONDS = 3600.0
#: Of a limit, what the requests by instrument of one endpoint may use, over all sources that share it; the rest is for what else
#: is polled, and for runs.
SHARE = 0.5
#: The assets that are asked in each round where others are asked in turn: those that are traded most.
FIRST = frozenset(Settings.model_fields["assets"].default)


class PageLine(msgspec.Struct):
    """A page in the spool."""

    entry: Entry
    body: bytes


class Poller:
    """One source. `put` adds a line to the spool, and is False where there is no room; `sharing` sources share its limits."""

    def __init__(self, run: Run, source: Source, put: Callable[[bytes], bool], sharing: int = 1) -> None:
        self.run, self.source, self._put, self._sharing = run, source, put, sharing
        self.seconds = run.settings.poll_seconds
        self.instruments: list[Instrument] = []
        self.rounds = self.pages = self.failures = 0
        #: When the last round began, in milliseconds; when one without a failure did, by the machine's own clock.
        self.last_round = 0
        self.last_problem = ""
        #: By endpoint, how many instruments the last round asked about, where these were not all.
        self._in_turn: dict[str, int] = {}
        self._whole_at = self._listed_at = float("-inf")

    @property
    def is_polled(self) -> bool:
        """True while rounds are answered whole: the last one was, and it is no more than two rounds and half a minute old."""
        return not self.last_problem and time.monotonic() - self._whole_at < 3 * self.seconds + 30

    def state(self) -> dict[str, Any]:
        """How it goes, in plain values."""
        return {
            "polled": self.is_polled,
            "instruments": len(self.instruments),
            "in_turn": self._in_turn,
            "rounds": self.rounds,
            "pages": self.pages,
            "failures": self.failures,
            "last_round": self.last_round,
            "last_problem": self.last_problem,
        }

    async def poll(self) -> None:
        """Poll for ever."""
        while True:
            begun = time.monotonic()
            problems = await self._round()
            self.rounds += 1
            self.failures += len(problems)
            if not problems:
                self._whole_at = begun
            self._tell(problems)
            # A sleep may end some milliseconds early, which is no round of its own.
            await asyncio.sleep((int(time.time() / self.seconds + 0.01) + 1) * self.seconds - time.time())

    async def _round(self) -> list[str]:
        """One round; what failed of it."""
        self.last_round = on_time(self.run.clock.now(), self.seconds)
        try:
            if time.monotonic() - self._listed_at > LISTING_SECONDS:
                self.instruments = await self._chosen()
                self._listed_at = time.monotonic()
            if not self.instruments:  # of a list of all instruments, those of no one would be all
                return []
            now = replace(self.run, started=self.last_round)
            result = await poll(now, self.source, self.instruments, self._page, self.turns())
        except (VenueError, Unreadable, LandingFull, OSError, ValueError) as problem:
            return [str(problem)]
        self.pages += len(result.entries)
        return list(map(str, result.failures))

    def turns(self) -> dict[str, list[Instrument]]:
        """By endpoint, the instruments that it is asked about in this round, where it is asked by instrument."""
        turns, trading = {}, [i for i in self.instruments if i.trading]
        for endpoint in self.source.polled if trading else ():
            if endpoint.bulk:
                continue
            most = self._most(endpoint, trading[0])
            first = [i for i in trading if i.base_asset in FIRST]
            if 2 * len(first) > most:
                first = []
            others, room = [i for i in trading if not first or i.base_asset not in FIRST], most - len(first)
            if room < len(others):
                begin = self.rounds * room % len(others)
                others = (others + others)[begin : begin + room]
            turns[endpoint.name] = first + others
        self._in_turn = {name: len(turn) for name, turn in turns.items() if len(turn) < len(trading)}
        return turns

    def _most(self, endpoint: Endpoint, instrument: Instrument) -> int:
        """How many requests of an endpoint a round may have."""
        of_round = self.seconds * self.run.settings.scale * SHARE / self._sharing
        [request, *_] = endpoint.plan(instrument, self.run.window)
        limits = [(self.source.limits[name], cost) for name, cost in request.weights.items()]
        return max(1, int(min(limit.weight / limit.seconds * of_round / cost for limit, cost in limits)))

    async def _chosen(self) -> list[Instrument]:
        wanted = self.run.settings.assets
        return [i for i in await listed(self.run, self.source) if "all" in wanted or i.base_asset in wanted]

    def _page(self, entry: Entry, body: bytes) -> None:
        if not self._put(msgspec.json.encode(PageLine(entry, body))):
            raise LandingFull("the spool has no room: free the disk, or landing, which takes what is in the spool")

    def _tell(self, problems: list[str]) -> None:
        """Log a problem once: a ban of hours is one line, however its end is written."""
        problem = "; ".join(problems[:3]) + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")
        if _words(problem) != _words(self.last_problem):
            if problem:
                log.error("%s is not polled whole: %s; the next round asks again", self.source.name, problem)
            else:
                log.info("%s is polled whole again", self.source.name)
        self.last_problem = problem


def on_time(now: int, seconds: float) -> int:
    """The whole multiple of `seconds` that a round stands for, in milliseconds; `now` where it is more than a second from one.

    So the rounds of two collectors have one time, and one row.
    """
    period = int(seconds * 1000)
    due = round(now / period) * period
    return due if abs(now - due) < min(1000, period / 10) else now


def _words(text: str) -> str:
    return re.sub(r"[\d:.-]+", "", text)
