"""A change of regime or a red flag, told once: to a webhook, Slack, mail or whatever else Apprise knows.

The sensor reads the published copy; `PERPLAKE_NOTIFY` holds Apprise URLs, by spaces (`json://127.0.0.1:8000/hook`,
`slack://…`). They are secrets: they come from the environment and stand in no log. What was told is in the sensor's cursor, so
that nothing is told twice, whatever is run again. Switch it on in the UI. Alone: ``news(Path("published/perplake.duckdb"))``.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path

import dagster as dg
import duckdb

from assets.regimes import posture, with_market
from assets.regimes.forecasts.plan import TARGETS, WARNING
from assets.runtime.session import Session

VARIABLE = "PERPLAKE_NOTIFY"
_REMEMBERED = 500


@dataclass(frozen=True)
class Notice:
    """One thing to tell. `key` is the same however often it is found."""

    key: str
    title: str
    body: str


def news(published: Path) -> list[Notice]:
    """What the last day of each asset brought: a label other than the day before's, a flag of the warning.

    Raises FileNotFoundError where no run has made forecasts.
    """
    with duckdb.connect(str(published), read_only=True) as db:
        made = "SELECT count(*) FROM duckdb_tables() WHERE table_name IN ('regime_forecasts', 'regime_scorecard')"
        if db.execute(made).fetchall() != [(2,)]:
            raise FileNotFoundError(f"{published}: no forecasts are made yet: run with PERPLAKE_FORECASTS=true")
        daily = with_market(db.sql("FROM marts.daily_assets ORDER BY asset, day").df())
        rows = db.execute(
            """
            SELECT l.asset, l.day, l.label, l.reasons, l.before, f.day, f.probability, f.flag, s.auroc, s.verdict FROM (
                SELECT *, lag(label) OVER (PARTITION BY asset ORDER BY day) AS before
                FROM marts.regime_labels
                QUALIFY row_number() OVER (PARTITION BY asset ORDER BY day DESC) = 1
            ) AS l
            LEFT JOIN ( -- of the last day that is over: a label may be of the day in progress
                FROM marts.regime_forecasts WHERE target = $1 AND method = $2 AND run_type = 'backtest'
                QUALIFY row_number() OVER (PARTITION BY asset ORDER BY day DESC) = 1
            ) AS f ON l.asset = f.asset AND f.day >= l.day - 1
            LEFT JOIN marts.regime_scorecard AS s ON s.target = $1 AND s.method = $2 AND s.asset = 'all'
            ORDER BY l.asset
            """,
            list(WARNING),
        ).fetchall()
    synthetic = "SYNTHETIC DATA. " if daily["origin"].eq("synthetic").any() else ""
    link = f"The page with the scorecard: {(published.parent / 'regimes.html').resolve().as_uri()}"
    found = []
    for asset, day, label, reasons, before, over, probability, flag, auroc, verdict in rows:
        if not flag and (not before or label == before):
            continue
        ending = f"{posture.suggest(daily, asset, day)}\n\n{link}"
        if before and label != before:
            title = f"{synthetic}{asset}: {before} is now {label} ({day})"
            found.append(Notice(f"{asset}:{day}:{label}", title, f"{reasons}\n\n{ending}"))
        if flag:
            worth = (
                f"Its score: AUROC {auroc:.2f}, {verdict}." if auroc is not None and not isnan(auroc) else "It has no score yet."
            )
            target = TARGETS[WARNING[0]].description
            said = f"{probability:.0%} for {target}, in the top tenth of its past year ({WARNING[1]}). {worth}"
            found.append(Notice(f"{asset}:{over}:flag", f"{synthetic}{asset}: red flag ({over})", f"{said}\n\n{ending}"))
    return found


def send(notice: Notice, urls: Sequence[str]) -> bool:
    """Tell it to all addresses; False where any didn't take it."""
    import apprise

    logging.getLogger("apprise").disabled = True  # it would name the URLs
    to = apprise.Apprise()
    added = [to.add(url) for url in urls]
    return all(added) and bool(to.notify(title=notice.title, body=notice.body))


@dg.sensor(
    minimum_interval_seconds=300,
    description=f"Tells of a change of regime or a red flag, once each, to the Apprise URLs in {VARIABLE}.",
)
def on_regime(context: dg.SensorEvaluationContext, session: dg.ResourceParam[Session]) -> dg.SkipReason:
    """What is new since the last evaluation; the very first only remembers."""
    urls, published = os.environ.get(VARIABLE, "").split(), session.settings.published / "perplake.duckdb"
    if not urls:
        return dg.SkipReason(f"{VARIABLE} is not set: there is nobody to tell")
    if not published.exists():
        return dg.SkipReason("nothing is published yet")
    told: list[str] = json.loads(context.cursor or "[]")
    try:
        fresh = [notice for notice in news(published) if notice.key not in told]
    except FileNotFoundError as problem:
        return dg.SkipReason(str(problem))
    if not context.cursor:
        context.update_cursor(json.dumps([notice.key for notice in fresh]))
        return dg.SkipReason(f"from now on: {len(fresh)} changes were there already")
    sent = []
    for notice in fresh:
        if not send(notice, urls):
            break
        sent.append(notice.key)
    context.update_cursor(json.dumps([*told, *sent][-_REMEMBERED:]))
    if len(sent) < len(fresh):
        return dg.SkipReason(f"not all of {len(urls)} addresses in {VARIABLE} took it; it is tried again")
    return dg.SkipReason(f"told of {', '.join(sent)}" if sent else "nothing new")


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
