"""CoinAPI, Kaiko and Amberdata, by what their pages say: a second source for the venues named, in the venues' own units."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest

from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served
from pipelines.clock import Clock
from pipelines.fetch import fetch
from pipelines.load import load
from pipelines.run import EmulatorInfo, Run, resolve_window_and_clock
from pipelines.settings import Settings
from pipelines.source import Instrument, Source, VenueProblem
from pipelines.sources import amberdata, coinapi, get_source, kaiko
from tests.sources.kit import NOW, WINDOW, store_rows

VENDORS = ("coinapi", "kaiko", "amberdata")
DAYS = "2026-11-20T00%3A00%3A00Z", "2026-11-22T00%3A00%3A00Z"


def named(vendor: Any, venue: str = "binance") -> Source:
    [of], lines = vendor.expand_multi_venue((venue,), "live")
    assert not lines and of.venue == venue
    return of


def asked(of: Source, symbol: str) -> dict[str, list[str]]:
    """Path and parameters by dataset."""
    return {
        d.name: [str(httpx.URL(of.base_url + r.path, params=dict(r.params))) for r in d.plan(Instrument(symbol, ""), WINDOW)]
        for d in of.endpoints
    }


def test_the_requests_of_coinapi() -> None:
    """A hundred rows are a credit: two days of hours are one request."""
    root, symbol = "https://rest.coinapi.io/v1", "BINANCEFTS_PERP_BTC_USDT"
    span = f"time_start={DAYS[0]}&time_end={DAYS[1]}&period_id=1HRS&limit=100"
    metric = f"{root}/metrics/symbol/history?metric_id=DERIVATIVES_{{}}&symbol_id={symbol}&{span}"
    assert asked(named(coinapi), symbol) == {
        "instruments": [f"{root}/symbols?filter_exchange_id=BINANCEFTS"],
        "running_rates": [metric.format("FUNDING_RATE_CURRENT")],
        "open_interest": [metric.format("OPEN_INTEREST")],
        "candles": [f"{root}/ohlcv/{symbol}/history?{span}"],
    }


def test_the_requests_of_kaiko() -> None:
    root, where = "https://us.market-api.kaiko.io/v2/data", "exchange=binc&instrument_class=perpetual-future"
    span = f"start_time={DAYS[0]}&end_time={DAYS[1]}&interval=1h&sort=asc&page_size=1000"
    assert asked(named(kaiko), "btc-usdt") == {
        "instruments": [f"{root}/derivatives.v2/reference?{where}&page_size=1000"],
        "risk": [f"{root}/derivatives.v2/risk?{where}&instrument=btc-usdt&{span}"],
        "candles": [f"{root}/trades.v1/exchanges/binc/perpetual-future/btc-usdt/aggregations/ohlcv?{span}"],
    }


def test_the_requests_of_amberdata() -> None:
    """A day at a time: raw series are sampled often."""
    root = "https://api.amberdata.com/markets/futures"
    between = [f"startDate=2026-11-{d}T00%3A00%3A00Z&endDate=2026-11-{d + 1}T00%3A00%3A00Z" for d in (20, 21)]
    told = "timeFormat=milliseconds"
    assert asked(named(amberdata), "BTCUSDT") == {
        "instruments": [f"{root}/funding-rates/information?exchange=binance&{told}"],
        "running_rates": [f"{root}/funding-rates/BTCUSDT?exchange=binance&{span}&{told}" for span in between],
        "open_interest": [f"{root}/open-interest/BTCUSDT?exchange=binance&{span}&{told}" for span in between],
        "candles": [f"{root}/ohlcv/BTCUSDT?exchange=binance&timeInterval=hours&{span}&{told}" for span in between],
    }


OK = {"status": 200, "title": "OK", "description": "Successful request", "payload": {"metadata": {"next": ""}, "data": []}}


@pytest.mark.parametrize(
    ("error", "status", "body", "kind"),
    [
        (coinapi.error, 401, {"error": "Invalid API key"}, "key"),
        (coinapi.error, 429, {"error": "Too many requests"}, "limited"),
        (coinapi.error, 550, {"error": "No data"}, "rejected"),
        (coinapi.error, 500, {"error": "Server"}, "transient"),
        (coinapi.error, 200, [], None),
        (kaiko.error, 401, {"message": "Unauthorized"}, "key"),
        (kaiko.error, 403, {"message": "not subscribed"}, "key"),
        (kaiko.error, 429, {"message": "slow"}, "limited"),
        (kaiko.error, 200, {"result": "error", "message": "wrong"}, "rejected"),
        (kaiko.error, 200, {"result": "success", "data": []}, None),
        (amberdata.error, 200, {**OK, "status": 401, "title": "UNAUTHORIZED"}, "key"),
        (amberdata.error, 200, {**OK, "title": "PARTIAL"}, "rejected"),
        (amberdata.error, 429, {"message": "Too Many Requests"}, "limited"),
        (amberdata.error, 200, OK, None),
    ],
)
def test_errors_by_kind(error: Callable[[int, bytes], VenueProblem | None], status: int, body: Any, kind: str | None) -> None:
    said = error(status, json.dumps(body).encode())
    assert (said.kind if said else None) == kind


def test_the_documented_row_of_kaiko() -> None:
    """The one that the official page shows: decimal texts, the interval's start."""
    row = {"timestamp": 1651141020000, "24h_volume": "10428503", "open_interest": "1084816"}
    row |= {"funding_rate": "-0.0001225804461251", "predicted_funding_rate": "-0.0000652655998942"}
    of = kaiko.SOURCE.endpoint("risk")
    [found] = of.rows(of.read(json.dumps({"data": [row], "result": "success", "next_url": None}).encode()))
    assert (found.time, found.open_interest, found.funding_rate) == (1651141020000, 1084816.0, -0.0001225804461251)
    assert set(row) - {"24h_volume"} <= {"timestamp", "open_interest", "funding_rate", "predicted_funding_rate"}


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
    assert (
        "kaiko is left out: set KAIKO_API_KEY to have instruments, running_rates, open_interest, candles, references of kaiko"
        in lines
    )
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
        held = store.open_interest("bybit", coin)
        wanted = [(at, size * 2) for at, size, _ in store_rows(held) if at > WINDOW.start and size == size]
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


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("coinapi/v1/symbols?filter_exchange_id=BINANCEFTS", 401),
        ("kaiko/v2/data/derivatives.v2/reference?exchange=binc", 401),
        ("amberdata/markets/futures/funding-rates/information?exchange=binance", 401),
    ],
)
def test_the_emulator_wants_a_key(emulator: Served, url: str, status: int) -> None:
    assert httpx.get(f"{emulator.url}/{url}").status_code == status


def test_a_day_of_amberdata_at_most(emulator: Served) -> None:
    params: dict[str, str] = {"exchange": "binance", "timeFormat": "milliseconds", "startDate": "2026-11-19T00:00:00Z"}
    url = f"{emulator.url}/amberdata/markets/futures/ohlcv/BTCUSDT"
    said = httpx.get(url, params=params | {"endDate": "2026-11-20T01:00:00Z"}, headers={"x-api-key": "emulator"}).json()
    assert said["title"] == "BAD REQUEST"
    rows = httpx.get(url, params=params | {"endDate": "2026-11-20T00:00:00Z"}, headers={"x-api-key": "emulator"}).json()
    stamps = [row["exchangeTimestamp"] for row in rows["payload"]["data"]]
    assert len(stamps) == 24 and stamps[1] - stamps[0] == MS_HOUR
