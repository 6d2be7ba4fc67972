"""Polling at the emulator: the present of the chosen assets is in landing and in the tables, whatever one venue does."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from assets.cli import printing
from infra.bench.virtual import LATENCY, NOW, VirtualLoop
from infra.emulator.testing import Served
from pipelines.client import Client
from pipelines.clock import Clock
from pipelines.collect import watching
from pipelines.collect.collector import Collector, root
from pipelines.collect.polling import FIRST, Poller, on_time
from pipelines.fetch import planned_requests
from pipelines.landing import COLLECTED
from pipelines.limits import File, Limiter
from pipelines.load import LoadResult, arrow_tables
from pipelines.run import Run
from pipelines.settings import Settings
from pipelines.source import Instrument, Request, Source
from pipelines.sources import get_source
from pipelines.windows import Window
from tests.collect.conftest import begin, collect
from tests.collect.test_collector import get

BINANCE, HYPERLIQUID = get_source("binance_usdm"), get_source("hyperliquid")
ASSETS = ["BTC", "PEPE"]


async def two_rounds(collectors: Sequence[Collector]) -> None:
    async with asyncio.timeout(10):
        while not all(poller.rounds >= 2 for collector in collectors for poller in collector.pollers):
            await asyncio.sleep(0.02)


def rows(run: Run, name: str, endpoint: str) -> list[dict[str, Any]]:
    """What a load would merge into a raw table."""
    entries = [e for e in run.landing.iterate() if (e.source, e.endpoint_name) == (name, endpoint)]
    tables = list(arrow_tables(run, get_source(name).endpoint(endpoint), entries, LoadResult(name)))
    return [row for table in tables for row in table.to_pylist()]


def test_a_round_is_in_the_tables_of_a_fetch(emulator: Served, tmp_path: Path) -> None:
    """Each round has one time of observation for all of a source, and the chosen assets alone."""
    run = begin(emulator, tmp_path, poll_seconds=0.3, assets=ASSETS)
    collect([run], [BINANCE, HYPERLIQUID, get_source("kucoin")], two_rounds)
    interest = {(row["_observed_at"], row["symbol"]) for row in rows(run, "binance_usdm", "open_interest_now")}
    prices = {(row["_observed_at"], row["symbol"]) for row in rows(run, "binance_usdm", "premium_index")}
    times = {at for at, _ in prices}
    whole = {(at, symbol) for at in times for symbol in ("BTCUSDT", "1000PEPEUSDT")}
    assert prices == whole and interest <= whole and len(whole - interest) <= 1, "the last round may have been cut short"
    assert len(times) >= 2 and len(interest) >= 4
    assert {row["coin"] for row in rows(run, "hyperliquid", "contexts")} == {"BTC", "kPEPE"}
    listed = rows(run, "kucoin", "listed_now")
    assert {row["symbol"] for row in listed} == {"XBTUSDTM", "1000PEPEUSDTM"} and all(row["open_interest"] > 0 for row in listed)
    entries = list(run.landing.iterate())
    assert {"open_interest_now", "premium_index", "contexts"} <= {entry.endpoint_name for entry in entries}
    assert entries and all(entry.run.endswith(COLLECTED) for entry in entries), "a load finds them among what was collected"
    assert list(run.landing.collected(run.window)) == entries


def test_a_venue_that_bans_stops_no_other_and_is_left_alone(
    emulator: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    emulator.fault("418", venue="binance", path_contains="/premiumIndex", retry_after=900, times=1)
    emulator.clear_requests()
    answers: dict[str, Any] = {}

    async def ask(collectors: Sequence[Collector]) -> None:
        await two_rounds(collectors)
        await asyncio.sleep(0.4)
        [collector] = collectors
        async with watching.watched(collector, 19188) as address:
            answers["metrics"] = (await asyncio.to_thread(get, f"{address}/metrics")).decode()
        answers["line"], answers["healthy"] = collector.line(), collector.is_healthy
        collector._write_status()
        answers["states"] = watching.states(root(collector.settings))

    run = begin(emulator, tmp_path, poll_seconds=0.3, assets=["BTC"])
    with caplog.at_level("ERROR", "perplake.collect"):
        collect([run], [BINANCE, HYPERLIQUID], ask)
    asked = [r["path"] for r in emulator.requests() if r["path"].startswith("/binance/fapi/v1/premiumIndex")]
    assert len(asked) == 1, "nothing is sent during a ban"
    told = [record.getMessage() for record in caplog.records if record.name == "perplake.collect"]
    assert len(told) <= 2 and "binance_usdm" in told[0] and "/fapi/v1/premiumIndex" in told[0]
    assert "the next round asks again" in told[0]
    assert not answers["healthy"] and "1 of 2 sources polled (not binance_usdm)" in answers["line"]
    metrics = {family.name: family for family in text_string_to_metric_families(answers["metrics"])}
    polled = {s.labels["source"]: s.value for s in metrics["perplake_collect_poll_polled"].samples}
    assert polled == {"binance_usdm": 0.0, "hyperliquid": 1.0}
    with printing.console.capture() as shown:
        printing.collectors(answers["states"])
    text = shown.get()
    assert "no: nothing is sent" in text or "no: binance_usdm" in text
    assert {entry.source for entry in run.landing.iterate()} >= {"hyperliquid"}


def test_nothing_is_polled_of_a_venue_without_the_chosen_assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def listed(run: Run, source: Source) -> list[Instrument]:
        return [Instrument("BTCUSDT", "BTC")]

    monkeypatch.setattr("pipelines.collect.polling.listed", listed)
    settings = Settings(home=tmp_path, mode="live", assets=["HYPE"])
    run = Run.begin(settings, Window.of_days(date(2026, 11, 21), date(2026, 11, 21)), Clock(NOW), None)
    run.landing.release()
    monkeypatch.setattr("pipelines.collect.polling.poll", lambda *asked: pytest.fail("nothing is asked"))
    poller = Poller(run, BINANCE, lambda line: True)
    assert asyncio.run(poller._round()) == [] and poller.pages == 0


def test_rounds_of_two_collectors_have_one_time() -> None:
    minute = NOW + 60_000
    assert {on_time(at, 60) for at in (minute - 3, minute + 2, minute + 900)} == {minute}
    assert on_time(minute + 1500, 60) == minute + 1500, "the first round of a collector is when it begins"


def test_a_round_of_all_assets_fits_into_its_minute(tmp_path: Path) -> None:
    """At Binance's real limits, which both of its sources share, on a virtual clock: by the live counts of 2026-09.

    The books of the default assets are asked in each round, all others in turn, one as often as the other.
    """
    loop, asked, took = VirtualLoop(), Counter[str](), list[float]()

    async def rounds(pollers: Sequence[Poller], clients: Sequence[Client]) -> None:
        async def send(client: Client, request: Request) -> None:
            await client.wait(request.weights, client.free_slots)
            await asyncio.sleep(LATENCY)
            client.free_slots.release()

        for _ in range(3):
            begun = loop.time()
            async with asyncio.TaskGroup() as group:
                for poller, client in zip(pollers, clients, strict=True):
                    turns = poller.turns()
                    for endpoint in poller.source.polled:
                        about = [Instrument("", "")] if endpoint.bulk else turns[endpoint.name]
                        for _, request in planned_requests(endpoint, about, poller.run.window, True):
                            group.create_task(send(client, request))
                    poller.rounds += 1
            took.append(loop.time() - begun)
            await asyncio.sleep(60 - took[-1])

    settings = Settings(home=tmp_path, mode="live", assets=["all"], limits_scale=1)
    run = Run.begin(settings, Window.of_days(date(2026, 11, 21), date(2026, 11, 21)), Clock(NOW), None)
    run.landing.release()
    pollers = [Poller(run, get_source(name), lambda line: True, 2) for name in ("binance_usdm", "binance_coinm")]
    for poller, count in zip(pollers, (571, 60), strict=True):
        poller.instruments = [Instrument(f"{asset}USDT", asset) for asset in sorted(FIRST)]
        poller.instruments += [Instrument(f"C{n}USDT", f"C{n}") for n in range(count - len(FIRST))]
    limits = [Limiter(File(tmp_path / "limits.sqlite", loop.time), p.source.limit_pool, p.source.limits) for p in pollers]
    clients = [Client(p.source, p.source.base_url, limiter, Clock(NOW)) for p, limiter in zip(pollers, limits, strict=True)]
    try:
        loop.run_until_complete(rounds(pollers, clients))
    finally:
        loop.close()
    assert max(took) < 60
    usdm, pollers[0].rounds = pollers[0], 0
    for _ in range(2 * 571):
        asked.update(i.base_asset for i in usdm.turns()["order_book_depth"])
        assert len(usdm.turns()["open_interest_now"]) == 571
        usdm.rounds += 1
    others = [asked[i.base_asset] for i in usdm.instruments if i.base_asset not in FIRST]
    assert {asked[asset] for asset in FIRST} == {2 * 571} and min(others) >= 40 and max(others) - min(others) <= 1
    assert usdm.state()["in_turn"] == {"order_book_depth": 30}


def test_an_answer_that_the_spool_has_no_room_for_is_told(
    emulator: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.collect.collector.MOST_SPOOLED", -1)
    problems: list[str] = []

    async def wait(collectors: Sequence[Collector]) -> None:
        await two_rounds(collectors)
        problems.append(collectors[0].pollers[0].last_problem)

    run = begin(emulator, tmp_path, poll_seconds=0.3, assets=["BTC"])
    collect([run], [HYPERLIQUID], wait)
    assert problems == ["the spool has no room: free the disk, or landing, which takes what is in the spool"]
