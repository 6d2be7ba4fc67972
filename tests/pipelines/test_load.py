"""Pages to rows in a real warehouse, by the real dlt: the same rows however often, in whatever order, after whatever crash."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from pipelines import load as loading
from pipelines import warehouse
from pipelines.clock import Clock
from pipelines.errors import WarehouseMismatch
from pipelines.landing import Entry
from pipelines.load import load
from pipelines.registry import source_rows
from pipelines.run import Run
from pipelines.settings import Settings
from pipelines.source import Instrument
from pipelines.sources import get_source
from pipelines.windows import DAY, HOUR, Window, to_ms

BINANCE, KRAKEN, ARCHIVE = get_source("binance_usdm"), get_source("kraken_futures"), get_source("hyperliquid_archive")
T0 = to_ms(datetime(2025, 10, 10, tzinfo=UTC))
DAY_ONE, DAY_TWO = Window(T0, T0 + DAY), Window(T0 + DAY, T0 + 2 * DAY)
BOTH = Window(T0, T0 + 2 * DAY)


def begin(home: Path, window: Window = BOTH, **settings: Any) -> Run:
    return Run.begin(Settings(home=home, **settings), window, Clock(T0 + 30 * DAY))


def land(run: Run, dataset: str, body: object, window: Window | None = DAY_ONE, of: Any = BINANCE, **fields: Any) -> Entry:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    known: dict[str, Any] = {
        "run": run.id, "source": of.name, "endpoint_name": dataset, "market": run.settings.market, "method": "GET", "url": "http://x/", "path_label": "/x",  # noqa: E501
        "context": {"symbol": "BTCUSDT"}, "window": (window.start, window.end) if window else None, "observed_at": T0 + 20 * DAY, "status": 200,  # noqa: E501
        "sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "last": True,
    }  # fmt: skip
    entry = Entry(**{**known, **fields})
    run.landing.put(entry, content)
    run.landing.flush()
    return entry


def rates(window: Window, rate: float | str = 1e-4, symbol: str = "BTCUSDT", step: int = 8 * HOUR) -> list[dict[str, Any]]:
    return [
        {"symbol": symbol, "fundingTime": t, "fundingRate": str(rate), "markPrice": ""}
        for t in range(window.start, window.end, step)
    ]


def bars(window: Window, close: float = 1.5) -> list[list[Any]]:
    return [
        [t, "1", "2", "0.5", str(close), "10", t + HOUR - 1, "15", 3, "5", "7", "0"]
        for t in range(window.start, window.end, HOUR)
    ]


def query(run: Run, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(run.settings.database), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def table_of(run: Run, name: str) -> list[tuple[Any, ...]]:
    """A raw table without its bookkeeping."""
    return query(run, f"""SELECT COLUMNS(c -> c NOT LIKE '\\_%' ESCAPE '\\') FROM raw."{name}" ORDER BY ALL""")


def archive_file() -> bytes:
    """Three hours of two coins, a row every 20 minutes, as the archive compresses it."""
    lines = [
        "time,coin,funding,open_interest,prev_day_px,day_ntl_vlm,premium,oracle_px,mark_px,mid_px,impact_bid_px,impact_ask_px"
    ]
    for minute in range(0, 180, 20):
        stamp = datetime.fromtimestamp((T0 + minute * 60_000) / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        lines += [f"{stamp},{coin},1e-05,{100 + minute}.5,1,2,,3,{4 + minute},,," for coin in ("BTC", "kPEPE")]
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "lz4") as stream:
        stream.write("\n".join(lines).encode())
    return sink.getvalue().to_pybytes()


def columns(run: Run, name: str) -> list[tuple[Any, ...]]:
    return query(
        run,
        "SELECT column_name, data_type, is_nullable FROM information_schema.columns WHERE table_schema = 'raw' "
        f"AND table_name = '{name}' AND column_name NOT LIKE '\\_dlt%' ESCAPE '\\' ORDER BY ordinal_position",
    )


class Once:
    """One load of each of three sources, of pages that have everything the tests below ask about."""

    def __init__(self, home: Path) -> None:
        self.run = run = begin(home, DAY_ONE)
        load(run, BINANCE, [])
        self.before = {
            get_source(n).raw_table(d): columns(run, get_source(n).raw_table(d))
            for n in source_rows()
            for d in get_source(n).endpoints
        }
        self.problem = "Expected `float`, got `str` - at `$[0].fundingRate`"
        self.good = land(run, "funding_rates", rates(BOTH), DAY_ONE)
        self.bad = land(
            run,
            "funding_rates",
            rates(DAY_ONE, rate="n/a", symbol="X"),
            problem=self.problem,
            field="$[0].fundingRate",
            value="'n/a'",
        )
        for rate, at in ((1e-4, 10), (3e-4, 12), (2e-4, 11)):  # three times the same window, observed in another order
            land(run, "funding_rates", rates(DAY_ONE, rate, "ETHUSDT"), observed_at=T0 + at * DAY)
        land(run, "funding_rates", rates(DAY_ONE, 1e-4, "SOLUSDT") + rates(DAY_ONE, 7e-4, "SOLUSDT"))
        land(run, "candles", bars(DAY_ONE), context={"symbol": "ETHUSDT"})
        land(run, "candles", bars(Window(T0, T0 + 12 * HOUR)), observed_at=T0 + 11 * HOUR + 59 * 60_000)
        for at in (1, 2):
            land(run, "funding_info", [{"symbol": "BLZUSDT", "fundingIntervalHours": 4}], None, observed_at=T0 + at * DAY)
        xbt = {"symbol": "PF_XBTUSD"}
        hours = [datetime.fromtimestamp(t / 1000, UTC) for t in range(T0 - 2 * HOUR, T0 + 30 * HOUR, HOUR)]
        whole = [{"timestamp": h.strftime("%Y-%m-%dT%H:%M:%S.000Z"), "relativeFundingRate": 1e-5} for h in hours]
        land(run, "funding_rates", {"rates": whole}, None, KRAKEN, context=xbt)
        land(run, "liquidations", {"elements": []}, DAY_ONE, KRAKEN, context=xbt, last=True)
        land(run, "liquidations", {"elements": [], "continuationToken": "x"}, BOTH, KRAKEN, context=xbt, last=False)
        land(run, "asset_ctxs", archive_file(), DAY_ONE, ARCHIVE, context={})
        self.done, self.kraken = load(run, BINANCE), load(run, KRAKEN)
        load(run, ARCHIVE)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    return Once(tmp_path_factory.mktemp("once"))


def test_pages_become_typed_rows_with_where_they_came_from(once: Once) -> None:
    sql = "SELECT funding_time, funding_rate, mark_price, rate_type, _page, _run, _observed_at FROM raw.binance_usdm__funding_rates WHERE symbol = 'BTCUSDT' ORDER BY 1"  # noqa: E501
    assert query(once.run, sql) == [
        (T0 + i * 8 * HOUR, 1e-4, None, "Regular", once.good.page, once.run.id, datetime(2025, 10, 30)) for i in range(3)
    ]
    assert dict(once.done.rows) == {"funding_rates": 9, "candles": 24 + 11, "funding_info": 2}
    assert query(
        once.run, "SELECT DISTINCT volume, trades, count(*) FROM raw.binance_usdm__candles WHERE symbol = 'ETHUSDT' GROUP BY ALL"
    ) == [(10, 3, 24)]


def test_every_raw_table_exists_of_its_type_before_and_after_rows(once: Once) -> None:
    assert len(once.before) == sum(len(get_source(n).endpoints) for n in source_rows()) and all(once.before.values())
    assert {name: columns(once.run, name) for name in once.before} == once.before
    rates_ = once.before["binance_usdm__funding_rates"]
    assert ("mark_price", "DOUBLE", "YES") in rates_ and ("funding_time", "BIGINT", "NO") in rates_


def test_of_rows_with_one_key_the_one_observed_last_stays(once: Once) -> None:
    sql = "SELECT symbol, funding_rate, count(*) FROM raw.binance_usdm__funding_rates WHERE symbol <> 'BTCUSDT' GROUP BY ALL ORDER BY 1"  # noqa: E501
    assert query(once.run, sql) == [("ETHUSDT", 3e-4, 3), ("SOLUSDT", 7e-4, 3)]


def test_rows_outside_of_what_was_asked_are_cut(once: Once) -> None:
    sql = "SELECT min(funding_time), max(funding_time) FROM raw.binance_usdm__funding_rates"
    assert query(once.run, sql) == [(T0, T0 + 16 * HOUR)]
    # Asked without a window: cut to the run's, and the same page then serves another day.
    sql = "SELECT min(timestamp), max(timestamp), count(*) FROM raw.kraken_futures__funding_rates"
    assert query(once.run, sql) == [(T0, T0 + 23 * HOUR, 24)]
    load(replace(once.run, window=DAY_TWO), KRAKEN)
    assert query(once.run, sql) == [(T0, T0 + 29 * HOUR, 30)]


def test_a_bar_that_was_not_over_when_it_came_is_never_stored(once: Once) -> None:
    """Twelve bars came a minute before the twelfth ended."""
    sql = "SELECT max(open_time), count(*) FROM raw.binance_usdm__candles WHERE symbol = 'BTCUSDT'"
    assert query(once.run, sql) == [(T0 + 10 * HOUR, 11)]


def test_snapshots_are_kept_by_when_they_were_observed(once: Once) -> None:
    sql = "SELECT funding_interval_hours, _observed_at FROM raw.binance_usdm__funding_info ORDER BY 2"
    assert query(once.run, sql) == [(4, datetime(2025, 10, 11)), (4, datetime(2025, 10, 12))]


def test_windows_of_events_that_were_read_are_noted(once: Once) -> None:
    """No liquidation in a window that was read to its end is a zero; in one that wasn't, it is nothing."""
    assert query(once.run, "SELECT symbol, window_start, window_end FROM meta.loaded_windows") == [
        ("PF_XBTUSD", datetime(2025, 10, 10), datetime(2025, 10, 11))
    ]


