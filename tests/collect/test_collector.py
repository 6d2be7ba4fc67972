"""The collector at the emulator: what happened while it says that it heard is in the tables, once, whatever the network did."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from assets.cli import printing
from infra.emulator.testing import Served
from pipelines.collect import watching
from pipelines.collect.collector import Collector, root
from pipelines.collect.listener import pause
from pipelines.collect.sealing import Sealer
from pipelines.collect.spool import Spool
from pipelines.reading import read
from pipelines.run import Run
from pipelines.sources import get_source
from tests.collect.conftest import Meanwhile, begin, collect, now

#: By source: the end of its symbols, the columns of an event, and the word for the side of one that closed a long.
COLUMNS = {
    "bybit_linear": ("USDT", "symbol time side price", "Buy"),
    "binance_usdm": ("USDT", "symbol trade_time side average_price", "SELL"),
    "binance_coinm": ("USD_PERP", "symbol trade_time side average_price", "SELL"),
    "okx": ("-USDT-SWAP", "symbol ts side bk_px", "sell"),
    "bitget": ("USDT", "symbol ts side price", "buy"),
    "dydx": ("-USD", "ticker created_at side price", "SELL"),
    "htx_linear": ("-USDT", "contract_code created_at direction price", "sell"),
    "htx_coinm": ("-USD", "contract_code created_at direction price", "sell"),
}
BYBIT, OKX = get_source("bybit_linear"), get_source("okx")


def stored(run: Run, name: str, endpoint: str) -> list[Any]:
    """The rows of a source's pages in landing, one for each key: that of the last page."""
    found, rows = get_source(name).endpoint(endpoint), dict[Any, Any]()
    for entry in run.landing.iterate():
        if (entry.source, entry.endpoint_name) == (name, endpoint):
            for row in read(found, run.landing.body(entry)).rows:
                rows[attrgetter(*found.key)(row)] = row
    return list(rows.values())


def streamed(run: Run, name: str) -> list[tuple[Any, ...]]:
    """The events of a source's stream as `truth` has them."""
    ending, columns, long = COLUMNS[name]
    rows = map(attrgetter(*columns.split()), stored(run, name, "liquidations_stream"))
    return [(symbol.removesuffix(ending), at, "long" if side == long else "short", price) for symbol, at, side, price in rows]


def windows(run: Run, name: str) -> list[tuple[int, int]]:
    return sorted((each.heard_from, each.heard_to) for each in stored(run, name, "sessions"))


def truth(emulator: Served, since: int, market: str) -> set[tuple[Any, ...]]:
    """What happened in a market: listed coin, ms, side of the position, price."""
    return {tuple(row[1:5]) for row in emulator.events(since) if row[0] == market}


def get(url: str) -> bytes:
    body: bytes = urllib.request.urlopen(url, timeout=5).read()
    return body


def cascade(emulator: Served, venues: Sequence[str], events: int, seconds: float, wait: float, seed: int) -> Meanwhile:
    """So many liquidations in each market of the venues, and the time to hear them."""

    async def happens(collectors: Sequence[Collector]) -> None:
        for venue in venues:
            await asyncio.to_thread(emulator.streams, "cascade", events=events, seconds=seconds, venue=venue, seed=seed)
        await asyncio.sleep(wait)

    return happens


async def nothing(collectors: Sequence[Collector]) -> None:
    await asyncio.sleep(0)


