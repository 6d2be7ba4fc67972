"""When runs start by themselves, and what is said when one fails.

Hourly: the day in progress, made anew. Daily, a quarter past midnight UTC: the day that is over, with its forecasts: they speak
by a day's close. Both are off until switched on in the UI, and both cover the sources that the settings choose.
"""

from datetime import timedelta

import dagster as dg

from assets.defs.regimes import ON_DEMAND
from assets.defs.resources import DAYS

everything = dg.define_asset_job(
    "everything",
    selection=dg.AssetSelection.all(),
    partitions_def=DAYS,
    tags={"perplake/job": "everything"},  # one at a time: infra/dagster/dagster.yaml
    description="The main job: fetch, load, transform, label, check, publish, report.",
)

of_the_hour = dg.define_asset_job(
    "of_the_hour",
    selection=dg.AssetSelection.all() - dg.AssetSelection.assets(*ON_DEMAND),
    partitions_def=DAYS,
    tags={"perplake/job": "everything"},
    description="The main job without forecasts.",
)


def _request(context: dg.ScheduleEvaluationContext, days_ago: int) -> dg.RunRequest:
    day = (context.scheduled_execution_time - timedelta(days=days_ago)).strftime("%Y-%m-%d")
    return dg.RunRequest(partition_key=day, tags={"perplake/day": day})


@dg.schedule(job=of_the_hour, cron_schedule="5 * * * *", execution_timezone="UTC", description="The day in progress, each hour.")
def hourly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    return _request(context, 0)


@dg.schedule(
    job=everything,
    cron_schedule="15 0 * * *",
    execution_timezone="UTC",
    description="The day that is over, once a day.",
)
def daily(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    return _request(context, 1)
