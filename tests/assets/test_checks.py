"""The asset checks, run by Dagster on small warehouses: healthy rows pass, each seeded fault fails exactly its checks."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copyfile

import dagster as dg
import duckdb
import pyarrow
import pytest

from assets.defs.checks.catalog import MARTS, REGIMES
from assets.defs.checks.factory import Check, as_markdown, check_step
from assets.defs.checks.steps import asset_checks
from assets.defs.resources import SettingsResource
from pipelines import warehouse

SERIES = Path(__file__).parents[3] / "shared" / "recordings" / "series"
CHECKS = {f"{check.asset.removeprefix('marts.')}.{check.name}": check for check in (*MARTS, *REGIMES)}

# 40 days of two assets at four venues, hourly; every series is smooth and every rule of the catalogue holds with room.
HEALTHY = """
create schema marts;
create table hours as
select venue, source, rank, interval_hours, asset, price, venue || ':' || asset as instrument_id, hour,
    timestamp '2025-01-01' + to_hours(hour::bigint) as instant
from (values ('binance', 'binance_usdm', 1, 8), ('bybit', 'bybit_linear', 2, 8), ('hyperliquid', 'hyperliquid', 3, 1),
    ('kraken', 'kraken_futures', 4, 1)) as v(venue, source, rank, interval_hours)
cross join (values ('BTC', 1e5), ('ETH', 4e3)) as a(asset, price)
cross join range(960) as h(hour);

create table marts.fct_candles as
select venue, instrument_id, asset as base_asset, instant as opened_at,
    price * (1 + 1e-4 * rank) * exp(0.02 * sin(hour / 17) + 0.01 * sin(hour / 5)) as close,
    100 * (1 + 0.5 * sin(hour / 7)) as volume_base,
    close as mark_close, close / (1 + 1e-4 + 2e-4 * sin(hour / 100)) as index_close
from hours;

create table marts.fct_funding_rates as
select venue, instrument_id, asset as base_asset, instant as settled_at,
    (1e-4 + 8e-5 * sin(hour / 100 + 0.1 * rank)) * (1 + 0.1 * rank) as rate_8h, interval_hours, 'stated' as interval_method
from hours where hour % interval_hours = 0;

create table marts.fct_open_interest as
select h.venue, h.instrument_id, asset as base_asset, instant as observed_at, 1000 * (1 + 0.02 * sin(hour / 50)) as oi_base,
    c.close as mark_price, 'mark_candle' as mark_method, oi_base * mark_price as oi_usd,
    case when h.venue = 'binance' then oi_usd * 1.001 end as venue_usd, false as is_snapshot
from hours as h inner join marts.fct_candles as c on h.instrument_id = c.instrument_id and h.instant = c.opened_at;

create table marts.fct_liquidations as
select venue, instrument_id, asset as base_asset, instant as liquidated_at, hour::varchar as event_id,
    case when hour % 3 = 0 then 'short' else 'long' end as liquidated_side, 1e3 as size_usd, price
from hours where venue = 'kraken' and hour % 20 = 0;

create table marts.series_faults (
    venue varchar, instrument_id varchar, dataset varchar, kind varchar, scope varchar, first_day date, last_day date,
    observations bigint, finding varchar
);
create table marts.dim_venue_facts as
select * from (values ('hyperliquid', 'funding_rates', 'fixed_interval_hours', '1', null::date, null::date),
    ('kraken', 'funding_rates', 'fixed_interval_hours', '4', null, date '2022-09-29'),
    ('kraken', 'funding_rates', 'fixed_interval_hours', '1', date '2022-09-29', null)
) as facts(venue, dataset, fact, value, valid_from, valid_to);
create table marts.corrections (
    source varchar, dataset varchar, symbol varchar, happened_at timestamp, field varchar, first_value varchar, last_value varchar
);
create table marts.archive_differences (
    source varchar, archive varchar, instrument_id varchar, dataset varchar, field varchar, differing bigint, first_at timestamp,
    value double, archive_value double
);
create table marts.reconciliation_daily (
    venue varchar, source varchar, base_asset varchar, metric varchar, our_value double, reported_value double
);
create table marts.dim_instruments as
select distinct venue, source, instrument_id, asset as base_asset, null::timestamp as delisted_at, 'trading' as status,
    null::timestamp as valid_to, timestamp '2025-02-10' as last_listed_at, null::timestamp as unlisted_at
