"""Streams against implementations that nobody here wrote, at the emulator: ccxt's WebSocket classes and the venues' own clients.

They are unmodified but for the host, and subscribe in their own words, so the emulator has to take them; what they make of a
frame is compared with our rows of the same frame. ccxt gives the side as sent, so that sides are compared by the meaning that
the venue's page states.
"""

from __future__ import annotations

import asyncio
import gzip
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from threading import Event
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
import websockets

from infra.emulator.streams import BEAT
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served, serve
from infra.emulator.venues import venues
from pipelines.collect.spool import line
from pipelines.reading import read
from pipelines.registry import source_rows
from pipelines.sources import get_source
from pipelines.streams import gunzip
from tests.sources.kit import prefix, redirected

pytest.importorskip("ccxt")

STREAMING = [name for name in source_rows() if source_rows()[name].venue and get_source(name).streams]
#: By source: ccxt's exchange, the host of its requests, its symbol, and our columns: symbol, time, price, size, side.
CASES: dict[str, tuple[str, str, str, str]] = {
    "binance_usdm": ("binanceusdm", "https://fapi.binance.com", "BTC/USDT:USDT", "symbol trade_time average_price filled side"),
    "binance_coinm": ("binancecoinm", "https://dapi.binance.com", "BTC/USD:BTC", "symbol trade_time average_price filled side"),
    "bybit_linear": ("bybit", "https://api.{hostname}", "BTC/USDT:USDT", "symbol time price size side"),
    "bybit_inverse": ("bybit", "https://api.{hostname}", "BTC/USD:BTC", "symbol time price size side"),
    "okx": ("okx", "https://{hostname}", "BTC/USDT:USDT", "symbol ts bk_px sz side"),
}
#: Venues whose liquidations ccxt has no method for, of which it reads the trades: its exchange, host, symbol, our columns.
TRADES: dict[str, tuple[str, str, str, str]] = {
    "deribit": ("deribit", "https://www.deribit.com", "BTC/USD:BTC", "timestamp price amount direction trade_id"),
    "dydx": ("dydx", "https://indexer.dydx.trade", "BTC/USDC:USDC", "created_at price size side trade_id"),
    "kraken_futures": ("krakenfutures", "https://futures.kraken.com", "BTC/USD:USD", "time price qty side uid"),
}
#: Venues whose stream ccxt has no method for: recorded or documented frames stand behind these.
ALONE = {"bitget", "gate", "htx_linear", "htx_coinm"}


@pytest.fixture(scope="module")
def emulator() -> Iterator[Served]:
    """The emulator; it sends what has happened at once, where venues gather a second or half."""
    with pytest.MonkeyPatch.context() as patched:
        for channel in (channel for venue in venues() for channel in venue.channels):
            patched.setattr(channel, "every", BEAT)
        with serve(SyntheticMarket(seed=7, until=int(time.time() * 1000)), days=1, limits_scale=1e6) as served:
            yield served


def test_the_table_of_sources_knows_the_streams() -> None:
    assert {name for name, row in source_rows().items() if row.streams} == set(STREAMING) == {*CASES, *TRADES, *ALONE}


def sockets(urls: Any, to: str) -> Any:
    """ccxt's addresses of streams with another scheme and host."""
    if isinstance(urls, dict):
        return {name: sockets(url, to) for name, url in urls.items()}
    return "/".join([to, *urls.split("/", 3)[3:]])


@pytest.mark.parametrize("name", CASES)
def test_ccxt_reads_the_stream_as_we_do(name: str, emulator: Served) -> None:
    *where, columns = CASES[name]
    found = watched(name, emulator, *where, method="watch_liquidations")
    assert found
    for event in found:
        frame = line(event["timestamp"], frame_of(name, event["info"]))[0]
        [row] = read(get_source(name).streams[0].endpoint, b"[%b]" % frame).rows
        ours = [getattr(row, column) for column in columns.split()]
        assert ours[1:4] == [event["timestamp"], event["price"], event["contracts"]]
        assert ours[4].lower() == event["side"]


