"""The clock of a run, used for windows, freshness, history limits and snapshots.

`Clock(None)` is real time. `Clock(as_of)` is frozen: recorded, replayed and synthetic runs give the same rows at any time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Clock:
    """Milliseconds since the epoch, UTC; frozen at `as_of` where it is given."""

    as_of: int | None = None

    def now(self) -> int:
        return self.as_of if self.as_of is not None else int(time.time() * 1000)

    @property
    def frozen(self) -> bool:
        return self.as_of is not None
