"""Facts and marts on a Spark cluster of this machine are those of DuckDB, model by model."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from tests.spark import differences, on_spark
from tests.whole import Reference, database


@pytest.mark.slow
def test_every_model_is_that_of_duckdb(reference: Reference, tmp_path: Path) -> None:
    folder = tmp_path / "spark"
    report = on_spark(database(reference.home), folder)
    assert report.left_out == {}
    wrong, equal = differences(database(reference.home), folder)
    assert wrong == []
    assert equal > 60
    with duckdb.connect(str(folder / "perplake.duckdb"), read_only=True) as db:
        rows = db.execute("select count(*) from marts.daily_assets").fetchall()[0][0]
    assert rows == reference.marts["daily_assets"][0]
