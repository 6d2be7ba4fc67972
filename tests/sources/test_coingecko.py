"""CoinGecko, by what its page says: looks at the present, in US dollars, bitcoin, percent; a key that may lack, not be wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import httpx
import numpy as np
import pytest

from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served, serve
from pipelines import keys
from pipelines.source import VenueProblem
from pipelines.sources.coingecko import SOURCE, error
from tests.sources.kit import (
    NOW,
    Sample,
    decoded,
    exact,
    fetch_from_emulator,
    load_and_query,
    planned_requests,
    rows_match_wire,
    wire_samples,
)
from tests.sources.kit import WINDOW as TWO_DAYS
from tests.sources.samples import WIRE
from tests.whole import AS_OF, DAYS, database, perps, window

ROOT = "https://api.coingecko.com/api/v3"


def test_the_requests() -> None:
    assert planned_requests("coingecko", "", TWO_DAYS) == {
        "tickers": [f"GET {ROOT}/derivatives"],
        "exchanges": [f"GET {ROOT}/derivatives/exchanges?order=open_interest_btc_desc&per_page=50&page=1"],
        "totals": [f"GET {ROOT}/global"],
        "coins": [f"GET {ROOT}/coins/markets?vs_currency=usd&order=market_cap_desc&per_page=250&page=1"],
    }
    assert sum(len(r) for r in planned_requests("coingecko", "", TWO_DAYS).values()) < 5, "calls a minute without a key"


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (429, {"status": {"error_code": 429, "error_message": "Slow"}}, VenueProblem("limited", "429 Slow")),
        (401, {"status": {"error_code": 10002, "error_message": "Missing"}}, VenueProblem("key", "10002 Missing")),
        (200, {"status": {"error_code": 10010, "error_message": "Pro key"}}, VenueProblem("key", "10010 Pro key")),
        (404, {"error": "coin not found"}, VenueProblem("rejected", "404 coin not found")),
        (500, {"error": "later"}, VenueProblem("transient", "500 later")),
        (200, {"data": {}}, None),
        (200, [], None),
    ],
)
def test_errors_by_kind(status: int, body: Any, says: VenueProblem | None) -> None:
    assert error(status, json.dumps(body).encode()) == says
    assert error(401, b"<html>") == VenueProblem("key", "HTTP 401")


SAMPLES = wire_samples({"/api/v3/derivatives": "tickers"}, ["api.coingecko.com"], examples="coingecko")
COLUMNS: dict[str, str | int] = {
    name: name
    for name in ("market symbol index_id contract_type index price funding_rate open_interest volume_24h last_traded_at".split())
}


@pytest.mark.skipif(not WIRE.is_dir(), reason="../shared/recordings/wire is absent: no recorded bytes to hold against")
def test_the_sample_decodes_to_what_it_holds() -> None:
    assert len(SAMPLES) == 1, "the others are of endpoints that are not read"
    [sample] = SAMPLES
    assert isinstance(sample, Sample) and rows_match_wire(decoded("coingecko", sample), exact(sample), COLUMNS)


def test_rates_are_percent_and_totals_bitcoin(emulator: Served, store: SyntheticMarket, tmp_path: Path) -> None:
    query = load_and_query("coingecko", emulator, tmp_path)
    rate = store.running_rate("binance", "BTC", NOW)
    assert rate is not None
    [(percent, oi, index)] = query(
        "select funding_rate, open_interest, index from raw.coingecko__tickers "
        "where market = 'Binance (Futures)' and symbol = 'BTCUSDT'"
    )
    assert percent == pytest.approx(rate * 100)
    [(dollars,)] = query("select sum(open_interest) from raw.coingecko__tickers where market = 'Deepcoin (Derivatives)'")
    [(bitcoin,)] = query("select open_interest_btc from raw.coingecko__exchanges where id = 'deepcoin_derivatives'")
    assert bitcoin * index == pytest.approx(dollars, rel=0.01) and oi > 0


# --- the key ----------------------------------------------------------------------------------------------------------------


def test_the_key_goes_into_a_header_and_nowhere_else(emulator: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COINGECKO_DEMO_API_KEY", "CG-secret ")
    assert keys.headers(SOURCE, emulated=False) == {"x-cg-demo-api-key": "CG-secret"}
    assert keys.headers(SOURCE, emulated=True) == {"x-cg-demo-api-key": keys.EMULATED}, "a real key never goes there"
    monkeypatch.delenv("COINGECKO_DEMO_API_KEY")
    assert keys.headers(SOURCE, emulated=False) == {} and keys.missing("coingecko") is None, "it answers without one"
    assert httpx.get(f"{emulator.url}/coingecko/api/v3/global").status_code == 200
    fetch_from_emulator("coingecko", emulator, tmp_path)
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or keys.EMULATED.encode() not in file.read_bytes()


def test_a_wrong_key_says_so_once_and_is_left_alone(emulator: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "EMULATED", "CG-wrong")
    run, result = fetch_from_emulator("coingecko", emulator, tmp_path, venues=["coingecko"])
    [failure] = result.failures
    assert str(failure).startswith("coingecko /api/v3/derivatives: 10002 API Key Missing or invalid. Set a key")
    assert run.chosen_sources()[0] == [] and "CG-wrong" not in (run.settings.folder / "keys.json").read_text()
    [line] = run.chosen_sources()[1]
    assert "left out until" in line and "COINGECKO_DEMO_API_KEY" in line and "10002" in line
    monkeypatch.setattr(keys, "EMULATED", "emulator")
    assert [s.name for s in run.chosen_sources()[0]] == ["coingecko"], "another key is tried at once"
    monkeypatch.setattr(keys, "EMULATED", "CG-wrong")
    now = keys.time.time()
    monkeypatch.setattr(keys.time, "time", lambda: now + keys.COOLDOWN_SECONDS + 1)
    assert [s.name for s in run.chosen_sources()[0]] == ["coingecko"], "and the old one after a while"


# --- against our own sums ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def marts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """Two venues, the aggregator that tells of them and of others, and the authority's weekly report."""
    home = tmp_path_factory.mktemp("references")
    store = SyntheticMarket(seed=7, until=int(np.datetime64(AS_OF.rstrip("Z"), "ms").astype(int)))
    with serve(store, as_of=AS_OF, days=30, limits_scale=1e6) as served:
        chosen = {"venues": "binance,okx,coingecko,cme", "assets": "BTC,ETH,PEPE"}
        ended = perps(home, served.url, *window("2025-06-02", DAYS[2]), **chosen)
    assert ended.status == 0, ended.output
    assert "coingecko 0.0%" not in ended.output, "who tells of others misses nothing"
    with duckdb.connect(str(database(home)), read_only=True) as connection:
        yield connection


