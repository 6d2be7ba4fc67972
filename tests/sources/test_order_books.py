"""Order books: bands worked out by hand and by brute force, ccxt's requests and levels, and the emulator's bounds."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.emulator.books import books
from infra.emulator.cases import cases
from infra.emulator.market import Market
from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served
from pipelines.order_books import BANDS, UNTOLD, Level, book, named_level, sides
from pipelines.registry import PROJECT, source_rows
from pipelines.source import Instrument
from pipelines.sources import get_source
from pipelines.windows import Window
from tests.sources.kit import NOW, ask, market_name, prefix
from tests.sources.test_sources import written

TIME = 1_795_305_600_000
#: By source: the levels of a side that ccxt is told to ask for.
LEVELS: dict[str, int | str | None] = {
    "binance_usdm": 1000,
    "binance_coinm": 1000,
    "bybit_linear": 500,
    "bybit_inverse": 500,
    "okx": 5000,
    "hyperliquid": None,
    "kraken_futures": None,
    "bitget": "max",
    "gate": 300,
    "htx_linear": None,
    "htx_coinm": None,
    "deribit": 10_000,
    "kucoin": None,
    "dydx": None,
    "mexc": None,
    "coinbase": None,
    "aevo": None,  # which ccxt doesn't have
}
#: The levels that a side may have, where that is another number: `most` of `book`.
MOST = {"hyperliquid": 20, "bitget": UNTOLD, "htx_linear": 150, "htx_coinm": 150, "dydx": 100, "mexc": UNTOLD, "coinbase": UNTOLD}


def levels(*pairs: tuple[float, float]) -> list[Level]:
    return [Level(*pair) for pair in pairs]


def test_a_book_by_hand() -> None:
    """Mid 1000: the edges below it are 999, 995, 990 and 980. Three bids were asked for and end at 992; the asks are all."""
    row = book(TIME, levels((992, 5), (999, 1), (996, 2)), levels((1001, 4), (1050, 9)), 3)
    assert (row.best_bid, row.best_ask, row.bid_levels, row.ask_levels) == (999, 1001, 3, 2)
    assert (row.bid_reach, row.ask_reach) == (pytest.approx(0.008), None)
    assert [getattr(row, f"bid_size_{band}") for band in BANDS] == [1, 3, None, None]
    assert [getattr(row, f"bid_value_{band}") for band in BANDS] == [999, 999 + 2 * 996, None, None]
    assert row.bid_coins_50 == pytest.approx(1 / 999 + 2 / 996)
    assert [getattr(row, f"ask_size_{band}") for band in BANDS] == [4, 4, 4, 4]


@pytest.mark.parametrize(("bids", "asks"), [([], [(10, 1)]), ([(10, 1)], []), ([(11, 1)], [(10, 1)]), ([(10, 1)], [(10, 1)])])
def test_without_a_mid_there_are_no_sums(bids: Any, asks: Any) -> None:
    row = book(TIME, levels(*bids), levels(*asks), 100)
    assert all(getattr(row, f"{side}_size_{band}") is None for side in ("bid", "ask") for band in BANDS)
    assert (row.bid_levels, row.ask_levels, row.bid_reach, row.ask_reach) == (len(bids), len(asks), None, None)


SIDE = st.lists(st.tuples(st.integers(1, 400), st.integers(1, 9)), min_size=1, max_size=40, unique_by=lambda level: level[0])


@given(SIDE, SIDE, st.one_of(st.none(), st.integers(0, 60)))
def test_a_band_is_the_sum_of_its_levels_or_null(below: Any, above: Any, most: int | None) -> None:
    """Whole numbers: ticks from 10,000, so that brute force is exact."""
    bids, asks = [(10_000 - at, size) for at, size in below], [(10_000 + at, size) for at, size in above]
    row = book(TIME, levels(*bids), levels(*asks), most)
    twice_mid = max(price for price, _ in bids) + min(price for price, _ in asks)
    for side, given_levels, sign in (("bid", bids, -1), ("ask", asks, 1)):
        sizes = [getattr(row, f"{side}_size_{band}") for band in BANDS]
        for band, size in zip(BANDS, sizes, strict=True):
            edge = twice_mid * (10_000 + sign * band)  # of 20,000
            inside = [s for price, s in given_levels if sign * (20_000 * price - edge) <= 0]
            reached = any(sign * (20_000 * price - edge) >= 0 for price, _ in given_levels)
            whole = most is None or len(given_levels) < most
            if size is None:
                assert not whole and not any(sign * (20_000 * price - edge) > 0 for price, _ in given_levels)
            else:
                assert (whole or reached) and size == sum(inside)
        known = [size for size in sizes if size is not None]
        assert known == sorted(known) and sizes[: len(known)] == known, "a wider band is null where a narrower one is"


def test_every_source_that_lists_the_dataset_asks_for_it() -> None:
    listed = {name for name, row in source_rows().items() if "order_book_depth" in row.datasets}
    assert listed == set(LEVELS) == {name for name, row in source_rows().items() if row.venue and get_source(name).collected}


@pytest.mark.parametrize("name", [name for name in LEVELS if cases(name).ccxt])
def test_ccxt_asks_the_same_and_reads_the_same_levels(name: str, emulator: Served, exchanges: Callable[[str], Any]) -> None:
    case, endpoint = cases(name), get_source(name).endpoint("order_book_depth")
    assert case.ccxt
    symbol, coin = next(iter(case.ccxt.instruments.items()))
    ours = Instrument(coin.coin if name == "hyperliquid" else symbol, "")
    [request] = endpoint.plan(ours, Window(NOW, NOW))
    answer = ask(emulator, name, written(request).partition(" ")[2])
    asked = emulator.requests()[-1]
    weight = 0 if name == "kraken_futures" else sum(request.weights.values())
    assert (asked["unread"], asked["weight"]) == ([], weight)
    page = endpoint.read(answer.content)
    [row] = endpoint.rows(page)
    found = exchanges(name).fetch_order_book(coin.symbol, LEVELS[name])
    theirs = emulator.requests()[-1]
    assert (theirs["path"], theirs["query"], theirs["body"].replace(" ", "")) == (
        prefix(name) + request.path,
        {key: str(value) for key, value in request.params.items()},
        asked["body"].replace(" ", ""),
    )
    pairs = [[Level(float(price), float(size)) for price, size, *_ in found[side]] for side in ("bids", "asks")]
    assert row == book(row.time, *pairs, MOST.get(name, LEVELS[name]))
    assert row.bid_levels >= 20 and row.bid_size_10 != 0 and row.time == (None if name == "dydx" else NOW)
    assert found["timestamp"] in (NOW, None)


@pytest.mark.parametrize("name", [name for name in LEVELS if name != "hyperliquid"])  # whose 20 levels reach no edge
def test_sizes_are_in_the_unit_that_staging_names(name: str, emulator: Served, store: SyntheticMarket) -> None:
    """A side of bitcoin's book within 0.1 % is as many coins as the store has there: by contract sizes that ccxt reads too."""
    client, endpoint = cases(name).ccxt, get_source(name).endpoint("order_book_depth")
    symbol = next(iter(client.instruments)) if client else "BTC-PERP"
    [request] = endpoint.plan(Instrument(symbol, ""), Window(NOW, NOW))
    [row] = endpoint.rows(endpoint.read(ask(emulator, name, written(request).partition(" ")[2]).content))
    coin = client.instruments[symbol] if client and symbol in client.instruments else None
    contract = coin.contract if coin else 1
    inverse = bool(client and (client.inverse or (coin and coin.inverse)))
    staging = (PROJECT / f"models/staging/{name}/stg_{name}__order_book_depth.sql").read_text()
    [unit] = re.findall(r"unit='(\w+)'", staging)
    coins = {
        "listed_base": row.ask_size_10,
        "contracts": (row.ask_coins_10 if inverse else row.ask_size_10) * contract,
        "quote": row.ask_coins_10,
    }[unit]
    market = Market(store, market_name(name) or "", 0)
    [listing] = [each for each in market.listings(NOW) if each.listed == "BTC"]
    edge = 1.001 * (row.best_bid + row.best_ask) / 2
    there = sum(size for price, size in books(market.snapshot(listing, NOW)).asks if price <= edge)
    # A level has at least one contract, which of Coinbase is a hundredth of a coin.
    assert coins == pytest.approx(there, rel=0.3 if name == "coinbase" else 0.02)


