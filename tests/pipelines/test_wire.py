"""Every recorded and documented sample of the four venues decodes to the right values, and ccxt reads the same.

«Right» is what the standard library's JSON and Decimal say, by a table of names written by hand here; ours comes through
the record types and Arrow. ccxt parses the same bytes with its own code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from samples import ENDPOINTS, NAUTILUS, WIRE, Sample, collect, plain

from pipelines import records
from pipelines.source import Instrument
from pipelines.sources import get_source
from pipelines.windows import DAY, Window

pytestmark = pytest.mark.skipif(
    not WIRE.is_dir(), reason="../shared/recordings/wire is absent: no recorded bytes to hold against"
)
SAMPLES, SKIPPED = collect() if WIRE.is_dir() else ([], {})


@dataclass(frozen=True)
class Wire:
    """Where a body keeps its rows, and what each of our columns is called there (a name, a position, or a function)."""

    rows: Callable[[Any], Sequence[Any]]
    columns: dict[str, str | int | Callable[[Any], Any]]


def same(*names: str, **others: Any) -> dict[str, Any]:
    """Columns whose name on the wire is ours in camelCase."""
    return {n: n.split("_")[0] + "".join(p.title() for p in n.split("_")[1:]) for n in names} | others


def iso_ms(row: Any) -> int:
    return round(datetime.fromisoformat(row["timestamp"].replace("Z", "+00:00")).timestamp() * 1000)


def listed(page: Any) -> Any:
    return page if isinstance(page, list) else [] if page is None else [page]


def bybit(page: Any) -> Any:
    return page["result"]["list"]


BARS = {"open_time": 0, "open": 1, "high": 2, "low": 3, "close": 4}
HL_CONTEXT = same("funding", "open_interest", "oracle_px", "mark_px", "premium", "day_ntl_vlm")
KRAKEN_BARS = same("time", "open", "high", "low", "close")

WIRES: dict[str, Wire] = {
    "binance_usdm.instruments": Wire(
        lambda p: p["symbols"],
        same(
            "symbol",
            "pair",
            "status",
            "base_asset",
            "quote_asset",
            "margin_asset",
            "underlying_type",
            "onboard_date",
            "delivery_date",
        )
        | {"contract_type": lambda r: r.get("contractType", "PERPETUAL")},
    ),
    "binance_usdm.funding_info": Wire(
        listed, same("symbol", "funding_interval_hours", "adjusted_funding_rate_cap", "adjusted_funding_rate_floor")
    ),
    "binance_usdm.premium_index": Wire(
        listed, same("symbol", "time", "mark_price", "index_price", "last_funding_rate", "next_funding_time")
    ),
    "binance_usdm.open_interest_now": Wire(listed, same("symbol", "time", "open_interest")),
    "binance_usdm.open_interest": Wire(listed, same("symbol", "timestamp", "sum_open_interest", "sum_open_interest_value")),
    "binance_usdm.funding_rates": Wire(
        listed,
        same("symbol", "funding_time", "funding_rate", "mark_price") | {"rate_type": lambda r: r.get("rateType", "Regular")},
    ),
    "binance_usdm.candles": Wire(listed, BARS | {"volume": 5, "close_time": 6, "quote_volume": 7, "trades": 8}),
    "binance_usdm.mark_candles": Wire(listed, BARS),
    "binance_usdm.index_candles": Wire(listed, BARS),
    "bybit_linear.instruments": Wire(
        bybit,
        same(
            "symbol",
            "contract_type",
            "status",
            "base_coin",
            "quote_coin",
            "settle_coin",
            "funding_interval",
            "launch_time",
            "delivery_time",
            "symbol_type",
        ),
    ),
    "bybit_linear.tickers": Wire(
        bybit,
        same(
            "symbol",
            "mark_price",
            "index_price",
            "funding_rate",
            "next_funding_time",
            "funding_interval_hour",
            "open_interest",
            "single_open_interest",
        ),
    ),
    "bybit_linear.open_interest": Wire(bybit, same("timestamp", "open_interest", "single_open_interest")),
    "bybit_linear.funding_rates": Wire(bybit, same("symbol", "funding_rate_timestamp", "funding_rate")),
    "bybit_linear.candles": Wire(bybit, BARS | {"volume": 5, "turnover": 6}),
    "bybit_linear.mark_candles": Wire(bybit, BARS),
    "bybit_linear.index_candles": Wire(bybit, BARS),
    "hyperliquid.instruments": Wire(lambda p: p["universe"], same("name", "sz_decimals", "max_leverage", "is_delisted")),
    "hyperliquid.contexts": Wire(
        lambda p: [{"coin": coin["name"], **c} for coin, c in zip(p[0]["universe"], p[1], strict=True)], same("coin") | HL_CONTEXT
    ),
    "hyperliquid.funding_rates": Wire(listed, same("coin", "time", "funding_rate", "premium")),
    "hyperliquid.candles": Wire(
        listed,
        {
            "open_time": "t",
            "close_time": "T",
            "coin": "s",
            "open": "o",
            "high": "h",
            "low": "l",
            "close": "c",
            "volume": "v",
            "trades": "n",
        },
    ),
    "kraken_futures.instruments": Wire(
        lambda p: p["instruments"],
        same(
            "symbol",
            "type",
            "tradeable",
            "base",
            "quote",
            "pair",
            "contract_size",
            "category",
            "opening_date",
            "last_trading_time",
        ),
    ),
    "kraken_futures.tickers": Wire(
        lambda p: p["tickers"],
        same(
            "symbol",
            "tag",
            "pair",
            "mark_price",
            "index_price",
            "funding_rate",
            "funding_rate_prediction",
            "open_interest",
            "suspended",
        ),
    ),
    "kraken_futures.funding_rates": Wire(
        lambda p: p["rates"], same("relative_funding_rate", "funding_rate") | {"timestamp": iso_ms}
    ),
    "kraken_futures.candles": Wire(lambda p: p["candles"], KRAKEN_BARS | {"volume": "volume"}),
    "kraken_futures.mark_candles": Wire(lambda p: p["candles"], KRAKEN_BARS),
}


def value(row: Any, where: str | int | Callable[[Any], Any]) -> Any:
    if callable(where):
        return where(row)
    return row.get(where) if isinstance(where, str) else row[where]


def as_arrow(raw: Any, arrow: pa.DataType) -> Any:
    """What a wire value is as a value of a raw column."""
    if raw is None or (raw == "" and pa.types.is_floating(arrow)):
        return None
    if pa.types.is_floating(arrow):
        return float(Decimal(raw))
    if pa.types.is_integer(arrow):
        return int(raw)
    return raw


def ours(sample: Sample) -> list[dict[str, Any]]:
    dataset = get_source(sample.source).endpoint(sample.dataset)
    rows = dataset.rows(dataset.read(sample.body))
    arrays = records.columns(dataset.record, dataset.schema, rows)
    names = dataset.record.__struct_fields__
    return pa.table(arrays, schema=pa.schema([dataset.schema.field(n) for n in names])).to_pylist()


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_a_sample_decodes_to_the_values_that_it_holds(sample: Sample) -> None:
    dataset = get_source(sample.source).endpoint(sample.dataset)
    wire = WIRES[f"{sample.source}.{sample.dataset}"]
    assert set(wire.columns) == set(dataset.record.__struct_fields__), "a column that this test does not know"
    assert get_source(sample.source).error(sample.status, sample.body) is None, "an answer taken for an error"
    expected = [
        {name: as_arrow(value(row, where), dataset.schema.field(name).type) for name, where in wire.columns.items()}
        for row in wire.rows(plain(sample.body))
    ]
    found = ours(sample)
    assert len(found) == len(expected)
    for ours_, theirs in zip(found, expected, strict=True):
        assert ours_ == theirs
    assert expected or sample.body == b"null"


#: How many samples there are, counted by hand from the folder. None may be lost on the way here.
COUNTS = {"binance_usdm": 36, "bybit_linear": 14, "hyperliquid": 13, "kraken_futures": 17}


def test_no_sample_is_left_out() -> None:
    assert Counter(s.source for s in SAMPLES) == COUNTS
    # At the paths of ours, but not answers to what we ask.
    assert sorted(SKIPPED.values()) == ["COIN-M: it is asked by pair and counts contracts"] * 2 + [
        "category option",
        "category option",
        "category spot",
        "category spot",
    ]
    files = {f.stem for venue in NAUTILUS for f in (WIRE / "documented" / "nautilus_trader" / venue).glob("http_*")}
    assert files == {name for names in NAUTILUS.values() for name in names}


@pytest.mark.parametrize("name", ENDPOINTS)
def test_the_table_of_endpoints_is_what_the_source_asks(name: str) -> None:
    """The scan above looks for exactly the endpoints that a window asks for."""
    asked = {}
    for dataset in get_source(name).endpoints:
        request = next(iter(dataset.plan(Instrument("*", "*"), Window(1_700_000_000_000 // DAY * DAY, 1_700_000_000_000))))
        asked[request.path_label.replace("/*/1h", "/*/*")] = dataset.name
    assert asked == ENDPOINTS[name]


# --- the same bytes through ccxt ------------------------------------------------------------------------------------------

MARKETS = {
    "binance_usdm": "binanceusdm",
    "bybit_linear": "bybit",
    "hyperliquid": "hyperliquid",
    "kraken_futures": "krakenfutures",
}


@pytest.fixture(scope="module")
def ccxt_says() -> Callable[[Sample], list[tuple[Any, ...]] | None]:
    """Rows of a sample as ccxt reads them; None where it reads no such endpoint."""
    ccxt = pytest.importorskip("ccxt")

    def exchange(sample: Sample, ids: set[str]) -> Any:
        ex = getattr(ccxt, MARKETS[sample.source])({"enableRateLimit": False})
        markets = [
            ex.safe_market_structure(
                {
                    "id": id_,
                    "symbol": f"{id_}/X:X",
                    "base": id_,
                    "quote": "X",
                    "settle": "X",
                    "baseId": id_,
                    "quoteId": "X",
                    "settleId": "X",
                    "type": "swap",
                    "swap": True,
                    "spot": False,
                    "contract": True,
                    "linear": True,
                    "inverse": False,
                    "subType": "linear",
                    "contractSize": 1.0,
                    "active": True,
                    "precision": {"amount": 1e-12, "price": 1e-12},
                }
            )
            for id_ in ids
        ]
        ex.set_markets(markets)
        ex.currencies = {}
        # The transport alone is replaced: every request is answered by the sample's bytes, parsed by ccxt's own JSON.
        ex.fetch = lambda *_, **__: ex.parse_json(sample.body.decode())
        return ex

    def says(sample: Sample) -> list[tuple[Any, ...]] | None:
        raw = WIRES[f"{sample.source}.{sample.dataset}"].rows(plain(sample.body))
        key = next((k for k in ("symbol", "coin", "s") if raw and isinstance(raw[0], dict) and k in raw[0]), None)
        ids = {row[key] for row in raw} if key else {"A"}
        ex = exchange(sample, ids)
        first = f"{sorted(ids)[0]}/X:X"
        match sample.dataset:
            case "funding_rates":
                # ccxt asks for one symbol and drops the others' rows, so each is asked for.
                rates = [rate for id_ in ids for rate in ex.fetch_funding_rate_history(f"{id_}/X:X", limit=10_000)]
                if not key:
                    return [(r["timestamp"], r["fundingRate"]) for r in rates]
                return list({(r["symbol"].removesuffix("/X:X"), r["timestamp"], r["fundingRate"]) for r in rates})
            case "candles" | "mark_candles" | "index_candles":
                params = {} if sample.dataset == "candles" else {"price": sample.dataset.removesuffix("_candles")}
                return [tuple(bar[:5]) for bar in ex.fetch_ohlcv(first, "1h", limit=1000, params=params)]
            case "open_interest":
                bars = ex.fetch_open_interest_history(first, "1h", limit=500)
                amount = "openInterestAmount" if sample.source == "binance_usdm" else "openInterestValue"
                return [(b["timestamp"], b[amount] if b[amount] is not None else b["openInterestAmount"]) for b in bars]
            case "open_interest_now":
                now = ex.fetch_open_interest(first)
                return [(now["symbol"].removesuffix("/X:X"), now["timestamp"], now["openInterestAmount"])]
            case "premium_index":
                rates = (
                    ex.fetch_funding_rates().values() if isinstance(plain(sample.body), list) else [ex.fetch_funding_rate(first)]
                )
                return [(r["symbol"].removesuffix("/X:X"), r["timestamp"], r["markPrice"], r["fundingRate"]) for r in rates]
            case "tickers":
                tickers = ex.fetch_tickers().values()
                return [(t["symbol"].removesuffix("/X:X"), t["markPrice"], t["indexPrice"]) for t in tickers]
            case "instruments":
                return [(m["id"],) for m in ex.fetch_markets()] if sample.source != "bybit_linear" else None
        return None

    return says


OURS: dict[str, tuple[str, ...]] = {
    "binance_usdm.funding_rates": ("symbol", "funding_time", "funding_rate"),
    "bybit_linear.funding_rates": ("symbol", "funding_rate_timestamp", "funding_rate"),
    "hyperliquid.funding_rates": ("coin", "time", "funding_rate"),
    "kraken_futures.funding_rates": ("timestamp", "relative_funding_rate"),
    **{f"{s}.{d}": tuple(BARS) for s in ("binance_usdm", "bybit_linear") for d in ("candles", "mark_candles", "index_candles")},
    "hyperliquid.candles": tuple(BARS),
    "kraken_futures.candles": ("time", "open", "high", "low", "close"),
    "kraken_futures.mark_candles": ("time", "open", "high", "low", "close"),
    "binance_usdm.open_interest": ("timestamp", "sum_open_interest"),
    "bybit_linear.open_interest": ("timestamp", "open_interest"),
    "binance_usdm.open_interest_now": ("symbol", "time", "open_interest"),
    "binance_usdm.premium_index": ("symbol", "time", "mark_price", "last_funding_rate"),
    "bybit_linear.tickers": ("symbol", "mark_price", "index_price"),
    "kraken_futures.tickers": ("symbol", "mark_price", "index_price"),
    "binance_usdm.instruments": ("symbol",),
}


@pytest.mark.parametrize("sample", [s for s in SAMPLES if f"{s.source}.{s.dataset}" in OURS and s.body != b"null"], ids=str)
def test_ccxt_reads_the_same(sample: Sample, ccxt_says: Callable[[Sample], list[tuple[Any, ...]] | None]) -> None:
    names = OURS[f"{sample.source}.{sample.dataset}"]
    found = {tuple(row[n] for n in names) for row in ours(sample)}
    theirs = ccxt_says(sample)
    assert theirs is not None
    assert set(theirs) == found
