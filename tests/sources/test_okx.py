"""OKX: what its page says, by hand, and ccxt reading the same from the emulator."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served
from pipelines.source import Instrument, Request
from pipelines.windows import Window
from tests.infra.emulator.conftest import ask
from tests.sources.kit import (
    DAY,
    NOW,
    Sample,
    decoded,
    exact,
    fetch_from_emulator,
    get_source,
    load_and_query,
    next_request,
    planned_requests,
    store_rows,
    through_ccxt,
    wire_samples,
)
from tests.sources.samples import WIRE

NAME = "okx"
ENDPOINTS = {
    "/api/v5/public/instruments": "instruments",
    "/api/v5/public/funding-rate": "running_rates",
    "/api/v5/public/mark-price": "mark_prices",
    "/api/v5/public/open-interest": "open_interest_now",
    "/api/v5/rubik/stat/contracts/open-interest-history": "open_interest",
    "/api/v5/public/funding-rate-history": "funding_rates",
    "/api/v5/market/history-candles": "candles",
    "/api/v5/market/candles": "candles",  # the same rows, of late
    "/api/v5/market/mark-price-candles": "mark_candles",
    "/api/v5/market/index-candles": "index_candles",
}
NAUTILUS = {
    f"okx/http_get_{name}.json": dataset
    for name, dataset in {
        "candlesticks": "candles",
        "candlesticks_full": "candles",
        "funding_rate_history": "funding_rates",
        "instruments_futures": "instruments",
        "instruments_margin": "instruments",
        "instruments_swap": "instruments",
        "mark_price": "mark_prices",
    }.items()
}
SAMPLES = wire_samples(ENDPOINTS, ["www.okx.com"], examples="okx", nautilus=NAUTILUS)
#: Contracts in the emulator, as it says them; on the venue's page for the first and the last.
SIZES = {"BTC": 0.01, "PEPE": 10_000_000}


# --- what is asked ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("symbol", ["BTC-USDT-SWAP", "BTC-USD-SWAP"])
def test_the_requests_of_two_days(symbol: str) -> None:
    """10 and 11 October 2025. Both bounds are exclusive: the first row at 1760054400000, the last before 1760227200000."""
    api, pair = "GET https://www.okx.com/api/v5", symbol.removesuffix("-SWAP")
    span, bars = "before=1760054399999&after=1760227200000", "bar=1H&before=1760054399999&after=1760227200000"
    assert planned_requests(NAME, symbol, Window(1760054400000, 1760227200000), without="liquidations") == {
        "instruments": [f"{api}/public/instruments?instType=SWAP"],
        "running_rates": [f"{api}/public/funding-rate?instId=ANY"],
        "mark_prices": [f"{api}/public/mark-price?instType=SWAP"],
        "open_interest_now": [f"{api}/public/open-interest?instType=SWAP"],
        "open_interest": [
            f"{api}/rubik/stat/contracts/open-interest-history?instId={symbol}&period=1H"
            "&begin=1760054399999&end=1760227200000&limit=100"
        ],
        "funding_rates": [f"{api}/public/funding-rate-history?instId={symbol}&{span}&limit=400"],
        "candles": [f"{api}/market/history-candles?instId={symbol}&{bars}&limit=300"],
        "mark_candles": [f"{api}/market/history-mark-price-candles?instId={symbol}&{bars}&limit=100"],
        # An index goes by the pair.
        "index_candles": [f"{api}/market/history-index-candles?instId={pair}&{bars}&limit=100"],
    }


@pytest.mark.parametrize(
    ("dataset", "hours"), [("open_interest", 100), ("funding_rates", 400), ("candles", 300), ("mark_candles", 100)]
)
def test_no_request_is_for_more_hours_than_its_page_holds(dataset: str, hours: int) -> None:
    requests = list(get_source(NAME).endpoint(dataset).plan(Instrument("BTC-USDT-SWAP", "BTC"), Window(NOW - 60 * DAY, NOW)))
    assert {r.params["limit"] for r in requests} == {hours}
    windows = [r.window for r in requests if r.window]
    assert all((w.end - w.start) // MS_HOUR <= hours for w in windows)
    assert sum(w.end - w.start for w in windows) == 60 * DAY


# --- what follows -----------------------------------------------------------------------------------------------------------


#: A multiple of 400, 300 and 100 hours: 18 July 2016.
START = 408_000 * MS_HOUR


def asked_for(dataset: str, hours: int) -> Request:
    window = Window(START, START + hours * MS_HOUR)
    [only] = get_source(NAME).endpoint(dataset).plan(Instrument("BTC-USDT-SWAP", "BTC"), window)
    return only


def page(dataset: str, *hours: int) -> dict[str, Any]:
    """A body of rows so many hours after `START`."""
    times = [str(START + hour * MS_HOUR) for hour in hours]
    rate = {"instId": "BTC-USDT-SWAP", "realizedRate": "0.0001", "fundingRate": "0.0002"}
    numbers = ["1"] * {"open_interest": 3, "candles": 8, "mark_candles": 5}.get(dataset, 0)
    rows = [{**rate, "fundingTime": t} for t in times] if dataset == "funding_rates" else [[t, *numbers] for t in times]
    return {"code": "0", "msg": "", "data": rows}


@pytest.mark.parametrize(("dataset", "hours"), [("funding_rates", 400), ("candles", 300)])
def test_a_page_that_was_cut_goes_on_before_its_oldest_row(dataset: str, hours: int) -> None:
    """The newest 100 rows come where more were asked for, as when 100 was the longest page."""
    first = asked_for(dataset, hours)
    oldest = START + (hours - 100) * MS_HOUR
    second = next_request(NAME, dataset, first, page(dataset, *range(hours - 1, hours - 101, -1)))
    assert second is not None
    assert second.params == {**first.params, "after": oldest, "before": START - 1}
    assert second.window == Window(START, oldest)
    assert next_request(NAME, dataset, second, page(dataset, *range(hours - 101, -1, -1))) is None


@pytest.mark.parametrize(
    ("dataset", "hours"), [("funding_rates", 400), ("candles", 300), ("mark_candles", 100), ("open_interest", 100)]
)
def test_nothing_follows_a_page_that_is_short_or_whole(dataset: str, hours: int) -> None:
    asked = asked_for(dataset, hours)
    assert next_request(NAME, dataset, asked, page(dataset)) is None
    assert next_request(NAME, dataset, asked, page(dataset, 96, 88)) is None
    assert next_request(NAME, dataset, asked, page(dataset, *range(hours - 1, -1, -1))) is None


# --- errors -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, '{"msg":"Too Many Requests","code":"50011"}', "limited"),
        (200, '{"code":"50011","msg":"Too Many Requests","data":[]}', "limited"),
        (200, '{"code":"51001","msg":"Instrument ID does not exist","data":[]}', "rejected"),
        (400, '{"code":"51000","msg":"Parameter limit error","data":[]}', "rejected"),
        (200, '{"code":"50001","msg":"Service temporarily unavailable","data":[]}', "transient"),
        (503, '{"code":"50013","msg":"Systems are busy","data":[]}', "transient"),
        (200, '{"code":"99999","msg":"never seen","data":[]}', "rejected"),
        (200, '{"code":"0","msg":"","data":[]}', None),
        (403, "<html>Forbidden</html>", None),  # its status says it
        (200, '{"data":[]}', None),
    ],
)
def test_errors(status: int, body: str, kind: str | None) -> None:
    said = get_source(NAME).error(status, body.encode())
    assert (said and said.kind) == kind
    assert said is None or json.loads(body)["code"] in said.message


# --- samples ----------------------------------------------------------------------------------------------------------------

BARS = dict(zip(("open_time", "open", "high", "low", "close"), range(5), strict=True))
COLUMNS: dict[str, dict[str, str | int]] = {
    "instruments": {
        "symbol": "instId",
        "state": "state",
        "inst_type": "instType",
        "inst_family": "instFamily",
        "uly": "uly",
        "settle_ccy": "settleCcy",
        "ct_type": "ctType",
        "ct_val": "ctVal",
        "ct_mult": "ctMult",
        "ct_val_ccy": "ctValCcy",
        "rule_type": "ruleType",
        "inst_category": "instCategory",
        "list_time": "listTime",
        "exp_time": "expTime",
    },
    "running_rates": {
        "symbol": "instId",
        "inst_type": "instType",
        "funding_rate": "fundingRate",
        "funding_time": "fundingTime",
        "next_funding_time": "nextFundingTime",
    },
    "funding_rates": {
        "symbol": "instId",
        "funding_time": "fundingTime",
        "realized_rate": "realizedRate",
        "funding_rate": "fundingRate",
    },
    "mark_prices": {"symbol": "instId", "mark_px": "markPx", "ts": "ts"},
    "open_interest_now": {"symbol": "instId", "oi": "oi", "oi_ccy": "oiCcy", "ts": "ts", "oi_usd": "oiUsd"},
    "candles": BARS | {"vol": 5, "vol_ccy": 6, "vol_ccy_quote": 7},
    "mark_candles": BARS,
    "index_candles": BARS,
}


@pytest.mark.skipif(not WIRE.is_dir(), reason="../shared/recordings/wire is absent: no recorded bytes to hold against")
def test_no_sample_is_left_out() -> None:
    """Five lists of instruments that cryptofeed asked for five times, nine documented examples, seven of nautilus_trader."""
    assert len(SAMPLES) == 25 + 9 + 7
    files = {f"okx/{f.name}" for f in (WIRE / "documented" / "nautilus_trader" / "okx").glob("http_*")}
    assert files == {*NAUTILUS, "okx/http_get_index_price.json"}


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_a_sample_decodes_to_the_values_that_it_holds(sample: Sample) -> None:
    def said(row: Any, where: str | int, column: str) -> Any:
        raw = row.get(where, "") if isinstance(where, str) else row[where]
        text = {"symbol", "state", "inst_type", "inst_family", "uly", "settle_ccy", "ct_type", "ct_val_ccy", "rule_type"}
        if column in text | {"inst_category"}:
            return raw
        if raw == "":
            return None
        return int(raw) if column.endswith("time") or column == "ts" else float(Decimal(raw))

    columns = COLUMNS[sample.dataset]
    expected = [{c: said(row, where, c) for c, where in columns.items()} for row in exact(sample)["data"]]
    assert decoded(NAME, sample) == expected
    assert expected


# --- the traps of the venue's page ------------------------------------------------------------------------------------------


def read(dataset: str, *rows: Any) -> list[dict[str, Any]]:
    return decoded(NAME, Sample("by hand", dataset, 200, json.dumps({"code": "0", "msg": "", "data": rows}).encode()))


SWAP = {"instType": "SWAP", "state": "live", "ctMult": "1", "baseCcy": "", "quoteCcy": ""}
LINEAR = SWAP | {"instId": "BTC-USDT-SWAP", "uly": "BTC-USDT", "ctType": "linear", "ctVal": "0.01", "ctValCcy": "BTC"}


def test_instruments_are_swaps_in_usdt_and_usd_by_their_pair() -> None:
    """Base and quote are empty; what is listed next has nothing at all; XPERPs are dated futures; older lists have no family."""
    rows = [
        LINEAR | {"settleCcy": "USDT"},
        SWAP | {"instId": "BTC-USD-SWAP", "uly": "BTC-USD", "instFamily": "BTC-USD", "ctType": "inverse", "settleCcy": "BTC"},
        SWAP | {"instId": "1INCH-USDT-SWAP", "uly": "", "instFamily": "1INCH-USDT", "ctType": "linear", "settleCcy": "USDT"},
        SWAP | {"instId": "BTC-USDC-SWAP", "uly": "BTC-USDC", "ctType": "linear", "settleCcy": "USDC"},
        {"instId": "ETH-USD_UM-SWAP", "instType": "SWAP", "state": "preopen"},
        SWAP
        | {"instId": "BTC-USD_UM_XPERP-310404", "uly": "BTC-USD", "ctType": "linear", "instType": "FUTURES", "ruleType": "xperp"},
    ]
    instruments = get_source(NAME).endpoint("instruments")
    body = instruments.read(json.dumps({"code": "0", "msg": "", "data": rows}).encode())
    found = get_source(NAME).parse_instruments
    assert found is not None
    assert [(i.symbol, i.base_asset) for i in found(body)] == [
        ("BTC-USDT-SWAP", "BTC"),
        ("BTC-USD-SWAP", "BTC"),
        ("1INCH-USDT-SWAP", "1INCH"),
    ]


def test_what_was_charged_is_not_what_was_forecast() -> None:
    row = {
        "instType": "SWAP", "instId": "BTC-USDT-SWAP", "fundingRate": "0.0001515032", "realizedRate": "0.00015",
        "fundingTime": "1704067200000", "method": "current_period", "formulaType": "withRate",
    }  # fmt: skip
    assert read("funding_rates", row) == [
        {"symbol": "BTC-USDT-SWAP", "funding_time": 1704067200000, "realized_rate": 0.00015, "funding_rate": 0.0001515032}
    ]
    for missing in ({k: v for k, v in row.items() if k != "realizedRate"}, row | {"realizedRate": ""}):
        with pytest.raises(ValueError, match="realizedRate"):
            read("funding_rates", missing)


def test_the_running_rate_of_an_xperp_says_that_it_is_a_future() -> None:
    """A recorded row: 8 hours from the coming settlement to the next."""
    row = {
        "formulaType": "withRate", "fundingRate": "-0.0004270396398519", "fundingTime": "1785888000000", "impactValue": "10000",
        "instId": "BTC-USD_UM_XPERP-310404", "instType": "FUTURES", "interestRate": "0.0001", "maxFundingRate": "0.00375",
        "method": "current_period", "minFundingRate": "-0.00375", "nextFundingRate": "", "nextFundingTime": "1785916800000",
        "premium": "-0.00089495", "prevFundingTime": "1785859200000", "settFundingRate": "-0.0001996513270201",
        "settState": "settled", "ts": "1785870855692",
    }  # fmt: skip
    assert read("running_rates", row) == [
        {
            "symbol": "BTC-USD_UM_XPERP-310404", "inst_type": "FUTURES", "funding_rate": -0.0004270396398519,
            "funding_time": 1785888000000, "next_funding_time": 1785916800000,
        }
    ]  # fmt: skip


def test_a_bar_states_its_volume_thrice() -> None:
    """628 contracts of 100 USD."""
    row = ["1678928760000", "24341.4", "24344", "24313.2", "24323", "628", "2.5819", "62800", "0"]
    [bar] = read("candles", row)
    assert (bar["open_time"], bar["close"]) == (1678928760000, 24323.0)
    assert (bar["vol"], bar["vol_ccy"], bar["vol_ccy_quote"]) == (628.0, 2.5819, 62800.0)


def test_what_the_venue_forgets_is_not_asked_for() -> None:
    kept = {d.name: d.history_days for d in get_source(NAME).endpoints if d.history_days}
    assert kept == {"funding_rates": 90, "open_interest": 1440 / 24, "liquidations": 7}


# --- the emulator -----------------------------------------------------------------------------------------------------------


def test_after_is_older_and_before_alone_is_the_latest(emulator: Served) -> None:
    url = f"{emulator.url}/okx/api/v5/public/funding-rate-history"

    def times(**params: Any) -> list[int]:
        return [int(row["fundingTime"]) for row in ask(url, instId="BTC-USDT-SWAP", **params).json["data"]]

    eight = 8 * MS_HOUR
    assert times(limit=2, after=NOW - DAY) == [NOW - DAY - eight, NOW - DAY - 2 * eight]
    assert times(limit=2, before=NOW - 9 * DAY) == [NOW, NOW - eight]
    assert times(before=NOW - DAY, after=NOW) == [NOW - eight, NOW - 2 * eight]
    assert len(times()) == 90 * 3 + 1 and min(times()) == NOW - 90 * DAY


def test_open_interest_ends_after_1440_entries_in_pages_of_100(emulator: Served) -> None:
    url, rows, end = f"{emulator.url}/okx/api/v5/rubik/stat/contracts/open-interest-history", [], NOW + 1
    while page := ask(url, instId="BTC-USDT-SWAP", period="1H", end=end).json["data"]:
        assert len(page) <= 100
        rows += page
        end = int(rows[-1][0])
    assert [int(row[0]) for row in rows] == [NOW - hour * MS_HOUR for hour in range(1440)]


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        ("market/history-candles", {"bar": "1H", "limit": 301}, "51000"),
        ("market/history-mark-price-candles", {"bar": "1H", "limit": 101}, "51000"),
        ("public/funding-rate-history", {"limit": 401}, "51000"),
        ("rubik/stat/contracts/open-interest-history", {"period": "1H", "limit": 101}, "51000"),
        ("market/history-candles", {"bar": "1D"}, "51000"),
        ("public/funding-rate-history", {"instId": "NONE-USDT-SWAP"}, "51001"),
        ("public/funding-rate-history", {"instId": ""}, "50014"),
    ],
)
def test_the_emulator_refuses_as_the_venue_does(emulator: Served, path: str, params: dict[str, Any], code: str) -> None:
    answer = ask(f"{emulator.url}/okx/api/v5/{path}", **{"instId": "BTC-USDT-SWAP", **params})
    assert answer.json["code"] == code
    said = get_source(NAME).error(answer.status, json.dumps(answer.json).encode())
    assert said is not None and said.kind == "rejected"


def test_being_told_to_wait_is_waited_for(emulator: Served, tmp_path: Path) -> None:
    emulator.fault("429", venue="okx", path_contains="history-candles", retry_after=0.1)
    emulator.fault("error_200", venue="okx", path_contains="open-interest-history")
    _, result = fetch_from_emulator(NAME, emulator, tmp_path, assets=["BTC"])
    assert not result.failures and any("50011" in warning for warning in result.warnings)


def test_the_warehouse_holds_what_the_store_holds(emulator: Served, store: SyntheticMarket, tmp_path: Path) -> None:
    query = load_and_query(NAME, emulator, tmp_path)
    for coin, size in SIZES.items():
        symbol = f"'{coin}-USDT-SWAP'"
        funding, oi = store.funding("okx", coin), store.open_interest("okx", coin)
        assert funding is not None and oi is not None
        rows = query(
            f"select funding_time, realized_rate, funding_rate from raw.okx__funding_rates where symbol = {symbol} order by 1"
        )
        assert [(t, rate) for t, rate, _ in rows] == [(t, rate) for t, rate, _ in store_rows(funding)]
        assert all(forecast != charged for _, charged, forecast in rows)
        rows = query(f"select ts, oi_ccy, oi, oi_usd from raw.okx__open_interest where symbol = {symbol} order by 1")
        assert [(t, coins) for t, coins, *_ in rows] == [(t, coins) for t, coins, _ in store_rows(oi)]
        np.testing.assert_allclose([n * size for _, _, n, _ in rows], [coins for _, coins, _ in store_rows(oi)], rtol=1e-7)
        np.testing.assert_allclose([usd for *_, usd in rows], [coins * mark for _, coins, mark in store_rows(oi)], rtol=1e-12)
        for table, kind in (("candles", "trade"), ("mark_candles", "mark"), ("index_candles", "index")):
            bars = store.candles("okx", coin, kind)  # type: ignore[arg-type]
            rows = query(f"select open_time, open, high, low, close from raw.okx__{table} where symbol = {symbol} order by 1")
            assert rows == [row[:5] for row in store_rows(bars)] and len(rows) == 48
        rows = query(
            f"select vol * {size}, vol_ccy, vol_ccy_quote from raw.okx__candles where symbol = {symbol} order by open_time"
        )
        bars = store.candles("okx", coin, "trade")
        assert [row[1:] for row in rows] == [row[5:7] for row in store_rows(bars)]
        np.testing.assert_allclose([contracts for contracts, *_ in rows], [row[5] for row in store_rows(bars)], rtol=1e-7)
        [now] = query(
            f"select o.oi * i.ct_val * i.ct_mult, m.mark_px, r.funding_rate, r.funding_time, r.next_funding_time"
            f" from raw.okx__open_interest_now as o join raw.okx__instruments as i using (symbol)"
            f" join raw.okx__mark_prices as m using (symbol) join raw.okx__running_rates as r using (symbol)"
            f" where symbol = {symbol}"
        )
        mark = store.candles("okx", coin, "mark")
        assert mark is not None
        assert now[0] == pytest.approx(float(oi.size[oi.observed_at == NOW][0]))
        assert now[1] == float(mark.close[mark.opened_at == NOW - MS_HOUR][0])
        assert now[2:] == (store.running_rate("okx", coin, NOW), NOW + 8 * MS_HOUR, NOW + 16 * MS_HOUR)


# --- ccxt -------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exchange(_served: Served) -> Any:
    pytest.importorskip("ccxt")
    return through_ccxt("okx", _served, "https://{hostname}", "/okx")


def column(bundle: Any, name: str, since: int, until: int) -> list[Any]:
    times = next(iter(vars(bundle).values()))
    return list(getattr(bundle, name)[(times >= since) & (times <= until)].tolist())


def test_ccxt_reads_the_instruments(exchange: Any, store: SyntheticMarket) -> None:
    swaps = {m["id"]: m for m in exchange.markets.values() if m["swap"]}
    assert set(swaps) == {f"{x.listed}-USDT-SWAP" for x in store.listings("okx")} and len(swaps) == 8
    for coin, size in SIZES.items():
        market = swaps[f"{coin}-USDT-SWAP"]
        assert (market["base"], market["quote"], market["settle"]) == (coin, "USDT", "USDT")
        assert market["linear"] and market["active"] and market["contractSize"] == size


@pytest.mark.parametrize("coin", SIZES)
def test_ccxt_reads_the_funding_history(exchange: Any, store: SyntheticMarket, coin: str) -> None:
    rows = exchange.fetch_funding_rate_history(f"{coin}/USDT:USDT", NOW - 30 * DAY, 400)
    held = store.funding("okx", coin)
    assert [r["timestamp"] for r in rows] == column(held, "settled_at", NOW - 30 * DAY, NOW)
    assert [r["fundingRate"] for r in rows] == column(held, "rate", NOW - 30 * DAY, NOW)
    assert len(rows) == 91


@pytest.mark.parametrize("coin", SIZES)
@pytest.mark.parametrize(
    ("kind", "days"), [("trade", 100), ("trade", 12), ("mark", 100), ("mark", 4), ("index", 100), ("index", 4)]
)
def test_ccxt_reads_candles(exchange: Any, store: SyntheticMarket, coin: str, kind: Any, days: int) -> None:
    """Long ago it asks for the history, of late for the last bars."""
    since, limit = NOW - days * DAY, 300 if kind == "trade" else 100
    rows = exchange.fetch_ohlcv(f"{coin}/USDT:USDT", "1h", since, limit, {} if kind == "trade" else {"price": kind})
    held = store.candles("okx", coin, kind)
    until = min(since + (limit - 1) * MS_HOUR, NOW - MS_HOUR)
    for at, name in enumerate(("opened_at", "open", "high", "low", "close")):
        assert [row[at] for row in rows] == column(held, name, since, until)
    if kind == "trade":
        assert [row[5] for row in rows] == column(held, "volume", since, until)
    assert len(rows) >= 96


@pytest.mark.parametrize("coin", SIZES)
def test_ccxt_reads_open_interest_and_running_rates(exchange: Any, store: SyntheticMarket, coin: str) -> None:
    symbol, held, since = f"{coin}/USDT:USDT", store.open_interest("okx", coin), NOW - 4 * DAY
    rows = exchange.fetch_open_interest_history(symbol, "1h", since, 100)
    assert [row["timestamp"] for row in rows] == column(held, "observed_at", since, NOW)
    assert [row["baseVolume"] for row in rows] == column(held, "size", since, NOW)
    contracts = np.array([row["openInterestAmount"] for row in rows])
    np.testing.assert_allclose(contracts * SIZES[coin], column(held, "size", since, NOW), rtol=1e-7)
    now = exchange.fetch_open_interest(symbol)
    assert now["baseVolume"] == column(held, "size", NOW, NOW)[0] and now["openInterestAmount"] == contracts[-1]
    rate = exchange.fetch_funding_rates()[symbol]
    assert (rate["fundingRate"], rate["interval"]) == (store.running_rate("okx", coin, NOW), "8h")
    assert rate["fundingTimestamp"] == NOW + 8 * MS_HOUR