def test_a_book_of_aevo(emulator: Served) -> None:
    """Of which ccxt has nothing."""
    endpoint = get_source("aevo").endpoint("order_book_depth")
    [request] = endpoint.plan(Instrument("BTC-PERP", ""), Window(NOW, NOW))
    answer = ask(emulator, "aevo", written(request).partition(" ")[2])
    [row] = endpoint.rows(endpoint.read(answer.content))
    assert (row.time, row.bid_levels, row.ask_levels) == (NOW, 100, 100) and row.bid_reach > 0
    assert row.bid_size_200 is None, "a hundred levels don't reach so far, and nothing says that these are all"


@pytest.mark.parametrize(
    ("name", "field", "over"),
    [
        ("gate", "status", "delisted"),
        ("mexc", "state", 3),
        ("bitget", "symbol_status", "off"),
        ("kucoin", "status", "Closed"),
        ("htx_linear", "contract_status", 8),
        ("dydx", "status", "FINAL_SETTLEMENT"),
    ],
)
def test_nothing_is_polled_of_what_is_over(name: str, field: str, over: Any, emulator: Served) -> None:
    """A venue refuses it, and each round would fail."""
    source = get_source(name)
    endpoint = source.endpoint("instruments")
    [request, *_] = endpoint.plan(Instrument("", ""), Window(NOW, NOW))
    page = endpoint.read(ask(emulator, name, written(request).partition(" ")[2]).content)
    parse = source.parse_instruments
    assert parse
    before = {i.symbol for i in parse(page) if i.trading}
    setattr(endpoint.rows(page)[0], field, over)
    after = {i.symbol for i in parse(page) if i.trading}
    assert len(before - after) == 1 and len(after) > 3


