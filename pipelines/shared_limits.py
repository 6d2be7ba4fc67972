"""Rate limits and pauses of venues for all machines of a lake, in its catalog's database and by its clock (`pipelines.limits`).

A request takes some 5 ms more than with a file, of which most is the way to the database and back.
Alone: `Limiter(Shared("office"), "api.bybit.com", source.limits).spend({"weight": 10})`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from pipelines import ducklake
from pipelines.errors import WarehouseMismatch
from pipelines.limits import TABLES, Rows

#: The first of the two numbers of an advisory lock of limits.
_LOCK = zlib.crc32(b"perplake limits") >> 1


class Shared:
    """The database of a lake's catalog, for all machines that ask venues from one `address`, with its clock."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._connection: Any = None

    @contextmanager
    def transaction(self, pool: str, alone: bool = True) -> Iterator[float]:
        try:
            with ducklake.reachable(), self._transaction(pool, alone) as now:
                yield now
        except WarehouseMismatch as problem:
            self.close()
            raise OSError(str(problem)) from None

    @contextmanager
    def _transaction(self, pool: str, alone: bool) -> Iterator[float]:
        if self._connection is None:
            self._connection = ducklake.connected()
            self._make_tables()
        key = zlib.crc32(f"{self._address} {pool}".encode()) >> 1
        locked = f" FROM (SELECT pg_advisory_xact_lock({_LOCK}, {key})) AS locked" if alone else ""
        yield self.rows(f"SELECT extract(epoch FROM clock_timestamp())::FLOAT8{locked}")[0][0]
        self._connection.commit()

    def _make_tables(self) -> None:
        """In a schema of the address's own. Locked: PostgreSQL lets two who make the same schema at once fail."""
        schema = '"{}"'.format(f"perplake_limits {self._address}".rstrip().replace('"', '""'))
        for statement in (
            f"SELECT pg_advisory_xact_lock({_LOCK}, 0)",
            f"CREATE SCHEMA IF NOT EXISTS {schema}",
            f"SET search_path = {schema}",
            "SET synchronous_commit = off",  # what is lost in a power cut is the weight of the last moment
            *TABLES,
        ):
            self.rows(statement)
        self._connection.commit()

    def rows(self, sql: str, values: Sequence[object] = ()) -> Rows:
        parts = sql.split("?")
        numbered = "".join(f"{part}${n}" for n, part in enumerate(parts[:-1], 1)) + parts[-1]
        with self._connection.cursor() as cursor:
            cursor.execute(numbered, values or None)
            return list(cursor.fetchall()) if cursor.description else []

    def close(self) -> None:
        if self._connection is not None:
            with suppress(Exception):
                self._connection.close()
            self._connection = None
