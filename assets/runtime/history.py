"""Delete old runs from Dagster's history: their events, their logs, and the runs themselves.

A run of all core venues leaves some megabytes. Which days are materialised is Dagster's to know, by the events of the runs that
made them: for each day that would be forgotten, one small event is noted that belongs to no run.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster import DagsterRunStatus as Status
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

#: Runs deleted in one call, which takes up to a minute.
MOST = 500


def delete_old_runs(instance: dg.DagsterInstance, days: int) -> int:
    """Delete the runs that ended more than `days` ago (0: none), the oldest first, at most `MOST`; returns how many."""
    if not days:
        return 0
    before = datetime.now(UTC) - timedelta(days=days)
    ended = dg.RunsFilter(statuses=[Status.SUCCESS, Status.FAILURE, Status.CANCELED], updated_before=before)
    records = instance.get_run_records(ended, limit=MOST, ascending=True)
    if not records:
        return 0
    storage = instance.event_log_storage
    days_of = {key: instance.get_materialized_partitions(key) for key in instance.all_asset_keys()}
    for record in records:
        instance.delete_run(record.dagster_run.run_id)
        instance.compute_log_manager.delete_logs(prefix=[record.dagster_run.run_id])
        if isinstance(storage, SqliteEventLogStorage):  # it empties the run's file, and leaves it
            Path(storage.path_for_shard(record.dagster_run.run_id)).unlink(missing_ok=True)
    for key, partitions in days_of.items():
        for day in sorted(partitions - instance.get_materialized_partitions(key)) if partitions else ():
            event = dg.AssetMaterialization(key, partition=day, metadata={"from": "a run that the history has deleted"})
            instance.report_runless_asset_event(event)
    return len(records)
