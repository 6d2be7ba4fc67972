"""Fetch and load as assets: `landing/<source>` for what a venue sent, `raw/<source>__<dataset>` for its typed rows.

Both are partitioned by UTC day and take a whole range in one step. Fetching runs all chosen sources side by side and writes
only landing; loading is one step per source under the one-writer lock. A source is one group in the graph.
"""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
import duckdb

from assets.interrupts import plain_interrupts
from assets.session import Session
from pipelines import warehouse
from pipelines.fetch import Fetched, fetch
from pipelines.load import load
from pipelines.registry import source_rows
from pipelines.run import Run
from pipelines.source import Endpoint, Source
from pipelines.sources import get_source
from pipelines.windows import DAY

DAYS = dg.DailyPartitionsDefinition(start_date="2019-09-01", end_offset=1)
#: One writer at a time: the limit of this pool is set in the instance's dagster.yaml.
WAREHOUSE_POOL = "warehouse"
WHOLE = "fetched_whole"


def landing_key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["landing", name])


def raw_key(of: Source, dataset: Endpoint) -> dg.AssetKey:
    return dg.AssetKey(["raw", of.table(dataset)])


def _landing_spec(name: str, days: dg.PartitionsDefinition | None) -> dg.AssetSpec:
    row = source_rows()[name]
    key = f" Needs `{row.key}` when live." if row.key else ""
    return dg.AssetSpec(
        landing_key(name),
        group_name=name,
        kinds={"python", "zstd"},
        partitions_def=days,
        description=f"{row.title}: every response of the window as it came, compressed, with a manifest.{key}",
    )


def _fetch_assets(days: dg.PartitionsDefinition | None) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name="fetch",
        specs=[_landing_spec(name, days) for name in source_rows()],
        check_specs=[
            dg.AssetCheckSpec(
                WHOLE,
                asset=landing_key(name),
                description="Every request of the window was answered with a page that can be read. A failed one leaves a gap "
                "that the next run fills; what was had is kept and loaded.",
            )
            for name in source_rows()
        ],
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def fetch_assets(
        context: dg.AssetExecutionContext, session: dg.ResourceParam[Session]
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        """Fetch the chosen sources side by side into landing."""
        run = session.run(context)
        chosen, left_out = run.chosen()
        wanted = {key.path[-1] for key in context.selected_asset_keys}
        session.messages += left_out
        for line in left_out:
            context.log.warning(line)
        with plain_interrupts():
            results = asyncio.run(fetch(run, [s for s in chosen if s.name in wanted], session.progress))
        session.fetched[context.run_id] = {result.source: result for result in results}
        unlisted = set(run.settings.assets) - {"all"} - {asset for result in results for asset in result.assets}
        if unlisted and not any(result.failures for result in results):
            session.messages.append(f"no chosen venue lists {', '.join(sorted(unlisted))}")
        for name in sorted(wanted):
            result = session.fetched[context.run_id].get(name, Fetched(name))
            yield dg.MaterializeResult(asset_key=landing_key(name), metadata=_metadata(run, result))
            yield _whole(name, result)

    return fetch_assets


def _metadata(run: Run, result: Fetched) -> dict[str, object]:
    return {
        "window": str(run.window),
        "origin": run.origin,
        "pages": len(result.entries),
        "bytes": result.bytes,
        **_share("coverage", len(result.entries) - len(result.quarantined), len(result.entries) + len(result.failures)),
        "reused": result.reused,
        "seconds": round(result.seconds, 1),
        "quarantined": len(result.quarantined),
        "run": run.id,
    }


def _share(name: str, part: int, whole: int) -> dict[str, object]:
    """A share as metadata; nothing at all where nothing was expected."""
    return {name: part / whole} if whole else {}


def _whole(name: str, result: Fetched) -> dg.AssetCheckResult:
    quarantined = [
        f"{name} {e.endpoint}: page {e.page} is in quarantine: {e.problem} (field {e.field}, value {e.value}); "
        "the next run asks again"
        for e in result.quarantined
    ]
    problems = [str(failure) for failure in result.failures] + quarantined
    return dg.AssetCheckResult(
        asset_key=landing_key(name),
        check_name=WHOLE,
        passed=not problems,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={"problems": problems, "warnings": result.warnings, "pages": len(result.entries)},
    )


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
                    venues = [of.venue] if of.venue else [s.venue for s in run.chosen()[0] if s.name == of.name]
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
                    **({"bytes": sum(e.size for e in fetched.entries if e.dataset == dataset.name)} if fetched else {}),
                    "quarantined": sum(e.dataset == dataset.name for e in loaded.quarantined),
                },
            )

    return load_assets


def _held(connection: duckdb.DuckDBPyConnection, run: Run, of: Source, dataset: Endpoint) -> dict[str, object]:
    """What a raw table holds of the run's window (a snapshot: altogether): rows, the newest of them, and coverage, the share
    of days with a row over the instruments seen, up to the run's clock. Events have none: no row may mean that nothing happened.
    """
    name = f'raw."{of.table(dataset)}"'
    if dataset.time is None:
        rows, newest = connection.execute(f"SELECT count(*), max(_observed_at) FROM {name}").fetchone() or (0, None)
        return {"dagster/row_count": rows, **_time("newest", newest)}
    asked = f"""SELECT count(*), max(make_timestamp("{dataset.time}" * 1000)), count(DISTINCT "{dataset.key[0]}"),
        count(DISTINCT ("{dataset.key[0]}", "{dataset.time}" // {DAY})) FROM {name} WHERE "{dataset.time}" BETWEEN ? AND ?"""
    window = run.window.before(run.clock.now())
    found = connection.execute(asked, [window.start, window.end - 1]).fetchone()
    rows, newest, instruments, days = found or (0, None, 0, 0)
    event = dataset.default_days is not None
    coverage = {} if event else _share("coverage", days, instruments * len(window.days))
    return {"dagster/row_count": rows, **_time("newest", newest), **coverage}


def _time(name: str, moment: datetime | None) -> dict[str, object]:
    return {name: dg.MetadataValue.timestamp(moment.replace(tzinfo=UTC))} if moment else {}


def assets(partitioned: bool) -> list[dg.AssetsDefinition]:
    """Fetch and one load per source, by UTC day or for the session's window."""
    days = DAYS if partitioned else None
    return [_fetch_assets(days), *(_load_assets(get_source(name), days) for name in source_rows())]
