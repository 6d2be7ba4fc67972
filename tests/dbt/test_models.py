"""The whole dbt project on a small hand-made market: data tests, order of loading, coverage, gaps, contracts."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from assets.defs import dbt as models_of
from pipelines import warehouse
from tests.dbt.conftest import END, NO_VIEWS, START, Dbt, checksums, load

#: How a test adds rows of `meta.replaced`.
REPLACED = "insert into meta.replaced (model, window_start, window_end)"
PIECES = [("2025-10-01", "2025-10-05"), ("2025-10-05", "2025-10-09"), ("2025-10-09", "2025-10-13")]


@pytest.fixture(scope="module")
def whole(dbt: Dbt, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse loaded and transformed at once, which passes all data tests."""
    path = Path(shutil.copyfile(models, tmp_path_factory.mktemp("whole") / "warehouse.duckdb"))
    load(path, START, END)
    dbt(path, "build", "--full-refresh", "--exclude", "config.materialized:view", "resource_type:seed", "test_type:unit")
    return path


def rows(path: Path, query: str) -> list[Any]:
    with duckdb.connect(str(path)) as connection:
        return connection.execute(query).fetchall()


def test_data_tests_find_a_duplicate_row_and_numbers_that_cannot_be(dbt: Dbt, whole: Path) -> None:
    with duckdb.connect(str(whole)) as connection:
        connection.execute("insert into intermediate.int_candles_converted from marts.fct_candles limit 1")
        connection.execute("update marts.daily_venues set volume_share = 1.5, oi_usd = 'nan' where venue = 'bybit'")
    for keys in (10**7, 1):  # at once, and month by month
        with pytest.raises(AssertionError) as failed:
            dbt(whole, "test", "--select", "fct_candles,test_type:data", "daily_venues,test_type:data", keys_at_a_time=keys)
        assert "unique_key_fct_candles" in str(failed.value) and "numbers_in_bounds_daily_venues" in str(failed.value)
    dbt(whole, "run", "--select", "int_candles_converted", "daily_venues")
    dbt(whole, "test", "--select", "unique_key_fct_candles_instrument_id__opened_at", keys_at_a_time=1)


@pytest.mark.slow
def test_any_order_of_loading_gives_the_same_rows(dbt: Dbt, models: Path, tmp_path: Path) -> None:
    """Twelve weeks: the last, then the first, then five days between. Most rows of the incremental models stay on either side.

    Models that follow others replace what changed there, also where a build that was killed changed it.
    """
    found = []
    first, late, last = ("2025-10-01", "2025-11-08"), ("2025-11-08", "2025-11-13"), ("2025-11-13", "2025-12-24")
    for name, runs in {"whole": [(first, late, last)], "late": [(last,), (first,), (late,)]}.items():
        (tmp_path / name).mkdir()
        path = Path(shutil.copyfile(models, tmp_path / name / "warehouse.duckdb"))
        with duckdb.connect(str(path)) as connection:
            connection.execute("update meta.scope set window_end = '2025-12-24', as_of = '2025-12-24'")
        for pieces in runs:
            for piece in pieces:
                load(path, *piece)
            with duckdb.connect(str(path)) as connection:  # of a build that ended, whose rows were never published
                connection.execute(f"{REPLACED} values ('int_daily_instruments', null, null), ('int_calendar', null, null)")
            changed = (pieces[0][0], pieces[-1][1])
            if pieces == (late,):  # a build that is killed when it has made these models
                dbt(path, "run", "--select", "+int_daily_instruments", "+int_calendar", *NO_VIEWS, changed=changed)
            dbt(path, "run", *NO_VIEWS, changed=changed)
            with warehouse.connect(path) as connection:
                models_of.note_built(connection)
        found.append(checksums(path))
    assert found[0] == found[1]
    query = "select arg_max(window_start, rowid), arg_max(window_end, rowid) from meta.replaced where model = '{}'"
    start, end = rows(path, query.format("int_calendar"))[0]
    assert start == end, "the calendar is as it was"
    changed_days = (datetime(2025, 11, 7), datetime(2025, 11, 13))  # the first settlement pays for the day before
    assert rows(path, query.format("int_coverage")) == [changed_days]


