"""CoinAPI: perpetuals of any venue that it carries, as a second source: running rates, open interest, hourly bars. A key.

Facts: venue page `coinapi.md`. A hundred rows cost a credit. The vendor has ids of its own for instruments;
`symbol_id_exchange` is the venue's name, by which its rows meet the venue's own. Metrics are hourly and have the first and
last value of the hour (U): the last is read, as of the hour's end. Open interest and volume are in the venue's own unit.
Alone: `COINAPI_KEY=… PERPLAKE_VENDOR_VENUES=binance perps fetch --mode live --venues all`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from pipelines.error_bodies import error_reader
from pipelines.paging import hourly, once
from pipelines.records import IsoMs, MaybeNumber, Number, Record
from pipelines.source import Endpoint, Instrument, Limit, Request, Source
from pipelines.symbols import base_asset
from pipelines.vendors import second_sources
from pipelines.windows import HOUR, Window, iso

ROOT = "/v1/"
WEIGHTS = {"requests": 1}
#: A hundred is what one credit buys: rows of four days.
ROWS = 100
#: Our venue: the vendor's id (U: but the first).
VENUES = {"binance": "BINANCEFTS", "bybit": "BYBIT", "okx": "OKEX", "deribit": "DERIBIT"}
PERPETUAL = "PERPETUAL"


class Symbol(Record):
    symbol_id: str
    symbol_type: str
    symbol_id_exchange: str | None = None
    asset_id_base: str | None = None
    asset_id_quote: str | None = None
    contract_unit: MaybeNumber = None
    contract_unit_asset: str | None = None


class Metric(Record):
    """The hour's last value; the time is the hour's start."""

    time: IsoMs = msgspec.field(name="time_period_start")
    last: Number


class Candle(Record):
    time: IsoMs = msgspec.field(name="time_period_start")
    price_open: Number
    price_high: Number
    price_low: Number
    price_close: Number
    volume_traded: MaybeNumber
    trades_count: int | None = None


#: `{"error": …}` by the status; 550 is no data.
error = error_reader(message="error", statuses={401: "key", 403: "key", 550: "rejected"})


def instruments(page: Any) -> list[Instrument]:
    return [
        Instrument(s.symbol_id, base_asset(s.asset_id_base))
        for s in page
        if s.symbol_type == PERPETUAL and s.symbol_id_exchange and s.asset_id_base
    ]


def _source(venue: str, exchange: str) -> Source:
    context: Mapping[str, str] = {"venue": venue}

    def request(path: str, params: Mapping[str, str], instrument: Instrument, window: Window) -> Request:
        """By path or by parameter; the end is not part of it (U)."""
        span: dict[str, str | int] = {
            "time_start": iso(window.start),
            "time_end": iso(window.end),
            "period_id": "1HRS",
            "limit": ROWS,
        }
        named = {"symbol": instrument.symbol, **context}
        symbol_id = {} if "{symbol}" in path else {"symbol_id": instrument.symbol}
        path = ROOT + path.format(symbol=instrument.symbol)
        return Request(path, {**params, **symbol_id, **span}, context=named, window=window, weights=WEIGHTS)

    def series(name: str, path: str, record: type[Record], ignored: str, **params: str) -> Endpoint:
        return Endpoint(
            name,
            record,
            key=("symbol", "venue", "time"),
            time="time",
            plan=hourly(ROWS, partial(request, path, params)),
            context=("symbol", "venue"),
            bar=HOUR,
            allow_identical_pages=name == "running_rates",
            ignored_fields=frozenset(f"time_period_end {ignored}".split()),
        )

    metric = partial(series, path="metrics/symbol/history", record=Metric, ignored="first min max count sum")
    symbols = Request(ROOT + "symbols", {"filter_exchange_id": exchange}, context=context, weights=WEIGHTS)
    return Source(
        name="coinapi",
        venue=venue,
        base_url="https://rest.coinapi.io",
        # Credits run out before requests do: gently.
        limits={"requests": Limit(10, 1)},
        error=error,
        parse_instruments=instruments,
        key_header="X-CoinAPI-Key",
        host="coinapi",
        endpoints=(
            Endpoint(
                "instruments",
                Symbol,
                key=("symbol_id", "venue"),
                plan=once(symbols),
                context=("venue",),
                bulk=True,
                # With a decoder of its own nothing is reported as new: volumes and precisions by the dozen.
                decode=msgspec.json.Decoder(list[Symbol], strict=False).decode,
            ),
            metric("running_rates", metric_id="DERIVATIVES_FUNDING_RATE_CURRENT"),
            metric("open_interest", metric_id="DERIVATIVES_OPEN_INTEREST"),
            series("candles", "ohlcv/{symbol}/history", Candle, "time_open time_close"),
        ),
    )


#: Without a venue: the raw tables that all venues share.
SOURCE = _source("", "")


def expand_multi_venue(names: Sequence[str], origin: str) -> tuple[tuple[Source, ...], tuple[str, ...]]:
    """A source for each venue that is named, and a line for each that the vendor has no id for."""
    return second_sources("coinapi", VENUES, _source, names, origin)
