"""`perps explain` of what the collector brings: order books, running rates, liquidations by stream, by request, by both."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from infra.emulator.buckets import pack
from perplake.explain import Step, explain
from perplake.published import reading
from pipelines.landing import Entry, Landing
from pipelines.settings import Settings
from pipelines.windows import to_ms

AT = datetime(2025, 10, 10, 21, 15, 0, 123000)
NOW = to_ms(AT.replace(tzinfo=UTC))
SWAP = "BTC-USDT-SWAP"
MARTS = f"""
create schema marts; create schema meta;
create table marts.fct_order_book_depth as
    select 'bybit_linear' as source, 'bybit:BTCUSDT' as instrument_id, timestamp '{AT}' as observed_at, 1.0 as bid_base_10bps,
        'listed_base' as raw_unit, null::timestamp as stamp, timestamp '{AT}' as known_at;
create table marts.fct_running_rates as
    select 'gate' as source, 'gate:BTC_USDT' as instrument_id, timestamp '{AT}' as observed_at, 1e-4::double as raw_rate,
        timestamp '{AT}' as known_at;
create table marts.fct_liquidations as
    select 'okx' as source, 'okx:{SWAP}' as instrument_id, timestamp '{AT}' + to_milliseconds(n) as liquidated_at,
        size as raw_size, n || ':' || size as event_id, 'contracts' as raw_unit, timestamp '{AT}' as known_at
    from (values (0, 1.0::double), (0, 2.0), (1, 3.0)) as t(n, size);
insert into marts.fct_liquidations
    values ('hyperliquid_fills', 'hyperliquid:BTC', timestamp '{AT}', 0.5, '{NOW}:71', 'listed_base', timestamp '{AT}')
