"""Kraken: whole funding, charts by 2,000 bars, open interest as OHLC, liquidations among executions, errors in HTTP 200."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served, serve
from tests.infra.emulator.conftest import NOW, SINCE, ask, seen


def test_funding_comes_whole_up_to_8900_hours(emulator: Served, unlimited: Served, store: SyntheticMarket) -> None:
    path, params = "/kraken/derivatives/api/v4/historicalfundingrates", {"symbol": "PF_XBTUSD"}
    rates = ask(emulator.url + path, **params).json["rates"]
    held = seen(store.funding("kraken", "BTC"), NOW)
    assert [datetime.fromisoformat(r["timestamp"]).timestamp() * 1000 for r in rates] == held["settled_at"].tolist()
    assert [r["relativeFundingRate"] for r in rates] == held["rate"].tolist()
    assert [r["fundingRate"] for r in rates] == (held["rate"] * held["mark"]).tolist()
    whole = ask(unlimited.url + path, **params).json["rates"]
    assert len(whole) == len(seen(store.funding("kraken", "BTC"), NOW, 0)["rate"]) > 8900


def test_funding_is_cut_at_8900_rows(store: SyntheticMarket) -> None:
    with serve(store, as_of=NOW) as limited:
        rates = ask(f"{limited.url}/kraken/derivatives/api/v4/historicalfundingrates", symbol="PF_ETHUSD").json["rates"]
    assert [r["relativeFundingRate"] for r in rates] == seen(store.funding("kraken", "ETH"), NOW, 0)["rate"].tolist()[-8900:]


@pytest.mark.parametrize(("name", "kind"), [("trade", "trade"), ("mark", "mark"), ("spot", "index")])
def test_charts_page_by_2000_bars(emulator: Served, store: SyntheticMarket, name: str, kind: str) -> None:
    rows: list[dict[str, Any]] = []
    start, more = SINCE // 1000, True
    while more:
        page = ask(f"{emulator.url}/kraken/api/charts/v1/{name}/PF_PEPEUSD/1h", **{"from": start, "to": NOW // 1000}).json
        rows += page["candles"]
        assert len(page["candles"]) <= 2000
        start, more = rows[-1]["time"] // 1000 + 3600, page["more_candles"]
    held = seen(store.candles("kraken", "PEPE", kind), NOW - MS_HOUR)  # type: ignore[arg-type]
    assert [r["time"] for r in rows] == held["opened_at"].tolist()
    for field in ("open", "high", "low", "close"):
        assert [float(r[field]) for r in rows] == held[field].tolist()
    assert [float(r["volume"]) for r in rows] == (held["volume"] if kind == "trade" else 0 * held["close"]).tolist()


def test_open_interest_is_ohlc_between_instants(emulator: Served, store: SyntheticMarket) -> None:
    path = f"{emulator.url}/kraken/api/charts/v1/analytics/PF_SOLUSD/open-interest"
    result = ask(path, since=SINCE // 1000, to=NOW // 1000, interval=3600).json["result"]
    assert (len(result["data"]), result["more"]) == (2000, True)
    rest = ask(path, since=result["timestamp"][-1] + 3600, interval=3600).json["result"]
    held = seen(store.open_interest("kraken", "SOL"), NOW)
    stamps, data = result["timestamp"] + rest["timestamp"], result["data"] + rest["data"]
    assert [t * 1000 for t in stamps] == held["observed_at"].tolist()[:-1]
    assert [row[0] for row in data] == held["size"].tolist()[:-1]
    assert [row[3] for row in data] == held["size"].tolist()[1:]
    assert all(low == min(o, c) and high == max(o, c) for o, high, low, c in data)


@pytest.mark.parametrize("sort", ["asc", "desc"])
def test_liquidations_stand_among_ordinary_fills(emulator: Served, store: SyntheticMarket, sort: str) -> None:
    params = {"since": SINCE, "before": NOW - MS_HOUR, "sort": sort, "count": 1000}
    url = f"{emulator.url}/kraken/api/history/v3/market/PF_XBTUSD/executions"
    page = ask(url, **params).json
    elements = page["elements"]
    while token := page.get("continuationToken"):
        page = ask(url, **params, continuationToken=token).json
        elements += page["elements"]
    assert len(elements) > 2000 and len({e["uid"] for e in elements}) == len(elements)
    ordered = elements if sort == "asc" else elements[::-1]
    executions = [e["event"]["Execution"]["execution"] for e in ordered]
    assert [e["timestamp"] for e in executions] == sorted(e["timestamp"] for e in executions)
    forced = [e for e in executions if "liquidat" in e["takerOrder"]["orderType"].lower()]
    held = seen(store.liquidations("kraken", "BTC"), NOW - MS_HOUR - 1)
    assert len(forced) == len(held["time"]) < len(executions)
    assert [e["timestamp"] for e in forced] == held["time"].tolist()
    assert [float(e["price"]) for e in forced] == held["price"].tolist()
    assert [float(e["quantity"]) for e in forced] == held["size"].tolist()
    assert [e["takerOrder"]["direction"] == "Sell" for e in forced] == held["long"].tolist()


def test_tickers_are_absolute_and_instruments_say_what_they_are(emulator: Served, store: SyntheticMarket) -> None:
    tickers = {t["symbol"]: t for t in ask(f"{emulator.url}/kraken/derivatives/api/v3/tickers").json["tickers"]}
    rate = float(seen(store.funding("kraken", "BTC"), NOW)["rate"][-1])
    bitcoin = tickers["PF_XBTUSD"]
    assert bitcoin["fundingRate"] == rate * bitcoin["markPrice"]
    assert bitcoin["openInterest"] == seen(store.open_interest("kraken", "BTC"), NOW)["size"][-1]
    contracts = {i["symbol"]: i for i in ask(f"{emulator.url}/kraken/derivatives/api/v3/instruments").json["instruments"]}
    assert set(contracts) == set(tickers)
    assert contracts["PF_XBTUSD"]["pair"] == "BTC:USD" and contracts["PF_XBTUSD"]["type"] == "flexible_futures"


@pytest.mark.parametrize(
    "path",
    [
        "/derivatives/api/v4/historicalfundingrates?symbol=PF_NOUSD",
        "/api/charts/v1/trade/PF_NOUSD/1h",
        "/api/charts/v1/analytics/PF_XBTUSD/open-interest",
    ],
)
def test_errors_come_with_http_200(emulator: Served, path: str) -> None:
    said = ask(emulator.url + "/kraken" + path)
    assert (said.status, said.json["result"]) == (200, "error")


def test_what_is_not_held_is_absent(bare: Served) -> None:
    rates = ask(f"{bare.url}/kraken/derivatives/api/v4/historicalfundingrates", symbol="PF_TINYUSD").json["rates"]
    assert rates[1] == {"timestamp": "2025-06-15T16:00:00.000Z", "relativeFundingRate": -2.5e-06}
    candles = ask(f"{bare.url}/kraken/api/charts/v1/trade/PF_TINYUSD/1h").json["candles"]
    assert set(candles[0]) == {"time", "close"}
    ticker = ask(f"{bare.url}/kraken/derivatives/api/v3/tickers").json["tickers"][0]
    assert not {"markPrice", "openInterest", "fundingRate", "fundingRatePrediction"} & set(ticker)
    assert ask(f"{bare.url}/kraken/api/history/v3/market/PF_TINYUSD/executions").json["elements"] == []
