"""When runs start by themselves, and what is said when one fails.

Hourly: the day in progress, made anew. Daily, a quarter past midnight UTC: the day that is over, with its forecasts: they speak
by a day's close. Both are off until switched on in the UI, and both cover the sources that the settings choose.
"""

from datetime import timedelta

import dagster as dg

from assets.ingest import DAYS
from assets.labels import ON_DEMAND

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


@dg.run_failure_sensor(
    description="Logs in one line why a run failed: the step, the message, the window.",
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def on_failure(context: dg.RunFailureSensorContext) -> None:
    """A readable reason in the daemon's log and in the sensor's ticks."""
    context.log.error(reason(context))


def reason(context: dg.RunFailureSensorContext) -> str:
    """`run 1a2b3c4d of everything (2026-11-21) failed at load_binance_usdm: <message>`; one message of many steps once."""
    run = context.dagster_run
    steps: dict[str, list[str]] = {}
    for event in context.get_step_failure_events():
        error = event.step_failure_data.error
        said = (error.cause or error).message if error else event.message
        steps.setdefault(" ".join(str(said).split())[:500], []).append(str(event.step_key))
    days = [run.tags.get(f"dagster/asset_partition_range_{end}") for end in ("start", "end")]
    window = run.tags.get("dagster/partition") or " to ".join(filter(None, days)) or "no partition"
    job = "chosen assets" if run.job_name.startswith("__") else run.job_name
    what = "; ".join(f"{', '.join(names)}: {said}" for said, names in steps.items()) or context.failure_event.message
    return f"run {run.run_id[:8]} of {job} ({window}) failed at {what}"
