"""MEXC's traps: bars as columns in seconds, funding in numbered pages without a window, inverse contracts in the list."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.emulator.store import MS_HOUR
from pipelines.source import Request
from pipelines.sources.mexc import SOURCE, instruments
from tests.sources.kit import NOW, WINDOW, next_request


def enveloped(data: Any) -> dict[str, Any]:
    return {"success": True, "code": 0, "data": data}


def settled(*hours: int) -> dict[str, Any]:
    rows = [{"symbol": "B", "fundingRate": 0.0001, "settleTime": NOW - h * MS_HOUR} for h in hours]
    return enveloped({"pageSize": 3, "totalPage": 9, "currentPage": 2, "resultList": rows})


def test_funding_is_paged_until_it_reaches_before_the_window() -> None:
    request = Request("/", {"page_size": 3, "page_num": 2}, window=WINDOW, clip_start=True, clip_end=True)
    assert (more := next_request("mexc", "funding_rates", request, settled(32, 40, 48))) and more.params["page_num"] == 3
    assert next_request("mexc", "funding_rates", request, settled(40, 48, 56)) is None, "the last is before the window"
    assert next_request("mexc", "funding_rates", request, settled(40, 48)), "a short page may have been cut"
    assert next_request("mexc", "funding_rates", request, settled()) is None


@pytest.mark.parametrize(("field", "values", "problem"), [("low", [], "its columns have"), ("time", [1_795_132_800_000], "time")])
def test_columns_of_different_lengths_and_milliseconds_are_refused(field: str, values: list[int], problem: str) -> None:
    candles = SOURCE.endpoint("candles")
    chart = {"time": [1_795_132_800], "open": [1], "close": [2.5], "high": [3], "low": [0.5], "vol": [7], "amount": [14]}
    with pytest.raises(ValueError, match=problem):
        candles.rows(candles.read(json.dumps(enveloped(chart | {field: values})).encode()))


def test_instruments_are_the_perpetuals_in_usdt() -> None:
    contract = {"contractSize": 1, "state": 0, "quoteCoin": "USDT", "settleCoin": "USDT"}
    rows = [
        {"symbol": "BTC_USDT", "baseCoin": "BTC", **contract},
        {"symbol": "1000BONK_USDT", "baseCoin": "1000BONK", **contract},
        {"symbol": "BTC_USD", "baseCoin": "BTC", **contract, "quoteCoin": "USD", "settleCoin": "BTC"},
    ]
    page = SOURCE.endpoint("instruments").read(json.dumps(enveloped(rows)).encode())
    assert [(i.symbol, i.base_asset) for i in instruments(page)] == [("BTC_USDT", "BTC"), ("1000BONK_USDT", "BONK")]
