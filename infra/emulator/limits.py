"""Rate limits as the venues count them: weight in fixed windows of the calendar, by the wall clock.

Each request is charged after its answer is known (some weights depend on the rows sent) and refused when its window is full;
refused requests count too. Where the venue bans, a client that goes on after `patience` refusals is out for `BAN_SECONDS`.
Alone: `Limits({"weight": (2400, 60)}, scale=1).charge({"weight": 5})`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from infra.emulator.messages import Usage

BAN_SECONDS = 120


class Limits:
    """The limits of one venue; `scale` multiplies each. `clock` gives seconds."""

    def __init__(
        self,
        limits: Mapping[str, tuple[int, int]],
        scale: float = 1.0,
        patience: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._limits = {name: (max(1, int(weight * scale)), seconds) for name, (weight, seconds) in limits.items()}
        self._patience, self._clock = patience, clock
        self._used: dict[str, tuple[int, int]] = {}  # name: (number of the window, weight used in it)
        self._refused = 0
        self._banned_until = 0.0

    @property
    def banned(self) -> bool:
        return self._clock() < self._banned_until

    def charge(self, charges: Mapping[str, int]) -> Usage | None:
        """Count the request; the limit that it breaks, or None."""
        broken = None
        for name, weight in charges.items():
            limit, seconds = self._limits[name]
            window = int(self._clock() // seconds)
            number, used = self._used.get(name, (window, 0))
            used = (used if number == window else 0) + weight
            self._used[name] = (window, used)
            if used > limit:
                broken = self.usage(name)
        if broken is None:
            self._refused = 0
        else:
            self._refused += 1
            if self._patience is not None and self._refused > self._patience:
                self._banned_until = self._clock() + BAN_SECONDS
        return broken

    def usage(self, name: str) -> Usage:
        limit, seconds = self._limits[name]
        now = self._clock()
        window = int(now // seconds)
        number, used = self._used.get(name, (window, 0))
        ends = (window + 1) * seconds
        return Usage(name, used if number == window else 0, limit, ends - now, ends * 1000)

    def usages(self) -> list[Usage]:
        return [self.usage(name) for name in self._limits]
