"""`perps doctor`: the verdicts on numbers worked out by hand, and one examination of a venue that sends a broken field."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from assets.cli.doctor import Colour, limits, measured_facts, neighbours
from pipelines.fetch import FetchResult
from pipelines.source import Usage
from tests.whole import AS_OF, market, perps


@pytest.fixture
def db() -> duckdb.DuckDBPyConnection:
    db = duckdb.connect()
    db.execute("""
        create schema marts;
        create table marts.fct_candles as
            select source, source || ':BTC' as instrument_id, 'BTC' as base_asset, timestamp '2025-01-01 23:00' as opened_at,
                close::double as close
            from (values ('a', 100.0), ('b', 100.9), ('c', 99.5), ('d', 102.0)) as t (source, close);
        insert into marts.fct_candles values ('a', 'a:BTC', 'BTC', '2025-01-01 22:00', 500);
        create table marts.fct_funding_rates as
            select source, source || ':BTC' as instrument_id, rate_8h::double as rate_8h,
                timestamp '2025-01-01 16:00' as settled_at
            from (values ('a', 0.0001), ('b', -0.03), ('c', null)) as t (source, rate_8h);
        create table marts.reconciliation_daily as
            select 'coingecko' as source, 'open_interest' as metric, 'A' as covers, 'BTC' as base_asset, 10.0 as our_value,
                20.0 as reported_value, false as agrees, 'one side against two' as likely_reason
    """)
    return db


def test_a_price_apart_from_the_median_an_absurd_rate_and_another_open_interest_are_red(db: duckdb.DuckDBPyConnection) -> None:
    # The median of 99.5, 100, 100.9 and 102 is 100.45: 102 is 1.54 % off, 99.5 is 0.95 %.
    found = {(verdict.source, verdict.about): verdict for verdict in neighbours(db)}
    red = {key for key, verdict in found.items() if verdict.colour is Colour.bad}
    assert red == {("d", "price"), ("b", "funding"), ("coingecko", "open interest")}
    assert "1.54% off" in found["d", "price"].reason
    assert "one side against two" in found["coingecko", "open interest"].reason
    assert ("c", "funding") not in found, "an unknown rate is no finding"


def test_the_use_of_a_limit_that_a_venue_states_is_held_against_ours() -> None:
    """KuCoin: 2,000 in 30 s. The venue allows a half; used 300 where 12 were counted; or all is as counted."""
    for usage, colour, said in (
        (Usage(1000, 12, 12.0), Colour.bad, "1,000 allowed, 12 used; ours is 2,000 in 30 s, 12 counted: ours is too high"),
        (Usage(2000, 300, 12.0), Colour.unknown, "another program on this address"),
        (Usage(None, 13, 12.0), Colour.ok, "the venue states 13 used; ours is 2,000 in 30 s, 12 counted"),
    ):
        [verdict] = limits([FetchResult("kucoin", usage={"public": usage})], 1)
        assert (verdict.about, verdict.colour) == ("limit public", colour) and said in verdict.reason, verdict
    assert [v.colour for v in limits([FetchResult("kucoin", usage={"public": Usage(1000, 0, 0.0)})], 0.5)] == [Colour.ok]


def test_facts_are_measured_and_the_others_listed(db: duckdb.DuckDBPyConnection) -> None:
    """Kraken settles every four hours where one is stated; OKX's open interest is the reference's; its stamp stays unproven."""
    db.execute("""
        drop table marts.reconciliation_daily;
        create table marts.reconciliation_daily as
            select 'okx' as venue, 'coingecko' as source, 'open_interest' as metric, asset as base_asset, 10.0 as our_value,
                9.5 as reported_value from (values ('BTC'), ('ETH'), ('SOL')) as t (asset);
        create or replace table marts.fct_funding_rates as
            select 'kraken' as venue, 'kraken:BTC' as instrument_id, timestamp '2025-01-01' + to_hours(4 * n) as settled_at,
                1 as interval_hours, 'stated' as interval_method from range(30) as r (n);
        create table marts.fct_open_interest (
            venue varchar, instrument_id varchar, oi_base double, observed_at timestamp, is_snapshot boolean, mark_method varchar
        );
        create table marts.fct_liquidations (
            venue varchar, instrument_id varchar, liquidated_at timestamp, size_usd double, price double
        );
        alter table marts.fct_candles add column volume_base double;
        create table marts.dim_venue_facts as
            select *, false as verified, null::date as valid_from, null::date as valid_to from (values
            ('kraken_futures', 'kraken', 'funding_rates', 'fixed_interval_hours', '1'),
            ('okx', 'okx', 'open_interest', 'sides_of_oi', '1'), ('okx', 'okx', 'open_interest', 'stamp_meaning', 'instant'),
            ('gate', 'gate', 'open_interest', 'sides_of_open_interest', '1')) as t (source, venue, dataset, fact, value);
    """)
    found = {(v.source, v.about): (v.colour, v.reason) for v in measured_facts(db, {"okx", "kraken_futures"})}
    assert found == {
        ("kraken_futures", "fact funding_rates.fixed_interval_hours"): (
            Colour.bad, "contradicted: stated 1, measured 4 (29 observations)"),
        ("okx", "fact open_interest.sides of open interest"): (
            Colour.ok, "proven by data: stated one side, measured 1.05 times that of coingecko (3 observations)"),
        ("okx", "fact open_interest.stamp_meaning"): (Colour.unknown, "instant: not proven"),
    }  # fmt: skip


def test_two_venues_have_no_median_to_judge_by(db: duckdb.DuckDBPyConnection) -> None:
    db.execute("delete from marts.fct_candles where source in ('a', 'b')")
    assert {verdict.colour for verdict in neighbours(db) if verdict.about == "price"} == {Colour.unknown}


@pytest.mark.slow
def test_a_broken_field_is_red_with_its_place_and_the_users_home_stays_empty(tmp_path: Path) -> None:
    report = tmp_path / "doctor.json"
    with market() as emulator:
        asked = "historicalfundingrates"
        emulator.fault("missing_field", venue="kraken", path_contains=asked, field="relativeFundingRate", times=99)
        ended = perps(
            tmp_path / "home", emulator.url, "doctor", "--venues", "kraken", "--facts", "--as-of", AS_OF, "--output", str(report)
        )
    assert ended.status == 1 and "Traceback" not in ended.output, ended.output
    assert {path.name for path in (tmp_path / "home").iterdir() if path.suffix != ".txt"} <= {"dagster"}, "the test's own"
    verdicts = json.loads(report.read_text())["verdicts"]
    red = [verdict for verdict in verdicts if verdict["colour"] == "red"]
    assert {(verdict["source"], verdict["about"]) for verdict in red} == {("kraken_futures", "funding_rates")}
    assert "relativeFundingRate" in red[0]["reason"]
    assert {verdict["about"] for verdict in verdicts if verdict["colour"] == "green"} >= {
        "candles",
        "open_interest",
        "liquidations",
    }
    assert any(verdict["about"].startswith("fact ") for verdict in verdicts)
