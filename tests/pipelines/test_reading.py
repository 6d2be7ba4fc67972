"""Whatever bytes arrive, rows or a refusal come out: pages of every source, changed at random, and the known odd ones."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from infra.emulator.cases import cases
from infra.emulator.messages import Ask, Parameters
from infra.emulator.server import Emulator
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.venue import KEY
from pipelines import records
from pipelines.client import Client
from pipelines.clock import Clock
from pipelines.fetch import fetch
from pipelines.load import LoadResult, arrow_tables
from pipelines.reading import Flaw, Unreadable, _aligned, _at, _first_holder, _place, _type_info, read, read_instruments
from pipelines.registry import source_rows
from pipelines.run import EmulatorInfo, Run
from pipelines.settings import Settings
from pipelines.source import Endpoint, Instrument, Request, Source
from pipelines.sources import get_source
from pipelines.windows import DAY, Window

NOW = 1_795_305_600_000  # 2026-11-22T00:00Z
WINDOW = Window(NOW - DAY, NOW)
#: Their answers go by a transport of their own.
SOURCES = [name for name in source_rows() if not get_source(name).transport and not get_source(name).base_url.startswith("s3://")]


@cache
def emulator() -> Emulator:
    return Emulator(SyntheticMarket(until=NOW, since=NOW - 3 * DAY), as_of=NOW)


def answer(source: Source, request: Request) -> bytes:
    """The emulator's answer to a request, without HTTP."""
    venues = {venue.name: venue for venue in emulator().venues}
    venue = next(venues[name] for name in (source.name, source.host, source.venue) if name in venues)
    query = Parameters({name: str(value) for name, value in request.params.items()})
    headers = {cases(source.name).key_header: cases(source.name).key_prefix + KEY} if cases(source.name).key_header else {}
    body = json.dumps(request.body).encode() if request.body else b""
    return venue.answer(Ask(request.method, request.path, query, headers, body, NOW)).body


@cache
def pages() -> dict[tuple[str, str], bytes]:
    """A page of each endpoint, about one instrument and one day."""
    bodies: dict[tuple[str, str], bytes] = {}
    for name in SOURCES:
        source, instrument = get_source(name), Instrument("BTC", "BTC")
        for endpoint in sorted(source.endpoints, key=lambda endpoint: endpoint.name != "instruments"):
            if not endpoint.decode:
                body = answer(source, next(iter(endpoint.plan(instrument, WINDOW))))
                try:
                    read(endpoint, body)
                except Unreadable:  # a vendor without a venue, a subgraph without a name
                    continue
                bodies[name, endpoint.name] = body
                if endpoint.name == "instruments" and source.parse_instruments:
                    instrument = read_instruments(source, body)[0][0]
    return bodies


