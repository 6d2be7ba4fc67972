"""The Graph, by what its page says: errors in HTTP 200, pages by id at one block, numbers as texts, subgraphs named by users."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import duckdb
import httpx
import msgspec
import pytest

from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served
from pipelines.clock import Clock
from pipelines.fetch import fetch
from pipelines.load import load
from pipelines.run import EmulatorInfo, Run, resolve_window_and_clock
from pipelines.settings import Settings
from pipelines.source import Instrument, VenueProblem
from pipelines.sources import thegraph
from pipelines.sources.thegraph import LIQUIDATIONS, POOLS, SOURCE, error, expand_multi_venue
from tests.sources.kit import DAY, NOW, WINDOW

META = {"block": {"number": 7}, "hasIndexingErrors": False}


def named(subgraph: str = "Abc123") -> Any:
    [of], lines = expand_multi_venue((f"gmx={subgraph}",), "live")
    assert not lines
    return of


def test_the_requests_of_two_days() -> None:
    """Days as they are counted, seconds as texts; the subgraph's id in the path, the key in no path."""
    of = named()
    [pools] = of.endpoint("pools").plan(Instrument("", ""), WINDOW)
    [forced] = of.endpoint("liquidations").plan(Instrument("", ""), WINDOW)
    assert pools.path == forced.path == "/api/subgraphs/id/Abc123" and of.base_url == "https://gateway.thegraph.com"
    assert pools.body == {
        "operationName": "Pools",
        "query": POOLS,
        "variables": {"from": 20777, "to": 20779, "last": "0x", "block": None},
    }
    assert forced.body["variables"] == {"from": "1795132800", "to": "1795305600", "last": "0x", "block": None}
    assert forced.body["query"] == LIQUIDATIONS and pools.path_label.endswith("Pools")
    assert (of.key_header, of.key_prefix, pools.context) == ("Authorization", "Bearer ", {"project": "gmx"})


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (200, "auth error: API key not found", "key"),
        (200, "bad indexers: {0x1: Unavailable}", "transient"),
        (200, "Query timed out", "transient"),
        (200, "subgraph not found", "rejected"),
        (429, "Too many requests", "limited"),
    ],
)
def test_errors_by_kind(status: int, message: str, kind: Any) -> None:
    assert error(status, json.dumps({"errors": [{"message": message}]}).encode()) == VenueProblem(kind, message)
    assert error(200, b'{"data": {}}') is None


def test_the_next_page_is_of_the_same_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thegraph, "ROWS", 1)
    of = named().endpoint("liquidations")
    [request] = of.plan(Instrument("", ""), WINDOW)
    row = {"id": "0x9", "timestamp": "1795132801", "amountUSD": "12.5", "position": {"side": "SHORT"}}
    page = of.read(json.dumps({"data": {"_meta": META, "rows": [row]}}).encode())
    [found] = of.rows(page)
    assert (found.time, found.amount, found.side) == (1795132801000, 12.5, "SHORT")
    following = of.next_page(request, page, of.rows(page))
    assert following and following.body
    assert following.body["variables"] == {**request.body["variables"], "last": "0x9", "block": {"number": 7}}


def test_a_subgraph_that_says_it_is_wrong_is_quarantined() -> None:
    of = SOURCE.endpoint("pools")
    wrong = {"data": {"_meta": META | {"hasIndexingErrors": True}, "rows": []}}
    with pytest.raises(ValueError, match="indexing errors"):
        of.rows(of.read(json.dumps(wrong).encode()))
    side = {"id": "0x9", "timestamp": "1795132801", "amountUSD": "1", "position": {"side": "BOTH"}}
    with pytest.raises(msgspec.ValidationError, match="BOTH"):
        SOURCE.endpoint("liquidations").read(json.dumps({"data": {"_meta": META, "rows": [side]}}).encode())


def test_subgraphs_are_named_by_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="no `project=id`"):
        expand_multi_venue(("gmx",), "live")
    window, clock = resolve_window_and_clock(Settings())
    monkeypatch.delenv("THEGRAPH_API_KEY", raising=False)
    live = Settings(mode="live", home=tmp_path, venues=["all"], subgraphs=["gmx=Abc123"])
    lines = Run.begin(live, window, clock).chosen_sources()[1]
    assert "thegraph is left out: set THEGRAPH_API_KEY to have references of thegraph" in lines
    monkeypatch.setenv("THEGRAPH_API_KEY", "x")
    assert "thegraph" in [s.name for s in Run.begin(live, window, clock).chosen_sources()[0]]
    unnamed = live.model_copy(update={"subgraphs": []})
    assert any("name subgraphs by `project=id`" in line for line in Run.begin(unnamed, window, clock).chosen_sources()[1])


def test_the_raw_tables_hold_the_store(emulator: Served, store: SyntheticMarket, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, venues=["all"], limits_scale=1e6, timeout_seconds=5)
    run = Run.begin(settings, WINDOW, Clock(NOW), EmulatorInfo(emulator.url, "synthetic; seed=7"))
    of, _ = settings.expand_multi_venue("thegraph")
    [result] = asyncio.run(fetch(run, list(of)))
    assert not result.failures and not result.quarantined and not result.warnings
    load(run, SOURCE, result.entries)
    forced = store.liquidations("gmx", "BTC")
    held = store.open_interest("gmx", "BTC")
    assert forced is not None and held is not None
    worth = float((held.size * held.mark)[held.observed_at == NOW].sum())
    with duckdb.connect(str(run.settings.database), read_only=True) as db:
        days = db.execute("select count(distinct day), max(day) from raw.thegraph__pools").fetchall()
        assert days == [(2, NOW - DAY)]
        longs = db.execute(f"select long_open_interest from raw.thegraph__pools where day = {NOW - DAY}").fetchall()
        assert (pytest.approx(worth),) in longs
        inside = (forced.time >= WINDOW.start) & (forced.time < WINDOW.end) & forced.long
        wanted = sorted((forced.price * forced.size)[inside].tolist())
        amounts = db.execute("select amount from raw.thegraph__liquidations where side = 'LONG'").fetchall()
        assert set(wanted) <= {amount for (amount,) in amounts}


def test_the_emulator_wants_a_key(emulator: Served) -> None:
    said = httpx.post(f"{emulator.url}/thegraph/api/subgraphs/id/emulated", json={}).json()
    assert said == {"errors": [{"message": "auth error: API key not found"}]}
