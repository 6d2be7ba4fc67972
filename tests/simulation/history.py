"""A history of perplake in use, drawn from one seed: commands on a virtual clock, and what goes wrong in each.

Days of fetching and loading, hours of a day in progress, days that nobody ran, backfills, prunes, warehouses built again from
landing, two commands at once; with faults of the wire, of the disk, of single files, of the clock, and kills at any await or
write. From seed `RICHER` on also a machine whose clock jumps, values that a venue corrects later, imports of files, and a replay
at the end. `draw("17")` gives the same history for the same seed, `draw("17@3:5")` its steps 3 and 4 alone, `draw("17@3:5+9:10")`
step 9, too.
"""

from __future__ import annotations

import errno
import random
import signal
from dataclasses import dataclass, replace
from typing import Any

from infra.emulator.server import to_ms
from pipelines.windows import DAY, HOUR, to_datetime
from tests.whole import AS_OF, Point

#: Venues that are drawn: each pages, stamps and forgets in its own way.
VENUES = ("binance", "bybit", "hyperliquid", "kraken", "deribit", "dydx")
END = to_ms(AS_OF) // DAY * DAY
LONGEST_DAYS = 100
#: Histories of lower seeds are as they were when some of them were kept as tests.
RICHER = 300

#: Where a command is killed or stopped, and before or after which call at most: at any await of a fetch, at any of its writes,
#: between a load's statements.
PLACES = {
    "fetch": {
        "asyncio.events:Handle._run": 1500,
        "pipelines.landing:Landing.put": 12,
        "pipelines.landing:Landing.flush": 2,
        "pipelines.landing:_rename": 12,
    },
    "load": {
        "pipelines.warehouse:connect": 8,
        "pipelines.warehouse:mark_changed": 4,
        "dlt:Pipeline.extract": 2,
        "dlt:Pipeline.normalize": 2,
        "dlt:Pipeline.load": 2,
    },
    "import": {"pipelines.landing:Landing.put": 1, "pipelines.landing:_rename": 2},
}
#: Writes of landing that fail as on a disk that is full, read-only or broken.
WRITES = {"pipelines.landing:_write_draft": 12, "pipelines.landing:_rename": 12}
#: Faults of the wire after which the same venue may be asked at once again.
WIRE = ("429", "500", "html", "error_200", "missing_field", "unreadable_field", "new_field", "empty_page", "repeated_page",
        "overlapping_page", "truncated", "reset")  # fmt: skip


@dataclass(frozen=True)
class Step:
    """A command at a time of the virtual clock (milliseconds, UTC), and what goes wrong before and in it.

    `kind` is `fetch`, `load`, `prune`, `import` or `rebuild` (the warehouse is deleted before a load). `window` is in days,
    half-open. `damage` is done to one file of landing before it. `beside` is a second command, started at the same time. `skew`:
    by how many hours the machine's clock is ahead of the venue's.
    """

    kind: str
    now: int
    window: tuple[int, int] = (0, 0)
    faults: tuple[dict[str, Any], ...] = ()
    point: Point | None = None
    damage: str = ""
    beside: Step | None = None
    skew: int = 0
    refetch: bool = False

    @property
    def own_now(self) -> int:
        """The machine's clock."""
        return self.now + self.skew * HOUR

    @property
    def is_untrue(self) -> bool:
        """True if the venue sends other values than it does later."""
        return any(fault["kind"] == "other_value" for fault in self.faults)

    @property
    def arguments(self) -> list[str]:
        if self.kind == "prune":
            return ["prune", "--before", "2100-01-01"]  # runs are named by real time: all of them
        if self.kind in ("load", "rebuild"):
            return ["load"]
        first, last = (f"{to_datetime(t):%Y-%m-%d}" for t in (self.window[0], self.window[1] - DAY))
        again = ["--refetch"] if self.refetch else []
        return ["fetch", "--from", first, "--to", last, "--as-of", f"{to_datetime(self.own_now):%Y-%m-%dT%H:%M:%SZ}", *again]


@dataclass(frozen=True)
class History:
    """The steps of a seed; `window` is all that was ever asked for, in whole days that are over at the end.

    `replay` are the arguments of the command that makes a new warehouse from landing at the end, and what goes wrong in its first
    try: `load`, or the main job of Dagster.
    """

    seed: int
    venues: tuple[str, ...]
    assets: tuple[str, ...]
    window: tuple[int, int]
    steps: tuple[Step, ...]
    replay: tuple[str, Point | None] | None

    @property
    def whole(self) -> Step:
        """One fetch of everything, at the end, with nothing wrong."""
        return Step("fetch", self.window[1] + HOUR, self.window)

    def part(self, *ranges: tuple[int, int]) -> History:
        """The steps of these ranges alone, without a replay."""
        steps = tuple(step for first, end in ranges for step in self.steps[first:end])
        starts, ends = zip(*(step.window for step in steps if step.kind == "fetch"), strict=True)
        return replace(self, steps=steps, window=(min(starts), max(ends)), replay=None)


