"""Programs and agents on what a whole run has published: their numbers are those of the marts.

The expected numbers are asked of the published file by DuckDB alone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.whole import ROOT, Reference, published


def ask(home: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(published(home)), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def test_the_examples_of_the_page_on_python_run(
    reference: Reference, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PERPLAKE_HOME", str(reference.home))
    page = (ROOT / "docs/python.md").read_text()
    names: dict[str, Any] = {}
    exec(compile("\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL)), "docs/python.md", "exec"), names)
    charged = {row.venue: row.paid_by_longs for row in names["charged"].itertuples()}
    btc = ask(reference.home, "select venue, settled_at, rate_interval from marts.fct_funding_rates where base_asset = 'BTC'")
    since = max(at for _, at, _ in btc) - timedelta(days=2)
    expected: dict[str, float] = defaultdict(float)
    for venue, at, rate in btc:
        expected[venue] += rate if at >= since else 0
    assert charged == pytest.approx(expected) and len(charged) == 4
    assert len(names["daily"]) == ask(reference.home, "select count(*) from marts.daily_assets")[0][0]
    assert names["daily"].attrs["columns"]["oi_usd"].startswith("Open interest at the day's end, one side, US dollars")
    assert ask(reference.home, "select count(*) from meta.published where run <> ''") == [(1,)]
    assert "the response, byte for byte" in capsys.readouterr().out