@pytest.mark.parametrize("name", TRADES)
def test_ccxt_reads_the_trades_as_we_do(name: str, emulator: Served) -> None:
    *where, columns = TRADES[name]
    found = watched(name, emulator, *where, method="watch_trades")
    types = ("LIQUIDATED", "liquidation")
    forced = [trade for trade in found if trade["info"].get("liquidation") or trade["info"].get("type") in types]
    assert forced and len(forced) < len(found)
    for trade in forced:
        [row] = read(
            get_source(name).streams[0].endpoint, b"[%b]" % line(1_795_764_000_000, frame_of(name, trade["info"]))[0]
        ).rows
        ours = [getattr(row, column) for column in columns.split()]
        assert ours[0] == trade["timestamp"] and ours[1] == trade["price"]
        assert ours[2] == float(trade["info"].get("amount") or trade["amount"])
        assert (ours[3].lower(), ours[4]) == (trade["side"], trade["id"])


def test_the_recorded_frame_of_bitget_is_read() -> None:
    """The documented sample of tardis-node's tests: a row's time lies ten seconds before the frame's."""
    frame = (
        b'{"action":"update","arg":{"instType":"usdt-futures","topic":"liquidation"},"data":[{"symbol":"APEUSDT","side":"buy",'
        b'"price":"0.1649","amount":"13.70319","ts":"1777358886549"}],"ts":1777358897167}'
    )
    [row] = read(get_source("bitget").streams[0].endpoint, b"[%b]" % line(1_777_358_897_200, frame)[0]).rows
    assert (row.symbol, row.side, row.price, row.amount, row.ts) == ("APEUSDT", "buy", 0.1649, 13.70319, 1_777_358_886_549)


def test_the_documented_frames_of_gate_are_read() -> None:
    """The page's of 2026-08-20, whose time is milliseconds, and the one before, whose time was `time_ms`."""
    first = {"price": "215.1", "size": "-124.5", "time": 1_541_486_601_123, "contract": "BTC_USDT"}
    frames = [
        {
            "channel": "futures.public_liquidates",
            "event": "update",
            "time": 1_541_505_434,
            "time_ms": 1_541_505_434_123,
            "result": rows,
        }
        for rows in (
            [first, {**first, "time": 1_541_486_601_456}, first],
            [{"price": 215.1, "size": -124, "time_ms": 1_541_486_601_123, "time": 1_541_486_601, "contract": "BTC_USD"}],
        )
    ]
    [stream] = get_source("gate").streams
    assert [stream.hear(frame).kind for frame in frames] == ["event", "event"]
    rows = [
        row
        for frame in frames
        for row in read(stream.endpoint, b"[%b]" % line(1_541_486_602_000, msgspec.json.encode(frame))[0]).rows
    ]
    assert [(r.contract, r.time, r.size, r.price, r.nth) for r in rows] == [
        ("BTC_USDT", 1_541_486_601_123, -124.5, 215.1, 0),
        ("BTC_USDT", 1_541_486_601_456, -124.5, 215.1, 0),
        ("BTC_USDT", 1_541_486_601_123, -124.5, 215.1, 1),
        ("BTC_USD", 1_541_486_601_123, -124, 215.1, 0),
    ]
    assert (
        stream.hear({"channel": "futures.public_liquidates", "event": "subscribe", "result": {"status": "success"}}).kind
        == "acknowledged"
    )
    refused = stream.hear({"channel": "x", "event": "subscribe", "error": {"code": 2, "message": "unknown"}, "result": None})
    assert (refused.kind, refused.key, refused.text) == ("refused", "x", "2 unknown")


def test_the_recorded_frames_of_htx_are_read() -> None:
    """Recorded on 2026-09-18 by a client (belyjelli/ai-rates, `liqhtx.go`); a ping's time is text, an answer's a number."""
    topic = "public.*.liquidation_orders"
    notice = (
        b'{"op":"notify","topic":"public.ETH-USDT.liquidation_orders","ts":1789670297217,"data":[{"symbol":"ETH","contract_code":'
        b'"ETH-USDT","direction":"buy","offset":"close","volume":500,"price":2446.26,"created_at":1789670297212,"amount":5,'
        b'"trade_turnover":12231.3,"contract_type":"swap","pair":"ETH-USDT","business_type":"swap","trade_partition":"USDT"}]}'
    )
    [stream] = get_source("htx_linear").streams
    ping = stream.hear({"op": "ping", "ts": "1789676355591"})
    assert (ping.kind, ping.reply) == ("other", {"op": "pong", "ts": "1789676355591"})
    answer = {"op": "sub", "cid": "1", "topic": topic, "ts": 1789676350590, "err-code": 0}
    assert stream.hear(answer).kind == "acknowledged" and stream.hear(answer).key == stream.subscribe([], 1).key
    refused = stream.hear({**answer, "err-code": 2014, "err-msg": "Repeated subscription"})
    assert (refused.kind, refused.text) == ("refused", "2014 Repeated subscription")
    assert stream.unpack and stream.unpack(gzip.compress(notice)) == notice
    assert stream.hear(msgspec.json.decode(notice)).kind == "event"
    [row] = read(stream.endpoint, b"[%b]" % line(1_789_670_297_300, notice)[0]).rows
    assert (row.contract_code, row.direction, row.price, row.volume, row.created_at) == (
        "ETH-USDT",
        "buy",
        2446.26,
        500,
        1_789_670_297_212,
    )


