"""CryptoQuant, by what its page says: a bearer token, days as text, percent, bitcoin and ether alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.emulator.testing import Served
from pipelines import keys
from pipelines.source import Instrument, VenueProblem
from pipelines.sources.cryptoquant import SOURCE, error
from tests.sources.kit import DAY, NOW, WINDOW, load_and_query


def test_the_requests_of_two_days() -> None:
    """2026-11-20 and -21, both inclusive; `exchange` never left out."""
    asked = "exchange=all_exchange&window=day&from=20261120&to=20261121&limit=1000"
    of = {d.name: list(d.plan(Instrument("BTC", "BTC"), WINDOW)) for d in SOURCE.endpoints}
    assert {name: [r.path for r in requests] for name, requests in of.items()} == {
        "open_interest": ["/v1/btc/market-data/open-interest"],
        "funding_rates": ["/v1/btc/market-data/funding-rates"],
        "liquidations": ["/v1/btc/market-data/liquidations"],
    }
    assert all("&".join(f"{k}={v}" for k, v in r.params.items()) == asked for requests in of.values() for r in requests)
    assert all(not list(d.plan(Instrument("DOGE", "DOGE"), WINDOW)) for d in SOURCE.endpoints), "not among its assets"


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (401, {"status": {"code": 401, "message": "Unauthorized"}}, VenueProblem("key", "401 Unauthorized")),
        (403, {"status": {"code": 403, "message": "Plan"}}, VenueProblem("key", "403 Plan")),
        (400, {"status": {"code": 400, "message": "Bad"}}, VenueProblem("rejected", "400 Bad")),
        (429, {"status": {"code": 429, "message": ""}}, VenueProblem("limited", "429")),
        (500, {"status": {"code": 500, "message": ""}}, VenueProblem("transient", "500")),
        (200, {"status": {"code": 200, "message": "success"}, "result": {}}, None),
    ],
)
def test_errors_by_kind(status: int, body: Any, says: VenueProblem | None) -> None:
    assert error(status, json.dumps(body).encode()) == says
    assert error(403, b"<html>") == VenueProblem("key", "403") and error(200, b"<html>") is None


def test_a_row_without_the_endpoints_field_is_refused() -> None:
    of = SOURCE.endpoint("liquidations")
    line = {"date": "2025-10-10", "long_liquidations": 5, "long_liquidations_usd": 5e5, "short_liquidations_usd": 1e5}
    [row] = of.rows(of.read(json.dumps({"result": {"data": [line]}}).encode()))
    assert (row.day, row.long_usd, row.short_usd) == (1760054400000, 5e5, 1e5)
    with pytest.raises(ValueError, match="missing required field `short_liquidations_usd`"):
        of.rows(of.read(json.dumps({"result": {"data": [line | {"short_liquidations_usd": None}]}}).encode()))


def test_the_emulator_wants_a_token_and_an_exchange(emulator: Served, tmp_path: Path) -> None:
    url = f"{emulator.url}/cryptoquant/v1/btc/market-data/open-interest"
    assert httpx.get(url).status_code == 401
    assert keys.headers(SOURCE, emulated=True) == {"Authorization": "Bearer emulator"}
    assert httpx.get(url, headers={"Authorization": "Bearer emulator"}, params={"window": "day"}).status_code == 400
    query = load_and_query("cryptoquant", emulator, tmp_path, assets=["BTC", "ETH", "PEPE"])
    assert query("select symbol, day from raw.cryptoquant__open_interest order by 1, 2") == [
        (asset, NOW - n * DAY) for asset in ("BTC", "ETH") for n in (2, 1)
    ]
