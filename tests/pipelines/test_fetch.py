"""Fetches and loads over HTTP from the emulator's synthetic market: the loaded rows equal the market's.

Then each kind of fault, once at each venue: the run ends with the right rows, or names venue, request and remedy, and the next
fetch completes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import numpy as np
import pytest

from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served, serve
from pipelines.clock import Clock
from pipelines.errors import LandingFull
from pipelines.fetch import FetchResult, _SourceFetch, fetch, final_entries
from pipelines.landing import Landing
from pipelines.load import LoadResult, arrow_tables, load
from pipelines.page_tables import Decoded
from pipelines.records import BOOKKEEPING
from pipelines.registry import source_rows
from pipelines.run import EmulatorInfo, Run
from pipelines.settings import Settings
from pipelines.sources import get_source
from pipelines.windows import DAY, HOUR, Window, to_ms

NOW = to_ms(datetime(2025, 10, 12, tzinfo=UTC))
TWO_DAYS = Window(NOW - 2 * DAY, NOW)
VENUES = ("binance", "bybit", "hyperliquid", "kraken")


@pytest.fixture(scope="module")
def market() -> SyntheticMarket:
    return SyntheticMarket(seed=7, until=NOW + DAY, since=NOW - 10 * DAY)


@pytest.fixture(scope="module")
def emulator(market: SyntheticMarket) -> Iterator[Served]:
    with serve(market, as_of=NOW, limits_scale=500) as served:
        yield served


@pytest.fixture(autouse=True)
def _no_faults_left(emulator: Served) -> Iterator[None]:
    yield
    emulator.clear_faults()


def begin(home: Path, emulator: Served, window: Window = TWO_DAYS, **settings: Any) -> Run:
    known = {"home": home, "assets": ["BTC", "PEPE"], "timeout_seconds": 30, "tries": 4}
    return Run.begin(Settings(**{**known, **settings}), window, Clock(NOW), EmulatorInfo(emulator.url, "synthetic; seed=7"))


def days(first: tuple[int, int, int], last: tuple[int, int, int]) -> Window:
    return Window.of_days(date(*first), date(*last))


@pytest.mark.parametrize(
    ("source", "now", "asked", "expected"),
    [
        # The last three days of the window, up to now.
        ("kraken_futures", (2026, 11, 20), days((2026, 11, 1), (2026, 11, 19)), days((2026, 11, 17), (2026, 11, 19))),
        ("kraken_futures", (2026, 11, 20), days((2026, 11, 1), (2026, 12, 31)), days((2026, 11, 17), (2026, 11, 19))),
        # Windows in the past, of venues that keep them all.
        ("kraken_futures", (2026, 11, 20), days((2026, 10, 1), (2026, 10, 5)), days((2026, 10, 3), (2026, 10, 5))),
        ("kraken_futures", (2026, 11, 20), days((2026, 10, 4), (2026, 10, 5)), days((2026, 10, 4), (2026, 10, 5))),
        ("gate", (2026, 11, 20), days((2026, 10, 1), (2026, 10, 5)), days((2026, 10, 3), (2026, 10, 5))),
        # OKX keeps seven days: the rest of the window, or nothing.
        ("okx", (2026, 11, 20), days((2026, 11, 10), (2026, 11, 14)), days((2026, 11, 13), (2026, 11, 14))),
        ("okx", (2026, 11, 20), days((2026, 10, 1), (2026, 10, 5)), None),
    ],
)
def test_liquidations_are_requested_for_the_end_of_the_window(
    source: str, now: tuple[int, int, int], asked: Window, expected: Window | None, tmp_path: Path
) -> None:
    run = Run.begin(Settings(home=tmp_path), asked, Clock(to_ms(datetime(*now, tzinfo=UTC))))
    window = _SourceFetch(run, get_source(source), {}, lambda *_: None).window(get_source(source).endpoint("liquidations"))
    assert window == expected if expected else not window


def fetched(run: Run) -> dict[str, FetchResult]:
    return {f.source: f for f in asyncio.run(fetch(run, run.chosen_sources()[0]))}


def rows(run: Run, results: dict[str, FetchResult]) -> dict[str, set[str]]:
    """The rows of all endpoints with a time in the pages of a fetch, by raw table, as a load reads them."""
    by_table: dict[str, set[str]] = {}
    for result in results.values():
        for entry in result.entries:
            dataset = get_source(entry.source).endpoint(entry.endpoint_name)
            if dataset.time and not entry.problem:
                name = get_source(entry.source).raw_table(dataset)
                for table in arrow_tables(run, dataset, [entry], LoadResult(entry.source)):
                    by_table.setdefault(name, set()).update(map(str, table.drop_columns(list(BOOKKEEPING)).to_pylist()))
    return by_table


def test_a_page_is_decoded_once_by_the_run_that_fetches_it(emulator: Served, tmp_path: Path) -> None:
    """Its load has all rows without landing; what is not held any more is decoded from landing, to the same rows."""
    run = begin(tmp_path, emulator)
    results = fetched(run)
    pages, hidden = (Path(run.landing.path) / name for name in ("pages", "hidden"))
    pages.rename(hidden)
    given = rows(run, results)
    hidden.rename(pages)
    assert given == rows(run, results) and len(given) > 10
    bounded = replace(begin(tmp_path / "bounded", emulator), decoded=Decoded(1))
    results = fetched(bounded)
    held = [bounded.decoded.take(entry) is not None for result in results.values() for entry in result.entries]
    assert held.count(True) == 1


@pytest.fixture(scope="module")
def good(emulator: Served, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, dict[str, FetchResult], list[dict[str, Any]]]:
    """A fetch without faults, loaded; and its requests."""
    emulator.clear_requests()
    run = begin(tmp_path_factory.mktemp("good"), emulator)
    results = fetched(run)
    requests = emulator.requests()
    for name, result in results.items():
        load(run, get_source(name), result.entries)
    return run, results, requests


@pytest.fixture(scope="module")
def good_rows(good: Any) -> dict[str, set[str]]:
    return rows(good[0], good[1])


def test_a_fetch_without_faults_has_no_warnings(good: Any) -> None:
    _, results, requests = good
    assert list(results) == [name for name, row in source_rows().items() if row.core]
    assert [(f.failures, f.warnings, f.quarantined, f.reused) for f in results.values()] == [([], [], [], 0)] * len(results)
    assert all(
        entry.final and entry.last and entry.origin == "synthetic; seed=7" for f in results.values() for entry in f.entries
    )
    assert {r["status"] for r in requests} == {200}


def test_instruments_come_first_and_the_shortest_history_next(good: Any) -> None:
    paths = [r["path"].removeprefix("/binance") for r in good[2] if r["venue"] == "binance"]
    assert paths[0] == "/fapi/v1/exchangeInfo"
    assert paths.index("/futures/data/openInterestHist") < paths.index("/fapi/v1/klines")
    assert len(paths) == 3 + 2 * 6, "three lists, then six endpoints of two instruments"


def test_few_requests_are_begun_at_the_same_time(emulator: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each that has begun takes memory; those of one endpoint come before those of the next one by the same limits."""
    begun, at_once, most = list[str](), 0, 0
    fetch_window = _SourceFetch._fetch_window

    async def counted(self: _SourceFetch, client: Any, endpoint: Any, *planned: Any) -> None:
        nonlocal at_once, most
        begun.append(endpoint.name)
        at_once += 1
        most = max(most, at_once)
        await fetch_window(self, client, endpoint, *planned)
        at_once -= 1

    monkeypatch.setattr(_SourceFetch, "_fetch_window", counted)
    whole = get_source("binance_usdm")
    candles = tuple(e for e in whole.endpoints if e.name in ("instruments", "candles", "mark_candles"))
    run = begin(tmp_path, emulator, assets=["all"])
    (result,) = asyncio.run(fetch(run, [replace(whole, endpoints=candles, concurrency=1)]))
    assert not result.failures
    assert most <= 4, "two of each endpoint"
    series = [name for name in begun if name != "instruments"]
    assert series == sorted(series) and len(series) == 2 * begun.count("candles") >= 12


