"""The whole job, from HTTP to published marts: the same tables however it is run, and never a silent hole.

One undisturbed run of three days, two assets and all venues is the reference (`conftest`); every test below disturbs a run in
its own way and compares checksums of all marts (`tests.whole`), at one clock.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from assets.definitions import defs
from assets.runtime.emulator import attach
from infra.emulator.testing import Served
from pipelines import warehouse
from pipelines.windows import Window
from tests.whole import (
    AS_OF,
    DAYS,
    NO_DATA_TESTS,
    ROOT,
    SMALL,
    WHOLE,
    Point,
    Reference,
    checksums,
    database,
    different,
    keep_history,
    marts,
    perps,
    published,
    reading,
    window,
)

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _no_faults(emulator: Served) -> None:
    emulator.clear_faults()


@pytest.fixture
def copy(reference: Reference, tmp_path: Path) -> Path:
    """A home like the reference's, to do harm in."""
    return Path(shutil.copytree(reference.home, tmp_path / "copy", symlinks=True))


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def latest(home: Path, *key: str) -> Mapping[str, dg.MetadataValue]:
    """The metadata of an asset's last materialisation."""
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey(key))
    assert event and event.asset_materialization
    return event.asset_materialization.metadata


def executed_alone(home: Path, mart: str, check: str) -> str:
    """The first offending row of a test of dbt that is executed alone, as in the UI."""
    key = dg.AssetCheckKey(dg.AssetKey(["marts", mart]), check)
    config = {"home": str(home), "mode": "synthetic"}
    job = defs.resolve_implicit_global_asset_job_def().get_subset(asset_check_selection={key})
    ended = job.execute_in_process(run_config={"resources": {"settings": {"config": config}}}, raise_on_error=False)
    [evaluation] = ended.get_asset_check_evaluations()
    assert not ended.success and not evaluation.passed
    return str(evaluation.metadata["first"].value)


def test_the_reference_is_whole(reference: Reference) -> None:
    assert not different(marts(published(reference.home)), reference.marts)
    hourly = "select venue, dataset, sum(seen), sum(expected) from marts.coverage_daily where dataset = 'candles' group by all"
    assert sorted(query(database(reference.home), hourly)) == [
        (venue, "candles", 3 * 24 * 2, 3 * 24 * 2) for venue in ("binance", "bybit", "hyperliquid", "kraken")
    ]


@pytest.mark.parametrize("sql", re.findall(r"```sql\n(.*?)```", (ROOT / "docs/queries.md").read_text(), re.DOTALL))
def test_the_example_queries_answer(sql: str, reference: Reference) -> None:
    # Without reference sources there is nothing to reconcile.
    assert query(published(reference.home), sql) or "reconciliation_daily" in sql


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that the next two tests fill bit by bit; `tests/dbt` has the order of days in the suite."""
    return tmp_path_factory.mktemp("grown")


@pytest.mark.slow
def test_one_source_alone_leaves_every_table_there(reference: Reference, emulator: Served, grown: Path) -> None:
    ended = perps(grown, emulator.url, *window(DAYS[1]), venues="hyperliquid", assets="BTC", report=False)
    assert ended.status == 0, ended.output
    tables = marts(published(grown))
    assert tables.keys() == reference.marts.keys()
    assert tables["fct_candles"][0] == 24


@pytest.mark.slow
def test_days_may_come_in_reverse_and_overlap_and_fetch_and_load_may_come_alone(
    reference: Reference, emulator: Served, grown: Path
) -> None:
    later = window(DAYS[1], DAYS[2])
    full = perps(grown, emulator.url, "fetch", *later[1:], landing_max_gb=1e-5, **SMALL)
    assert full.status == 2 and "raise landing_max_gb, or free room with `perps prune" in full.output, full.output
    fetched = perps(grown, emulator.url, "fetch", *later[1:], **SMALL)
    assert fetched.status == 0, fetched.output
    assert query(database(grown), "select count(*) from raw.hyperliquid__candles") == [(24,)], "nothing is loaded yet"
    loaded = perps(grown, NOWHERE, "load", **SMALL)
    assert loaded.status == 0, loaded.output
    bars = "select count(*) from raw.kraken_futures__candles"
    assert query(database(grown), bars) == [(2 * 24 * 2,)]
    count = "select count(*) from marts.fct_candles"
    with duckdb.connect(str(published(grown)), read_only=True) as reader:
        assert reader.execute(count).fetchall() == [(24,)]
        with reading(published(grown)) as refusals:
            ended = perps(grown, emulator.url, *window(DAYS[0], DAYS[1]), data_tests=False, **SMALL)
        assert ended.status == 0, ended.output
        assert refusals() == []
        assert reader.execute(count).fetchall() == [(24,)]  # the old file is still open
    assert query(published(grown), count) > [(24,)]
    assert not different(marts(database(grown)), reference.marts)


def test_a_number_is_traced_to_its_bytes_while_a_run_writes(reference: Reference) -> None:
    sql = "select instrument_id, liquidated_at, price from marts.fct_liquidations order by liquidated_at limit 1"
    [(instrument, at, price)] = query(published(reference.home), sql)
    with warehouse.connect(database(reference.home)):  # no other process can open it meanwhile
        ended = perps(reference.home, NOWHERE, "explain", "fct_liquidations", str(instrument), f"{at:%Y-%m-%dT%H:%M:%S.%f}")
    assert ended.status == 0, ended.output
    assert "the record, as raw.kraken_futures__liquidations has it" in ended.output and f"{price}" in ended.output
    assert "the response, byte for byte" in ended.output


@pytest.mark.slow
def test_replay_needs_landing_alone(reference: Reference, tmp_path: Path) -> None:
    landing = database(reference.home).with_name("landing")
    ended = perps(
        tmp_path, NOWHERE, "run", "--mode", "replay", "--landing", str(landing), "--as-of", AS_OF, data_tests=False, **SMALL
    )
    assert ended.status == 0 and "0 sent" in ended.output, ended.output
    assert not different(marts(database(tmp_path)), reference.marts)


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose runs meet faults, are stopped and killed, until one completes them."""
    home = tmp_path_factory.mktemp("troubled")
    keep_history(home)
    return home


