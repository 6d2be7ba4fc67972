"""Load: pages from landing become typed rows in `raw`, merged on their natural keys by dlt.

dlt sources are functions of pages: they never know whether a page came a second ago, from a replay or from an archive, so a
parser that was wrong is mended by loading again. One pipeline per source, its datasets as resources, Arrow tables of many
pages. What can't be read goes to quarantine and the other pages go on.
Alone: `perps load --venues binance --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

import gc
import hashlib
import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from pipelines import __version__, records, warehouse
from pipelines.landing import Entry
from pipelines.run import Run
from pipelines.source import Endpoint, Source
from pipelines.windows import HOUR, Window

log = logging.getLogger("perplake.load")

#: Rows in one Arrow table handed to dlt, and in one dlt run: bounds memory, whatever the backfill.
ROWS_A_TABLE = 100_000
ROWS_A_LOAD = 600_000

Batch = list[tuple[Endpoint, pa.Table]]


class LoadIncomplete(RuntimeError):
    """dlt reports success, but not as many rows as it was given."""


@dataclass
class LoadResult:
    """What one source's load did: rows merged by dataset, pages that could not be read, datasets that were as before."""

    source: str
    rows: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    pages: int = 0
    bytes: int = 0
    quarantined: list[Entry] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)


def load(run: Run, source: Source, entries: Iterable[Entry] | None = None) -> LoadResult:
    """Merge a source's pages for the run's window into the warehouse.

    `entries` are the pages that this run had; without them landing's whole manifest is looked through. Raises
    `LoadIncomplete` when dlt stored less than it was given.
    """
    result = LoadResult(source.name)
    pages: dict[str, list[Entry]] = defaultdict(list)
    for entry in run.landing.iterate() if entries is None else entries:
        if entry.source == source.name and entry.market == run.settings.market and entry.asks(run.window):
            pages[entry.dataset].append(entry)
    with warehouse.connect(run.settings.database) as connection:
        warehouse.prepare(connection, run.settings.market)
        todo = []
        for dataset in source.endpoints:
            found = sorted(pages[dataset.name], key=lambda e: (e.observed_at, e.sha256, e.window or ()))
            digest = _digest(dataset, run.window, found)
            if not found or _is_loaded(connection, source, dataset, digest):
                result.unchanged.append(dataset.name)
            else:
                todo.append((dataset, found, digest))
        for dataset, found, _ in todo:
            warehouse.mark_changed(connection, _touched(dataset, run.window, found))
    with _without_collector():
        for batch in _ahead(_batches(run, todo, result)):
            _merge(run, source, batch, result)
    with warehouse.connect(run.settings.database) as connection:
        warehouse.note_quarantine(connection, [_quarantine_row(e) for e in result.quarantined])
        unread = {e.dataset for e in result.quarantined}
        for dataset, found, digest in todo:
            if dataset.name in unread:  # tried again when the parser has been mended
                continue
            connection.execute("INSERT OR IGNORE INTO meta.loads VALUES (?, ?, ?)", [source.name, dataset.name, digest])
            if dataset.is_event:
                _note_covered(connection, source, dataset, found)
    return result


