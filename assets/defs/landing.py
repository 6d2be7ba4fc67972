"""Fetch as assets: `landing/<source>` has every response of a source as it came, compressed, with a manifest.

One step requests all chosen sources side by side and writes only landing. Partitioned by UTC day; a range of days is one step.
Alone: `perps fetch --venues binance --from 2025-10-10 --to 2025-10-10`.
"""

import asyncio
from collections.abc import Iterator

import dagster as dg

from assets.defs.resources import DAYS, SettingsResource
from assets.runtime.interrupts import plain_interrupts
from assets.runtime.session import Session
from assets.runtime.stages import fetch_problems, unlisted_assets
from pipelines.fetch import FetchResult, fetch
from pipelines.registry import source_rows
from pipelines.run import Run

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
    run = session.run(context, settings.resolve())
    chosen, notes = run.chosen_sources()
    selected = {key.path[-1] for key in context.selected_asset_keys}
    session.messages += notes
    for note in notes:
        context.log.warning(note)
    with plain_interrupts():
        results = asyncio.run(fetch(run, [source for source in chosen if source.name in selected], session.progress))
    session.fetched[context.run_id] = {result.source: result for result in results}
    unlisted = unlisted_assets(run, results)
    if unlisted and not any(result.assets for result in results):
        raise ValueError(*unlisted)  # there is nothing to load
    session.messages += unlisted
    for source in sorted(selected):
        result = session.fetched[context.run_id].get(source, FetchResult(source))
        yield dg.MaterializeResult(asset_key=landing_key(source), metadata=_metadata(run, result))
        yield fetched_whole_check(result)


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


def share(name: str, part: int, whole: int) -> dict[str, object]:
    """A share as metadata; empty where nothing was expected."""
    return {name: part / whole} if whole else {}


def fetched_whole_check(result: FetchResult) -> dg.AssetCheckResult:
    problems = fetch_problems(result)
    return dg.AssetCheckResult(
        asset_key=landing_key(result.source),
        check_name=FETCHED_WHOLE,
        passed=not problems,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={"problems": problems, "warnings": result.warnings, "pages": len(result.entries)},
    )
