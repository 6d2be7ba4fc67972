"""Load as assets: `raw/<source>__<endpoint>` has the typed rows of a source's pages, merged on their natural keys.

One step for each source, under the one-writer lock. Partitioned by UTC day; a range of days is one step.
Alone: `perps load --venues binance --from 2025-10-10 --to 2025-10-10`.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
import duckdb

from assets.defs.landing import landing_key, share
from assets.defs.resources import DAYS, WAREHOUSE_POOL, SettingsResource
from assets.runtime.session import Session
from assets.runtime.stages import load_source
from pipelines import warehouse
from pipelines.registry import source_rows
from pipelines.run import Run
from pipelines.source import Endpoint, Source
from pipelines.sources import get_source
from pipelines.windows import DAY


def raw_key(source: Source, endpoint: Endpoint) -> dg.AssetKey:
    return dg.AssetKey(["raw", source.raw_table(endpoint)])


def _spec(source: Source, endpoint: Endpoint) -> dg.AssetSpec:
    return dg.AssetSpec(
        raw_key(source, endpoint),
        deps=[landing_key(source.name)],
        group_name=source.name,
        kinds={"dlt", "duckdb"},
        partitions_def=DAYS,
        description=f"{source_rows()[source.name].title}: {endpoint.name.replace('_', ' ')} as the venue states them, typed, "
        f"one row per {', '.join(endpoint.primary_key)}.",
    )


def _load_step(source: Source) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=f"load_{source.name}",
        specs=[_spec(source, endpoint) for endpoint in source.endpoints],
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=WAREHOUSE_POOL,
    )
    def load_step(
        context: dg.AssetExecutionContext, settings: SettingsResource, session: dg.ResourceParam[Session]
    ) -> Iterator[dg.MaterializeResult[None]]:
        run = session.run(context, settings.resolve())
        fetched = session.fetched.get(context.run_id, {}).get(source.name)
        database = run.settings.database
        with warehouse.one_writer(database):
            loaded = load_source(run, source, fetched.entries if fetched else None)
            with warehouse.connect(database, read_only=True) as connection:
                content = {endpoint.name: _content(connection, run, source, endpoint) for endpoint in source.endpoints}
        for endpoint in source.endpoints:
            yield dg.MaterializeResult(
                asset_key=raw_key(source, endpoint),
                metadata={
                    **content[endpoint.name],
                    "merged": loaded.rows.get(endpoint.name, 0),
                    "unchanged": endpoint.name in loaded.unchanged,
                    "window": str(run.window),
                    **({"bytes": sum(e.size for e in fetched.entries if e.endpoint_name == endpoint.name)} if fetched else {}),
                    "quarantined": sum(e.endpoint_name == endpoint.name for e in loaded.quarantined),
                },
            )

    return load_step


def _content(connection: duckdb.DuckDBPyConnection, run: Run, source: Source, endpoint: Endpoint) -> dict[str, object]:
    """What a raw table has for the run's window (of a snapshot: for all time): rows, the newest row, and coverage.

    Coverage is the share of days with a row over the instruments seen, up to the run's clock. Events have none: no row may
    mean that nothing happened.
    """
    table = f'raw."{source.raw_table(endpoint)}"'
    if endpoint.time is None:
        rows, newest = connection.execute(f"SELECT count(*), max(_observed_at) FROM {table}").fetchone() or (0, None)
        return {"dagster/row_count": rows, **_time("newest", newest)}
    sql = f"""SELECT count(*), max(make_timestamp("{endpoint.time}" * 1000)), count(DISTINCT "{endpoint.key[0]}"),
        count(DISTINCT ("{endpoint.key[0]}", "{endpoint.time}" // {DAY})) FROM {table} WHERE "{endpoint.time}" BETWEEN ? AND ?"""
    window = run.window.before(run.clock.now())
    row = connection.execute(sql, [window.start, window.end - 1]).fetchone()
    rows, newest, instruments, days = row or (0, None, 0, 0)
    coverage = {} if endpoint.is_event else share("coverage", days, instruments * len(window.days))
    return {"dagster/row_count": rows, **_time("newest", newest), **coverage}


def _time(name: str, moment: datetime | None) -> dict[str, object]:
    return {name: dg.MetadataValue.timestamp(moment.replace(tzinfo=UTC))} if moment else {}


load_steps = [_load_step(get_source(source)) for source in source_rows()]
