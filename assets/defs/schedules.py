"""The main job, the assets that a run of it covers, and when it runs by itself.

`perps run`, the schedules and the UI run one job. `chosen_assets` leaves out the sources that the settings don't choose: each
of their assets would cost its events. Hourly: the day in progress. Daily, a quarter past midnight UTC: the day that is over,
with its forecasts, which are made at a day's close. Both schedules are off until switched on in the UI.
"""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from assets.defs.landing import landing_key
from assets.defs.regimes import ON_DEMAND
from pipelines.registry import source_rows
from pipelines.settings import Settings

run = dg.define_asset_job(
    "run",
    selection=dg.AssetSelection.all(),
    tags={"perplake/job": "run"},  # one at a time: infra/dagster/dagster.yaml
    description="The main job: fetch, load, transform, label, check, publish, report.",
)


def chosen_assets(settings: Settings) -> dg.AssetSelection:
    """The assets of the main job under these settings, with their checks."""
    others = [name for name in source_rows() if name not in settings.sources]
    # A replay requests nothing; a source is a group.
    not_fetched = [landing_key(name) for name in (source_rows() if settings.mode == "replay" else others)]
    selection = dg.AssetSelection.all() - dg.AssetSelection.assets(*not_fetched)
    if others:
        selection -= dg.AssetSelection.groups(*others)
    return selection if settings.forecasts else selection - dg.AssetSelection.assets(*ON_DEMAND)


def _request(context: dg.ScheduleEvaluationContext, days_ago: int, forecasts: bool) -> dg.RunRequest:
    day = f"{context.scheduled_execution_time - timedelta(days=days_ago):%Y-%m-%d}"
    selection = chosen_assets(Settings().model_copy(update={"forecasts": forecasts}))
    keys = selection.resolve(context.repository_def.asset_graph)
    return dg.RunRequest(partition_key=day, tags={"perplake/day": day}, asset_selection=sorted(keys))


@dg.schedule(job=run, cron_schedule="5 * * * *", execution_timezone="UTC", description="The day in progress, each hour.")
def hourly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    return _request(context, 0, forecasts=False)


@dg.schedule(
    job=run,
    cron_schedule="15 0 * * *",
    execution_timezone="UTC",
    description="The day that is over, once a day, with forecasts.",
)
def daily(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    return _request(context, 1, forecasts=True)