def test_the_archives_first_row_of_each_hour(once: Once) -> None:
    sql = "SELECT coin, time, open_interest, mark_px, premium FROM raw.hyperliquid_archive__asset_ctxs ORDER BY ALL"
    assert query(once.run, sql) == [
        (coin, T0 + h * HOUR, 100.5 + 60 * h, 4.0 + 60 * h, None) for coin in ("BTC", "kPEPE") for h in range(3)
    ]


def test_a_bad_page_goes_to_quarantine_and_the_others_load(once: Once) -> None:
    assert [e.page for e in once.done.quarantined] == [once.bad.page]
    assert query(once.run, "SELECT source, dataset, field, value, problem, page FROM meta.quarantine") == [
        ("binance_usdm", "funding_rates", "$[0].fundingRate", "'n/a'", once.problem, once.bad.page)
    ]
    # Once the parser is mended, loading again brings the rows, though neither the pages nor the table's type changed.
    record = BINANCE.endpoint("funding_rates").record

    def lenient(body: bytes) -> list[Any]:
        return [record(r["symbol"], r["fundingTime"], 0.5) for r in json.loads(body)]

    datasets = tuple(
        replace(d, decode=lenient, page=None, rows=list) if d.name == "funding_rates" else d for d in BINANCE.endpoints
    )
    done = load(once.run, replace(BINANCE, endpoints=datasets))
    assert (done.rows, done.quarantined) == ({"funding_rates": 12}, [])
    assert "candles" in done.unchanged


