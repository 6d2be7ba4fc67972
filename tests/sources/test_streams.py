"""Streams against implementations that nobody here wrote: ccxt's WebSocket classes, unmodified but for the host, at the emulator.

ccxt subscribes in its own words, so the emulator has to take them; what it makes of a frame is compared with our rows of the same
frame. ccxt gives the side as sent, so that sides are compared by the meaning that the venue's page states.
"""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served, serve
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
#: A recorded frame alone stands behind these.
ALONE = {"bitget", "gate", "htx_linear", "htx_coinm"}


@pytest.fixture(scope="module")
def emulator() -> Iterator[Served]:
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
    assert [stream.hear(frame).kind for frame in frames] == ["other", "acknowledged", "refused", *["other"] * 3, "event"]
    assert stream.hear(frames[1]).key == asked.key and stream.numbers
    assert [stream.numbers(frame) for frame in frames] == [[]] * 4 + [[("PF_XBTUSD", 9)]] * 3


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
