"""Every recorded and documented sample of the four venues, read in place from `../shared/recordings/wire`.

`collect()` walks all files of the folder and keeps what answers an endpoint that a source reads: by the path in the recording,
by the request's body (Hyperliquid), by the file's name (nautilus_trader, which keeps no paths). `skipped` says why the
samples that share a path with one of ours are not ours.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

WIRE = Path(__file__).parents[3] / "shared" / "recordings" / "wire"

#: What we read, by host's venue and path; written by hand from the venue pages.
ENDPOINTS: dict[str, dict[str, str]] = {
    "binance_usdm": {
        "/fapi/v1/exchangeInfo": "instruments",
        "/fapi/v1/fundingInfo": "funding_info",
        "/fapi/v1/premiumIndex": "premium_index",
        "/fapi/v1/openInterest": "open_interest_now",
        "/futures/data/openInterestHist": "open_interest",
        "/fapi/v1/fundingRate": "funding_rates",
        "/fapi/v1/klines": "candles",
        "/fapi/v1/markPriceKlines": "mark_candles",
        "/fapi/v1/indexPriceKlines": "index_candles",
    },
    "bybit_linear": {
        "/v5/market/instruments-info": "instruments",
        "/v5/market/tickers": "tickers",
        "/v5/market/open-interest": "open_interest",
        "/v5/market/funding/history": "funding_rates",
        "/v5/market/kline": "candles",
        "/v5/market/mark-price-kline": "mark_candles",
        "/v5/market/index-price-kline": "index_candles",
    },
    "hyperliquid": {
        "/info meta": "instruments",
        "/info metaAndAssetCtxs": "contexts",
        "/info fundingHistory": "funding_rates",
        "/info candleSnapshot": "candles",
    },
    "kraken_futures": {
        "/derivatives/api/v3/instruments": "instruments",
        "/derivatives/api/v3/tickers": "tickers",
        "/derivatives/api/v4/historicalfundingrates": "funding_rates",
        "/api/charts/v1/analytics/*/open-interest": "open_interest",
        "/api/charts/v1/trade/*/*": "candles",
        "/api/charts/v1/mark/*/*": "mark_candles",
        "/api/charts/v1/spot/*/*": "index_candles",
        "/api/history/v3/market/*/executions": "liquidations",
    },
}
#: nautilus_trader's file names; None: an endpoint that we don't read.
NAUTILUS: dict[str, dict[str, str | None]] = {
    "bybit": {
        "http_get_funding_history": "funding_rates",
        "http_get_instruments_inverse": "instruments",
        "http_get_instruments_inverse_symbol_type": "instruments",
        "http_get_instruments_linear": "instruments",
        "http_get_instruments_linear_symbol_type": "instruments",
        "http_get_klines_linear": "candles",
    },
    "hyperliquid": {
        "http_all_perp_metas_non_usdc_collateral": None,
        "http_funding_history": "funding_rates",
        "http_meta_perp_sample": "instruments",
    },
    "kraken": {
        "http_futures_candles_mark": "mark_candles",
        "http_futures_candles_trade": "candles",
        "http_futures_historical_funding_rates": "funding_rates",
        "http_futures_instrument_no_fee_schedule": "instruments",
        "http_futures_instruments": "instruments",
        "http_futures_tickers": "tickers",
        "http_server_time": None,
        "http_system_status": None,
        "http_ticker": None,
    },
}
SOURCES = {"binance": "binance_usdm", "bybit": "bybit_linear", "hyperliquid": "hyperliquid", "kraken": "kraken_futures"}
#: JKorf/HyperLiquid.Net keeps the path alone, which is the same for all: the name of its test tells what was asked.
JKORF_INFO = {
    "Futures/ExchangeData/GetExchangeInfo": "meta",
    "Futures/ExchangeData/GetExchangeInfoAndTickers": "metaAndAssetCtxs",
    "Futures/ExchangeData/GetFundingRateHistory": "fundingHistory",
    "Futures/ExchangeData/GetSymbolsAtMaxOpenInterest": "perpsAtOpenInterestCap",
}


@dataclass(frozen=True)
class Sample:
    file: str
    nth: int
    source: str
    dataset: str
    status: int
    body: bytes

    def __str__(self) -> str:
        return f"{self.source}.{self.dataset} {self.file}#{self.nth}"


def matches(endpoints: Mapping[str, str], endpoint: str) -> str | None:
    """The dataset whose path it is; `*` stands for one part of a path."""
    for pattern, dataset in endpoints.items():
        if re.fullmatch(re.escape(pattern).replace(r"\*", "[^/]+"), endpoint):
            return dataset
    return None


def why_not_ours(source: str, dataset: str, body: bytes) -> str:
    """Why a body at a path of ours isn't an answer to what we ask; empty when it is."""
    if source == "bybit_linear":
        category = json.loads(body)["result"].get("category")
        return f"category {category}" if category in ("spot", "option") else ""
    if source == "binance_usdm" and dataset == "open_interest" and b'"pair"' in body:
        return "COIN-M: it is asked by pair and counts contracts"
    return ""