def test_faults_are_reported(emulator: Served, troubled: Path) -> None:
    emulator.fault("region", venue="kraken", times=1000)
    emulator.fault("429", venue="binance", path_contains="klines", retry_after=0.3, times=4)
    emulator.fault("empty_page", venue="binance", path_contains="openInterestHist", times=4)
    emulator.fault("html", venue="bybit", path_contains="kline", times=3)
    emulator.fault("truncated", venue="bybit", path_contains="funding", times=2)
    emulator.fault("missing_field", venue="hyperliquid", path_contains="fundingHistory", field="fundingRate")
    emulator.fault("missing_field", venue="binance", path_contains="v1/fundingRate", field="fundingRate", times=1000)
    ended = perps(troubled, emulator.url, *WHOLE, data_tests=False, **{**SMALL, "report": True})
    faults = {request["fault"] for request in emulator.requests()} - {None}
    assert faults == {"region", "429", "empty_page", "html", "truncated", "missing_field"}
    assert ended.status == 1, ended.output
    output = " ".join(ended.output.split())
    with dg.DagsterInstance.from_config(str(troubled / "dagster")) as instance:
        assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.FAILURE], "the UI's list shows it"
    assert "kraken_futures" in output and "refuses this machine" in output and "leave the venue out with `--venues`" in output
    assert "hyperliquid /info fundingHistory: in quarantine, $[0].fundingRate" in output
    assert "check failed landing/hyperliquid" not in output  # the row came when it was requested again; Binance's did not
    assert "binance_usdm /fapi/v1/fundingRate: 1 of the rows of page" in output and "the next run requests it again" in output
    report = (published(troubled).parent / "report.html").read_text()
    for source, reason in {"kraken_futures": "refuses this machine", "binance_usdm": "in quarantine"}.items():
        row = report[report.index(f"landing/{source}: fetched_whole") :]
        assert ">error</td>" in row[:200] and reason in row[: row.index("</tr>")]
    seen = dict(
        query(
            database(troubled), "select venue || ' ' || dataset, sum(seen) / sum(expected) from marts.coverage_daily group by 1"
        )
    )
    assert seen["bybit candles"] == seen["bybit funding_rates"] == seen["binance candles"] == 1
    assert seen["kraken candles"] == seen["kraken funding_rates"] == 0  # its list of instruments failed too: the hole is visible
    assert seen["binance open_interest"] == 0
    assert seen["hyperliquid funding_rates"] == 1  # the row that a page lost at its edge was requested once more

    [limits] = troubled.glob("synthetic-*/limits.sqlite")
    limits.unlink()  # the refusal holds for an hour


