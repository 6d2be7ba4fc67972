"""HTX's traps: full pages in either order, an amount that counts contracts, dated futures in the list, bars in seconds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipelines.source import Instrument
from pipelines.sources.htx_linear import SOURCE
from tests.sources.kit import NOW, WINDOW, next_request
from tests.sources.samples import decoded, documented


def enveloped(data: Any) -> dict[str, Any]:
    return {"status": "ok", "data": data, "ts": NOW}


def test_a_full_page_is_followed_from_its_last_row_in_either_order() -> None:
    """A hundred rows at most; the request for the rest has the last row's moment again."""
    [request, *_] = SOURCE.endpoint("liquidations").plan(Instrument("BTC-USDT", "BTC"), WINDOW)
    row = {"contract_code": "BTC-USDT", "side": "buy", "volume": "1", "bankrupt_price": "1"}
    rows = [row | {"id": str(n), "liquidation_time": str(WINDOW.start + n)} for n in range(100)]
    for page, rest in ((rows, (WINDOW.start + 99, request.params["end_time"])), (rows[::-1], (WINDOW.start, WINDOW.start))):
        after = next_request("htx_linear", "liquidations", request, {"code": 200, "data": page})
        assert after and (after.params["start_time"], after.params["end_time"]) == rest
        assert next_request("htx_linear", "liquidations", request, {"code": 200, "data": page[1:]}) is None


def test_the_documented_liquidation_counts_contracts_and_buys_back_a_short() -> None:
    [row] = [row for s in documented() if (s.source, s.endpoint) == ("htx_linear", "liquidations") for row in decoded(s)]
    assert row["volume"] * 0.001 * row["price"] == pytest.approx(row["trade_turnover"])
    assert (row["amount"], row["direction"]) == (row["volume"], "buy")


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
