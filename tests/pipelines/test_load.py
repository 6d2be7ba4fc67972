"""Pages to rows in a real warehouse, by the real dlt: the same rows however often, in whatever order, after whatever crash."""

from __future__ import annotations

import hashlib
import json
import weakref
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from pipelines import load as loading
from pipelines import warehouse
from pipelines.clock import Clock
from pipelines.errors import WarehouseMismatch
from pipelines.landing import Entry
from pipelines.load import _write, load
from pipelines.meta_tables import create_meta_tables
from pipelines.registry import source_rows
from pipelines.run import Run, _next_id
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


def land(run: Run, dataset: str, body: object, window: Window | None = DAY_ONE, source: Any = BINANCE, **fields: Any) -> Entry:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    known: dict[str, Any] = {
        "run": run.id, "source": source.name, "endpoint_name": dataset, "market": run.settings.market, "method": "GET", "url": "http://x/", "path_label": "/x",  # noqa: E501
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


def columns_by_table(run: Run) -> dict[str, list[tuple[Any, ...]]]:
    """Name, type and nullability of the columns of every raw table."""
    by_table: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    sql = (
        "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns WHERE table_schema = 'raw' "
        "AND column_name NOT LIKE '\\_dlt%' ESCAPE '\\' AND table_name NOT LIKE '\\_dlt%' ESCAPE '\\' ORDER BY ordinal_position"
    )
    for name, *column in query(run, sql):
        by_table[name].append(tuple(column))
    return dict(by_table)


def forced_order(price: str) -> dict[str, Any]:
    """A frame of Binance's stream."""
    order = {"s": "BTCUSDT", "S": "SELL", "T": T0 - 2 * DAY, "ap": price, "z": "1.5", "X": "FILLED", "p": "100", "q": "1.5"}
    return {"e": "forceOrder", "E": T0, "o": order, "ps": "BTCUSDT", "st": 1}


class Once:
    """One load of each of three sources, with pages for all tests below."""

    def __init__(self, home: Path) -> None:
        self.run = run = begin(home, DAY_ONE)
        load(run, BINANCE, [])
        self.before = columns_by_table(run)
        self.problem = "Expected `float`, got `str`"
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
        for price, at in (("100.5", T0), ("100.5", T0 + 1), ("101", T0 - 2 * DAY)):  # one again, one of before the window
            land(run, "liquidations_stream", [{"at": at, "frame": forced_order(price)}], context={}, last=False)
        xbt = {"symbol": "PF_XBTUSD"}
        hours = [datetime.fromtimestamp(t / 1000, UTC) for t in range(T0 - 2 * HOUR, T0 + 30 * HOUR, HOUR)]
        whole = [{"timestamp": h.strftime("%Y-%m-%dT%H:%M:%S.000Z"), "relativeFundingRate": 1e-5} for h in hours]
        land(run, "funding_rates", {"rates": whole}, None, KRAKEN, context=xbt)
        land(run, "liquidations", {"elements": []}, DAY_ONE, KRAKEN, context=xbt, last=True)
        land(run, "liquidations", {"elements": [], "continuationToken": "x"}, BOTH, KRAKEN, context=xbt, last=False)
        land(run, "asset_ctxs", archive_file(), DAY_ONE, ARCHIVE, context={})
        self.result, self.kraken = load(run, BINANCE), load(run, KRAKEN)
        load(run, ARCHIVE)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    return Once(tmp_path_factory.mktemp("once"))


def test_what_was_collected_is_loaded_whatever_its_time(once: Once) -> None:
    sql = "SELECT trade_time, average_price, filled FROM raw.binance_usdm__liquidations_stream ORDER BY 2"
    assert query(once.run, sql) == [(T0 - 2 * DAY, price, 1.5) for price in (100.5, 101.0)]
    assert query(once.run, "SELECT count(*) FROM meta.versions WHERE dataset = 'liquidations_stream'") == [(0,)]


def test_pages_become_typed_rows_with_their_page_and_run(once: Once) -> None:
    sql = "SELECT funding_time, funding_rate, mark_price, rate_type, _page, _run, _observed_at FROM raw.binance_usdm__funding_rates WHERE symbol = 'BTCUSDT' ORDER BY 1"  # noqa: E501
    assert query(once.run, sql) == [
        (T0 + i * 8 * HOUR, 1e-4, None, "Regular", once.good.page, once.run.id, datetime(2025, 10, 30)) for i in range(3)
    ]
    assert dict(once.result.rows) == {"funding_rates": 9, "candles": 24 + 11, "funding_info": 2, "liquidations_stream": 2}
    assert query(
        once.run, "SELECT DISTINCT volume, trades, count(*) FROM raw.binance_usdm__candles WHERE symbol = 'ETHUSDT' GROUP BY ALL"
    ) == [(10, 3, 24)]


def test_every_raw_table_exists_with_its_types_before_and_after_a_load(once: Once) -> None:
    sources = map(get_source, source_rows())
    assert set(once.before) == {source.raw_table(endpoint) for source in sources for endpoint in source.tables}
    assert columns_by_table(once.run) == once.before
    rates_ = once.before["binance_usdm__funding_rates"]
    assert ("mark_price", "DOUBLE", "YES") in rates_ and ("funding_time", "BIGINT", "NO") in rates_


def test_every_raw_table_says_what_it_is_after_a_load(once: Once) -> None:
    comments = dict(query(once.run, "SELECT table_name, comment FROM duckdb_tables() WHERE schema_name = 'raw'"))
    assert comments["binance_usdm__candles"] == (
        "Binance USD-M futures: `candles` as sent, in the source's units. Key: symbol, open_time."
    )
    assert comments["coingecko__tickers"].endswith("`funding_rate` is percent; `open_interest` and `volume_24h` are US dollars.")
    assert all(comments[name] for name in once.before)


def test_of_rows_with_equal_keys_the_last_observed_is_kept(once: Once) -> None:
    sql = "SELECT symbol, funding_rate, count(*) FROM raw.binance_usdm__funding_rates WHERE symbol <> 'BTCUSDT' GROUP BY ALL ORDER BY 1"  # noqa: E501
    assert query(once.run, sql) == [("ETHUSDT", 3e-4, 3), ("SOLUSDT", 7e-4, 3)]


def test_rows_outside_of_the_requested_window_are_dropped(once: Once) -> None:
    sql = "SELECT min(funding_time), max(funding_time) FROM raw.binance_usdm__funding_rates"
    assert query(once.run, sql) == [(T0, T0 + 16 * HOUR)]
    # A request without a window: clipped to the run's window, and the same page is then loaded for another day.
    sql = "SELECT min(timestamp), max(timestamp), count(*) FROM raw.kraken_futures__funding_rates"
    assert query(once.run, sql) == [(T0, T0 + 23 * HOUR, 24)]
    load(replace(once.run, window=DAY_TWO), KRAKEN)
    assert query(once.run, sql) == [(T0, T0 + 29 * HOUR, 30)]


def test_an_unfinished_bar_is_not_loaded(once: Once) -> None:
    """Twelve bars arrived a minute before the end of the twelfth."""
    sql = "SELECT max(open_time), count(*) FROM raw.binance_usdm__candles WHERE symbol = 'BTCUSDT'"
    assert query(once.run, sql) == [(T0 + 10 * HOUR, 11)]


def test_snapshots_are_keyed_by_the_time_of_observation(once: Once) -> None:
    sql = "SELECT funding_interval_hours, _observed_at FROM raw.binance_usdm__funding_info ORDER BY 2"
    assert query(once.run, sql) == [(4, datetime(2025, 10, 11)), (4, datetime(2025, 10, 12))]


def test_complete_windows_of_events_are_noted(once: Once) -> None:
    """A window that was read to its last page can have zero liquidations; for other windows the number is unknown."""
    assert query(once.run, "SELECT symbol, window_start, window_end FROM meta.loaded_windows") == [
        ("PF_XBTUSD", datetime(2025, 10, 10), datetime(2025, 10, 11))
    ]


def test_what_a_run_tells_of_windows_does_not_depend_on_what_is_loaded_with_it(tmp_path: Path) -> None:
    """Of three runs the first had events, the second none of any instrument, the third a page that can't be read."""
    days = [Window(T0 + n * DAY, T0 + (n + 1) * DAY) for n in range(3)]
    runs = [begin(tmp_path / "one", day) for day in days]
    xbt: dict[str, Any] = {"source": KRAKEN, "context": {"symbol": "PF_XBTUSD"}}
    land(runs[0], "liquidations", {"elements": []}, days[0], **xbt)
    land(runs[1], "liquidations", {"elements": []}, days[1], empty=True, **xbt)
    land(runs[2], "liquidations", {"elements": "none"}, days[2], params={"day": 2}, **xbt)
    for run in runs:
        load(run, KRAKEN)
    whole = replace(begin(tmp_path / "other", Window(days[0].start, days[2].end)), landing=runs[0].landing)
    load(whole, KRAKEN)
    sql = "SELECT window_start, window_end FROM meta.loaded_windows"
    assert query(whole, sql) == query(runs[0], sql) == [(datetime(2025, 10, 10), datetime(2025, 10, 11))]


def test_windows_of_which_a_venue_had_nothing_more_are_noted(tmp_path: Path) -> None:
    run = begin(tmp_path)
    entries = [land(run, "candles", bars(DAY_ONE)), land(run, "candles", [], DAY_ONE, silent="BTCUSDT", empty=True)]
    load(run, BINANCE, entries)
    load(run, BINANCE, [land(run, "mark_candles", [], DAY_ONE, silent="BTCUSDT", empty=True)])
    assert query(run, "FROM meta.silent_windows") == [
        ("binance_usdm", "candles", "binance", "BTCUSDT", datetime(2025, 10, 10), datetime(2025, 10, 11))
    ]


def test_a_list_of_instruments_is_whole_with_its_last_page_and_every_row(tmp_path: Path) -> None:
    """Of Bybit's lists one ends with its first page, one has a row that can't be read, of one the last page is lost."""
    bybit = get_source("bybit_linear")
    row = {"symbol": "BTCUSDT", "contractType": "LinearPerpetual", "status": "Trading", "baseCoin": "BTC", "quoteCoin": "USDT",
           "settleCoin": "USDT", "fundingInterval": 480}  # fmt: skip
    pages = {1: ([row], True), 2: ([row, {**row, "fundingInterval": "x"}], True), 3: ([row], False), 4: ([], True)}
    for day, (rows, last) in pages.items():
        run, page = begin(tmp_path), {"result": {"list": rows}}
        land(run, "instruments", page, None, bybit, observed_at=T0 + day * DAY, context={}, last=last, empty=not rows)
    load(run, bybit)
    assert query(run, "FROM meta.whole_lists") == [("bybit_linear", "bybit", datetime(2025, 10, 11))]


def test_of_the_archive_the_first_row_of_each_hour_is_loaded(once: Once) -> None:
    sql = "SELECT coin, time, open_interest, mark_px, premium FROM raw.hyperliquid_archive__asset_ctxs ORDER BY ALL"
    assert query(once.run, sql) == [
        (coin, T0 + h * HOUR, 100.5 + 60 * h, 4.0 + 60 * h, None) for coin in ("BTC", "kPEPE") for h in range(3)
    ]


def test_a_bad_page_goes_to_quarantine_and_the_others_are_loaded(once: Once) -> None:
    assert [e.page for e in once.result.quarantined] == [once.bad.page]
    assert query(once.run, "SELECT source, dataset, field, value, problem, page FROM meta.quarantine") == [
        ("binance_usdm", "funding_rates", "$[0].fundingRate", "'n/a'", once.problem, once.bad.page)
    ]
    # After the parser is fixed, the next load has the rows, although neither the pages nor the table's type changed.
    record = BINANCE.endpoint("funding_rates").record

    def lenient(body: bytes) -> list[Any]:
        return [record(r["symbol"], r["fundingTime"], 0.5) for r in json.loads(body)]

    datasets = tuple(
        replace(d, decode=lenient, page=None, rows=list) if d.name == "funding_rates" else d for d in BINANCE.endpoints
    )
    again = load(once.run, replace(BINANCE, endpoints=datasets))
    assert (again.rows, again.quarantined) == ({"funding_rates": 12}, [])
    assert "candles" in again.unchanged


def test_loading_in_another_order_and_overlapping_gives_the_same_rows(tmp_path: Path) -> None:
    runs = begin(tmp_path / "a"), begin(tmp_path / "b")
    for run, order in zip(runs, ((BOTH,), (DAY_TWO, BOTH, DAY_ONE)), strict=True):
        for window in order:
            load(replace(run, window=window), BINANCE, [land(run, "funding_rates", rates(window), window)])
    first, second = (table_of(run, "binance_usdm__funding_rates") for run in runs)
    assert first == second and len(first) == 6


def test_an_older_page_does_not_replace_newer_rows(tmp_path: Path) -> None:
    run = begin(tmp_path)
    later = land(run, "funding_rates", rates(DAY_ONE, 2e-4), observed_at=T0 + 9 * DAY)
    older = land(run, "funding_rates", rates(BOTH, 1e-4), BOTH, observed_at=T0 + 5 * DAY)
    load(run, BINANCE, [later])
    assert load(replace(run, window=BOTH), BINANCE, [older]).rows == {"funding_rates": 3}
    sql = "SELECT funding_rate, count(*) FROM raw.binance_usdm__funding_rates GROUP BY 1 ORDER BY 1"
    assert query(run, sql) == [(1e-4, 3), (2e-4, 3)]


def test_a_replay_keeps_corrections_under_a_clock_that_stands_still_or_is_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten pages of the same rows in ten runs: whatever their hashes, the last one counts, loaded one by one or together.

    The clock stands still in five of them, then it is set back by a day before each.
    """
    pages, now = [], datetime.now(UTC)
    for rate in range(1, 11):
        back = timedelta(days=max(0, rate - 5))
        clock = type("Clock", (datetime,), {"now": staticmethod(lambda zone, at=now - back: at)})
        monkeypatch.setattr("pipelines.run.datetime", clock)
        observed_at = T0 + (20 - back.days) * DAY
        pages.append(land(begin(tmp_path), "funding_rates", rates(DAY_ONE, rate / 1e4), observed_at=observed_at))
    sql = "SELECT DISTINCT funding_rate FROM raw.binance_usdm__funding_rates"
    replayed = begin(tmp_path, DAY_ONE)
    load(replayed, BINANCE)
    assert query(replayed, sql) == [(1e-3,)]
    load(replayed, BINANCE, pages[:3])
    assert query(replayed, sql) == [(1e-3,)]
    assert len({page.run for page in pages}) == 10


def test_ids_of_runs_are_in_the_order_in_which_they_began() -> None:
    """Whatever the clock says, and whatever else lies in the folder."""
    now = datetime(2026, 5, 1, tzinfo=UTC)
    assert _next_id([], now)[:-7] == _next_id(["20260430T235959999999-abcdef"], now)[:-7] == "20260501T000000000000"
    ahead = ["20260601T000000999999-abcdef", "20260501-collected", "20991231T000000000000-abcdef", "20260931T000000000000-x", "x"]
    assert _next_id(ahead, now)[:-7] == "20260601T000001000000"


class Observed:
    """Observations of one rate in landing, each (value, day of the request), and loads of them into a warehouse in memory."""

    endpoint, name = BINANCE.endpoint("funding_rates"), "binance_usdm__funding_rates"
    connection = duckdb.connect()

    def __init__(self, home: Path, seen: Sequence[tuple[float, int]]) -> None:
        self.run = begin(home)
        rows = self.endpoint.schema.empty_table()  # noqa: F841, DuckDB finds it by its name
        tables = f"CREATE SCHEMA IF NOT EXISTS raw; CREATE TABLE IF NOT EXISTS raw.{self.name} AS FROM rows"
        self.connection.execute(f"{create_meta_tables()}; {tables}")
        body = [(rates(DAY_ONE, rate, step=DAY), T0 + day * DAY) for rate, day in seen]
        self.pages = [land(self.run, "funding_rates", each, observed_at=at, place=n) for n, (each, at) in enumerate(body)]

    def loaded(self, *loads: Sequence[int]) -> list[tuple[Any, ...]]:
        """What is known of the value after loads of these pages, by their numbers: the raw row, and the versions."""
        connection = self.connection
        connection.execute(f"DELETE FROM meta.versions; DELETE FROM raw.{self.name}")
        for numbers in loads:
            entries = sorted((self.pages[n] for n in numbers), key=loading.in_order)
            given = pa.concat_tables(loading.arrow_tables(self.run, self.endpoint, entries, loading.LoadResult("binance_usdm")))
            rows = loading._to_merge(connection, self.run, BINANCE, self.endpoint, given)[0]
            if rows.num_rows:  # all have one key
                connection.execute(f"DELETE FROM raw.{self.name}; INSERT INTO raw.{self.name} FROM rows")
        raw = f"SELECT funding_rate, _observed_at, _page, _place FROM raw.{self.name}"
        versions = "SELECT symbol, happened_at, row_key, field, value, observed_at FROM meta.versions ORDER BY observed_at, place"
        return [*connection.execute(raw).fetchall(), *connection.execute(versions).fetchall()]


def test_corrections_have_every_observation_of_a_value_that_changed(tmp_path: Path) -> None:
    """A rate is 1e-4 on the 12th and 13th, 2e-4 on the 14th, 1e-4 on the 15th; the mark price stays absent."""
    observed = Observed(tmp_path, [(1e-4, 2), (1e-4, 3), (2e-4, 4), (1e-4, 5)])
    assert observed.loaded(range(4))[1:] == [
        ("BTCUSDT", datetime(2025, 10, 10), f"BTCUSDT {T0} Regular", "funding_rate", value, datetime(2025, 10, 10 + day))
        for value, day in (("0.0001", 2), ("0.0001", 3), ("0.0002", 4), ("0.0001", 5))
    ]
    assert Observed(tmp_path / "same", [(1e-4, 2), (1e-4, 3)]).loaded([0], [1])[1:] == []
    twice = Observed(tmp_path / "twice", [(2e-4, 2), (1e-4, 2), (2e-4, 2)])  # the same bytes before and after others
    assert twice.loaded(range(3), [0]) == twice.loaded(range(3))


def test_a_correction_reads_the_manifests_since_its_time_alone(tmp_path: Path) -> None:
    """A damaged line is named when it is read: one of a run of long before is not, one of the correction's day is."""
    pages = [land(begin(tmp_path), "funding_rates", rates(DAY_ONE, rate), observed_at=T0 + 9 * DAY) for rate in (1e-4, 2e-4)]
    live = replace(begin(tmp_path), clock=Clock())
    manifest = Path(live.landing.path) / "manifest"
    for name in ("20201010T000000000000-abcdef", "20251010T000000000000-abcdef"):
        (manifest / name).mkdir()
        (manifest / name / "0001.jsonl").write_text("{")
    for page in pages:
        load(live, BINANCE, [page])
    assert query(live, "SELECT count(DISTINCT value) FROM meta.versions WHERE field = 'funding_rate'") == [(2,)]
    [damaged] = live.landing.damage
    assert "20251010T" in damaged


@examples(max_examples=8, deadline=None)
@given(st.data())
def test_corrections_depend_on_landing_and_not_on_the_order_of_loads(data: st.DataObject) -> None:
    """Any number of observations, two at a time under a clock that stands still, in any order, several in a load or twice.

    In the raw table is the one that came last, by the clock and then as the pages came.
    """
    seen = data.draw(st.lists(st.tuples(st.sampled_from((1e-4, 2e-4, 3e-4)), st.integers(2, 6)), min_size=1, max_size=6))
    order = data.draw(st.permutations(range(len(seen))))
    cuts = [0, *sorted(data.draw(st.sets(st.integers(1, len(seen))))), len(seen)]
    again = data.draw(st.lists(st.sampled_from(order), max_size=2))
    with TemporaryDirectory() as home:
        observed = Observed(Path(home), seen)
        loads = [order[start:end] for start, end in pairwise(cuts) if start < end] + [[n] for n in again]
        found = observed.loaded(*loads)
        assert found == observed.loaded(range(len(seen)))
        last = max(range(len(seen)), key=lambda n: (seen[n][1], n))
        assert (found[0][0], found[0][-1]) == (seen[last][0], last)


def test_versions_of_rows_can_be_noted_whose_key_has_no_time(tmp_path: Path) -> None:
    """Such as an event with an id of its own: a row of each of these endpoints that is sent with another value."""
    run, noted = begin(tmp_path), set()
    with duckdb.connect() as connection:
        connection.execute(create_meta_tables() + "; CREATE SCHEMA raw")
        for source in map(get_source, source_rows()):
            for endpoint in (e for e in source.endpoints if e.time and e.time not in e.primary_key):
                one = {
                    pa.int64(): 1,
                    pa.float64(): 1.0,
                    pa.string(): "x",
                    pa.bool_(): True,
                    pa.timestamp("us"): datetime(2025, 1, 1),
                }
                another = {pa.int64(): 2, pa.float64(): 2.0, pa.string(): "y", pa.bool_(): False}
                row = {field.name: one[field.type] for field in endpoint.schema}
                values = [n for n in row if n not in endpoint.primary_key and not n.startswith("_")]
                rows = pa.Table.from_pylist([row], endpoint.schema)  # noqa: F841, DuckDB finds it by its name
                connection.execute(f'CREATE TABLE raw."{source.raw_table(endpoint)}" AS FROM rows')
                other = row | {n: another[endpoint.schema.field(n).type] for n in [*values[-1:], "_page"]}
                loading._to_merge(connection, run, source, endpoint, pa.Table.from_pylist([other], endpoint.schema))
                noted |= {(source.name, endpoint.name)} if values else set()
        assert set(connection.execute("SELECT DISTINCT source, dataset FROM meta.versions").fetchall()) == noted != set()


def test_no_raw_column_has_the_name_of_one_of_the_versions() -> None:
    """`_note_versions` puts the values beside these columns."""
    for source in map(get_source, source_rows()):
        for endpoint in source.endpoints:
            fields = set(endpoint.schema.names) - set(endpoint.primary_key)
            assert endpoint.snapshot or not fields & {"symbol", "happened_at", "row_key"}, endpoint.name


def test_a_page_leaves_quarantine_once_its_request_is_answered(tmp_path: Path) -> None:
    bad = land(begin(tmp_path), "funding_rates", rates(DAY_ONE, "x"))
    other = land(begin(tmp_path), "funding_rates", rates(DAY_TWO, "x"), DAY_TWO, params={"day": 2})
    run = begin(tmp_path)
    load(run, BINANCE, [bad, other])
    sql = "SELECT page FROM meta.quarantine"
    assert set(query(run, sql)) == {(bad.page,), (other.page,)}
    good = land(again := begin(tmp_path), "funding_rates", rates(DAY_ONE))
    load(again, BINANCE, [good])
    assert query(again, sql) == [(other.page,)]


def test_a_row_leaves_quarantine_once_its_request_is_answered_also_where_both_answers_are_loaded(tmp_path: Path) -> None:
    rows, other = rates(DAY_ONE), rates(DAY_TWO)
    for each in (rows, other):
        each[1] = {**each[1], "fundingRate": "x"}
    bad = land(begin(tmp_path), "funding_rates", rows)
    unanswered = land(begin(tmp_path), "funding_rates", other, DAY_TWO, params={"day": 2})
    assert {entry.page for entry, _ in load(begin(tmp_path), BINANCE, [bad, unanswered]).flaws} == {bad.page, unanswered.page}
    good = land(again := begin(tmp_path), "funding_rates", rates(DAY_ONE))
    loaded = load(again, BINANCE, [bad, unanswered, good])
    assert {entry.page for entry, _ in loaded.flaws} == {unanswered.page}
    assert query(again, "SELECT DISTINCT page FROM meta.quarantine") == [(unanswered.page,)]


def test_loaded_pages_are_not_loaded_again(tmp_path: Path) -> None:
    run = begin(tmp_path)
    page = land(run, "funding_rates", rates(DAY_ONE))
    assert load(run, BINANCE, [page]).rows == {"funding_rates": 3}
    with warehouse.connect(run.settings.database) as connection:
        assert warehouse.changed(connection) == (datetime(2025, 10, 10), datetime(2025, 10, 11)), "the hull of the page's window"
        connection.execute("DELETE FROM meta.changed")
    again = load(run, BINANCE, [page])
    assert again.rows == {} and "funding_rates" in again.unchanged
    with warehouse.connect(run.settings.database) as connection:
        assert warehouse.changed(connection) is None


@pytest.mark.parametrize("moment", ["load_package", "normalize"])
def test_pending_packages_of_a_killed_load_are_dropped(moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """dlt would load the pending package instead of the new rows, and report success."""
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


def test_a_load_in_many_batches_is_complete_and_keeps_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[weakref.ref[pa.Table]] = []

    def write(table: pa.Table, file: Path) -> None:
        assert sum(each() is not None for each in written) <= 1, "of all batches that are stored, dlt keeps the last one's table"
        written.append(weakref.ref(table))
        _write(table, file)

    monkeypatch.setattr(loading, "_write", write)
    monkeypatch.setattr(loading, "ROWS_A_TABLE", 10)
    monkeypatch.setattr(loading, "ROWS_A_LOAD", 20)
    run = begin(tmp_path)
    entries = [
        land(run, "candles", bars(w, close=c), w, observed_at=T0 + at * DAY)
        for w, c, at in ((DAY_ONE, 1, 5), (DAY_TWO, 1, 6), (DAY_ONE, 2, 7))
    ]
    assert sum(load(run, BINANCE, entries).rows.values()) >= 48
    assert query(run, "SELECT close, count(*) FROM raw.binance_usdm__candles GROUP BY 1 ORDER BY 1") == [(1.0, 24), (2.0, 24)]
    assert len(written) == 3


def test_markets_are_never_mixed(tmp_path: Path) -> None:
    file = tmp_path / "w.duckdb"
    run = begin(tmp_path, warehouse=file, seed=7)
    load(run, BINANCE, [land(run, "funding_rates", rates(DAY_ONE))])
    other = begin(tmp_path, warehouse=file, seed=8)
    with pytest.raises(WarehouseMismatch, match=r"synthetic-7.*synthetic-8.*--warehouse"):
        load(other, BINANCE, [land(other, "funding_rates", rates(DAY_ONE, 9.0))])
    assert query(run, "SELECT DISTINCT funding_rate FROM raw.binance_usdm__funding_rates") == [(1e-4,)]
    # Pages of another market in the same landing are not loaded either.
    run = begin(tmp_path, warehouse=file, seed=7, landing=str(tmp_path / "shared"))
    land(run, "funding_rates", rates(DAY_TWO, 9.0), DAY_TWO, market="synthetic-8")
    assert load(run, BINANCE).rows == {}


def test_an_older_warehouse_is_refused_with_the_remedy(tmp_path: Path) -> None:
    run = begin(tmp_path)
    load(run, BINANCE, [])
    with warehouse.connect(run.settings.database) as connection:
        connection.execute("UPDATE meta.warehouse SET schema = 0, version = '0.0.1'")
    with pytest.raises(WarehouseMismatch, match=r"0\.0\.1.*replay"):
        load(run, BINANCE, [])


def test_a_damaged_body_is_named_and_the_others_are_loaded(tmp_path: Path) -> None:
    run = begin(tmp_path)
    page = land(run, "funding_rates", rates(DAY_ONE))
    [file] = run.landing.fs.glob(f"{run.landing.path}/pages/*/*")
    run.landing.fs.pipe_file(file, b"damaged")
    good = land(run, "funding_rates", rates(DAY_TWO), DAY_TWO)
    result = load(run, BINANCE, [page, good])
    assert result.rows == {"funding_rates": 3}
    assert [(e.page, "`perps run` over its days" in e.problem) for e in result.quarantined] == [(page.page, True)]
    land(run, "funding_rates", rates(DAY_ONE))
    assert load(run, BINANCE, [page, good]).rows == {"funding_rates": 6} and query(run, "FROM meta.quarantine") == []


def test_a_page_that_is_lost_costs_nothing_once_its_window_was_requested_again(tmp_path: Path) -> None:
    run = begin(tmp_path)
    lost = land(run, "funding_rates", rates(DAY_ONE, 1), whole=True)
    Path(run.landing._body_path(lost.sha256)).write_bytes(b"")
    assert [e.page for e in load(run, BINANCE, [lost]).quarantined] == [lost.page]
    again = begin(tmp_path)
    part = land(again, "funding_rates", rates(DAY_ONE, 2), last=False)
    assert [e.page for e in load(again, BINANCE, [lost, part]).quarantined] == []
    part = land(again, "funding_rates", rates(BOTH, 2)[:3], BOTH, params={"limit": 3}, last=False)
    assert [e.page for e in load(again, BINANCE, [lost, part]).quarantined] == [lost.page], "the rest of the window is not there"
    whole = land(again, "funding_rates", rates(BOTH, 3), BOTH, params={"limit": 9}, whole=True)
    assert load(again, BINANCE, [lost, part, whole]).quarantined == []


def test_a_page_of_a_time_that_the_venue_has_forgotten_is_a_gap_and_no_failure(tmp_path: Path) -> None:
    """Binance answers for thirty days of open interest: a damaged page of a day before is a gap, unless its bytes come back."""

    def load_at(days: float, *entries: Entry) -> loading.LoadResult:
        return load(replace(begin(tmp_path), clock=Clock(T0 + int(days * DAY))), BINANCE, entries)

    def points(window: Window) -> list[dict[str, Any]]:
        times = range(window.start, window.end, HOUR)
        return [{"symbol": "BTCUSDT", "timestamp": t, "sumOpenInterest": "1", "sumOpenInterestValue": "2"} for t in times]

    page = land(begin(tmp_path), "open_interest", points(DAY_ONE))
    body = Path(begin(tmp_path).landing._body_path(page.sha256))
    stored = body.read_bytes()
    body.write_bytes(stored[:-1])
    for days, later in ((30, []), (30.5, []), (30.5, [Window(T0 + 18 * HOUR, T0 + DAY)])):  # what it answers for is not there
        answers = [land(begin(tmp_path), "open_interest", points(w), w, params={"part": 1}, whole=True) for w in later]
        result = load_at(days, page, *answers)
        assert ([e.page for e in result.quarantined], result.lost) == ([page.page], [])
    half = Window(T0 + DAY // 2, T0 + DAY)
    rest = land(begin(tmp_path), "open_interest", points(half), half, params={"part": 2}, whole=True)
    for days, entries in ((30.5, [page, rest]), (31, [page])):
        result = load_at(days, *entries)
        assert ([e.page for e in result.lost], result.quarantined) == ([page.page], [])
        [(problem,)] = query(begin(tmp_path), "SELECT problem FROM meta.quarantine")
        assert "damaged" in problem and "nothing can bring it back" in problem and "requests it again" not in problem
    unreadable = land(begin(tmp_path), "open_interest", [{}])
    assert ["only a corrected parser" in e.problem for e in load_at(31, unreadable).lost] == [True]
    body.write_bytes(stored)
    assert load_at(31, page).rows == {"open_interest": 12}
    assert query(begin(tmp_path), "SELECT page FROM meta.quarantine") == [(unreadable.page,)]
    assert not begin(tmp_path).kept(BINANCE.endpoint("liquidations_stream"), DAY_TWO), "a stream is heard once"


def test_what_a_live_fetch_leaves_out_at_the_edge_of_a_history_is_a_gap(tmp_path: Path) -> None:
    """It begins with a whole hour, and `perps load` has the time of the last page as its clock."""
    live, half = begin(tmp_path, mode="live"), Window(T0 + 13 * HOUR, T0 + DAY)
    lost = land(live, "open_interest", [{}], whole=True)
    land(begin(tmp_path, mode="live"), "open_interest", [], half, params={"limit": 11}, whole=True)
    later = replace(begin(tmp_path, mode="live"), clock=Clock(T0 + 30 * DAY + 12 * HOUR))
    assert [e.page for e in load(later, BINANCE).lost] == [lost.page]


def test_several_answers_take_the_place_of_one(tmp_path: Path) -> None:
    """Requests begin at multiples of their length, so that another window is cut elsewhere."""
    lost = land(begin(tmp_path), "funding_rates", rates(BOTH), BOTH)
    Path(begin(tmp_path).landing._body_path(lost.sha256)).write_bytes(b"")
    days = [land(begin(tmp_path), "funding_rates", rates(w), w, params={"at": w.start}, whole=True) for w in (DAY_ONE, DAY_TWO)]
    assert [e.page for e in load(begin(tmp_path), BINANCE, [lost, days[1]]).quarantined] == [lost.page]
    assert load(begin(tmp_path), BINANCE, [lost, *days]).quarantined == []


def test_a_lost_list_costs_nothing_once_it_was_requested_again_in_another_hour(tmp_path: Path) -> None:
    """Lists as of now are loaded by the hour in which they were observed."""
    known: dict[str, Any] = {"window": None, "context": {}}
    lost = land(begin(tmp_path), "instruments", b"{", **known)
    run = begin(tmp_path)
    assert [e.page for e in load(run, BINANCE, [lost]).quarantined] == [lost.page]
    again = land(run, "instruments", {"symbols": []}, observed_at=lost.observed_at + 2 * HOUR, **known)
    assert load(run, BINANCE, [lost, again]).quarantined == [] and query(run, "FROM meta.quarantine") == []


def test_days_are_utc_in_any_time_zone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_bulk_endpoints_need_no_instrument() -> None:
    """The plan of a bulk endpoint doesn't read the instrument."""
    for name in source_rows():
        for dataset in get_source(name).endpoints:
            if dataset.bulk:
                assert list(dataset.plan(Instrument("", ""), DAY_ONE))


def test_equal_events_without_an_id_are_several(tmp_path: Path) -> None:
    """A page never repeats itself; the same page again, or one that overlaps it, adds nothing."""
    okx = get_source("okx")
    event = {"side": "sell", "bkPx": "10", "sz": "3", "ts": str(T0), "posSide": "long"}
    page = {"data": [{"instId": "BTC-USDT-SWAP", "details": [event, event, {**event, "sz": "4"}]}]}
    context = {"symbol": "BTC-USDT-SWAP"}
    run = begin(tmp_path)
    first = land(run, "liquidations", page, DAY_ONE, okx, context=context)
    again = land(run, "liquidations", page, DAY_ONE, okx, context=context, observed_at=T0 + 21 * DAY)
    load(run, okx, [first, again])
    assert query(run, "SELECT sz, nth FROM raw.okx__liquidations ORDER BY ALL") == [(3, 0), (3, 1), (4, 0)]


def test_silence_is_complete_within_a_proven_retention_or_after_the_oldest_event(tmp_path: Path) -> None:
    """OKX is proven for a day alone: two days back, an instrument without events is known from the oldest event of any on."""
    okx, run = get_source("okx"), begin(tmp_path)
    event = {"side": "sell", "bkPx": "10", "sz": "3", "ts": str(T0 + 6 * HOUR), "posSide": "long"}
    entries = [
        land(
            run,
            "liquidations",
            {"data": [{"instId": f"{coin}-USDT-SWAP", "details": [event]}]},
            DAY_ONE,
            okx,
            context={"symbol": f"{coin}-USDT-SWAP"},
            observed_at=T0 + 3 * DAY,
        )
        for coin in ("BTC", "ETH")
    ]
    load(run, okx, entries)
    start = datetime(2025, 10, 10, 6)
    assert query(run, "SELECT DISTINCT window_start FROM meta.loaded_windows") == [(start,)]