@pytest.mark.parametrize(
    "point",
    [
        Point("fetch", "pipelines.landing:Landing.put", nth=5, signal=signal.SIGINT),
        Point("load", "dlt:Pipeline.normalize", signal=signal.SIGINT),
        Point("dbt", "dbt.adapters.duckdb.connections:DuckDBConnectionManager.add_query", nth=60, signal=signal.SIGINT),
    ],
    ids=lambda point: point.name,
)
def test_ctrl_c_stops_cleanly(point: Point, reference: Reference, emulator: Served, troubled: Path) -> None:
    ended = perps(troubled, emulator.url, *WHOLE, point=point, **SMALL)
    assert ended.status == 130, ended.output
    assert "stopped; what was fetched is kept, the next run goes on from here" in ended.output
    assert "Traceback" not in ended.output


def test_the_next_run_completes_also_in_shanghai(reference: Reference, emulator: Served, troubled: Path) -> None:
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("PERPLAKE_", "DAGSTER_"))}
    mine |= {
        **NO_DATA_TESTS,
        "TZ": "Asia/Shanghai",
        "PERPLAKE_HOME": str(troubled),
        **{f"PERPLAKE_{name.upper()}": value for name, value in SMALL.items()},
    }
    ended = subprocess.run(
        [sys.executable, "-m", "assets.cli", *WHOLE],
        cwd=ROOT, env={**mine, "PERPLAKE_EMULATOR_URL": emulator.url}, capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert len(list(published(troubled).parent.glob("parquet*"))) == 3, "the link, the folder that it shows, and the one before"
    assert not different(marts(published(troubled)), reference.marts)


@pytest.fixture
def spoilt(copy: Path, emulator: Served) -> Path:
    """A copy whose marts are wrong (keys twice, a negative price, more rows than expected), after a run that said so.

    The run had nothing else to do.
    """
    keys = {  # by mart: the table behind it, and the columns of its key
        "fct_candles": ("int_candles_converted", "instrument_id__opened_at"),
        "fct_funding_rates": ("int_funding_settlements", "instrument_id__settled_at"),
        "fct_open_interest": ("int_open_interest_converted", "instrument_id__observed_at"),
        "fct_liquidations": ("int_liquidations_converted", "instrument_id__event_id"),
        "daily_instruments": ("int_daily_instruments", "day__instrument_id"),
    }
    before = published(copy).stat()
    keep_history(copy)
    emulator.clear_requests()
    with warehouse.connect(database(copy)) as connection:
        for mart, (table, _) in keys.items():
            connection.execute(f"INSERT INTO intermediate.{table} FROM marts.{mart} LIMIT 1")
        connection.execute("UPDATE marts.daily_assets SET low = -1 WHERE asset = 'BTC'")
        connection.execute("UPDATE marts.coverage_daily SET seen = expected + 1")
    ended = perps(copy, emulator.url, *WHOLE, **SMALL)
    assert ended.status == 1, ended.output
    output = " ".join(ended.output.split())
    for mart, (_, columns) in keys.items():
        assert f"check failed marts/{mart}: unique_key_{mart}_{columns}: 1 offending: unique_key(columns=" in output
    assert "check failed marts/daily_assets: holds_daily_assets_least_close" in output
    assert "check failed marts/coverage_daily: holds_coverage_daily_" in output
    assert "0 sent" in output and emulator.requests() == []
    assert latest(copy, "raw", "kraken_futures__candles")["unchanged"].value is True
    assert latest(copy, "marts", "fct_candles")["status"].value == "up to date"
    after = published(copy).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    return copy


def test_a_run_of_the_same_days_requests_loads_and_builds_nothing_and_a_failed_dbt_test_keeps_what_was_published(
    spoilt: Path,
) -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as other:
        assert other.submit(executed_alone, spoilt, "fct_candles", "unique_key_fct_candles_instrument_id__opened_at").result()


@pytest.mark.slow
def test_marts_that_failed_are_rebuilt_and_a_series_in_another_unit_is_set_apart(spoilt: Path, emulator: Served) -> None:
    """Bybit's prices come a thousand times too large, as if a multiplier were missed."""
    closes = "select day, asset, close, price_venues from marts.daily_assets order by all"
    known = query(published(spoilt), closes)
    with warehouse.connect(database(spoilt)) as connection:
        connection.execute(
            "UPDATE raw.bybit_linear__candles SET open = 1e3 * open, high = 1e3 * high, low = 1e3 * low, close = 1e3 * close"
        )
        start, end = connection.execute("SELECT epoch_ms(window_start), epoch_ms(window_end) FROM meta.scope").fetchall()[0]
        warehouse.mark_changed(connection, Window(start, end))
    ended = perps(spoilt, emulator.url, *WHOLE, **SMALL)
    assert ended.status == 0, ended.output
    assert not different(marts(published(spoilt)), marts(database(spoilt)))
    assert "check warned marts/series_faults: set_apart" in ended.output
    assert re.search(r"bybit\S* candles: .*unit: prices are (999|1000)", ended.output), ended.output
    now_known = query(published(spoilt), closes)
    assert [row[:2] for row in now_known] == [row[:2] for row in known]
    for (_, _, was, venues), (_, _, now, fewer) in zip(known, now_known, strict=True):
        assert now == pytest.approx(was, rel=0.01) and fewer == venues - 1


def test_fetch_and_load_fail_where_something_is_missing(emulator: Served, tmp_path: Path) -> None:
    emulator.fault("region", venue="kraken", times=1000)
    ended = perps(tmp_path, emulator.url, "fetch", *window(DAYS[1])[1:], venues="kraken", assets="BTC")
    assert ended.status == 1 and "failed kraken_futures" in ended.output, ended.output
    empty = perps(tmp_path, NOWHERE, "load", "--landing", str(tmp_path / "none"))
    assert empty.status == 2 and "is empty" in empty.output, empty.output


def test_a_warehouse_of_another_market_or_an_older_version_is_left_alone(copy: Path) -> None:
    path = database(copy)
    other = perps(copy, NOWHERE, *WHOLE, "--seed", "8", "--warehouse", str(path))
    assert other.status == 2 and "this warehouse holds the market 'synthetic-7'" in other.output, other.output
    assert "--warehouse" in other.output
    with warehouse.connect(path) as connection:
        connection.execute("UPDATE meta.warehouse SET schema = 0, version = '0.0.1'")
    before = query(path, "select count(*) from meta.runs")
    older = perps(copy, NOWHERE, *WHOLE)
    assert older.status == 2 and "was made by perplake 0.0.1" in older.output, older.output
    assert "perps run --mode replay --warehouse" in older.output
    assert query(path, "select count(*) from meta.runs") == before


@pytest.fixture
def small_disks(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Two real file systems with too little room; skipped where this user may not mount one."""
    disks = (tmp_path / "landing", tmp_path / "warehouse")
    mounted: list[Path] = []
    try:
        for disk, size in zip(disks, ("96k", "3m"), strict=True):
            disk.mkdir()
            done = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(disk)], capture_output=True, text=True
            )
            if done.returncode:
                pytest.skip(f"no right to mount a small disk: {done.stderr.strip()}")
            mounted.append(disk)
        yield disks
    finally:
        for disk in mounted:
            subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.slow
def test_full_disks_lose_nothing(small_disks: tuple[Path, Path], reference: Reference, emulator: Served, tmp_path: Path) -> None:
    landing, other = small_disks
    home, there = tmp_path / "home", ["--landing", str(landing / "pages"), "--warehouse", str(other / "warehouse.duckdb")]
    for disk, message in ((landing, "the disk is full; free room and run again"), (other, "No space left on device")):
        ended = perps(home, emulator.url, *WHOLE, *there, **SMALL)
        assert ended.status == 1 and message in " ".join(ended.output.split()), ended.output
        assert "Traceback" not in ended.output
        subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)
    for command in ("fetch", "load"):
        ended = perps(home, emulator.url, command, *WHOLE[1:], *there, **SMALL)
        assert ended.status == 0, ended.output
    assert not different(checksums(other / "warehouse.duckdb", "raw"), checksums(database(reference.home), "raw"))


def test_the_emulator_ends_with_a_killed_run(tmp_path: Path) -> None:
    code = "import sys, time; from assets.runtime.emulator import emulator; from pipelines.settings import Settings\n"
    code += "with emulator(Settings(), None) as attached: print(attached.emulator.url, flush=True); time.sleep(600)"
    run = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert run.stdout
    url = run.stdout.readline().strip()
    assert attach(url)
    run.kill()
    run.wait()
    deadline = time.monotonic() + 20
    with pytest.raises(ConnectionError):
        while time.monotonic() < deadline:
            attach(url)
            time.sleep(0.1)
