"""The Dagster code location: assets, checks, jobs, schedules and sensors. `dagster dev -w workspace.yaml` and `dg` load it.

Settings come from the environment and `perplake.toml`; `make ui` points them at a running emulator.
"""

from __future__ import annotations

import dagster as dg

from assets import ingest, labels, notify, schedules, serving, transform
from assets.checks import asset_checks
from assets.session import Session
from pipelines.settings import Settings


def definitions_of(session: Session, partitioned: bool = True) -> dg.Definitions:
    """The code location for a session. Without partitions a run's window is the session's: Dagster takes some 10 ms for
    each asset and day that it notes, minutes for a year."""
    return dg.Definitions(
        assets=[
            *ingest.assets(partitioned),
            *transform.NOTES,
            transform.transform,
            labels.label_regimes,
            labels.forecast_regimes,
            serving.publish,
            serving.report,
        ],
        asset_checks=asset_checks,
        jobs=[schedules.everything, schedules.of_the_hour] if partitioned else [],
        schedules=[schedules.hourly, schedules.daily] if partitioned else [],
        sensors=[schedules.on_failure, notify.on_regime] if partitioned else [],
        resources={"session": dg.ResourceDefinition.hardcoded_resource(session)},
        # A step in a process of its own pays seconds of imports, and two can't write one DuckDB file.
        executor=dg.in_process_executor,
    )


defs = definitions_of(Session(Settings()))
