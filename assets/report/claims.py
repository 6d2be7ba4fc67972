"""Common claims about this market, tested with the marts: true, false, or unprovable from the data loaded, each with its numbers.

A claim is a sentence, a query on the published marts, and a function that judges its one row. A claim whose days or data are not
loaded is `unprovable here`, with the data that it needs. Claims are about the real market, so synthetic data answer none.

Alone: ``answers(duckdb.connect(path))``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import duckdb

UNPROVABLE = "unprovable here"
Judge = Callable[..., tuple[str, bool | None]]


@dataclass(frozen=True)
class Claim:
    """`sql` gives one row; `judge` the result and whether the claim holds (None: unknown); `needs` the data for an answer."""

    claim: str
    sql: str
    judge: Judge
    needs: str


@dataclass(frozen=True)
class Answer:
    """A claim with its `verdict` (`true`, `false` or `unprovable here`) and its `result`: the numbers, or the data it needs."""

    claim: str
    verdict: str
    result: str


def _usd(value: float) -> str:
    return f"{value / 1e9:,.2f} bn USD"


def _bitcoin_query(first: str, last: str, columns: str) -> str:
    return f"SELECT {columns} FROM marts.daily_assets WHERE asset = 'BTC' AND day BETWEEN '{first}' AND '{last}'"


def _window_query(first: str, last: str, columns: str, table: str = "daily_industry") -> str:
    return f"SELECT {columns} FROM marts.{table} WHERE day BETWEEN '{first}' AND '{last}'"


def _is_crowded_and_calm(funding: float, volatility: float, leverage: float | None) -> bool | None:
    """Ranks 0 to 1; high and low are the upper and lower quarter. An unknown leverage refutes nothing."""
    if not (funding > 0.75 and volatility < 0.25):
        return False
    return None if leverage is None else leverage > 0.75


def _daily_volume(venue: str, name: str, usd: float) -> Claim:
    """The daily volume of a venue. The assets loaded are a lower bound, which can refute the claim but not prove it."""
    return Claim(
        f"{name} trades about {usd / 1e9:g} bn USD a day",
        f"SELECT avg(volume_usd), min(day), max(day) FROM marts.daily_venues WHERE venue = '{venue}' AND volume_usd > 0",
        lambda volume, first, last: (
            f"{_usd(volume)} a day in the assets loaded, {first} to {last}: a lower bound",
            False if volume > 1.25 * usd else None,
        ),
        f"every asset of {name}: `--assets all`",
    )


def _peak_month_query(first: str, last: str) -> str:
    """Volume (USD) and name of the month with the most volume, over all data loaded."""
    months = _window_query(first, last, "strftime(day, '%Y-%m') AS month, sum(volume_usd) AS usd") + " GROUP BY ALL"
    return f"SELECT max(usd), arg_max(month, usd) FROM ({months})"


CLAIMS = (
    _daily_volume("binance", "Binance", 15.5e9),
    _daily_volume("bybit", "Bybit", 6e9),
    _daily_volume("okx", "OKX", 4.5e9),
    Claim(
        "The three largest venues have above 75 % of the volume",
        _window_query("2017-01-01", "2100-01-01", "avg(top3_volume_share), min(day), max(day), max(venues)"),
        lambda share, first, last, venues: (
            f"{share:.0%} of the volume of the {venues} venues loaded, {first} to {last}",
            None if venues < 8 else share > 0.75,
        ),
        "volume of eight venues or more: `--venues all`",
    ),
    Claim(
        "Perpetuals are 75 to 78 % of crypto's volume",
        "SELECT avg(perp_share_of_volume), count(*) FROM marts.daily_industry WHERE perp_share_of_volume IS NOT NULL",
        lambda share, days: (f"{share:.1%} by CoinGecko's totals, {days} days", 0.75 <= share <= 0.78),
        "CoinGecko's daily totals: `--venues all`",
    ),
    Claim(
        "Half of the volume comes from Asia and the Pacific",
        "SELECT 1 WHERE false",
        lambda _: ("", None),
        "the location of traders: no venue and no aggregator publishes it, and the seat of a venue is not that of its users",
    ),
    Claim(
        "Under 100 bn USD were traded a month early in 2019",
        _peak_month_query("2019-01-01", "2019-03-31"),
        lambda usd, month: (f"{_usd(usd)} in {month} of the data loaded: a lower bound", False if usd >= 100e9 else None),
        "volumes of early 2019: your own files of BitMEX and others, with `perps import`",
    ),
    Claim(
        "Above 4 trn USD were traded in a month at the peak of 2021",
        _peak_month_query("2021-01-01", "2021-12-31"),
        lambda usd, month: (f"{usd / 1e12:.2f} trn in {month} of the data loaded", True if usd > 4e12 else None),
        "every asset of every venue of 2021",
    ),
    Claim(
        "8.94 trn USD were traded in July 2025",
        _window_query("2025-07-01", "2025-07-31", "sum(volume_usd), count(DISTINCT day), max(venues)"),
        lambda volume, days, venues: (
            f"{volume / 1e12:.2f} trn on the {venues} venues and the assets loaded, {days} days: a lower bound",
            True if volume >= 8.94e12 else None,
        ),
        "every asset of every venue in July 2025",
    ),
    Claim(
        "Open interest was 131 bn USD in December 2024",
        _window_query("2024-12-01", "2024-12-31", "max(oi_usd), max(oi_venues)"),
        lambda oi, venues: (f"at most {_usd(oi)} on {venues} venues", True if oi >= 131e9 else None),
        "open interest of December 2024: only Bybit, Gate and an archive still publish it",
    ),
    Claim(
        "On 10 October 2025 bitcoin fell from 126 to 104 thousand",
        f"SELECT ({_bitcoin_query('2025-10-04', '2025-10-09', 'max(high)')}), "
        f"({_bitcoin_query('2025-10-10', '2025-10-11', 'min(low)')})",
        lambda high, low: (f"from {high:,.0f} in the week before to {low:,.0f}", high > 125e3 and low < 105e3),
        "BTC's candles of October 2025",
    ),
    Claim(
        "About 19 bn USD were liquidated on 10 October 2025",
        _window_query("2025-10-10", "2025-10-11", "sum(liq_long_usd + liq_short_usd), max(liq_venues)", "daily_assets"),
        lambda usd, venues: (f"{_usd(usd)} on {venues} venues: a lower bound", True if usd >= 17e9 else None),
        "liquidations of that day: streams are sampled, and vendors' estimates range from 9.89 to 19.13 bn",
    ),
    Claim(
        "Annualised volatility was above 100 % on 10 October 2025",
        _bitcoin_query("2025-10-10", "2025-10-11", "max(range_vol_1d), max(realised_vol_1d)"),
        lambda ranges, closes: (
            f"{ranges:.0%} by Parkinson's estimator from the hours' highs and lows, which decides; {closes:.0%} by hourly "
            "closes, which miss moves within an hour",
            ranges > 1,
        ),
        "BTC's candles of October 2025",
    ),
    Claim(
        "Funding was positive throughout the days up to that crash",
        _bitcoin_query("2025-10-01", "2025-10-10", "min(funding_8h), avg(funding_8h), max(funding_venues)"),
        lambda low, mean, venues: (
            f"BTC's daily mean between {low:+.4%} and {mean:+.4%} on average per 8 h, {venues} venues",
            low > 0,
        ),
        "BTC's funding of October 2025",
    ),
    Claim(
        "In mid-November 2025 bitcoin broke 98 thousand",
        _bitcoin_query("2025-11-10", "2025-11-20", "min(low), arg_min(day, low)"),
        lambda low, day: (f"a low of {low:,.0f} on {day}", low < 98e3),
        "BTC's candles of November 2025",
    ),
    Claim(
        "1.1 bn USD were liquidated in 24 hours of mid-November 2025",
        _bitcoin_query("2025-11-13", "2025-11-15", "max(liq_long_usd + liq_short_usd), max(liq_venues)"),
        lambda usd, venues: (f"at most {_usd(usd)} of BTC in a day, {venues} venues", True if usd >= 1.1e9 else None),
        "liquidations of November 2025",
    ),
    Claim(
        "Volatility was above 50 % in mid-November 2025, funding slightly positive",
        _bitcoin_query("2025-11-10", "2025-11-20", "max(range_vol_7d), avg(funding_8h), max(realised_vol_7d)"),
        lambda ranges, funding, closes: (
            f"7-day volatility up to {ranges:.0%} by Parkinson's estimator, which decides, and {closes:.0%} by hourly closes; "
            f"funding {funding:+.4%} per 8 h on average",
            ranges > 0.5 and 0 < funding < 1e-4,
        ),
        "BTC's candles and funding of November 2025",
    ),
    Claim(
        "Before both falls, funding and leverage were high and volatility low",
        """
        SELECT avg(funding), avg(volatility), avg(oi_to_volume), any_value(first_day) FROM (
            SELECT
                day,
                min(day) OVER () AS first_day,
                percent_rank() OVER (ORDER BY funding_8h) AS funding,
                percent_rank() OVER (ORDER BY range_vol_7d) AS volatility,
                CASE WHEN oi_to_volume IS NOT NULL THEN percent_rank() OVER (ORDER BY oi_to_volume) END AS oi_to_volume
            FROM marts.daily_assets
            WHERE asset = 'BTC' AND day <= '2025-11-20' AND range_vol_7d IS NOT NULL
        ) WHERE day BETWEEN '2025-10-03' AND '2025-10-09' OR day BETWEEN '2025-11-03' AND '2025-11-09'
        """,
        lambda funding, volatility, leverage, first: (
            f"the week before each, among the days from {first} to 2025-11-20: funding at its {funding:.0%} quantile, volatility "
            f"(Parkinson, 7 days) at {volatility:.0%}, "
            + ("leverage unknown" if leverage is None else f"leverage at {leverage:.0%}"),
            _is_crowded_and_calm(funding, volatility, leverage),
        ),
        "BTC's funding, leverage and candles of 2025",
    ),
)


def answers(connection: duckdb.DuckDBPyConnection) -> list[Answer]:
    """Every claim, answered from the marts."""
    results = []
    for claim in CLAIMS:
        row: tuple[Any, ...] | None = connection.execute(claim.sql).fetchone()
        if row is None or row[0] is None or any(value is None for value in row[:2]):
            results.append(Answer(claim.claim, UNPROVABLE, f"it needs {claim.needs}"))
            continue
        result, holds = claim.judge(*row)
        verdict = UNPROVABLE if holds is None else "true" if holds else "false"
        results.append(Answer(claim.claim, verdict, result + (f"; it needs {claim.needs}" if holds is None else "")))
    return results
