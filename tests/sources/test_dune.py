"""Dune's traps: an execution is paid once, its cost is reported, its result has pages. Read by its own client too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dune_client.client import DuneClient
from dune_client.models import QueryFailedError

from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served
from infra.emulator.venues.gmx import MARKETS
from pipelines.source import Instrument
from pipelines.sources import dune
from pipelines.sources.dune import SOURCE
from pipelines.windows import Window
from tests.sources.kit import DAY, NOW, WINDOW, fetch_from_emulator, load_and_query

DAYS = {"start": "2026-11-20 00:00:00", "end": "2026-11-22 00:00:00", "start_day": "2026-11-20", "end_day": "2026-11-22"}


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dune, "POLL", 0.01)


def calls(emulator: Served) -> list[str]:
    """The last part of each request's path."""
    return [r["path"].rpartition("/")[2] for r in emulator.requests() if r["venue"] == "dune"]


def test_a_window_is_extended_to_whole_days() -> None:
    [request] = SOURCE.endpoint("volume").plan(Instrument("", ""), Window(WINDOW.start + 1, WINDOW.end - 1))
    assert request.window == WINDOW


@pytest.mark.parametrize("zone", ["", " UTC"])
def test_a_day_is_utc_with_and_without_its_zone_and_a_sum_may_be_null(zone: str) -> None:
    row = {"day": f"2024-05-01 00:00:00.000{zone}", "project": "gmx", "version": "1", "blockchain": "arbitrum"}
    body = {"pages": [{"result": {"rows": [row | {"volume_usd": None, "fills": 3}]}}]}
    endpoint = SOURCE.endpoint("volume")
    [read] = endpoint.rows(endpoint.read(json.dumps(body).encode()))
    assert (read.day, read.volume_usd, read.fills) == (1714521600000, None, 3)


def liquidated(store: SyntheticMarket, *, long: bool) -> float:
    """US dollars of the last day on GMX, of all its coins."""
    total = 0.0
    for coin in MARKETS:
        forced = store.liquidations("gmx", coin)
        assert forced is not None
        inside = (forced.time >= NOW - DAY) & (forced.time < NOW) & (forced.long == long)
        total += float((forced.price * forced.size)[inside].sum())
    return total


def test_the_raw_tables_have_the_sums_of_the_store(emulator: Served, store: SyntheticMarket, tmp_path: Path) -> None:
    query = load_and_query("dune", emulator, tmp_path)
    volume = sum(
        float(bars.quote_volume[(bars.opened_at >= NOW - DAY) & (bars.opened_at < NOW)].sum())
        for coin in MARKETS
        if (bars := store.candles("gmx", coin, "trade"))
    )
    days = query("select day, project, version, blockchain from raw.dune__volume order by 1")
    assert days == [(NOW - 2 * DAY, "gmx", "1", "arbitrum"), (NOW - DAY, "gmx", "1", "arbitrum")]
    assert query(f"select volume_usd from raw.dune__volume where day = {NOW - DAY}") == [(pytest.approx(volume),)]
    sides = dict(query(f"select is_long, size_usd from raw.dune__liquidations where day = {NOW - DAY}"))
    expected = {side: liquidated(store, long=side) for side in (True, False)}
    assert sides == pytest.approx({side: value for side, value in expected.items() if value})


def test_the_price_is_reported_before_and_the_cost_after(emulator: Served, tmp_path: Path) -> None:
    emulator.clear_requests()
    _, result = fetch_from_emulator("dune", emulator, tmp_path)
    before, after = [line for line in result.warnings if "perpetual.trades" in line]
    assert before.startswith("dune perpetual.trades: executing, which costs credits for its compute")
    assert after.startswith("dune perpetual.trades: cost 0.5 credits to execute, and at most ")
    paths = calls(emulator)
    assert paths.count("execute") == 2 and paths.count("status") == 6 and paths.count("results") == 2


def test_pages_are_followed_and_a_failed_page_does_not_execute_again(
    emulator: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dune, "ROWS", 1)
    emulator.fault("500", venue="dune", path_contains="results")
    emulator.clear_requests()
    _, result = fetch_from_emulator("dune", emulator, tmp_path)
    assert not result.failures
    assert calls(emulator).count("execute") == 2
    entry = next(e for e in result.entries if e.endpoint_name == "volume")
    assert entry.body and "perpetual.trades" in entry.body["sql"]


def test_its_own_client_reads_the_emulator(emulator: Served, tmp_path: Path) -> None:
    query = load_and_query("dune", emulator, tmp_path)
    client = DuneClient(api_key="emulator", base_url=f"{emulator.url}/dune")
    for table, sql, column in (
        ("volume", dune.VOLUME, "volume_usd"),
        ("liquidations", dune.LIQUIDATIONS, "size_usd"),
    ):
        rows = client.run_sql(sql.format(**DAYS), ping_frequency=0).get_rows()
        raw = query(f"select {column} from raw.dune__{table} order by 1")
        assert [(row[column],) for row in sorted(rows, key=lambda row: row[column])] == raw and len(raw) >= 2
    with pytest.raises(QueryFailedError, match="mismatched input"):
        client.run_sql("selecdt 1", ping_frequency=0)
