"""The tables of `meta`: made from their records, with every column described; made again without loss."""

from __future__ import annotations

import duckdb

from pipelines.meta_tables import META_TABLES, create_meta_tables


def test_every_table_and_column_is_described() -> None:
    with duckdb.connect() as db:
        db.execute(create_meta_tables())
        tables = dict(db.execute("SELECT table_name, comment FROM duckdb_tables() WHERE schema_name = 'meta'").fetchall())
        assert tables == {name: table.description for name, table in META_TABLES.items()}
        sql = "SELECT table_name, column_name, data_type, comment FROM duckdb_columns() WHERE schema_name = 'meta'"
        expected = [
            (name, column, *described) for name, table in META_TABLES.items() for column, described in table.columns.items()
        ]
        assert sorted(db.execute(sql).fetchall()) == sorted(expected)
        assert all(comment for *_, comment in expected)


def test_a_table_that_exists_keeps_its_rows() -> None:
    with duckdb.connect() as db:
        db.execute(create_meta_tables())
        db.execute("INSERT INTO meta.built VALUES ('a', 'b', ['c'])")
        db.execute(create_meta_tables())
        assert db.execute("FROM meta.built").fetchall() == [("a", "b", ["c"])]
