"""Fetch and load without Dagster: what the assets of these layers and `perps fetch`, `perps load` share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pipelines import warehouse
from pipelines.fetch import FetchResult
from pipelines.landing import Entry
from pipelines.load import LoadResult, load_sources
from pipelines.registry import source_rows
from pipelines.run import Run
from pipelines.source import Source


def fetch_problems(result: FetchResult) -> list[str]:
    """A message for each request that failed, each page that could not be read, and each page of a series that lost rows.

    A row that is left out of a list is a warning of the fetch: the list's other rows are what is asked for.
    """
    again = "the next run requests it again"
    return (
        [str(failure) for failure in result.failures]
        + [
            f"{result.source} {e.path_label}: page {e.page} is in quarantine: {e.problem} (field {e.field}, value {e.value}); "
            f"{again}"
            for e in result.quarantined
        ]
        + [
            f"{result.source} {e.path_label}: {len(e.flaws)} of the rows of page {e.page} in quarantine, such as "
            f"{e.flaws[0].place} = {e.flaws[0].value}: {e.flaws[0].problem}; {again}"
            for e in result.incomplete
        ]
    )


def unlisted_assets(run: Run, results: Sequence[FetchResult]) -> list[str]:
    """A note on the assets that no chosen venue lists; none where a venue's list of instruments may be missing."""
    unlisted = set(run.settings.assets) - {"all"} - {asset for result in results for asset in result.assets}
    complete = not any(result.failures for result in results)
    if not unlisted or not complete:
        return []
    listed = '`perps query "select distinct base_asset from marts.dim_instruments"`'
    names = ", ".join(sorted(unlisted))
    return [f"no chosen venue lists {names}: correct --assets or add --venues; {listed} prints what a run has found"]


def load_chosen(run: Run, sources: Sequence[Source], fetched: Mapping[str, Iterable[Entry]]) -> dict[str, LoadResult]:
    """Merge the pages of sources into raw, and note what the warehouse is now expected to cover; the results by source.

    `fetched` as in `load_sources`. The caller has the writer's lock.
    """
    settings = run.settings
    with warehouse.noting(settings.database) as connection:
        warehouse.prepare(connection, settings.market)
        with warehouse.transaction(connection):
            for source in sources:
                if source.name not in settings.sources:
                    continue
                parts = [source] if source.venue else run.chosen_sources()[0]
                venues = [part.venue for part in parts if part.name == source.name]
                if source_rows()[source.name].is_reference_only:
                    venues = []  # references have no expected coverage
                warehouse.note_run(
                    connection,
                    settings.market,
                    run.origin,
                    settings.mode,
                    run.window,
                    run.clock.now(),
                    settings.assets,
                    venues,
                    source.name,
                )
    return load_sources(run, sources, fetched)