def recorded_exchanges() -> Iterator[tuple[Path, str, str, int, bytes]]:
    """File, URL, request body, status and body of every exchange under `recorded/`."""
    for file in sorted((WIRE / "recorded" / "cryptofeed_rest").glob("*.gz")):
        for line in gzip.decompress(file.read_bytes()).decode().splitlines():
            url, arrow, rest = line.partition(" -> ")
            if arrow:
                yield file, url, "", 200, rest.partition(": ")[2].encode()
    for file in sorted((WIRE / "recorded").rglob("*.y*ml")):
        tape = yaml.load(file.read_text(), yaml.CSafeLoader)
        for exchange in tape.get("interactions") or tape.get("http_interactions"):
            request, response = exchange["request"], exchange["response"]
            asked = request["body"] if isinstance(request["body"], str) else ""
            text = response["body"]["string"]
            yield file, request["uri"], asked, response["status"]["code"], text.encode() if isinstance(text, str) else text
    file = WIRE / "recorded" / "binance_futures_http_recorded.json.gz"
    for path, methods in json.loads(gzip.decompress(file.read_bytes()))["routes"].items():
        host = "https://dapi.binance.com" if path.startswith("/dapi") else "https://fapi.binance.com"
        for exchange in methods.get("GET", []):
            yield file, host + path, "", 200, json.dumps(exchange["data"]).encode()


HOSTS = {
    "fapi.binance.com": "binance_usdm",
    "api.bybit.com": "bybit_linear",
    "api.hyperliquid.xyz": "hyperliquid",
    "futures.kraken.com": "kraken_futures",
    "www.cryptofacilities.com": "kraken_futures",  # the same API under its former name
}


def _everything() -> Iterator[tuple[str, str, str | None, int, bytes]]:
    """File, source, dataset (None: not an endpoint of ours), status and body of every sample of the four venues."""
    for file, url, asked, status, body in recorded_exchanges():
        parts = urlsplit(url)
        if source := HOSTS.get(parts.netloc):
            endpoint = f"{parts.path} {json.loads(asked)['type']}" if asked and source == "hyperliquid" else parts.path
            yield str(file.relative_to(WIRE)), source, matches(ENDPOINTS[source], endpoint), status, body
    for venue, source in SOURCES.items():
        file = WIRE / "documented" / "client_endpoint_examples" / f"{venue}.json"
        for entry in json.loads(file.read_text())["entries"]:
            endpoint = entry["path"]
            if source == "hyperliquid":
                endpoint += f" {JKORF_INFO[entry['endpoint']]}"
            name = f"{file.relative_to(WIRE)}:{entry['endpoint']}"
            yield name, source, matches(ENDPOINTS[source], endpoint), 200, entry["body"].encode()
    for venue, names in NAUTILUS.items():
        for file in sorted((WIRE / "documented" / "nautilus_trader" / venue).glob("http_*")):
            yield str(file.relative_to(WIRE)), SOURCES[venue], names[file.stem], 200, file.read_bytes()


@cache
def collect() -> tuple[list[Sample], dict[str, str]]:
    """The samples of what we read, and those at the same paths that are left out, with the reason."""
    samples: list[Sample] = []
    skipped: dict[str, str] = {}
    for file, source, dataset, status, body in _everything():
        if dataset is None:
            continue
        if reason := why_not_ours(source, dataset, body):
            skipped[f"{source}.{dataset} {file}"] = reason
        else:
            samples.append(Sample(file, len(samples), source, dataset, status, body))
    return samples, skipped


def plain(body: bytes) -> Any:
    """JSON by the standard library, numbers exact."""
    from decimal import Decimal

    return json.loads(body, parse_float=Decimal)