def test_stamps_are_read_in_their_unit_and_one_that_cannot_be_is_refused() -> None:
    """A book in seconds, read as such and as milliseconds."""
    body = {"current": TIME / 1000, "bids": [{"p": "9", "s": 1}], "asks": [{"p": "10", "s": "2"}]}
    for unit, times in ((1000, [TIME]), (1, None)):
        shape = sides(None, time="current", unit=unit, level=named_level("p", "s"))
        page = msgspec.convert(body, shape["page"], strict=False)
        if times:
            assert [row.time for row in shape["rows"](page)] == times
        else:
            with pytest.raises(msgspec.ValidationError):
                shape["rows"](page)


@pytest.mark.parametrize(
    ("name", "path", "error"),
    [
        ("binance_usdm", "/fapi/v1/depth?symbol=BTCUSDT&limit=7", "invalid_parameter"),
        ("binance_usdm", "/fapi/v1/depth?symbol=BTCUSDT&limits=5", "unknown_parameter"),
        ("binance_usdm", "/fapi/v1/depth?limit=5", "missing_parameter"),
        ("bybit_linear", "/v5/market/orderbook?category=linear&symbol=BTCUSDT&limit=501", "invalid_parameter"),
        ("okx", "/api/v5/market/books-full?instId=BTC-USDT-SWAP&sz=5001", "invalid_parameter"),
        ("okx", "/api/v5/market/books?instId=BTC-USDT-SWAP&sz=401", "invalid_parameter"),
        ("kraken_futures", "/derivatives/api/v3/orderbook?symbol=PF_NOUSD", "unknown_instrument"),
        ("bitget", "/api/v2/mix/market/merge-depth?productType=USDT-FUTURES&symbol=BTCUSDT&limit=150", "invalid_parameter"),
        ("bitget", "/api/v2/mix/market/merge-depth?productType=USDT-FUTURES&symbol=NOPEUSDT&limit=max", "unknown_instrument"),
        ("gate", "/api/v4/futures/usdt/order_book?contract=BTC_USDT&limit=301", "invalid_parameter"),
        ("gate", "/api/v4/futures/usdt/order_book?contract=NOPE_USDT", "unknown_instrument"),
        ("htx_linear", "/linear-swap-ex/market/depth?contract_code=BTC-USDT&type=step6", "invalid_parameter"),
        ("htx_coinm", "/swap-ex/market/depth?contract_code=NOPE-USD&type=step0", "unknown_in_market_data"),
        ("deribit", "/api/v2/public/get_order_book?instrument_name=BTC-PERPETUAL&depth=7", "invalid_parameter"),
        ("dydx", "/v4/orderbooks/perpetualMarket/NOPE-USD", "unknown_instrument"),
        ("mexc", "/api/v1/contract/depth/NOPE_USDT", "unknown_instrument"),
        ("coinbase", "/api/v3/brokerage/market/product_book?product_id=NOPE", "unknown_instrument"),
        ("aevo", "/orderbook?instrument_name=NOPE-PERP", "unknown_instrument"),
        ("hyperliquid", '/info {"type": "l2Book", "coin": "NOPE"}', "unknown_instrument"),
        ("hyperliquid", '/info {"type": "l2Book", "coin": "BTC", "limit": 5}', "invalid_parameter"),
    ],
)
def test_the_emulator_refuses_as_the_venue_does(name: str, path: str, error: str, emulator: Served) -> None:
    assert ask(emulator, name, path).status_code == cases(name).errors[error].status


def test_books_are_the_same_for_one_minute_and_thinner_in_a_crash(store: SyntheticMarket) -> None:
    market = Market(store, "binance", 0)
    [listing] = [each for each in market.listings(NOW) if each.listed == "BTC"]
    bars = market.candles("BTC", "trade")
    assert bars is not None
    ranges = (bars.high - bars.low) / bars.close
    crash, calm = (int(bars.opened_at[at]) + MS_HOUR for at in (int(np.argmax(ranges)), int(np.argmin(ranges))))

    def share(now: int) -> float:
        at = market.snapshot(listing, now)
        found = books(at)
        return sum(size for _, size in found.bids) / at.size

    assert books(market.snapshot(listing, calm)) == books(market.snapshot(listing, calm + 59_000))
    assert books(market.snapshot(listing, calm)) != books(market.snapshot(listing, calm + 60_000))
    assert share(crash) < share(calm) / 2
