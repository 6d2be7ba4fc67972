"""The published copy: comments, the names of 0.1, and Parquet files."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from assets.defs.dbt import manifest
from assets.defs.publish import published_marts
from assets.defs.renamed import RENAMED
from assets.defs.snapshot import copy_marts, write_parquet
from assets.regimes.tables import TABLES
from pipelines.errors import WarehouseMismatch


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published copy of three small tables and a view."""
    folder = tmp_path_factory.mktemp("publish")
    with duckdb.connect(str(folder / "warehouse.duckdb")) as db:
        db.execute("""
            CREATE SCHEMA marts; CREATE SCHEMA meta; CREATE SCHEMA raw;
            CREATE TABLE raw.pages AS SELECT 1 AS id;
            CREATE TABLE meta.scope AS SELECT 'synthetic-7' AS market, 'synthetic' AS "mode";
            CREATE TABLE marts.daily_assets AS SELECT DATE '2025-01-01' AS day, 'BTC' AS asset, 0.5 AS oi_to_volume;
            CREATE TABLE marts.regime_changes AS FROM (VALUES ('oi_to_volume', 1.0), ('basis', 2.0)) AS t(series, level_before);
            CREATE TABLE marts.daily_markets AS SELECT 'left by version 0.1' AS asset;
            CREATE VIEW marts.gaps AS SELECT 'it''s missing' AS reason;
            COMMENT ON TABLE marts.daily_assets IS 'A row per day and asset: the venue''s sums';
            COMMENT ON COLUMN marts.daily_assets.day IS 'UTC day';
            COMMENT ON COLUMN marts.daily_assets.oi_to_volume IS 'Open interest over volume. [1]';
            COMMENT ON VIEW marts.gaps IS 'What is missing';
        """)
    return copy_marts(folder / "warehouse.duckdb", folder / "published", published_marts())


def rows(copy: Path, sql: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(copy), read_only=True) as db:
        return db.execute(sql).fetchall()


def test_tables_and_columns_keep_their_comments(copy: Path) -> None:
    tables = dict(rows(copy, "SELECT table_name, comment FROM duckdb_tables()"))
    assert tables["daily_assets"] == "A row per day and asset: the venue's sums" and tables["gaps"] == "What is missing"
    assert "pages" not in tables
    assert rows(copy, "SELECT comment FROM duckdb_columns() WHERE table_name = 'daily_assets' AND column_name = 'day'") == [
        ("UTC day",)
    ]


def test_renamed_tables_columns_and_values_have_their_old_names(copy: Path) -> None:
    for view in ("marts_0_1.daily_markets", "marts.daily_markets"):
        assert rows(copy, f"SELECT asset, leverage FROM {view}") == rows(
            copy, "SELECT asset, oi_to_volume FROM marts.daily_assets"
        )
    assert rows(copy, "SELECT series, before FROM marts_0_1.regime_changes") == [("leverage", 1), ("basis", 2)]
    assert rows(copy, "SELECT source FROM meta.run_info") == [("synthetic",)]


def test_parquet_has_every_mart_and_the_renamed_one(copy: Path) -> None:
    for _ in range(2):
        files = write_parquet(copy, copy.parent / "parquet")
        assert [file.name for file in files] == [
            f"{name}.parquet" for name in ("daily_assets", "daily_markets", "gaps", "regime_changes")
        ]
    assert len(list(copy.parent.glob("parquet-*"))) == 2, "the folder of the last time is kept for its readers"


def test_a_warehouse_without_marts_is_not_published_over_one_that_has_them(copy: Path, tmp_path: Path) -> None:
    before = copy.read_bytes()
    with pytest.raises(WarehouseMismatch, match="has no marts to publish: materialise first"):
        copy_marts(tmp_path / "warehouse.duckdb", copy.parent, published_marts())
    assert copy.read_bytes() == before


def test_parquet_files_have_descriptions_and_units_where_arrow_pandas_and_duckdb_look_for_them(copy: Path) -> None:
    write_parquet(copy, copy.parent / "described")
    [file] = (copy.parent / "described" / "daily_assets.parquet").iterdir()
    metadata = pq.read_metadata(file).metadata
    assert metadata[b"description"] == b"A row per day and asset: the venue's sums"
    columns = {"day": "UTC day", "asset": "", "oi_to_volume": "Open interest over volume."}
    units = {"day": "UTC day", "oi_to_volume": "1"}
    assert json.loads(metadata[b"columns"]) == columns and json.loads(metadata[b"units"]) == units
    table = pq.read_table(file.parent)
    found = {field.name: field.metadata for field in table.schema}
    assert found["oi_to_volume"] == {b"description": b"Open interest over volume.", b"unit": b"1"}
    assert found["asset"] == {b"description": b""}
    frame = pd.read_parquet(file)
    assert frame.attrs == {"description": "A row per day and asset: the venue's sums", "columns": columns, "units": units}
    for read in (table.to_pylist(), frame.to_dict("records"), pl.read_parquet(file).to_dicts()):
        assert read == [{"day": date(2025, 1, 1), "asset": "BTC", "oi_to_volume": Decimal("0.5")}]
    assert rows(copy, f"FROM '{file}'") == [(date(2025, 1, 1), "BTC", Decimal("0.5"))]


def test_every_renamed_column_exists() -> None:
    columns = {n["name"]: set(n["columns"]) for n in manifest()["nodes"].values() if n["resource_type"] == "model"}
    columns |= {name: set(schema.columns) for name, schema in TABLES.items()}
    assert not {(table, name) for table, old in RENAMED.items() for name in {*old.columns, *old.values} - columns[table]}
