"""The main job, the assets that a run of it covers, and when it runs by itself.

`perps run`, the schedules and the UI run one job. `chosen_assets` leaves out the sources that the settings don't choose: each
of their assets would cost its events. Hourly: the day in progress. Daily, a quarter past midnight UTC: the day that is over,
with its forecasts, which are made at a day's close, and in the same run what is missing of the days before: Dagster never
catches up the ticks of a daemon that was down. Nightly: maintenance of a lake. The schedules are off until switched on in the UI.
"""

from __future__ import annotations

import os
from datetime import date, timedelta

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from assets.defs.lake import LAKE
from assets.defs.landing import landing_key
from assets.defs.postgres import VARIABLE
from assets.defs.publish import POSTGRES, REPORT
from assets.defs.regimes import ON_DEMAND
from pipelines.registry import source_rows
from pipelines.settings import Settings

run = dg.define_asset_job(
    "run",
    selection=dg.AssetSelection.all() - dg.AssetSelection.assets(LAKE),
    tags={"perplake/job": "run"},  # one at a time: infra/dagster/dagster.yaml
    description="The main job: fetch, load, transform, label, check, publish, report.",
)

maintain = dg.define_asset_job(
    "maintain",
    selection=dg.AssetSelection.assets(LAKE),
    tags={"perplake/job": "run"},
    description="Maintenance of a lake: old snapshots, small files, files that nothing refers to.",
)


def chosen_assets(settings: Settings, *, fetch: bool = True) -> dg.AssetSelection:
    """The assets of the main job under these settings, with their checks; without `fetch` from landing alone."""
    others = [name for name in source_rows() if name not in settings.sources]
    # A replay requests nothing; a source is a group.
    not_fetched = [landing_key(name) for name in (source_rows() if settings.mode == "replay" or not fetch else others)]
    selection = dg.AssetSelection.all() - dg.AssetSelection.assets(LAKE, *not_fetched)
    if others:
        selection -= dg.AssetSelection.groups(*others)
    not_asked = [*([] if settings.forecasts else ON_DEMAND), *([] if settings.report else [REPORT])]
    not_asked += [] if os.environ.get(VARIABLE) else [POSTGRES]
    return selection - dg.AssetSelection.assets(*not_asked)


def first_missing(instance: dg.DagsterInstance, settings: Settings, last: date) -> date:
    """The first of the `catch_up_days` before `last` that a chosen source lacks, else `last`.

    A source lacks no day before the first one that it has.
    """
    days, missing = [last - timedelta(days=ago) for ago in range(1, settings.catch_up_days + 1)], [last]
    for source in settings.sources:
        if have := set(map(date.fromisoformat, instance.get_materialized_partitions(landing_key(source)))):
            missing += [day for day in days if day > min(have) and day not in have]
    return min(missing)


def _request(context: dg.ScheduleEvaluationContext, first: date, last: date, forecasts: bool) -> dg.RunRequest:
    selection = chosen_assets(Settings().model_copy(update={"forecasts": forecasts}))
    keys = sorted(selection.resolve(context.repository_def.asset_graph))
    tags = {"perplake/day": last.isoformat()}
    if first == last:
        return dg.RunRequest(partition_key=last.isoformat(), tags=tags, asset_selection=keys)
    tags |= {ASSET_PARTITION_RANGE_START_TAG: first.isoformat(), ASSET_PARTITION_RANGE_END_TAG: last.isoformat()}
    return dg.RunRequest(tags=tags, asset_selection=keys)


@dg.schedule(job=run, cron_schedule="5 * * * *", execution_timezone="UTC", description="The day in progress, each hour.")
def hourly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    today = context.scheduled_execution_time.date()
    return _request(context, today, today, forecasts=False)


@dg.schedule(
    job=run,
    cron_schedule="15 0 * * *",
    execution_timezone="UTC",
    description="The day that is over, once a day, with forecasts, and what is missing of the days before.",
)
def daily(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    last = context.scheduled_execution_time.date() - timedelta(days=1)
    return _request(context, first_missing(context.instance, Settings(), last), last, forecasts=True)


@dg.schedule(
    job=maintain, cron_schedule="45 3 * * *", execution_timezone="UTC", description="Maintenance of a lake, once a night."
)
def nightly() -> dg.RunRequest | dg.SkipReason:
    return dg.RunRequest() if Settings().profile == "lake" else dg.SkipReason("the warehouse is a file")
