"""One connection at the emulator, and what it says when the venue does not do what it should."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import aiohttp
import msgspec

from infra.emulator.testing import Served
from pipelines.collect.session import Connection, without_redirects
from pipelines.source import Session, Stream
from pipelines.sources import get_source
from tests.collect.conftest import now


def hear(
    emulator: Served,
    name: str,
    seconds: float,
    symbols: list[str] | None = None,
    path: str = "",
    until: Callable[[Connection], bool] = lambda connection: False,
    **changes: Any,
) -> tuple[Connection, list[Any]]:
    """A connection to a source's stream for some seconds, or until something is true, and the lines that it put."""
    lines: list[Any] = []

    def put(content: bytes) -> bool:
        lines.append(msgspec.json.decode(content))
        return True

    source = get_source(name)
    stream: Stream = replace(source.streams[0], **changes)
    where = path or "/" + stream.url.split("/", 3)[3]
    url = f"{emulator.url.replace('http', 'ws')}/{source.host or source.venue}{where}"
    connection = Connection(source, stream, url, "test", symbols or [], put)

    async def main() -> None:
        async with aiohttp.ClientSession() as http:
            task = asyncio.create_task(connection.run(http))
            ends = time.monotonic() + seconds
            while not task.done() and not until(connection) and time.monotonic() < ends:
                await asyncio.sleep(0.02)
            connection.tell()
            connection.end("the test is over")
            await task

    asyncio.run(main())
    return connection, lines


def test_a_subscription_that_fails_silently_is_noticed(emulator: Served) -> None:
    """Binance's retired path class answers the handshake and the subscription, and sends nothing: nothing was heard."""
    connection, lines = hear(emulator, "binance_usdm", 5, path="/ws", silence=0.3)
    assert connection.ended.startswith("silent: subscribed, and no event for") and "newer version" in connection.ended
    last = msgspec.convert(lines[-1]["session"], Session)
    assert last.heard_from == last.heard_to and last.ended == connection.ended


def test_a_stream_of_trades_without_trades_is_silent() -> None:
    """Frames of trades show that a subscription lives, with or without a liquidation; pongs don't. A few symbols may rest."""
    source = get_source("deribit")
    trade = {"instrument_name": "A", "trade_id": "1", "trade_seq": 1, "timestamp": 1, "direction": "buy", "price": 1, "amount": 1}
    frame = json.dumps({"method": "subscription", "params": {"data": [trade]}}).encode()
    lines: list[bytes] = []

    def put(content: bytes) -> bool:
        lines.append(content)
        return True

    for symbols, ends in (("AB", False), ("ABCDEFGHIJKLMNOPQRSTUVWXYZ", True)):
        connection = Connection(source, source.streams[0], "ws://nowhere", "test", list(symbols), put)
        begun = connection.connected_at = now() - 3 * 3600_000
        connection._begin_part(begun, symbols)
        asyncio.run(connection._frame(None, frame))  # type: ignore[arg-type]
        assert connection._problem(0) == "" and connection.counts["events"] == 0
        connection.last_data -= 2 * 3600_000
        asyncio.run(connection._frame(None, b'{"id": 0, "result": {"version": "1"}}'))  # type: ignore[arg-type]
        assert connection._problem(0).startswith("silent: subscribed") is ends
    connection.tell()  # while the connection is closed
    connection._over(connection._problem(0))
    last = msgspec.convert(msgspec.json.decode(lines[-1])["session"], Session)
    assert last.heard_to == connection.last_data and (last.ended or "").startswith("silent")


def test_a_frame_without_its_number_ends_nothing() -> None:
    source = get_source("deribit")
    lines: list[bytes] = []
    connection = Connection(source, source.streams[0], "ws://nowhere", "test", ["A"], lambda line: not lines.append(line))
    connection._begin_part(now(), ["A"])
    for trade in ({"liquidation": "T"}, {"liquidation": "T", "instrument_name": "A", "trade_seq": "?"}):
        frame = json.dumps({"method": "subscription", "params": {"data": [trade]}}).encode()
        asyncio.run(connection._frame(None, frame))  # type: ignore[arg-type]
    assert len(lines) == 2 and not connection.ended, "both are kept for quarantine"


