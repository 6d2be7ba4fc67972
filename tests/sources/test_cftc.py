"""The CFTC's traps: numbers and dates as text, reports of a Tuesday that are published on the Friday after."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.emulator.cases import cases
from infra.emulator.testing import Served
from pipelines.source import Instrument
from pipelines.sources.cftc import SOURCE
from pipelines.windows import Window
from tests.sources.kit import DAY, NOW, WINDOW, load_and_query

REPORTS = SOURCE.endpoint("reports")
[LINE] = cases("cftc").documented["reports"]


def test_the_window_of_a_request_has_the_three_weeks_before() -> None:
    [request] = REPORTS.plan(Instrument("", ""), WINDOW)
    assert request.window == Window(NOW - 23 * DAY, NOW)


def test_a_row_is_read_from_its_texts() -> None:
    [row] = REPORTS.rows(REPORTS.read(json.dumps([LINE]).encode()))
    assert (row.contract_code, row.reported_on, row.open_interest) == ("133741", 1779148800000, 27123.0)


@pytest.mark.parametrize(
    ("field", "value"), [("open_interest_all", "n/a"), ("report_date_as_yyyy_mm_dd", "19.05.2026"), ("open_interest_all", None)]
)
def test_a_row_without_a_number_or_a_date_is_refused(field: str, value: str | None) -> None:
    row = {name: text for name, text in LINE.items() if name != field} | ({field: value} if value else {})
    with pytest.raises(ValueError, match=rf"{field}|Invalid isoformat"):
        REPORTS.read(json.dumps([row]).encode())


def test_a_report_is_published_on_the_friday_after(emulator: Served, tmp_path: Path) -> None:
    """The clock shows Sunday 2026-11-22: the last report is of Tuesday the 17th."""
    query = load_and_query("cftc", emulator, tmp_path)
    days = query("select distinct make_timestamp(reported_on * 1000)::date::varchar from raw.cftc__reports order by 1")
    assert days == [("2026-11-03",), ("2026-11-10",), ("2026-11-17",)]
