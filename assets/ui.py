"""`perps ui`: the Dagster UI and its daemon on loopback, with the venue emulator beside them.

The emulator's clock runs with real time, so that the hourly schedule has a day in progress to make. Ctrl-C stops all.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

from assets.emulator import emulator
from assets.job import instance
from pipelines.settings import Settings

ROOT = Path(__file__).parents[1]


def serve(settings: Settings, port: int) -> None:
    """Run until stopped. Raises `ConnectionError` when the emulator does not start."""
    with emulator(settings, None) if settings.source != "live" else nullcontext() as attached, instance(settings):
        environment = {**os.environ, "PERPLAKE_SOURCE": settings.source}
        if attached:
            environment["PERPLAKE_EMULATOR_URL"] = attached.emulator.url
        command = [sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml", "--host", "127.0.0.1", "--port", str(port)]
        process = subprocess.Popen(command, cwd=ROOT, env=environment)
        try:
            process.wait()
        except KeyboardInterrupt:
            process.wait(timeout=30)