"""
USER = "0x" + 40 * "a"
FILL = {
    "coin": "BTC", "px": "100", "sz": "0.5", "side": "A", "time": NOW, "startPosition": "0.5", "dir": "Liquidated Cross Long",
    "closedPnl": "0", "hash": "0x0", "oid": 1, "crossed": True, "fee": "0", "feeToken": "USDC",
    "liquidation": {"liquidatedUser": USER, "markPx": "100", "method": "backstop"},
}  # fmt: skip


def forced(*events: tuple[int, str]) -> dict[str, Any]:
    details = [{"ts": str(NOW + at), "side": "sell", "sz": size, "bkPx": "100", "posSide": "long"} for at, size in events]
    return {"data": [{"instId": SWAP, "details": details}]}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    landing = Landing(str(tmp_path / "landing"), "20251010T211500000000-abcdef-collected")

    def put(source: str, endpoint: str, body: Any, url: str, observed: int = NOW, **more: Any) -> None:
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        about = {"method": "GET", "status": 200, "path_label": "", "context": {}, "window": None, **more}
        digest, origin = hashlib.sha256(content).hexdigest(), "synthetic"
        names = {"run": landing.run, "source": source, "endpoint_name": endpoint, "market": "m", "url": url}
        landing.put(Entry(**names, **about, observed_at=observed, sha256=digest, size=len(content), origin=origin), content)

    for symbol, minute in (("ETHUSDT", 0), ("BTCUSDT", 0), ("BTCUSDT", 1)):
        book = {"s": symbol, "b": [["99.99", f"{1 + minute}"]], "a": [["100.01", "1"]], "ts": NOW - 50}
        url = f"https://api.bybit.com/v5/market/orderbook?symbol={symbol}&round={minute}"
        put("bybit_linear", "order_book_depth", {"result": book}, url, NOW + minute * 60_000, context={"symbol": symbol})
    contract = {
        "name": "BTC_USDT",
        "type": "direct",
        "quanto_multiplier": "0.0001",
        "funding_interval": 28800,
        "funding_rate": "0.0001",
    }
    put("gate", "instruments", [contract], "https://api.gateio.ws/api/v4/futures/usdt/contracts")
    span = (NOW - 1000, NOW + 1000)
    lines = [{"at": NOW + 900, "frame": forced((0, "1"), (0, "2"))}]
    put("okx", "liquidations_stream", lines, "wss://ws.okx.com/ws/v5/public", method="STREAM", status=101, window=span)
    asked = {"code": "0", **forced((0, "2"), (1, "3"))}
    put("okx", "liquidations", asked, "https://www.okx.com/api/v5/public/liquidation-orders", NOW + 5000, window=span)
    fills = [[USER, {**FILL, "tid": tid}] for tid in (70, 71, 72)]  # three of one millisecond, price and size
    block = {"local_time": f"{AT:%FT%T}", "block_time": f"{AT:%FT%T}", "block_number": 1, "events": fills}
    url = "s3://hl-mainnet-node-data/node_fills_by_block/hourly/20251010/21.lz4"
    put("hyperliquid_fills", "liquidations", pack(msgspec.json.encode(block) + b"\n"), url, NOW + 5000, window=span)
    landing.flush()
    with duckdb.connect(str(tmp_path / "published.duckdb")) as connection:
        connection.execute(MARTS)
    return tmp_path


def steps_of(home: Path, fact: str, instrument: str, at: datetime = AT) -> list[Step]:
    with reading(home / "published.duckdb") as db:
        return list(explain(db, Settings(home=home, landing=str(home / "landing")), fact, instrument, at))


def told(home: Path, fact: str, instrument: str, at: datetime = AT) -> list[tuple[str, Any]]:
    """Of each step, its title and what tells most of it."""
    names = ("url", "bid_size_10", "sz", "raw_size", "funding_rate", "raw_unit")
    return [(s.title, next((s.content[name] for name in names if s.content.get(name) is not None), ""))
            for s in steps_of(home, fact, instrument, at)]  # fmt: skip


def test_an_order_book_is_traced_to_the_answer_of_its_round(home: Path) -> None:
    [row, record, request, response] = told(home, "fct_order_book_depth", "bybit:BTCUSDT")
    assert row == ("marts.fct_order_book_depth", "listed_base")
    assert record == ("the record, as raw.bybit_linear__order_book_depth has it", 1.0)
    assert request[1] == "https://api.bybit.com/v5/market/orderbook?symbol=BTCUSDT&round=0"
    assert response[0] == "the response, byte for byte"


def test_a_running_rate_is_traced_to_the_list_that_states_it(home: Path) -> None:
    steps = told(home, "fct_running_rates", "gate:BTC_USDT")
    assert steps[1] == ("the record, as raw.gate__instruments has it", 1e-4)
    assert steps[2][1] == "https://api.gateio.ws/api/v4/futures/usdt/contracts"


def test_liquidations_are_traced_to_stream_and_request(home: Path) -> None:
    """Of one millisecond, one was heard alone, and one was requested too; one of the next was requested alone."""
    record, stream, request = "the record, as raw.okx__{} has it", "wss://ws.okx.com/ws/v5/public", "https://www.okx.com"
    heard, requested = record.format("liquidations_stream"), record.format("liquidations")
    steps = told(home, "fct_liquidations", f"okx:{SWAP}")
    rows = [number for number, (title, _) in enumerate(steps) if title == "marts.fct_liquidations"]
    first, second = steps[: rows[1]], steps[rows[1] :]
    assert [step for step in first if step[0] in (heard, requested)] == [(heard, 1.0)]
    assert [value for title, value in first if title == "the stream"] == [stream]
    assert [step for step in second if step[0] in (heard, requested)] == [(requested, 2.0), (heard, 2.0)]
    later = told(home, "fct_liquidations", f"okx:{SWAP}", AT.replace(microsecond=124000))
    assert [step for step in later if step[0] in (heard, requested)] == [(requested, 3.0)]
    assert [value[: len(request)] for title, value in later if "request" in title] == [request]


def test_of_events_alike_in_time_and_numbers_the_id_tells_which(home: Path) -> None:
    steps = steps_of(home, "fct_liquidations", "hyperliquid:BTC")
    assert [step.content["tid"] for step in steps if "tid" in step.content] == [71]


def test_a_search_that_takes_too_long_ends(home: Path) -> None:
    with reading(home / "published.duckdb") as db:
        settings = Settings(home=home, landing=str(home / "landing"))
        with pytest.raises(ValueError, match=r"took too long|took more than"):
            list(explain(db, settings, "fct_liquidations", f"okx:{SWAP}", AT, seconds=-1))
        assert list(explain(db, settings, "fct_liquidations", f"okx:{SWAP}", AT, seconds=600))
