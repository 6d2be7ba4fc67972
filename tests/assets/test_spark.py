"""Facts and marts on a Spark cluster of this machine are those of DuckDB, model by model."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from assets.spark.rebuild import Model, rebuild
from pipelines.settings import Settings
from tests.spark import SMALL_DATA, equal_on_spark, has_spark
from tests.whole import ROOT, Reference, database, perps

SERIES = ROOT.parent / "shared" / "recordings" / "series"


@pytest.mark.slow
def test_every_model_is_that_of_duckdb(reference: Reference, tmp_path: Path) -> None:
    rows = equal_on_spark(database(reference.home), tmp_path / "spark")
    with duckdb.connect(str(tmp_path / "spark" / "perplake.duckdb"), read_only=True) as db:
        tables = db.execute("select view_name from duckdb_views() where schema_name = 'marts'").fetchall()
        found = {f"marts.{name}": db.execute(f'select count(*) from marts."{name}"').fetchall()[0][0] for (name,) in tables}
    assert found == {name: n for name, n in rows.items() if name.startswith("marts.")}
    assert found["marts.daily_assets"] == reference.marts["daily_assets"][0] > 0


@pytest.mark.slow
@pytest.mark.skipif(not SERIES.is_dir(), reason="the recorded series are absent: ../shared/recordings/series")
def test_every_model_of_the_recordings_is_that_of_duckdb(tmp_path: Path) -> None:
    home, mode = tmp_path / "home", f"recorded:{SERIES}"
    ended = perps(home, "", "run", "--from", "2025-03-08", "--to", "2025-12-31", mode=mode, report=False)
    assert ended.status == 0, ended.output
    equal_on_spark(Settings(mode=mode, home=home).database, tmp_path / "spark")


@pytest.mark.slow
def test_a_model_that_fails_leaves_out_those_that_read_it(tmp_path: Path) -> None:
    has_spark()
    queries = {
        "good": "select 1 as n",
        "bad": "select 9223372036854775807 + n as n from warehouse.marts.good",
        "after": "select n from warehouse.marts.bad",
        "beside": "select n + 1 as n from warehouse.marts.good",
    }
    models = [Model("marts", name, sql, "table", None, ()) for name, sql in queries.items()]
    report = rebuild(models, tmp_path, "local[1]", settings=SMALL_DATA)
    assert report.rows == {"marts.good": 1, "marts.beside": 1}
    assert report.left_out.keys() == {"marts.bad", "marts.after"}
    assert "overflow" in report.left_out["marts.bad"]
    assert report.left_out["marts.after"] == "reads marts.bad"
