"""dbt on its own: one message where there is nothing to build from."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines import warehouse
from tests.dbt.conftest import Dbt


@pytest.mark.parametrize("command", ["build", "test", "run"])
def test_a_warehouse_without_raw_tables_ends_with_one_message(
    dbt: Dbt, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "warehouse.duckdb"
    with pytest.raises(AssertionError):
        dbt(path, command)
    output = capsys.readouterr().out
    assert output.count(f"the warehouse {path} has no raw tables: run `perps run` or `perps load` first") == 1
    assert "stg_" not in output


def test_a_missing_folder_ends_with_one_message(dbt: Dbt, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "none" / "warehouse.duckdb"
    with pytest.raises(AssertionError):
        dbt(path, "build")
    output = capsys.readouterr().out
    assert f'the warehouse can\'t be opened (IO Error: Cannot open file "{path}"' in output
    assert "run `perps run` first" in output
    assert "Traceback" not in output


def test_tests_compile_before_a_model_is_made(dbt: Dbt, tmp_path: Path) -> None:
    """As dbt's documentation needs it."""
    path = tmp_path / "warehouse.duckdb"
    with warehouse.connect(path) as connection:
        warehouse.prepare(connection, "test")
    assert dbt(path, "compile", "--select", "test_type:data")
