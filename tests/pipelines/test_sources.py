"""Each source's own error bodies are told apart from data, and from one another."""

from __future__ import annotations

import json

import pytest

from pipelines.sources import get_source

PAGE = b"<html><head><title>403 Forbidden</title></head></html>"


@pytest.mark.parametrize(
    ("name", "status", "body", "kind"),
    [
        ("bybit_linear", 200, {"retCode": 10006, "retMsg": "Too many visits!"}, "limited"),
        ("bybit_linear", 200, {"retCode": 10018, "retMsg": "Exceeded the IP rate limit"}, "limited"),
        ("bybit_linear", 200, {"retCode": 10001, "retMsg": "params error"}, "rejected"),
        ("bybit_linear", 200, {"retCode": 10016, "retMsg": "Server error"}, "transient"),
        ("bybit_linear", 200, {"retCode": 10000, "retMsg": "Server Timeout"}, "transient"),
        ("bybit_linear", 403, PAGE, "blocked"),
        ("bybit_linear", 403, b"access too frequent", "limited"),
        ("bybit_linear", 200, {"retCode": 0, "retMsg": "OK", "result": {"list": []}}, None),
        ("hyperliquid", 500, b"null", "transient"),
        ("hyperliquid", 200, b"null", "transient"),
        ("hyperliquid", 200, b"[]", None),
        ("hyperliquid", 422, b"Failed to deserialize the JSON body", None),
        ("kraken_futures", 200, {"result": "error", "error": "apiLimitExceeded"}, "limited"),
        ("kraken_futures", 200, {"result": "error", "error": "Unavailable"}, "transient"),
        ("kraken_futures", 200, {"result": "error", "error": "contractNotFound"}, "rejected"),
        ("kraken_futures", 200, {"result": "error"}, "rejected"),
        ("kraken_futures", 200, {"result": "success", "rates": []}, None),
        ("kraken_futures", 200, {"result": {"timestamp": [], "data": []}, "errors": []}, None),
        ("kraken_futures", 200, {"candles": [], "more_candles": False}, None),
    ],
)
def test_what_a_body_says(name: str, status: int, body: object, kind: str | None) -> None:
    said = get_source(name).error(status, body if isinstance(body, bytes) else json.dumps(body).encode())
    assert (said.kind if said else None) == kind


def test_the_perpetuals_of_a_list() -> None:
    """What is dated, inverse or an index is not asked for."""
    dataset = get_source("kraken_futures").endpoint("instruments")
    rows = [
        {"symbol": "PF_XBTUSD", "type": "flexible_futures", "tradeable": True, "pair": "XBT:USD"},
        {"symbol": "PF_ETHUSD", "type": "flexible_futures", "tradeable": True, "pair": "ETH:USD"},
        {"symbol": "PI_XBTUSD", "type": "futures_inverse", "tradeable": True, "pair": "XBT:USD"},
        {
            "symbol": "FF_XBTUSD_251226",
            "type": "flexible_futures",
            "tradeable": True,
            "pair": "XBT:USD",
            "lastTradingTime": "2025-12-26T08:00:00Z",
        },
        {"symbol": "in_xbtusd", "type": "spot index", "tradeable": False},
    ]
    found = get_source("kraken_futures").parse_instruments(dataset.read(json.dumps({"instruments": rows}).encode()))  # type: ignore[misc]
    assert [(i.symbol, i.base_asset) for i in found] == [("PF_XBTUSD", "BTC"), ("PF_ETHUSD", "ETH")]


def test_contexts_that_are_not_aligned_are_refused() -> None:
    dataset = get_source("hyperliquid").endpoint("contexts")
    page = dataset.read(b'[{"universe":[{"name":"BTC","szDecimals":5},{"name":"ETH","szDecimals":4}]},[{"markPx":"1"}]]')
    with pytest.raises(ValueError, match="aligned"):
        dataset.rows(page)


def test_kraken_open_interest_as_rows_or_columns() -> None:
    dataset = get_source("kraken_futures").endpoint("open_interest")

    def rows(data: object, stamps: object = (1700000000, 1700003600)) -> list[tuple[float, ...]]:
        page = dataset.read(json.dumps({"result": {"timestamp": stamps, "data": data}, "errors": []}).encode())
        return [(r.timestamp, r.open, r.high, r.low, r.close) for r in dataset.rows(page)]

    expected = [(1700000000000, 1.0, 3.0, 0.5, 2.0), (1700003600000, 2.0, 2.5, 1.5, 1.75)]
    assert rows([[1, 3, 0.5, 2], [2, 2.5, 1.5, 1.75]]) == expected
    assert rows([["1", "3", "0.5", "2"], ["2", "2.5", "1.5", "1.75"]]) == expected
    assert rows([[1, 2], [3, 2.5], [0.5, 1.5], [2, 1.75]]) == expected
    with pytest.raises(ValueError, match="2 time stamps but 1 rows"):
        rows([[1, 3, 0.5, 2]])


def test_kraken_liquidations_are_told_by_the_takers_order() -> None:
    from test_requests import execution

    dataset = get_source("kraken_futures").endpoint("liquidations")
    elements = [
        execution(1, 1700000000000),
        execution(2, 1700000000001, "PartialLiquidation"),
        execution(3, 1700000000002, "liquidation"),
    ]
    page = dataset.read(json.dumps({"elements": elements}).encode())
    assert [(r.uid, r.direction, r.order_type) for r in dataset.rows(page)] == [
        ("u2", "Sell", "PartialLiquidation"),
        ("u3", "Sell", "liquidation"),
    ]
