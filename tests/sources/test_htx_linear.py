"""HTX's traps: histories without a window, dated futures in the list, bars in seconds, ids that continue a page."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.emulator.store import MS_HOUR
from pipelines.source import Instrument, Request
from pipelines.sources.htx_linear import SOURCE
from tests.sources.kit import NOW, WINDOW, next_request
from tests.sources.samples import decoded, documented


def enveloped(data: Any) -> dict[str, Any]:
    return {"status": "ok", "data": data, "ts": NOW}


def settled(*hours_ago: int) -> dict[str, Any]:
    row = {"contract_code": "B", "funding_rate": "0.0001", "realized_rate": "null"}
    return enveloped({"total_page": 9, "data": [row | {"funding_time": str(NOW - h * MS_HOUR)} for h in hours_ago]})


def test_funding_is_paged_until_a_row_lies_before_the_window() -> None:
    request = Request("/", {"page_size": 3, "page_index": 2}, window=WINDOW, clip_start=True, clip_end=True)
    after = next_request("htx_linear", "funding_rates", request, settled(32, 40, 48))
    assert after and after.params["page_index"] == 3
    assert next_request("htx_linear", "funding_rates", request, settled(40, 48, 56)) is None, "the last is before the window"
    assert next_request("htx_linear", "funding_rates", request, settled(40, 48)) is None, "a short page is the last"


def test_liquidations_continue_after_the_last_id_until_a_page_is_empty() -> None:
    request = next(iter(SOURCE.endpoint("liquidations").plan(Instrument("BTC-USDT", "BTC"), WINDOW)))
    row = {"query_id": 7, "contract_code": "BTC-USDT", "direction": "buy", "volume": 1, "price": 1, "amount": 1}
    page = {"code": 200, "data": [row | {"created_at": WINDOW.start}]}
    after = next_request("htx_linear", "liquidations", request, page)
    assert after and after.params == {**request.params, "from_id": 7}
    assert next_request("htx_linear", "liquidations", request, {"code": 200, "data": []}) is None


def test_the_documented_liquidation_is_in_coins_and_sells_a_long() -> None:
    [row] = [row for sample in documented() if sample.source == "htx_linear" for row in decoded(sample)]
    assert row["amount"] * row["price"] == pytest.approx(row["trade_turnover"])
    assert row["volume"] * 0.001 == pytest.approx(row["amount"]) and row["direction"] == "sell"


def test_dated_futures_are_no_instruments() -> None:
    contract = {"symbol": "BTC", "contract_size": 0.001, "contract_status": 1, "create_date": "20201021"}
    rows = [
        {"contract_code": "BTC-USDT", **contract, "business_type": "swap"},
        {"contract_code": "BTC-USDT-211231", **contract, "business_type": "futures"},
        {"contract_code": "1000BONK-USDT", **contract, "symbol": "1000BONK", "business_type": "swap"},
    ]
    page = SOURCE.endpoint("instruments").read(json.dumps(enveloped(rows)).encode())
    assert SOURCE.parse_instruments
    assert SOURCE.parse_instruments(page) == [Instrument("BTC-USDT", "BTC"), Instrument("1000BONK-USDT", "BONK")]


def test_a_bar_stamped_in_milliseconds_is_refused() -> None:
    bar = {"id": 1603695060000, "open": 1, "high": 1, "low": 1, "close": 1, "vol": 4, "amount": 0.004}
    with pytest.raises(ValueError, match="id"):
        SOURCE.endpoint("candles").read(json.dumps(enveloped([bar])).encode())
