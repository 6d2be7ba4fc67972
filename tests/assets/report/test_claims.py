"""Claims against small tables: true, false, and unprovable where days or data are missing."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from assets.report.claims import CLAIMS, UNPROVABLE, answers


@pytest.fixture
def marts() -> Iterator[duckdb.DuckDBPyConnection]:
    """Bitcoin over the two falls of 2025, from 126,100 to 101,000; no liquidations; the volume of two venues."""
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
                case when day = '2025-10-10' then 1.6 else 0.5 end as range_vol_1d,
                0.3 + 0.001 * row_number() over (order by day) as realised_vol_7d, realised_vol_7d as range_vol_7d,
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


def test_each_claim_has_a_verdict_with_its_numbers(marts: duckdb.DuckDBPyConnection) -> None:
    by_claim = {answer.claim: answer for answer in answers(marts)}
    assert len(by_claim) == len(CLAIMS)
    verdicts = {claim: answer.verdict for claim, answer in by_claim.items()}
    assert verdicts["On 10 October 2025 bitcoin fell from 126 to 104 thousand"] == "true"
    assert "126,100 in the week before to 101,000" in by_claim["On 10 October 2025 bitcoin fell from 126 to 104 thousand"].result
    assert verdicts["Annualised volatility was above 100 % on 10 October 2025"] == "true", "by the ranges, not by closes"
    volatility = by_claim["Annualised volatility was above 100 % on 10 October 2025"].result
    assert "160% by Parkinson's estimator" in volatility and "65% by hourly closes" in volatility
    assert (
        "from 2025-09-01 to 2025-11-20" in by_claim["Before both falls, funding and leverage were high and volatility low"].result
    )
    assert verdicts["Funding was positive throughout the days up to that crash"] == "false", "one day was below zero"
    assert verdicts["In mid-November 2025 bitcoin broke 98 thousand"] == "true"
    assert verdicts["Binance trades about 15.5 bn USD a day"] == "false", "a part of its assets already has 40 bn"
    assert "40.00 bn USD a day" in by_claim["Binance trades about 15.5 bn USD a day"].result
    assert verdicts["Perpetuals are 75 to 78 % of crypto's volume"] == "true"


def test_a_claim_without_its_data_is_unprovable_and_names_them(marts: duckdb.DuckDBPyConnection) -> None:
    """There are no liquidations, no December 2024, and two of eight venues."""
    by_claim = {answer.claim: answer for answer in answers(marts)}
    for claim in (
        "About 19 bn USD were liquidated on 10 October 2025",
        "Open interest was 131 bn USD in December 2024",
        "The three largest venues have above 75 % of the volume",
        "Half of the volume comes from Asia and the Pacific",
        "8.94 trn USD were traded in July 2025",
        "Bybit trades about 6 bn USD a day",
        "OKX trades about 4.5 bn USD a day",
        "Above 4 trn USD were traded in a month at the peak of 2021",
    ):
        assert by_claim[claim].verdict == UNPROVABLE and "it needs" in by_claim[claim].result, claim


def test_empty_tables_prove_nothing(marts: duckdb.DuckDBPyConnection) -> None:
    marts.execute("delete from marts.daily_assets; delete from marts.daily_industry; delete from marts.daily_venues")
    assert {answer.verdict for answer in answers(marts)} == {UNPROVABLE}


@pytest.mark.parametrize(
    ("funding", "volatility", "leverage", "verdict"),
    [(0.9, 0.1, 0.9, True), (0.9, 0.1, 0.5, False), (0.9, 0.1, None, None), (0.5, 0.1, None, False), (0.9, 0.6, 0.9, False)],
)
def test_funding_leverage_and_volatility_are_judged_together(
    funding: float, volatility: float, leverage: float | None, verdict: bool | None
) -> None:
    assert CLAIMS[-1].judge(funding, volatility, leverage, "2025-04-01")[1] is verdict
