"""All sources' models on a Spark cluster of this machine are those of DuckDB, model by model."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sources.conftest import EverySource
from tests.spark import equal_on_spark
from tests.whole import database


@pytest.mark.slow
def test_every_model_of_all_sources_is_that_of_duckdb(every_source: EverySource, tmp_path: Path) -> None:
    equal_on_spark(database(every_source.home), tmp_path / "spark")
