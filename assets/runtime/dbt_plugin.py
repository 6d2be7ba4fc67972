"""A plugin of dbt-duckdb (`plugins` in `dbt_project/profiles.yml`): DuckDB's memory, the lake where the target names one, and one
message where the warehouse can't be opened. In a run, what dbt does in a lake is one transaction (`one_transaction`).

Without it, dbt prints the traceback of DuckDB's error. Alone: `cd dbt_project && PERPLAKE_HOME=/nowhere dbt build`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import duckdb
from dbt.adapters.duckdb import environments
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.environments.local import DuckDBConnectionWrapper, DuckDBCursorWrapper, LocalEnvironment
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt_common.exceptions import DbtRuntimeError

from pipelines import ducklake
from pipelines.errors import WarehouseMismatch
from pipelines.warehouse import memory_limit, mends


class Plugin(BasePlugin):
    def initialize(self, plugin_config: dict[str, Any]) -> None:
        #: The path that names the lake, of the target `lake`.
        self._lake = Path(plugin_config["lake"]) if "lake" in plugin_config else None

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Runs after dbt has opened its database in memory, before it attaches what the profile names."""
        if self._lake:
            try:
                ducklake.attach(conn, self._lake)
            except WarehouseMismatch as problem:
                raise DbtRuntimeError(str(problem)) from None

    def configure_cursor(self, cursor: duckdb.DuckDBPyConnection) -> None:
        if self._lake:
            cursor.execute(f"USE {ducklake.NAME}")

    def update_connection_config(self, creds: DuckDBCredentials, config: dict[str, Any]) -> None:
        """Runs before dbt opens the warehouse. Raises `DbtRuntimeError` where its folder is missing or another process has it."""
        config["memory_limit"] = memory_limit()
        if self._lake:
            config["allow_unsigned_extensions"] = "true"
            return
        try:
            duckdb.connect(creds.path, config=config).close()
        except duckdb.Error as problem:
            reason = str(problem).partition("\n")[0]
            raise DbtRuntimeError(f"the warehouse can't be opened ({reason}): {mends(reason)}") from None


class OneTransaction(LocalEnvironment):
    """dbt's sessions as one session, whose transaction begins with the first statement."""

    conn: Any

    def handle(self) -> DuckDBConnectionWrapper:
        """dbt asks for a session a model, one after the other: it has one thread."""
        with self.lock:
            if self.conn is None:
                self.conn = self.initialize_db(self.creds, self._plugins)
                self.initialize_cursor(self.creds, self.conn, self._plugins)
                self.conn.begin()
        return _Shared(self.conn, self)


class _Shared(DuckDBConnectionWrapper):
    """The session as a model has it: the model's own begin, commit and rollback do nothing."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, env: LocalEnvironment) -> None:
        self._cursor, self._env = _Statements(connection), env

    def rollback(self) -> None:
        pass

    def close(self) -> None:
        pass


class _Statements(DuckDBCursorWrapper):
    def execute(self, sql: str, bindings: Any = None) -> Any:
        return None if sql in ("BEGIN", "COMMIT") else super().execute(sql, bindings)


@contextmanager
def one_transaction() -> Iterator[None]:
    """All that dbt does in the block is one commit to a lake, or none where the block raises.

    After each commit that makes a table or a view, DuckLake reads its catalog anew, with several hundred raw tables: with one a
    model, that was most of a small run's time. A model that fails takes the others of its call with it.
    """
    usual, environments.create = environments.create, OneTransaction
    try:
        yield
        ducklake.check_locks()
        with ducklake.explained():
            cast(OneTransaction, DuckDBConnectionManager.env()).conn.commit()
    finally:
        environments.create = usual
