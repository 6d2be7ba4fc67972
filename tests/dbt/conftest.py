"""Fixtures: a warehouse with every raw table and hand-made rows, and dbt run on it in this process.

The project is parsed as a run parses it, and built once on raw tables without rows (`models`). Each test has a copy of that
file, in which a run for the window that changed need not make the views again.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.cli.main import dbtRunner

from assets.defs import dbt as project
from pipelines import warehouse

PROJECT = Path(__file__).parents[2] / "dbt_project"
MARKET = Path(__file__).with_name("market.sql")
START, END = "2025-10-01", "2025-10-13"
NO_VIEWS = ("--exclude", "config.materialized:view")
NO_TESTS = ("--exclude-resource-type", "test", "--exclude-resource-type", "unit_test")
BOOKKEEPING = "'page' as _page, 'run' as _run, timestamp '2025-10-13' as _observed_at"


class Dbt:
    """dbt on one warehouse after another; `changed` is the window of raw rows that changed (None: all)."""

    def __init__(self, folder: Path) -> None:
        self.arguments = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT), "--quiet"]
        self.arguments += ["--target-path", str(folder / "target"), "--log-path", str(folder / "logs")]
        self.arguments += ["--log-level-file", "none", "--no-write-json", "--no-populate-cache"]
        self.manifest = project.parse()
        project.drop_debug_events()

    def __call__(self, path: Path, *command: str, changed: tuple[str, str] | None = None, **variables: object) -> Any:
        """Run a command, such as `run`; gives dbt's results, raises `AssertionError` with its messages where it failed."""
        variables |= {"warehouse": str(path), **dict(zip(("changed_from", "changed_to"), changed or (), strict=False))}
        try:
            outcome = dbtRunner(self.manifest).invoke([*command, *self.arguments, "--vars", json.dumps(variables)])
        finally:
            DuckDBConnectionManager.close_all_connections()  # writes all to the file
        failed = [f"{r.node.name}: {r.message}" for r in outcome.result or [] if r.status in ("error", "fail")]
        assert outcome.success, failed or outcome.exception
        return outcome.result


@pytest.fixture(scope="session")
def dbt(tmp_path_factory: pytest.TempPathFactory) -> Dbt:
    return Dbt(tmp_path_factory.mktemp("dbt"))


@pytest.fixture(scope="session")
def models(dbt: Dbt, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse with all models and no rows, whose run covers `[START, END)`, all venues, the assets of `load`."""
    path = tmp_path_factory.mktemp("models") / "warehouse.duckdb"
    with warehouse.connect(path) as connection:
        warehouse.prepare(connection, "test")
        connection.execute(
            "insert into meta.scope values ('test', 'synthetic', 'test', ?, ?, ?, ['BTC', 'PEPE'],"
            " ['binance', 'bybit', 'hyperliquid', 'kraken'], false,"
            " ['binance_usdm:binance', 'bybit_linear:bybit', 'hyperliquid:hyperliquid', 'kraken_futures:kraken'])",
            [START, END, END],
        )
    dbt(path, "build", *NO_TESTS)
    return path


@pytest.fixture
def path(models: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copyfile(models, tmp_path / "warehouse.duckdb"))


def load(path: Path, start: str, end: str) -> None:
    """Raw rows of the hours in `[start, end)`: four instruments, the same rows for an hour whatever window is loaded.

    Binance settles every 8 hours until 6 October 00:00, then every 4; the candle of the 4th at 03:00 and two Hyperliquid hours
    are missing; Kraken has a liquidation a day; Bybit lists 1000PEPE and sends open interest two-sided.
    """
    with warehouse.connect(path) as connection:
        connection.execute(f"create or replace temp view hours as select t, epoch_ms(t) as ms, epoch(t)::bigint // 3600 as n,"
                           f" 100 + 10 * sin(n / 7.0) as px from generate_series(timestamp '{start}', timestamp '{end}'"
                           " - interval 1 hour, interval 1 hour) as h(t)")  # fmt: skip
        connection.execute(MARKET.read_text().replace("{b}", BOOKKEEPING))


def checksums(path: Path) -> dict[str, tuple[int, int]]:
    """Rows and checksum of each table in marts, over the columns that don't begin with `_`."""
    with duckdb.connect(str(path)) as connection:
        names = connection.execute(
            "select table_name, list(column_name order by ordinal_position) from information_schema.columns"
            " where table_schema = 'marts' and not starts_with(column_name, '_') group by 1"
        ).fetchall()
        return {
            table: connection.execute(
                f"select count(*), coalesce(bit_xor(hash({', '.join(columns)})), 0) from marts.{table}"
            ).fetchall()[0]
            for table, columns in names
        }
