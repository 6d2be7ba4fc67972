"""Settings: precedence, the market of a run, its window and clock, its sources; errors name the remedy."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipelines import warehouse
from pipelines.errors import WarehouseMismatch
from pipelines.registry import source_rows
from pipelines.run import EmulatorInfo, Run, resolve_window_and_clock
from pipelines.settings import Settings, problems
from pipelines.sources import get_source
from pipelines.windows import DAY, Window, to_ms


def test_command_line_over_environment_over_file_over_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().days == 120
    (tmp_path / "perplake.toml").write_text('days = 30\nseed = 8\nassets = ["BTC"]\nvenues = "kraken, bybit"\n')
    assert (Settings().days, Settings().seed, Settings().assets, Settings().venues) == (30, 8, ["BTC"], ["kraken", "bybit"])
    monkeypatch.setenv("PERPLAKE_DAYS", "20")
    monkeypatch.setenv("PERPLAKE_ASSETS", "ETH, SOL")
    assert (Settings().days, Settings().seed, Settings().assets) == (20, 8, ["ETH", "SOL"])
    assert (Settings(days=10).days, Settings(assets="HYPE").assets) == (10, ["HYPE"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"dayz = 3", "setting dayz: there is no such setting; `perps settings` lists them"),
        (b'"\x1b[31mx" = 3', "is no TOML"),
        (b"assets = " + 20_000 * b"[", "is no TOML (maximum recursion depth"),
        (b'home = "caf\xe9"', "is no TOML ('utf-8' codec"),
        (b"days = 5\0", "is no TOML (Expected newline"),
        (b"venues = {a = 1}", "setting venues: Input should be a valid list"),
    ],
    ids=["unknown", "escape", "deep", "latin", "nul", "type"],
)
def test_what_is_wrong_with_the_file_is_one_line(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "perplake.toml").write_bytes(content)
    with pytest.raises(ValueError) as raised:
        Settings()
    [line] = problems(raised.value) if isinstance(raised.value, ValidationError) else str(raised.value).splitlines()
    assert says in line


@pytest.mark.parametrize(
    "bad", [{"days": 0}, {"tries": 0}, {"limits_scale": 0}, {"timeout_seconds": -1}, {"dayz": 3}, {"first": "2025-13-01"}]
)
def test_an_invalid_value_is_refused_by_name(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(bad))):
        Settings(**bad)  # type: ignore[arg-type]


def test_an_unknown_setting_in_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "perplake.toml").write_text("dayz = 30\n")
    with pytest.raises(ValidationError, match="dayz"):
        Settings()


def test_the_file_may_have_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "perplake.toml").write_bytes(b"\xef\xbb\xbfdays = 30\n")
    assert Settings().days == 30


@pytest.mark.parametrize("name", ["home", "warehouse", "landing"])
def test_the_home_of_nobody_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="~nobody-here/x names no user's home folder"):
        Settings(**{name: "~nobody-here/x"})  # type: ignore[arg-type]


def test_a_pipe_is_no_warehouse_and_no_series(tmp_path: Path) -> None:
    """Opening one might never end."""
    for name in ("w.duckdb", "candles_1h.csv"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(ValidationError, match="is a pipe or a device"):
        Settings(warehouse=tmp_path / "w.duckdb")
    with pytest.raises(WarehouseMismatch, match="is no file: move it away"), warehouse.connect(tmp_path / "w.duckdb"):
        pass
    with pytest.raises(ValueError, match="is a pipe or a device"):
        _ = Settings(mode=f"recorded:{tmp_path}").market


def test_settings_are_immutable() -> None:
    with pytest.raises(ValidationError):
        Settings().days = 3  # type: ignore[misc]
    assert Settings().model_copy(update={"days": 3}).days == 3


def test_each_market_has_a_folder_of_its_own(tmp_path: Path) -> None:
    series = tmp_path / "series"
    with pytest.raises(ValueError, match="there is no such folder"):
        _ = Settings(mode=f"recorded:{series}").market
    series.mkdir()
    (series / "candles_1h.csv").write_text("a\n1\n")
    recorded = Settings(mode=f"recorded:{series}")
    first = recorded.market
    assert first.startswith("recorded-series-") and recorded.market == first
    (series / "candles_1h.csv").write_text("a\n1\n2\n")
    assert recorded.market != first, "other content is another market"
    assert (Settings().market, Settings(seed=8).market, Settings(mode="live").market) == ("synthetic-7", "synthetic-8", "live")
    assert Settings(home=tmp_path).database == tmp_path / "synthetic-7" / "warehouse.duckdb"
    assert Settings(warehouse=tmp_path / "w.duckdb").database == tmp_path / "w.duckdb"
    assert Settings(landing="s3://bucket/x").landing_root == "s3://bucket/x"
    with pytest.raises(ValueError, match="recorded:FOLDER"):
        _ = Settings(mode="recorded").market


def test_sources_of_venues() -> None:
    core = ["binance_usdm", "bybit_linear", "hyperliquid", "hyperliquid_archive", "kraken_futures"]
    assert Settings().sources == core
    # Sources that read several venues are among them, except ccxt: on the emulator its venues have sources of their own.
    archives = [
        f"{name}_archive" for name in ("binance_usdm", "binance_coinm", "bybit_linear", "bybit_inverse", "okx", "gate", "bitmex")
    ]
    by_name = ("hyperliquid_fills", *archives)
    every = [name for name in source_rows() if name not in ("ccxt", *by_name)]
    assert Settings(venues="all").sources == every  # type: ignore[arg-type]
    of_hyperliquid = ["hyperliquid", "hyperliquid_archive"]
    assert Settings(venues="hyperliquid").sources == of_hyperliquid  # type: ignore[arg-type]
    named = Settings(venues="hyperliquid,hyperliquid_fills")  # type: ignore[arg-type]
    assert named.sources == [*of_hyperliquid, "hyperliquid_fills"], "what costs money is asked for by its own name alone"
    assert Settings(venues="kraken,binance").sources == [  # type: ignore[arg-type]
        "binance_usdm",
        "kraken_futures",
        "binance_coinm",
    ]
    with pytest.raises(ValueError, match=r"no venue krakn; there are: aevo, binance, binance_coinm_archive, "):
        _ = Settings(venues="krakn").sources  # type: ignore[arg-type]


def test_limits_are_not_scaled_when_live() -> None:
    assert (Settings(mode="live").scale, Settings().scale, Settings(limits_scale=2).scale) == (1, 500, 2)


def ms(*when: int) -> int:
    return to_ms(datetime(*when, tzinfo=UTC))  # type: ignore[misc]


def test_window_and_clock() -> None:
    now = to_ms(datetime.now(UTC))
    window, clock = resolve_window_and_clock(Settings(first=date(2025, 10, 1), last=date(2025, 10, 10)))
    assert window == Window(ms(2025, 10, 1), ms(2025, 10, 11)) and clock.now() == now // DAY * DAY, "the last midnight"
    window, clock = resolve_window_and_clock(Settings(days=2, as_of=datetime(2025, 10, 11, 12)))
    assert window == Window(ms(2025, 10, 9), ms(2025, 10, 11)) and clock.now() == ms(2025, 10, 11, 12)
    window, clock = resolve_window_and_clock(Settings(mode="recorded:x", days=3), ms(2025, 12, 31, 23))
    assert window.days[-1] == date(2025, 12, 30) and clock.now() == ms(2025, 12, 31, 23)
    window, clock = resolve_window_and_clock(Settings(mode="live", days=1))
    assert not clock.frozen and window.end % DAY == 0 and 0 <= clock.now() - window.end < DAY
    with pytest.raises(ValueError, match="after the last day"):
        resolve_window_and_clock(Settings(first=date(2025, 10, 2), last=date(2025, 10, 1)))


def test_the_window_of_a_recording_is_what_its_folder_has(tmp_path: Path) -> None:
    """Funding from 2 October 16:00, candles from the 3rd; the recording ends on the 6th at 08:00."""
    (tmp_path / "candles_1h.csv").write_text("time,venue,coin,open,high,low,close\n2025-10-03T00:00Z,binance,BTC,1,1,1,1\n")
    (tmp_path / "funding_rates.csv").write_text("time,venue,coin,funding_rate\n2025-10-02T16:00Z,binance,BTC,0.0001\n")
    end, mode = ms(2025, 10, 6, 8), f"recorded:{tmp_path}"
    window, _ = resolve_window_and_clock(Settings(mode=mode), end)
    assert window == Window(ms(2025, 10, 2), ms(2025, 10, 6))
    assert resolve_window_and_clock(Settings(mode=mode, days=2), end)[0].start == ms(2025, 10, 4), "days are asked for"
    assert resolve_window_and_clock(Settings(mode=mode), ms(2025, 10, 2, 20))[0].days == [date(2025, 10, 1)], "no day is whole"


def test_another_host_of_a_source_is_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERPLAKE_HOSTS", "okx=https://us.okx.com, kraken_futures=https://futures.kraken.example:8443")
    run = Run.begin(Settings(mode="live", home=tmp_path, state=tmp_path), *resolve_window_and_clock(Settings()))
    urls = {name: run.client(get_source(name)).base_url for name in ("okx", "kraken_futures", "kucoin")}
    assert urls == {
        "okx": "https://us.okx.com",
        "kraken_futures": "https://futures.kraken.example:8443",
        "kucoin": "https://api-futures.kucoin.com",
    }
    at_emulator = replace(run, emulator=EmulatorInfo("http://127.0.0.1:1", "synthetic"))
    assert at_emulator.client(get_source("okx")).base_url == "http://127.0.0.1:1/okx"
    for wrong, said in (("okex=https://us.okx.com", "no source 'okex'"), ("okx=us.okx.com", "okx=https://host")):
        with pytest.raises(ValueError, match=said):
            Settings(hosts=[wrong])


def test_a_source_without_its_key_is_left_out_when_live(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    window, clock = resolve_window_and_clock(Settings())
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        for archive in ("ARCHIVE", "FILLS"):
            monkeypatch.delenv(f"{archive}_AWS_{name}", raising=False)
        monkeypatch.setenv(f"AWS_{name}", "landing's")
    live = Run.begin(Settings(mode="live", home=tmp_path, venues="hyperliquid"), window, clock)  # type: ignore[arg-type]
    sources, notes = live.chosen_sources()
    assert (
        [s.name for s in sources] == ["hyperliquid"] and "ARCHIVE_AWS_ACCESS_KEY_ID" in notes[0] and "open_interest" in notes[0]
    )
    monkeypatch.setenv("ARCHIVE_AWS_ACCESS_KEY_ID", "x")
    assert "ARCHIVE_AWS_SECRET_ACCESS_KEY" in live.chosen_sources()[1][0]
    monkeypatch.setenv("ARCHIVE_AWS_SECRET_ACCESS_KEY", "y")
    assert [s.name for s in live.chosen_sources()[0]] == ["hyperliquid", "hyperliquid_archive"]
    settings = Settings(mode="live", home=tmp_path, venues="hyperliquid,hyperliquid_fills")  # type: ignore[arg-type]
    live = Run.begin(settings, window, clock)
    sources, notes = live.chosen_sources()
    assert [s.name for s in sources] == ["hyperliquid", "hyperliquid_archive"], "each archive has a key of its own"
    assert "FILLS_AWS_ACCESS_KEY_ID" in notes[0] and "liquidations" in notes[0]


def test_the_error_for_an_unknown_source_lists_the_sources() -> None:
    with pytest.raises(KeyError, match="binance_usdm"):
        get_source("binance")


def test_a_recording_defaults_to_all_its_assets() -> None:
    assert Settings(mode="recorded:series").assets == ["all"]
    assert Settings(mode="recorded:series", assets="BTC,ADA").assets == ["BTC", "ADA"]
    assert "PEPE" in Settings().assets


def test_a_recording_defaults_to_the_venues_that_it_has(tmp_path: Path) -> None:
    """A venue that is named is chosen all the same."""
    rows = "timestamp,venue,coin,funding_rate\n2025-10-10,Binance,BTCUSDT,0\n2025-10-10,hyperliquid,BTC,0\n"
    (tmp_path / "funding_rates.csv").write_text(rows)
    (tmp_path / "notes.csv").write_text("of,something,else\n1,2,3\n")
    mode = f"recorded:{tmp_path}"
    assert {source_rows()[name].venue for name in Settings(mode=mode).sources} == {"binance", "hyperliquid"}
    assert "kraken_futures" in Settings(mode=mode, venues="core,kraken").sources
    (tmp_path / "funding_rates.csv").unlink()
    with pytest.raises(ValueError, match=r"notes\.csv is left out"):
        _ = Settings(mode=mode).sources


@pytest.mark.parametrize("name", ["plain", "with space", "ü币", "[x]*", "a.b-c", "link/", "~/x"])
def test_names_of_files_that_work(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    settings = Settings(home=Path(name), warehouse=Path(name) / "w.duckdb", landing=name)
    assert "~" not in f"{settings.home} {settings.warehouse} {settings.landing}"


@pytest.mark.parametrize("name", ["o'brien", 'say "x"', "50% off", "a#b", "what?", "a;b", "a\nb"])
def test_names_that_mean_something_to_the_engines_are_refused(name: str, tmp_path: Path) -> None:
    for given in ({"home": tmp_path / name}, {"warehouse": tmp_path / f"{name}.duckdb"}):
        with pytest.raises(ValidationError, match=r"which its files may not: choose another folder or name"):
            Settings(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["raw", "meta", "Marts", "temp", "system", "main"])
def test_a_warehouse_is_not_called_like_a_schema(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="is a schema's name; choose another"):
        Settings(warehouse=tmp_path / f"{name}.duckdb")


@pytest.mark.parametrize(
    "given",
    [
        {"first": "0001-01-01"},
        {"last": "9999-12-31"},
        {"as_of": "9999-12-31T23:59:59Z"},
        {"as_of": "1800-01-01"},
        {"days": 10**9},
        {"landing_max_gb": "nan"},
        {"timeout_seconds": "inf"},
        {"seed": 2**70},
        {"landing": "s3://"},
        {"landing": "http://127.0.0.1/x"},
        {"home": "s3://bucket/home"},
        {"warehouse": "s3://bucket/w.duckdb"},
        {"emulator_url": "file:///etc/passwd"},
        {"venues": ","},
        {"assets": " "},
    ],
)
def test_values_that_no_run_can_have_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(given))):
        Settings(**given)