def test_a_topic_that_the_venue_refuses_does_not_cost_the_others(emulator: Served) -> None:
    symbols = ["BTCUSDT", "ETHUSDT", "GONEUSDT", "SOLUSDT", "XRPUSDT"]
    connection, lines = hear(emulator, "bybit_linear", 1.5, symbols, per_second=50)
    assert connection.refused.keys() == {"GONEUSDT"} and "handler not found" in connection.refused["GONEUSDT"]
    last = msgspec.convert(lines[-1]["session"], Session)
    assert sorted(last.symbols.split()) == sorted(set(symbols) - {"GONEUSDT"}) and last.ended == "the test is over"


def test_a_stream_that_the_venue_refuses_ends_with_its_words(emulator: Served) -> None:
    connection, _ = hear(emulator, "bybit_linear", 3, ["GONEUSDT"])
    assert connection.ended.startswith("refused by the venue: error:handler not found")


def test_pings_of_the_venues_own_forms_are_answered_and_not_kept(emulator: Served, monkeypatch: Any) -> None:
    monkeypatch.setattr("pipelines.collect.session.SIGN_OF_LIFE", 0.1)
    for name, symbols in (("okx", None), ("bybit_linear", ["BTCUSDT"])):
        connection, lines = hear(emulator, name, 5, symbols, until=lambda c: c.counts["messages"] > 2, ping_seconds=0.05)
        assert connection.counts["messages"] > 2 and connection.ended == "the test is over"
        assert not [line for line in lines if "pong" in str(line.get("frame", ""))]


def test_a_connection_that_says_nothing_more_is_dead(emulator: Served, monkeypatch: Any) -> None:
    """What was heard ends with the last sign of life, not with its discovery."""
    monkeypatch.setattr("pipelines.collect.session.DEAD_AFTER", 0.6)
    monkeypatch.setattr("pipelines.collect.session.SIGN_OF_LIFE", 0.1)

    async def freeze() -> None:
        await asyncio.sleep(0.5)
        await asyncio.to_thread(emulator.streams, "freeze", venue="okx", seconds=1.2)

    lines: list[Any] = []
    source = get_source("okx")
    url = f"{emulator.url.replace('http', 'ws')}/okx/ws/v5/public"
    stream = replace(source.streams[0], delay=0)

    def put(content: bytes) -> bool:
        lines.append(msgspec.json.decode(content))
        return True

    connection = Connection(source, stream, url, "test", [], put)

    async def main() -> None:
        async with aiohttp.ClientSession() as http:
            await asyncio.gather(connection.run(http), freeze())

    asyncio.run(main())
    assert connection.ended.startswith("dead: nothing came for")
    last = msgspec.convert(lines[-1]["session"], Session)
    assert last.ended_at and last.ended_at - last.heard_to >= 600


def test_frames_that_wait_here_say_nothing_of_what_was_heard(emulator: Served) -> None:
    """A collector that is held up reads what came, and a connection's end, seconds later: it did not hear meanwhile."""
    source, lines, ended = get_source("bybit_linear"), list[Any](), list[int]()
    stream = replace(source.streams[0], delay=0)
    url = f"{emulator.url.replace('http', 'ws')}/bybit/v5/public/linear"

    def put(content: bytes) -> bool:
        lines.append(msgspec.json.decode(content))
        return True

    def end() -> None:
        emulator.streams("cascade", events=200, seconds=0.5, venue="bybit")
        time.sleep(0.8)
        ended.append(now())
        emulator.streams("close", code=1012, venue="bybit")

    async def main() -> None:
        async with aiohttp.ClientSession() as http:
            task = asyncio.create_task(Connection(source, stream, url, "test", ["BTCUSDT", "ETHUSDT"], put).run(http))
            await asyncio.sleep(0.4)
            thread = threading.Thread(target=end)
            thread.start()
            thread.join()  # the loop is held up
            time.sleep(0.5)
            await task

    asyncio.run(main())
    last = msgspec.convert(lines[-1]["session"], Session)
    assert last.ended == "closed by the venue: 1012" and last.events > 0
    assert last.heard_from <= last.heard_to <= ended[0] < (last.ended_at or 0) - 400