#: What stands in the place of a value.
ODD: list[Any] = [
    None, "", "n/a", 0, -1, True, [], {}, 2**63, 2**63 - 1, -(2**63), 10**30, 1e308, "NaN", "Infinity", "-1e999", "\ud800", [[]],
    9_999_999_999_999, "2025-12-24", "2025-12-24T00:00:00", "0001-01-01T00:00:00Z", {"a": {"b": []}},
]  # fmt: skip


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every part of a body, as its holder and its key there."""
    found, waiting = [], [value]
    while waiting:
        part = waiting.pop()
        keys = list(part) if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else []
        found += [(part, key) for key in keys]
        waiting += [part[key] for key in keys]
    return found


def change(value: Any, chance: random.Random) -> None:
    """Replace, delete or repeat a part of a body."""
    if not (found := places(value)):
        return
    holder, key = chance.choice(found)
    match chance.randrange(4):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, list):
            holder.insert(key, deepcopy(holder[key]))
        case _:
            holder[key] = deepcopy(chance.choice(ODD))  # which a later change may go into


def as_sent(value: Any, chance: random.Random) -> bytes:
    """A body's bytes, now and then with what JSON doesn't have."""
    body = json.dumps(value).encode()
    match chance.randrange(12):
        case 0:
            return body.replace(b"null", b"NaN", 1)
        case 1:
            return b"\xef\xbb\xbf" + body
        case 2:
            return body.replace(b'"', b'"\xff', 3)
        case 3:
            at = chance.randrange(len(body) + 1)
            return body[:at] + chance.choice([b"", b"[" * 5000, b"\x00", b"1e999"]) + body[at + chance.randrange(3) :]
    return body


@given(st.integers(0, 2**32))
@examples(max_examples=150)
def test_no_page_raises_but_unreadable(seed: int) -> None:
    chance = random.Random(seed)
    (name, endpoint_name), body = chance.choice(sorted(pages().items()))
    source = get_source(name)
    endpoint, value = source.endpoint(endpoint_name), json.loads(body)
    for _ in range(chance.randint(1, 4)):
        change(value, chance)
    sent = as_sent(value, chance)
    try:
        rows = read(endpoint, sent).rows
        if endpoint_name == "instruments" and source.parse_instruments:
            read_instruments(source, sent)
    except Unreadable as problem:
        assert problem.flaw.problem
    else:
        records.columns(endpoint.record, rows)


@pytest.mark.parametrize("odd", [None, [[]], "x"], ids=repr)
def test_one_odd_row_of_columns_costs_that_row(odd: Any) -> None:
    """Of every endpoint whose rows are indexes of several lists: one value of each list in turn is something else."""
    names = set()
    for (name, endpoint_name), body in pages().items():
        endpoint = get_source(name).endpoint(endpoint_name)
        whole = read(endpoint, body)
        for path in _aligned(endpoint, json.loads(body)):
            value = json.loads(body)
            _at(value, path)[2] = odd
            reading = read(endpoint, json.dumps(value).encode())
            assert list(reading.rows) == [*whole.rows[:2], *whole.rows[3:]], (name, endpoint_name, path)
            [flaw] = reading.flaws
            assert flaw.place.startswith(f"{_place(path)}[2]")
            names.add(f"{name}.{endpoint_name}")
    assert names == {
        "kraken_futures.open_interest",
        "deribit.candles",
        "mexc.candles",
        "mexc.mark_candles",
        "mexc.index_candles",
        "hyperliquid.contexts",
    }


@pytest.mark.parametrize("points", [1, 3, 4, 5])
def test_krakens_columns_of_four_lose_a_point_as_its_rows_do(points: int) -> None:
    """Four points of four columns have the shape of four rows; the high tells which they are, unless a point is lost."""
    stamps = [NOW // 1000 - 3600 * n for n in range(points)]
    rows = [[10 + n, 13 + n, 9 + n, 11 + n] for n in range(points)]
    endpoint = KRAKEN.endpoint("open_interest")
    for data in (rows, [list(column) for column in zip(*rows, strict=True)]):
        for lost in (None, points // 2):
            value: Any = json.loads(json.dumps({"result": {"timestamp": stamps, "data": data}, "errors": []}))
            if lost is not None:
                value["result"]["timestamp"][lost] = "x"
            if lost is not None and points in (1, 4):
                with pytest.raises(Unreadable):
                    read(endpoint, json.dumps(value).encode())
                continue
            reading = read(endpoint, json.dumps(value).encode())
            assert [row.close for row in reading.rows] == [row[3] for n, row in enumerate(rows) if n != lost]
            assert len(reading.flaws) == (lost is not None)


def test_columns_of_different_lengths_are_no_rows() -> None:
    body = json.loads(pages()["deribit", "candles"])
    body["result"]["volume"].pop()
    with pytest.raises(Unreadable, match="its columns have 25, 25, 25, 25, 25, 24, 25 values"):
        read(get_source("deribit").endpoint("candles"), json.dumps(body).encode())


@pytest.mark.parametrize("change", [{"fills": 2**60}, {"day": "soon"}, {"volume_usd": [1]}], ids=repr)
def test_an_odd_row_of_one_of_several_pages_costs_that_row(change: dict[str, Any]) -> None:
    """Dune's pages in one body: whether the row is of a wrong type, or of a number that no table holds."""
    rows = [
        {"day": f"2025-10-1{n} 00:00:00.000 UTC", "project": "p", "blockchain": "b", "volume_usd": 1, "fills": n}
        for n in range(4)
    ]
    pages = [{"result": {"rows": rows[:2]}}, {"result": {"rows": [rows[2], {**rows[3], **change}]}}]
    reading = read(get_source("dune").endpoint("volume"), json.dumps({"status": {}, "pages": pages}).encode())
    assert [row.fills for row in reading.rows] == [0, 1, 2]
    [flaw] = reading.flaws
    assert flaw.place.startswith("$.pages[1].result.rows[1]")


