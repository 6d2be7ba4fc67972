"""A plugin of dbt-duckdb (`plugins` in `dbt_project/profiles.yml`): DuckDB's memory, and one message where it can't open a file.

Without it, dbt prints the traceback of DuckDB's error. Alone: `cd dbt_project && PERPLAKE_HOME=/nowhere dbt build`.
"""

from __future__ import annotations

from typing import Any

import duckdb
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt_common.exceptions import DbtRuntimeError

from pipelines.warehouse import memory_limit, mends


class Plugin(BasePlugin):
    def update_connection_config(self, creds: DuckDBCredentials, config: dict[str, Any]) -> None:
        """Runs before dbt opens the warehouse. Raises `DbtRuntimeError` where its folder is missing or another process has it."""
        config["memory_limit"] = memory_limit()
        try:
            duckdb.connect(creds.path, config=config).close()
        except duckdb.Error as problem:
            reason = str(problem).partition("\n")[0]
            raise DbtRuntimeError(f"the warehouse can't be opened ({reason}): {mends(reason)}") from None
