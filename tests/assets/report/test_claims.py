"""Claims, by tables made by hand: true, false, and not to be known where the days or the data lack."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from assets.report.claims import CLAIMS, UNPROVABLE, answers


@pytest.fixture
def marts() -> Iterator[duckdb.DuckDBPyConnection]:
    """Bitcoin over the two falls of 2025: 126,000 and 101,000; nobody's liquidations; two venues' volume."""
    with duckdb.connect() as db:
        db.execute("create schema marts")
        db.execute(
            """
            create table marts.daily_assets as
            select
                day::date as day, 'BTC' as asset,
                case when day = '2025-10-06' then 126100.0 else 123000.0 end as high,
                case when day = '2025-10-10' then 101000.0 when day = '2025-11-14' then 94000.0 else 120000.0 end as low,
                case when day = '2025-10-10' then 0.65 else 0.4 end as realised_vol_1d,
                0.3 + 0.001 * row_number() over (order by day) as realised_vol_7d,
                case when day = '2025-10-02' then -0.00001 else 0.00005 end as funding_8h,
                null::double as oi_to_volume, null::double as liq_long_usd, null::double as liq_short_usd,
                4 as funding_venues, 0 as liq_venues
            from range(timestamp '2025-09-01', timestamp '2025-11-21', interval 1 day) as t(day)
            """
        )
        db.execute(
            """
            create table marts.daily_industry as
            select day, 1e11 as volume_usd, null::double as oi_usd, 2 as venues, 0 as oi_venues, 1.0 as top3_volume_share,
                0.76 as perp_share_of_volume
            from marts.daily_assets
            """
        )
        db.execute(
            "create table marts.daily_venues as select day, unnest(['binance', 'bybit']) as venue, "
            "unnest([40e9, 5e9]) as volume_usd from marts.daily_assets"
        )
        yield db


def test_each_claim_is_answered_with_its_number(marts: duckdb.DuckDBPyConnection) -> None:
    found = {answer.says: answer for answer in answers(marts)}
    assert len(found) == len(CLAIMS)
    said = {says: found[says].verdict for says in found}
    assert said["On 10 October 2025 bitcoin fell from 126 to 104 thousand"] == "true"
    assert "126,100 in the week before to 101,000" in found["On 10 October 2025 bitcoin fell from 126 to 104 thousand"].found
    assert said["Annualised volatility was above 100 % then"] == "false"
    assert said["Funding was positive throughout, up to the crash"] == "false", "one day was below zero"
    assert said["In mid-November 2025 bitcoin broke 98 thousand"] == "true"
    assert said["Binance trades about 15.5 bn USD a day"] == "false", "40 bn in a part of its assets is more"
    assert "40.00 bn USD a day" in found["Binance trades about 15.5 bn USD a day"].found
    assert said["Perpetuals are 75 to 78 % of crypto's volume"] == "true"


def test_what_is_not_loaded_is_not_judged(marts: duckdb.DuckDBPyConnection) -> None:
    """No liquidations, no December, two venues of a score: what it would take is said instead."""
    found = {answer.says: answer for answer in answers(marts)}
    for says in (
        "About 19 bn USD were liquidated on 10 October 2025",
        "Open interest was 131 bn USD in December 2024",
        "The three largest venues have above 75 % of the volume",
        "Half of the volume comes from Asia and the Pacific",
        "8.94 trn USD were traded in July 2025",
        "Bybit trades about 6 bn USD a day",
        "OKX trades about 4.5 bn USD a day",
        "Above 4 trn USD were traded in a month at the peak of 2021",
    ):
        assert found[says].verdict == UNPROVABLE and "it would take" in found[says].found, says


def test_no_tables_no_verdicts(marts: duckdb.DuckDBPyConnection) -> None:
    marts.execute("delete from marts.daily_assets; delete from marts.daily_industry; delete from marts.daily_venues")
    assert {answer.verdict for answer in answers(marts)} == {UNPROVABLE}


@pytest.mark.parametrize(
    ("funding", "volatility", "leverage", "verdict"),
    [(0.9, 0.1, 0.9, True), (0.9, 0.1, 0.5, False), (0.9, 0.1, None, None), (0.5, 0.1, None, False), (0.9, 0.6, 0.9, False)],
)
def test_dear_and_leveraged_and_calm(funding: float, volatility: float, leverage: float | None, verdict: bool | None) -> None:
    assert CLAIMS[-1].judge(funding, volatility, leverage)[1] is verdict