def test_ours_agree_with_theirs_where_both_look_at_one_market(marts: duckdb.DuckDBPyConnection) -> None:
    found = marts.execute(
        """select venue, metric, count(*), bool_and(agrees), max(abs(ratio - 1)) from marts.reconciliation_daily
        where base_asset in ('BTC', 'ETH', 'PEPE') and ours is not null and day = ? group by all order by all""",
        [DAYS[2]],
    ).fetchall()
    assert [row[:4] for row in found] == [
        (venue, metric, 3, True) for venue in ("binance", "okx") for metric in ("open_interest", "running_rate", "volume")
    ]
    # A contract of OKX and of COIN-M is a whole one on the wire.
    assert all(row[4] < 0.005 for row in found)


def test_what_is_not_covered_is_named(marts: duckdb.DuckDBPyConnection) -> None:
    reasons = dict(
        marts.execute(
            "select distinct venue, likely_reason from marts.reconciliation_daily "
            "where (ours is null and venue = 'bybit') or not agrees"
        ).fetchall()
    )
    assert reasons["bybit"].startswith("nothing of ours") and reasons["binance"] == "assets that are not covered here"
    assert None not in reasons, "a venue whose name is not known is compared with nothing"
    names = marts.execute("select distinct covers from marts.fct_references where venue is null and covers is not null")
    assert names.fetchall() == [("Deepcoin (Derivatives)",)]


def test_spot_beside_perpetuals_and_the_regulated_futures(marts: duckdb.DuckDBPyConnection) -> None:
    """The report of Tuesday the 3rd came out on Friday the 6th: it is that of the 9th, and not of the 5th."""
    days = marts.execute(
        "select day::varchar, perp_share_of_volume, futures_oi_usd, futures_as_of::varchar from marts.daily_industry order by 1"
    ).fetchall()
    assert days[-1][1] == pytest.approx(1 / 1.32) and days[-1][3] == "2025-06-03"
    assert next(row for row in days if row[0] == "2025-06-05")[2:] == (None, None), (
        "not out yet, and no price for the week before"
    )
    contracts = dict(marts.execute("select symbol, raw_value from marts.fct_references where day = '2025-06-03'").fetchall())
    prices = dict(marts.execute("select asset, close from marts.daily_assets where day = '2025-06-03'").fetchall())
    bitcoins = contracts["133741"] * 5 + contracts["133742"] * 0.1
    ether = contracts["146021"] * 50 + contracts["146022"] * 0.1
    assert days[-1][2] == pytest.approx(bitcoins * prices["BTC"] + ether * prices["ETH"])
