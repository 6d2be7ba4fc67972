"""GMX v2, by what the venue's page says: GraphQL, whole numbers beyond 64 bits, each side's rate as what it receives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served
from infra.emulator.venues.gmx import MARKETS, PATH, whole
from pipelines.source import Instrument, Request, VenueProblem
from pipelines.sources.gmx import SOURCE, error, instruments
from pipelines.windows import Window
from tests.sources.kit import DAY, NOW, WINDOW, load_and_query, next_request, store_rows

BTC = Instrument(MARKETS["BTC"][2], "BTC")


def bodies(dataset: str, window: Window = WINDOW) -> list[dict[str, Any]]:
    return [dict(request.body or {}) for request in SOURCE.endpoint(dataset).plan(BTC, window)]


def test_the_requests_of_two_days() -> None:
    """2026-11-20 and -21: the spelling of an address as it came, seconds, the end left out."""
    [request] = SOURCE.endpoint("instruments").plan(Instrument("", ""), WINDOW)
    assert (request.method, request.path) == ("POST", "/gmx-synthetics-arbitrum:prod/api/graphql")
    assert request.path_label.endswith("graphql Markets") and "isDisabled_eq: false" in request.body["query"]  # type: ignore[index]
    span = {"market": BTC.symbol, "from": 1795132800, "to": 1795305600, "limit": 1000}
    for dataset, operation, field in (
        ("funding_rates", "Rates", "fundingRateSnapshots"),
        ("open_interest", "Interest", "fundingBalanceOiSnapshots"),
    ):
        [body] = bodies(dataset)
        assert (body["operationName"], body["variables"]) == (operation, span) and field in body["query"]
    [body] = bodies("liquidations")
    assert body["variables"] == span | {"offset": 0} and "orderType_eq: 7" in body["query"]
    spans = [b["variables"]["to"] - b["variables"]["from"] for b in bodies("funding_rates", Window(NOW - 365 * DAY, NOW))]
    assert max(spans) == 1000 * 3600, "an hour a row"


def test_liquidations_go_on_after_a_full_page() -> None:
    [body] = bodies("liquidations")
    asked = Request(PATH, body=body, window=WINDOW)
    row = {"timestamp": NOW // 1000 - 5, "isLong": True, "sizeDeltaUsd": "1", "executionPrice": "1"}
    page = {"data": {"tradeActions": [{"id": str(n), **row} for n in range(1000)]}}
    after = next_request("gmx", "liquidations", asked, page)
    assert after and after.body and after.body["variables"]["offset"] == 1000
    page["data"]["tradeActions"].pop()
    assert next_request("gmx", "liquidations", asked, page) is None


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, {"errors": [{"message": "Query timeout"}]}, VenueProblem("transient", "Query timeout")),
        (400, {"errors": [{"message": "Syntax Error"}]}, VenueProblem("rejected", "Syntax Error")),
        (429, {"errors": [{"message": "Slow"}]}, VenueProblem("limited", "Slow")),
        (200, {"data": {"marketInfos": []}}, None),
    ],
)
def test_errors_by_kind(status: int, body: Any, says: VenueProblem | None) -> None:
    assert error(status, json.dumps(body).encode()) == says


def rates(long: str, short: str) -> bytes:
    row = {"snapshotTimestamp": 1760130000, "fundingFactorPerSecondLong": long, "fundingFactorPerSecondShort": short}
    return json.dumps({"data": {"fundingRateSnapshots": [row]}}).encode()


def test_numbers_beyond_64_bits_and_the_two_pairs_of_signs() -> None:
    of = SOURCE.endpoint("funding_rates")
    [row] = of.rows(of.read(rates("-25903000627149213888888", "40512692907534675501066")))
    assert (row.time, row.funding_factor_per_second_long) == (1760130000000, -2.5903000627149213888888e22)
    of.read(rates("5", "-5"))
    of.read(rates("0", "0"))
    for long, short in (("5", "5"), ("-5", "-5")):
        with pytest.raises(ValueError, match="factors of one sign"):
            of.read(rates(long, short))


def test_markets_of_known_tokens_alone() -> None:
    market = {"longTokenAddress": "0x", "shortTokenAddress": "0x", "longOpenInterestUsd": "1", "shortOpenInterestUsd": "1"}
    rows = [
        {"id": "a", "marketTokenAddress": "0xA", "indexTokenAddress": MARKETS["BTC"][0].upper().replace("X", "x"), **market},
        {"id": "b", "marketTokenAddress": "0xB", "indexTokenAddress": "0x" + "0" * 40, **market},
        {"id": "c", "marketTokenAddress": "0xC", "indexTokenAddress": MARKETS["BTC"][0], **market},
    ]
    page = SOURCE.endpoint("instruments").read(json.dumps({"data": {"marketInfos": rows}}).encode())
    assert [(i.symbol, i.base_asset) for i in instruments(page)] == [("0xA", "BTC"), ("0xC", "BTC")], "two markets, one coin"


def test_the_emulator_keeps_the_indexers_ways(emulator: Served) -> None:
    def ask(**body: Any) -> Any:
        return httpx.post(f"{emulator.url}/gmx{PATH}", json=body).json()

    span = {"from": NOW // 1000 - 7200, "to": NOW // 1000 + 1, "limit": 1000}
    rows = ask(operationName="Interest", variables={"market": BTC.symbol, **span})["data"]["fundingBalanceOiSnapshots"]
    assert [row["snapshotTimestamp"] for row in rows] == [NOW // 1000 - n * 3600 for n in (2, 1, 0)]
    assert int(rows[0]["longOpenInterestUsd"]) > 10**35 and int(rows[0]["shortOpenInterestUsd"]) < int(
        rows[0]["longOpenInterestUsd"]
    )
    lower = ask(operationName="Interest", variables={"market": BTC.symbol.lower(), **span})
    assert lower == {"data": {"fundingBalanceOiSnapshots": []}}, "an address goes by its spelling"
    assert ask(operationName="Nothing")["errors"] and ask()["errors"]
    assert whole(-0.5, 10**30) == "-" + "5" + "0" * 29


def test_the_raw_tables_hold_the_store(emulator: Served, store: SyntheticMarket, tmp_path: Path) -> None:
    query = load_and_query("gmx", emulator, tmp_path, assets=["BTC"])
    rows = query(
        'select "time", funding_factor_per_second_long, funding_factor_per_second_short from raw.gmx__funding_rates order by 1'
    )
    settled = [row[:2] for row in store_rows(store.funding("gmx", "BTC"))]
    assert [row[0] for row in rows] == [at for at, _ in settled] and len(rows) == 48
    paid = [(-long if long <= 0 else short) / 1e30 * 3600 for _, long, short in rows]
    assert paid == pytest.approx([rate for _, rate in settled])
    held = list(store_rows(store.open_interest("gmx", "BTC")))
    found = query('select "time", long_open_interest_usd / 1e30 from raw.gmx__open_interest order by 1')
    assert [row[0] for row in found] == [row[0] for row in held]
    assert [row[1] for row in found] == pytest.approx([row[1] * row[2] for row in held])
    forced = list(store_rows(store.liquidations("gmx", "BTC"), Window(NOW - 2 * DAY, NOW)))
    assert query("select count(*), count(*) filter (is_long) from raw.gmx__liquidations") == [
        (len(forced), sum(row[1] for row in forced))
    ]
