"""GMX's traps: whole numbers beyond 64 bits, a rate for each side, addresses by their spelling, several markets of a coin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served
from infra.emulator.venues.gmx import MARKETS, whole
from pipelines.registry import read_seed
from pipelines.source import Instrument
from pipelines.sources.gmx import PATH, SOURCE
from tests.sources.kit import NOW, WINDOW, ask, load_and_query, next_request, store_rows

BTC = Instrument(MARKETS["BTC"][2], "BTC")


def test_liquidations_continue_after_a_full_page() -> None:
    [request] = SOURCE.endpoint("liquidations").plan(BTC, WINDOW)
    row = {"timestamp": NOW // 1000 - 5, "isLong": True, "sizeDeltaUsd": "1", "executionPrice": "1"}
    rows = [{"id": str(n), **row} for n in range(1000)]
    after = next_request("gmx", "liquidations", request, {"data": {"tradeActions": rows}})
    assert after and after.body and after.body["variables"]["offset"] == 1000
    assert next_request("gmx", "liquidations", request, {"data": {"tradeActions": rows[1:]}}) is None


def test_each_sides_factor_is_what_it_receives_so_two_of_one_sign_are_refused() -> None:
    def rates(long: str, short: str) -> bytes:
        row = {"snapshotTimestamp": 1760130000, "fundingFactorPerSecondLong": long, "fundingFactorPerSecondShort": short}
        return json.dumps({"data": {"fundingRateSnapshots": [row]}}).encode()

    endpoint = SOURCE.endpoint("funding_rates")
    endpoint.read(rates("5", "-5"))
    endpoint.read(rates("0", "0"))
    for long, short in (("5", "5"), ("-5", "-5")):
        with pytest.raises(ValueError, match="factors of one sign"):
            endpoint.read(rates(long, short))


def test_each_market_with_an_index_token_is_an_instrument_by_the_tokens_name_or_address() -> None:
    market = {
        "isDisabled": False,
        "longTokenAddress": "0x",
        "shortTokenAddress": "0x",
        "longOpenInterestUsd": "1",
        "shortOpenInterestUsd": "1",
    }
    rows = [
        {"id": "a", "marketTokenAddress": "0xA", "indexTokenAddress": MARKETS["BTC"][0].upper().replace("X", "x"), **market},
        {"id": "b", "marketTokenAddress": "0xB", "indexTokenAddress": "0x" + "0" * 40, **market},
        {"id": "c", "marketTokenAddress": "0xC", "indexTokenAddress": MARKETS["BTC"][0], **market},
        {"id": "d", "marketTokenAddress": "0xD", "indexTokenAddress": "0xNew", **market},
    ]
    page = SOURCE.endpoint("instruments").read(json.dumps({"data": {"marketInfos": rows}}).encode())
    assert SOURCE.parse_instruments
    assert SOURCE.parse_instruments(page) == [Instrument("0xA", "BTC"), Instrument("0xC", "BTC"), Instrument("0xD", "0xNew")]


def test_the_table_of_tokens_has_those_of_the_interface() -> None:
    """By hand from gmx-interface: PEPE and HYPE are there, gold is a commodity, WETH stands for ETH."""
    rows = {row["address"]: (row["symbol"], row["decimals"], row["underlying_class"]) for row in read_seed("gmx_tokens")}
    assert rows["0x25d887Ce7a35172C62FeBFD67a1856F20FaEbB00"] == ("PEPE", "18", "crypto")
    assert rows["0x82aF49447D8a07e3bd95BD0d56f35241523fBab1"] == ("ETH", "18", "crypto")
    assert {"HYPE", "GMX", "XRP"} <= {symbol for symbol, _, _ in rows.values()} and len(rows) > 110
    assert {row for row in rows.values() if row[0] in ("GOLD", "SPCX")} == {("GOLD", "18", "commodity"), ("SPCX", "18", "equity")}


def test_the_emulator_knows_addresses_by_their_spelling_and_counts_in_1e30(emulator: Served) -> None:
    def interest(market: str) -> Any:
        variables = {"market": market, "from": NOW // 1000 - 7200, "to": NOW // 1000 + 1, "limit": 1000}
        body = json.dumps({"operationName": "Interest", "variables": variables})
        return ask(emulator, "gmx", f"{PATH} {body}").json()["data"]["fundingBalanceOiSnapshots"]

    row = interest(BTC.symbol)[0]
    assert int(row["longOpenInterestUsd"]) > 10**35 and int(row["shortOpenInterestUsd"]) < int(row["longOpenInterestUsd"])
    assert interest(BTC.symbol.lower()) == []
    assert whole(-0.5, 10**30) == "-" + "5" + "0" * 29


def test_the_raw_tables_have_the_rates_and_the_open_interest_of_the_store(
    emulator: Served, store: SyntheticMarket, tmp_path: Path
) -> None:
    """`test_every_source.py` compares the sources with candles."""
    query = load_and_query("gmx", emulator, tmp_path, assets=["BTC"])
    rows = query(
        'select "time", funding_factor_per_second_long, funding_factor_per_second_short from raw.gmx__funding_rates order by 1'
    )
    settled = [row[:2] for row in store_rows(store.funding("gmx", "BTC"))]
    assert [row[0] for row in rows] == [at for at, _ in settled] and len(rows) == 48
    paid_by_longs = [(-long if long <= 0 else short) / 1e30 * 3600 for _, long, short in rows]
    assert paid_by_longs == pytest.approx([rate for _, rate in settled])
    stored = list(store_rows(store.open_interest("gmx", "BTC")))
    rows = query('select "time", long_open_interest_usd / 1e30 from raw.gmx__open_interest order by 1')
    assert [row[0] for row in rows] == [row[0] for row in stored]
    assert [row[1] for row in rows] == pytest.approx([row[1] * row[2] for row in stored])