def test_a_bomb_of_gzip_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 8000000 bytes"):
        gunzip(gzip.compress(bytes(9_000_000)))
    with pytest.raises(ValueError, match="is cut"):
        gunzip(gzip.compress(b"abc")[:-4])


#: What venues answer to a subscription that they refuse, as their pages or clients have it, and what the log says of it.
REFUSALS: list[tuple[str, dict[str, Any], str]] = [
    ("binance_usdm", {"error": {"code": 2, "msg": "Invalid request"}, "id": 1}, "2 Invalid request"),
    ("bybit_linear", {"success": False, "ret_msg": "error:handler not found", "op": "subscribe"}, "error:handler not found"),
    ("okx", {"event": "error", "code": "60018", "msg": "Wrong URL or channel", "connId": "a"}, "60018 Wrong URL or channel"),
    ("okx", {"event": "error", "code": "60012", "msg": "Invalid request: {}", "connId": "a"}, "60012 Invalid request: {}"),
    ("bitget", {"event": "error", "arg": {"topic": "x"}, "code": "30016", "msg": "Param error"}, "30016 Param error"),
    ("deribit", {"jsonrpc": "2.0", "id": 1, "error": {"code": 10028, "message": "too_many_requests"}}, "10028 too_many_requests"),
    ("deribit", {"jsonrpc": "2.0", "id": 1, "result": []}, "no such channel"),
    ("dydx", {"type": "error", "message": "Invalid channel: v4", "connection_id": "a"}, "Invalid channel: v4"),
    ("kraken_futures", {"event": "alert", "message": "Invalid product id"}, "Invalid product id"),
    ("kraken_futures", {"event": "error", "message": "Json Error"}, "Json Error"),
    (
        "gate",
        {"channel": "c", "event": "subscribe", "error": {"code": 1, "message": "invalid argument struct"}},
        "1 invalid argument",
    ),
    (
        "gate",
        {"channel": "c", "event": "subscribe", "error": {"code": 3, "message": "service error"}, "result": None},
        "3 service error",
    ),
    ("htx_linear", {"op": "sub", "topic": "t", "err-code": 2011, "err-msg": "Invalid topic"}, "2011 Invalid topic"),
    ("htx_coinm", {"op": "error", "err-code": 2001, "err-msg": "Invalid command", "ts": 1}, "2001 Invalid command"),
]


@pytest.mark.parametrize(("name", "frame", "text"), REFUSALS)
def test_a_refusal_is_told_in_the_venues_words(name: str, frame: dict[str, Any], text: str) -> None:
    heard = get_source(name).streams[0].hear(frame)
    assert heard.kind == "refused" and heard.text.startswith(text)


def test_of_kraken_the_liquidations_alone_are_kept() -> None:
    """Frames as documented; the first of a subscription has the last trades, which are not counted, nor numbered."""
    [stream] = get_source("kraken_futures").streams
    asked = stream.subscribe(["PF_XBTUSD"], 1)
    assert asked.message == {"event": "subscribe", "feed": "trade", "product_ids": ["PF_XBTUSD"]}
    fill = {"feed": "trade", "product_id": "PF_XBTUSD", "uid": "a", "side": "sell", "type": "fill", "seq": 9, "time": 1, "qty": 1}
    frames = [
        {"event": "info", "version": 1},
        {"event": "subscribed", "feed": "trade", "product_ids": ["PF_XBTUSD"]},
        {"event": "alert", "message": "Invalid product id"},
        {"feed": "trade_snapshot", "product_id": "PF_XBTUSD", "trades": [{**fill, "type": "liquidation"}]},
        fill,
        {**fill, "type": "termination"},
        {**fill, "type": "liquidation"},
    ]
    kinds = ["other", "acknowledged", "refused", "other", "data", "data", "event"]
    assert [stream.hear(frame).kind for frame in frames] == kinds
    assert stream.hear(frames[1]).key == asked.key and stream.numbers
    assert [stream.numbers(frame) for frame in frames] == [[]] * 4 + [[("PF_XBTUSD", 9)]] * 3


