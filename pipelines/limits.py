"""Rate limits and pauses shared by all processes on the machine: one SQLite file with the weight spent lately and the pauses. All
machines of a lake share them, in the catalog's database (`pipelines.shared_limits`).

Both belong to a pool: what a venue counts together, mostly a host, sometimes several (`Source.pool`); a refused region is of one
host. A venue counts in windows whose edges are unknown, and a request arrives later than it was sent. So 97 % of the documented
weight is allowed in the documented time plus a second, sliding: no window of the venue's can then exceed its limit. A pause is
what a venue asked for: nothing is sent to the pool until it is over, in this process, in others, and in later runs.

Written here because it is cheap (0.1 ms a request): pyrate-limiter 4.5, which can share limits between processes too, keeps a row
per unit of weight and counts them, 1 to 2.6 ms a request and a quarter of a backfill's processor time.
Alone: `await Limiter(File(path), "api.bybit.com", source.limits).acquire({"weight": 10})`.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pipelines.locks import moment
from pipelines.source import Limit

SHARE = 0.97
SLACK_MS = 1000
#: No venue asks for a longer pause, in seconds: a longer one is of a damaged file.
LONGEST_PAUSE = 31 * 86_400
#: A program of perplake holds the file for milliseconds.
LOCKED_SECONDS = 10.0
#: Spent weight is summed in slots of this many seconds, which keeps the table at a few thousand rows.
SLOT = 0.05

#: In the SQL of SQLite and PostgreSQL.
TABLES = (
    "CREATE TABLE IF NOT EXISTS spent (name TEXT, slot BIGINT, weight DOUBLE PRECISION, PRIMARY KEY (name, slot))",
    "CREATE TABLE IF NOT EXISTS pauses"
    " (pool TEXT PRIMARY KEY, since DOUBLE PRECISION, until DOUBLE PRECISION, problem TEXT, remedy TEXT)",
)
_SPEND = "INSERT INTO spent VALUES (?, ?, ?) ON CONFLICT (name, slot) DO UPDATE SET weight = spent.weight + excluded.weight"
_PAUSE = (
    "INSERT INTO pauses VALUES (?, ?, ?, ?, ?) ON CONFLICT (pool) DO UPDATE SET {} WHERE excluded.until > pauses.until".format(
        ", ".join(f"{name} = excluded.{name}" for name in ("since", "until", "problem", "remedy"))
    )
)
_LATELY = "FROM spent WHERE name = ? AND slot BETWEEN ? AND ?"
#: Weight that counts no more is deleted at most once in so many seconds.
DELETED_EVERY = 1.0

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Pause:
    """Nothing is sent to a pool for so many more seconds, because of this problem."""

    seconds: float
    problem: str
    remedy: str


class Store(Protocol):
    """Where weights and pauses are. Raises `OSError` with a remedy where it can't be used: nothing may be sent uncounted."""

    @contextmanager
    def transaction(self, pool: str, alone: bool = True) -> Iterator[float]:
        """Read and write as the only one who does so of a pool, or with `alone` false only read; the time, in seconds."""
        ...

    def rows(self, sql: str, values: Sequence[object] = ()) -> Rows:
        """The rows of one statement, whose values are question marks."""
        ...

    def close(self) -> None: ...


