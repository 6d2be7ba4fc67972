"""Load: decode pages from landing into Arrow tables, and merge them on their natural keys into `raw` with dlt.

Loading depends on the pages alone, whether they came from a venue, a replay or an archive: once a bug in a parser is fixed, the
same pages are loaded again. One dlt pipeline has the endpoints of all sources as resources and tables of many pages: most of what
dlt costs is by run. A page, or a row, that can't be read goes to quarantine; the others are loaded.
Alone: `perps load --venues binance --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

import gc
import hashlib
import logging
import os
import shutil
import sys
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import chain, groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random

from pipelines import __version__, ducklake, records, warehouse
from pipelines.landing import AGAIN, Entry
from pipelines.page_tables import page_table
from pipelines.reading import Flaw, Unreadable, read
from pipelines.run import Run
from pipelines.source import Endpoint, Instrument, Source
from pipelines.windows import DAY, HOUR, Window, to_datetime

log = logging.getLogger("perplake.load")

#: Rows in one Arrow table handed to dlt, and in one dlt run: they bound memory, whatever the size of a backfill.
ROWS_A_TABLE = 100_000
ROWS_A_LOAD = 600_000
#: What becomes of a page that can't be read and can't be requested again.
GONE = "the venue sends its time no more, so {} can bring it back: what no other page has of it is a gap (`perps gaps`)"

Batch = list[tuple[Source, Endpoint, pa.Table]]


class LoadIncomplete(RuntimeError):
    """dlt reports success, but stored fewer rows than it was given."""


@dataclass
class LoadResult:
    """The outcome of one source's load: merged rows by endpoint, quarantined pages and rows, endpoints without new pages."""

    source: str
    rows: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    pages: int = 0
    bytes: int = 0
    quarantined: list[Entry] = field(default_factory=list)
    #: Pages in quarantine of a time that no venue sends again: a gap, which no later load can mend.
    lost: list[Entry] = field(default_factory=list)
    #: Rows that were left out of a page, with the page's entry.
    flaws: list[tuple[Entry, Flaw]] = field(default_factory=list)
    #: The answers (endpoint, run, context) with a page or a row that could not be read: they don't tell what there isn't.
    unread: set[tuple[Any, ...]] = field(default_factory=set)
    unchanged: list[str] = field(default_factory=list)
    #: By endpoint of events and run: the time of the oldest one in the run's pages, in milliseconds.
    oldest_event: dict[tuple[str, str], int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Task:
    """Pages to load of an endpoint, among all of its pages; `digest` identifies all that the result depends on."""

    source: Source
    endpoint: Endpoint
    entries: Sequence[Entry]
    digest: str
    all_entries: Sequence[Entry]


def load(run: Run, source: Source, entries: Iterable[Entry] | None = None) -> LoadResult:
    """Merge one source's pages for the run's window into the warehouse: `load_sources` of it alone."""
    return load_sources(run, [source], {} if entries is None else {source.name: entries})[source.name]


def load_sources(run: Run, sources: Sequence[Source], fetched: Mapping[str, Iterable[Entry]]) -> dict[str, LoadResult]:
    """Merge the pages of sources for the run's window into the warehouse; the results by the source's name.

    `fetched` are the pages of this run by source, to which those of the collector are added; for sources that are not in it all
    pages in landing are searched. Raises `LoadIncomplete` when dlt stored fewer rows than it was given.
    """
    # Open throughout: dlt opens and closes the file some ten times, and each time would read the catalog and write a checkpoint.
    with warehouse.connect(run.settings.database):
        return _load_sources(run, sources, fetched)


def _load_sources(run: Run, sources: Sequence[Source], fetched: Mapping[str, Iterable[Entry]]) -> dict[str, LoadResult]:
    results = {source.name: LoadResult(source.name) for source in sources}
    pages: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in _pages(run, set(results), fetched):
        if entry.market == run.settings.market and entry.overlaps(run.window):
            pages[entry.source, entry.endpoint_name].append(entry)
    tasks: list[_Task] = []
    with warehouse.noting(run.settings.database) as connection:
        warehouse.prepare(connection, run.settings.market)
        with warehouse.transaction(connection):  # in a lake, each statement alone would ask for the newest snapshot
            for source in sources:
                for endpoint in source.tables:
                    ordered = sorted(pages[source.name, endpoint.name], key=in_order)
                    if endpoint.snapshot:  # of which each time of observation has rows of its own
                        ordered.sort(key=attrgetter("observed_at"))
                    parts = [(part, _digest(endpoint, run.window, part)) for part in _parts(endpoint, ordered)]
                    of_endpoint = [_Task(source, endpoint, part, digest, ordered) for part, digest in parts]
                    loaded = _loaded(connection, source, endpoint) if of_endpoint else set()
                    new = [task for task in of_endpoint if task.digest not in loaded]
                    tasks += new
                    if not new:
                        results[source.name].unchanged.append(endpoint.name)
            for task in tasks:
                warehouse.mark_changed(connection, _changed_window(task, run.window))
    with _without_garbage_collection():
        for batch in _read_ahead(_batches(run, tasks, results)):
            _merge(run, batch, results)
            del batch
            gc.collect()  # dlt leaves the tables that it was given in cycles
    with warehouse.noting(run.settings.database) as connection:
        for source in sources:
            with warehouse.transaction(connection):
                _note(connection, run, source, [task for task in tasks if task.source is source], results[source.name])
    return results


def _pages(run: Run, names: set[str], fetched: Mapping[str, Iterable[Entry]]) -> Iterator[Entry]:
    """The pages of these sources: those given and collected, else all that landing has."""
    for name in names & fetched.keys():
        yield from (e for e in chain(fetched[name], run.collected.get(name, ())) if e.source == name)
    if searched := names - fetched.keys():
        yield from (e for e in run.landing.iterate() if e.source in searched)


def _note(connection: duckdb.DuckDBPyConnection, run: Run, source: Source, tasks: Sequence[_Task], result: LoadResult) -> None:
    """Note what of a source could not be read, which pages are loaded, and what its answers say that there isn't."""
    unreadable = [*result.quarantined, *result.lost]
    rows = [_quarantine_row(e, Flaw(e.field, e.value, e.problem)) for e in unreadable]
    rows += [_quarantine_row(e, flaw) for e, flaw in result.flaws]
    read_pages = {(source.name, e.endpoint_name, e.page) for task in tasks for e in task.entries}
    noted = {page: first for page, first in warehouse.quarantined(connection, source.name).items() if page not in read_pages}
    read_pages |= _mended(run, source, tasks, noted)
    warehouse.note_quarantine(connection, read_pages, rows)
    quarantined = {e.endpoint_name for e in [*unreadable, *(e for e, _ in result.flaws)]}
    # What is in quarantine is loaded again once the parser is fixed, or a backup of landing has the page.
    digests = [(source.name, task.endpoint.name, task.digest) for task in tasks if task.endpoint.name not in quarantined]
    warehouse.put(connection, "loads", digests)
    for task in tasks:
        name = task.endpoint.name
        # What a run's answers tell is the same whether other runs are loaded with it or not.
        by_run: dict[str, list[Entry]] = defaultdict(list)
        for e in task.entries:
            if (name, *_answer(e)) not in result.unread:
                by_run[e.run].append(e)
        for fetched_by, answers in by_run.items():
            _note_silent_windows(connection, source, answers)
            if name == "instruments":
                _note_whole_lists(connection, run, source, task.endpoint, answers)
            if task.endpoint.is_event:
                oldest = result.oldest_event.get((name, fetched_by), sys.maxsize)
                _note_complete_windows(connection, source, task.endpoint, answers, oldest)


def in_order(entry: Entry) -> tuple[Any, ...]:
    """The order of pages: what came later counts, also under a clock that stands still, or that was set back.

    The ids of runs are in the order in which the runs began, whatever the clock says (`Run.begin`). Of two runs at the same time
    the one that began later counts, of two pages of one run the one that came later.
    """
    return entry.run, entry.observed_at, entry.place, entry.sha256, entry.window or ()


def _answer(entry: Entry) -> tuple[str, tuple[tuple[str, str], ...]]:
    """What the pages that answer one plan have in common: the run and the context."""
    return entry.run, tuple(entry.context.items())


def _parts(endpoint: Endpoint, entries: Sequence[Entry]) -> list[Sequence[Entry]]:
    """The pages that are loaded together: all of an endpoint; of a snapshot, which may come each minute, those of an hour; of
    files those of one window, so that a new file does not make the others be read again."""
    if endpoint.snapshot:
        return [list(part) for _, part in groupby(entries, lambda entry: entry.observed_at // HOUR)]
    parts: defaultdict[Any, list[Entry]] = defaultdict(list)
    for entry in entries:
        parts[entry.window if endpoint.bulk or endpoint.columnar else None].append(entry)
    return list(parts.values())


def _changed_window(task: _Task, window: Window) -> Window:
    """The hull of the times that the pages can have rows of; for a snapshot, the hours in which it was observed."""
    entries = task.entries
    if task.endpoint.snapshot:
        return Window(entries[0].observed_at // HOUR * HOUR, entries[-1].observed_at // HOUR * HOUR + HOUR)
    windows = [Window(*e.window) if e.window else window for e in entries]
    return Window(min(w.start for w in windows), max(w.end for w in windows))


def _digest(endpoint: Endpoint, window: Window, entries: Sequence[Entry]) -> str:
    """A hash of all that a load depends on: the pages, the window that clips them, the type that reads them."""
    parts = [__version__, str(endpoint.schema), *(f"{e.sha256}{e.observed_at}{e.window}" for e in entries)]
    if any(e.window is None for e in entries):
        parts.append(str(window))
    return hashlib.sha256("|".join(parts).encode()).hexdigest()


def _loaded(connection: duckdb.DuckDBPyConnection, source: Source, endpoint: Endpoint) -> set[str]:
    """The digests of what is loaded of an endpoint."""
    sql = "SELECT digest FROM meta.loads WHERE source = ? AND dataset = ?"
    return {digest for (digest,) in connection.execute(sql, [source.name, endpoint.name]).fetchall()}


def _note_complete_windows(
    connection: duckdb.DuckDBPyConnection, source: Source, endpoint: Endpoint, entries: Sequence[Entry], oldest: int
) -> None:
    """For events, where a window without rows can be complete: note the windows that a run read to their last page.

    They begin where the venue is proven to keep its events, or else at the oldest event of any instrument: before it, silence may
    be forgetting. An instrument with empty pages alone is left out: the venue may have no data about it.
    """
    with_records = {tuple(e.context.items()) for e in entries if not e.empty}
    rows = []
    for e in entries:
        if e.last and e.window and not e.problem and not e.flaws and tuple(e.context.items()) in with_records:
            proven_from = int(max(0, e.observed_at - endpoint.proven_days * DAY))
            window = Window(*e.window).after(min(oldest, proven_from))
            if not window:
                continue
            symbol = e.context.get("symbol", "")
            rows.append([source.name, endpoint.name, symbol, warehouse.naive(window.start), warehouse.naive(window.end)])
    warehouse.put(connection, "loaded_windows", rows)


def _note_silent_windows(connection: duckdb.DuckDBPyConnection, source: Source, entries: Sequence[Entry]) -> None:
    """For bars: note the windows of which the venue was asked in a run a second time for what was missing, and had nothing more.

    Where it has no bar of any instrument, it may have none to give now.
    """
    if not any(not e.empty for e in entries):
        return
    rows = [
        [source.name, e.endpoint_name, e.context.get("venue", source.venue), e.silent, *map(warehouse.naive, e.window)]
        for e in entries
        if e.silent and e.window
    ]
    warehouse.put(connection, "silent_windows", rows)


def _note_whole_lists(
    connection: duckdb.DuckDBPyConnection, run: Run, source: Source, endpoint: Endpoint, entries: Sequence[Entry]
) -> None:
    """For lists of instruments: note those of a run that came whole, all requests to their last pages and every row readable."""
    planned = len(list(endpoint.plan(Instrument("", ""), run.window)))
    ended = Counter(e.context.get("venue", source.venue) for e in entries if e.last)
    venues = {e.context.get("venue", source.venue) for e in entries if not e.empty}
    at = warehouse.naive(entries[0].observed_at)
    rows = [[source.name, venue, at] for venue in sorted(venues) if ended[venue] >= planned]
    warehouse.put(connection, "whole_lists", rows)


def _quarantine_row(e: Entry, flaw: Flaw) -> tuple[Any, ...]:
    at = warehouse.naive(e.observed_at)
    return (e.source, e.endpoint_name, e.path_label, flaw.place, flaw.value, flaw.problem, e.page, e.run, at)


def _batches(run: Run, tasks: Iterable[_Task], results: Mapping[str, LoadResult]) -> Iterator[Batch]:
    """The tables of all sources' endpoints, in batches of about `ROWS_A_LOAD` rows."""
    batch: Batch = []
    rows = 0
    for task in tasks:
        for table in arrow_tables(run, task.endpoint, task.entries, results[task.source.name], task.all_entries):
            batch.append((task.source, task.endpoint, table))
            rows += table.num_rows
            if rows >= ROWS_A_LOAD:
                yield batch
                batch, rows = [], 0
    if batch:
        yield batch


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Millions of rows without reference cycles: searching them for cycles takes a quarter of the reading time.

    What was made before the block is never searched again, so that collecting within it is quick.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _read_ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches, each read (by Python) while the one before is stored (by DuckDB)."""
    with ThreadPoolExecutor(1) as reader:
        following = reader.submit(next, batches, None)
        while batch := following.result():
            following = reader.submit(next, batches, None)
            yield batch


def arrow_tables(
    run: Run, endpoint: Endpoint, entries: Sequence[Entry], result: LoadResult, all_entries: Sequence[Entry] = ()
) -> Iterator[pa.Table]:
    """An endpoint's pages as Arrow tables of about `ROWS_A_TABLE` rows, each page clipped to its window and to finished bars.

    A page that can't be read is quarantined, unless these pages, or `all_entries`, answer its request again.
    """
    pending: list[pa.Table] = []
    count = 0
    for entry in entries:
        result.pages += 1
        try:
            whole, flaws, oldest = _page(run, endpoint, entry)
            table = _clip(endpoint, run.window, entry, whole)
        except Exception as problem:  # no page may stop the load of the others, in this run or a later one
            result.unread.add((entry.endpoint_name, *_answer(entry)))
            unanswered = _unanswered(entry, all_entries or entries)
            if not unanswered:
                log.info("%s %s: page %s can't be read; it was requested again since", entry.source, entry.path_label, entry.page)
                continue
            flaw = problem.flaw if isinstance(problem, Unreadable) else Flaw("$", "", str(problem) or type(problem).__name__)
            lost, reason = not any(run.kept(endpoint, part) for part in unanswered), flaw.problem
            if lost:
                gone = GONE.format("nothing" if isinstance(problem, OSError) else "only a corrected parser")
                reason = f"{reason.removesuffix(f'; {AGAIN}')}; {gone}"
            unread = msgspec.structs.replace(entry, problem=reason, field=flaw.place, value=flaw.value)
            (result.lost if lost else result.quarantined).append(unread)
            log.error("%s %s: page %s is quarantined: %s", entry.source, entry.path_label, entry.page, reason)
            continue
        result.bytes += entry.size
        if oldest is not None:
            of_run = (endpoint.name, entry.run)
            result.oldest_event[of_run] = min(oldest, result.oldest_event.get(of_run, oldest))
        if flaws:
            result.unread.add((entry.endpoint_name, *_answer(entry)))
            if _unanswered(entry, [e for e in all_entries or entries if e.page != entry.page]):
                result.flaws += [(entry, flaw) for flaw in flaws]
        if table.num_rows:
            pending.append(table)
            count += table.num_rows
        if count >= ROWS_A_TABLE:
            yield pa.concat_tables(pending)
            pending, count = [], 0
    if pending:
        yield pa.concat_tables(pending)


def _page(run: Run, endpoint: Endpoint, entry: Entry) -> tuple[pa.Table, list[Flaw], int | None]:
    """A page's table, the flaws of rows that it lacks, and the time of the oldest event that it has, in milliseconds."""
    is_timed = endpoint.is_event and endpoint.time
    if (table := run.decoded.take(entry)) is not None:
        return table, [], pc.min(table[endpoint.time]).as_py() if is_timed else None
    reading = read(endpoint, run.landing.body(entry))
    rows = reading.rows
    if entry.only:
        rows = [row for row in rows if getattr(row, endpoint.key[0]) in entry.only]
    oldest = min(records.values(reading.rows, endpoint.time), default=None) if is_timed and endpoint.time else None
    return page_table(endpoint, entry, rows), reading.flaws, oldest


def _mended(
    run: Run, source: Source, tasks: Iterable[_Task], noted: Mapping[tuple[str, str, str], str]
) -> set[tuple[str, str, str]]:
    """Those of the noted pages (source, endpoint's name, page) whose request was answered again by pages of these tasks.

    With each page comes the first run that noted it: the manifests of runs before are not read.
    """
    if not noted:
        return set()
    pages = {task.endpoint.name: task.all_entries for task in tasks}
    runs = run.landing.runs_since(min(noted.values()))
    earlier = (e for e in run.landing.iterate(runs) if (source.name, e.endpoint_name, e.page) in noted)
    return {
        (source.name, e.endpoint_name, e.page)
        for e in earlier
        if not _unanswered(e, [later for later in pages.get(e.endpoint_name, ()) if later.page != e.page])
    }


def _unanswered(entry: Entry, entries: Iterable[Entry]) -> list[Window]:
    """The parts of a page's window that no later run has of these pages: none where one answers the same request.

    Other pages count where they end an answer that came whole. A page without a window is one of the time of its request.
    """
    later = [e for e in entries if e.run > entry.run and not e.problem and e.context == entry.context]
    if any((e.path_label, e.params, e.body) == (entry.path_label, entry.params, entry.body) for e in later):
        return []
    window = Window(*entry.window) if entry.window else Window(entry.observed_at, entry.observed_at + 1)
    return window.without([Window(*e.window) for e in later if e.whole and e.window])


def _clip(endpoint: Endpoint, window: Window, entry: Entry, table: pa.Table) -> pa.Table:
    """Rows of the page's own window (or of the run's, where the endpoint takes none), without bars that were not over."""
    if endpoint.time is None or endpoint.streamed or not table.num_rows:
        return table
    requested = (Window(*entry.window) if entry.window else window).widened(endpoint.cut_late)
    end = min(requested.end, entry.observed_at - endpoint.bar + 1) if endpoint.bar else requested.end
    time = table[endpoint.time]
    first, last = pc.min_max(time).as_py().values()
    if requested.start <= first and last < end:
        return table
    return table.filter(pc.and_(pc.greater_equal(time, requested.start), pc.less(time, end)))


def latest(endpoint: Endpoint, table: pa.Table) -> pa.Table:
    """One row per key: the last one, which was observed last. Most tables have no key twice, which is a fast check."""
    keys = list(endpoint.primary_key)
    if table.group_by(keys, use_threads=False).aggregate([]).num_rows == table.num_rows:
        return table
    numbered = table.append_column("_row", pa.array(range(table.num_rows)))
    return table.take(numbered.group_by(keys).aggregate([("_row", "max")])["_row_max"].combine_chunks().sort())


def _merge(run: Run, batch: Batch, results: Mapping[str, LoadResult]) -> None:
    """Store a batch: by dlt in a file, in one transaction in a lake."""
    given: dict[str, list[tuple[Source, Endpoint, pa.Table]]] = defaultdict(list)
    for source, endpoint, table in batch:
        given[source.raw_table(endpoint)].append((source, endpoint, table))
    whole = {name: (*parts[0][:2], pa.concat_tables([part for _, _, part in parts])) for name, parts in given.items()}
    merged = _merge_into_lake(run, whole) if ducklake.is_lake(run.settings.database) else _merge_by_dlt(run, whole)
    for name, rows in merged.items():
        source, endpoint, _ = whole[name]
        results[source.name].rows[endpoint.name] += rows


def _merge_by_dlt(run: Run, given: Mapping[str, tuple[Source, Endpoint, pa.Table]]) -> dict[str, int]:
    """One dlt run; the rows stored by table. Packages of a killed run are dropped first: dlt would load those instead."""
    dlt = _dlt()
    pipeline = dlt.pipeline(
        pipeline_name="raw",
        pipelines_dir=str(run.settings.database.parent.resolve() / ".dlt" / run.settings.database.stem),
        destination=dlt.destinations.duckdb(str(run.settings.database)),
        dataset_name="raw",
    )
    pipeline.abort_packages()
    folder = Path(pipeline.working_dir) / "tables"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    resources, rows = [], {}
    with warehouse.connect(run.settings.database) as connection:
        for name, (source, endpoint, pages) in given.items():
            table, all_new = _to_merge(connection, run, source, endpoint, pages)
            rows[name] = table.num_rows
            _write(table, file := folder / f"{name}.parquet")
            resources.append(_resource(dlt, name, endpoint, file, table.num_rows, all_new))
    pipeline.run(resources, loader_file_format="parquet")
    counts = pipeline.last_trace.last_normalize_info.row_counts
    for name, count in rows.items():
        if counts.get(name, 0) != count:
            raise LoadIncomplete(f"{name}: {count} rows given, {counts.get(name, 0)} stored; run again")
    shutil.rmtree(folder)
    return rows


@retry(
    retry=retry_if_exception_type(duckdb.TransactionException), stop=stop_after_attempt(5), wait=wait_random(0, 2), reraise=True
)
def _merge_into_lake(run: Run, given: Mapping[str, tuple[Source, Endpoint, pa.Table]]) -> dict[str, int]:
    """One transaction, and so one snapshot; the rows stored by table. Again where another worker's commit is in its way.

    dlt's destination for lakes would write each row twice, first into a schema that all workers share.
    """
    rows = {}
    with warehouse.connect(run.settings.database) as connection, warehouse.transaction(connection):
        for name, (source, endpoint, pages) in given.items():
            table, all_new = _to_merge(connection, run, source, endpoint, pages)
            stored, keys = f'raw."{name}"', ", ".join(f'"{key}"' for key in endpoint.primary_key)
            rows_to_store = connection.from_arrow(table)  # noqa: F841, DuckDB finds it by its name
            if not all_new:
                connection.execute(f"DELETE FROM {stored} WHERE ({keys}) IN (SELECT ({keys}) FROM rows_to_store)")
            connection.execute(f"INSERT INTO {stored} BY NAME FROM rows_to_store")
            rows[name] = table.num_rows
    return rows


def _all_new(connection: duckdb.DuckDBPyConnection, name: str, endpoint: Endpoint, table: pa.Table) -> bool:
    """True if the raw table has none of these keys."""
    keys = ", ".join(f'"{key}"' for key in endpoint.primary_key)
    given = connection.from_arrow(table.select(list(endpoint.primary_key)))  # noqa: F841, DuckDB finds it by its name
    return connection.execute(f'SELECT 1 FROM raw."{name}" SEMI JOIN given USING ({keys}) LIMIT 1').fetchone() is None


def _to_merge(
    connection: duckdb.DuckDBPyConnection, run: Run, source: Source, endpoint: Endpoint, given: pa.Table
) -> tuple[pa.Table, bool]:
    """The rows that the raw table lacks, of each key the last observation, and whether all of their keys are new.

    Other observations that differ are noted before, so that a killed load notes them again.
    """
    table, name = latest(endpoint, given), source.raw_table(endpoint)
    all_new = _all_new(connection, name, endpoint, table)
    if not all_new or table is not given:
        _note_versions(connection, run, source, endpoint, given)
    return (table, True) if all_new else (_without_older(connection, name, endpoint, table), False)


def _without_older(connection: duckdb.DuckDBPyConnection, name: str, endpoint: Endpoint, table: pa.Table) -> pa.Table:
    """The rows except those of which the raw table has a version that came later."""
    same = " AND ".join(f'given."{key}" = stored."{key}"' for key in endpoint.primary_key)
    given = connection.from_arrow(table)  # noqa: F841, DuckDB finds it by its name
    order = "({0}._run, {0}._observed_at, {0}._place, {0}._page)".format  # as `in_order`
    later = f"{same} AND {order('stored')} > {order('given')}"
    return connection.execute(f'FROM given ANTI JOIN raw."{name}" stored ON {later}').to_arrow_table().cast(table.schema)


def _note_versions(connection: duckdb.DuckDBPyConnection, run: Run, source: Source, endpoint: Endpoint, table: pa.Table) -> None:
    """Keep all observations of a value that differs between two pages, or between a page and the stored row (`meta.versions`).

    Raw has the last observation alone. The others are read from landing when a value differs for the first time, and are noted
    from then on, so that the result is the same in whatever order pages are loaded. A page that is read anew is no other version.
    """
    fields = [f'"{n}"' for n in endpoint.schema.names if n not in endpoint.primary_key and not n.startswith("_")]
    if endpoint.snapshot or endpoint.streamed or not fields:
        return
    assert endpoint.time
    keys, values = ", ".join(f'"{key}"' for key in endpoint.primary_key), ", ".join(fields)
    given = connection.from_arrow(table)  # noqa: F841, DuckDB finds it by its name
    stored = f'FROM raw."{source.raw_table(endpoint)}" SEMI JOIN given USING ({keys})'
    symbol, time = endpoint.key[0], endpoint.time
    differing = connection.execute(
        f"""
        WITH alike AS (FROM given UNION ALL BY NAME SELECT * {stored})
        SELECT DISTINCT "{symbol}" AS symbol, "{time}" AS at FROM alike
        SEMI JOIN (SELECT {keys} FROM alike GROUP BY {keys} HAVING count(DISTINCT hash({values})) > 1) USING ({keys})
        """
    ).fetchall()
    noted, of_dataset = "FROM meta.versions WHERE source = $1 AND dataset = $2", [source.name, endpoint.name]
    if not differing and not connection.execute(f"SELECT 1 {noted} LIMIT 1", of_dataset).fetchone():
        return
    times = sorted({at for _, at in differing})
    seen = pa.concat_tables([_observations(run, source, endpoint, dict(differing).keys(), times), table])
    seen = connection.from_arrow(seen.append_column("_row", pa.array(range(seen.num_rows))))
    observed = connection.execute(
        f"""
        WITH known AS (SELECT row_key, field, observed_at, run, page, place {noted}),
        pages AS (
            SELECT "{symbol}" AS symbol, make_timestamp("{time}" * 1000) AS happened_at,
                concat_ws(' ', {keys}) AS row_key, {", ".join(f"{field}::VARCHAR AS {field}" for field in fields)},
                _observed_at, _run, _page, _place
            FROM (FROM seen UNION ALL BY NAME SELECT *, -1 AS _row {stored})
            WHERE "{time}" IN (SELECT unnest($3::BIGINT[])) OR concat_ws(' ', {keys}) IN (SELECT row_key FROM known)
            QUALIFY row_number() OVER (PARTITION BY row_key, _observed_at, _run, _page ORDER BY _place DESC, _row DESC) = 1
        ),
        observed AS (FROM pages UNPIVOT INCLUDE NULLS (value FOR field IN ({values}))),
        changed AS (
            SELECT row_key, field FROM observed GROUP BY ALL HAVING count(DISTINCT value) + bool_or(value IS NULL)::INTEGER > 1
        )
        SELECT $1::VARCHAR AS source, $2::VARCHAR AS dataset, symbol, happened_at, row_key, field, value,
            observed_at, run, page, greatest(_place, place) AS place  -- of equal bytes that came twice, these may be the first
        FROM (
            SELECT * RENAME (_observed_at AS observed_at, _run AS run, _page AS page)
            FROM observed SEMI JOIN (SELECT row_key, field FROM known UNION FROM changed) USING (row_key, field)
        )
        LEFT JOIN known USING (row_key, field, observed_at, run, page)
        """,
        [*of_dataset, times],
    ).to_arrow_table()
    warehouse.put(connection, "versions", observed, replace=True)


def _observations(run: Run, source: Source, endpoint: Endpoint, symbols: Collection[str], times: Sequence[int]) -> pa.Table:
    """The rows of all pages in landing about these symbols at these times (milliseconds, in order).

    No run has rows of a time after it, by its real clock: a daily run reads the manifests of the last days alone.
    """
    found = [endpoint.schema.empty_table()]
    if not times:
        return found[0]
    assert endpoint.time
    read_already = set()
    runs = run.landing.runs() if run.clock.frozen else run.landing.runs_since(f"{to_datetime(times[0] - DAY):%Y%m%d}")
    for entry in run.landing.iterate(runs):
        if (entry.source, entry.endpoint_name, entry.market) != (source.name, endpoint.name, run.settings.market):
            continue
        start, end = entry.window or (times[0], times[-1] + 1)
        page = (entry.sha256, entry.observed_at, entry.place, *_answer(entry), start, end)
        has_keys = bisect_left(times, start) < bisect_left(times, end) and entry.context.get(endpoint.key[0]) in (None, *symbols)
        if not has_keys or page in read_already:
            continue
        read_already.add(page)
        with suppress(Exception):  # a page that can't be read is in quarantine since it was loaded
            table = page_table(endpoint, entry, read(endpoint, run.landing.body(entry)).rows)
            found.append(
                _clip(endpoint, Window(start, end), entry, table.filter(pc.is_in(table[endpoint.time], pa.array(times))))
            )
    return pa.concat_tables(found)


def _write(table: pa.Table, file: Path) -> None:
    """A file of Parquet, which exists for a second. dlt would write a dictionary of each column, which takes six times as long.

    Rows are in groups, so that several cores can read one file.
    """
    texts = [field.name for field in table.schema if field.type == pa.string()]
    pq.write_table(table, file, compression="none", use_dictionary=texts, row_group_size=262_144)


def _resource(dlt: Any, name: str, endpoint: Endpoint, file: Path, rows: int, all_new: bool) -> Any:
    """The file of a table as a dlt resource: merged, or appended where all its keys are new, which is faster."""
    merge = {"disposition": "merge", "strategy": "delete-insert", "deduplicated": True}
    types = {pa.int64(): "bigint", pa.float64(): "double", pa.string(): "text", pa.bool_(): "bool"}
    return dlt.resource(
        [dlt.mark.with_file_import(str(file), "parquet", rows, endpoint.schema.empty_table())],
        name=name,
        write_disposition="append" if all_new else merge,
        primary_key=list(endpoint.primary_key),
        columns=[
            {"name": f.name, "data_type": types[f.type], "nullable": f.nullable}
            if f.type in types
            else {"name": f.name, "data_type": "timestamp", "nullable": f.nullable, "timezone": False}
            for f in endpoint.schema
        ],
    )


@cache
def _dlt() -> Any:
    """dlt, imported on first use (2 s), without telemetry, with our names as they are (`a__b` stays `a__b`).

    It has no other settings. It would look for each of a hundred under several names in the environment and in two files, which
    took a quarter of a small load.
    """
    os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")  # this and the next are read while it is imported
    os.environ.setdefault("RUNTIME__LOG_LEVEL", "CRITICAL")  # its exceptions have the same messages
    import dlt
    from dlt.common.configuration.container import Container
    from dlt.common.configuration.providers import ConfigProvider
    from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext

    class Given(ConfigProvider):
        name, supports_secrets, supports_sections = "perplake", True, False

        def get_value(self, key: str, hint: object, pipeline_name: str | None, *sections: str) -> tuple[Any, str]:
            return "direct" if key == "naming" else None, key

    Container()[PluggableRunContext].providers.providers[:] = [Given()]
    return dlt
