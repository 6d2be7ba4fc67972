"""Commands that read, on published copies that they can't read: one line with the remedy, no traceback."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner

from assets.cli import app

#: The tables of version 0.1 that the commands read first: `meta.run_info` is `meta.scope` today.
VERSION_0_1 = """
create schema meta; create schema marts;
create table meta.run_info (market varchar, origin varchar, source varchar, window_start timestamp, window_end timestamp,
    as_of timestamp, assets varchar[], venues varchar[], price_proxy boolean);
insert into meta.run_info values ('synthetic-7', 'synthetic', 'synthetic', '2025-06-07', '2025-06-10', '2025-06-10', ['BTC'],
    ['binance'], false);
create table marts.regime_labels (day date, asset varchar, label varchar, confidence double, reasons varchar, method varchar);
create table marts.fct_funding_rates (venue varchar, instrument_id varchar, settled_at timestamp, rate double);
insert into marts.fct_funding_rates values ('binance', 'binance:BTCUSDT', '2025-06-07 08:00', 0.0001);
"""
COMMANDS = ("status", "gaps", "regimes BTC", "venues", "explain fct_candles binance:BTCUSDT 2025-06-07T08:00")


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PERPLAKE_HOME", str(tmp_path))
    (path := tmp_path / "synthetic-7" / "published" / "perplake.duckdb").parent.mkdir(parents=True)
    (tmp_path / "current").symlink_to("synthetic-7")
    return tmp_path / "current" / "published" / path.name


def output(arguments: str) -> str:
    """The last line of a command that must end with status 2."""
    result = CliRunner().invoke(app, arguments.split())
    assert (result.exit_code, type(result.exception)) == (2, SystemExit), result.output
    return result.output.strip().splitlines()[-1]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_copy_of_version_0_1_names_the_run_that_replaces_it(published: Path, command: str) -> None:
    with duckdb.connect(str(published)) as db:
        db.execute(VERSION_0_1)
    line = output(command)
    assert line.startswith("perps: ") and "/published/perplake.duckdb was published by another version of perplake (" in line
    assert line.endswith("): `perps run` publishes it again")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_is_no_database_is_named(published: Path, command: str) -> None:
    published.write_bytes(b"not a database" * 100)
    assert "/published/perplake.duckdb can't be opened: " in output(command)


def test_a_copy_of_version_0_1_can_be_queried(published: Path) -> None:
    with duckdb.connect(str(published)) as db:
        db.execute(VERSION_0_1)
    assert "binance:BTCUSDT" in CliRunner().invoke(app, ["query", "from marts.fct_funding_rates"]).output