@pytest.mark.parametrize("odd", [None, [], 10**30], ids=repr)
def test_one_odd_row_costs_that_row(odd: Any) -> None:
    """Of every endpoint with a list of records: its second row, and then one field of it, is something else."""
    tried = 0
    for (name, endpoint_name), body in pages().items():
        endpoint = get_source(name).endpoint(endpoint_name)
        whole, value = read(endpoint, body), json.loads(body)
        holder = _first_holder(_type_info(endpoint), value)
        if holder is None or len(whole.rows) < 3 or endpoint.wire_type or endpoint.aligned:
            continue  # one row, rows in columns, or several rows to an item
        path = holder[0]
        for part in ("row", "field"):
            value = json.loads(body)
            rows = value
            for step in path:
                rows = rows[step]
            second = list(rows)[1] if isinstance(rows, dict) else 1
            if part == "row" or not isinstance(rows[second], dict):
                rows[second] = odd
            else:
                rows[second][known(endpoint)] = odd
            reading = read(endpoint, json.dumps(value).encode())
            assert list(reading.rows) == [*whole.rows[:1], *whole.rows[2:]], (name, endpoint_name, part)
            [flaw] = reading.flaws
            assert flaw.place.startswith("$") and (f"[{second}]" in flaw.place or f".{second}" in flaw.place)
            tried += 1
    assert tried > 85


def known(endpoint: Endpoint) -> str:
    """The venue's name of a required field that none of the odd values is allowed for: a time, or the key."""
    wanted = endpoint.time or endpoint.key[0]
    fields = {field.name: field.encode_name for field in records.msgspec.structs.fields(endpoint.record)}
    return fields.get(wanted) or next(iter(fields.values()))


BINANCE, OKX, KRAKEN = get_source("binance_usdm"), get_source("okx"), get_source("kraken_futures")
LISTED = {"symbol": "A", "status": "TRADING", "baseAsset": "A", "quoteAsset": "USDT", "contractType": "PERPETUAL"}


def listed(*symbols: Mapping[str, Any]) -> bytes:
    return json.dumps({"symbols": symbols}).encode()


@pytest.mark.parametrize(
    ("body", "flaws"),
    [
        (listed(LISTED, {**LISTED, "symbol": None}), [("$.symbols[1].symbol", "None")]),
        (listed(LISTED).replace(b'"A"', b'"A", "x": NaN', 1), [("$.symbols[0].x", "NaN")]),
        (b"\xef\xbb\xbf" + listed(LISTED), []),
        (listed(LISTED, {**LISTED, "deliveryDate": 2**63 - 1}), []),  # "never"
        (listed(LISTED, {**LISTED, "deliveryDate": 2**64}), [("$.symbols[1]", "")]),
    ],
)
def test_flaws_have_a_place_and_a_value(body: bytes, flaws: list[tuple[str, str]]) -> None:
    endpoint = BINANCE.endpoint("instruments")
    try:
        found = read(endpoint, body).flaws
    except Unreadable as problem:
        found = [problem.flaw]
    assert [(flaw.place, flaw.value if value else "") for flaw, (_, value) in zip(found, flaws, strict=True)] == flaws


