"""The skeleton of a new source lints, meets its own cases, and gives rows from HTTP to the marts, unchanged."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from assets.cli.new_source import write_source

ROOT = Path(__file__).parents[3]
NAME = "acme_perps"
COPIED = ("assets", "dbt_project", "infra", "pipelines", "tests", "pyproject.toml")
FACTS = ("fct_candles", "fct_funding_rates", "fct_open_interest", "fct_running_rates", "fct_liquidations", "dim_instruments")
Run = Callable[..., str]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the skeleton of a source."""
    root = tmp_path_factory.mktemp("checkout")
    for name in COPIED:
        kept_out = shutil.ignore_patterns("__pycache__", "target", "logs")
        path = ROOT / name
        shutil.copytree(path, root / name, ignore=kept_out) if path.is_dir() else shutil.copy(path, root / name)
    write_source(NAME, "Acme Perpetuals", root)
    return root


@pytest.fixture(scope="module")
def run(checkout: Path) -> Run:
    """Runs a module in the copy; its output. Fails where the command does."""

    def run(*command: str) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PERPLAKE_")}
        environment |= {"PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run([sys.executable, "-m", *command], cwd=checkout, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_it_lints(checkout: Path, run: Run) -> None:
    own = [str(file) for file in checkout.rglob(f"{NAME}.py")]
    assert len(own) == 2
    run("ruff", "check", *own)
    run("ruff", "format", "--check", *own)


@pytest.mark.slow
def test_it_meets_its_cases(run: Run) -> None:
    assert " passed" in run("pytest", "tests/sources/test_sources.py", "-q", "-k", NAME, "-p", "no:cacheprovider")


@pytest.mark.slow
def test_it_gives_rows_of_every_dataset(checkout: Path, run: Run) -> None:
    run("assets.cli", "run", "--venues", NAME, "--days", "3", "--assets", "BTC,PEPE")
    with duckdb.connect(str(checkout / ".perplake/current/published/perplake.duckdb"), read_only=True) as published:
        for fact in FACTS:
            assert published.execute(f"select count(*) from marts.{fact} where venue = ?", [NAME]).fetchall()[0][0] > 0, fact


def test_a_source_is_never_overwritten(checkout: Path) -> None:
    with pytest.raises(ValueError, match=r"pipelines/sources/acme_perps\.py already exists"):
        write_source(NAME, "Acme", checkout)


@pytest.mark.parametrize("name", ["Acme", "acme-perps", "acme__perps", "2acme", "", "../acme"])
def test_a_name_is_an_identifier(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lower-case letters"):
        write_source(name, "Acme", tmp_path)
