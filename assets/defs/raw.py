"""Load as assets: `raw/<source>__<endpoint>` has the typed rows of a source's pages, merged on their natural keys.

One step loads all chosen sources, under the one-writer lock. Partitioned by UTC day; a range of days is one step.
Alone: `perps load --venues binance --from 2025-10-10 --to 2025-10-10`.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime

import dagster as dg
import duckdb

from assets.defs.collected import collected_key, is_collected
from assets.defs.days import is_partitioned, materialized
from assets.defs.landing import landing_key, share
from assets.defs.resources import DAYS, SettingsResource
from assets.runtime.session import Session
from assets.runtime.stages import load_chosen
from pipelines import warehouse
from pipelines.fetch import FetchResult
from pipelines.landing import Entry
from pipelines.load import LoadResult
from pipelines.registry import source_rows
from pipelines.run import Run
from pipelines.source import Endpoint, Source
from pipelines.sources import get_source
from pipelines.windows import DAY

#: A tag of what is there only if a collector runs.
STREAMED = "perplake/streamed"
#: What a day says on which other endpoints of its source were asked. Were it missing, no backfill would come to what reads it.
NOT_DUE = "nothing was requested: the venue's history is shorter, or the setting liquidation_days"


def raw_key(source: Source, endpoint: Endpoint) -> dg.AssetKey:
    return dg.AssetKey(["raw", source.raw_table(endpoint)])


def _spec(source: Source, endpoint: Endpoint) -> dg.AssetSpec:
    return dg.AssetSpec(
        raw_key(source, endpoint),
        deps=[landing_key(source.name), *([collected_key(source.name)] if is_collected(source, endpoint) else [])],
        group_name=source.name,
        kinds={"dlt", "duckdb"},
        partitions_def=DAYS,
        tags={STREAMED: ""} if endpoint.streamed else {},
        metadata={"dagster/column_schema": dg.TableSchema([dg.TableColumn(f.name, str(f.type)) for f in endpoint.schema])},
        description=f"{source_rows()[source.name].title}: {endpoint.name.replace('_', ' ')} as the venue states them, typed, "
        f"one row per {', '.join(endpoint.primary_key)}.",
    )


@dg.multi_asset(
    name="load",
    specs=[_spec(get_source(name), endpoint) for name in source_rows() for endpoint in get_source(name).tables],
    can_subset=True,
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def load_tables(
    context: dg.AssetExecutionContext, settings: SettingsResource, session: dg.ResourceParam[Session]
) -> Iterator[dg.MaterializeResult[None]]:
    """Load all tables of the sources of which a table is selected."""
    run, selected = session.run(context, settings.resolve()), context.selected_asset_keys
    sources = [source for source in map(get_source, source_rows()) if any(raw_key(source, e) in selected for e in source.tables)]
    fetched = {name: f for name, f in session.fetched.get(context.run_id, {}).items() if any(s.name == name for s in sources)}
    database = run.settings.database
    with warehouse.one_writer(database, [source.name for source in sources]):
        loaded = load_chosen(run, sources, {name: result.entries for name, result in fetched.items()})
        with warehouse.connect(database, read_only=True) as connection, warehouse.transaction(connection):
            tables = [(source, e) for source in sources for e in source.tables if raw_key(source, e) in selected]
            content = {raw_key(*table): _content(connection, run, *table) for table in tables}
            rows = {raw_key(*table): _rows_by_day(connection, run, *table) for table in tables}
    session.messages += [
        f"{e.source} {e.path_label}: page {e.page} is in quarantine: {e.problem}"
        for name, result in loaded.items()
        if name not in fetched  # of what this run has fetched, the check `fetched_whole` tells
        for e in result.quarantined
    ] + [f"{e.source} {e.path_label}: page {e.page} is lost: {e.problem}" for result in loaded.values() for e in result.lost]
    for source in sources:
        yield from _materialized(context, run, source, fetched.get(source.name), loaded[source.name], content, rows)


def _materialized(
    context: dg.AssetExecutionContext,
    run: Run,
    source: Source,
    fetched: FetchResult | None,
    loaded: LoadResult,
    content: Mapping[dg.AssetKey, Mapping[str, object]],
    rows_by_day: Mapping[dg.AssetKey, Mapping[date, int]],
) -> Iterator[dg.MaterializeResult[None]]:
    """The selected tables of a source, with what they have and on which days. Each day is an event: after the writer's lock."""
    result = fetched or FetchResult(source.name, _landed(run, source) if is_partitioned(context) else [])
    whole_of_all = result.whole_days(run)
    for endpoint in source.tables:
        key = raw_key(source, endpoint)
        if key not in content:
            continue
        rows = rows_by_day[key]
        # A list as of now belongs to the days that the source answered. So do what streams gave, and the days on which they
        # were heard: a backfill fails where a day is missing. What was not heard is in `coverage_streams`.
        whole = whole_of_all if endpoint.snapshot or endpoint.streamed else result.whole_days(run, endpoint.name)
        not_due = result.days_not_due(run, endpoint.name)
        whole = sorted({*whole, *not_due, *(rows if endpoint.streamed else ())})
        yield materialized(
            context,
            key,
            {
                day: {
                    **({} if endpoint.snapshot else {"dagster/partition_row_count": rows.get(day, 0)}),
                    **({"status": NOT_DUE} if day in not_due else {}),
                }
                for day in whole
            },
            {
                **content[key],
                "merged": loaded.rows.get(endpoint.name, 0),
                "unchanged": endpoint.name in loaded.unchanged,
                "window": str(run.window),
                **({"bytes": sum(e.size for e in fetched.entries if e.endpoint_name == endpoint.name)} if fetched else {}),
                "quarantined": sum(e.endpoint_name == endpoint.name for e in loaded.quarantined),
                "lost": sum(e.endpoint_name == endpoint.name for e in loaded.lost),
            },
        )


