"""The commands that read the published copy, on a small one made by hand."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner

from assets.cli import app
from assets.runtime.outcomes import note_run
from pipelines.settings import Settings

ROW = "5.14298e-06 as price, date '2025-01-01' as day, sum(9007199254740993::bigint) as count, null as missing"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    published = Settings(home=tmp_path).published
    published.mkdir(parents=True)
    with duckdb.connect(str(published / "perplake.duckdb")) as db:
        db.execute("create schema meta; create schema marts; create table marts.numbers as select range as n from range(3)")
    return tmp_path


def run(home: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*arguments, "--home", str(home)])
    assert not result.exception or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_json_has_the_values_as_they_are(home: Path) -> None:
    status, output = run(home, "query", f"select {ROW}", "--format", "json")
    assert status == 0
    assert json.loads(output) == [{"price": 5.14298e-06, "day": "2025-01-01", "count": 9007199254740993, "missing": None}]


def test_csv_has_the_values_as_they_are(home: Path) -> None:
    status, output = run(home, "query", f"select {ROW}", "--format", "csv")
    [row] = csv.DictReader(io.StringIO(output))
    assert status == 0 and row == {"price": "5.14298e-06", "day": "2025-01-01", "count": "9007199254740993", "missing": ""}


def test_tables_need_no_schema_and_a_pipe_gets_all_rows(home: Path) -> None:
    status, output = run(home, "query", "select n from numbers order by n")
    assert status == 0 and [line.strip("│ ") for line in output.splitlines() if line.strip("│ ").isdigit()] == ["0", "1", "2"]


@pytest.mark.parametrize(
    "sql",
    ["select 1; select 2", "", "create table marts.t (n int)", "select nothing from numbers",
     "call enable_logging(storage = 'file', storage_path = 'x')"],
)  # fmt: skip
def test_what_is_no_single_question_is_one_line(sql: str, home: Path) -> None:
    status, output = run(home, "query", sql)
    assert status == 2 and output.startswith("perps: ") and "Traceback" not in output


def test_status_shows_failed_and_running_runs_before_anything_is_published(tmp_path: Path) -> None:
    published = Settings(home=tmp_path).published
    note_run(published, "2025-01-01T00:00:00", mode="live", window="w", outcome="running", messages=[])
    note_run(published, "2025-01-01T00:00:00", outcome="failed", messages=["binance refused"])
    note_run(published, "2025-01-02T00:00:00", mode="live", window="w", outcome="running", messages=[])
    status, output = run(tmp_path, "status")
    assert status == 2 and "nothing is published" in output
    running, failed = "run 2025-01-02T00:00:00 live w: running, or killed", "run 2025-01-01T00:00:00 live w: failed"
    assert output.index(running) < output.index(failed)
    assert "binance refused" in output
