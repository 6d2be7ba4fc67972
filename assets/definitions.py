"""The Dagster code location: assets, checks, jobs, schedules and sensors. `dagster dev -w workspace.yaml` and `dg` load it.

Settings come from the environment and `perplake.toml`; `make ui` points them at a running emulator.
"""

from __future__ import annotations

import dagster as dg

from assets import ingest, labels, schedules, serving, transform
from assets.checks import asset_checks
from assets.session import Session
from pipelines.settings import Settings

defs = dg.Definitions(
    assets=[*ingest.assets, transform.transform, labels.label_regimes, serving.publish, serving.report],
    asset_checks=asset_checks,
    jobs=[schedules.everything],
    schedules=[schedules.hourly, schedules.daily],
    sensors=[schedules.on_failure],
    resources={"session": dg.ResourceDefinition.hardcoded_resource(Session(Settings()))},
    # A step in a process of its own pays seconds of imports, and two can't write one DuckDB file.
    executor=dg.in_process_executor,
)
