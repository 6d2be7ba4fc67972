"""The venue emulator as a child process: started for a run on synthetic or recorded data, stopped with it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pipelines.run import EmulatorInfo
from pipelines.settings import Settings
from pipelines.windows import iso, to_ms

START_SECONDS = 60
#: How far back the synthetic market shows itself where nobody says.
HISTORY_DAYS = 400


@dataclass(frozen=True)
class RunningEmulator:
    """A running emulator and its clock: milliseconds where it stands still, None where it runs."""

    emulator: EmulatorInfo
    clock: int | None


def attach(url: str) -> RunningEmulator:
    """Ask a running emulator what it is. Raises `ConnectionError` where none answers."""
    try:
        with urllib.request.urlopen(f"{url}/admin/health", timeout=10) as answer:
            said = json.load(answer)
    except OSError as problem:
        raise ConnectionError(f"no emulator answers at {url} ({problem}); start one with `python -m infra.emulator`") from None
    stands = to_ms(datetime.fromisoformat(said["clock"])) if said.get("fixed", True) else None
    return RunningEmulator(EmulatorInfo(url, said["origin"]), stands)


@contextmanager
def emulator(settings: Settings, as_of: int | None, days: int = HISTORY_DAYS) -> Iterator[RunningEmulator]:
    """The emulator that the settings name, or one of our own on a free loopback port until the block ends.

    `as_of` fixes its clock; without it a recording stands at its end and the synthetic market runs with real time. `days` is
    how much of its past the synthetic market shows: it takes time to put into words.
    """
    if settings.emulator_url:
        yield attach(settings.emulator_url.rstrip("/"))
        return
    with tempfile.TemporaryDirectory(prefix="perplake-") as folder:
        url_file, log_file = Path(folder) / "url", Path(folder) / "log"
        command = [sys.executable, "-m", "infra.emulator", "--port", "0", "--port-file", str(url_file), "--attached"]
        command += ["--limits-scale", str(settings.scale)]
        if settings.recording:
            command += ["--store", f"recorded:{settings.recording.resolve()}", "--no-history-limits"]
        else:
            command += ["--store", "synthetic", "--seed", str(settings.seed), "--days", str(days)]
        if as_of is not None:
            command += ["--as-of", iso(as_of)]
        with log_file.open("wb") as log:
            # It ends with its standard input, so even when this process is killed.
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=Path(__file__).parents[2])
        try:
            yield attach(_url(process, url_file, log_file))
        finally:
            process.terminate()
            process.wait(timeout=10)


def _url(process: subprocess.Popen[bytes], url_file: Path, log_file: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if url_file.exists() and (url := url_file.read_text().strip()):
            return url
        time.sleep(0.02)
    raise ConnectionError(f"the venue emulator did not start:\n{log_file.read_text(errors='replace').strip()[-2000:]}")