class Limiter:
    """The limits of one pool. `scale` multiplies them, as it does the emulator's.

    `host` is the one of the pool's hosts that is asked: a pause may be of it alone.
    """

    def __init__(self, store: Store, pool: str, limits: Mapping[str, Limit], scale: float = 1.0, host: str = "") -> None:
        self._store, self._pool, self._host = store, pool, f"{pool} at {host}"
        self._limits = {
            name: (f"{pool}.{name}", max(1, int(limit.weight * scale * SHARE)), limit.seconds + SLACK_MS / 1000)
            for name, limit in limits.items()
        }
        #: By limit: the weight of its last window, by all processes, when this one last sent.
        self.counted = dict.fromkeys(limits, 0.0)
        self._deleted = 0.0

    async def acquire(self, weights: Mapping[str, int]) -> None:
        """Wait until a request may be sent, and count it."""
        while wait := self.spend(weights):
            await asyncio.sleep(wait)

    def spend(self, weights: Mapping[str, int]) -> float:
        """Count a request and return 0, or count nothing and return the seconds until the next try.

        A weight greater than a (scaled down) limit uses all of it.
        """
        with self._store.transaction(self._pool) as now:
            if pause := self._pause(now):
                return pause.seconds
            self._delete(now)
            spent = {name: self._spent(name, now) for name in weights}
            wait = max((self._wait(name, spent[name], weight, now) for name, weight in weights.items()), default=0.0)
            if not wait:
                slot = int(now / SLOT)
                for name, weight in weights.items():
                    key, allowed, _ = self._limits[name]
                    self._store.rows(_SPEND, (key, slot, float(min(weight, allowed))))
                    self.counted[name] = spent[name] + min(weight, allowed)
            return wait

    def _slots(self, name: str, now: float) -> tuple[str, int, int]:
        """A limit's key, and its first and last slot that count. Slots of the future are of a clock that was set back since."""
        key, _, window = self._limits[name]
        return key, int((now - window) / SLOT) - 1, int((now + SLACK_MS / 1000) / SLOT)

    def _spent(self, name: str, now: float) -> float:
        return float(self._store.rows(f"SELECT coalesce(sum(weight), 0) {_LATELY}", self._slots(name, now))[0][0])

    def _wait(self, name: str, spent: float, weight: float, now: float) -> float:
        """The seconds until so much weight can be spent; 0 if it can be now."""
        _, allowed, window = self._limits[name]
        over = spent + min(weight, allowed) - allowed
        if over <= 0:
            return 0.0
        for slot, freed in self._store.rows(f"SELECT slot, weight {_LATELY} ORDER BY slot", self._slots(name, now)):
            over -= freed
            if over <= 0:
                return float(max(SLOT, (slot + 2) * SLOT + window - now))
        return window

    def _delete(self, now: float) -> None:
        """Delete the weight that counts no more."""
        if abs(now - self._deleted) >= DELETED_EVERY:
            self._deleted = now
            for name in self._limits:
                self._store.rows("DELETE FROM spent WHERE name = ? AND slot NOT BETWEEN ? AND ?", self._slots(name, now))

    def pause(self, seconds: float, problem: str, remedy: str = "", of_host: bool = False) -> None:
        """Send nothing to the pool, or to its host alone, for so long; a pause never shortens another."""
        with self._store.transaction(self._pool) as now:
            self._store.rows(_PAUSE, (self._host if of_host else self._pool, now, now + seconds, problem, remedy))

    def paused(self) -> Pause | None:
        """What is left of the pause of the pool or of the host, the longer one."""
        with self._store.transaction(self._pool, alone=False) as now:
            return self._pause(now)

    def _pause(self, now: float) -> Pause | None:
        sql = "SELECT since, until, problem, remedy FROM pauses WHERE pool IN (?, ?) ORDER BY until DESC"
        for since, until, problem, remedy in self._store.rows(sql, (self._pool, self._host)):
            if since - SLACK_MS / 1000 <= now < until and until - since <= LONGEST_PAUSE:
                return Pause(until - now, problem, remedy)
        return None

    def close(self) -> None:
        self._store.close()


class File:
    """A SQLite file, for the processes of one machine; `clock` gives seconds."""

    def __init__(self, path: Path, clock: Callable[[], float] = lambda: time.time()) -> None:
        self._path, self._clock = path, clock
        path.parent.mkdir(parents=True, exist_ok=True)
        with moment(Path(f"{path}.lock")):  # two first runs at once: SQLite refuses one of them to change the journal
            try:
                self._db = _open(path)
            except (sqlite3.DatabaseError, UnicodeDecodeError) as problem:  # an error can quote damaged text
                if isinstance(problem, sqlite3.OperationalError):  # locked, or not to be written
                    message = f"{path} can't be used ({problem}): make it writable, or name another folder by PERPLAKE_STATE"
                    raise ValueError(message) from None
                for part in ("", "-wal", "-shm"):  # damaged: begin anew
                    Path(f"{path}{part}").unlink(missing_ok=True)
                self._db = _open(path)

    @contextmanager
    def transaction(self, pool: str, alone: bool = True) -> Iterator[float]:
        try:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE" if alone else "BEGIN")
                yield self._clock()
        except sqlite3.Error as problem:
            remedy = f"end what locks it (`fuser {self._path}`), free room, or name another folder by PERPLAKE_STATE"
            raise OSError(f"{self._path} can't be used ({problem}): {remedy}") from None

    def rows(self, sql: str, values: Sequence[object] = ()) -> Rows:
        return self._db.execute(sql, values).fetchall()

    def close(self) -> None:
        self._db.close()


def _open(path: Path) -> sqlite3.Connection:
    """The file, with its tables. Raises `sqlite3.DatabaseError` where it is damaged."""
    db = sqlite3.connect(path, timeout=LOCKED_SECONDS, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = OFF")  # what is lost in a power cut is the weight of the last minutes
        for statement in TABLES:
            db.execute(f"{statement} WITHOUT ROWID")
        if db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",) or not _has_tables(db):
            raise sqlite3.DatabaseError("the file is damaged")
        db.text_factory = lambda text: text.decode(errors="replace")
    except BaseException:
        db.close()
        raise
    return db


def _has_tables(db: sqlite3.Connection) -> bool:
    """True if the tables are as they were made, in a file whose structure is whole."""
    made = sqlite3.connect(":memory:")
    for statement in TABLES:
        made.execute(statement)
    columns = "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c ORDER BY 1, c.cid"
    same = db.execute(columns).fetchall() == made.execute(columns).fetchall()
    made.close()
    return same
