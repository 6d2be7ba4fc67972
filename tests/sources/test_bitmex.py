"""BitMEX, by what the page of a closed venue says: never asked live, its history from files, recordings and nowhere else."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from assets.cli import app
from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served
from pipelines.load import load
from pipelines.registry import closed_at
from pipelines.run import Run, resolve_window_and_clock
from pipelines.settings import Settings
from pipelines.source import Instrument, VenueProblem
from pipelines.sources.bitmex import SOURCE, error, instruments
from pipelines.windows import Window
from tests.sources.kit import DAY, Sample, decoded, exact, fetch_from_emulator, planned_requests, store_rows, wire_samples
from tests.sources.samples import WIRE

ROOT = "https://www.bitmex.com/api/v1"
CLOSED = 1790208000000  # 2026-09-24T00:00Z: the end of the last day
TWO_DAYS = Window(1789948800000, 1790121600000)  # 2026-09-21 and -22


def test_the_requests_of_two_days() -> None:
    """Both ends inclusive; a bar is stamped with its end, an hour after what is asked for."""
    days = "startTime=2026-09-21T00%3A00%3A00Z&endTime=2026-09-22T23%3A59%3A59Z"
    bars = "startTime=2026-09-21T01%3A00%3A00Z&endTime=2026-09-23T00%3A59%3A59Z"
    assert planned_requests("bitmex", "XBTUSD", TWO_DAYS) == {
        "instruments": [f"GET {ROOT}/instrument/active"],
        "funding_rates": [f"GET {ROOT}/funding?symbol=XBTUSD&count=500&{days}"],
        "candles": [f"GET {ROOT}/trade/bucketed?symbol=XBTUSD&binSize=1h&partial=false&count=500&{bars}"],
    }
    year = SOURCE.endpoint("candles").plan(Instrument("XBTUSD", "BTC"), Window(CLOSED - 365 * DAY, CLOSED))
    assert max(r.window.end - r.window.start for r in year if r.window) == 500 * MS_HOUR


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (429, {"error": {"message": "Slow", "name": "RateLimitError"}}, VenueProblem("limited", "Slow")),
        (503, {"error": {"message": "Overloaded", "name": "HTTPError"}}, VenueProblem("transient", "Overloaded")),
        (400, {"error": {"message": "'symbol' is invalid."}}, VenueProblem("rejected", "'symbol' is invalid.")),
        (200, [], None),
    ],
)
def test_errors_by_kind(status: int, body: Any, says: VenueProblem | None) -> None:
    assert error(status, json.dumps(body).encode()) == says


# --- samples ----------------------------------------------------------------------------------------------------------------

SAMPLES = wire_samples(
    {"/api/v1/instrument/active": "instruments"}, ["www.bitmex.com"], nautilus={"bitmex/http_get_trade_bins.json": "candles"}
)
recorded = pytest.mark.skipif(not WIRE.is_dir(), reason="../shared/recordings/wire is absent: no recorded bytes to hold against")


@recorded
def test_all_samples_are_here() -> None:
    """Those of the documented client have texts for numbers (`"symbol": "string"`): examples of a type, not of data."""
    assert Counter(s.dataset for s in SAMPLES) == {"instruments": 2, "candles": 1}


@recorded
@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_a_sample_decodes_to_what_it_holds(sample: Sample) -> None:
    rows, wire = decoded("bitmex", sample), exact(sample)
    assert len(rows) == len(wire) > 0
    for row, said in zip(rows, wire, strict=True):
        if sample.dataset == "candles":
            assert (row["close"], row["home_notional"]) == (float(said["close"]), float(said["homeNotional"]))
            assert row["trades"] == said["trades"]
        else:
            assert (row["symbol"], row["typ"], row["is_quanto"]) == (said["symbol"], said["typ"], said["isQuanto"])
            assert row["multiplier"] == said["multiplier"] and row["settl_currency"] == said["settlCurrency"]
    if sample.dataset == "instruments":
        found = [i.symbol for i in instruments(SOURCE.endpoint("instruments").read(sample.body))]
        assert found == [s["symbol"] for s in wire if s["typ"] == "FFWCSX"] and "XBTUSD" in found


# --- closed -----------------------------------------------------------------------------------------------------------------


def test_it_is_never_asked_live(tmp_path: Path) -> None:
    assert closed_at("bitmex") == CLOSED and closed_at("binance") is None
    window, clock = resolve_window_and_clock(Settings())
    live = Run.begin(Settings(mode="live", home=tmp_path, venues=["bitmex"]), window, clock)
    found, [line] = live.chosen_sources()
    assert not found and line.startswith("bitmex is not fetched: bitmex closed on 2026-09-23. Load files in its format")


def test_nothing_is_asked_for_after_it_closed(emulator: Served, tmp_path: Path) -> None:
    emulator.clear_requests()
    _, result = fetch_from_emulator("bitmex", emulator, tmp_path, Window(CLOSED - DAY, CLOSED + 9 * DAY), assets=["BTC"])
    ends = {r["query"].get("endTime") for r in emulator.requests() if r["venue"] == "bitmex"} - {None}
    assert ends == {"2026-09-23T23:59:59Z", "2026-09-24T00:59:59Z"} and not result.failures


def test_the_raw_tables_hold_the_store(emulator: Served, store: SyntheticMarket, tmp_path: Path) -> None:
    run, result = fetch_from_emulator("bitmex", emulator, tmp_path, TWO_DAYS, assets=["BTC", "ETH"])
    assert not result.failures and not result.quarantined
    load(run, SOURCE, result.entries)
    import duckdb

    with duckdb.connect(str(run.settings.database), read_only=True) as db:
        for coin, name in (("BTC", "XBTUSD"), ("ETH", "ETHUSD")):
            bars = db.execute(
                "select opened_at, open, high, low, close, home_notional, foreign_notional from raw.bitmex__candles "
                "where symbol = ? order by 1", [name],
            ).fetchall()  # fmt: skip
            assert bars == [row[:7] for row in store_rows(store.candles("bitmex", coin, "trade"), TWO_DAYS)] and len(bars) == 48
            rates = db.execute(
                "select timestamp, funding_rate from raw.bitmex__funding_rates where symbol = ? order by 1", [name]
            ).fetchall()
            assert rates == [row[:2] for row in store_rows(store.funding("bitmex", coin), TWO_DAYS)]


def test_the_emulator_ends_where_the_venue_did(emulator: Served) -> None:
    def ask(path: str, **params: Any) -> Any:
        return httpx.get(f"{emulator.url}/bitmex/api/v1/{path}", params=params).json()

    [last] = ask("trade/bucketed", symbol="XBTUSD", binSize="1h", count=1, startTime="2026-09-23T04:00:00.000Z")
    assert last["timestamp"] == "2026-09-23T04:00:00.000Z", "the end of the last bar"
    assert ask("funding", symbol="XBTUSD", startTime="2026-09-23T08:00:00.000Z") == []
    assert ask("funding", symbol="XBTUSD", count=501)["error"] and ask("funding", symbol="NO")["error"]


# --- files ------------------------------------------------------------------------------------------------------------------


def test_a_users_own_files_become_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put into landing by one command and loaded like any page; what can't be read is refused by name, and nothing is stored."""
    monkeypatch.chdir(tmp_path)
    rate = {"timestamp": "2024-11-25T04:00:00.000Z", "symbol": "XBTUSD", "fundingInterval": "2000-01-01T08:00:00.000Z"}
    Path("funding.json").write_text(json.dumps([rate | {"fundingRate": 0.0001, "fundingRateDaily": 0.0003}]))
    Path("wrong.json").write_text(json.dumps([rate]))

    def bring(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["import", "bitmex", *arguments, "--home", "home"])

    wrong = bring("funding_rates", "wrong.json")
    assert wrong.exit_code == 2 and "wrong.json: not funding_rates in the format of bitmex" in " ".join(wrong.output.split())
    assert bring("open_interest", "funding.json").exit_code == 2
    said = bring("funding_rates", "funding.json")
    assert said.exit_code == 0 and "1 rows of bitmex funding_rates are in landing" in said.output
    window = Window(1732492800000, 1732579200000)
    run = Run.begin(Settings(mode="live", home=Path("home"), venues=["bitmex"]), window, resolve_window_and_clock(Settings())[1])
    assert load(run, SOURCE).rows == {"funding_rates": 1}