def test_what_json_does_not_have_costs_no_row_that_does_not_need_it() -> None:
    """A bare NaN in a field that isn't read; the same in the key, and a name that is no text."""
    one, two = json.dumps(LISTED), json.dumps({**LISTED, "symbol": "B"})
    body = f'{{"symbols": [{one[:-1]}, "tick": NaN}}, {two}, {one.replace(chr(34) + "A" + chr(34), "NaN", 1)}]}}'.encode()
    reading = read(BINANCE.endpoint("instruments"), body)
    assert [row.symbol for row in reading.rows] == ["A", "B"]
    assert {flaw.place for flaw in reading.flaws} == {"$.symbols[0].tick", "$.symbols[2].symbol"}


def test_a_date_beyond_any_calendar_is_null() -> None:
    endpoint = BINANCE.endpoint("instruments")
    rows = read(endpoint, listed({**LISTED, "deliveryDate": 2**63 - 1}, {**LISTED, "deliveryDate": 4_133_404_800_000})).rows
    columns = dict(zip(endpoint.record.__struct_fields__, records.columns(endpoint.record, rows), strict=True))
    assert columns["delivery_date"].to_pylist() == [None, 4_133_404_800_000]


def test_an_event_of_several_in_an_item_costs_itself() -> None:
    event = {"side": "buy", "bkPx": "1", "sz": "1", "ts": str(NOW)}
    families = [{"instId": "A-SWAP", "details": [event, {**event, "ts": ""}, event]}, {"instId": "B-SWAP", "details": [event]}]
    reading = read(OKX.endpoint("liquidations"), json.dumps({"data": families}).encode())
    assert [row.symbol for row in reading.rows] == ["A-SWAP", "A-SWAP", "B-SWAP"]
    assert [flaw.place for flaw in reading.flaws] == ["$.data[0].details[1].ts"]


def test_a_listed_entry_that_the_source_cant_use_costs_itself() -> None:
    def parse(page: Any) -> list[Instrument]:
        return [Instrument(s.symbol, s.pair.split("-")[0]) for s in page.symbols]

    body = listed({**LISTED, "pair": "A-USDT"}, {**LISTED, "symbol": "B"})
    found, flaws = read_instruments(replace(BINANCE, parse_instruments=parse), body)
    assert found == [Instrument("A", "A")]
    assert flaws == [Flaw("$.symbols[1]", "", "AttributeError: 'NoneType' object has no attribute 'split'")]


class Odd:
    """A transport that answers as the emulator does, with a change in every page."""

    def __init__(self, source: Source, chance: random.Random) -> None:
        self.source, self.chance = source, chance

    async def get(self, url: str, request: Request) -> tuple[int, Mapping[str, str], bytes, str]:
        value = json.loads(answer(self.source, request))
        change(value, self.chance)
        return 200, {"Date": self.chance.choice(["", "Wed, 24 Dec 2025", "x"])}, as_sent(value, self.chance), url

    async def close(self) -> None: ...


@given(seed=st.integers(0, 2**32))
@examples(max_examples=15)
def test_fetch_and_load_of_changed_pages_never_raise(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    chance = random.Random(seed)
    good = get_source(chance.choice(SOURCES))
    source = replace(good, transport=lambda client: Odd(good, chance))
    home = tmp_path_factory.mktemp("odd")
    run = Run.begin(Settings(home=home, assets=["BTC"], tries=1), WINDOW, Clock(NOW), EmulatorInfo("http://x", "x"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Client, "_wait", lambda self, state: 0)
        [result] = asyncio.run(fetch(run, [source]))
    for endpoint in source.endpoints:
        for table in arrow_tables(
            run, endpoint, [e for e in result.entries if e.endpoint_name == endpoint.name], LoadResult("x")
        ):
            table.validate(full=True)
