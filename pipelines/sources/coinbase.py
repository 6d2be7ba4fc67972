"""Coinbase Advanced, `https://api.coinbase.com`, public market data: perpetual-style futures of its US derivatives exchange.

Facts: the venue page of Coinbase, part B. The perpetuals are listed as futures that expire in years: a product with a
`funding_interval` is a perpetual, settled in US dollars. Sizes and volumes are contracts of `contract_size` coins, numbers text,
bars stamped in seconds, newest first. The running rate is the only rate: settled rates have no endpoint, so their history begins
with the first fetch. At most 350 bars come at once (unverified), so fewer are requested. The venue halts on Fridays.
Alone: `perps fetch --venues coinbase --from 2025-10-10 --to 2025-10-10`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from pipelines.endpoints import hourly_bars, snapshot
from pipelines.error_bodies import error_reader
from pipelines.order_books import UNTOLD, named_level, order_book, sides
from pipelines.paging import hourly, no_params, present, windowed
from pipelines.records import IsoMs, MaybeNumber, Number, Record, Seconds
from pipelines.shapes import Stamped
from pipelines.source import Instrument, Limit, Request, Source
from pipelines.symbols import base_asset

ROOT = "/api/v3/brokerage/market/products"
WEIGHTS = {"requests": 1}
BARS = 300


class Details(msgspec.Struct):
    """The inner object of a future. The same numbers in its own inner object, `perpetual_details`, may be empty."""

    contract_root_unit: str
    contract_size: Number
    contract_expiry: IsoMs | None = None  # null where a perpetual has none
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
    contract_expiry: IsoMs | None
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


error = error_reader("error", "message", limited=("RESOURCE_EXHAUSTED",))


def _flat(page: Products) -> Sequence[Contract]:
    outer, inner = ("product_id", "quote_currency_id", "trading_disabled", "price"), Details.__struct_fields__
    return [
        Contract(*(getattr(p, name) for name in outer), *(getattr(p.future_product_details, name) for name in inner))
        for p in page.products
    ]


def instruments(page: Products) -> list[Instrument]:
    """The products that pay funding; the list has dated futures too."""
    return [
        Instrument(p.product_id, base_asset(p.future_product_details.contract_root_unit))
        for p in page.products
        if p.future_product_details.funding_interval
    ]


_candles = windowed(
    ROOT + "/{symbol}/candles",
    BARS,
    WEIGHTS,
    instrument_params=no_params,
    bounds=("start", "end"),
    unit=1000,
    granularity="ONE_HOUR",
)
#: Sizes count contracts, as volumes do (unverified); how many levels come without a limit the venue's page doesn't say.
#: ccxt 4.5.90 has the same path and parameter.
ORDER_BOOKS = order_book(
    present(ROOT.removesuffix("s") + "_book", WEIGHTS, instrument_params=lambda instrument: {"product_id": instrument.symbol}),
    **sides(UNTOLD, "pricebook", time="pricebook.time", stamp=IsoMs, level=named_level("price", "size")),
)

#: The list has the present too: the collector asks for it again and again, as `listed_now`.
LISTED = snapshot(
    "instruments",
    Contract,
    "product_id",
    Request(ROOT, {"product_type": "FUTURE"}, weights=WEIGHTS),
    page=Products,
    rows=_flat,
    wire_type=Details,
    ignored_fields="venue contract_code group_description contract_expiry_timezone group_short_description "
    "risk_managed_by contract_expiry_type perpetual_details contract_display_name time_to_expiry_ms non_crypto "
    "contract_expiry_name twenty_four_by_seven display_name region_enabled intraday_margin_rate overnight_margin_rate "
    "settlement_price contract_code_display_name product_group_cbrn",
)

SOURCE = Source(
    name="coinbase",
    collected=(ORDER_BOOKS, replace(LISTED, name="listed_now")),
    venue="coinbase",
    base_url="https://api.coinbase.com",
    limits={"requests": Limit(10, 1)},
    error=error,
    parse_instruments=instruments,
    endpoints=(
        LISTED,
        hourly_bars("candles", Candle, hourly(BARS, _candles), time="time", rows_at="candles"),
    ),
)
