"""ccxt, unmodified but for its hosts, reads the four venues from the emulator, page by page, and its numbers are the store's."""

from __future__ import annotations

from typing import Any

import pytest

from infra.emulator.store import MS_HOUR, Listing
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served
from tests.infra.emulator.conftest import NOW, SINCE, seen
from tests.sources.kit import redirected

ccxt = pytest.importorskip("ccxt")
DAY = 24 * MS_HOUR
HOSTS = {
    "binanceusdm": ("https://fapi.binance.com", "/binance"),
    "bybit": ("https://api.{hostname}", "/bybit"),
    "hyperliquid": ("https://api.{hostname}", "/hyperliquid"),
    "krakenfutures": ("https://futures.kraken.com", "/kraken"),
}
VENUES = {"binanceusdm": "binance", "bybit": "bybit", "hyperliquid": "hyperliquid", "krakenfutures": "kraken"}


@pytest.fixture(scope="module")
def exchanges(emulator: Served) -> dict[str, Any]:
    found = {}
    for name, (host, prefix) in HOSTS.items():
        exchange = getattr(ccxt, name)({"enableRateLimit": False})
        exchange.urls["api"] = redirected(exchange.urls["api"], host, emulator.url + prefix)
        exchange.milliseconds = lambda: NOW  # ccxt asks its clock for the ends of windows
        exchange.load_markets()
        found[name] = exchange
    return found


@pytest.fixture(params=list(HOSTS))
def exchange(request: pytest.FixtureRequest, exchanges: dict[str, Any]) -> Any:
    return exchanges[request.param]


def markets(exchange: Any, store: SyntheticMarket) -> list[tuple[Listing, Any]]:
    """Each listing of the store with ccxt's market of it."""
    ids = {m["id"]: m for m in exchange.markets.values() if m["swap"]}
    venue = VENUES[exchange.id]

    def native(x: Listing) -> str:
        if venue == "kraken":
            return f"PF_{'XBT' if x.listed == 'BTC' else x.listed}USD"
        return x.listed + "USDT"

    listings = store.listings(venue)
    if venue == "hyperliquid":
        return [(x, ids[str(n)]) for n, x in enumerate(listings)]
    return [(x, ids[native(x)]) for x in listings]


def test_instruments(exchange: Any, store: SyntheticMarket) -> None:
    found = markets(exchange, store)
    assert len(found) == 8 == len([m for m in exchange.markets.values() if m["swap"] and m["linear"]])
    for listing, market in found:
        assert market["base"] in (listing.listed, listing.listed.upper(), listing.base)
        assert market["linear"] and market["active"] and market["contractSize"] == 1
        assert market["quote"] == (
            "USDT" if exchange.id in ("binanceusdm", "bybit") else "USDC" if exchange.id == "hyperliquid" else "USD"
        )


def paged(fetch: Any, since: int, key: Any) -> list[Any]:
    """Forward pages until one brings nothing new."""
    rows: list[Any] = []
    while page := [row for row in fetch(since) if not rows or key(row) > key(rows[-1])]:
        rows += page
        since = key(page[-1]) + 1
    return rows


@pytest.mark.parametrize("coin", ["BTC", "HYPE"])
def test_funding_history(exchange: Any, store: SyntheticMarket, coin: str) -> None:
    listing, market = next(x for x in markets(exchange, store) if x[0].base == coin)
    limit = {"binanceusdm": 100, "bybit": 50, "hyperliquid": 500, "krakenfutures": None}[exchange.id]
    # From between two settlements: for Bybit ccxt asks for [since, since + limit intervals], a row more than the limit otherwise.
    since = SINCE - MS_HOUR // 2
    rows = paged(
        lambda since: exchange.fetch_funding_rate_history(market["symbol"], since, limit), since, lambda r: r["timestamp"]
    )
    held = seen(store.funding(VENUES[exchange.id], listing.listed), NOW)
    assert len(rows) > (limit or 1000)
    assert [r["timestamp"] for r in rows] == held["settled_at"].tolist()
    assert [r["fundingRate"] for r in rows] == held["rate"].tolist()


@pytest.mark.parametrize("coin", ["BTC", "PEPE"])
def test_candles(exchange: Any, store: SyntheticMarket, coin: str) -> None:
    listing, market = next(x for x in markets(exchange, store) if x[0].base == coin)
    over = NOW - MS_HOUR

    def fetch(since: int) -> Any:
        if since > over:
            return []
        return exchange.fetch_ohlcv(market["symbol"], "1h", since, 1000)

    rows = [r for r in paged(fetch, SINCE, lambda r: r[0]) if r[0] <= over]
    held = seen(store.candles(VENUES[exchange.id], listing.listed, "trade"), over)
    assert len(rows) > 2800
    for at, name in enumerate(("opened_at", "open", "high", "low", "close", "volume")):
        assert [r[at] for r in rows] == held[name].tolist()


