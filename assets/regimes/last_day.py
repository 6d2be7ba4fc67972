"""The market's last day that is over, a row an asset and `MARKET`: what one looks at in the morning.

    daily_assets, daily_market, daily_funding_spreads, daily_liquidations, regime_labels, regime_posture ──► market_last_day

Alone: ``read(duckdb.connect(path))``.
"""

import duckdb
import pandas as pd
import pandera.pandas as pa

from assets.regimes.market import DAILY
from assets.regimes.schemas import ASSET, KEY, KNOWN_AT, count, day, number, text
from assets.regimes.thresholds import REGIMES

_FUNDING = "8-hour equivalent, fraction, positive when longs pay shorts"
_OF_VENUE = f"{_FUNDING}; of `MARKET` over all its assets"
_TRUST = "as `{0}` of `daily_assets`: `whole`, or a class and why"
_LISTED = "Liquidations of {0} positions on the venues with {1}, US dollars; null: no such venue."

LAST_DAY = pa.DataFrameSchema(
    {
        "day": day("UTC day: the last that is over and loaded."),
        "asset": ASSET,
        "known_at": KNOWN_AT,
        "close": number(
            "Last price, median over venues, quote currency per whole coin; of `MARKET` the index of `daily_market`.",
            0,
            unit="quote per coin",
        ),
        "return_1d": number("close over the close of the day before, minus 1, fraction.", -1),
        "price_trust": text(f"Trust in `close`, {_TRUST.format('price_trust')}."),
        "volume_usd": number("Volume, US dollars.", 0, unit="USD"),
        "volume_change_1d": number("Change of `volume_usd_chained` from the day before, fraction: over the same venues.", -1),
        "volume_trust": text(f"Trust in `volume_usd`, {_TRUST.format('volume_trust')}."),
        "oi_usd": number(
            "Open interest at the day's end, one side, US dollars, over the venues where it is known.", 0, unit="USD"
        ),
        "oi_usd_chained": number("Open interest over a constant set of venues, US dollars, as in `daily_assets`.", 0, unit="USD"),
        "oi_change_1d": number("Change of `oi_usd_chained` from the day before, fraction: over the same venues.", -1),
        "oi_trust": text(f"Trust in `oi_usd`, {_TRUST.format('oi_trust')}."),
        "funding_8h": number(
            f"Mean funding, {_FUNDING}; weights as `funding_weighting` of `daily_assets` says.", unit="1 per 8 hours"
        ),
        "funding_trust": text(f"Trust in `funding_8h`, {_TRUST.format('funding_trust')}."),
        "highest_funding_venue": text("The venue where longs paid most; null: funding of one venue or none.", nullable=True),
        "highest_funding_rate_8h": number(f"Its funding, {_OF_VENUE}.", unit="1 per 8 hours"),
        "lowest_funding_venue": text("The venue where longs paid least.", nullable=True),
        "lowest_funding_rate_8h": number(f"Its funding, {_OF_VENUE}.", unit="1 per 8 hours"),
        "complete_long_usd": number(_LISTED.format("long", "complete lists"), 0, unit="USD"),
        "complete_short_usd": number(_LISTED.format("short", "complete lists"), 0, unit="USD"),
        "complete_venues": count("Venues with a complete list."),
        "lower_bound_long_usd": number(_LISTED.format("long", "sampled or partial lists"), 0, unit="USD"),
        "lower_bound_short_usd": number(_LISTED.format("short", "sampled or partial lists"), 0, unit="USD"),
        "lower_bound_venues": count("Venues with a sampled or partial list."),
        "liquidations_trust": text(f"Trust in liquidations, {_TRUST.format('liquidations_trust')}."),
        "label": text("The regime.", *REGIMES),
        "label_before": text("The regime of the day before; null: the first day.", nullable=True),
        "confidence": number("Share of the label's inputs that is known, 0 to 1.", 0, 1),
        "reasons": text("The comparisons that gave the label."),
        "max_leverage": number("The most leverage by the posture of the day (`regime_posture`). No advice.", 0),
        "hedge_ratio": number("Share of a holding to hedge by the posture of the day. No advice.", 0, 1),
        "origin": text("Origin of the data: `synthetic`, `recorded` or `live`."),
    },
    unique=KEY,
    strict=True,
    name="market_last_day",
    description=(
        "The last day that is over (yesterday, where a run is of today), one row per asset and `MARKET`: price, volume, open "
        "interest, funding and its extremes, liquidations by class, regime, posture, and how far each number can be trusted."
    ),
)

_QUERY = f"""
WITH daily AS (
    SELECT *,
        CASE WHEN lag(day) OVER series = day - 1 THEN volume_usd_chained / nullif(lag(volume_usd_chained) OVER series, 0) - 1 END
            AS volume_change_1d,
        CASE WHEN lag(day) OVER series = day - 1 THEN oi_usd_chained / nullif(lag(oi_usd_chained) OVER series, 0) - 1 END
            AS oi_chained_change_1d
    FROM {DAILY} WINDOW series AS (PARTITION BY asset ORDER BY day)
),
labels AS (SELECT *, lag(label) OVER (PARTITION BY asset ORDER BY day) AS label_before FROM marts.regime_labels),
spreads AS (
    SELECT day, asset, highest_funding_venue, highest_funding_rate_8h, lowest_funding_venue, lowest_funding_rate_8h
    FROM marts.daily_funding_spreads
    UNION ALL
    SELECT day, 'MARKET', arg_max(venue, funding_8h), max(funding_8h), arg_min(venue, funding_8h), min(funding_8h)
    FROM (FROM marts.daily_venues WHERE funding_8h IS NOT NULL ORDER BY venue) GROUP BY day HAVING count(*) > 1
)
SELECT
    d.day, d.asset, r.known_at, d.close, d.return_1d, d.price_trust, d.volume_usd,
    d.volume_change_1d, d.volume_trust,
    d.oi_usd, d.oi_usd_chained, d.oi_chained_change_1d AS oi_change_1d, d.oi_trust, d.funding_8h, d.funding_trust,
    s.* EXCLUDE (day, asset),
    l.complete_long_usd, l.complete_short_usd, coalesce(l.complete_venues, 0) AS complete_venues,
    l.lower_bound_long_usd, l.lower_bound_short_usd, coalesce(l.lower_bound_venues, 0) AS lower_bound_venues,
    d.liquidations_trust, r.label, r.label_before, r.confidence, r.reasons, p.max_leverage, p.hedge_ratio, d.origin
FROM daily AS d
JOIN labels AS r USING (day, asset)
JOIN marts.regime_posture AS p USING (day, asset)
LEFT JOIN spreads AS s USING (day, asset)
LEFT JOIN marts.daily_liquidations AS l USING (day, asset)
WHERE d.day = (SELECT max(day) FROM marts.daily_assets WHERE day < (SELECT as_of FROM meta.scope)::DATE)
ORDER BY d.asset
"""


def read(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """`market_last_day` of a warehouse; no rows where no day is over."""
    return connection.sql(_QUERY).df()[list(LAST_DAY.columns)]
