"""CoinAPI, Kaiko and Amberdata: each a second source for the venues that the settings name, in the venues' own units."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import duckdb
import pytest

from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served
from pipelines.clock import Clock
from pipelines.fetch import fetch
from pipelines.load import load
from pipelines.run import EmulatorInfo, Run, resolve_window_and_clock
from pipelines.settings import Settings
from pipelines.source import Instrument, Source
from pipelines.sources import amberdata, coinapi, get_source, kaiko
from tests.sources.kit import NOW, WINDOW, store_rows

VENDORS = ("coinapi", "kaiko", "amberdata")


def named(vendor: Any, venue: str = "binance") -> Source:
    [source], lines = vendor.expand_multi_venue((venue,), "live")
    assert not lines and source.venue == venue
    return source


@pytest.mark.parametrize(
    ("vendor", "symbol", "urls"),
    [
        (coinapi, "BINANCEFTS_PERP_BTC_USDT", ["/v1/symbols?filter_exchange_id=BINANCEFTS"]),
        (
            kaiko,
            "btc-usdt",
            [
                "/v2/data/derivatives.v2/reference?exchange=binc&",
                "/v2/data/derivatives.v2/risk?exchange=binc&",
                "/v2/data/trades.v1/exchanges/binc/perpetual-future/btc-usdt/aggregations/ohlcv?",
            ],
        ),
        (
            amberdata,
            "BTCUSDT",
            [
                "/markets/futures/funding-rates/information?exchange=binance&",
                "/markets/futures/funding-rates/BTCUSDT?exchange=binance&",
                "/markets/futures/open-interest/BTCUSDT?exchange=binance&",
                "/markets/futures/ohlcv/BTCUSDT?exchange=binance&",
            ],
        ),
    ],
)
def test_the_requests_of_a_named_venue_have_the_vendors_code(vendor: Any, symbol: str, urls: list[str]) -> None:
    endpoints = named(vendor).endpoints[: len(urls)]
    for endpoint, url in zip(endpoints, urls, strict=True):
        for request in endpoint.plan(Instrument(symbol, ""), WINDOW):
            assert f"{request.path}?{urlencode(request.params)}".startswith(url)


def test_amberdatas_instruments_of_htx_have_a_hyphen() -> None:
    """As in the tests of amberdata_rest 0.3.4."""
    rows = [{"instrument": "BTC-USDT"}, {"instrument": "1000PEPEUSDT"}, {"instrument": "BTC-USD"}]
    page = amberdata.SOURCE.endpoint("instruments").read(json.dumps({**OK, "payload": {"data": rows}}).encode())
    assert amberdata.instruments(page) == [Instrument("BTC-USDT", "BTC"), Instrument("1000PEPEUSDT", "PEPE")]


OK = {"status": 200, "title": "OK", "description": "Successful request", "payload": {"metadata": {"next": ""}, "data": []}}


@pytest.mark.parametrize(("vendor", "dataset"), [(kaiko, "risk"), (amberdata, "open_interest")])
def test_the_next_page_is_asked_of_the_host_that_we_know(vendor: Any, dataset: str) -> None:
    """A URL in an answer decides where on that host, and nothing else: the key follows it nowhere."""
    of = named(vendor).endpoint(dataset)
    request = next(iter(of.plan(Instrument("BTCUSDT", ""), WINDOW)))
    there = "https://elsewhere.example/v2/next?a=1&continuation_token=x%2By"
    body = {"data": [], "next_url": there, **OK, "payload": {"metadata": {"next": there}, "data": []}}
    page = of.read(json.dumps(body).encode())
    following = of.next_page(request, page, of.rows(page))
    assert following and following.path == "/v2/next" and following.params == {"a": "1", "continuation_token": "x+y"}
    last = of.read(json.dumps({"data": [], **OK}).encode())
    assert of.next_page(request, last, of.rows(last)) is None


def test_vendors_are_asked_by_name_and_with_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("COINAPI_KEY", "KAIKO_API_KEY", "AMBERDATA_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    window, clock = resolve_window_and_clock(Settings())
    live = Settings(mode="live", home=tmp_path, venues=["core"], vendor_venues=["binance", "aevo"])
    found, lines = Run.begin(live, window, clock).chosen_sources()
    assert not {s.name for s in found} & set(VENDORS)
    assert "kaiko is left out: set KAIKO_API_KEY to have instruments, running_rates, open_interest, candles of kaiko" in lines
    monkeypatch.setenv("KAIKO_API_KEY", "x")
    found, lines = Run.begin(live, window, clock).chosen_sources()
    assert [(s.name, s.venue) for s in found if s.name == "kaiko"] == [("kaiko", "binance")]
    assert "kaiko can't be read for aevo; it can for binance, bybit, okx" in lines
    core = live.model_copy(update={"vendor_venues": []})
    assert not any("kaiko" in line for line in Run.begin(core, window, clock).chosen_sources()[1])


TIMES = {"coinapi": '"time" + 3600000', "kaiko": '"time" + 3600000', "amberdata": '"time"'}
HELD = {"coinapi": ("open_interest", "last"), "kaiko": ("risk", "open_interest"), "amberdata": ("open_interest", "value")}
NAMES = {"coinapi": "BYBIT_PERP_{}_USDT", "kaiko": "{}-usdt", "amberdata": "{}USDT"}


@pytest.mark.parametrize("name", VENDORS)
def test_the_raw_tables_hold_the_store(name: str, emulator: Served, store: SyntheticMarket, tmp_path: Path) -> None:
    """Bars as the venue has them; open interest of Bybit counts both sides here too."""
    settings = Settings(home=tmp_path, venues=["all"], assets=["BTC", "PEPE"], limits_scale=1e6, timeout_seconds=5)
    run = Run.begin(settings, WINDOW, Clock(NOW), EmulatorInfo(emulator.url, "synthetic; seed=7"))
    of, lines = settings.expand_multi_venue(name)
    assert [s.venue for s in of] == ["binance", "bybit"] and not lines
    results = asyncio.run(fetch(run, list(of)))
    for result in results:
        assert not result.failures and not result.quarantined and not result.warnings
        load(run, get_source(name), result.entries)
    for coin in ("BTC", "1000PEPE"):
        symbol = NAMES[name].format(coin.lower() if name == "kaiko" else coin)
        stored = store.open_interest("bybit", coin)
        wanted = [(at, size * 2) for at, size, _ in store_rows(stored) if at > WINDOW.start and size == size]
        table, value = HELD[name]
        query = f"select {TIMES[name]} as at, {value} from raw.{name}__{table} where symbol = ? and venue = 'bybit' order by 1"
        with duckdb.connect(str(run.settings.database), read_only=True) as db:
            found = db.execute(query, [symbol]).fetchall()
            assert [row for row in found if row[0] != NOW and row[0] > WINDOW.start] == wanted and len(wanted) > 40
            close = {"coinapi": "price_close", "kaiko": "close", "amberdata": "close"}[name]
            bars = db.execute(
                f'select "time", {close} from raw.{name}__candles where symbol = ? and venue = ? order by 1', [symbol, "bybit"]
            ).fetchall()
        assert bars == [(row[0], row[4]) for row in store_rows(store.candles("bybit", coin, "trade"))] and len(bars) == 48
