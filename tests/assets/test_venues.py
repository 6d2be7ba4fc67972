"""`perps venues` and the table in the docs say the same, of every source."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from assets.cli import app
from assets.cli.venues import markdown, rows
from pipelines.registry import PROJECT_FILE, source_rows

DOCS = PROJECT_FILE.parents[1] / "pipelines" / "sources" / "VENUES.md"


def test_the_docs_are_what_the_command_prints() -> None:
    assert DOCS.read_text() == markdown(), "`perps venues --markdown > pipelines/sources/VENUES.md`"


def test_every_source_with_its_key_limits_and_unproven_facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "not-to-be-shown")
    said = CliRunner().invoke(app, ["venues", "--home", str(tmp_path)])
    assert said.exit_code == 0, said.output
    assert "never" in said.output and "not-to-be-shown" not in said.output
    by_name = {row.source: row for row in rows()}
    assert set(by_name) == set(source_rows())
    assert by_name["hyperliquid_archive"].cells()[5] == "`AWS_ACCESS_KEY_ID` (set), live only"
    assert "2,400 in 60 s (weight)" in by_name["binance_usdm"].limits
    assert "open_interest.sides_of_openInterest" in by_name["kraken_futures"].unproven, "taken by analogy"
    assert by_name["kraken_futures"].history == {"funding_rates": 365}
