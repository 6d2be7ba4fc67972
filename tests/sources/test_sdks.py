"""The venues' own clients, unmodified but for the host: what they read from the emulator is what its store holds.

Dune's is in `test_dune.py`; ccxt reads the exchanges in `test_sources.py`. Each client is imported by the test that uses it: all
together take seconds, which every worker would pay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served
from pipelines.windows import Window
from tests.sources.kit import DAY, NOW, WINDOW, store_rows

START, LAST = WINDOW.start, WINDOW.end - 1
#: Instruments listed, and of bitcoin the settled rates and closes of two days, by time.
Read = tuple[int, dict[int, float], dict[int, float]]


def by_time(rows: Any, time: Callable[[Any], Any], value: Callable[[Any], Any]) -> dict[int, float]:
    return {int(time(row)): float(value(row)) for row in rows}


def usdm(url: str) -> Read:
    from binance.um_futures import UMFutures

    return binance(UMFutures(base_url=f"{url}/binance"), "BTCUSDT")


def coinm(url: str) -> Read:
    from binance.cm_futures import CMFutures

    return binance(CMFutures(base_url=f"{url}/binance_coinm"), "BTCUSD_PERP")


def binance(client: Any, symbol: str) -> Read:
    rates = client.funding_rate(symbol, startTime=START, endTime=LAST, limit=1000)
    bars = client.klines(symbol, "1h", startTime=START, endTime=LAST, limit=100)
    listed = [x for x in client.exchange_info()["symbols"] if x["contractType"] == "PERPETUAL"]
    on_grid = by_time(rates, lambda r: r["fundingTime"] // MS_HOUR * MS_HOUR, lambda r: r["fundingRate"])
    return len(listed), on_grid, by_time(bars, lambda r: r[0], lambda r: r[4])


def bybit(url: str, category: str, symbol: str) -> Read:
    from pybit.unified_trading import HTTP

    client = HTTP()
    client.endpoint = f"{url}/bybit"
    rates = client.get_funding_rate_history(category=category, symbol=symbol, startTime=START, endTime=LAST)["result"]["list"]
    bars = client.get_kline(category=category, symbol=symbol, interval="60", start=START, end=LAST)["result"]["list"]
    listed = [x for x in client.get_instruments_info(category=category)["result"]["list"] if "Perpetual" in x["contractType"]]
    rated = by_time(rates, lambda r: r["fundingRateTimestamp"], lambda r: r["fundingRate"])
    return len(listed), rated, by_time(bars, lambda r: r[0], lambda r: r[4])


def gate(url: str) -> Read:
    import gate_api

    client = gate_api.FuturesApi(gate_api.ApiClient(gate_api.Configuration(host=f"{url}/gate/api/v4")))
    span = {"_from": START // 1000, "to": LAST // 1000}
    rates = client.list_futures_funding_rate_history("usdt", "BTC_USDT", **span)
    bars = client.list_futures_candlesticks("usdt", "BTC_USDT", interval="1h", **span)
    rated = by_time(rates, lambda r: r.t * 1000, lambda r: r.r)
    return len(client.list_futures_contracts("usdt")), rated, by_time(bars, lambda r: r.t * 1000, lambda r: r.c)


def okx_(url: str) -> Read:
    import okx.MarketData
    import okx.PublicData

    public = okx.PublicData.PublicAPI(flag="0", domain=f"{url}/okx")
    market = okx.MarketData.MarketAPI(flag="0", domain=f"{url}/okx")
    bounds = {"instId": "BTC-USDT-SWAP", "before": str(START - 1), "after": str(LAST + 1)}
    rates = public.funding_rate_history(**bounds)["data"]
    bars = market.get_history_candlesticks(**bounds, bar="1H", limit="100")["data"]
    rated = by_time(rates, lambda r: r["fundingTime"], lambda r: r["realizedRate"])
    return len(public.get_instruments(instType="SWAP")["data"]), rated, by_time(bars, lambda r: r[0], lambda r: r[4])


def kucoin(url: str) -> Read:
    import kucoin_universal_sdk.generate.futures.fundingfees as kucoin_fees
    import kucoin_universal_sdk.generate.futures.market as kucoin_market
    from kucoin_universal_sdk.api import DefaultClient
    from kucoin_universal_sdk.model import ClientOptionBuilder, TransportOptionBuilder

    options = ClientOptionBuilder().set_key("").set_secret("").set_passphrase("").set_futures_endpoint(f"{url}/kucoin")
    options = options.set_spot_endpoint(f"{url}/kucoin").set_broker_endpoint(f"{url}/kucoin")
    made = options.set_transport_option(TransportOptionBuilder().build()).build()
    service = DefaultClient(made).rest_service().get_futures_service()
    market, fees = service.get_market_api(), service.get_funding_fees_api()
    asked = kucoin_fees.GetPublicFundingHistoryReqBuilder().set_symbol("XBTUSDTM").set_from_(START).set_to(LAST).build()
    bars = kucoin_market.GetKlinesReq.from_dict({"symbol": "XBTUSDTM", "granularity": 60, "from": START, "to": LAST})
    rated = by_time(fees.get_public_funding_history(asked).data, lambda r: r.timepoint, lambda r: r.funding_rate)
    return len(market.get_all_symbols().data), rated, by_time(market.get_klines(bars).data, lambda r: r[0], lambda r: r[4])


def hyperliquid(url: str) -> Read:
    from hyperliquid.info import Info

    client = Info(f"{url}/hyperliquid", skip_ws=True)
    rates = by_time(client.funding_history("BTC", START, LAST), lambda r: r["time"], lambda r: r["fundingRate"])
    bars = client.candles_snapshot("BTC", "1h", START, LAST)
    return len(client.meta()["universe"]), rates, by_time(bars, lambda r: r["t"], lambda r: r["c"])


#: By market of the store: the client's reading of it.
READ: dict[str, Callable[[str], Read]] = {
    "binance": usdm,
    "binance_coinm": coinm,
    "bybit": lambda url: bybit(url, "linear", "BTCUSDT"),
    "bybit_inverse": lambda url: bybit(url, "inverse", "BTCUSD"),
    "gate": gate,
    "okx": okx_,
    "kucoin": kucoin,
    "hyperliquid": hyperliquid,
}


@pytest.mark.parametrize("name", READ)
def test_a_venues_own_client_reads_the_store(name: str, emulator: Served, store: SyntheticMarket) -> None:
    listed, rates, closes = READ[name](emulator.url)
    assert listed == len([x for x in store.listings(name) if x.listed_at <= NOW])
    wanted = {row[0]: row[4] for row in store_rows(store.candles(name, "BTC", "trade"))}
    assert closes == wanted and len(closes) == 48
    settled = {row[0]: row[1] for row in store_rows(store.funding(name, "BTC"))}
    assert {at // MS_HOUR * MS_HOUR: rate for at, rate in rates.items()} == {
        at // MS_HOUR * MS_HOUR: rate for at, rate in settled.items()
    } and len(rates) == 2 * DAY // ((1 if name == "hyperliquid" else 8) * MS_HOUR)


def test_hyperliquids_own_client_reads_the_present(emulator: Served, store: SyntheticMarket) -> None:
    from hyperliquid.info import Info

    client, coins = Info(f"{emulator.url}/hyperliquid", skip_ws=True), [x.listed for x in store.listings("hyperliquid")]
    meta, contexts = client.meta_and_asset_ctxs()
    assert [coin["name"] for coin in meta["universe"]] == coins and set(client.all_mids()) == set(coins)
    points = [row for coin in coins for row in store_rows(store.open_interest("hyperliquid", coin), Window(NOW, NOW + 1))]
    assert [float(context["openInterest"]) for context in contexts] == [size for _, size, _ in points]


def test_coingeckos_own_client_reads_the_emulator(emulator: Served, store: SyntheticMarket) -> None:
    import coingecko_sdk

    client = coingecko_sdk.Coingecko(demo_api_key="emulator", environment="demo", base_url=f"{emulator.url}/coingecko/api/v3")
    [ticker] = [t for t in client.derivatives.get() if (t.market, t.symbol) == ("Binance (Futures)", "BTCUSDT")]
    stored = store.open_interest("binance", "BTC")
    assert stored is not None and ticker.open_interest is not None
    at = int((stored.observed_at == NOW).argmax())
    assert ticker.open_interest == pytest.approx(float(stored.size[at] * stored.mark[at]))
    rate = store.running_rate("binance", "BTC", NOW)
    assert rate is not None and ticker.funding_rate == pytest.approx(rate * 100), "percent"