from hours;

create table marts.coverage_daily as
select instant::date as day, venue, source, dataset, 48 as expected,
    case when dataset = 'liquidations' and venue <> 'kraken' then 0 else 48 end as seen, seen / expected as coverage
from hours cross join (values ('candles'), ('funding_rates'), ('open_interest'), ('liquidations')) as d(dataset)
where asset = 'BTC' and hour % 24 = 0;

create table marts.daily_assets as
select instant::date as day, asset, price as close, price * 1.01 as high, price * 0.99 as low, 1e9 as volume_usd, 5e8 as oi_usd,
    5e3 as oi_base,
    0.01 as oi_change_1d, 1e-4 as funding_8h, 'oi' as funding_weighting, 2e6 as liq_long_usd, 1e6 as liq_short_usd,
    0.5 as realised_vol_1d, null::double as realised_vol_7d, 0e0 as return_1d, -0.01 as drawdown_7d, -0.01 as low_vs_prev_close,
    1e-4 as basis, 0.5 as oi_to_volume, 0.006 as liq_over_oi, 4 as venues_total, 4 as price_venues, 4 as funding_venues,
    4 as oi_venues, 1 as liq_venues, 1.0 as coverage_price, 1.0 as coverage_funding, 1.0 as coverage_oi,
    0.25 as coverage_liquidations, 'synthetic' as origin
from hours where venue = 'binance' and hour % 24 = 0;

create table marts.regime_labels as
select day, asset, 'neutral' as label, 0.8 as confidence, 'nothing stands out' as reasons,
    null::varchar as cascade_evidence, 'rule_v3' as method
from marts.daily_assets;
"""

DAILY = """
create or replace table marts.daily_instruments as
select * from (
    select opened_at::date as day, venue, instrument_id, base_asset, arg_max(close, opened_at) as close,
        sum(volume_base) as volume_base, sum(volume_base * close) as volume_usd, count(*) as candles
    from marts.fct_candles group by all
) full join (
    select settled_at::date as day, venue, instrument_id, base_asset, avg(rate_8h) as funding_8h
    from marts.fct_funding_rates group by all
) using (day, venue, instrument_id, base_asset) full join (
    select observed_at::date as day, venue, instrument_id, base_asset, arg_max(oi_usd, observed_at) as oi_usd
    from marts.fct_open_interest group by all
) using (day, venue, instrument_id, base_asset);
"""

RECORDED = """
create schema marts;
create table marts.dim_instruments as
select v.venue, source, v.venue || ':' || coin as instrument_id, coin as base_asset,
    null::timestamp as delisted_at, 'trading' as status, null::timestamp as valid_to,
    timestamp '2026-01-01' as last_listed_at, null::timestamp as unlisted_at
from (values ('binance', 'binance_usdm'), ('bybit', 'bybit_linear'), ('hyperliquid', 'hyperliquid'), ('kraken', 'kraken_futures'))
    as v(venue, source) cross join (select distinct coin from '{series}/funding_rates.parquet');
create table marts.coverage_daily (source varchar, dataset varchar, seen integer);
create table marts.fct_candles as
select venue, venue || ':' || coin as instrument_id, coin as base_asset, timestamp::timestamp as opened_at, close, volume_base,
    null::double as mark_close, null::double as index_close
from '{series}/candles_1h.parquet';
create table marts.fct_funding_rates as
select venue, venue || ':' || coin as instrument_id, coin as base_asset, date_trunc('minute', timestamp::timestamp) as settled_at,
    case when venue in ('hyperliquid', 'kraken') then 1 when venue || coin = 'binanceHYPE' then 4 else 8 end as interval_hours,
    funding_rate / interval_hours * 8 as rate_8h
from '{series}/funding_rates.parquet';
create table marts.fct_open_interest as
select venue, venue || ':' || coin as instrument_id, coin as base_asset, timestamp::timestamp as observed_at,
    oi_usd, oi_usd / c.close as oi_base, c.close as mark_price, 'close_proxy' as mark_method, null::double as venue_usd,
    false as is_snapshot
