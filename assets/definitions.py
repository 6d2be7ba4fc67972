"""The Dagster code location: assets, checks, jobs, schedules and sensors. `dagster dev -w workspace.yaml` and `dg` load it.

Settings come from the environment and `perplake.toml`; `make ui` points them at a running emulator.
"""

from __future__ import annotations

import dagster as dg

from assets.defs import dbt, landing, publish, raw, regimes, resources, schedules, sensors
from assets.defs.checks import asset_checks
from assets.runtime.session import Session
from pipelines.registry import source_rows
from pipelines.settings import Settings


def definitions_of(session: Session, partitioned: bool = True) -> dg.Definitions:
    """The code location for a session. Without partitions a run's window is the session's: Dagster takes some 10 ms for
    each asset and day that it notes, minutes for a year."""
    days = resources.DAYS if partitioned else None
    return dg.Definitions(
        assets=[
            landing.assets(days),
            *raw.assets(days),
            *dbt.NOTES,
            dbt.transform,
            regimes.label_regimes,
            regimes.forecast_regimes,
            publish.publish,
            publish.report,
        ],
        asset_checks=asset_checks,
        jobs=[schedules.everything, schedules.of_the_hour] if partitioned else [],
        schedules=[schedules.hourly, schedules.daily] if partitioned else [],
        sensors=[sensors.on_failure, sensors.on_regime] if partitioned else [],
        resources={"session": dg.ResourceDefinition.hardcoded_resource(session)},
        # A step in a process of its own pays seconds of imports, and two can't write one DuckDB file.
        executor=dg.in_process_executor,
    )


def main_job(session: Session) -> dg.JobDefinition:
    """The main job of one run of the command line: all assets of the chosen sources, for the session's window."""
    settings, with_fetch = session.settings, session.settings.mode != "replay"
    # A source is a group. Those that are not chosen have nothing to say, and each of their assets would cost its event.
    chosen = settings.sources
    idle = [name for name in source_rows() if name not in chosen]
    silent = [landing.landing_key(name) for name in (idle if with_fetch else source_rows())]
    selection = dg.AssetSelection.all() - dg.AssetSelection.assets(*silent) - dg.AssetSelection.checks_for_assets(*silent)
    if idle:
        selection -= dg.AssetSelection.groups(*idle)
    if not settings.forecasts:
        selection -= dg.AssetSelection.assets(*regimes.ON_DEMAND)
    job = dg.define_asset_job("run", selection=selection)
    return dg.Definitions.merge(definitions_of(session, partitioned=False), dg.Definitions(jobs=[job])).resolve_job_def("run")


defs = definitions_of(Session(Settings()))
