"""CoinGecko's traps: percent and bitcoin, a key that may be absent but not wrong, and sums that agree with our own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import httpx
import pytest

from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served
from pipelines import keys
from pipelines.source import Instrument
from pipelines.sources.coingecko import SOURCE
from tests.sources.conftest import EverySource
from tests.sources.kit import NOW, fetch_from_emulator, load_and_query
from tests.sources.kit import WINDOW as TWO_DAYS
from tests.whole import DAYS, database


def test_all_requests_fit_into_a_minute_without_a_key() -> None:
    requests = [request for endpoint in SOURCE.endpoints for request in endpoint.plan(Instrument("", ""), TWO_DAYS)]
    assert len(requests) < SOURCE.limits["calls"].weight == 5


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


def test_the_key_is_sent_in_a_header_and_stored_nowhere(
    emulator: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COINGECKO_DEMO_API_KEY", "CG-secret ")
    assert keys.headers(SOURCE, emulated=False) == {"x-cg-demo-api-key": "CG-secret"}
    assert keys.headers(SOURCE, emulated=True) == {"x-cg-demo-api-key": keys.EMULATED}, "the emulator never gets a real key"
    monkeypatch.delenv("COINGECKO_DEMO_API_KEY")
    assert keys.headers(SOURCE, emulated=False) == {} and keys.missing("coingecko") is None, "a key is optional"
    assert httpx.get(f"{emulator.url}/coingecko/api/v3/global").status_code == 200
    fetch_from_emulator("coingecko", emulator, tmp_path)
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or keys.EMULATED.encode() not in file.read_bytes()


def test_a_wrong_key_is_reported_once_and_not_tried_again(
    emulator: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    assert [s.name for s in run.chosen_sources()[0]] == ["coingecko"], "the old key after the cooldown"


# --- against our own sums ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def marts(every_source: EverySource) -> Iterator[duckdb.DuckDBPyConnection]:
    """All venues, the aggregator, and the weekly report of the CFTC."""
    assert "coingecko 0.0%" not in every_source.output, "an aggregator has no gaps"
    with duckdb.connect(str(database(every_source.home)), read_only=True) as connection:
        yield connection


def test_our_values_agree_with_the_aggregator(marts: duckdb.DuckDBPyConnection) -> None:
    comparisons = marts.execute(
        """select venue, metric, count(*), bool_and(agrees), max(abs(ratio - 1)) from marts.reconciliation_daily
        where source = 'coingecko' and base_asset in ('BTC', 'ETH', 'PEPE') and our_value is not null and day = ?
        group by all order by all""",
        [DAYS[2]],
    ).fetchall()
    venues = ("binance", "bitget", "bybit", "gate", "htx", "hyperliquid", "mexc", "okx")
    metrics = ("open_interest", "running_rate", "volume")
    assert [row[:4] for row in comparisons] == [(venue, metric, 3, True) for venue in venues for metric in metrics]
    # OKX and COIN-M count whole contracts.
    assert all(row[4] < 0.005 for row in comparisons)


def test_what_is_not_covered_is_named(marts: duckdb.DuckDBPyConnection) -> None:
    reasons = marts.execute(
        "select distinct our_value is null, likely_reason from marts.reconciliation_daily "
        "where source = 'coingecko' and (our_value is null or not agrees) order by 1"
    ).fetchall()
    (_, differs), (_, lacks) = reasons
    assert differs == "assets that are not covered here" and lacks.startswith("nothing of ours")
    names = marts.execute(
        "select distinct covers from marts.fct_references where source = 'coingecko' and venue is null and covers is not null"
    )
    assert names.fetchall() == [("Deepcoin (Derivatives)",)], "a venue whose name is not known is compared with nothing"


def test_the_share_of_perpetuals_and_the_regulated_futures(marts: duckdb.DuckDBPyConnection) -> None:
    """The report of Tuesday the 3rd is published on Friday the 6th: the 9th has it, the 5th does not."""
    days = marts.execute(
        "select day::varchar, perp_share_of_volume, futures_oi_usd, futures_as_of::varchar from marts.daily_industry order by 1"
    ).fetchall()
    assert days[-1][1] == pytest.approx(1 / 1.32) and days[-1][3] == "2025-06-03"
    assert next(row for row in days if row[0] == "2025-06-05")[2:] == (None, None), (
        "not published yet, and no price for the week before"
    )
    reported = "select symbol, raw_value from marts.fct_references where source = 'cftc' and day = '2025-06-03'"
    contracts = dict(marts.execute(reported).fetchall())
    prices = dict(marts.execute("select asset, close from marts.daily_assets where day = '2025-06-03'").fetchall())
    bitcoins = contracts["133741"] * 5 + contracts["133742"] * 0.1
    ether = contracts["146021"] * 50 + contracts["146022"] * 0.1
    assert days[-1][2] == pytest.approx(bitcoins * prices["BTC"] + ether * prices["ETH"])
