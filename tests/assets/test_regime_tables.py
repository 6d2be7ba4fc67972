"""Writing the tables of regimes: descriptions as comments, and live forecasts that never change."""

from collections.abc import Iterator

import duckdb
import pandas as pd
import pytest
from pandera.errors import SchemaErrors

from assets.defs.regimes import live_forecasts, write_table
from assets.regimes.forecasts import schemas
from assets.regimes.tables import TABLES


@pytest.fixture
def db() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("CREATE SCHEMA meta; CREATE SCHEMA marts")
        yield connection


def forecasts(day: str, probability: float) -> pd.DataFrame:
    """Forecasts of two targets for a day and the day before."""
    last = pd.Timestamp(day)
    days = pd.DataFrame({"day": [last - pd.Timedelta(days=1), last]}).merge(
        pd.DataFrame({"target": ["crash10", "cascade"]}), "cross"
    )
    rows = days.assign(
        asset="BTC", method="har", kind="volatility", horizon_days=7, probability=probability, flag=None,
        fitted_on=pd.Timestamp("2025-01-01"), run_type="backtest", plan_hash="hash",
    )  # fmt: skip
    return schemas.FORECASTS.validate(rows[list(schemas.FORECASTS.columns)])


def test_a_live_forecast_never_changes(db: duckdb.DuckDBPyConnection) -> None:
    """Another fit, or corrected data, changes the backtest and no live row."""
    first = live_forecasts(db, forecasts("2025-03-01", 0.1))
    assert set(first["run_type"]) == {"live"} and set(first["day"]) == {pd.Timestamp("2025-03-01")}
    pd.testing.assert_frame_equal(first, live_forecasts(db, forecasts("2025-03-01", 0.2)))
    later = live_forecasts(db, forecasts("2025-03-02", 0.3))
    assert later.groupby("day")["probability"].unique().map(list).tolist() == [[0.1], [0.3]]


def test_live_forecasts_of_an_older_version_are_kept(db: duckdb.DuckDBPyConnection) -> None:
    old = forecasts("2025-02-28", 0.5).rename(columns={"run_type": "basis"}).assign(basis="live")  # noqa: F841 (read by DuckDB)
    db.execute("CREATE TABLE meta.forecasts_live AS FROM old")
    assert len(live_forecasts(db, forecasts("2025-03-01", 0.1))) == 6


@pytest.mark.parametrize("name", TABLES)
def test_no_number_of_a_regime_table_is_infinite(db: duckdb.DuckDBPyConnection, name: str) -> None:
    """Each column with one is named, and the table is not written."""
    numbers = [column for column, rules in TABLES[name].columns.items() if str(rules.dtype).startswith("float")]
    for value in (float("inf"), float("-inf")):
        row = schemas.empty(TABLES[name]).reindex([0]).assign(**dict.fromkeys(numbers, value))
        with pytest.raises(SchemaErrors) as refused:
            write_table(db, name, row)
        cases = refused.value.failure_cases
        assert set(cases["column"][cases["failure_case"] == value]) >= set(numbers)
    assert db.execute("SELECT 1 FROM duckdb_tables() WHERE schema_name = 'marts'").fetchall() == []


@pytest.mark.parametrize("name", TABLES)
def test_descriptions_become_comments(db: duckdb.DuckDBPyConnection, name: str) -> None:
    write_table(db, name, schemas.empty(TABLES[name]))
    comments = dict(db.execute("SELECT column_name, comment FROM duckdb_columns() WHERE schema_name = 'marts'").fetchall())
    stated = {name: (column.description, (column.metadata or {}).get("unit")) for name, column in TABLES[name].columns.items()}
    assert comments == {name: f"{text} [{unit}]" if unit else text for name, (text, unit) in stated.items()}
    assert db.execute("SELECT comment FROM duckdb_tables() WHERE schema_name = 'marts'").fetchall() == [
        (TABLES[name].description,)
    ]
