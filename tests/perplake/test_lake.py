"""`import perplake` on a published copy: what it answers is what the file has, also once a run has replaced it."""

from __future__ import annotations

import gc
import subprocess
import sys
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

import perplake
from assets.runtime.outcomes import note_run
from perplake.lake import StaleCopy
from tests.perplake.conftest import publish

ADD = "insert into marts.dim_venues values ('bybit')"


def test_tables_come_with_their_descriptions_in_each_library(home: Path) -> None:
    lake = perplake.open(home)
    with duckdb.connect(str(lake.path), read_only=True) as db:
        rows = db.execute("from marts.daily_assets order by all").fetchall()
    frame = lake.table("daily_assets")
    assert sorted(zip(frame["asset"], frame["day"].dt.date, strict=True)) == sorted((row[1], row[0]) for row in rows)
    assert frame.attrs["description"] == "A row per day and asset."
    assert frame.attrs["columns"]["oi_usd"] == "Open interest, US dollars." and frame.attrs["origin"] == "synthetic"
    arrow = lake.table("daily_assets", "arrow")
    assert sorted(tuple(row.values()) for row in arrow.to_pylist() if row["asset"] == "BTC") == [r for r in rows if r[1] == "BTC"]
    assert arrow.schema.field("oi_usd").metadata == {b"description": b"Open interest, US dollars.", b"unit": b"USD"}
    assert arrow.schema.field("asset").metadata == {b"description": b""}
    assert arrow.schema.metadata[b"table"] == b"daily_assets" and arrow.schema.metadata[b"published_at"]
    assert lake.table("daily_assets", "polars").height == len(rows)
    assert lake.describe("daily_assets")["oi_usd"] == "Open interest, US dollars."
    assert frame.attrs["units"] == lake.units("daily_assets") == {"day": "UTC day", "oi_usd": "USD"}
    assert lake.table("meta.scope", "arrow").to_pylist()[0]["market"] == "synthetic-7"


def test_questions_take_parameters_and_keep_whole_numbers(home: Path) -> None:
    lake = perplake.open(home)
    assert lake.sql("select label from regime_labels where asset = ? order by day", parameters=["BTC"])["label"].to_list() == [
        "quiet", "quiet", "cascade"
    ]  # fmt: skip
    [row] = lake.sql("select sum(9007199254740993::bigint) as n", "arrow").to_pylist()
    assert row["n"] == 9007199254740993
    assert lake.coverage("arrow").to_pylist() == [
        {"dataset": "candles", "source": "binance_usdm", "seen": 36, "expected": 48, "coverage": 0.75},
        {"dataset": "liquidations", "source": "binance_usdm", "seen": 0, "expected": 0, "coverage": None},
    ]


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("selec 1", "syntax error"),
        ("select nothing from dim_venues", '"nothing" not found'),
        ("select 1; select 2", "one statement"),
        ("create table t (n int)", "only reads"),
        ("from enable_logging(storage = 'file', storage_path = '{file}')", "enable_logging: a query only reads"),
        ("explain analyze from enable_profiling(save_location = '{file}')", "enable_profiling: a query only reads"),
        ("with a as (from query('from enable_logging()')) select (select count(*) from a)", "query: a query only reads"),
        ("from read_text('/etc/hostname')", "read_text: a query only reads"),
        ("from '/etc/hostname'", "does not exist"),
        ("from home", "does not exist"),  # a variable of this function
    ],
)
def test_a_question_reads_the_copy_alone(sql: str, says: str, home: Path, tmp_path: Path) -> None:
    lake = perplake.open(home)
    with pytest.raises(ValueError, match=says) as problem:
        lake.sql(sql.format(file=tmp_path / "written"))
    assert "\n" not in str(problem.value) and not (tmp_path / "written").exists()


def test_what_can_not_be_read_is_said_in_one_line(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = perplake.open(home)
    with pytest.raises(ValueError, match=r"no table marts\.prices; there are: coverage_daily, "):
        lake.table("prices")
    with pytest.raises(ValueError, match="it is 'pandas', 'polars' or 'arrow'"):
        lake.table("dim_venues", "csv")  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="nothing is published at"):
        perplake.open(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=r"setting home: .* contains '#'"):
        perplake.open(tmp_path / "a#b")
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ValueError, match="Polars is not installed: `pip install"):
        lake.table("dim_venues", "polars")
    lake.path.chmod(0o644)
    lake.path.write_bytes(b"no database")
    with pytest.raises(ValueError, match=r"can't be opened: .* it is damaged"):
        lake.coverage()


def test_what_a_run_has_published_is_read_by_the_next_call_whoever_reads_the_old_file(home: Path) -> None:
    lake, other = perplake.open(home), perplake.open(home)
    with duckdb.connect(str(lake.path), read_only=True) as db, other.session() as old:
        before = lake.published.published_at
        publish(home, ADD)
        assert lake.sql("select count(*) as n from dim_venues")["n"].to_list() == [2]
        assert lake.published.published_at > before
        assert db.execute("select count(*) from marts.dim_venues").fetchall() == [(1,)]
        assert old.execute("select count(*) from marts.dim_venues").fetchall() == [(1,)]
    assert other.sql("from dim_venues").shape == (2, 1)


def test_a_run_sees_that_a_file_is_read_also_after_one_of_two_readers_has_left(home: Path) -> None:
    lake, other = perplake.open(home), perplake.open(home)
    del other
    gc.collect()
    lake.path.chmod(0o644)
    writer = "import duckdb, sys; duckdb.connect(sys.argv[1])"
    refused = subprocess.run([sys.executable, "-c", writer, str(lake.path)], capture_output=True, text=True)
    assert "Could not set lock" in refused.stderr
    del lake
    gc.collect()
    path = next(home.glob("*/published/perplake.duckdb"))
    assert subprocess.run([sys.executable, "-c", writer, str(path)]).returncode == 0


def test_a_stale_copy_says_so(home: Path) -> None:
    with warnings.catch_warnings(action="error"):
        lake = perplake.open(home)
    assert lake.stale == ""
    later = datetime.now(UTC) + timedelta(minutes=1)
    note_run(lake.path.parent, f"{later:%Y-%m-%dT%H:%M:%S}", mode="live", window="w", outcome="failed", messages=["a venue"])
    assert lake.stale.startswith("published at 20") and "failed and published nothing" in lake.stale
    with pytest.warns(StaleCopy, match="published nothing"):
        publish(home, "update meta.scope set origin = 'live'")
        lake.coverage()
    note_run(lake.path.parent, f"{later:%Y-%m-%dT%H:%M:%S}", outcome="succeeded")
    assert lake.stale == "the data end at 2025-10-11 00:00 UTC: `perps run --mode live` loads what came since"


def test_reading_imports_no_orchestration() -> None:
    code = "import perplake.lake, perplake.signals, sys; sys.exit(bool({'dagster', 'dbt', 'dlt'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