def test_again_in_reverse_and_overlapping_gives_the_same_rows(tmp_path: Path) -> None:
    runs = begin(tmp_path / "a"), begin(tmp_path / "b")
    for run, order in zip(runs, ((BOTH,), (DAY_TWO, BOTH, DAY_ONE)), strict=True):
        for window in order:
            load(replace(run, window=window), BINANCE, [land(run, "funding_rates", rates(window), window)])
    first, second = (table_of(run, "binance_usdm__funding_rates") for run in runs)
    assert first == second and len(first) == 6


def test_an_older_page_never_replaces_what_was_observed_later(tmp_path: Path) -> None:
    run = begin(tmp_path)
    later = land(run, "funding_rates", rates(DAY_ONE, 2e-4), observed_at=T0 + 9 * DAY)
    older = land(run, "funding_rates", rates(BOTH, 1e-4), BOTH, observed_at=T0 + 5 * DAY)
    load(run, BINANCE, [later])
    assert load(replace(run, window=BOTH), BINANCE, [older]).rows == {"funding_rates": 3}
    sql = "SELECT funding_rate, count(*) FROM raw.binance_usdm__funding_rates GROUP BY 1 ORDER BY 1"
    assert query(run, sql) == [(1e-4, 3), (2e-4, 3)]


def test_what_is_loaded_is_not_loaded_again(tmp_path: Path) -> None:
    run = begin(tmp_path)
    page = land(run, "funding_rates", rates(DAY_ONE))
    assert load(run, BINANCE, [page]).rows == {"funding_rates": 3}
    with warehouse.connect(run.settings.database) as connection:
        assert warehouse.changed(connection) == (datetime(2025, 10, 10), datetime(2025, 10, 11)), "what the page could hold"
        connection.execute("DELETE FROM meta.changed")
    again = load(run, BINANCE, [page])
    assert again.rows == {} and "funding_rates" in again.unchanged
    with warehouse.connect(run.settings.database) as connection:
        assert warehouse.changed(connection) is None