from '{series}/open_interest_1h.parquet' left join (
    select coin, timestamp, median(close) as close from '{series}/candles_1h.parquet' group by all
) as c using (coin, timestamp);
"""


@pytest.fixture(scope="session")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checks") / "healthy.duckdb"
    with warehouse.connect(path) as connection:
        warehouse.prepare(connection, "synthetic-7")
        connection.execute(HEALTHY + DAILY)
        connection.execute(
            "insert into meta.scope select 'market', 'synthetic', 'synthetic', min(instant), max(instant) + interval 1 hour, "
            "max(instant) + interval 1 hour, ['BTC', 'ETH'], list(distinct venue), false, "
            "list(distinct source || ':' || venue) from hours"
        )
    return path


@pytest.fixture(scope="session")
def writable(healthy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    copyfile(healthy, path := tmp_path_factory.mktemp("checks") / "copy.duckdb")
    with warehouse.connect(path) as connection:
        yield connection


@pytest.fixture
def broken(writable: duckdb.DuckDBPyConnection) -> Iterator[Callable[..., duckdb.DuckDBPyConnection]]:
    """The healthy warehouse after some SQL, until the test's end; daily rows are rebuilt unless `daily` is false."""

    def make(sql: str, daily: bool = True) -> duckdb.DuckDBPyConnection:
        return writable.execute(sql + (";" + DAILY if daily else ""))

    writable.begin()
    yield make
    writable.rollback()


def run_all(path: Path) -> dg.ExecuteInProcessResult:
    """Every check, as a Dagster job on an instance of its own."""
    definitions = dg.Definitions(
        asset_checks=asset_checks,
        jobs=[dg.define_asset_job("checks", dg.AssetSelection.all_asset_checks())],
        resources={"settings": SettingsResource(warehouse=str(path))},
    )
    return definitions.resolve_job_def("checks").execute_in_process(raise_on_error=False)