def draw(name: str) -> History:
    """The history of a seed, or a part of it."""
    seed, _, part = name.partition("@")
    history = _draw(int(seed))
    if not part:
        return history
    return history.part(*((int(first), int(end)) for first, end in (each.split(":") for each in part.split("+"))))


def _draw(seed: int) -> History:
    rng = random.Random(seed)
    venues = tuple(rng.sample(VENUES, rng.choice((1, 1, 2))))
    assets = ("BTC",) if rng.random() < 0.7 else ("BTC", "PEPE")
    days = rng.randint(15, LONGEST_DAYS)
    first = END - (days + 1) * DAY
    now = first + DAY
    steps: list[Step] = []
    while now < END - DAY:
        kind = rng.choices(("daily", "hourly", "absent", "backfill", "prune", "rebuild"), (50, 15, 15, 10, 4, 6))[0]
        if kind == "hourly":
            now += rng.randint(1, 20) * HOUR
            today = now // DAY * DAY
            steps += [_wrong(rng, Step("fetch", now, (max(first, today - DAY), today + DAY))), _wrong(rng, Step("load", now))]
            continue
        if kind == "prune":
            steps.append(Step("prune", now))
            continue
        if kind == "rebuild":
            steps.append(_wrong(rng, Step("rebuild", now)))
            continue
        now = min(now // DAY * DAY + rng.randint(2 if kind == "absent" else 1, 12 if kind == "absent" else 1) * DAY, END)
        start = rng.randrange(first, now, DAY) if kind == "backfill" else now - DAY
        fetch = _wrong(rng, Step("fetch", now + HOUR, (start, now)))
        if rng.random() < 0.1:
            fetch = replace(fetch, beside=Step("fetch", now + HOUR, (max(first, now - 2 * DAY), now)))
        steps.append(fetch)
        if rng.random() < 0.8:
            steps.append(_wrong(rng, Step("load", now + HOUR)))
    replay = None
    if seed >= RICHER:
        steps, replay = _richer(rng, steps), (rng.choice(("load", "load", "run")), _wrong(rng, Step("load", END)).point)
    return History(seed, venues, assets, (first, END), tuple(steps), replay)


def _richer(rng: random.Random, steps: list[Step]) -> list[Step]:
    """The steps, some with a clock that is wrong or values that a later step corrects, and imports between them."""
    richer: list[Step] = []
    due: list[Step] = []  # corrections
    for step in steps:
        kind = rng.choices(("", "clock", "correction", "import"), (70, 12, 12, 6))[0]
        fetches = step.kind == "fetch" and step.beside is None
        if kind == "clock" and fetches:
            step = replace(step, skew=rng.choice((-26, -3, -1, 1, 3, 26)))
        elif kind == "correction" and fetches:
            faults = [{"kind": "other_value", "times": rng.randint(1, 4), "after": rng.randint(0, 6), "row": rng.randint(0, 30)}]
            step = replace(step, faults=tuple(faults), point=None)
            due.append(Step("fetch", step.now, step.window, refetch=True))
        elif kind == "import":
            richer.append(_wrong(rng, Step("import", step.now)))
        richer.append(step)
        if due and rng.random() < 0.25:
            richer.append(replace(due.pop(0), now=step.now))
    return richer


def _wrong(rng: random.Random, step: Step) -> Step:
    """The step with a fault, or as it is."""
    kind = rng.choices(("", "wire", "kill", "stop", "disk", "file"), (45, 20, 15, 5, 8, 7))[0]
    changes: dict[str, Any] = {}
    if kind == "wire":
        changes["faults"] = tuple(_fault(rng) for _ in range(rng.randint(1, 3)))
    elif kind in ("kill", "stop"):
        places = PLACES.get(step.kind, PLACES["load"])
        place = rng.choice(tuple(places))
        number = signal.SIGKILL if kind == "kill" else signal.SIGINT
        changes["point"] = Point(kind, place, rng.randint(1, places[place]), rng.random() < 0.5, number)
    elif kind == "disk" and step.kind == "fetch":
        place = rng.choice(tuple(WRITES))
        reason = rng.choice((errno.ENOSPC, errno.EROFS, errno.EIO))
        changes["point"] = Point(kind, place, rng.randint(1, WRITES[place]), error=reason)
    elif kind == "file":
        changes["damage"] = rng.choice(("torn", "flipped", "empty"))
    return replace(step, **changes)


def _fault(rng: random.Random) -> dict[str, Any]:
    fault: dict[str, Any] = {"kind": rng.choice(WIRE), "times": rng.randint(1, 4), "after": rng.randint(0, 6)}
    return fault | ({"retry_after": 0.1} if fault["kind"] == "429" else {})
