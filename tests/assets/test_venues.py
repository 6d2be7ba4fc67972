"""`perps venues` and its Markdown table have a row for every source."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from assets.cli import app
from assets.cli.venues import markdown, rows
from pipelines.registry import source_rows


def test_markdown_has_every_source_and_nothing_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = markdown().splitlines()
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines[2:]] == list(source_rows())
    monkeypatch.setenv("ARCHIVE_AWS_ACCESS_KEY_ID", "set-on-this-machine")
    assert markdown().splitlines() == lines


def test_every_source_with_its_key_limits_and_unproven_facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.setenv("ARCHIVE_AWS_ACCESS_KEY_ID", "not-to-be-shown")
    result = CliRunner().invoke(app, ["venues", "--home", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "never" in result.output and "not-to-be-shown" not in result.output
    by_name = {row.source: row for row in rows()}
    assert set(by_name) == set(source_rows())
    assert by_name["hyperliquid_archive"].cells()[6] == "`ARCHIVE_AWS_ACCESS_KEY_ID` (set), live only"
    assert "2,400 in 60 s (weight)" in by_name["binance_usdm"].limits
    assert "open_interest.sides_of_openInterest" in by_name["kraken_futures"].unproven, "taken by analogy"
    assert by_name["kraken_futures"].record.history == {"funding_rates": 365, "order_book_depth": 0}
