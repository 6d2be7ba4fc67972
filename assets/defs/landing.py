"""Fetch as assets: `landing/<source>` holds every response of a venue as it came.

One step asks all chosen sources side by side and writes only landing. Partitioned by UTC day; a range is one step.
Alone: `perps run --venues binance --from 2025-10-10 --to 2025-10-10`.
"""

import asyncio
from collections.abc import Iterator

import dagster as dg

from assets.defs.resources import DAYS
from assets.runtime.interrupts import plain_interrupts
from assets.runtime.session import Session
from pipelines.fetch import FetchResult, fetch
from pipelines.registry import source_rows
from pipelines.run import Run

WHOLE = "fetched_whole"


def landing_key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["landing", name])


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


def assets(days: dg.PartitionsDefinition | None = DAYS) -> dg.AssetsDefinition:
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
        chosen, left_out = run.chosen_sources()
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
            result = session.fetched[context.run_id].get(name, FetchResult(name))
            yield dg.MaterializeResult(asset_key=landing_key(name), metadata=_metadata(run, result))
            yield _whole(name, result)

    return fetch_assets


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
        "run": run.id,
    }


def share(name: str, part: int, whole: int) -> dict[str, object]:
    """A share as metadata; nothing at all where nothing was expected."""
    return {name: part / whole} if whole else {}


def _whole(name: str, result: FetchResult) -> dg.AssetCheckResult:
    quarantined = [
        f"{name} {e.path_label}: page {e.page} is in quarantine: {e.problem} (field {e.field}, value {e.value}); "
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
