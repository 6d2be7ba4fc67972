"""What is commonly said of this market, and what the tables say: true, false, or not to be known from what is loaded, each with
why.

A claim is a sentence, a query on the published marts and a judgement of its one row. A claim whose days or data are not loaded is
`unprovable here`, with what would be needed. Claims are about the real market: a synthetic warehouse answers none. Alone:
``answers(duckdb.connect(path))``.
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
    """`sql` gives one row; `judge` makes of it what was found, and whether the claim holds (None: it can't be told)."""

    says: str
    sql: str
    judge: Judge
    needs: str


@dataclass(frozen=True)
class Answer:
    """One claim answered: `verdict` is `true`, `false` or `unprovable here`; `found` the numbers, or what would be needed."""

    says: str
    verdict: str
    found: str


def _usd(value: float) -> str:
    return f"{value / 1e9:,.2f} bn USD"


def _bitcoin(first: str, last: str, columns: str) -> str:
    return f"SELECT {columns} FROM marts.daily_assets WHERE asset = 'BTC' AND day BETWEEN '{first}' AND '{last}'"


def _all(first: str, last: str, columns: str, table: str = "daily_industry") -> str:
    return f"SELECT {columns} FROM marts.{table} WHERE day BETWEEN '{first}' AND '{last}'"


def _dear_and_calm(funding: float, volatility: float, leverage: float | None) -> bool | None:
    """High and low are the upper and the lower quarter; what is not known can refute nothing."""
    if not (funding > 0.75 and volatility < 0.25):
        return False
    return None if leverage is None else leverage > 0.75


def _daily_volume(venue: str, name: str, usd: float) -> Claim:
    """What a venue trades a day: the assets loaded are a lower bound, which can refute the claim and never prove it."""
    return Claim(
        f"{name} trades about {usd / 1e9:g} bn USD a day",
        f"SELECT avg(volume_usd), min(day), max(day) FROM marts.daily_venues WHERE venue = '{venue}' AND volume_usd > 0",
        lambda found, first, last: (
            f"{_usd(found)} a day in the assets loaded, {first} to {last}: a lower bound",
            False if found > 1.25 * usd else None,
        ),
        f"every asset of {name}: `--assets all`",
    )


def _monthly_volume(first: str, last: str) -> str:
    """The month of most volume among some, of all that is loaded."""
    months = _all(first, last, "strftime(day, '%Y-%m') AS month, sum(volume_usd) AS usd") + " GROUP BY ALL"
    return f"SELECT max(usd), arg_max(month, usd) FROM ({months})"


CLAIMS = (
    _daily_volume("binance", "Binance", 15.5e9),
    _daily_volume("bybit", "Bybit", 6e9),
    _daily_volume("okx", "OKX", 4.5e9),
    Claim(
        "The three largest venues have above 75 % of the volume",
        _all("2017-01-01", "2100-01-01", "avg(top3_volume_share), min(day), max(day), max(venues)"),
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
        "CoinGecko's totals: `--venues all`, by the day",
    ),
    Claim(
        "Half of the volume comes from Asia and the Pacific",
        "SELECT 1 WHERE false",
        lambda _: ("", None),
        "where traders sit: no venue and no aggregator states it; venues' seats are not their users'",
    ),
    Claim(
        "Under 100 bn USD were traded a month early in 2019",
        _monthly_volume("2019-01-01", "2019-03-31"),
        lambda usd, month: (f"{_usd(usd)} in {month} of what is loaded: a lower bound", False if usd >= 100e9 else None),
        "volumes of early 2019: own files of BitMEX and others, by `perps import`",
    ),
    Claim(
        "Above 4 trn USD were traded in a month at the peak of 2021",
        _monthly_volume("2021-01-01", "2021-12-31"),
        lambda usd, month: (f"{usd / 1e12:.2f} trn in {month} of what is loaded", True if usd > 4e12 else None),
        "every asset of every venue of 2021",
    ),
    Claim(
        "8.94 trn USD were traded in July 2025",
        _all("2025-07-01", "2025-07-31", "sum(volume_usd), count(DISTINCT day), max(venues)"),
        lambda volume, days, venues: (
            f"{volume / 1e12:.2f} trn on the {venues} venues and the assets loaded, {days} days: a lower bound",
            True if volume >= 8.94e12 else None,
        ),
        "every asset of every venue in July 2025",
    ),
    Claim(
        "Open interest was 131 bn USD in December 2024",
        _all("2024-12-01", "2024-12-31", "max(oi_usd), max(oi_venues)"),
        lambda oi, venues: (f"at most {_usd(oi)} on {venues} venues", True if oi >= 131e9 else None),
        "open interest of December 2024: no venue's public interface still answers it but Bybit's, Gate's and an archive",
    ),
    Claim(
        "On 10 October 2025 bitcoin fell from 126 to 104 thousand",
        f"SELECT ({_bitcoin('2025-10-04', '2025-10-09', 'max(high)')}), ({_bitcoin('2025-10-10', '2025-10-11', 'min(low)')})",
        lambda high, low: (f"from {high:,.0f} in the week before to {low:,.0f}", high > 125e3 and low < 105e3),
        "BTC's candles of October 2025",
    ),
    Claim(
        "About 19 bn USD were liquidated on 10 October 2025",
        _all("2025-10-10", "2025-10-11", "sum(liq_long_usd + liq_short_usd), max(liq_venues)", "daily_assets"),
        lambda usd, venues: (f"{_usd(usd)} on {venues} venues: a lower bound", True if usd >= 17e9 else None),
        "liquidations of that day: sampled streams and vendors' estimates; one says 19.13 bn, another 9.89 bn",
    ),
    Claim(
        "Annualised volatility was above 100 % then",
        _bitcoin("2025-10-10", "2025-10-11", "max(realised_vol_1d), max(realised_vol_7d)"),
        lambda day, week: (f"{day:.0%} by the hours of the day, {week:.0%} over the week", day > 1),
        "BTC's candles of October 2025",
    ),
    Claim(
        "Funding was positive throughout, up to the crash",
        _bitcoin("2025-10-01", "2025-10-10", "min(funding_8h), avg(funding_8h), max(funding_venues)"),
        lambda low, mean, venues: (
            f"BTC's daily mean between {low:+.4%} and {mean:+.4%} on average per 8 h, {venues} venues",
            low > 0,
        ),
        "BTC's funding of October 2025",
    ),
    Claim(
        "In mid-November 2025 bitcoin broke 98 thousand",
        _bitcoin("2025-11-10", "2025-11-20", "min(low), arg_min(day, low)"),
        lambda low, day: (f"a low of {low:,.0f} on {day}", low < 98e3),
        "BTC's candles of November 2025",
    ),
    Claim(
        "1.1 bn USD were liquidated in 24 hours then",
        _bitcoin("2025-11-13", "2025-11-15", "max(liq_long_usd + liq_short_usd), max(liq_venues)"),
        lambda usd, venues: (f"at most {_usd(usd)} of BTC in a day, {venues} venues", True if usd >= 1.1e9 else None),
        "liquidations of November 2025",
    ),
    Claim(
        "Volatility was above 50 % then, funding mildly positive",
        _bitcoin("2025-11-10", "2025-11-20", "max(realised_vol_7d), avg(funding_8h)"),
        lambda volatility, funding: (
            f"7-day volatility up to {volatility:.0%}, funding {funding:+.4%} per 8 h on average",
            volatility > 0.5 and 0 < funding < 1e-4,
        ),
        "BTC's candles and funding of November 2025",
    ),
    Claim(
        "Before both, funding and leverage were high and volatility low",
        """
        SELECT avg(funding), avg(volatility), avg(oi_to_volume) FROM (
            SELECT
                day,
                percent_rank() OVER (ORDER BY funding_8h) AS funding,
                percent_rank() OVER (ORDER BY realised_vol_7d) AS volatility,
                CASE WHEN oi_to_volume IS NOT NULL THEN percent_rank() OVER (ORDER BY oi_to_volume) END AS oi_to_volume
            FROM marts.daily_assets
            WHERE asset = 'BTC' AND day BETWEEN '2025-04-01' AND '2025-11-20' AND realised_vol_7d IS NOT NULL
        ) WHERE day BETWEEN '2025-10-03' AND '2025-10-09' OR day BETWEEN '2025-11-03' AND '2025-11-09'
        """,
        lambda funding, volatility, leverage: (
            f"the week before each, since April: funding at its {funding:.0%} quantile, volatility at {volatility:.0%}, "
            + ("leverage unknown" if leverage is None else f"leverage at {leverage:.0%}"),
            _dear_and_calm(funding, volatility, leverage),
        ),
        "BTC's funding, leverage and candles of 2025",
    ),
)


def answers(connection: duckdb.DuckDBPyConnection) -> list[Answer]:
    """Every claim answered from the marts."""
    made = []
    for claim in CLAIMS:
        row: tuple[Any, ...] | None = connection.execute(claim.sql).fetchone()
        if row is None or row[0] is None or any(value is None for value in row[:2]):
            made.append(Answer(claim.says, UNPROVABLE, f"it would take {claim.needs}"))
            continue
        found, holds = claim.judge(*row)
        verdict = UNPROVABLE if holds is None else "true" if holds else "false"
        made.append(Answer(claim.says, verdict, found + (f"; it would take {claim.needs}" if holds is None else "")))
    return made