# --- the venues' own clients ------------------------------------------------------------------------------------------------

#: Takes a frame, as a client passes it on, and the time, price, size and side of its events by the names that the client, or the
#: venue's page, gives them.
Told = Callable[[Any, list[list[Any]]], None]
#: A client that is subscribed at an address, and passes on what it hears, until the block ends.
Client = Callable[[str, Told], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def binance_sdk(url: str, told: Told) -> AsyncIterator[None]:
    """binance-sdk-derivatives-trading-usds-futures: a connection to each of the path classes, `/stream`, typed events.

    It waits for half a second before it subscribes, which is left out, as is its REST client, whose import takes a second.
    """
    from binance_common.configuration import ConfigurationWebSocketStreams

    name = "binance_sdk_derivatives_trading_usds_futures"
    spec = find_spec(name)
    assert spec
    sys.modules.setdefault(name, module_from_spec(spec))
    streams = import_module(f"{name}.websocket_streams")

    def hear(event: Any) -> None:
        order = event.o
        # `st`: 1 is USD-M, 2 COIN-M; either host sends both.
        told(event.to_dict(), [[order.T, float(order.ap), float(order.z), order.S]] if event.st == 1 else [])

    with patch("binance_common.websocket.SUBSCRIBE_MESSAGE_DELAY_SECONDS", 0):
        client = streams.DerivativesTradingUsdsFuturesWebSocketStreams(ConfigurationWebSocketStreams(stream_url=url))
        assert await client.create_connection() and len(client.connections) == 3
        (await client.all_market_liquidation_order_streams()).on("message", hear)
        yield
        await client.close_connection()


@asynccontextmanager
async def binance_connector(url: str, told: Told) -> AsyncIterator[None]:
    """binance-futures-connector. Its client of USD-M asks at the path that is retired there, and hears nothing."""
    from binance.websocket.cm_futures.websocket_client import CMFuturesWebsocketClient

    def hear(_: object, text: str) -> None:
        frame = msgspec.json.decode(text)
        order = frame.get("o")
        if order:
            told(frame, [[order["T"], float(order["ap"]), float(order["z"]), order["S"]]] if frame["st"] == 2 else [])

    client = CMFuturesWebsocketClient(stream_url=url, on_message=hear)
    client.liquidation_order(None)
    yield
    client.stop()


def pybit(category: str, symbol: str) -> Client:
    """pybit. An answer that comes before it has noted the subscription ends it, as happens on loopback: it reads later here."""

    @asynccontextmanager
    async def client(url: str, told: Told) -> AsyncIterator[None]:
        from pybit.unified_trading import WebSocket

        def hear(frame: Any) -> None:
            told(frame, [[row["T"], float(row["p"]), float(row["v"]), row["S"]] for row in frame["data"]])

        class Patient(WebSocket):
            noted = Event()

            def _on_message(self, message: str) -> None:
                self.noted.wait(10)
                super()._on_message(message)

        with patch("pybit.unified_trading.PUBLIC_WSS", url + "/v5/public/{CHANNEL_TYPE}"):
            connected = Patient(category, testnet=False)
        connected.all_liquidation_stream(symbol, hear)
        connected.noted.set()
        yield
        connected.exit()

    return client


@asynccontextmanager
async def python_okx(url: str, told: Told) -> AsyncIterator[None]:
    """python-okx: the caller names channel and kind. Its connection is always TLS, which the emulator has not."""
    from okx.websocket import WebSocketFactory
    from okx.websocket.WsPublicAsync import WsPublicAsync

    def hear(text: str) -> None:
        frame = msgspec.json.decode(text)
        told(
            frame,
            [
                [int(each["ts"]), float(each["bkPx"]), float(each["sz"]), each["side"]]
                for row in frame.get("data", [])
                for each in row["details"]
            ],
        )

    plain = SimpleNamespace(connect=lambda address, ssl: websockets.connect(address))
    client = WsPublicAsync(url + "/ws/v5/public")
    with patch.object(WebSocketFactory, "websockets", plain):
        consuming = await client.start()
    await client.subscribe([{"channel": "liquidation-orders", "instType": "SWAP"}], hear)
    yield
    await client.stop()
    await consuming


@asynccontextmanager
async def gate_ws(url: str, told: Told) -> AsyncIterator[None]:
    """gate-ws, which has no class for the public channel: it is one of its base class, as all of its classes are."""
    from gate_ws.client import BaseChannel, Configuration, Connection

    class PublicLiquidates(BaseChannel):
        name = "futures.public_liquidates"

    async def hear(_: object, response: Any) -> None:
        rows = response.result if response.event == "update" else []
        told(
            msgspec.json.decode(response.body),
            [[row["time"], float(row["price"]), float(row["size"]), row["contract"]] for row in rows],
        )

    connection = Connection(Configuration(app="futures", settle="usdt", host=url + "/v4/ws/usdt"))
    PublicLiquidates(connection, hear).subscribe(["!all"])
    running = asyncio.create_task(connection.run())
    yield
    connection.close()
    await running


#: By source: the venue's own client, and our columns of time, price, size and side; Gate's side is the size's sign.
CLIENTS: dict[str, tuple[Client, str]] = {
    "binance_usdm": (binance_sdk, "trade_time average_price filled side"),
    "binance_coinm": (binance_connector, "trade_time average_price filled side"),
    "bybit_linear": (pybit("linear", "BTCUSDT"), "time price size side"),
    "bybit_inverse": (pybit("inverse", "BTCUSD"), "time price size side"),
    "okx": (python_okx, "ts bk_px sz side"),
    "gate": (gate_ws, "time price size contract"),
}


@pytest.mark.parametrize("name", CLIENTS)
def test_the_venues_own_client_hears_what_we_hear(name: str, emulator: Served) -> None:
    client, columns = CLIENTS[name]
    [stream] = get_source(name).streams
    found: list[tuple[Any, list[list[Any]]]] = []

    async def hear() -> None:
        async with client(emulator.url.replace("http", "ws") + prefix(name), lambda *each: found.append(each)):
            async with asyncio.timeout(10):
                while not any(events for _, events in list(found)):
                    await asyncio.to_thread(emulator.streams, "cascade", events=50, seconds=0.1, venue=prefix(name).lstrip("/"))
                    await asyncio.sleep(0.1)

    asyncio.run(hear())
    for frame, events in found:
        if stream.hear(frame).kind == "event":
            rows = read(stream.endpoint, b"[%b]" % line(events[0][0] if events else 0, msgspec.json.encode(frame))[0]).rows
            assert [[getattr(row, column) for column in columns.split()] for row in rows] == events
        else:
            assert stream.hear(frame).kind in ("acknowledged", "other") and not events


def watched(name: str, emulator: Served, exchange_name: str, host: str, symbol: str, method: str) -> list[Any]:
    """What ccxt's method gives of a cascade at the emulator."""
    import ccxt.pro

    base = emulator.url + prefix(name)

    async def watch() -> list[Any]:
        exchange = getattr(ccxt.pro, exchange_name)({"enableRateLimit": False, "newUpdates": True})
        streams = sockets(exchange.urls["api"].pop("ws"), base.replace("http", "ws"))
        exchange.urls["api"] = redirected(exchange.urls["api"], host, base) | {"ws": streams}
        exchange.has["fetchCurrencies"] = False
        found: list[Any] = []
        try:
            await exchange.load_markets()
            watching = asyncio.create_task(getattr(exchange, method)(symbol))
            while not emulator.connections():
                await asyncio.sleep(0.02)
            await asyncio.to_thread(emulator.streams, "cascade", events=200, seconds=0.5, venue=prefix(name).lstrip("/"))
            async with asyncio.timeout(10):
                found += await watching
                while not any("liquid" in str(each["info"]).lower() for each in found) and method == "watch_trades":
                    found += await getattr(exchange, method)(symbol)
        finally:
            await exchange.close()
        return found

    return asyncio.run(watch())


def frame_of(name: str, info: dict[str, Any]) -> bytes:
    """The frame that has what ccxt passes on as sent."""
    if name == "deribit":
        return msgspec.json.encode({"params": {"data": [info]}})
    if name == "kraken_futures":
        return msgspec.json.encode(info)
    if name == "dydx":
        return msgspec.json.encode({"id": "BTC-USD", "contents": {"trades": [info]}})
    if name.startswith("binance"):
        return msgspec.json.encode({"e": "forceOrder", "E": info["T"], "o": info})
    return msgspec.json.encode({"data": [info]})