def test_manifests_of_runs_that_asked_for_other_times_are_not_read(
    emulator: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But that of the last run is, whatever it asked for; so is one that noted no times."""
    source = get_source("binance_usdm")
    parts = [Window(NOW - n * DAY, NOW - n * DAY + DAY) for n in (6, 2, 1)]
    runs = [begin(tmp_path, emulator, window) for window in parts]
    for run in runs:
        asyncio.run(fetch(run, [source]))
    read = list[str]()
    entries = Landing.entries
    monkeypatch.setattr(Landing, "entries", lambda self, part: [read.append(Path(part).parent.name), *entries(self, part)][1:])
    later = begin(tmp_path, emulator, parts[0])
    (again,) = asyncio.run(fetch(later, [source]))
    assert set(read) == {runs[0].id, runs[2].id}
    assert again.reused > 10, "its pages are in landing"
    scope = Path(later.landing.path, "manifest", runs[1].id, "scope.json")
    scope.write_bytes(msgspec.json.encode(msgspec.json.decode(scope.read_bytes()) | {"window": None}))
    read.clear()
    final_entries(later, [source])
    assert runs[1].id in read


def series(bundle: Any, time: str, *values: str) -> list[tuple[Any, ...]]:
    """A store's rows of the two days; NaN as None."""
    at = getattr(bundle, time)
    keep = (at >= TWO_DAYS.start) & (at < TWO_DAYS.end)
    columns = [getattr(bundle, v)[keep].tolist() for v in values]
    return [
        tuple(None if isinstance(v, float) and np.isnan(v) else v for v in row)
        for row in zip(at[keep].tolist(), *columns, strict=True)
    ]


def raw(run: Run, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(run.settings.database), read_only=True) as connection:
        return connection.execute(sql).fetchall()


#: venue: table of candles, of funding, their columns; how the venue writes a listed coin.
TABLES = {
    "binance": ("binance_usdm", "symbol", "{}USDT", "open_time", "funding_time, funding_rate, mark_price"),
    "bybit": ("bybit_linear", "symbol", "{}USDT", "open_time", "funding_rate_timestamp, funding_rate"),
    "hyperliquid": ("hyperliquid", "coin", "{}", "open_time", "time, funding_rate"),
    "kraken": ("kraken_futures", "symbol", "PF_{}USD", "time", "timestamp, relative_funding_rate"),
}


@pytest.mark.parametrize("venue", VENUES)
def test_the_loaded_rows_equal_the_markets(venue: str, good: Any, market: SyntheticMarket) -> None:
    run = good[0]
    name, key, symbol, opened, funding = TABLES[venue]
    listings = [x for x in market.listings(venue) if x.base in run.settings.assets]
    assert len(listings) == 2
    for listing in listings:
        wire = symbol.format("XBT" if venue == "kraken" and listing.listed == "BTC" else listing.listed)
        where = f"WHERE {key} = '{wire}' ORDER BY ALL"
        expected = series(market.candles(venue, listing.listed, "trade"), "opened_at", "open", "high", "low", "close", "volume")
        assert len(expected) == 48
        assert raw(run, f"SELECT {opened}, open, high, low, close, volume FROM raw.{name}__candles {where}") == expected
        rate = ("rate", "mark") if "mark" in funding else ("rate",)
        expected = series(market.funding(venue, listing.listed), "settled_at", *rate)
        assert len(expected) >= 6
        assert raw(run, f"SELECT {funding} FROM raw.{name}__funding_rates {where}") == expected
        if venue != "hyperliquid":
            for kind in ("mark", "index"):
                expected = series(market.candles(venue, listing.listed, kind), "opened_at", "open", "high", "low", "close")  # type: ignore[arg-type]
                assert raw(run, f"SELECT {opened}, open, high, low, close FROM raw.{name}__{kind}_candles {where}") == expected
        interest = series(market.open_interest(venue, listing.listed), "observed_at", "size")
        assert len(interest) == 48
        match venue:
            case "binance":
                assert raw(run, f"SELECT timestamp, sum_open_interest FROM raw.binance_usdm__open_interest {where}") == interest
            case "bybit":
                loaded = raw(
                    run, f"SELECT timestamp, open_interest, single_open_interest FROM raw.bybit_linear__open_interest {where}"
                )
                assert [(t, one) for t, _, one in loaded] == interest
                assert all(both == pytest.approx(2 * one, rel=1e-15) for _, both, one in loaded)
            case "kraken":
                assert raw(run, f"SELECT timestamp, open FROM raw.kraken_futures__open_interest {where}") == interest
                forced = series(market.liquidations(venue, listing.listed), "time", "size", "price", "long")
                assert forced
                sql = (
                    f"SELECT timestamp, quantity, price, lower(direction) = 'sell' FROM raw.kraken_futures__liquidations {where}"
                )
                assert sorted(raw(run, sql)) == sorted(forced)
            case "hyperliquid":
                loaded = raw(run, f"SELECT time, open_interest * mark_px FROM raw.hyperliquid_archive__asset_ctxs {where}")
                usd = series(market.open_interest(venue, listing.listed), "observed_at", "size", "mark")
                assert [t for t, _ in loaded] == [t for t, *_ in usd]
                assert [v for _, v in loaded] == pytest.approx([size * mark for _, size, mark in usd], rel=1e-12)


def test_a_second_fetch_reuses_every_page(good: Any, good_rows: dict[str, set[str]], emulator: Served) -> None:
    run, results, requests = good
    emulator.clear_requests()
    again = begin(run.settings.home, emulator)
    second = fetched(again)
    assert emulator.requests() == []
    assert [(f.reused, len(f.entries)) for f in second.values()] == [(len(f.entries),) * 2 for f in results.values()]
    assert rows(again, second) == good_rows
    for name, result in second.items():
        assert load(again, get_source(name), result.entries).rows == {}
    # `refetch` requests every page again.
    refetched = fetched(begin(run.settings.home, emulator, refetch=True))
    assert len(emulator.requests()) == len(requests) and not any(f.reused for f in refetched.values())


def test_only_the_chosen_asset_and_venue_are_requested(emulator: Served, tmp_path: Path) -> None:
    emulator.clear_requests()
    results = fetched(begin(tmp_path, emulator, venues=["kraken"], assets=["BTC"]))
    assert list(results) == ["kraken_futures"] and not results["kraken_futures"].failures
    symbols = {e.context.get("symbol") for e in results["kraken_futures"].entries} - {None}
    assert symbols == {"PF_XBTUSD"}
    assert {r["venue"] for r in emulator.requests()} == {"kraken"}


def test_landing_at_its_cap_stops_the_run_and_more_room_completes_it(
    good: Any, good_rows: dict[str, set[str]], emulator: Served, tmp_path: Path
) -> None:
    with pytest.raises(LandingFull):
        fetched(begin(tmp_path, emulator, landing_max_gb=2e-5))
    emulator.clear_requests()
    run = begin(tmp_path, emulator)
    assert rows(run, fetched(run)) == good_rows
    assert 0 < len(emulator.requests()) < len(good[2]), "stored pages are reused"


# --- faults -----------------------------------------------------------------------------------------------------------------

#: The venue and path of each source's funding rates, and the field that a fault removes.
PATHS = {
    "binance_usdm": ("binance", "/fapi/v1/fundingRate", "fundingRate"),
    "bybit_linear": ("bybit", "/v5/market/funding/history", "fundingRate"),
    "hyperliquid": ("hyperliquid", "fundingHistory", "fundingRate"),
    "kraken_futures": ("kraken", "/derivatives/api/v4/historicalfundingrates", "relativeFundingRate"),
}
#: By kind: the fault's parameters, and True if the same run gets the right rows (else the next run).
FAULTS: dict[str, tuple[dict[str, Any], bool]] = {
    "429": ({"retry_after": 0.2}, True),
    "418": ({"retry_after": 0.2}, True),
    "500": ({}, True),
    "stall": ({"seconds": 5}, True),
    "reset": ({}, True),
    "truncated": ({}, True),
    "html": ({"status": 200}, True),
    "error_200": ({}, True),
    "empty_page": ({}, True),
    "repeated_page": ({"after": 1}, True),
    "overlapping_page": ({}, True),
    "new_field": ({}, True),
    "missing_field": ({}, False),
    "unreadable_field": ({}, False),
    "region": ({}, False),
    "clock": ({"minutes": -10}, False),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_each_fault_once_at_each_venue(kind: str, good_rows: dict[str, set[str]], emulator: Served, tmp_path: Path) -> None:
    params, recovers = FAULTS[kind]
    for venue, path, name in PATHS.values():
        more = {"field": name} if kind.endswith("_field") and kind != "new_field" else {}
        emulator.fault(kind, venue=venue, **({} if kind == "clock" else {"path_contains": path}), **params, **more)
    run = begin(tmp_path, emulator, **({"timeout_seconds": 1} if kind == "stall" else {}))
    results = fetched(run)
    for name, (venue, path, field) in PATHS.items():
        result = results[name]
        if not recovers:
            text = " ".join([*map(str, result.failures), *result.warnings])
            match kind:
                case "region":
                    if venue in ("binance", "bybit"):  # the others' bodies for a block are unknown
                        assert name in text and path in text and "refuses your region" in text
                    assert result.failures
                case "clock":
                    assert f"{name}: the venue's clock is 10.0 minutes behind ours" in text
                case _:
                    [entry] = [entry for entry in result.entries if entry.flaws]
                    [flaw] = entry.flaws
                    assert entry.source == name and path in entry.path_label and flaw.place.endswith(field), flaw
                    assert flaw.value == ("(absent)" if kind == "missing_field" else "'n/a'") and not result.quarantined
                    name_of = next(t for t in good_rows if t.startswith(f"{name}__funding"))
                    kept = rows(run, {name: result})[name_of]  # a row at the end of a window is requested again at once
                    assert len(kept) >= len(good_rows[name_of]) - 1 and kept <= good_rows[name_of], "its neighbours are kept"
        elif result.failures:
            # Some venues' error bodies are final: Bybit's parameter error, Kraken's unknown contract.
            assert kind == "error_200"
            assert all(name in str(f) and path in str(f) and f.remedy for f in result.failures)
        else:
            assert rows(run, {name: result}) == {t: r for t, r in good_rows.items() if t.startswith(f"{name}__")}
            if kind == "new_field":
                assert any("unknownField" in line and path in line for line in result.warnings)
    emulator.clear_faults()
    run = begin(tmp_path, emulator)
    if kind == "region":  # the venues are left alone until the time is over
        emulator.clear_requests()
        left_alone = fetched(run)
        assert all("nothing is sent to" in str(left_alone[name].failures) for name in PATHS)
        assert emulator.requests() == []
        (run.settings.folder / "limits.sqlite").unlink()
        run = begin(tmp_path, emulator)
    results = fetched(run)
    assert not any(f.failures or f.quarantined for f in results.values())
    assert rows(run, results) == good_rows


def test_a_blocked_venue_does_not_stop_the_others(emulator: Served, tmp_path: Path) -> None:
    emulator.fault("region", venue="binance", times=1000)
    results = fetched(begin(tmp_path, emulator))
    [failure] = results["binance_usdm"].failures
    assert "binance_usdm" in str(failure) and "--venues" in str(failure)
    assert not any(f.failures for name, f in results.items() if name != "binance_usdm")


def test_a_venue_that_is_down_is_given_up(emulator: Served, tmp_path: Path) -> None:
    emulator.fault("500", venue="bybit", times=10_000)
    emulator.clear_requests()
    results = fetched(begin(tmp_path, emulator, venues=["bybit"], tries=2))
    assert results["bybit_linear"].failures and "Run again later" in str(results["bybit_linear"].failures[-1])
    assert len(emulator.requests()) < 30


def test_a_missing_archive_file_is_a_warning(emulator: Served, tmp_path: Path) -> None:
    """The day in progress has no file yet."""
    run = begin(tmp_path, emulator, Window(NOW - DAY, NOW + DAY), venues=["hyperliquid"])
    run.clock = Clock(NOW + DAY)
    result = fetched(run)["hyperliquid_archive"]
    assert result.failures == [] and len(result.entries) == 1
    assert "20251012" in " ".join(result.warnings)


# --- windows ----------------------------------------------------------------------------------------------------------------


def at(*when: int) -> int:
    return to_ms(datetime(*when, tzinfo=UTC))  # type: ignore[misc]


def window_of(source: str, endpoint: str, run: Run) -> Window:
    """The part of a run's window that an endpoint is asked for."""
    return _SourceFetch(run, get_source(source), {}, lambda *_: None).window(get_source(source).endpoint(endpoint))


@pytest.mark.parametrize(
    ("source", "endpoint", "start"),
    [
        ("binance_usdm", "open_interest", at(2025, 9, 12)),  # 30 days
        ("binance_usdm", "candles", at(2025, 1, 1)),
        ("bybit_linear", "open_interest", at(2025, 1, 1)),
        ("hyperliquid", "funding_rates", at(2025, 1, 1)),
        ("hyperliquid", "candles", at(2025, 10, 12) - 5000 * HOUR),
        ("kraken_futures", "liquidations", at(2025, 10, 9)),  # three days unless more are asked
    ],
)
def test_no_window_reaches_beyond_what_the_venue_keeps(source: str, endpoint: str, start: int, tmp_path: Path) -> None:
    run = Run.begin(Settings(home=tmp_path), days((2025, 1, 1), (2025, 12, 31)), Clock(at(2025, 10, 12)))
    assert window_of(source, endpoint, run) == Window(start, at(2025, 10, 12)), "and never beyond now"


def test_a_live_window_stays_off_the_edge_of_what_is_kept(tmp_path: Path) -> None:
    """Binance refuses a start older than 30 days; a request may have to wait for its turn."""
    run = Run.begin(Settings(mode="live", home=tmp_path), Window(0, at(2039, 1, 1)), Clock())
    window = window_of("binance_usdm", "open_interest", run)
    assert 59_000 < window.start - (Clock().now() - 30 * DAY) <= 60_000 + HOUR and window.start % HOUR == 0


def test_a_damaged_body_in_landing_is_requested_again(tmp_path: Path, emulator: Served) -> None:
    """Also that of the instruments, of which everything else depends; the run goes on, and names the page."""
    source, window = get_source("bybit_linear"), Window(NOW - 2 * HOUR, NOW)
    run = begin(tmp_path, emulator, window)
    [first] = asyncio.run(fetch(run, [source]))
    for file in (tmp_path / run.settings.market / "landing" / "pages").glob("*/*"):
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    [again] = asyncio.run(fetch(begin(tmp_path, emulator, window), [source]))
    assert not again.failures and again.reused == 0 and len(again.entries) == len(first.entries)
    assert any("instruments-info: requested again, because landing: page" in warning for warning in again.warnings)
    [third] = asyncio.run(fetch(begin(tmp_path, emulator, window), [source]))
    assert third.reused == sum(entry.final for entry in again.entries) > 5