def _content(connection: duckdb.DuckDBPyConnection, run: Run, source: Source, endpoint: Endpoint) -> dict[str, object]:
    """Rows of a raw table; of the run's window (of a snapshot: of all time) rows, the newest row, and coverage.

    Coverage is the share of days with a row over the instruments seen, up to the run's clock. Events have none: no row may
    mean that nothing happened.
    """
    table = f'raw."{source.raw_table(endpoint)}"'
    if endpoint.time is None:
        rows, newest = connection.execute(f"SELECT count(*), max(_observed_at) FROM {table}").fetchone() or (0, None)
        return {"dagster/row_count": rows, **_time("newest", newest)}
    total = connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]
    sql = f"""SELECT count(*), max(make_timestamp("{endpoint.time}" * 1000)), count(DISTINCT "{endpoint.key[0]}"),
        count(DISTINCT ("{endpoint.key[0]}", "{endpoint.time}" // {DAY})) FROM {table} WHERE "{endpoint.time}" BETWEEN ? AND ?"""
    window = run.window.before(run.clock.now())
    row = connection.execute(sql, [window.start, window.end - 1]).fetchone()
    rows, newest, instruments, days = row or (0, None, 0, 0)
    coverage = {} if endpoint.is_event else share("coverage", days, instruments * len(window.days))
    return {"dagster/row_count": total, "rows_in_window": rows, **_time("newest", newest), **coverage}


def _landed(run: Run, source: Source) -> list[Entry]:
    """What landing has of a source, where this run has not fetched it."""
    return [e for e in run.landing.iterate() if (e.source, e.market) == (source.name, run.settings.market)]


def _rows_by_day(connection: duckdb.DuckDBPyConnection, run: Run, source: Source, endpoint: Endpoint) -> dict[date, int]:
    """Rows of each UTC day of the run's window; none of a snapshot."""
    if endpoint.time is None:
        return {}
    sql = f"""SELECT make_timestamp("{endpoint.time}" * 1000)::DATE, count(*) FROM raw."{source.raw_table(endpoint)}"
        WHERE "{endpoint.time}" BETWEEN ? AND ? GROUP BY ALL"""
    return dict(connection.execute(sql, [run.window.start, run.window.end - 1]).fetchall())


def _time(name: str, moment: datetime | None) -> dict[str, object]:
    return {name: dg.MetadataValue.timestamp(moment.replace(tzinfo=UTC))} if moment else {}