def test_a_number_that_the_venue_leaves_out_is_a_gap() -> None:
    source = get_source("dydx")
    lines: list[bytes] = []

    def put(content: bytes) -> bool:
        lines.append(content)
        return True

    connection = Connection(source, source.streams[0], "ws://nowhere", "test", ["BTC-USD"], put)
    connection.connected_at = connection.last_frame = 1_795_764_000_000
    connection._begin_part(1_795_764_000_000, ["BTC-USD"])
    for at, number in enumerate([3, 4, 4, 9, 10]):
        connection._count(1_795_764_001_000 + at, {"message_id": number})
    connection.tell()
    states = [msgspec.convert(msgspec.json.decode(line)["session"], Session) for line in lines]
    assert [(s.part, s.missing, s.ended) for s in states] == [(0, 4, "4 numbers of messages are missing"), (1, 0, None)]


def test_numbers_that_can_not_be_or_go_back_hide_no_later_gap() -> None:
    source = get_source("dydx")
    lines: list[bytes] = []
    connection = Connection(source, source.streams[0], "ws://nowhere", "test", ["BTC-USD"], lambda line: not lines.append(line))
    connection.connected_at = connection.last_frame = now()
    connection._begin_part(now(), ["BTC-USD"])
    for number in (4000, 4001, 3999, 10**30, 4002, 1, 2, 5):
        connection._count(now(), {"message_id": number})
    connection.tell()
    states = [msgspec.convert(msgspec.json.decode(line)["session"], Session) for line in lines]
    ended = ["the numbers of messages went back from 4002 to 1", "2 numbers of messages are missing", None]
    assert [state.ended for state in states] == ended and [state.missing for state in states] == [0, 2, 0]


def test_a_handshake_goes_nowhere_else_and_what_a_venue_says_is_one_line(monkeypatch: Any) -> None:
    """By the path that is asked: the handshake is redirected, or nothing answers it."""
    monkeypatch.setattr("pipelines.collect.session.PATIENCE", 0.2)
    source, asked = get_source("okx"), list[str]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        asked.append(path)
        if path == "/moved":
            writer.write(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
        with suppress(ConnectionError):
            await reader.read()
        writer.close()

    async def ends(path: str) -> str:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            connection = Connection(source, source.streams[0], f"ws://127.0.0.1:{port}{path}", "test", [], lambda line: True)
            async with aiohttp.ClientSession(trace_configs=[without_redirects()]) as http:
                await connection.run(http)
        return connection.ended

    assert asyncio.run(ends("/moved")) == "no connection: redirected to '/elsewhere', which is not asked"
    assert asyncio.run(ends("/silent")) == "no connection: TimeoutError"
    assert asked == ["/moved", "/silent"]
    connection = Connection(source, source.streams[0], "ws://nowhere", "test", [], lambda line: True)
    connection._over("closed by the venue: 4000 \x1b[31mmaintenance\n2025-10-10 INFO all is well" + 2000 * "!")
    assert (
        connection.ended.startswith("closed by the venue: 4000 \ufffd[31mmaintenance 2025-10-10") and len(connection.ended) < 1100
    )


def test_a_slow_disk_is_a_named_gap(emulator: Served) -> None:
    """While there is no room, frames are dropped and counted, and what is heard before and after are two parts."""
    source = get_source("bybit_linear")
    room, lines = [True], list[Any]()

    def put(content: bytes) -> bool:
        if room[0]:
            lines.append(msgspec.json.decode(content))
        return room[0]

    connection = Connection(source, source.streams[0], "ws://nowhere", "test", ["BTCUSDT"], put)
    connection.connected_at = connection.last_frame = 1_795_764_000_000
    connection._begin_part(1_795_764_000_000, ["BTCUSDT"])
    for number, has_room in enumerate([True, False, False, True]):
        room[0] = has_room
        connection._keep(1_795_764_001_000 + number, b'{"at":1,"frame":%d}' % number)
    connection.tell()
    first, second = (msgspec.convert(line["session"], Session) for line in lines if "session" in line)
    assert [line["frame"] for line in lines if "frame" in line] == [0, 3]
    assert (first.part, first.events, first.dropped, first.ended) == (0, 1, 1, "frames were dropped: the disk was slow or full")
    assert (second.part, second.events, second.dropped, second.ended) == (1, 1, 0, None)
    assert first.heard_to < second.heard_from == 1_795_764_001_003
