"""A plugin of dbt-duckdb (`plugins` in `dbt_project/profiles.yml`): DuckDB's memory, the lake where the target names one, and one
message where the warehouse can't be opened.

Without it, dbt prints the traceback of DuckDB's error. Alone: `cd dbt_project && PERPLAKE_HOME=/nowhere dbt build`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
from dbt.adapters.duckdb.credentials import DuckDBCredentials
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
