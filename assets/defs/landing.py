"""Fetch as assets: `landing/<source>` has every response of a source as it came, compressed, with a manifest.

One step requests all chosen sources side by side and writes only landing. Partitioned by UTC day; a range of days is one step.
Alone: `perps fetch --venues binance --from 2025-10-10 --to 2025-10-10`.
"""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import date

import dagster as dg

from assets.defs.days import is_partitioned, materialized, not_materialized
from assets.defs.resources import DAYS, SettingsResource
from assets.runtime.interrupts import plain_interrupts
from assets.runtime.outcomes import last_evaluations
from assets.runtime.session import Session
from assets.runtime.stages import fetch_problems, unlisted_assets
from pipelines.fetch import FetchResult, fetch
from pipelines.registry import source_rows
from pipelines.run import Run
from pipelines.windows import DAY

FETCHED_WHOLE = "fetched_whole"


def landing_key(source: str) -> dg.AssetKey:
    return dg.AssetKey(["landing", source])


def _spec(source: str) -> dg.AssetSpec:
    row = source_rows()[source]
    key = f" Needs `{row.key}` when live." if row.key else ""
    return dg.AssetSpec(
        landing_key(source),
        group_name=source,
        kinds={"python", "zstd"},
        partitions_def=DAYS,
        description=f"{row.title}: every response of the window as it came, compressed, with a manifest.{key}",
    )


@dg.multi_asset(
    name="fetch",
    specs=[_spec(source) for source in source_rows()],
    check_specs=[
        dg.AssetCheckSpec(
            FETCHED_WHOLE,
            asset=landing_key(source),
            description="Every request of the window was answered with a readable page. A failed request leaves a gap that the "
            "next run fills; the pages that came are kept and loaded.",
        )
        for source in source_rows()
    ],
    can_subset=True,
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def fetch_sources(
    context: dg.AssetExecutionContext, settings: SettingsResource, session: dg.ResourceParam[Session]
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """Fetch the chosen sources side by side into landing."""
    selected = {key.path[-1] for key in context.selected_asset_keys}
    if not selected:
        yield from _told_again(context)
        return
    run = session.run(context, settings.resolve())
    chosen, notes = run.chosen_sources()
    session.messages += notes
    for note in notes:
        context.log.warning(note)
    with plain_interrupts():
        results = asyncio.run(fetch(run, [source for source in chosen if source.name in selected], session.progress))
    session.end_requests()
    session.fetched[context.run_id] = {result.source: result for result in results}
    unlisted = unlisted_assets(run, results)
    if unlisted and not any(result.assets for result in results):
        raise ValueError(*unlisted)  # there is nothing to load
    session.messages += unlisted
    for source in sorted(selected):
        result = session.fetched[context.run_id].get(source)
        if result is None:  # a run of the command line has a note for each
            left_out = f"{source} was not fetched: it is not among the chosen venues (`venues` in the settings), or lacks its key"
            yield not_materialized(landing_key(source))
            yield fetched_whole_check(FetchResult(source), [left_out] if is_partitioned(context) else [], is_error=False)
            continue
        session.whole_days[source] = days = result.whole_days(run)
        yield materialized(context, landing_key(source), {day: {} for day in days}, _metadata(run, result))
        yield fetched_whole_check(result, _missing(run, days) if is_partitioned(context) else [])


def _told_again(context: dg.AssetExecutionContext) -> Iterator[dg.AssetCheckResult]:
    """Of checks that are executed alone the last result: they tell how a fetch ended, and only a fetch can change that."""
    told = last_evaluations(context.instance, context.selected_asset_check_keys)
    if not told:
        raise dg.Failure(f"{FETCHED_WHOLE} tells how a fetch ended, and there was none: materialise the asset")
    for key, last in told.items():
        context.log.warning(f"{key.to_user_string()} tells how the last fetch ended: materialise the asset to fetch again")
        yield dg.AssetCheckResult(
            asset_key=key.asset_key, check_name=key.name, passed=last.passed, severity=last.severity, metadata=last.metadata
        )


def _metadata(run: Run, result: FetchResult) -> dict[str, object]:
    return {
        "window": str(run.window),
        "origin": run.origin,
        "pages": len(result.entries),
        "bytes": result.bytes,
        **share("coverage", len(result.entries) - len(result.quarantined), len(result.entries) + len(result.failures)),
        "reused": result.reused,
        "seconds": round(result.seconds, 1),
        "quarantined": len(result.quarantined),
        "rows_left_out": sum(len(entry.flaws) for entry in result.entries),
        "rows_outside_windows": sum(map(len, result.times_outside.values())),
        "run": run.id,
    }


def _missing(run: Run, days: list[date]) -> list[str]:
    """A problem that names the days of the window that are over and stay missing."""
    over = run.window.before(run.clock.now() // DAY * DAY)
    missing = [day for day in over.days if day not in days]
    if not missing:
        return []
    named = f"{missing[0]}" if len(missing) == 1 else f"{len(missing)} days, {missing[0]} to {missing[-1]}"
    return [f"{named}: not answered whole, or not in the venue's history any more: not marked as materialised"]


def share(name: str, part: int, whole: int) -> dict[str, object]:
    """A share as metadata; empty where nothing was expected."""
    return {name: part / whole} if whole else {}


def fetched_whole_check(result: FetchResult, missing: Sequence[str] = (), is_error: bool = True) -> dg.AssetCheckResult:
    """Failed where a request failed, or a day of a partitioned run (`missing` names them) is not whole."""
    problems = [*fetch_problems(result), *missing]
    return dg.AssetCheckResult(
        asset_key=landing_key(result.source),
        check_name=FETCHED_WHOLE,
        passed=not problems,
        severity=dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN,
        metadata={
            **({"summary": "; ".join(problems)[:1000]} if problems else {}),  # the lists take a click to be seen
            "problems": problems,
            "warnings": result.warnings,
            "pages": len(result.entries),
        },
    )
