"""dYdX's traps: tickers with commas, funding read backwards, a list of markets that may be cut, rows from before the window."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served, serve
from pipelines.source import Instrument, Request
from pipelines.sources.dydx import SOURCE, error
from pipelines.windows import Window
from tests.sources.kit import DAY, NOW, WINDOW, fetch_from_emulator, load_and_query, next_request, store_rows
from tests.sources.samples import Sample, collect, decoded, recorded

#: 2025-10-10 and 2025-10-11.
TWO_DAYS = Window(1_760_054_400_000, 1_760_227_200_000)
POOL = "FARTCOIN,RAYDIUM,9BB6NFECJBCTNNLFKO2FQVQBQ8HHM13KCYYCDQBGPUMP-USD"


# --- requests and pages -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ["funding_rates", "candles"])
def test_a_ticker_of_commas_is_quoted(endpoint: str) -> None:
    [request] = SOURCE.endpoint(endpoint).plan(Instrument(POOL, ""), TWO_DAYS)
    assert request.path.endswith("/" + POOL.replace(",", "%2C"))


def funding_page(*stamps: str) -> dict[str, Any]:
    return {"historicalFunding": [{"ticker": "A", "rate": "0", "price": "1", "effectiveAt": s} for s in stamps]}


def test_funding_is_followed_back_until_a_row_from_before_the_window() -> None:
    asked = Request("/", {"limit": 2, "effectiveBeforeOrAt": "later"}, window=TWO_DAYS, clip_start=True)
    within, start = "2025-10-10T01:00:00.586Z", "2025-10-10T00:00:00.219Z"
    more = next_request("dydx", "funding_rates", asked, funding_page(within, start))
    assert more == replace(asked, params={"limit": 2, "effectiveBeforeOrAt": "2025-10-10T00:00:00.218Z"})
    # a row from before the window, a page that is not full, nothing at all: the end
    assert next_request("dydx", "funding_rates", asked, funding_page(start, "2025-10-09T23:00:00.112Z")) is None
    assert next_request("dydx", "funding_rates", asked, funding_page(start)) is None
    assert next_request("dydx", "funding_rates", asked, funding_page()) is None


# --- errors and traps -------------------------------------------------------------------------------------------------------


def test_the_base_asset_ends_at_the_first_comma() -> None:
    body = {"markets": {ticker: {"ticker": ticker, "status": "ACTIVE"} for ticker in ("BTC-USD", POOL)}}
    assert SOURCE.parse_instruments
    found = SOURCE.parse_instruments(SOURCE.endpoint("instruments").read(json.dumps(body).encode()))
    assert found == [Instrument("BTC-USD", "BTC"), Instrument(POOL, "FARTCOIN")]


def test_a_list_of_markets_that_can_be_cut_is_refused() -> None:
    endpoint = SOURCE.endpoint("instruments")
    page = {"markets": {str(n): {"ticker": f"{n}-USD", "status": "ACTIVE"} for n in range(1000)}}
    with pytest.raises(ValueError, match="may have been cut"):
        endpoint.rows(endpoint.read(json.dumps(page).encode()))


@pytest.mark.parametrize("stamp", ["2025-12-08T16:00:00.219", "1970-01-01T00:00:00.000Z", "1765209600219", "", "soon"])
def test_an_unreadable_time_is_reported_with_its_field(stamp: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"historicalFunding\[0\].effectiveAt"):
        SOURCE.endpoint("funding_rates").read(json.dumps(funding_page(stamp)).encode())


def test_a_new_market_has_no_rate_yet() -> None:
    market = {"ticker": "NEW-USD", "status": "INITIALIZING", "oraclePrice": None, "nextFundingRate": None, "openInterest": "0"}
    found = decoded(Sample("dydx", "instruments", "", 200, json.dumps({"markets": {"NEW-USD": market}}).encode()))
    assert found == [
        {"ticker": "NEW-USD", "status": "INITIALIZING", "oracle_price": None, "next_funding_rate": None, "open_interest": 0.0}
    ]


@recorded
def test_a_documented_stamp_by_hand() -> None:
    [sample] = [s for s in collect()[0] if (s.source, s.endpoint) == ("dydx", "funding_rates")]
    assert decoded(sample)[0] == {
        "ticker": "BTC-USD", "effective_at": 1_765_209_600_219, "rate": 0.000002375, "price": 89993.8
    }  # fmt: skip


# --- the emulator -----------------------------------------------------------------------------------------------------------


def test_a_window_longer_than_a_page_of_funding_is_read_whole(emulator: Served, store: SyntheticMarket, tmp_path: Path) -> None:
    window = Window(NOW - 90 * DAY, NOW)
    _, result = fetch_from_emulator("dydx", emulator, tmp_path, window, assets=["BTC"])
    assert not result.failures and not result.quarantined
    pages = [e for e in result.entries if e.endpoint_name == "funding_rates"]
    assert [e.last for e in pages] == [False, False, True]  # 2160 hours
    query = load_and_query("dydx", emulator, tmp_path / "other", assets=["BTC"], window=window)
    assert query("select effective_at from raw.dydx__funding_rates order by 1") == [
        (at,) for at, *_ in store_rows(store.funding("dydx", "BTC"), window)
    ]


def test_rows_from_before_the_window_come_along_and_later_ones_do_not(emulator: Served, tmp_path: Path) -> None:
    late = {"ticker": "BTC-USD", "rate": "0.5", "price": "1", "effectiveAt": "2026-11-22T00:00:00.000Z"}
    emulator.fault("error_200", venue="dydx", path_contains="historicalFunding", body=json.dumps({"historicalFunding": [late]}))
    emulator.clear_requests()
    query = load_and_query("dydx", emulator, tmp_path, assets=["BTC"])
    asked = [r for r in emulator.requests() if "historicalFunding" in r["path"]]
    assert [r["fault"] for r in asked] == ["error_200", None]
    # 49 rows came, of which the first is the hour before the window's
    assert query("select count(*), min(effective_at) // 3600000 * 3600000 from raw.dydx__funding_rates") == [(48, WINDOW.start)]


def get(emulator: Served, path: str) -> httpx.Response:
    return httpx.get(f"{emulator.url}/dydx/v4/{path}")


def test_the_snapshot_is_the_market_now(emulator: Served, store: SyntheticMarket) -> None:
    [(name, market)] = get(emulator, "perpetualMarkets?market=PEPE-USD").json()["markets"].items()
    size = list(store_rows(store.open_interest("dydx", "PEPE"), Window(NOW - DAY, NOW + 1)))[-1][1]
    oracle = list(store_rows(store.candles("dydx", "PEPE", "index")))[-1][4]
    assert (name, float(market["openInterest"]), float(market["oraclePrice"])) == ("PEPE-USD", size, oracle)
    assert float(market["nextFundingRate"]) == store.running_rate("dydx", "PEPE", NOW)


def test_funding_and_candles_have_limits_of_their_own(store: SyntheticMarket) -> None:
    with serve(store, as_of=NOW, days=5, limits_scale=0.02) as emulator:  # 2 and 20 in 10 s
        bars = [get(emulator, "candles/perpetualMarkets/BTC-USD?resolution=1HOUR&limit=1").status_code for _ in range(5)]
        rates = [get(emulator, "historicalFunding/BTC-USD?limit=1") for _ in range(5)]
    assert set(bars) == {200}
    refused = error(rates[-1].status_code, rates[-1].content)
    assert refused and refused.kind == "limited"
