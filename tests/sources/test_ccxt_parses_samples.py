"""ccxt parses the recorded and documented bodies with its own code, and reads the same values as our record types do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from infra.emulator.cases import cases
from tests.sources.samples import Sample, collect, decoded, exact, rows_at

ccxt = pytest.importorskip("ccxt")
BARS = ("open_time", "open", "high", "low", "close")
KRAKEN_BARS = ("time", "open", "high", "low", "close")
Rows = list[tuple[Any, ...]]


def funding_rates(exchange: Any, symbols: list[str], sample: Sample) -> Rows:
    # ccxt drops the rows of other symbols than the one asked for, so each is asked for.
    return [
        (*instrument(r, sample), r["timestamp"], r["fundingRate"])
        for symbol in symbols
        for r in exchange.fetch_funding_rate_history(symbol, limit=10_000)
    ]


def candles(exchange: Any, symbols: list[str], sample: Sample) -> Rows:
    kind = sample.endpoint.removesuffix("candles").rstrip("_")
    return [tuple(b[:5]) for b in exchange.fetch_ohlcv(symbols[0], "1h", limit=1000, params={"price": kind} if kind else {})]


def open_interest(exchange: Any, symbols: list[str], sample: Sample) -> Rows:
    history = exchange.fetch_open_interest_history(symbols[0], "1h", limit=500)
    return [(h["timestamp"], h["openInterestAmount"]) for h in history]


def open_interest_now(exchange: Any, symbols: list[str], sample: Sample) -> Rows:
    now = exchange.fetch_open_interest(symbols[0])
    return [(*instrument(now, sample), now["timestamp"], now["openInterestAmount"])]


def premium_index(exchange: Any, symbols: list[str], sample: Sample) -> Rows:
    listed = isinstance(exact(sample.body), list)
    rates = exchange.fetch_funding_rates().values() if listed else [exchange.fetch_funding_rate(symbols[0])]
    return [(*instrument(r, sample), r["timestamp"], r["markPrice"], r["fundingRate"]) for r in rates]


def tickers(exchange: Any, symbols: list[str], sample: Sample) -> Rows:
    return [(*instrument(t, sample), t["markPrice"], t["indexPrice"]) for t in exchange.fetch_tickers().values()]


def instruments(exchange: Any, symbols: list[str], sample: Sample) -> Rows:
    return [(market["id"],) for market in exchange.fetch_markets()]


#: By source and endpoint: the method above, and our columns in the order in which it gives them.
READ: dict[str, tuple[Callable[[Any, list[str], Sample], Rows], tuple[str, ...]]] = {
    "binance_usdm.funding_rates": (funding_rates, ("symbol", "funding_time", "funding_rate")),
    "binance_coinm.funding_rates": (funding_rates, ("symbol", "funding_time", "funding_rate")),
    "bybit_linear.funding_rates": (funding_rates, ("symbol", "funding_rate_timestamp", "funding_rate")),
    "hyperliquid.funding_rates": (funding_rates, ("coin", "time", "funding_rate")),
    "kraken_futures.funding_rates": (funding_rates, ("timestamp", "relative_funding_rate")),
    "gate.funding_rates": (funding_rates, ("time", "rate")),
    **{
        f"{source}.{endpoint}": (candles, BARS)
        for source in ("binance_usdm", "binance_coinm", "bybit_linear", "bybit_inverse")
        for endpoint in ("candles", "mark_candles", "index_candles")
    },
    "hyperliquid.candles": (candles, BARS),
    "kraken_futures.candles": (candles, KRAKEN_BARS),
    "kraken_futures.mark_candles": (candles, KRAKEN_BARS),
    "gate.candles": (candles, KRAKEN_BARS),
    "binance_usdm.open_interest": (open_interest, ("timestamp", "sum_open_interest")),
    "bybit_inverse.open_interest": (open_interest, ("timestamp", "open_interest")),
    "binance_usdm.open_interest_now": (open_interest_now, ("symbol", "time", "open_interest")),
    "binance_coinm.open_interest_now": (open_interest_now, ("symbol", "time", "open_interest")),
    "binance_usdm.premium_index": (premium_index, ("symbol", "time", "mark_price", "last_funding_rate")),
    "binance_coinm.premium_index": (premium_index, ("symbol", "time", "mark_price", "last_funding_rate")),
    "bybit_inverse.tickers": (tickers, ("symbol", "mark_price", "index_price")),
    "kraken_futures.tickers": (tickers, ("symbol", "mark_price", "index_price")),
    "binance_usdm.instruments": (instruments, ("symbol",)),
}
SAMPLES = [s for s in collect()[0] if f"{s.source}.{s.endpoint}" in READ and s.body != b"null"]


def named(sample: Sample) -> list[str]:
    """The instruments that a body names; none where the request alone does."""
    rows = rows_at(cases(sample.source), sample.endpoint, exact(sample.body))
    return sorted({row[k] for row in rows if isinstance(row, dict) for k in ("symbol", "coin", "s") if k in row})


def instrument(row: Any, sample: Sample) -> tuple[str, ...]:
    return (row["symbol"].removesuffix("/X:X"),) if named(sample) else ()


def exchange_with(sample: Sample, ids: list[str]) -> Any:
    """ccxt's exchange with markets of these ids. Only its transport is replaced: the sample's bytes answer every request."""
    client = cases(sample.source).ccxt
    assert client
    exchange = getattr(ccxt, client.exchange)({"enableRateLimit": False})
    coins = dict.fromkeys(("quote", "settle", "quoteId", "settleId"), "X")
    kind = {"type": "swap", "swap": True, "spot": False, "contract": True, "contractSize": 1.0, "active": True}
    kind |= {"linear": True, "inverse": False, "subType": "linear", "precision": {"amount": 1e-12, "price": 1e-12}}
    names = [{"id": id_, "symbol": f"{id_}/X:X", "base": id_, "baseId": id_} for id_ in ids]
    exchange.set_markets([exchange.safe_market_structure({**coins, **kind, **name}) for name in names])
    exchange.currencies = {}
    exchange.fetch = lambda *_, **__: exchange.parse_json(sample.body.decode())
    return exchange


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_ccxt_reads_the_same(sample: Sample) -> None:
    read, columns = READ[f"{sample.source}.{sample.endpoint}"]
    ids = named(sample) or ["A"]
    theirs = read(exchange_with(sample, ids), [f"{id_}/X:X" for id_ in ids], sample)
    ours = [tuple(row[column] for column in columns) for row in decoded(sample)]
    assert set(theirs) == set(ours) != set()
