"""A snapshot equals the warehouse after any change, costs what changed, and leaves readers the files that they have."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest

from assets.defs.snapshot import copy_marts, write_parquet
from tests.whole import different, marts

#: The view `fct_candles` of an incremental model, a table by day that is made whole, and a table without days.
MARTS = {"fct_candles": "int_candles_converted", "daily_assets": None, "dim_venues": None}
ADD = """INSERT INTO intermediate.int_candles_converted SELECT 'BTC', t, {price}
    FROM generate_series(TIMESTAMP '{day}', TIMESTAMP '{day} 23:00', INTERVAL 1 HOUR) AS h(t);"""
REPLACED = (
    "INSERT INTO meta.replaced (model, window_start, window_end) VALUES ('int_candles_converted', '{day}', DATE '{day}' + 1);"
)
#: Changes as runs make them, by what they are.
CHANGES = {
    "one more day": ADD.format(day="2025-03-02", price=9) + REPLACED.format(day="2025-03-02"),
    "an old day corrected": "UPDATE intermediate.int_candles_converted SET close = 7 WHERE opened_at::DATE = '2025-01-31';"
    + REPLACED.format(day="2025-01-31"),
    "an old day lost, which nobody noted": "DELETE FROM intermediate.int_candles_converted WHERE opened_at::DATE = '2025-02-03'",
    "all built anew": "UPDATE intermediate.int_candles_converted SET close = close * 2;"
    "INSERT INTO meta.replaced (model) VALUES ('int_candles_converted')",
    "a column more": "ALTER TABLE intermediate.int_candles_converted ADD COLUMN trades BIGINT DEFAULT 3;"
    "CREATE OR REPLACE VIEW marts.fct_candles AS FROM intermediate.int_candles_converted",
    "a row without a time": "INSERT INTO intermediate.int_candles_converted (asset) VALUES ('ETH')",
    "tables made whole": "UPDATE marts.daily_assets SET close = 0 WHERE day = '2025-02-01'; DELETE FROM marts.dim_venues",
    "nothing": "SELECT 1",
}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "warehouse.duckdb"
    change(path, """
        CREATE SCHEMA marts; CREATE SCHEMA meta; CREATE SCHEMA intermediate;
        CREATE TABLE meta.replaced (model VARCHAR, window_start TIMESTAMP, window_end TIMESTAMP, invocation VARCHAR);
        CREATE TABLE intermediate.int_candles_converted AS
            SELECT 'BTC' AS asset, t AS opened_at, (hash(t) % 1000)::DOUBLE AS close
            FROM generate_series(TIMESTAMP '2025-01-01', TIMESTAMP '2025-03-01 23:00', INTERVAL 1 HOUR) AS h(t);
        CREATE VIEW marts.fct_candles AS FROM intermediate.int_candles_converted;
        CREATE TABLE marts.daily_assets AS
            SELECT 'BTC' AS asset, opened_at::DATE AS day, max(close) AS close, 0.5 AS oi_to_volume
            FROM marts.fct_candles GROUP BY ALL;
        CREATE TABLE marts.dim_venues AS SELECT 'binance' AS venue;
    """)  # fmt: skip
    return path


def change(path: Path, sql: str) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute(sql)


def publish(database: Path) -> Path:
    copy = copy_marts(database, database.parent / "published", MARTS)
    write_parquet(copy, copy.parent / "parquet")
    return copy


def months(copy: Path, mart: str = "fct_candles") -> dict[str, int]:
    """The inode of each month's file."""
    return {file.name[:7]: file.stat().st_ino for file in (copy.parent / "parquet" / f"{mart}.parquet").iterdir()}


def test_a_snapshot_equals_the_warehouse_after_every_change(database: Path) -> None:
    publish(database)
    total = "SELECT count(*), sum(hash(COLUMNS(*))::HUGEINT) FROM {}"
    for name, sql in CHANGES.items():
        change(database, sql)
        copy = publish(database)
        assert not different(marts(copy), marts(database)), name
        folder = copy.parent / "parquet"
        read = duckdb.sql(total.format(f"'{folder}/fct_candles.parquet/*.parquet'")).fetchall()
        with duckdb.connect(str(database), read_only=True) as connection:
            assert read == connection.execute(total.format("marts.fct_candles")).fetchall(), name
        assert pq.read_table(folder / "fct_candles.parquet").num_rows == read[0][0], name


def test_one_more_day_writes_its_month_alone(database: Path) -> None:
    publish(database)
    change(database, "CREATE TABLE meta.note AS SELECT 1")
    before = publish(database)  # now both DuckDB files exist
    was, inode = months(before), before.stat().st_ino
    change(database, CHANGES["one more day"])
    copy = publish(database)
    now = months(copy)
    assert {month for month in now if now[month] != was.get(month)} == {"2025-03"}
    assert months(copy, "daily_assets").keys() == {"2025-01", "2025-02", "2025-03"}
    assert inode == (copy.parent / "perplake.duckdb.previous").stat().st_ino != copy.stat().st_ino
    change(database, CHANGES["nothing"])
    assert publish(database).stat().st_ino == inode, "the two files take turns"
    (copy.parent / "perplake.duckdb.previous").unlink()
    os.link(copy, copy.parent / "perplake.duckdb.previous")  # what a kill between the last two steps leaves
    assert publish(database).stat().st_ino != inode, "a file that readers have is never written to"


def test_a_mart_without_rows_keeps_its_columns(database: Path) -> None:
    folder = publish(database).parent / "parquet"
    assert len(pd.read_parquet(folder / "fct_candles.parquet")) == 24 * 60
    assert pd.read_parquet(folder / "dim_venues.parquet")["venue"].to_list() == ["binance"]
    change(database, "DELETE FROM intermediate.int_candles_converted")
    publish(database)
    assert list(pd.read_parquet(folder / "fct_candles.parquet")) == ["asset", "opened_at", "close"]


def test_a_reader_keeps_its_snapshot_and_a_changed_file_is_not_built_on(database: Path) -> None:
    publish(database)
    copy = publish(database)
    held = "import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only=True); print('open', flush=True); input();"
    held += "print(c.execute('SELECT sum(close) FROM marts.fct_candles').fetchall())"
    expected = duckdb.connect(str(copy), read_only=True).execute("SELECT sum(close) FROM marts.fct_candles").fetchall()
    with subprocess.Popen([sys.executable, "-c", held, str(copy)], stdin=-1, stdout=-1, text=True) as reader:
        assert reader.stdin and reader.stdout and reader.stdout.readline() == "open\n"
        for price in (1, 2, 3):
            change(database, f"UPDATE intermediate.int_candles_converted SET close = {price};" + CHANGES["all built anew"])
            assert not different(marts(publish(database)), marts(database))
        reader.stdin.write("\n")
        reader.stdin.flush()
        assert reader.stdout.readline() == f"{expected}\n"
    copy.chmod(0o644)
    change(copy, "UPDATE marts.fct_candles SET close = 0")
    for _ in range(3):
        assert not different(marts(publish(database)), marts(database))