@pytest.mark.parametrize("moment", ["load_package", "normalize"])
def test_what_a_crash_left_pending_is_dropped_and_loses_nothing(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """dlt would load the pending package instead of what it is given, and call that a success."""
    from dlt.pipeline.pipeline import Pipeline

    one, two = begin(tmp_path, DAY_ONE), begin(tmp_path, DAY_TWO)
    first, second = land(one, "funding_rates", rates(DAY_ONE)), land(two, "funding_rates", rates(DAY_TWO), DAY_TWO)

    class Killed(BaseException):
        pass

    def dies(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Pipeline, "load" if moment == "load_package" else "normalize", dies)
        with pytest.raises(Killed):
            load(one, BINANCE, [first])
    assert load(two, BINANCE, [second]).rows == {"funding_rates": 3}
    assert query(two, "SELECT min(funding_time), count(*) FROM raw.binance_usdm__funding_rates") == [(DAY_TWO.start, 3)]
    assert load(one, BINANCE, [first]).rows == {"funding_rates": 3}
    assert query(two, "SELECT min(funding_time), count(*) FROM raw.binance_usdm__funding_rates") == [(DAY_ONE.start, 6)]


def test_a_load_in_many_batches_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "ROWS_A_TABLE", 10)
    monkeypatch.setattr(loading, "ROWS_A_LOAD", 30)
    run = begin(tmp_path)
    entries = [
        land(run, "candles", bars(w, close=c), w, observed_at=T0 + at * DAY)
        for w, c, at in ((DAY_ONE, 1, 5), (DAY_TWO, 1, 6), (DAY_ONE, 2, 7))
    ]
    assert sum(load(run, BINANCE, entries).rows.values()) >= 48
    assert query(run, "SELECT close, count(*) FROM raw.binance_usdm__candles GROUP BY 1 ORDER BY 1") == [(1.0, 24), (2.0, 24)]


def test_markets_are_never_mixed(tmp_path: Path) -> None:
    file = tmp_path / "w.duckdb"
    run = begin(tmp_path, warehouse=file, seed=7)
    load(run, BINANCE, [land(run, "funding_rates", rates(DAY_ONE))])
    other = begin(tmp_path, warehouse=file, seed=8)
    with pytest.raises(WarehouseMismatch, match=r"synthetic-7.*synthetic-8.*--warehouse"):
        load(other, BINANCE, [land(other, "funding_rates", rates(DAY_ONE, 9.0))])
    assert query(run, "SELECT DISTINCT funding_rate FROM raw.binance_usdm__funding_rates") == [(1e-4,)]
    # Nor are another market's pages read, where two share one landing.
    run = begin(tmp_path, warehouse=file, seed=7, landing=str(tmp_path / "shared"))
    land(run, "funding_rates", rates(DAY_TWO, 9.0), DAY_TWO, market="synthetic-8")
    assert load(run, BINANCE).rows == {}


def test_an_older_warehouse_says_the_way_on(tmp_path: Path) -> None:
    run = begin(tmp_path)
    load(run, BINANCE, [])
    with warehouse.connect(run.settings.database) as connection:
        connection.execute("UPDATE meta.warehouse SET schema = 0, version = '0.0.1'")
    with pytest.raises(WarehouseMismatch, match=r"0\.0\.1.*replay"):
        load(run, BINANCE, [])


def test_a_damaged_body_stops_the_load_by_name(tmp_path: Path) -> None:
    run = begin(tmp_path)
    page = land(run, "funding_rates", rates(DAY_ONE))
    [file] = run.landing.fs.glob(f"{run.landing.path}/pages/*/*")
    run.landing.fs.pipe_file(file, b"damaged")
    with pytest.raises(OSError, match=page.page):
        load(run, BINANCE, [page])


def test_days_are_utc_wherever_the_machine_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        run = begin(tmp_path, Window.of_days(date(2025, 10, 10), date(2025, 10, 10)))
        assert run.window == DAY_ONE
        load(run, BINANCE, [land(run, "funding_rates", rates(DAY_ONE))])
        assert query(run, "SELECT DISTINCT _observed_at FROM raw.binance_usdm__funding_rates") == [(datetime(2025, 10, 30),)]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_one_plan_for_all_instruments_is_possible() -> None:
    """A bulk dataset's plan doesn't look at the instrument."""
    for name in source_rows():
        for dataset in get_source(name).endpoints:
            if dataset.bulk:
                assert list(dataset.plan(Instrument("", ""), DAY_ONE))