def test_blocking_tests_read_what_was_replaced_and_warnings_everything(dbt: Dbt, whole: Path, tmp_path: Path) -> None:
    """A bar twice, and without a coin: the tests of a run for other days see the second fault alone, those for its day both."""
    path = Path(shutil.copyfile(whole, tmp_path / "warehouse.duckdb"))
    with duckdb.connect(str(path)) as connection:
        connection.execute("insert into intermediate.int_candles_converted from marts.fct_candles where opened_at = '2025-10-01'")
        connection.execute("update intermediate.int_candles_converted set base_asset = null where opened_at = '2025-10-01'")
        connection.execute(f"delete from meta.replaced; {REPLACED} values ('int_candles_converted', '2025-10-09', '2025-10-13')")
    tests = ("test", "--select", "fct_candles,test_type:data", "venues,test_type:data")
    status = {r.node.name.partition("_fct")[0]: r.status for r in dbt(path, *tests, changed=PIECES[2])}
    assert (status["unique_key"], status["known_instruments"]) == ("pass", "warn")
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"{REPLACED} values ('int_candles_converted', '2025-10-01', '2025-10-05')")
    with pytest.raises(AssertionError, match="unique_key_fct_candles"):
        dbt(path, *tests, changed=PIECES[0])


def test_an_answer_without_rows_counts_as_seen(dbt: Dbt, whole: Path, tmp_path: Path) -> None:
    """Of liquidations: models that others follow are as they were."""
    path = Path(shutil.copyfile(whole, tmp_path / "warehouse.duckdb"))
    day = ("2025-10-05", "2025-10-06")
    listed = f"select seen from marts.coverage_daily where venue = 'binance' and dataset = 'liquidations' and day = '{day[0]}'"
    assert rows(path, listed) == [(0,)]
    with warehouse.connect(path) as connection:
        models_of.note_built(connection)
        connection.execute("insert into meta.loaded_windows values ('binance_usdm', 'liquidations', 'BTCUSDT', ?, ?)", day)
    dbt(path, "run", "--select", "+coverage_daily", *NO_VIEWS, changed=day)
    assert rows(path, listed) == [(1,)]


