"""Kraken Futures' traps: what is a perpetual, pages that say that they were cut, open interest as rows or columns, executions."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import pytest

from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served, serve
from pipelines.source import Instrument, Request
from pipelines.sources.kraken_futures import SOURCE
from pipelines.windows import Window
from tests.sources.kit import DAY, NOW, ask, next_request, store_rows

BITCOIN = Instrument("PF_XBTUSD", "BTC")
#: 2025-10-10 and 2025-10-11.
TWO_DAYS = Window(1_760_054_400_000, 1_760_227_200_000)
SHOWN = Window(NOW - 120 * DAY, NOW + 1)


def get(emulator: Served, path: str) -> Any:
    return ask(emulator, "kraken_futures", path).json()


def first_request(endpoint: str) -> Request:
    [request] = SOURCE.endpoint(endpoint).plan(BITCOIN, TWO_DAYS)
    return request


def test_the_perpetuals_of_a_list() -> None:
    """What is dated, inverse or an index is not asked for."""
    rows = [
        {"symbol": "PF_XBTUSD", "type": "flexible_futures", "tradeable": True, "pair": "XBT:USD"},
        {"symbol": "PF_ETHUSD", "type": "flexible_futures", "tradeable": True, "pair": "ETH:USD"},
        {"symbol": "PI_XBTUSD", "type": "futures_inverse", "tradeable": True, "pair": "XBT:USD"},
        {"symbol": "FF_XBTUSD_251226", "type": "flexible_futures", "tradeable": True, "pair": "XBT:USD"}
        | {"lastTradingTime": "2025-12-26T08:00:00Z"},
        {"symbol": "in_xbtusd", "type": "spot index", "tradeable": False},
    ]
    assert SOURCE.parse_instruments
    page = SOURCE.endpoint("instruments").read(json.dumps({"instruments": rows}).encode())
    assert SOURCE.parse_instruments(page) == [Instrument("PF_XBTUSD", "BTC"), Instrument("PF_ETHUSD", "ETH")]


def test_a_page_that_was_cut_is_followed_by_the_rest_of_its_window() -> None:
    first, bar = first_request("candles"), {"time": 1_760_058_000_000, "open": "1", "high": "1", "low": "1", "close": "1"}
    second = next_request("kraken_futures", "candles", first, {"candles": [bar], "more_candles": True})
    rest = Window(1_760_061_600_000, TWO_DAYS.end)
    assert second == replace(first, params={"from": 1_760_061_600, "to": 1_760_227_199}, window=rest)
    assert next_request("kraken_futures", "candles", first, {"candles": [bar], "more_candles": False}) is None

    first, points = first_request("open_interest"), {"timestamp": [1_760_054_400, 1_760_058_000]}
    points |= {"data": [[1, 2, 0.5, 1.5], [1, 1, 1, 1]]}
    second = next_request("kraken_futures", "open_interest", first, {"result": {**points, "more": True}, "errors": []})
    assert second and second.params == {"since": 1_760_061_600, "to": 1_760_227_199, "interval": 3600}
    assert next_request("kraken_futures", "open_interest", first, {"result": {**points, "more": False}, "errors": []}) is None


def test_open_interest_comes_as_rows_or_as_columns() -> None:
    endpoint = SOURCE.endpoint("open_interest")

    def rows(data: object) -> list[tuple[float, ...]]:
        body = {"result": {"timestamp": [1_700_000_000, 1_700_003_600], "data": data}, "errors": []}
        return [(r.timestamp, r.open, r.high, r.low, r.close) for r in endpoint.rows(endpoint.read(json.dumps(body).encode()))]

    expected = [(1_700_000_000_000, 1.0, 3.0, 0.5, 2.0), (1_700_003_600_000, 2.0, 2.5, 1.5, 1.75)]
    assert rows([[1, 3, 0.5, 2], [2, 2.5, 1.5, 1.75]]) == expected
    assert rows([["1", "3", "0.5", "2"], ["2", "2.5", "1.5", "1.75"]]) == expected
    assert rows([[1, 2], [3, 2.5], [0.5, 1.5], [2, 1.75]]) == expected
    with pytest.raises(ValueError, match="2 time stamps but 1 rows"):
        rows([[1, 3, 0.5, 2]])


# --- executions -------------------------------------------------------------------------------------------------------------


def execution(number: int, ms: int, order: str = "Market") -> dict[str, Any]:
    taker = {"direction": "Sell", "quantity": "1", "orderType": order}
    values = {"uid": f"u{number}", "timestamp": ms, "price": "2", "quantity": "1", "markPrice": "2", "usdValue": "2"}
    event = {"Execution": {"execution": {**values, "takerOrder": taker}}}
    return {"uid": f"u{number}", "timestamp": ms, "event": event}


def test_liquidations_are_known_by_the_takers_order() -> None:
    endpoint = SOURCE.endpoint("liquidations")
    orders = ("Market", "PartialLiquidation", "liquidation")
    elements = [execution(n, TWO_DAYS.start + n, order) for n, order in enumerate(orders, 1)]
    page = endpoint.read(json.dumps({"elements": elements}).encode())
    assert [(r.uid, r.direction, r.order_type) for r in endpoint.rows(page)] == [
        ("u2", "Sell", "PartialLiquidation"),
        ("u3", "Sell", "liquidation"),
    ]


def test_executions_go_on_by_the_token_that_the_venue_reads(emulator: Served) -> None:
    """`continuation_token` in a request (Kraken's page, python-kraken-sdk), `continuationToken` in an answer.

    Another spelling is ignored: it brings page one again.
    """
    [first] = SOURCE.endpoint("liquidations").plan(BITCOIN, Window(NOW - 100 * DAY, NOW))
    path = f"{first.path}?{urlencode(first.params)}"
    page = get(emulator, path)
    assert get(emulator, f"{path}&continuationToken={page['continuationToken']}") == page
    second = next_request("kraken_futures", "liquidations", first, page)
    assert second == replace(first, params={**first.params, "continuation_token": page["continuationToken"]})
    following = get(emulator, f"{second.path}?{urlencode(second.params)}")
    assert following["elements"][0]["timestamp"] >= page["elements"][-1]["timestamp"] and following != page
    assert next_request("kraken_futures", "liquidations", first, {"elements": page["elements"]}) is None


@pytest.mark.parametrize("sort", ["asc", "desc"])
def test_liquidations_are_among_ordinary_fills(emulator: Served, store: SyntheticMarket, sort: str) -> None:
    window = Window(SHOWN.start, NOW - MS_HOUR)
    path = f"/api/history/v3/market/PF_XBTUSD/executions?since={window.start}&before={window.end}&sort={sort}&count=1000"
    page = get(emulator, path)
    elements = page["elements"]
    while token := page.get("continuationToken"):
        page = get(emulator, f"{path}&continuation_token={token}")
        elements += page["elements"]
    assert len(elements) > 2000 and len({e["uid"] for e in elements}) == len(elements)
    executions = [e["event"]["Execution"]["execution"] for e in (elements if sort == "asc" else elements[::-1])]
    times = [e["timestamp"] for e in executions]
    assert times == sorted(times)
    forced = [e for e in executions if "liquidat" in e["takerOrder"]["orderType"].lower()]
    events = list(store_rows(store.liquidations("kraken", "BTC"), window))
    assert len(forced) == len(events) < len(executions)
    assert [
        (e["timestamp"], e["takerOrder"]["direction"] == "Sell", float(e["price"]), float(e["quantity"])) for e in forced
    ] == events


def test_ccxt_reads_the_liquidations_among_the_executions(exchanges: Any, store: SyntheticMarket) -> None:
    events = list(store_rows(store.liquidations("kraken", "BTC"), Window(NOW - 30 * DAY, NOW)))[-100:]
    trades = exchanges("kraken_futures").fetch_trades("BTC/USD:USD", events[0][0], 1000, {"until": NOW})
    forced = [t for t in trades if "Liquidation" in t["info"]["takerOrder"]["orderType"]]
    assert [(t["timestamp"], t["price"], t["amount"]) for t in forced] == [(at, price, size) for at, _, price, size in events]


# --- the rest of the emulator -----------------------------------------------------------------------------------------------


def rates(served: Served, symbol: str) -> list[tuple[float, float, float]]:
    body = get(served, f"/derivatives/api/v4/historicalfundingrates?symbol={symbol}")
    return [
        (datetime.fromisoformat(r["timestamp"]).timestamp() * 1000, r["relativeFundingRate"], r["fundingRate"])
        for r in body["rates"]
    ]


def test_funding_comes_whole_up_to_8900_hours(emulator: Served, store: SyntheticMarket) -> None:
    def stored(window: Window) -> list[tuple[float, float, float]]:
        return [(at, rate, rate * mark) for at, rate, mark in store_rows(store.funding("kraken", "BTC"), window)]

    assert rates(emulator, "PF_XBTUSD") == stored(SHOWN)
    everything = stored(Window(0, NOW + 1))
    assert len(everything) > 8900
    with serve(store, as_of=NOW) as limited:
        assert rates(limited, "PF_XBTUSD") == everything[-8900:]
    with serve(store, as_of=NOW, history_limits=False) as unlimited:
        assert rates(unlimited, "PF_XBTUSD") == everything


@pytest.mark.parametrize("chart", ["mark", "spot"])
def test_price_bars_have_a_volume_of_zero_and_tell_of_more(emulator: Served, chart: str) -> None:
    pages = []
    start, more = SHOWN.start // 1000, True
    while more:
        page = get(emulator, f"/api/charts/v1/{chart}/PF_PEPEUSD/1h?from={start}&to={NOW // 1000}")
        pages.append(len(page["candles"]))
        assert {bar["volume"] for bar in page["candles"]} == {"0"}
        start, more = page["candles"][-1]["time"] // 1000 + 3600, page["more_candles"]
    assert pages == [2000, 880]


def test_open_interest_is_ohlc_between_instants(emulator: Served, store: SyntheticMarket) -> None:
    path = "/api/charts/v1/analytics/PF_SOLUSD/open-interest?interval=3600"
    result = get(emulator, f"{path}&since={SHOWN.start // 1000}&to={NOW // 1000}")["result"]
    assert (len(result["data"]), result["more"]) == (2000, True)
    rest = get(emulator, f"{path}&since={result['timestamp'][-1] + 3600}")["result"]
    stamps, data = result["timestamp"] + rest["timestamp"], result["data"] + rest["data"]
    points = list(store_rows(store.open_interest("kraken", "SOL"), SHOWN))
    assert [(t * 1000, row[0]) for t, row in zip(stamps, data, strict=True)] == [(at, size) for at, size, _ in points[:-1]]
    assert [row[3] for row in data] == [size for _, size, _ in points[1:]]
    assert all(low == min(o, c) and high == max(o, c) for o, high, low, c in data)


def test_tickers_are_absolute_and_instruments_have_their_pair(emulator: Served, exchanges: Any, store: SyntheticMarket) -> None:
    tickers = {t["symbol"]: t for t in get(emulator, "/derivatives/api/v3/tickers")["tickers"]}
    exchange = exchanges("kraken_futures")
    ccxt_rates, ccxt_tickers = exchange.fetch_funding_rates(), exchange.fetch_tickers()
    for market in exchange.markets.values():
        if not market["swap"]:
            continue
        coin, ticker = market["base"], tickers[market["id"]]
        [(_, rate, _)] = store_rows(store.funding("kraken", coin), Window(NOW, NOW + 1))
        [(_, size, _)] = store_rows(store.open_interest("kraken", coin), Window(NOW, NOW + 1))
        assert (ticker["fundingRate"], ticker["openInterest"]) == (rate * ticker["markPrice"], size)
        assert ccxt_rates[market["symbol"]]["fundingRate"] == pytest.approx(rate, rel=1e-9)
        assert float(ccxt_tickers[market["symbol"]]["info"]["openInterest"]) == size
    contracts = {i["symbol"]: i for i in get(emulator, "/derivatives/api/v3/instruments")["instruments"]}
    assert set(contracts) == set(tickers) and len(contracts) == 8
    assert (contracts["PF_XBTUSD"]["pair"], contracts["PF_XBTUSD"]["type"]) == ("BTC:USD", "flexible_futures")


def test_values_that_the_store_lacks_are_absent(bare: Served) -> None:
    funding = get(bare, "/derivatives/api/v4/historicalfundingrates?symbol=PF_TINYUSD")["rates"]
    assert funding[1] == {"timestamp": "2025-06-15T16:00:00.000Z", "relativeFundingRate": -2.5e-06}
    assert set(get(bare, "/api/charts/v1/trade/PF_TINYUSD/1h")["candles"][0]) == {"time", "close"}
    [ticker] = get(bare, "/derivatives/api/v3/tickers")["tickers"]
    assert not {"markPrice", "openInterest", "fundingRate", "fundingRatePrediction"} & set(ticker)
    assert get(bare, "/api/history/v3/market/PF_TINYUSD/executions")["elements"] == []
