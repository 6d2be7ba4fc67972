"""Dune, by what its page says and by its own client: queries executed once, polled, paged; credits told before and after."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from dune_client.client import DuneClient
from dune_client.models import QueryFailedError

from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served
from pipelines.records import IsoMs, read_iso
from pipelines.source import Instrument, VenueProblem
from pipelines.sources import dune
from pipelines.sources.dune import SOURCE, error
from tests.sources.kit import DAY, NOW, WINDOW, fetch_from_emulator, load_and_query, planned_requests

START = {"start": "2026-11-20 00:00:00", "end": "2026-11-22 00:00:00"}


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dune, "POLL", 0.01)


def test_the_requests_of_two_days() -> None:
    """One execution a query, over whole days; the SQL is ours but for the days."""
    asked = planned_requests("dune", "", WINDOW)
    for name, sql in (("volume", dune.VOLUME), ("liquidations", dune.LIQUIDATIONS)):
        body = json.dumps({"sql": sql.format(**START), "performance": "medium"})
        assert asked[name] == [f"POST https://api.dune.com/api/v1/sql/execute {body}"]
    [request] = SOURCE.endpoint("volume").plan(Instrument("", ""), type(WINDOW)(WINDOW.start + 1, WINDOW.end - 1))
    assert request.window == WINDOW


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (401, {"error": "invalid API Key"}, VenueProblem("key", "HTTP 401 invalid API Key")),
        (402, {"error": "credit limit"}, VenueProblem("key", "HTTP 402 credit limit")),
        (429, {"error": "too many requests"}, VenueProblem("limited", "too many requests")),
        (500, {"error": "internal"}, VenueProblem("transient", "internal")),
        (200, {"state": "QUERY_STATE_FAILED", "error": {"message": "Line 1:1"}}, VenueProblem("rejected", "Line 1:1")),
        (200, {"pages": []}, None),
    ],
)
def test_errors_by_kind(status: int, body: Any, says: VenueProblem | None) -> None:
    assert error(status, json.dumps(body).encode()) == says


def test_its_days_name_their_zone_by_letters() -> None:
    assert read_iso(IsoMs, "2024-05-01 00:00:00.000 UTC") == 1714521600000
    with pytest.raises(ValueError, match="with its zone"):
        read_iso(IsoMs, "2024-05-01 00:00:00.000")


def liquidated(store: SyntheticMarket, *, long: bool) -> float:
    """US dollars of the last day on GMX, of all its coins."""
    total = 0.0
    for coin in ("BTC", "ETH", "SOL", "DOGE"):
        forced = store.liquidations("gmx", coin)
        assert forced is not None
        inside = (forced.time >= NOW - DAY) & (forced.time < NOW) & (forced.long == long)
        total += float((forced.price * forced.size)[inside].sum())
    return total


def test_the_raw_tables_hold_the_store(emulator: Served, store: SyntheticMarket, tmp_path: Path) -> None:
    query = load_and_query("dune", emulator, tmp_path)
    volume = sum(
        float(bars.quote_volume[(bars.opened_at >= NOW - DAY) & (bars.opened_at < NOW)].sum())
        for coin in ("BTC", "ETH", "SOL", "DOGE")
        if (bars := store.candles("gmx", coin, "trade"))
    )
    days = query("select day, project, blockchain from raw.dune__volume order by 1")
    assert days == [(NOW - 2 * DAY, "gmx", "arbitrum"), (NOW - DAY, "gmx", "arbitrum")]
    assert query(f"select volume_usd from raw.dune__volume where day = {NOW - DAY}") == [(pytest.approx(volume),)]
    sides = dict(query(f"select is_long, size_usd from raw.dune__liquidations where day = {NOW - DAY}"))
    wanted = {side: liquidated(store, long=side) for side in (True, False)}
    assert sides == pytest.approx({side: worth for side, worth in wanted.items() if worth})


def test_what_it_costs_is_said_before_and_after(emulator: Served, tmp_path: Path) -> None:
    emulator.clear_requests()
    _, result = fetch_from_emulator("dune", emulator, tmp_path)
    said = [line for line in result.warnings if "perpetual.trades" in line]
    assert said[0].startswith("dune perpetual.trades: executing, which costs credits for the compute of tier medium")
    assert said[1].startswith("dune perpetual.trades: cost 0.5 credits to execute, and at most ")
    paths = [r["path"].rpartition("/")[2] for r in emulator.requests() if r["venue"] == "dune"]
    assert paths.count("execute") == 2 and paths.count("status") == 6 and paths.count("results") == 2


def test_pages_are_followed_and_one_that_fails_pays_no_second_time(
    emulator: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dune, "ROWS", 1)
    emulator.fault("500", venue="dune", path_contains="results")
    emulator.clear_requests()
    _, result = fetch_from_emulator("dune", emulator, tmp_path)
    assert not result.failures
    paths = [r["path"].rpartition("/")[2] for r in emulator.requests() if r["venue"] == "dune"]
    assert paths.count("execute") == 2
    entry = next(e for e in result.entries if e.endpoint_name == "volume")
    assert entry.body and "perpetual.trades" in entry.body["sql"]


def test_its_own_client_reads_the_emulator(emulator: Served, tmp_path: Path) -> None:
    query = load_and_query("dune", emulator, tmp_path)
    client = DuneClient(api_key="emulator", base_url=f"{emulator.url}/dune")
    for table, sql in (("volume", dune.VOLUME), ("liquidations", dune.LIQUIDATIONS)):
        rows = client.run_sql(sql.format(**START), ping_frequency=0).get_rows()
        number = {"volume": "volume_usd", "liquidations": "size_usd"}[table]
        ours = query(f"select {number} from raw.dune__{table} order by 1")
        assert [(row[number],) for row in sorted(rows, key=lambda row: row[number])] == ours and len(ours) >= 2
    with pytest.raises(QueryFailedError, match="mismatched input"):
        client.run_sql("selecdt 1", ping_frequency=0)
    assert httpx.post(f"{emulator.url}/dune/api/v1/sql/execute", json={"sql": ""}).status_code == 401