@pytest.mark.slow
def test_a_long_window_is_built_in_parts_with_the_same_rows(whole: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything, as after an upgrade; so is a changed window of all days. Publishing sums up all rows again."""
    load(path, START, END)
    [(raw,)] = rows(path, "select sum(estimated_size)::bigint from duckdb_tables() where schema_name = 'raw'")
    monkeypatch.setattr(models_of, "ROWS_AT_A_TIME", raw)
    with warehouse.connect(path) as connection:
        plan = models_of.plan(connection)
    assert len(plan.before) == 2
    models_of.build(plan, path)
    assert checksums(path) == checksums(whole)
    query = "select bool_and(window_start is null) from meta.replaced where model = 'int_candles_converted'"
    assert rows(path, query) == [(True,)]
    with warehouse.connect(path) as connection:
        models_of.note_built(connection)
        connection.execute("insert into meta.changed values (?, ?)", [START, END])
        assert len(models_of.plan(connection).before) == 2


def test_a_new_snapshot_of_an_instrument_updates_its_old_facts(dbt: Dbt, path: Path) -> None:
    read = ("--select", "+fct_candles", "+fct_order_book_depth", "+fct_running_rates", *NO_VIEWS)
    load(path, START, "2025-10-03")
    with duckdb.connect(str(path)) as connection:
        connection.execute("delete from raw.bybit_linear__instruments")
    dbt(path, "run", *read, changed=(START, "2025-10-03"))
    query = "select distinct base_asset, close > 1 from marts.fct_candles where venue = 'bybit'"
    depth = "select distinct base_asset, bid_base_10bps >= 40000 from marts.fct_order_book_depth where venue = 'bybit'"
    rates = (
        "select interval_hours, count(*), min(observed_at) from marts.fct_running_rates where venue = 'binance'"
        " group by all order by all"
    )
    first = datetime(2025, 10, 1, 0, 1)
    assert (rows(path, query), rows(path, depth), rows(path, rates)) == ([(None, None)], [(None, None)], [(None, 48, first)])
    load(path, "2025-10-12", END)
    listed = "'page' as _page, 'run' as _run, timestamp '2025-10-02' as _observed_at"
    with duckdb.connect(str(path)) as connection:  # a list of the second day that comes late: the interval has changed by then
        connection.execute(
            f"insert into raw.binance_usdm__instruments by name select * exclude (_page, _run, _observed_at), {listed}"
            " from raw.binance_usdm__instruments;"
            "insert into raw.binance_usdm__funding_info by name"
            f" select 'BTCUSDT' as symbol, 4 as funding_interval_hours, {listed}"
        )
    dbt(path, "run", *read, changed=("2025-10-12", END))
    assert (rows(path, query), rows(path, depth)) == ([("PEPE", False)], [("PEPE", True)])
    assert rows(path, rates) == [(4.0, 72, first)], "the first list holds for the time before it, also outside of the window"


@pytest.mark.slow
def test_times_do_not_depend_on_the_time_zone_of_the_machine(
    dbt: Dbt, whole: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    load(path, START, END)
    dbt(path, "run", *NO_VIEWS, changed=(START, END))
    assert checksums(path) == checksums(whole)
    assert rows(path, "select max(opened_at) from marts.fct_candles") == [(datetime(2025, 10, 12, 23),)]


def test_intervals_follow_a_change_and_ignore_missing_hours(whole: Path) -> None:
    actual = rows(
        whole,
        "select venue, interval_hours, interval_method, count(*), min(settled_at) from marts.fct_funding_rates"
        " group by all order by all",
    )
    assert actual == [
        ("binance", 4.0, "gap", 6 * 6 + 5, datetime(2025, 10, 6, 4)),
        ("binance", 8.0, "gap", 3 * 5 + 1, datetime(2025, 10, 1)),
        ("bybit", 8.0, "gap", 3 * 12, datetime(2025, 10, 1)),
        ("hyperliquid", 1.0, "stated", 24 * 12 - 2, datetime(2025, 10, 1)),
        ("kraken", 1.0, "stated", 24 * 12, datetime(2025, 10, 1)),
    ]


def test_coverage_counts_due_observations(whole: Path) -> None:
    actual = dict(rows(whole, "select (day, venue, dataset)::varchar, (expected, seen) from marts.coverage_daily"))
    assert actual["(2025-10-04, binance, candles)"] == (24, 23)
    assert actual["(2025-10-05, hyperliquid, funding_rates)"] == (24, 22)
    assert actual["(2025-10-05, binance, funding_rates)"] == (3, 3)
    assert actual["(2025-10-06, binance, funding_rates)"] == (6, 6)
    assert actual["(2025-10-12, binance, funding_rates)"] == (5, 5), "the settlement at the run's clock isn't due"
    assert actual["(2025-10-12, kraken, funding_rates)"] == (24, 24), "its stamp is the start of the hour"
    assert actual["(2025-10-05, hyperliquid, open_interest)"] == (24, 0)
    assert actual["(2025-10-05, hyperliquid, liquidations)"] == (1, 0)
    assert actual["(2025-10-05, kraken, liquidations)"] == (1, 1)


def test_gaps_are_contiguous_and_state_if_they_are_fetchable(whole: Path) -> None:
    actual = rows(
        whole,
        "select venue, dataset, source, gap_start, gap_end, missing, fetchable, fetch_until from marts.gaps"
        " where dataset in ('candles', 'funding_rates') and venue <> 'hyperliquid' or dataset = 'funding_rates'"
        " or venue = 'hyperliquid' and dataset in ('candles', 'liquidations') order by all",
    )
    start, end = datetime.fromisoformat(START), datetime.fromisoformat(END)
    assert actual == [
        ("binance", "candles", "binance_usdm", datetime(2025, 10, 4, 3), datetime(2025, 10, 4, 4), 1, True, None),
        ("hyperliquid", "candles", "hyperliquid", start, end, 288, True, datetime(2026, 5, 8, 23)),
        ("hyperliquid", "funding_rates", "hyperliquid", datetime(2025, 10, 5, 9), datetime(2025, 10, 5, 11), 2, True, None),
        ("hyperliquid", "liquidations", None, start, end, 12, False, None),
    ]


def test_a_day_of_an_asset_by_hand(whole: Path) -> None:
    """5 October, BTC: three venues; missing values are null, and zero only where a covered venue had none."""
    actual = rows(
        whole,
        "select venues_total, price_venues, funding_venues, oi_venues, liq_venues, oi_venue_names, funding_weighting,"
        " liq_short_usd, coverage_liquidations, coverage_oi from marts.daily_assets where day = '2025-10-05' and asset = 'BTC'",
    )
    assert actual == [(3, 2, 3, 1, 1, "binance", "volume", 0.0, 1 / 3, 1 / 3)]
    pepe = rows(
        whole,
        "select liq_long_usd, liq_venues, funding_8h, oi_base, basis from marts.daily_assets"
        " where day = '2025-10-05' and asset = 'PEPE'",
    )
    assert pepe == [(None, 0, pytest.approx(2e-4), 100_000.0, None)]


def test_a_broken_contract_stops_the_run(dbt: Dbt, whole: Path) -> None:
    with duckdb.connect(str(whole)) as connection:
        connection.execute("update meta.scope set origin = null")
    try:
        with pytest.raises(AssertionError, match="NOT NULL"):
            dbt(whole, "run", "--select", "daily_assets")
    finally:
        with duckdb.connect(str(whole)) as connection:
            connection.execute("update meta.scope set origin = 'synthetic'")
