"""Rate limits shared by every process on the machine: a sliding window per source and limit, kept in one SQLite file.

A venue counts in windows whose edges we can't see, and a request arrives later than it was allowed. So we allow 97 % of the
documented weight in the documented time plus a second: no window of the venue's can then hold more than its limit.
Alone: `await Limiter(path, source.name, source.limits).acquire({"weight": 10})`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pyrate_limiter import Limiter as Window
from pyrate_limiter import Rate, SQLiteBucket

from pipelines.source import Limit

SHARE = 0.97
SLACK_MS = 1000


class Limiter:
    """The limits of one source. `scale` multiplies them, as it does the emulator's."""

    def __init__(self, path: Path, source: str, limits: Mapping[str, Limit], scale: float = 1.0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._most = {name: max(1, int(limit.weight * scale * SHARE)) for name, limit in limits.items()}
        self._windows = {
            name: Window(
                SQLiteBucket.init_from_file(
                    [Rate(self._most[name], limit.seconds * 1000 + SLACK_MS)],
                    table=f"{source}_{name}",
                    db_path=str(path),
                    use_file_lock=True,
                )
            )
            for name, limit in limits.items()
        }

    async def acquire(self, weights: Mapping[str, int]) -> None:
        """Wait until the request may be sent; one that weighs more than a (scaled down) limit takes the whole of it."""
        for name, weight in weights.items():
            await self._windows[name].try_acquire_async(name, weight=min(weight, self._most[name]))

    def close(self) -> None:
        for window in self._windows.values():
            window.close()
