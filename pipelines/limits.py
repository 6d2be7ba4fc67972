"""Rate limits shared by all processes on the machine: the weight spent lately, by host and limit, in one SQLite file.

A venue counts in windows whose edges are unknown, and a request arrives later than it was sent. So 97 % of the documented weight
is allowed in the documented time plus a second, sliding: no window of the venue's can then exceed its limit.

Written here because it is cheap (0.1 ms a request): pyrate-limiter 4.5, which can share limits between processes too, keeps a row
per unit of weight and counts them, 1 to 2.6 ms a request and a quarter of a backfill's processor time.
Alone: `await Limiter(path, "api.bybit.com", source.limits).acquire({"weight": 10})`.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path

from pipelines.source import Limit

SHARE = 0.97
SLACK_MS = 1000
#: Spent weight is summed in slots of this many seconds, which keeps the table at a few thousand rows.
SLOT = 0.05

_SPENT = "CREATE TABLE IF NOT EXISTS spent (name TEXT, slot INTEGER, weight REAL, PRIMARY KEY (name, slot)) WITHOUT ROWID"
_SPEND = "INSERT INTO spent VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET weight = weight + excluded.weight"


class Limiter:
    """The limits of one host. `scale` multiplies them, as it does the emulator's."""

    def __init__(self, path: Path, host: str, limits: Mapping[str, Limit], scale: float = 1.0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._limits = {
            name: (f"{host}.{name}", max(1, int(limit.weight * scale * SHARE)), limit.seconds + SLACK_MS / 1000)
            for name, limit in limits.items()
        }
        self._db = sqlite3.connect(path, timeout=60, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")  # nothing of value is lost in a power cut
        self._db.execute(_SPENT)

    async def acquire(self, weights: Mapping[str, int]) -> None:
        """Wait until a request may be sent, and count it. One that weighs more than a (scaled down) limit uses all of it."""
        for name, weight in weights.items():
            while wait := self._spend(*self._limits[name], weight):
                await asyncio.sleep(wait)

    def _spend(self, key: str, allowed: int, window: float, weight: float) -> float:
        """Spend the weight and return 0, or return the seconds until the next try."""
        weight = min(weight, allowed)
        self._db.execute("BEGIN IMMEDIATE")
        with self._db:
            now = time.time()
            self._db.execute("DELETE FROM spent WHERE name = ? AND slot < ?", (key, int((now - window) / SLOT) - 1))
            (spent,) = self._db.execute("SELECT total(weight) FROM spent WHERE name = ?", (key,)).fetchone()
            over = spent + weight - allowed
            if over <= 0:
                self._db.execute(_SPEND, (key, int(now / SLOT), weight))
                return 0.0
            for slot, freed in self._db.execute("SELECT slot, weight FROM spent WHERE name = ? ORDER BY slot", (key,)):
                over -= freed
                if over <= 0:
                    return float(max(SLOT, (slot + 2) * SLOT + window - now))
        return window

    def close(self) -> None:
        self._db.close()
