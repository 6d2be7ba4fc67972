"""Coinbase Advanced, public market data: US perpetual-style futures of its derivatives exchange (CDE), settled in US dollars.

Facts: `shared/venues/coinbase.md`, part B. They are listed as futures that expire in years: what has a `funding_interval` is
taken for a perpetual. Sizes and volumes count contracts of `contract_size` coins, numbers are text, bars in seconds, newest
first. The rate of now is all that there is of funding: settled rates have no endpoint, and collecting begins with the first
look. At most 350 bars come at once (U), so fewer are asked for. The venue halts for maintenance on Fridays.
Alone: `perps fetch --venues coinbase --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from pipelines.paging import hourly, no_params, once, windowed
from pipelines.records import IsoMs, MaybeNumber, Number, Record, Seconds
from pipelines.shapes import Stamped, decode_or_none, enveloped
from pipelines.source import Endpoint, Instrument, Limit, Request, Source, VenueProblem
from pipelines.symbols import base_asset
from pipelines.windows import HOUR

ROOT = "/api/v3/brokerage/market/products"
WEIGHTS = {"requests": 1}
BARS = 300


class Details(msgspec.Struct):
    """The inner object of a future. Numbers of an inner one, `perpetual_details`, may be empty."""

    contract_root_unit: str
    contract_size: Number
    contract_expiry: IsoMs
    funding_interval: str | None = None
    funding_rate: MaybeNumber = None
    funding_time: IsoMs | None = None
    open_interest: MaybeNumber = None
    index_price: MaybeNumber = None
    futures_asset_type: str | None = None


class Product(msgspec.Struct):
    product_id: str
    quote_currency_id: str
    future_product_details: Details
    trading_disabled: bool = False
    price: MaybeNumber = None


class Contract(Record):
    """Both levels in one row; times in milliseconds, `open_interest` in contracts, `funding_rate` a fraction per interval."""

    product_id: str
    quote_currency_id: str
    trading_disabled: bool
    price: MaybeNumber
    contract_root_unit: str
    contract_size: Number
    contract_expiry: IsoMs
    funding_interval: str | None
    funding_rate: MaybeNumber
    funding_time: IsoMs | None
    open_interest: MaybeNumber
    index_price: MaybeNumber
    futures_asset_type: str | None


class Products(msgspec.Struct):
    products: list[Product]


class Candle(Stamped):
    """`volume` counts contracts."""

    time: Seconds = msgspec.field(name="start")
    open: Number
    high: Number
    low: Number
    close: Number
    volume: Number


class ErrorBody(msgspec.Struct):
    error: str
    message: str = ""


def error(status: int, body: bytes) -> VenueProblem | None:
    """`{"error": "INVALID_ARGUMENT", "message": …}` with a status."""
    said = decode_or_none(body, ErrorBody)
    if said is None:
        return None
    message = f"{said.error} {said.message}".rstrip()
    if status == 429 or said.error == "RESOURCE_EXHAUSTED":
        return VenueProblem("limited", message)
    return VenueProblem("transient" if status >= 500 else "rejected", message)


def _flat(page: Products) -> Sequence[Contract]:
    outer, inner = ("product_id", "quote_currency_id", "trading_disabled", "price"), Details.__struct_fields__
    return [
        Contract(*(getattr(p, name) for name in outer), *(getattr(p.future_product_details, name) for name in inner))
        for p in page.products
    ]


def instruments(page: Products) -> list[Instrument]:
    """What pays funding; dated futures stand in the same list."""
    return [
        Instrument(p.product_id, base_asset(p.future_product_details.contract_root_unit))
        for p in page.products
        if p.future_product_details.funding_interval
    ]


SOURCE = Source(
    name="coinbase",
    venue="coinbase",
    base_url="https://api.coinbase.com",
    limits={"requests": Limit(10, 1)},
    error=error,
    parse_instruments=instruments,
    endpoints=(
        Endpoint(
            "instruments",
            Contract,
            key=("product_id",),
            plan=once(Request(ROOT, {"product_type": "FUTURE"}, weights=WEIGHTS)),
            page=Products,
            rows=_flat,
            bulk=True,
            wire_type=Details,
            ignored_fields=frozenset(
                "venue contract_code group_description contract_expiry_timezone group_short_description risk_managed_by "
                "contract_expiry_type perpetual_details contract_display_name time_to_expiry_ms non_crypto contract_expiry_name "
                "twenty_four_by_seven display_name region_enabled intraday_margin_rate overnight_margin_rate settlement_price "
                "contract_code_display_name product_group_cbrn".split()
            ),
        ),
        Endpoint(
            "candles",
            Candle,
            key=("symbol", "time"),
            time="time",
            plan=hourly(
                BARS,
                windowed(
                    ROOT + "/{symbol}/candles",
                    BARS,
                    WEIGHTS,
                    instrument_params=no_params,
                    bounds=("start", "end"),
                    unit=1000,
                    granularity="ONE_HOUR",
                ),
            ),
            **enveloped("candles", list[Candle]),
            context=("symbol",),
            bar=HOUR,
        ),
    ),
)
