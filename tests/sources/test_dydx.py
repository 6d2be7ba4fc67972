"""dYdX v4 as its page states it: what is asked, how pages follow, what errors say, every sample, and ccxt on the emulator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import msgspec
import pytest

from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served, serve
from pipelines.source import Instrument, Request
from pipelines.windows import HOUR, Window
from tests.sources.kit import (
    DAY,
    NOW,
    WINDOW,
    Sample,
    decoded,
    exact,
    fetched,
    following,
    get_source,
    loaded,
    planned,
    samples,
    seen,
    through_ccxt,
)

INDEXER = "https://indexer.dydx.trade/v4"
#: 1760054400000 = 2025-10-10T00:00Z.
TWO_DAYS = Window(1_760_054_400_000, 1_760_227_200_000)
POOL = "FARTCOIN,RAYDIUM,9BB6NFECJBCTNNLFKO2FQVQBQ8HHM13KCYYCDQBGPUMP-USD"


# --- requests and pages -----------------------------------------------------------------------------------------------------


def test_two_days_make_these_requests() -> None:
    assert planned("dydx", "BTC-USD", TWO_DAYS) == {
        "instruments": [f"GET {INDEXER}/perpetualMarkets"],
        # no start: 48 hours back from the end, and one row more
        "funding_rates": [f"GET {INDEXER}/historicalFunding/BTC-USD?limit=49&effectiveBeforeOrAt=2025-10-11T23%3A59%3A59.999Z"],
        "candles": [
            f"GET {INDEXER}/candles/perpetualMarkets/BTC-USD?resolution=1HOUR&limit=1000"
            "&fromISO=2025-10-10T00%3A00%3A00.000Z&toISO=2025-10-11T23%3A59%3A59.999Z"
        ],
    }


def test_no_page_of_candles_has_more_hours_than_a_page_has_rows() -> None:
    plan = get_source("dydx").endpoint("candles").plan
    windows = [r.window for r in plan(Instrument("BTC-USD", "BTC"), Window(NOW - 100 * DAY, NOW)) if r.window]
    assert sum(w.end - w.start for w in windows) == 100 * DAY
    assert max(w.end - w.start for w in windows) == 1000 * HOUR


def test_a_ticker_of_commas_is_quoted() -> None:
    quoted = POOL.replace(",", "%2C")
    assert planned("dydx", POOL, TWO_DAYS)["funding_rates"][0].startswith(f"GET {INDEXER}/historicalFunding/{quoted}?")
    assert planned("dydx", POOL, TWO_DAYS)["candles"][0].startswith(f"GET {INDEXER}/candles/perpetualMarkets/{quoted}?")


def funding_page(*stamps: str) -> dict[str, Any]:
    return {"historicalFunding": [{"ticker": "A", "rate": "0", "price": "1", "effectiveAt": s} for s in stamps]}


def test_funding_is_followed_back_until_a_row_from_before_the_window() -> None:
    asked = Request("/", {"limit": 2, "effectiveBeforeOrAt": "later"}, window=TWO_DAYS, clip_start=True)
    within, start = "2025-10-10T01:00:00.586Z", "2025-10-10T00:00:00.219Z"
    more = following("dydx", "funding_rates", asked, funding_page(within, start))
    assert more == replace(asked, params={"limit": 2, "effectiveBeforeOrAt": "2025-10-10T00:00:00.218Z"})
    # a row from before the window, a page that is not full, nothing at all: the end
    assert following("dydx", "funding_rates", asked, funding_page(start, "2025-10-09T23:00:00.112Z")) is None
    assert following("dydx", "funding_rates", asked, funding_page(start)) is None
    assert following("dydx", "funding_rates", asked, funding_page()) is None


# --- errors and traps -------------------------------------------------------------------------------------------------------


def test_errors_by_kind() -> None:
    def kind(status: int, body: bytes) -> str | None:
        said = get_source("dydx").error(status, body)
        return said.kind if said else None

    said = b'{"errors":[{"msg":"%s","param":"limit","location":"query"}]}'
    assert kind(400, said % b"limit must be a positive integer that is not greater than max: 1000") == "rejected"
    assert kind(404, said % b"NO-USD not found in markets of type perpetual") == "rejected"
    assert kind(429, said % b"Too many requests") == "limited"
    assert kind(403, b'{"errors":[{"msg":"a jurisdiction that violates our terms of use","code":"GEOBLOCKED"}]}') == "blocked"
    assert kind(403, b"<html></html>") == "blocked"
    assert kind(500, said % b"Internal Server Error") == kind(200, said % b"Internal Server Error") == "transient"
    assert kind(200, b'{"candles":[]}') is kind(502, b"<html></html>") is None


def test_the_base_stands_before_the_first_comma() -> None:
    page = (
        get_source("dydx")
        .endpoint("instruments")
        .read(json.dumps({"markets": {t: {"ticker": t, "status": "ACTIVE"} for t in ("BTC-USD", POOL)}}).encode())
    )
    of = get_source("dydx").parse_instruments
    assert of and of(page) == [Instrument("BTC-USD", "BTC"), Instrument(POOL, "FARTCOIN")]


def test_a_list_of_markets_that_can_be_cut_is_refused() -> None:
    dataset = get_source("dydx").endpoint("instruments")
    page = {"markets": {str(n): {"ticker": f"{n}-USD", "status": "ACTIVE"} for n in range(1000)}}
    with pytest.raises(ValueError, match="may have been cut"):
        dataset.rows(dataset.read(json.dumps(page).encode()))


@pytest.mark.parametrize("stamp", ["2025-12-08T16:00:00.219", "1970-01-01T00:00:00.000Z", "1765209600219", "", "soon"])
def test_a_time_that_is_none_names_its_field(stamp: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"historicalFunding\[0\].effectiveAt"):
        get_source("dydx").endpoint("funding_rates").read(json.dumps(funding_page(stamp)).encode())


def test_a_new_market_has_no_rate_yet() -> None:
    market = {"ticker": "NEW-USD", "status": "INITIALIZING", "oraclePrice": None, "nextFundingRate": None, "openInterest": "0"}
    found = decoded("dydx", Sample("", "instruments", 200, json.dumps({"markets": {"NEW-USD": market}}).encode()))
    assert found == [
        {"ticker": "NEW-USD", "status": "INITIALIZING", "oracle_price": None, "next_funding_rate": None, "open_interest": 0.0}
    ]


# --- samples ----------------------------------------------------------------------------------------------------------------

NAMES = {
    "instruments": "ticker status oraclePrice nextFundingRate openInterest",
    "funding_rates": "ticker effectiveAt rate price",
    "candles": "ticker startedAt open high low close baseTokenVolume usdVolume trades startingOpenInterest",
}
#: The three REST samples of endpoints that we read; their outer envelope the API itself does not send.
SAMPLES = [
    replace(s, body=json.dumps(json.loads(s.body)["result"]).encode())
    for s in samples(
        {"/v4/perpetualMarkets": "instruments"},
        ["indexer.dydx.trade"],
        nautilus={
            "dydx/http_get_perpetual_markets.json": "instruments",
            "dydx/http_get_historical_funding.json": "funding_rates",
            "dydx/http_get_candles.json": "candles",
        },
    )
]


@pytest.mark.skipif(not SAMPLES, reason="../shared/recordings/wire is absent: no recorded bytes to hold against")
def test_every_sample_decodes_to_the_values_that_it_holds() -> None:
    assert [len(decoded("dydx", s)) for s in SAMPLES] == [3, 3, 3]
    for sample in SAMPLES:
        [content] = exact(sample).values()
        rows = list(content.values()) if isinstance(content, dict) else content
        for found, row in zip(decoded("dydx", sample), rows, strict=True):
            for value, name in zip(found.values(), NAMES[sample.dataset].split(), strict=True):
                if name.endswith("At"):
                    at = datetime.fromisoformat(row[name])
                    assert value == int(Decimal(str(at.timestamp())) * 1000)
                elif isinstance(value, float):
                    assert value == float(Decimal(row[name]))
                else:
                    assert value == row[name]


@pytest.mark.skipif(not SAMPLES, reason="../shared/recordings/wire is absent: no recorded bytes to hold against")
def test_a_documented_stamp_by_hand() -> None:
    [sample] = [s for s in SAMPLES if s.dataset == "funding_rates"]
    assert decoded("dydx", sample)[0] == {
        "ticker": "BTC-USD", "effective_at": 1_765_209_600_219, "rate": 0.000002375, "price": 89993.8
    }  # fmt: skip


# --- the emulator -----------------------------------------------------------------------------------------------------------


def test_what_is_loaded_is_what_the_store_holds(emulator: Served, store: SyntheticMarket, tmp_path: Path) -> None:
    query = loaded("dydx", emulator, tmp_path)
    assert {x for (x,) in query("select distinct ticker from raw.dydx__candles")} == {"BTC-USD", "PEPE-USD"}
    for coin in ("BTC", "PEPE"):
        rates = query(f"select effective_at, rate, price from raw.dydx__funding_rates where ticker = '{coin}-USD' order by 1")
        assert rates == list(seen(store.funding("dydx", coin)))
        assert len(rates) == 48 and all(0 <= at % HOUR <= 600 for at, *_ in rates)
        bars = query(
            "select started_at, open, high, low, close, base_token_volume, usd_volume, trades"
            f" from raw.dydx__candles where ticker = '{coin}-USD' order by 1"
        )
        assert bars == list(seen(store.candles("dydx", coin, "trade")))
        held = query(f"select started_at, starting_open_interest from raw.dydx__candles where ticker = '{coin}-USD' order by 1")
        assert held == [(at, size) for at, size, _ in seen(store.open_interest("dydx", coin))]


def test_a_window_longer_than_a_page_of_funding_is_read_whole(emulator: Served, store: SyntheticMarket, tmp_path: Path) -> None:
    window = Window(NOW - 90 * DAY, NOW)
    _, result = fetched("dydx", emulator, tmp_path, window, assets=["BTC"])
    assert not result.failures and not result.quarantined
    pages = [e for e in result.entries if e.dataset == "funding_rates"]
    assert [e.last for e in pages] == [False, False, True]  # 2160 hours
    query = loaded("dydx", emulator, tmp_path / "other", assets=["BTC"], window=window)
    assert query("select effective_at from raw.dydx__funding_rates order by 1") == [
        (at,) for at, *_ in seen(store.funding("dydx", "BTC"), window)
    ]


def test_rows_from_before_the_window_come_along_and_later_ones_do_not(emulator: Served, tmp_path: Path) -> None:
    late = {"ticker": "BTC-USD", "rate": "0.5", "price": "1", "effectiveAt": "2026-11-22T00:00:00.000Z"}
    emulator.fault("error_200", venue="dydx", path_contains="historicalFunding", body=json.dumps({"historicalFunding": [late]}))
    emulator.clear_requests()
    query = loaded("dydx", emulator, tmp_path, assets=["BTC"])
    asked = [r for r in emulator.requests() if "historicalFunding" in r["path"]]
    assert [r["fault"] for r in asked] == ["error_200", None]
    # 49 rows came, of which the first is the hour before the window's
    assert query("select count(*), min(effective_at) // 3600000 * 3600000 from raw.dydx__funding_rates") == [(48, WINDOW.start)]


def get(emulator: Served, path: str) -> Any:
    with urlopen(emulator.url + "/dydx/v4/" + path) as answer:
        return json.load(answer)


def test_the_snapshot_is_the_markets_now(emulator: Served, store: SyntheticMarket) -> None:
    [(name, market)] = get(emulator, "perpetualMarkets?market=PEPE-USD")["markets"].items()
    size = list(seen(store.open_interest("dydx", "PEPE"), Window(NOW - DAY, NOW + 1)))[-1][1]
    oracle = list(seen(store.candles("dydx", "PEPE", "index")))[-1][4]
    assert (name, float(market["openInterest"]), float(market["oraclePrice"])) == ("PEPE-USD", size, oracle)
    assert float(market["nextFundingRate"]) == store.running_rate("dydx", "PEPE", NOW)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("historicalFunding/BTC-USD?limit=1001", 400),
        ("historicalFunding/BTC-USD?effectiveBeforeOrAt=soon", 400),
        ("historicalFunding/NO-USD", 404),
        ("candles/perpetualMarkets/BTC-USD?resolution=1h", 400),
        ("candles/perpetualMarket/BTC-USD?resolution=1HOUR", 404),
    ],
)
def test_the_emulator_refuses_as_the_venue(emulator: Served, path: str, status: int) -> None:
    with pytest.raises(OSError) as refused:
        get(emulator, path)
    said = get_source("dydx").error(refused.value.code, refused.value.read())  # type: ignore[attr-defined]
    assert refused.value.code == status and said and said.kind == "rejected"  # type: ignore[attr-defined]


def test_the_emulator_cuts_at_a_thousand_rows_newest_first(emulator: Served) -> None:
    found = get(emulator, "historicalFunding/BTC-USD")["historicalFunding"]
    assert len(found) == 1000 and found == sorted(found, key=lambda r: r["effectiveAt"], reverse=True)
    bars = get(
        emulator, "candles/perpetualMarkets/BTC-USD?resolution=1HOUR&fromISO=2026-11-21T00:00:00Z&toISO=2026-11-21T02:00:00Z"
    )
    assert [bar["startedAt"] for bar in bars["candles"]] == ["2026-11-21T01:00:00.000Z", "2026-11-21T00:00:00.000Z"]


def test_over_the_limit_it_waits(emulator: Served, tmp_path: Path) -> None:
    emulator.fault("429", venue="dydx", path_contains="historicalFunding", retry_after=0)
    _, result = fetched("dydx", emulator, tmp_path, assets=["BTC"])
    assert not result.failures
    assert result.warnings == ["dydx /v4/historicalFunding/BTC-USD: Too many requests; waited 0 s"]


def test_the_limits_of_funding_and_of_candles_are_two(store: SyntheticMarket) -> None:
    with serve(store, as_of=NOW, days=5, limits_scale=0.02) as emulator:  # 2 and 20 in 10 s
        for _ in range(5):
            get(emulator, "candles/perpetualMarkets/BTC-USD?resolution=1HOUR&limit=1")
        with pytest.raises(OSError, match="429") as refused:
            for _ in range(5):
                get(emulator, "historicalFunding/BTC-USD?limit=1")
    assert get_source("dydx").error(429, refused.value.read()).kind == "limited"  # type: ignore[attr-defined, union-attr]


# --- an independent client --------------------------------------------------------------------------------------------------


@pytest.fixture
def exchange(emulator: Served) -> Iterator[Any]:
    pytest.importorskip("ccxt")
    yield through_ccxt("dydx", emulator, "https://indexer.dydx.trade", "/dydx")


def test_ccxt_reads_the_instruments(exchange: Any, store: SyntheticMarket) -> None:
    assert {m["id"] for m in exchange.markets.values()} == {x.listed + "-USD" for x in store.listings("dydx")}
    assert all(m["swap"] and m["linear"] and m["active"] and m["contractSize"] == 1 for m in exchange.markets.values())
    assert {m["settle"] for m in exchange.markets.values()} == {"USDC"}


@pytest.mark.parametrize("coin", ["BTC", "PEPE"])
def test_ccxt_reads_the_funding_history(exchange: Any, store: SyntheticMarket, coin: str) -> None:
    rows = exchange.fetch_funding_rate_history(f"{coin}/USDC:USDC", WINDOW.start, 1000, {"until": NOW - 1})
    assert [(r["timestamp"], r["fundingRate"]) for r in rows] == [row[:2] for row in seen(store.funding("dydx", coin))]


@pytest.mark.parametrize("coin", ["BTC", "PEPE"])
def test_ccxt_reads_the_candles(exchange: Any, store: SyntheticMarket, coin: str) -> None:
    # It spells `fromIso`, which the venue does not know: what it gets are the newest, of which it cuts the early ones off.
    rows = exchange.fetch_ohlcv(f"{coin}/USDC:USDC", "1h", WINDOW.start, 1000)
    assert [tuple(row) for row in rows] == [row[:6] for row in seen(store.candles("dydx", coin, "trade"))]
    assert rows[-1][0] == NOW - MS_HOUR
