"""Load as assets: `raw/<source>__<endpoint>` holds the typed rows of a source's pages, merged on their natural keys.

One step for each source, under the one-writer lock. Partitioned by UTC day; a range is one step.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
import duckdb

from assets.defs.landing import landing_key, share
from assets.defs.resources import DAYS, WAREHOUSE_POOL
from assets.runtime.session import Session
from pipelines import warehouse
from pipelines.load import load
from pipelines.registry import source_rows
from pipelines.run import Run
from pipelines.source import Endpoint, Source
from pipelines.sources import get_source
from pipelines.windows import DAY


def raw_key(of: Source, dataset: Endpoint) -> dg.AssetKey:
    return dg.AssetKey(["raw", of.raw_table(dataset)])


def _load_assets(of: Source, days: dg.PartitionsDefinition | None) -> dg.AssetsDefinition:
    specs = [
        dg.AssetSpec(
            raw_key(of, dataset),
            deps=[landing_key(of.name)],
            group_name=of.name,
            kinds={"dlt", "duckdb"},
            partitions_def=days,
            description=f"{source_rows()[of.name].title}: {dataset.name.replace('_', ' ')} as the venue states them, typed, "
            f"one row per {', '.join(dataset.primary_key)}.",
        )
        for dataset in of.endpoints
    ]

    @dg.multi_asset(name=f"load_{of.name}", specs=specs, backfill_policy=dg.BackfillPolicy.single_run(), pool=WAREHOUSE_POOL)
    def load_assets(
        context: dg.AssetExecutionContext, session: dg.ResourceParam[Session]
    ) -> Iterator[dg.MaterializeResult[None]]:
        run = session.run(context)
        fetched = session.fetched.get(context.run_id, {}).get(of.name)
        with warehouse.one_writer(session.database):
            # Reference-only sources have no coverage of their own.
            own = not source_rows()[of.name].is_reference_only
            if of.name in session.settings.sources:
                with warehouse.connect(session.database) as connection:
                    warehouse.prepare(connection, run.settings.market)
                    venues = [of.venue] if of.venue else [s.venue for s in run.chosen_sources()[0] if s.name == of.name]
                    session.note_coverage(connection, run, venues if own else [])
            loaded = load(run, of, fetched.entries if fetched else None)
            with warehouse.connect(session.database, read_only=True) as connection:
                held = {dataset.name: _held(connection, run, of, dataset) for dataset in of.endpoints}
        for dataset in of.endpoints:
            yield dg.MaterializeResult(
                asset_key=raw_key(of, dataset),
                metadata={
                    **held[dataset.name],
                    "merged": loaded.rows.get(dataset.name, 0),
                    "unchanged": dataset.name in loaded.unchanged,
                    "window": str(run.window),
                    **({"bytes": sum(e.size for e in fetched.entries if e.endpoint_name == dataset.name)} if fetched else {}),
                    "quarantined": sum(e.endpoint_name == dataset.name for e in loaded.quarantined),
                },
            )

    return load_assets


def _held(connection: duckdb.DuckDBPyConnection, run: Run, of: Source, dataset: Endpoint) -> dict[str, object]:
    """What a raw table holds of the run's window (a snapshot: altogether): rows, the newest of them, and coverage, the share
    of days with a row over the instruments seen, up to the run's clock. Events have none: no row may mean that nothing happened.
    """
    name = f'raw."{of.raw_table(dataset)}"'
    if dataset.time is None:
        rows, newest = connection.execute(f"SELECT count(*), max(_observed_at) FROM {name}").fetchone() or (0, None)
        return {"dagster/row_count": rows, **_time("newest", newest)}
    asked = f"""SELECT count(*), max(make_timestamp("{dataset.time}" * 1000)), count(DISTINCT "{dataset.key[0]}"),
        count(DISTINCT ("{dataset.key[0]}", "{dataset.time}" // {DAY})) FROM {name} WHERE "{dataset.time}" BETWEEN ? AND ?"""
    window = run.window.before(run.clock.now())
    found = connection.execute(asked, [window.start, window.end - 1]).fetchone()
    rows, newest, instruments, days = found or (0, None, 0, 0)
    event = dataset.is_event
    coverage = {} if event else share("coverage", days, instruments * len(window.days))
    return {"dagster/row_count": rows, **_time("newest", newest), **coverage}


def _time(name: str, moment: datetime | None) -> dict[str, object]:
    return {name: dg.MetadataValue.timestamp(moment.replace(tzinfo=UTC))} if moment else {}


def assets(days: dg.PartitionsDefinition | None = DAYS) -> list[dg.AssetsDefinition]:
    """One load step for each source."""
    return [_load_assets(get_source(name), days) for name in source_rows()]
