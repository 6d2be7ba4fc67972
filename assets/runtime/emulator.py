"""The venue emulator as a child process, started for a run on synthetic or recorded data and stopped with it.

Alone: `python -m infra.emulator`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from pipelines.run import EmulatorInfo
from pipelines.series_files import read_series
from pipelines.settings import Settings
from pipelines.windows import iso, to_ms

START_SECONDS = 60
#: Days of its past that the synthetic market serves by default.
HISTORY_DAYS = 400


@dataclass(frozen=True)
class RunningEmulator:
    """A running emulator and its clock: milliseconds UTC where the clock is fixed, None where it runs with real time.

    `notes` say what a recording, or a replayed landing, left out. `stop` ends the process of one that was started here.
    """

    emulator: EmulatorInfo
    clock: int | None
    notes: tuple[str, ...] = ()
    stop: Callable[[], None] = lambda: None


def attach(url: str) -> RunningEmulator:
    """Read the origin and the clock of a running emulator. Raises `ConnectionError` where none answers."""
    try:
        with urllib.request.urlopen(f"{url}/admin/health", timeout=10) as response:
            health = json.load(response)
    except OSError as problem:
        raise ConnectionError(f"no emulator answers at {url} ({problem}); start one with `python -m infra.emulator`") from None
    clock = to_ms(datetime.fromisoformat(health["clock"])) if health.get("fixed", True) else None
    return RunningEmulator(EmulatorInfo(url, health["origin"]), clock, tuple(health.get("notes", ())))


@contextmanager
def emulator(
    settings: Settings, as_of: int | None, days: int = HISTORY_DAYS, meanwhile: Callable[[], object] = lambda: None
) -> Iterator[RunningEmulator]:
    """The emulator that the settings name, or a new one on a free loopback port until the block ends.

    `as_of` (milliseconds, UTC) fixes its clock; without it a recording's clock is fixed at its end and the synthetic market's
    runs with real time. `days` is how much of its past the synthetic market serves: each day takes time to generate.
    `meanwhile` is called once a new one starts, which takes a second.
    Raises `SeriesError` for a recording that can't be read, before anything is started. An error of the emulator's own, which the
    client sees as HTTP 500, is written to standard error at the end.
    """
    if settings.emulator_url:
        yield attach(settings.emulator_url.rstrip("/"))
        return
    series = read_series(settings.recording) if settings.recording else None
    with tempfile.TemporaryDirectory(prefix="perplake-") as folder:
        url_file, log_file = Path(folder) / ".url", Path(folder) / ".log"
        command = [sys.executable, "-m", "infra.emulator", "--port", "0", "--port-file", str(url_file), "--attached"]
        command += ["--limits-scale", str(settings.scale)]
        if series and settings.recording:
            series.write(served := Path(folder) / settings.market)
            command += ["--store", f"recorded:{served}", "--no-history-limits"]
        else:
            command += ["--store", "synthetic", "--seed", str(settings.seed), "--days", str(days)]
        if as_of is not None:
            command += ["--as-of", iso(as_of)]
        with log_file.open("wb") as log:
            # It ends when its standard input closes, so also when this process is killed; a terminal's Ctrl-C is not for it.
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=Path(__file__).parents[2], start_new_session=True
            )

        def stop() -> None:
            process.terminate()
            process.wait(timeout=10)

        try:
            meanwhile()
            attached = attach(_url(process, url_file, log_file))
            notes = (*(series.notes if series else ()), *attached.notes)
            yield replace(attached, notes=tuple(f"recording: {note}" for note in notes), stop=stop)
        finally:
            stop()
            if url_file.exists() and (error := last_error(log_file.read_text(errors="replace"))):
                sys.stderr.write(f"the venue emulator failed at a request; try it alone: `python -m infra.emulator`\n{error}\n")


def last_error(log: str) -> str:
    """The last traceback in a log, without what follows it; empty where there is none."""
    _, found, rest = log.rpartition("Traceback (most recent call last):\n")
    lines = rest.splitlines() if found else []
    end = next((n for n, line in enumerate(lines) if not line.startswith(" ")), len(lines))
    return "\n".join(lines[: end + 1])


def _url(process: subprocess.Popen[bytes], url_file: Path, log_file: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if url_file.exists() and (url := url_file.read_text().strip()):
            return url
        time.sleep(0.02)
    raise ConnectionError(f"the venue emulator did not start:\n{log_file.read_text(errors='replace').strip()[-2000:]}")
