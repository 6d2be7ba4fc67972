"""Sensors: notices to a webhook, Slack or mail (by Apprise) of regime changes, red flags, failed runs and failed checks.

`PERPLAKE_NOTIFY` has Apprise URLs, separated by spaces (`json://127.0.0.1:8000/hook`, `slack://…`); they are secrets, come from
the environment and are never logged. `on_regime` reads the published copy; its cursor has the keys of the notices sent, so that
each is sent once, and none is left out where no run came for days. It is off until switched on in the UI. `on_failure`,
`on_success` and `on_killed` are on: they note how runs ended, of the command line, the UI and schedules alike, and mark those as
failed of which a check of severity error failed, or whose process was killed. So is `on_old_runs`, which deletes runs from
Dagster's history. `on_collected` loads what `perps collect` has put into landing; it is off until switched on.

Alone: ``notices(Path("published/perplake.duckdb"))``.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isnan
from pathlib import Path

import dagster as dg

from assets.defs.collected import collected_key
from assets.defs.resources import SettingsResource
from assets.defs.schedules import chosen_assets, run
from assets.regimes import posture
from assets.regimes.forecasts.plan import WARNING
from assets.runtime.history import delete_old_runs
from assets.runtime.orphans import fail_orphaned_runs
from assets.runtime.outcomes import WINDOW_TAG, check_outcomes, fail_incomplete, note_run
from perplake.published import reading
from perplake.signals import Signal, day_of, last_day, signals
from pipelines.errors import printable
from pipelines.landing import COLLECTED, Landing
from pipelines.windows import to_datetime

VARIABLE = "PERPLAKE_NOTIFY"
#: Keys of notices that are kept, several days of them where a warehouse has all assets.
_MAX_REMEMBERED = 5000
#: How many of the last runs in landing are looked at for new segments.
_RUNS_SEEN = 200
#: How many of the collector's last segments, of a minute each, are read for what came of each source.
_PARTS_READ = 10
_EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class Notice:
    """One message; the same event always has the same `key`. Of a signal, webhooks get its JSON too."""

    key: str
    title: str
    body: str
    signal: Signal | None = None


def notices(published: Path, since: Sequence[str] = ()) -> list[Notice]:
    """Notices of the signals since the newest of these days or keys; without one, of the last labelled day.

    The day before is looked at too: the flag of a day that is over may come after the label of the day in progress.
    """
    with reading(published) as db:
        days = [day_of(each) for each in since] or [last_day(db)]
        if not (found := signals(db, (max(days) - timedelta(days=1)).isoformat())):
            return []
        postures = {signal.key: posture.of(db, signal.asset, signal.day) for signal in found}
        has_scores = db.execute("SELECT 1 FROM duckdb_columns() WHERE table_name = 'regime_scorecard'").fetchone()
        scored = (
            has_scores
            and db.execute(
                "SELECT auroc, verdict FROM marts.regime_scorecard WHERE target = $1 AND method = $2 AND asset = 'all'",
                [*WARNING],
            ).fetchone()
        )
    auroc, verdict = scored or (None, "")
    score = f"Its score: AUROC {auroc:.2f}, {verdict}." if auroc is not None and not isnan(auroc) else "It has no score yet."
    link = f"Scorecard: {(published.parent / 'report.html').resolve().as_uri()}#scorecard"
    result = []
    for signal in found:
        text = f"{signal.reasons} {score}" if signal.kind == "red_flag" else signal.reasons
        body = f"{text}\n\n{postures[signal.key]}\n\n{link}"
        result.append(Notice(signal.key, signal.title, body, signal))
    return result


def send(notice: Notice, urls: Sequence[str]) -> bool:
    """Send a notice to all addresses, as plain text whatever is in it; False where one of them failed.

    A webhook (`json://`, `jsons://`) gets the signal beside the text, as `perps watch` prints it.
    """
    import apprise
    from apprise.plugins.custom_json import NotifyJSON

    logging.getLogger("apprise").disabled = True  # it would log the URLs
    to = apprise.Apprise()
    added = [to.add(url) for url in urls]
    for address in to if notice.signal else ():
        if isinstance(address, NotifyJSON) and notice.signal:
            address.payload_extras["signal"] = notice.signal.as_json()
    title, body = printable(notice.title), printable(notice.body)
    return all(added) and bool(to.notify(title=title, body=body, body_format=apprise.NotifyFormat.TEXT))


@dg.sensor(
    minimum_interval_seconds=300,
    description=f"Sends each change of regime and each red flag once to the Apprise URLs in {VARIABLE}.",
)
def on_regime(context: dg.SensorEvaluationContext, settings: SettingsResource) -> dg.SkipReason:
    """Send the notices that are new since the last evaluation; the first evaluation sends none and only remembers them."""
    urls, resolved = os.environ.get(VARIABLE, "").split(), settings.resolve()
    published = resolved.published / resolved.copy_name
    if not urls:
        return dg.SkipReason(f"{VARIABLE} is not set: there is no address to send to")
    if not published.exists():
        return dg.SkipReason("nothing is published yet")
    sent_before: list[str] = json.loads(context.cursor or "[]")
    new = [notice for notice in notices(published, sent_before) if notice.key not in sent_before]
    if not context.cursor:
        with reading(published) as db:
            seen = [last_day(db).isoformat(), *(notice.key for notice in new)]
        context.update_cursor(json.dumps(seen))
        return dg.SkipReason(f"first evaluation: {len(new)} earlier notices are not sent")
    sent = []
    for notice in new:
        if not send(notice, urls):
            break
        sent.append(notice.key)
    context.update_cursor(json.dumps([*sent_before, *sent][-_MAX_REMEMBERED:]))
    if len(sent) < len(new):
        return dg.SkipReason(f"an address of {len(urls)} in {VARIABLE} failed; the next evaluation tries again")
    return dg.SkipReason(f"sent {', '.join(sent)}" if sent else "no new notices")


@dg.run_failure_sensor(
    description=f"Tells why a run failed (step, message, window): in the log, and to the Apprise URLs in {VARIABLE}.",
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def on_failure(context: dg.RunFailureSensorContext) -> None:
    """A readable reason in the daemon's log, in the sensor's ticks, and to the addresses."""
    line = reason(context)
    context.log.error(line)
    if not context.instance.all_logs(context.dagster_run.run_id, of_type=dg.DagsterEventType.RUN_SUCCESS):
        _note(context, "failed", [line])  # else `on_success` has noted it as incomplete
    _tell(context, Notice(context.dagster_run.run_id, "perplake: a run failed", line))


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    description="Marks a run whose steps succeeded as failed where a check of severity error failed.",
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def on_success(context: dg.RunStatusSensorContext) -> None:
    """Note the run. Of one that is marked as failed here, `on_failure` tells; the command line marks its own."""
    if context.dagster_run.status == dg.DagsterRunStatus.SUCCESS:
        checks = check_outcomes(context.instance, context.dagster_run.run_id)
        lines = fail_incomplete(context.instance, context.dagster_run, checks)
        _note(context, "incomplete" if lines else "succeeded", lines)


@dg.sensor(
    minimum_interval_seconds=30,
    description="Marks runs whose process was killed as failed: else the queue would wait for them for ever.",
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def on_killed(context: dg.SensorEvaluationContext, settings: SettingsResource) -> dg.SkipReason:
    """Fail orphaned runs, such as one of the command line that was killed beside the UI."""
    failed = fail_orphaned_runs(context.instance, settings.resolve().home)
    return dg.SkipReason(f"marked as failed: {', '.join(failed)}" if failed else "every run that has begun lives")


@dg.sensor(
    minimum_interval_seconds=3600,
    description="Deletes runs and their logs after `history_days` from Dagster's history.",
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def on_old_runs(context: dg.SensorEvaluationContext, settings: SettingsResource) -> dg.SkipReason:
    """Delete old runs."""
    return dg.SkipReason(f"deleted {delete_old_runs(context.instance, settings.resolve().history_days)} runs")


def collected_days(landing: Landing, seen: Mapping[str, int]) -> tuple[list[str], dict[str, int]]:
    """The days of which the collector has put more into landing than was seen, and what is seen now: parts by run."""
    parts = {run: len(landing.parts(run)) for run in landing.runs()[-_RUNS_SEEN:] if run.endswith(COLLECTED)}
    new = {f"{run[:4]}-{run[4:6]}-{run[6:8]}" for run, count in parts.items() if count > seen.get(run, 0)}
    return sorted(new), parts


def collected_sources(landing: Landing, parts: Mapping[str, int]) -> dict[str, datetime]:
    """The sources in the newest parts of the newest of these runs, with the time of their newest page, UTC."""
    newest: dict[str, datetime] = {}
    for part in landing.parts(max(parts))[-_PARTS_READ:]:
        for entry in landing.entries(part):
            newest[entry.source] = max(to_datetime(entry.observed_at), newest.get(entry.source, _EPOCH))
    return newest


@dg.sensor(
    job=run,
    minimum_interval_seconds=300,
    description="Loads what `perps collect` has put into landing since the last evaluation, and makes the marts of those days.",
)
def on_collected(context: dg.SensorEvaluationContext, settings: SettingsResource) -> dg.SensorResult | dg.SkipReason:
    """A run from landing alone for each day with new segments."""
    current = settings.resolve()
    days, parts = collected_days(Landing(current.landing_root), json.loads(context.cursor or "{}"))
    if not days:
        return dg.SkipReason("the collector has put nothing new into landing")
    assert context.repository_def
    keys = sorted(chosen_assets(current, fetch=False).resolve(context.repository_def.asset_graph))
    requests = [dg.RunRequest(partition_key=day, asset_selection=keys, tags={"perplake/day": day}) for day in days]
    came = collected_sources(Landing(current.landing_root), parts).items()
    events = [dg.AssetMaterialization(collected_key(s), metadata={"newest": dg.MetadataValue.timestamp(at)}) for s, at in came]
    return dg.SensorResult(requests, cursor=json.dumps(parts), asset_events=events)


def _note(context: dg.RunStatusSensorContext, outcome: str, messages: list[str]) -> None:
    """Note how a run of the UI or a schedule ended, for `perps status`; the command line notes its own."""
    run, record = context.dagster_run, context.instance.get_run_record_by_id(context.dagster_run.run_id)
    if WINDOW_TAG in run.tags or record is None or record.start_time is None:
        return
    config = run.run_config.get("resources", {}).get("settings", {}).get("config", {})
    settings, started = SettingsResource(**config).resolve(), datetime.fromtimestamp(record.start_time, UTC)
    about = {"mode": settings.mode, "window": _window(run), "outcome": outcome, "messages": messages}
    note_run(settings.published, f"{started:%Y-%m-%dT%H:%M:%S}", **about)


def _tell(context: dg.RunStatusSensorContext, notice: Notice) -> None:
    urls = os.environ.get(VARIABLE, "").split()
    if urls and not send(notice, urls):
        context.log.error(f"an address of {len(urls)} in {VARIABLE} failed: {notice.title}")


def _window(run: dg.DagsterRun) -> str:
    """The days or the window that a run covers, from its tags."""
    days = [run.tags.get(f"dagster/asset_partition_range_{end}") for end in ("start", "end")]
    return run.tags.get(WINDOW_TAG) or run.tags.get("dagster/partition") or " to ".join(filter(None, days)) or "no partition"


def reason(context: dg.RunFailureSensorContext) -> str:
    """`run 1a2b3c4d of run (2026-11-21) failed at load: <message>`; one message of many steps once."""
    run = context.dagster_run
    steps: dict[str, list[str]] = {}
    for event in context.get_step_failure_events():
        error = event.step_failure_data.error
        message = (error.cause or error).message if error else event.message
        steps.setdefault(" ".join(str(message).split())[:500], []).append(str(event.step_key))
    job = "chosen assets" if run.job_name.startswith("__") else run.job_name
    failures = "; ".join(f" at {', '.join(names)}: {message}" for message, names in steps.items())
    return f"run {run.run_id[:8]} of {job} ({_window(run)}) failed{failures or f': {context.failure_event.message}'}"
