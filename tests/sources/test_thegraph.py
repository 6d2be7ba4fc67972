"""The Graph's traps: pages by id at one block, subgraphs with errors, subgraphs that the user names."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import duckdb
import msgspec
import pytest

from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served
from pipelines.clock import Clock
from pipelines.fetch import fetch
from pipelines.load import load
from pipelines.run import EmulatorInfo, Run, resolve_window_and_clock
from pipelines.settings import Settings
from pipelines.source import Instrument, Source
from pipelines.sources import thegraph
from pipelines.sources.thegraph import SOURCE, expand_multi_venue
from tests.sources.kit import DAY, NOW, WINDOW

META = {"block": {"number": 7}, "hasIndexingErrors": False}


def gmx() -> Source:
    [source], lines = expand_multi_venue(("gmx_v1=Abc123",), "live")
    assert not lines
    return source


def test_a_request_has_its_subgraph_in_the_path_and_its_project_in_the_context() -> None:
    requests = [r for endpoint in gmx().endpoints for r in endpoint.plan(Instrument("", ""), WINDOW)]
    assert [(r.path, r.context) for r in requests] == [("/api/subgraphs/id/Abc123", {"project": "gmx_v1"})] * 2
    assert [r.path_label.rpartition(" ")[2] for r in requests] == ["Pools", "Liquidations"]


def test_the_next_page_is_of_the_same_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thegraph, "ROWS", 1)
    endpoint = gmx().endpoint("liquidations")
    [request] = endpoint.plan(Instrument("", ""), WINDOW)
    event = {"id": "0x9", "timestamp": "1795132801", "amountUSD": "12.5", "position": {"side": "SHORT"}}
    page = endpoint.read(json.dumps({"data": {"_meta": META, "rows": [event]}}).encode())
    [row] = endpoint.rows(page)
    assert (row.time, row.amount, row.side) == (1795132801000, 12.5, "SHORT")
    after = endpoint.next_page(request, page, endpoint.rows(page))
    assert request.body and after and after.body
    assert after.body["variables"] == {**request.body["variables"], "last": "0x9", "block": {"number": 7}}


def test_a_subgraph_that_reports_errors_and_an_unknown_side_are_quarantined() -> None:
    endpoint = SOURCE.endpoint("pools")
    with pytest.raises(ValueError, match="indexing errors"):
        endpoint.rows(endpoint.read(json.dumps({"data": {"_meta": META | {"hasIndexingErrors": True}, "rows": []}}).encode()))
    event = {"id": "0x9", "timestamp": "1795132801", "amountUSD": "1", "position": {"side": "BOTH"}}
    with pytest.raises(msgspec.ValidationError, match="BOTH"):
        SOURCE.endpoint("liquidations").read(json.dumps({"data": {"_meta": META, "rows": [event]}}).encode())


def test_subgraphs_are_named_by_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, problem in (("gmx_v1", "no `project=id`"), ("gmx=Abc123", "two protocols")):
        with pytest.raises(ValueError, match=problem):
            expand_multi_venue((name,), "live")
    window, clock = resolve_window_and_clock(Settings())
    monkeypatch.delenv("THEGRAPH_API_KEY", raising=False)
    live = Settings(mode="live", home=tmp_path, venues=["all"], subgraphs=["gmx_v1=Abc123"])
    lines = Run.begin(live, window, clock).chosen_sources()[1]
    assert "thegraph is left out: set THEGRAPH_API_KEY to have references of thegraph" in lines
    monkeypatch.setenv("THEGRAPH_API_KEY", "x")
    assert "thegraph" in [s.name for s in Run.begin(live, window, clock).chosen_sources()[0]]
    unnamed = live.model_copy(update={"subgraphs": []})
    assert any("name subgraphs by `project=id`" in line for line in Run.begin(unnamed, window, clock).chosen_sources()[1])


def test_the_raw_tables_have_the_pools_and_the_liquidations_of_the_store(
    emulator: Served, store: SyntheticMarket, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path, venues=["all"], limits_scale=1e6, timeout_seconds=5)
    run = Run.begin(settings, WINDOW, Clock(NOW), EmulatorInfo(emulator.url, "synthetic; seed=7"))
    sources, _ = settings.expand_multi_venue("thegraph")
    [result] = asyncio.run(fetch(run, list(sources)))
    assert not result.failures and not result.quarantined and not result.warnings
    load(run, SOURCE, result.entries)
    forced, stored = store.liquidations("gmx", "BTC"), store.open_interest("gmx", "BTC")
    assert forced is not None and stored is not None
    value = float((stored.size * stored.mark)[stored.observed_at == NOW].sum())
    with duckdb.connect(str(run.settings.database), read_only=True) as db:
        days = db.execute("select count(distinct day), max(day) from raw.thegraph__pools").fetchall()
        assert days == [(2, NOW - DAY)]
        longs = db.execute(f"select long_open_interest from raw.thegraph__pools where day = {NOW - DAY}").fetchall()
        assert (pytest.approx(value),) in longs
        inside = (forced.time >= WINDOW.start) & (forced.time < WINDOW.end) & forced.long
        amounts = db.execute("select amount from raw.thegraph__liquidations where side = 'LONG'").fetchall()
        assert set((forced.price * forced.size)[inside].tolist()) <= {amount for (amount,) in amounts}