def _touched(dataset: Endpoint, window: Window, entries: Sequence[Entry]) -> Window:
    """The hull of the times that these pages can have rows of: a snapshot those of the hour in which it was observed."""
    if dataset.snapshot:
        return Window(entries[0].observed_at // HOUR * HOUR, entries[-1].observed_at // HOUR * HOUR + HOUR)
    asked = [Window(*e.window) if e.window else window for e in entries]
    return Window(min(w.start for w in asked), max(w.end for w in asked))


def _digest(dataset: Endpoint, window: Window, entries: Sequence[Entry]) -> str:
    """What a load depends on: the pages, the window that cuts them, the type that reads them."""
    parts = [__version__, str(dataset.schema), *(f"{e.sha256}{e.observed_at}{e.window}" for e in entries)]
    if any(e.window is None for e in entries):
        parts.append(str(window))
    return hashlib.sha256("|".join(parts).encode()).hexdigest()


def _is_loaded(connection: duckdb.DuckDBPyConnection, source: Source, dataset: Endpoint, digest: str) -> bool:
    asked = "SELECT 1 FROM meta.loads WHERE source = ? AND dataset = ? AND digest = ?"
    return connection.execute(asked, [source.name, dataset.name, digest]).fetchone() is not None


def _note_covered(connection: duckdb.DuckDBPyConnection, source: Source, dataset: Endpoint, entries: Sequence[Entry]) -> None:
    """For events, where no row can mean that nothing happened: the windows that were read to their end.

    A venue that sends nothing at all about an instrument, not even what we skip, has not said that nothing happened.
    """
    spoke = {tuple(e.context.items()) for e in entries if not e.empty}
    for e in entries:
        if e.last and e.window and not e.problem and tuple(e.context.items()) in spoke:
            span = [warehouse.naive(e.window[0]), warehouse.naive(e.window[1])]
            row = [source.name, dataset.name, e.context.get("symbol", ""), *span]
            connection.execute("INSERT OR IGNORE INTO meta.loaded_windows VALUES (?, ?, ?, ?, ?)", row)


def _quarantine_row(e: Entry) -> tuple[Any, ...]:
    return (e.source, e.dataset, e.path_label, e.field, e.value, e.problem, e.page, e.run, warehouse.naive(e.observed_at))


def _batches(run: Run, todo: Iterable[tuple[Endpoint, Sequence[Entry], str]], result: LoadResult) -> Iterator[Batch]:
    """Tables of all datasets, cut so that one dlt run holds at most `ROWS_A_LOAD` rows."""
    batch: Batch = []
    held = 0
    for dataset, entries, _ in todo:
        for table in arrow_tables(run, dataset, entries, result):
            batch.append((dataset, table))
            held += table.num_rows
            if held >= ROWS_A_LOAD:
                yield batch
                batch, held = [], 0
    if batch:
        yield batch


@contextmanager
def _without_collector() -> Iterator[None]:
    """Rows come by the million and hold no cycles: looking for them takes a quarter of the reading time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches, each read while the one before is being stored: reading is Python's work, storing DuckDB's."""
    with ThreadPoolExecutor(1) as reader:
        following = reader.submit(next, batches, None)
        while batch := following.result():
            following = reader.submit(next, batches, None)
            yield batch


def arrow_tables(run: Run, dataset: Endpoint, entries: Iterable[Entry], result: LoadResult) -> Iterator[pa.Table]:
    """A dataset's pages as Arrow tables of about `ROWS_A_TABLE` rows, each page cut to what it was asked for and was over."""
    pending: list[pa.Table] = []
    held = 0
    for entry in entries:
        body = run.landing.body(entry)
        result.pages += 1
        result.bytes += len(body)
        try:
            rows = dataset.rows(dataset.read(body))
        except (msgspec.ValidationError, msgspec.DecodeError, ValueError) as problem:
            result.quarantined.append(msgspec.structs.replace(entry, problem=entry.problem or str(problem)))
            continue
        table = _cut(dataset, run.window, entry, _table(dataset, entry, rows))
        if table.num_rows:
            pending.append(table)
            held += table.num_rows
        if held >= ROWS_A_TABLE:
            yield pa.concat_tables(pending)
            pending, held = [], 0
    if pending:
        yield pa.concat_tables(pending)


def _cut(dataset: Endpoint, window: Window, entry: Entry, table: pa.Table) -> pa.Table:
    """Rows of the page's own window (or the run's, where the endpoint takes none), and no bar that was not over."""
    if dataset.time is None or not table.num_rows:
        return table
    asked = Window(*entry.window) if entry.window else window
    end = min(asked.end, entry.observed_at - dataset.bar + 1) if dataset.bar else asked.end
    time = table[dataset.time]
    first, last = pc.min_max(time).as_py().values()
    if asked.start <= first and last < end:
        return table
    return table.filter(pc.and_(pc.greater_equal(time, asked.start), pc.less(time, end)))


def _table(dataset: Endpoint, entry: Entry, rows: Sequence[Any]) -> pa.Table:
    count = len(rows)
    arrays = records.columns(dataset.record, dataset.schema, rows)
    arrays += [pa.repeat(pa.scalar(entry.context[name], pa.string()), count) for name in dataset.context]
    arrays += [pa.repeat(pa.scalar(value, pa.string()), count) for value in (entry.page, entry.run)]
    arrays.append(pa.repeat(pa.scalar(warehouse.naive(entry.observed_at), pa.timestamp("us")), count))
    return pa.Table.from_arrays(arrays, schema=dataset.schema)


def latest(dataset: Endpoint, table: pa.Table) -> pa.Table:
    """One row per key: the one observed last. Most tables have no two, which is quickly seen."""
    keys = list(dataset.primary_key)
    if table.group_by(keys, use_threads=False).aggregate([]).num_rows == table.num_rows:
        return table
    numbered = table.append_column("_row", pa.array(range(table.num_rows)))
    return table.take(numbered.group_by(keys).aggregate([("_row", "max")])["_row_max"].combine_chunks().sort())


def _merge(run: Run, source: Source, batch: Batch, result: LoadResult) -> None:
    """One dlt run. What an earlier, killed run left pending is dropped first: dlt would load that instead."""
    dlt = _dlt()
    tables: dict[str, tuple[Endpoint, pa.Table]] = {}
    for dataset in {d.name: d for d, _ in batch}.values():
        whole = pa.concat_tables([t for d, t in batch if d.name == dataset.name])
        tables[source.raw_table(dataset)] = (dataset, latest(dataset, whole))
    pipeline = dlt.pipeline(
        pipeline_name=source.name,
        pipelines_dir=str(run.settings.database.parent.resolve() / ".dlt" / run.settings.database.stem),
        destination=dlt.destinations.duckdb(str(run.settings.database)),
        dataset_name="raw",
    )
    pipeline.abort_packages()
    resources = []
    with warehouse.connect(run.settings.database) as connection:
        for name, (dataset, table) in tables.items():
            if not (new := _all_new(connection, name, dataset, table)):
                table = _not_older(connection, name, dataset, table)
                tables[name] = (dataset, table)
            resources.append(_resource(dlt, name, dataset, table, new))
    pipeline.run(resources, loader_file_format="parquet")
    counts = pipeline.last_trace.last_normalize_info.row_counts
    for name, (dataset, table) in tables.items():
        if counts.get(name, 0) != table.num_rows:
            raise LoadIncomplete(f"{name}: {table.num_rows} rows given, {counts.get(name, 0)} stored; run again")
        result.rows[dataset.name] += table.num_rows


def _all_new(connection: duckdb.DuckDBPyConnection, name: str, dataset: Endpoint, table: pa.Table) -> bool:
    """Whether the raw table has none of these keys yet."""
    keys = ", ".join(f'"{key}"' for key in dataset.primary_key)
    given = connection.from_arrow(table.select(list(dataset.primary_key)))  # noqa: F841, DuckDB finds it by its name
    return connection.execute(f'SELECT 1 FROM raw."{name}" SEMI JOIN given USING ({keys}) LIMIT 1').fetchone() is None


def _not_older(connection: duckdb.DuckDBPyConnection, name: str, dataset: Endpoint, table: pa.Table) -> pa.Table:
    """Without the rows of which the raw table has a version that was observed later."""
    same = " AND ".join(f'given."{key}" = stored."{key}"' for key in dataset.primary_key)
    given = connection.from_arrow(table)  # noqa: F841, DuckDB finds it by its name
    later = f"{same} AND stored._observed_at > given._observed_at"
    return connection.execute(f'FROM given ANTI JOIN raw."{name}" stored ON {later}').to_arrow_table().cast(table.schema)


def _resource(dlt: Any, name: str, dataset: Endpoint, table: pa.Table, new: bool) -> Any:
    """The table for dlt to merge; where all its keys are new there is nothing to merge with, and it goes in straight."""
    merge = {"disposition": "merge", "strategy": "delete-insert", "deduplicated": True}
    kinds = {pa.int64(): "bigint", pa.float64(): "double", pa.string(): "text", pa.bool_(): "bool"}
    return dlt.resource(
        [table],
        name=name,
        write_disposition="append" if new else merge,
        primary_key=list(dataset.primary_key),
        columns=[
            {"name": f.name, "data_type": kinds[f.type], "nullable": f.nullable}
            if f.type in kinds
            else {"name": f.name, "data_type": "timestamp", "nullable": f.nullable, "timezone": False}
            for f in dataset.schema
        ],
    )


def _dlt() -> Any:
    """dlt, imported when it is needed (2 s), quiet and with our names as they are (`a__b` stays `a__b`)."""
    os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")
    os.environ.setdefault("RUNTIME__LOG_LEVEL", "CRITICAL")  # what it raises says it all
    os.environ.setdefault("SCHEMA__NAMING", "direct")
    os.environ.setdefault("DATA_WRITER__ROW_GROUP_SIZE", "262144")  # so that several cores can read one file
    os.environ.setdefault("DATA_WRITER__COMPRESSION", "none")  # it lives for a second
    import dlt

    return dlt