def test_what_happened_while_it_was_heard_is_there_once(
    emulator: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two collectors; frames twice, in another order, beside garbage; connections closed, dropped, refused."""
    monkeypatch.setattr("pipelines.collect.session.SIGN_OF_LIFE", 0.1)
    since, bybit = now(), replace(BYBIT, streams=tuple(replace(stream, delay=0.5) for stream in BYBIT.streams))

    async def faults(collectors: Sequence[Collector]) -> None:
        await asyncio.to_thread(emulator.streams, "cascade", events=600, seconds=3, venue="bybit", seed=since)
        for each in ("repeat", "reorder", "garbage"):
            await asyncio.to_thread(emulator.streams, each, seconds=2.5, venue="bybit")
        connections = [c for collector in collectors for listener in collector.listeners for c in listener.connections]
        begun = now()
        async with asyncio.timeout(10):  # however slow all is, some of it was heard
            while not all(connection.last_answered > begun + 1200 for connection in connections):
                await asyncio.sleep(0.02)
        await asyncio.to_thread(emulator.streams, "close", code=1012, reason="service restart", venue="bybit")
        await asyncio.to_thread(emulator.streams, "refuse", seconds=0.3, venue="bybit")
        await asyncio.sleep(1)
        await asyncio.to_thread(emulator.streams, "drop", venue="bybit")
        await asyncio.sleep(1)

    runs = [begin(emulator, tmp_path) for _ in range(2)]
    collect(runs, [bybit], faults)
    happened, found = truth(emulator, since, "bybit"), Counter(streamed(runs[0], "bybit_linear"))
    assert set(found.values()) == {1} and found.keys() <= happened
    heard = windows(runs[0], "bybit_linear")
    due = {event for event in happened if any(start <= event[1] < end for start, end in heard)}
    assert len(due) > 50 and due <= found.keys()
    assert "closed by the venue: 1012 service restart" in {each.ended for each in stored(runs[0], "bybit_linear", "sessions")}
    bodies = [runs[0].landing.body(e) for e in runs[0].landing.iterate() if e.endpoint_name == "liquidations_stream"]
    flaws = [flaw for body in bodies for flaw in read(BYBIT.endpoint("liquidations_stream"), body).flaws]
    assert flaws, "garbage is kept for quarantine"


def test_streams_of_trades_keep_the_liquidations_alone(emulator: Served, tmp_path: Path) -> None:
    """Deribit's, dYdX's, Kraken's and Bitget's: what happened while they were heard, but for the venue's delay."""
    since = now()

    run = begin(emulator, tmp_path, assets=["BTC", "SOL"])
    venues = ("deribit", "dydx", "bitget", "kraken")
    sources = [get_source(name) for name in (*venues[:3], "kraken_futures")]
    collect([run], sources, cascade(emulator, venues, 200, 0.5, 2, since))
    for name in ("dydx", "bitget"):
        happened = {row for row in truth(emulator, since, name) if name == "bitget" or row[0] in ("BTC", "SOL")}
        assert happened <= set(streamed(run, name)) and len(happened) > 20
    kraken = {
        (t.product_id.removeprefix("PF_").removesuffix("USD").replace("XBT", "BTC"), t.time, t.side, t.price)
        for t in stored(run, "kraken_futures", "liquidations_stream")
    }
    sides = {"long": "sell", "short": "buy"}
    happened = {(coin, at, sides[side], price) for coin, at, side, price in truth(emulator, since, "kraken")}
    assert {row for row in happened if row[0] in ("BTC", "SOL")} <= kraken
    trades = stored(run, "deribit", "liquidations_stream")
    longs = [(t.liquidation == "T") == (t.direction == "sell") for t in trades]
    found = {
        (t.instrument_name.split("-")[0].split("_")[0], t.timestamp, "long" if long else "short", t.price)
        for t, long in zip(trades, longs, strict=True)
    }
    assert {row for row in truth(emulator, since, "deribit") if row[0] in ("BTC", "SOL")} <= found
    assert {t.liquidation for t in trades} == {"M", "T"}
    [deribit], [dydx] = stored(run, "deribit", "sessions"), stored(run, "dydx", "sessions")
    assert deribit.missing == dydx.missing == 0 and deribit.events < deribit.messages


def test_gate_and_htx_are_heard_whole(emulator: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gate's seconds of at most twenty orders, by the order's side, and HTX's frames of gzip of both kinds of swap.

    The emulator sends what happened while it was held up: here for longer than it takes an event to be late.
    """
    monkeypatch.setattr("infra.emulator.streams.LATE", 100)
    since = now()

    run = begin(emulator, tmp_path)
    names = ("gate", "htx_linear", "htx_coinm")
    collect([run], [get_source(name) for name in names], cascade(emulator, ("gate", "htx"), 300, 0.5, 2.2, since))
    for name in names[1:]:
        happened = truth(emulator, since, name.removesuffix("_linear"))
        assert happened <= set(streamed(run, name)) and len(happened) > 200
    rows = stored(run, "gate", "liquidations_stream")
    found = {(r.contract.removesuffix("_USDT"), r.time, "long" if r.size < 0 else "short", r.price) for r in rows}
    assert truth(emulator, since, "gate") <= found
    coins = {"BTC": 0.0001, "SOL": 1}
    sizes = {tuple(e[1:3]): e[5] for e in emulator.events(since) if e[0] == "gate" and e[1] in coins}
    ours = {(r.contract.removesuffix("_USDT"), r.time): abs(r.size) for r in rows}
    assert all(ours[coin, at] * coins[coin] == pytest.approx(size) for (coin, at), size in sizes.items())


def test_a_connection_is_replaced_without_a_gap(emulator: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.collect.session.SIGN_OF_LIFE", 0.1)
    monkeypatch.setattr("pipelines.collect.listener.OVERLAP", 0.4)
    source = replace(BYBIT, streams=tuple(replace(stream, lifetime=0.5, delay=0.1) for stream in BYBIT.streams))
    run = begin(emulator, tmp_path)

    async def wait(collectors: Sequence[Collector]) -> None:
        await asyncio.sleep(1.5)

    collect([run], [source], wait)
    heard = windows(run, "bybit_linear")
    assert len(heard) >= 2 and all(start < end for (_, end), (start, _) in pairwise(heard))


def test_sampled_and_merged_streams(emulator: Served, tmp_path: Path) -> None:
    """Binance's hosts both send both markets, and each source keeps its own; one of a symbol and second; what is sent is true."""
    since = now()

    names = {"binance_usdm": "binance", "binance_coinm": "binance_coinm", "okx": "okx"}
    run = begin(emulator, tmp_path)
    collect([run], [get_source(name) for name in names], cascade(emulator, [*names.values()], 300, 0.9, 2.2, since))
    for name, market in names.items():
        found = streamed(run, name)
        assert len(found) == len(set(found)) > 5 and set(found) <= truth(emulator, since - 600_000, market)
        assert len([row for row in found if row[1] >= since]) <= 4 * len({row[0] for row in found})


def test_each_close_is_named_and_the_stream_is_heard_again(
    emulator: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The codes of RFC 6455 with which a server ends a connection, one of its own, and a connection that is cut without one."""
    monkeypatch.setattr("pipelines.collect.listener.FIRST_WAIT", 0.01)
    monkeypatch.setattr("pipelines.collect.listener.LONGEST_WAIT", 0.05)
    monkeypatch.setattr("pipelines.collect.listener.APART", 0.01)
    monkeypatch.setattr(logging.getLogger("perplake.collect"), "propagate", True)
    okx = replace(OKX, streams=tuple(replace(stream, delay=0) for stream in OKX.streams))
    closes = {
        1000: "Bye",
        1001: "going away",
        1003: "",
        1008: "Too many requests",
        1011: "",
        1012: "service restart",
        1013: "",
        4001: "x",
    }
    run = begin(emulator, tmp_path)

    async def ends(collectors: Sequence[Collector]) -> None:
        [listener] = collectors[0].listeners
        for number, (code, reason) in enumerate([*closes.items(), (0, "")]):
            do = {"do": "close", "code": code, "reason": reason} if code else {"do": "drop"}
            await asyncio.to_thread(emulator.streams, **do, venue="okx")  # type: ignore[arg-type]
            async with asyncio.timeout(5):
                while listener.reconnections <= number or not listener.is_heard:
                    await asyncio.sleep(0.01)

    collect([run], [okx], ends)
    sessions = sorted(stored(run, "okx", "sessions"), key=attrgetter("connected_at"))
    assert [each.ended for each in sessions[: len(closes)]] == [
        f"closed by the venue: {c} {r}".rstrip() for c, r in closes.items()
    ]
    assert sessions[-2].ended.startswith("broken: ") and sessions[-1].ended == "the collector ended"
    assert all(f"): {each.ended}; connecting again" in caplog.text for each in sessions[:-1])
    assert all(0 <= each.ended_at - each.heard_to <= 1500 and each.heard_from <= each.heard_to for each in sessions)
    assert all(before.ended_at <= after.heard_from for before, after in pairwise(sessions))


def test_reconnections_back_off_and_go_on_for_days() -> None:
    assert [pause(failures) for failures in (0, 1, 2, 3)] == [0.2, 0.2, 0.4, 0.8]
    assert pause(12) == pause(100_000) == 60


def test_it_tells_how_it_goes(emulator: Served, tmp_path: Path) -> None:
    run = begin(emulator, tmp_path)
    answers: dict[str, Any] = {}

    async def ask(collectors: Sequence[Collector]) -> None:
        [collector] = collectors
        async with watching.watched(collector, 19187) as address:
            for path in ("metrics", "health"):
                answers[path] = await asyncio.to_thread(get, f"{address}/{path}")
            refused = urllib.request.Request(f"{address}/health", headers={"Host": "evil.example"})
            with pytest.raises(urllib.error.HTTPError, match="403"):
                await asyncio.to_thread(urllib.request.urlopen, refused, timeout=5)
            while not (found := watching.states(root(run.settings))):
                await asyncio.sleep(0.05)
            answers["status"] = found
            async with watching.watched(collector, 19187) as taken:
                assert taken == ""
        collector.problem = "landing is full"
        assert not collector.is_healthy

    collect([run], [OKX], ask)
    metrics = {family.name: family for family in text_string_to_metric_families(answers["metrics"].decode())}
    assert [(s.labels, s.value) for s in metrics["perplake_collect_heard"].samples] == [({"stream": "okx/liquidations"}, 1.0)]
    assert metrics["perplake_collect_healthy"].samples[0].value == 1.0
    assert json.loads(answers["health"])["streams"]["okx/liquidations"]["heard"] is True
    [(state, lives)] = answers["status"]
    assert lives and state["run"] == run.id
    [row] = [row for row in printing.collector_rows(answers["status"]) if row["kind"] == "stream"]
    assert (row["collector"], row["name"], row["lives"]) == (run.id, "okx/liquidations", True)
    assert watching.states(root(run.settings)) == [], "it leaves nothing when it ends well"


def test_it_ends_while_the_disk_hangs(emulator: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flush that doesn't come back keeps neither a signal nor the end waiting."""
    monkeypatch.setattr("pipelines.collect.collector.LAST_SEAL", 0.3)
    answers, flush, begun = threading.Event(), Spool.flush, list[float]()

    def hang(self: Spool) -> None:
        answers.wait(20)
        flush(self)

    async def hangs(collectors: Sequence[Collector]) -> None:
        monkeypatch.setattr(Spool, "flush", hang)
        await asyncio.sleep(0.7)
        begun.append(time.monotonic())

    run = begin(emulator, tmp_path)
    try:
        collect([run], [OKX], hangs)
        assert time.monotonic() - begun[0] < 4
    finally:
        answers.set()


def test_it_ends_while_landing_hangs(emulator: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was heard waits in the spool then, and the next collector seals it."""
    monkeypatch.setattr("pipelines.collect.collector.LAST_SEAL", 0.2)
    with monkeypatch.context() as hangs:
        hangs.setattr(Sealer, "seal", lambda self, file: time.sleep(1))
        run = begin(emulator, tmp_path, collect_seconds=60)
        collect([run], [OKX], nothing)
    assert list(root(run.settings).glob("*/*.lines"))
    monkeypatch.undo()
    collect([begin(emulator, tmp_path)], [OKX], nothing)
    assert len(windows(run, "okx")) == 2 and not list(root(run.settings).glob("*/*.lines"))