@pytest.mark.parametrize("name", ["binanceusdm", "bybit", "krakenfutures"])
@pytest.mark.parametrize("kind", ["mark", "index"])
def test_price_candles(exchanges: dict[str, Any], store: SyntheticMarket, name: str, kind: str) -> None:
    exchange = exchanges[name]
    listing, market = markets(exchange, store)[1]
    rows = exchange.fetch_ohlcv(market["symbol"], "1h", NOW - 10 * DAY, 200, {"price": kind})
    held = seen(store.candles(VENUES[name], listing.listed, kind), NOW, NOW - 10 * DAY)  # type: ignore[arg-type]
    for at, column in enumerate(("opened_at", "open", "high", "low", "close")):
        assert [r[at] for r in rows] == held[column].tolist()[:200]


def test_binance_open_interest(exchanges: dict[str, Any], store: SyntheticMarket) -> None:
    exchange = exchanges["binanceusdm"]
    listing, market = markets(exchange, store)[0]
    held = seen(store.open_interest("binance", listing.listed), NOW, NOW - 30 * DAY)
    rows = paged(
        lambda since: exchange.fetch_open_interest_history(market["symbol"], "1h", since, 400),
        NOW - 30 * DAY,
        lambda r: r["timestamp"],
    )
    assert [r["timestamp"] for r in rows] == held["observed_at"].tolist()
    assert [r["openInterestAmount"] for r in rows] == held["size"].tolist()
    assert [r["openInterestValue"] for r in rows] == (held["size"] * held["mark"]).tolist()
    assert exchange.fetch_open_interest(market["symbol"])["openInterestAmount"] == held["size"][-1]


def test_bybit_open_interest_counts_both_sides(exchanges: dict[str, Any], store: SyntheticMarket) -> None:
    exchange = exchanges["bybit"]
    listing, market = markets(exchange, store)[0]
    held = seen(store.open_interest("bybit", listing.listed), NOW, NOW - 20 * DAY)
    rows: list[Any] = []
    end = NOW
    while len(rows) < len(held["size"]):  # newest first: page back
        params = {"endTime": end, "startTime": NOW - 20 * DAY}
        rows = exchange.fetch_open_interest_history(market["symbol"], "1h", None, 200, params) + rows
        end = rows[0]["timestamp"] - 1
    assert [r["timestamp"] for r in rows] == held["observed_at"].tolist()
    assert [r["openInterestAmount"] for r in rows] == (2 * held["size"]).tolist()


def test_open_interest_now(exchanges: dict[str, Any], store: SyntheticMarket) -> None:
    for listing, market in markets(exchanges["hyperliquid"], store):
        size = float(seen(store.open_interest("hyperliquid", listing.listed), NOW)["size"][-1])
        assert exchanges["hyperliquid"].fetch_open_interest(market["symbol"])["openInterestAmount"] == size
    tickers = exchanges["krakenfutures"].fetch_tickers()
    for listing, market in markets(exchanges["krakenfutures"], store):
        size = float(seen(store.open_interest("kraken", listing.listed), NOW)["size"][-1])
        assert tickers[market["symbol"]]["info"]["openInterest"] in (size, str(size))
        assert float(tickers[market["symbol"]]["info"]["openInterest"]) == size


def test_kraken_funding_now_is_absolute(exchanges: dict[str, Any], store: SyntheticMarket) -> None:
    rates = exchanges["krakenfutures"].fetch_funding_rates()
    for listing, market in markets(exchanges["krakenfutures"], store):
        held = float(seen(store.funding("kraken", listing.listed), NOW)["rate"][-1])
        assert rates[market["symbol"]]["fundingRate"] == pytest.approx(held, rel=1e-9)


def test_kraken_liquidations_by_its_trades(exchanges: dict[str, Any], store: SyntheticMarket) -> None:
    exchange = exchanges["krakenfutures"]
    listing, market = markets(exchange, store)[0]
    held = seen(store.liquidations("kraken", listing.listed), NOW)
    since = int(held["time"][-100])
    trades = exchange.fetch_trades(market["symbol"], since, 1000)
    forced = [t for t in trades if "Liquidation" in t["info"]["takerOrder"]["orderType"]]
    assert [(t["timestamp"], t["price"], t["amount"]) for t in forced] == list(
        zip(*(held[name].tolist()[-100:] for name in ("time", "price", "size")), strict=True)
    )
