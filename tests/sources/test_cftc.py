"""The CFTC's weekly report, by what the page on CME says: texts throughout, Tuesdays that come out on Fridays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.emulator.testing import Served
from pipelines.source import Instrument, VenueProblem
from pipelines.sources.cftc import SOURCE, error
from pipelines.windows import Window
from tests.sources.kit import DAY, NOW, WINDOW, load_and_query

REPORTS = SOURCE.endpoint("reports")
#: A row by the page: more columns than are read, all of them text.
LINE = {
    "report_date_as_yyyy_mm_dd": "2026-05-19T00:00:00.000",
    "market_and_exchange_names": "BITCOIN - CHICAGO MERCANTILE EXCHANGE",
    "contract_market_name": "BITCOIN",
    "cftc_contract_market_code": "133741",
    "open_interest_all": "27123",
    "lev_money_positions_short": "12000",
    "contract_units": "(5 Bitcoins)",
}


def test_the_request_of_two_days_asks_for_the_three_weeks_before_as_well() -> None:
    [request] = REPORTS.plan(Instrument("", ""), WINDOW)
    assert (request.path, request.window) == ("/resource/gpe5-46if.json", Window(NOW - 23 * DAY, NOW))
    assert request.params == {
        "$where": "cftc_contract_market_code in ('133741', '133742', '146021', '146022') and "
        "report_date_as_yyyy_mm_dd >= '2026-10-30T00:00:00' and report_date_as_yyyy_mm_dd < '2026-11-22T00:00:00'",
        "$order": "report_date_as_yyyy_mm_dd, cftc_contract_market_code",
        "$limit": 5000,
    }


def test_a_row_is_read_from_its_texts() -> None:
    [row] = REPORTS.rows(REPORTS.read(json.dumps([LINE]).encode()))
    assert (row.contract_code, row.reported_on, row.open_interest) == ("133741", 1779148800000, 27123.0)


@pytest.mark.parametrize("change", [{"open_interest_all": "n/a"}, {"report_date_as_yyyy_mm_dd": "19.05.2026"}])
def test_what_is_no_number_or_no_date_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"could not convert|Invalid isoformat"):
        REPORTS.rows(REPORTS.read(json.dumps([LINE | change]).encode()))
    with pytest.raises(ValueError, match="open_interest_all"):
        REPORTS.read(json.dumps([{k: v for k, v in LINE.items() if k != "open_interest_all"}]).encode())


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (400, {"code": "query.soql.no-such-column", "error": True, "message": "No"}, VenueProblem("rejected", "No")),
        (429, {"error": True, "message": "Throttled"}, VenueProblem("limited", "Throttled")),
        (503, {"error": True, "message": "Later"}, VenueProblem("transient", "Later")),
        (200, [LINE], None),
    ],
)
def test_errors_by_kind(status: int, body: Any, says: VenueProblem | None) -> None:
    assert error(status, json.dumps(body).encode()) == says


def test_a_report_is_out_on_the_friday_after(emulator: Served, tmp_path: Path) -> None:
    """The clock stands at Sunday 2026-11-22: the last report is of Tuesday the 17th."""
    query = load_and_query("cftc", emulator, tmp_path)
    days = query("select distinct make_timestamp(reported_on * 1000)::date::varchar from raw.cftc__reports order by 1")
    assert days == [("2026-11-03",), ("2026-11-10",), ("2026-11-17",)]
    refused = httpx.get(f"{emulator.url}/cme/resource/gpe5-46if.json", params={"$where": "1 = 1"})
    assert refused.status_code == 400 and refused.json()["error"] is True
