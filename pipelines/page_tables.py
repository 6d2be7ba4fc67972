"""A page's rows as an Arrow table with the columns of its raw table, and the tables of fresh pages until they are loaded.

`fetch` decodes a page to judge it, and hands its table to the `load` of the same run. What that is not given it decodes from
landing: pages of earlier runs, those of a run in another process, and those beyond a bound of memory.
Alone: `page_table(endpoint, entry, read(endpoint, body).rows)`.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from pipelines import records, warehouse
from pipelines.landing import Entry
from pipelines.source import Endpoint


class Decoded:
    """Tables of pages that this run has fetched, of `most` bytes together. Threads may share it."""

    def __init__(self, most: float) -> None:
        self._room, self._tables, self._lock = most, dict[int, tuple[Entry, pa.Table]](), threading.Lock()

    def give(self, endpoint: Endpoint, entry: Entry, rows: Sequence[Any]) -> None:
        """Keep the table of a page without flaws, while there is room."""
        if self._room <= 0 or entry.flaws or entry.problem or entry.only:
            return
        try:
            table = page_table(endpoint, entry, rows)
        except Exception:  # its load says why
            return
        with self._lock:
            self._room -= table.nbytes
            self._tables[entry.place] = entry, table

    def take(self, entry: Entry) -> pa.Table | None:
        """The table of a page, once; None where it isn't here."""
        with self._lock:
            given, table = self._tables.get(entry.place, (None, None))
            if given != entry or table is None:
                return None
            del self._tables[entry.place]
            self._room += table.nbytes
            return table


def page_table(endpoint: Endpoint, entry: Entry, rows: Sequence[Any]) -> pa.Table:
    """A page's rows with its context, its hash, its run, its time of observation and its place, as the raw table has them."""
    count = len(rows)
    arrays = records.columns(endpoint.record, rows)
    arrays += [pa.repeat(pa.scalar(entry.context[name], pa.string()), count) for name in endpoint.context]
    if endpoint.numbered:
        arrays.append(pa.array(_number_among_equals(endpoint, rows), pa.int64()))
    arrays += [pa.repeat(pa.scalar(value, pa.string()), count) for value in (entry.page, entry.run)]
    arrays.append(pa.repeat(pa.scalar(warehouse.naive(entry.observed_at), pa.timestamp("us")), count))
    arrays.append(pa.repeat(pa.scalar(entry.place, pa.int64()), count))
    return pa.Table.from_arrays(arrays, schema=endpoint.schema)


def _number_among_equals(endpoint: Endpoint, rows: Sequence[Any]) -> list[int]:
    """For each row, how many of the rows before it have the same key: a page has each event once, so equal rows are several."""
    seen: Counter[tuple[Any, ...]] = Counter()
    numbers = []
    for row in rows:
        key = tuple(getattr(row, name) for name in endpoint.key if name in endpoint.record.__struct_fields__)
        numbers.append(seen[key])
        seen[key] += 1
    return numbers
