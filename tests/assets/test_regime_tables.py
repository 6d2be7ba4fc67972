"""Writing the tables of regimes: descriptions as comments, and live forecasts that never change."""

from collections.abc import Iterator

import duckdb
import pandas as pd
import pytest
from pandera.errors import SchemaErrors

from assets.defs.regimes import label_changed, live_forecasts, write_table
from assets.regimes.forecasts import schemas
from assets.regimes.tables import TABLES
from pipelines.meta_tables import create_meta_tables
from tests.assets.regimes.test_known import NO_FACTS
from tests.assets.regimes.test_regimes import market


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


def test_days_are_labelled_from_the_first_that_changed_as_if_all_were(db: duckdb.DuckDBPyConnection) -> None:
    """Three years of two assets, of which a day a year ago is corrected, and then another day comes, and one is no more."""
    daily = pd.concat([market(1000, 1), market(1000, 2, "ETH")])
    daily, last = daily[daily["day"] < daily["day"].max()], daily[daily["day"] == daily["day"].max()]
    db.execute(
        f"{create_meta_tables()}; CREATE TABLE marts.daily_assets AS SELECT * REPLACE (day::DATE AS day) FROM daily;"
        "CREATE TABLE marts.daily_market AS FROM marts.daily_assets LIMIT 0;"
        f"{NO_FACTS}"
    )

    def tables() -> list[pd.DataFrame]:
        names = ("regime_features", "regime_labels", "regime_posture")
        return [db.sql(f"FROM marts.{name} ORDER BY day, asset").df() for name in names]

    first, corrected = daily["day"].min().date(), (daily["day"].min() + pd.Timedelta(days=700)).date()
    assert (label_changed(db), label_changed(db)) == (first, None)
    for change in (
        "UPDATE marts.daily_assets SET realised_vol_7d = 3, oi_change_1d = -0.5, low_vs_prev_close = -0.3 WHERE day = $1",
        "INSERT INTO marts.daily_assets BY NAME FROM last",
        "DELETE FROM marts.daily_assets WHERE day = $1",
    ):
        before = tables()
        db.execute(change, [corrected] if "$1" in change else [])
        since = label_changed(db)
        found = tables()
        assert since == (last["day"].max().date() if "last" in change else corrected)
        assert any(len(a) != len(b) or not a.equals(b) for a, b in zip(before, found, strict=True))
        db.execute("DELETE FROM meta.labelled")
        assert label_changed(db) == first
        for bounded, whole in zip(found, tables(), strict=True):
            pd.testing.assert_frame_equal(bounded, whole, check_exact=True)
