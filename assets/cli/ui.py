"""`perps ui`: the Dagster UI and its daemon on loopback, with the venue emulator beside them.

The emulator's clock runs with real time, so that the hourly schedule has a day in progress to load. Runs of the command line
are in the same instance; the days that they fetched become materialised partitions while the UI starts. Ctrl-C stops all.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from assets.runtime.emulator import emulator
from assets.runtime.instance import dagster_home, dagster_instance
from pipelines.fetch import SETTLED_LATE_MS
from pipelines.landing import Landing
from pipelines.settings import Settings
from pipelines.windows import Window

if TYPE_CHECKING:
    import dagster as dg

ROOT = Path(__file__).parents[2]


def serve(settings: Settings, port: int) -> None:
    """Run until stopped. Raises `ConnectionError` when the emulator does not start, `ValueError` for replay."""
    if settings.mode == "replay":
        raise ValueError("replay requests nothing, so it has no days to schedule: `perps run --mode replay`")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (
        emulator(settings, None) if settings.mode != "live" else nullcontext() as attached,
        dagster_instance(settings) as instance,
    ):
        environment = {**os.environ, "PERPLAKE_MODE": settings.mode, "DAGSTER_HOME": str(dagster_home(settings))}
        if attached:
            environment["PERPLAKE_EMULATOR_URL"] = attached.emulator.url
        command = [sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml", "--host", "127.0.0.1", "--port", str(port)]
        process = subprocess.Popen(command, cwd=ROOT, env=environment)
        try:
            note_landed_days(instance, settings)
            process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=180)


def landed_days(settings: Settings) -> dict[str, set[date]]:
    """The UTC days of which landing has final responses, by source; funding is asked a moment longer, which is no day."""
    days: dict[str, set[date]] = {}
    for entry in Landing(settings.landing_root).iterate():
        if entry.window and entry.final and not entry.problem and entry.market == settings.market:
            start, end = entry.window
            days.setdefault(entry.source, set()).update(Window(start, max(start, end - SETTLED_LATE_MS)).days)
    return days


def note_landed_days(instance: dg.DagsterInstance, settings: Settings) -> None:
    """Note the days that the command line fetched as materialised partitions of `landing/<source>`.

    Only of these assets, and only here: Dagster takes 10 to 30 ms for each asset and day, too long for each run and raw table.
    """
    import dagster as dg

    from assets.defs.landing import landing_key

    for source, days in landed_days(settings).items():
        known = instance.get_materialized_partitions(landing_key(source))
        for day in sorted(map(str, days)):
            if day not in known:
                event = dg.AssetMaterialization(landing_key(source), partition=day, metadata={"from": "landing's manifest"})
                instance.report_runless_asset_event(event)