def evaluations(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {f"{check.asset_key.path[-1]}.{check.check_name}": check for check in result.get_asset_check_evaluations()}


def test_healthy_marts_pass_every_check(healthy):
    evaluated = evaluations(result := run_all(healthy))
    assert result.success
    assert set(evaluated) == set(CHECKS)
    assert {name: evaluation.metadata["rows"].value for name, evaluation in evaluated.items() if not evaluation.passed} == {}


ONE_HOUR = "instrument_id = 'bybit:BTC' and {} = timestamp '2025-01-20 08:00'"
AT = {t: ONE_HOUR.format(t) for t in ("opened_at", "settled_at", "observed_at")}

# name: (SQL of the fault, the checks that must fail and no others, what the rows must show)
FAULTS: dict[str, tuple[str, set[str], str]] = {
    "price a thousand times": (
        "update marts.fct_candles set close = close * 1000, mark_close = mark_close * 1000, index_close = index_close * 1000 "
        "where instrument_id = 'bybit:BTC'",
        {"daily_instruments.price_across_venues", "daily_instruments.open_interest_over_volume"},
        "| BTC | binance:BTC | bybit:BTC | 40 |",
    ),
    "price 8 % apart": (
        "update marts.fct_candles set close = close * 1.08 where instrument_id = 'kraken:ETH' and opened_at >= '2025-02-08'; "
        "update marts.fct_candles set mark_close = close, index_close = close where instrument_id = 'kraken:ETH'",
        {"daily_instruments.price_across_venues"},
        "| ETH | binance:ETH | kraken:ETH | 2 | 2025-02-08 | 2025-02-09 |",
    ),
    "a jump that reverts": (
        f"update marts.fct_candles set close = close * 1.7 where {AT['opened_at']}",
        {"fct_candles.jumps"},
        "| bybit:BTC | 2025-01-20 08:00 |",
    ),
    "mark away from index": (
        f"update marts.fct_candles set index_close = index_close * 1.08 where {AT['opened_at']}",
        {"fct_candles.mark_against_index"},
        "| bybit:BTC | 1 | 2025-01-20 08:00 |",
    ),
    "rates in percent": (
        "update marts.fct_funding_rates set rate_8h = rate_8h * 100 where instrument_id = 'kraken:ETH'",
        {"daily_instruments.funding_against_premium"},
        "| kraken:ETH |",
    ),
    "rates in percent for the last nine days": (
        "update marts.fct_funding_rates set rate_8h = rate_8h * 100 "
        "where instrument_id = 'kraken:ETH' and settled_at >= '2025-02-01'",
        {"daily_instruments.funding_against_premium"},
        "| kraken:ETH |",
    ),
    "rates in percent, and no other venue to compare with": (
        "delete from marts.fct_funding_rates where base_asset = 'ETH' and venue <> 'bybit'; "
        "update marts.fct_funding_rates set rate_8h = rate_8h * 100 "
        "where instrument_id = 'bybit:ETH' and settled_at >= '2025-02-01'",
        {"daily_instruments.funding_against_premium"},
        "| bybit:ETH |",
    ),
    "one rate in percent": (
        f"update marts.fct_funding_rates set rate_8h = rate_8h * 100 where {AT['settled_at']}",
        {"fct_funding_rates.funding_spikes"},
        "| bybit:BTC | 2025-01-20 08:00 |",
    ),
    "a rate beyond every cap": (
        "update marts.fct_funding_rates set rate_8h = 0.05 "
        "where instrument_id = 'kraken:BTC' and settled_at between '2025-01-20' and '2025-01-20 01:00'",
        {"fct_funding_rates.funding_size"},
        "| kraken:BTC | 2 | 2025-01-20 00:00 | 2025-01-20 01:00 | 0.05 |",
    ),
    "large funding against the premium": (
        "update marts.fct_funding_rates set rate_8h = -0.0008 "
        "where instrument_id = 'binance:BTC' and settled_at >= '2025-01-08' and settled_at < '2025-01-12'",
        {"daily_instruments.funding_against_premium"},
        "| binance:BTC | 2 | 2025-01-10 | 2025-01-11 |",
    ),
    "open interest of both sides": (
        "update marts.fct_open_interest set oi_base = oi_base * 2, oi_usd = oi_usd * 2 where venue = 'binance'",
        {"fct_open_interest.value_against_venue"},
        "| binance:BTC | 960 | 960 | 1.998 | 2000.93 | 1001.46 |",
    ),
    "open interest off by a contract size": (
        "update marts.fct_open_interest set oi_base = oi_base * 1000, oi_usd = oi_usd * 1000 where instrument_id = 'binance:ETH'",
        {
            "fct_open_interest.value_against_venue", "fct_open_interest.change_within_volume",
            "daily_instruments.open_interest_over_volume",
        },
        "| binance:ETH |",
    ),
    "open interest from one side to two": (
        "update marts.fct_open_interest set oi_base = oi_base * 2, oi_usd = oi_usd * 2 "
        "where instrument_id = 'bybit:BTC' and observed_at >= '2025-01-20 08:00'",
        {"fct_open_interest.steps"},
        "| bybit:BTC | 2025-01-20 08:00 |",
    ),
    "open interest that moves beyond the volume": (
        "update marts.fct_open_interest set oi_base = oi_base * 1.4, oi_usd = oi_usd * 1.4 "
        "where instrument_id = 'hyperliquid:ETH' and hour(observed_at) = 3",
        {"fct_open_interest.change_within_volume"},
        "| hyperliquid:ETH | 80 | 959 |",
    ),
    "volume in contracts": (
        "update marts.fct_candles set volume_base = volume_base / 1000 where instrument_id = 'kraken:BTC'",
        {
            "fct_open_interest.change_within_volume",
            "daily_instruments.open_interest_over_volume",
        },
        "| kraken:BTC |",
    ),
    "liquidations of one side": (
        "update marts.fct_liquidations set liquidated_side = 'short' where instrument_id = 'kraken:BTC'",
        {"fct_liquidations.one_sided"},
        "| kraken:BTC | 48 | 2025-01-01 00:00 | 2025-02-09 04:00 | short | 48000 |",
    ),
    "liquidations of the other side on the day of a crash": (
        "update marts.daily_assets set return_1d = -0.12, liq_long_usd = 1e6, liq_short_usd = 9e6 "
        "where asset = 'ETH' and day = '2025-01-20'",
        {"daily_assets.liquidation_side"},
        "| 2025-01-20 | ETH | -0.12 | 1e+06 | 9e+06 |",
    ),
    "series that are set apart": (
        "insert into marts.series_faults select 'kraken', 'kraken:' || a, 'funding_rates', 'unit', 'instrument', '2025-01-02', "
        "'2025-01-09', 8, 'percent' from (values ('BTC'), ('ETH')) as t(a)",
        {"series_faults.set_apart"},
        "| kraken funding_rates: unit: percent (2025-01-02 to 2025-01-09, 2 instruments, such as kraken:BTC); left out of ",
    ),
    "a rate that was corrected after it was settled": (
        "insert into marts.corrections values "
        "('kraken_futures', 'funding_rates', 'PF_XBTUSD', '2025-01-20 08:00', 'rate', '0.0001', null)",
        {"corrections.corrected"},
        "| kraken_futures funding_rates: 1 values corrected, the last one rate of PF_XBTUSD at 2025-01-20 08:00: 0.0001 became ",
    ),
    "an archive that states other numbers": (
        "insert into marts.archive_differences values "
        "('binance_usdm', 'binance_usdm_archive', 'binance:A', 'candles', 'close', 3, '2025-01-21 08:00', 2.5, 2.6), "
        "('binance_usdm', 'binance_usdm_archive', 'binance:B', 'candles', 'close', 4, '2025-01-20 08:00', 1.5, 1.6)",
        {"archive_differences.archive_differs"},
        "| binance_usdm_archive and binance_usdm: 7 numbers of candles differ (close), such as that of binance:B at "
        "2025-01-20 08:00: 1.6 and 1.5",
    ),
    "contracts that left the list, one by a delisting": (
        "update marts.dim_instruments set last_listed_at = '2025-02-08 09:00', unlisted_at = '2025-02-09 09:00', "
        "status = case base_asset when 'ETH' then 'delisted' else 'trading' end where venue = 'bybit'",
        {"dim_instruments.unlisted"},
        " of the instruments of bybit left its list, which states no delisting, such as bybit:",
    ),
    "an interval that the facts don't know": (
        "delete from marts.fct_funding_rates where venue = 'kraken' and hour(settled_at) % 4 <> 0",
        {"dim_venue_facts.contradicted"},
        "| kraken: fixed_interval_hours is 1 in venue_facts.csv, measured: 4 (478 observations) |",
    ),
    "twice the open interest that another states": (
        "insert into marts.reconciliation_daily select 'kraken', 'coingecko', a, 'open_interest', 2, 1 "
        "from (values ('BTC'), ('ETH'), ('SOL')) as t(a)",
        {"dim_venue_facts.contradicted"},
        "| kraken: sides of open interest is one side in venue_facts.csv, measured: 2.00 times that of coingecko (3 ",
    ),
    "liquidations above the volume": (
        "update marts.fct_liquidations set size_usd = price * 1000",
        {"dim_venue_facts.contradicted"},
        "| kraken: unit of liquidations is coins of the contract in venue_facts.csv, measured: ",
    ),
    "half of a closed day": (
        "update marts.coverage_daily set seen = 24, coverage = 0.5 "
        "where venue = 'bybit' and dataset = 'candles' and day = '2025-01-20'",
        {"coverage_daily.gaps"},
        "| bybit_linear | candles | 1 | 2025-01-20 | 2025-01-20 | 24 | 0.5 |",
    ),
    "candles that stop": (
        "delete from marts.fct_candles where venue = 'kraken' and opened_at >= '2025-02-09 20:00'",
        {"fct_candles.freshness"},
        "| kraken_futures | 2025-02-09 20:00 | 2025-02-10 00:00 | 4 |",
    ),
    "candles of one of a venue's two sources that stop": (
        "insert into marts.dim_instruments (venue, source, instrument_id) "
        "values ('binance', 'binance_coinm', 'binance:BTCUSD_PERP'); "
        "update meta.scope set sources = list_append(sources, 'binance_coinm:binance'); "
        "insert into marts.fct_candles select * replace ('binance:BTCUSD_PERP' as instrument_id) from marts.fct_candles "
        "where instrument_id = 'binance:BTC' and opened_at < '2025-02-09'; "
        "insert into marts.fct_funding_rates select * replace ('binance:BTCUSD_PERP' as instrument_id) "
        "from marts.fct_funding_rates where instrument_id = 'binance:BTC'; "
        "insert into marts.fct_open_interest select * replace ('binance:BTCUSD_PERP' as instrument_id) "
        "from marts.fct_open_interest where instrument_id = 'binance:BTC'",
        {"fct_candles.freshness"},
        "| binance_coinm | 2025-02-09 00:00 | 2025-02-10 00:00 | 24 |",
    ),
    "funding that stops": (
        "delete from marts.fct_funding_rates where venue = 'binance' and settled_at >= '2025-02-09'",
        {"fct_funding_rates.freshness"},
        "| binance_usdm | 2025-02-08 16:00 | 2025-02-10 00:00 | 32 |",
    ),
    "no open interest at all": (
        "delete from marts.fct_open_interest where venue = 'bybit'",
        {"fct_open_interest.freshness"},
        "| bybit_linear |  | 2025-02-10 00:00 |  |",
    ),
    "a label twice": (
        "insert into marts.regime_labels from marts.regime_labels where asset = 'ETH' and day = '2025-01-20'",
        {"regime_labels.schema"},
        "| 2025-01-20 | ETH |",
    ),
    "an unknown label": (
        "update marts.regime_labels set label = 'moon' where asset = 'ETH' and day = '2025-01-20'",
        {"regime_labels.schema"},
        "| 2025-01-20 | ETH | label |",
    ),
    "a label without confidence": (
        "update marts.regime_labels set confidence = null where asset = 'ETH' and day = '2025-01-20'",
        {"regime_labels.schema"},
        "| 2025-01-20 | ETH | confidence | not_nullable |",
    ),
}  # fmt: skip
#: Faults of the daily table itself, which must not be rebuilt.
DAILY_FAULTS: dict[str, tuple[str, set[str], str]] = {
    "a stale day": (
        "update marts.daily_instruments set volume_base = volume_base * 1.01 "
        "where instrument_id = 'bybit:BTC' and day = '2025-01-20'",
        {"daily_instruments.volume_sum"},
        "| 2025-01-20 | bybit:BTC |",
    ),
}


@pytest.mark.parametrize("fault", [*FAULTS, *DAILY_FAULTS])
def test_a_fault_fails_exactly_its_checks(fault, broken):
    sql, expected, shown = (FAULTS | DAILY_FAULTS)[fault]
    connection = broken(sql, daily=fault in FAULTS)
    failed = {name: result for name, check in CHECKS.items() if not (result := check.result(connection)).passed}
    assert set(failed) == expected
    rows = [str(result.metadata["rows"].value) for result in failed.values()]
    assert any(shown in markdown for markdown in rows), rows


def test_dagster_records_every_failure_and_which_of_them_block(healthy, tmp_path):
    """Several faults at once: a failed blocking check keeps no other check of its step from being recorded."""
    faults = ["price a thousand times", "rates in percent", "open interest of both sides", "an unknown label"]
    copyfile(healthy, path := tmp_path / "broken.duckdb")
    with warehouse.connect(path) as connection:
        connection.execute(";".join(FAULTS[fault][0] for fault in faults) + ";" + DAILY)
    evaluated = evaluations(result := run_all(path))
    assert not result.success
    assert set(evaluated) == set(CHECKS)
    failed = {name for name, evaluation in evaluated.items() if not evaluation.passed}
    assert failed == set().union(*(FAULTS[fault][1] for fault in faults))
    for name, evaluation in evaluated.items():
        check = CHECKS[name]
        assert (evaluation.metadata["offending"].value > 0) is (name in failed)
        assert evaluation.metadata["reason"].value == check.reason
        assert evaluation.blocking is check.blocking
        assert evaluation.severity is (dg.AssetCheckSeverity.ERROR if check.blocking else dg.AssetCheckSeverity.WARN)


def test_every_check_is_failed_by_some_fault():
    assert set().union(*(expected for _, expected, _ in (FAULTS | DAILY_FAULTS).values())) == set(CHECKS)


def test_what_blocks_and_what_warns():
    """Only errors of this project block: labels' schema and sums. What can't be right is set apart."""
    kinds = {"schema", "volume_sum"}
    assert {check.name for check in CHECKS.values() if check.blocking} == kinds


@pytest.mark.parametrize(("blocking", "runs"), [(True, False), (False, True)])
def test_a_blocking_failure_keeps_downstream_from_running(blocking, runs, healthy):
    """Also when the check is of another table than the one that downstream reads."""
    checks = [
        Check("fails", "marts.fct_candles", "select 1 as offender", blocking, "Fails.", "it is a test."),
        Check("passes", "marts.daily_assets", "select 1 where false", True, "Passes.", "it is a test."),
    ]

    @dg.multi_asset(specs=[dg.AssetSpec(check.spec.asset_key) for check in checks])
    def models() -> Iterator[dg.MaterializeResult]:
        yield from (dg.MaterializeResult(asset_key=check.spec.asset_key) for check in checks)

    @dg.asset(deps=[["marts", "daily_assets"]])
    def regimes() -> None: ...

    result = dg.materialize(
        [models, regimes, check_step("check", checks)],
        resources={"settings": SettingsResource(warehouse=str(healthy))},
        raise_on_error=False,
    )
    assert bool(result.asset_materializations_for_node("regimes")) is runs
    assert len(result.get_asset_check_evaluations()) == 2


def test_one_check_can_be_selected_alone(healthy):
    step = asset_checks[0]
    key = next(iter(step.check_keys))
    result = dg.materialize(
        [step],
        selection=dg.AssetSelection.checks(key),
        resources={"settings": SettingsResource(warehouse=str(healthy))},
    )
    assert [check.asset_check_key for check in result.get_asset_check_evaluations()] == [key]


def test_many_offending_rows_are_counted_and_the_first_shown(healthy):
    sql = "select hour, 'a|b' as text, null as nothing from hours order by hour"
    check = Check("many", "marts.fct_candles", sql, False, "Fails.", "it is a test.")
    with duckdb.connect(str(healthy), read_only=True) as connection:
        result = check.result(connection)
    lines = result.metadata["rows"].value.splitlines()
    assert result.metadata["offending"].value == 960 * 8
    assert len(lines) == 2 + 20
    assert lines[:3] == ["| hour | text | nothing |", "| --- | --- | --- |", "| 0 | a\\|b |  |"]
    assert result.metadata["first"].value == "hour 0, text a|b, nothing ; and 7,679 more"
    assert "perps explain" in result.metadata["what_to_do"].value


@pytest.mark.skipif(not SERIES.is_dir(), reason="the recorded series are absent: ../shared/recordings/series")
def test_ten_months_of_real_data_block_nothing_and_warn_of_missing_venues(tmp_path):
    """The crash of 10 October 2025 included. The series have candles of two venues and open interest of one."""
    with warehouse.connect(tmp_path / "recorded.duckdb") as connection:
        warehouse.prepare(connection, "recorded")
        connection.execute(RECORDED.format(series=SERIES) + DAILY)
        connection.execute(
            "insert into meta.scope values ('market', 'recorded', 'recorded', '2025-03-08', '2026-01-01', '2026-01-01', "
            "['BTC', 'ETH', 'SOL', 'DOGE', 'HYPE'], ['binance', 'bybit', 'hyperliquid', 'kraken'], true, "
            "['binance_usdm:binance', 'bybit_linear:bybit', 'hyperliquid:hyperliquid', 'kraken_futures:kraken'])"
        )
        tables = {"marts.fct_candles", "marts.fct_funding_rates", "marts.fct_open_interest", "marts.daily_instruments"}
        offending = {
            f"{check.asset}.{check.name}": check.offending(connection).to_pylist()
            for check in CHECKS.values()
            if check.asset in tables
        }
    warned = {name: {row.get("source") for row in rows} for name, rows in offending.items() if rows}
    assert warned == {
        "marts.fct_candles.freshness": {"hyperliquid", "kraken_futures"},
        "marts.fct_open_interest.freshness": {"binance_usdm", "bybit_linear", "kraken_futures"},
    }


def test_what_a_venue_sent_is_text_in_the_ui() -> None:
    hostile = "![x](http://a.test/x.png) [y](javascript:z) <img src=x> `a` | &lt; \x1b[2J\u202eb\nc"
    [_, _, row] = as_markdown(pyarrow.table({"coin": [hostile], "n": [-0.5]})).splitlines()
    cell = row.removeprefix("| ").removesuffix(" | -0.5 |")
    assert not re.search(r"(?<!\\)[`\[\]<|&]", cell) and not re.search(r"[\x1b\u202e]", cell)
    assert re.sub(r"\\(.)", r"\1", cell) == hostile.replace("\x1b", "\ufffd").replace("\u202e", "\ufffd").replace("\n", " ")
