"""BitMEX's traps: a closed venue is never asked live; its history comes from files in its format and from recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from assets.cli import app
from infra.emulator.testing import Served
from pipelines.load import load
from pipelines.registry import closed_at
from pipelines.run import Run, resolve_window_and_clock
from pipelines.settings import Settings
from pipelines.sources.bitmex import SOURCE, instruments
from pipelines.windows import Window
from tests.sources.kit import DAY, ask, fetch_from_emulator
from tests.sources.samples import collect, recorded

CLOSED = 1790208000000  # 2026-09-24T00:00Z: the end of the last day


@recorded
def test_the_perpetuals_of_the_recorded_lists() -> None:
    lists = [sample.body for sample in collect()[0] if (sample.source, sample.endpoint) == ("bitmex", "instruments")]
    for body in lists:
        symbols = [i.symbol for i in instruments(SOURCE.endpoint("instruments").read(body))]
        assert symbols == [row["symbol"] for row in json.loads(body) if row["typ"] == "FFWCSX"] and "XBTUSD" in symbols


# --- closed -----------------------------------------------------------------------------------------------------------------


def test_it_is_never_asked_live(tmp_path: Path) -> None:
    assert closed_at("bitmex") == CLOSED and closed_at("binance") is None
    window, clock = resolve_window_and_clock(Settings())
    live = Run.begin(Settings(mode="live", home=tmp_path, venues=["bitmex"]), window, clock)
    sources, [line] = live.chosen_sources()
    assert not sources and line.startswith("bitmex is not fetched: bitmex closed on 2026-09-23. Load files in its format")


def test_no_request_is_made_for_days_after_the_closure(emulator: Served, tmp_path: Path) -> None:
    emulator.clear_requests()
    _, result = fetch_from_emulator("bitmex", emulator, tmp_path, Window(CLOSED - DAY, CLOSED + 9 * DAY), assets=["BTC"])
    ends = {r["query"].get("endTime") for r in emulator.requests() if r["venue"] == "bitmex"} - {None}
    assert ends == {"2026-09-23T23:59:59Z", "2026-09-24T00:59:59Z"} and not result.failures


def test_the_emulator_has_no_rows_after_the_closure(emulator: Served) -> None:
    assert ask(emulator, "bitmex", "/api/v1/funding?symbol=XBTUSD&startTime=2026-09-23T08:00:00.000Z").json() == []


# --- files ------------------------------------------------------------------------------------------------------------------


def test_a_users_own_files_become_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One command puts a file into landing, from where it is loaded like any page; an unreadable file is refused by name."""
    monkeypatch.chdir(tmp_path)
    rate = {"timestamp": "2024-11-25T04:00:00.000Z", "symbol": "XBTUSD", "fundingInterval": "2000-01-01T08:00:00.000Z"}
    Path("funding.json").write_text(json.dumps([rate | {"fundingRate": 0.0001, "fundingRateDaily": 0.0003}]))
    Path("wrong.json").write_text(json.dumps([rate]))

    def import_file(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["import", "bitmex", *arguments, "--home", "home"])

    wrong = import_file("funding_rates", "wrong.json")
    assert wrong.exit_code == 2 and "wrong.json: not funding_rates in the format of bitmex" in " ".join(wrong.output.split())
    assert import_file("open_interest", "funding.json").exit_code == 2
    imported = import_file("funding_rates", "funding.json")
    assert imported.exit_code == 0 and "1 rows of bitmex funding_rates are in landing" in imported.output
    window = Window(1732492800000, 1732579200000)
    run = Run.begin(Settings(mode="live", home=Path("home"), venues=["bitmex"]), window, resolve_window_and_clock(Settings())[1])
    assert load(run, SOURCE).rows == {"funding_rates": 1}


def test_a_file_of_another_dataset_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rate = {
        "timestamp": "2025-10-10T20:00:00.000Z",
        "symbol": "XBTUSD",
        "fundingInterval": "2000-01-01T08:00:00.000Z",
        "fundingRate": 1e-4,
    }
    bar = {"timestamp": "2025-10-10T20:00:00.000Z", "symbol": "XBTUSD", "open": 1, "high": 1, "low": 1, "close": 1, "trades": 1}
    files = {"funding_rates": rate, "candles": bar}
    for name, row in files.items():
        Path(f"{name}.json").write_text(json.dumps([row]))
    for given in files:
        for name in files:
            result = CliRunner().invoke(app, ["import", "bitmex", given, f"{name}.json", "--home", "home"])
            assert result.exit_code == (0 if given == name else 2), result.output
            assert given == name or f"{name}.json: " in result.output
    result = CliRunner().invoke(app, ["import", "bitmex", "candles", "funding_rates.json", "--home", "home"])
    assert "its rows are funding_rates of bitmex, not candles: name that dataset" in result.output
