"""Time of a daily run by length of history: `perps run` for one more day, after 300 days and after 30.

The whole command is timed: emulator, imports, fetch, load, dbt, regimes, checks, publish, report. The two warehouses take turns,
so that other load on the machine slows both.

Alone: `python -m infra.bench --only history`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from statistics import median

#: The last day of history; the synthetic market does not depend on the time of the run.
LAST = date(2026, 3, 1)


def daily_seconds(histories: Sequence[int], days: int, options: Sequence[str] = ()) -> dict[int, float]:
    """By days of history: the median seconds of a run that adds one day, over `days` such runs."""
    with tempfile.TemporaryDirectory(prefix="perplake-bench-") as folder:
        homes = {history: Path(folder) / str(history) for history in histories}
        for history, home in homes.items():
            _run(home, LAST - timedelta(days=history - 1), LAST, options)
        took: dict[int, list[float]] = {history: [] for history in histories}
        for day in (LAST + timedelta(days=1 + n) for n in range(days)):
            for history, home in homes.items():
                took[history].append(_run(home, day, day, options))
    return {history: median(seconds) for history, seconds in took.items()}


def _run(home: Path, first: date, last: date, options: Sequence[str]) -> float:
    window = ["--from", f"{first}", "--to", f"{last}", "--as-of", f"{last + timedelta(days=1)}T00:00"]
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "assets.cli", "run", *window, "--home", str(home), *options],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"perps run {' '.join(window)} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return time.perf_counter() - begun
