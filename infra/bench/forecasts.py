"""Seconds that forecasts take: features and all methods walking forward, and the scorecard, by number of assets and days.

The rows are those of several synthetic markets of at most eight assets each.

Alone: ``python -m infra.bench --only forecasts``.
"""

from __future__ import annotations

import time
import warnings

import pandas as pd

from assets.regimes.forecasts import events, inputs, methods, score
from infra.bench.power import daily_rows
from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import ASSETS, EPOCH, SyntheticMarket


def walk_seconds(assets: int, days: int) -> dict[str, float]:
    """Seconds of `walk` (features and all forecasts) and of `score` (the whole scorecard)."""
    warnings.simplefilter("ignore")
    markets: list[pd.DataFrame] = []
    while (left := assets - sum(rows["asset"].nunique() for rows in markets)) > 0:
        market = SyntheticMarket(len(markets) + 1, min(left, len(ASSETS)), until=EPOCH + days * 24 * MS_HOUR)
        rows = daily_rows(market)
        markets.append(
            rows[rows["day"] < rows["day"].min() + pd.Timedelta(days=days)].assign(asset=rows["asset"] + f"{len(markets)}")
        )
    daily = pd.concat(markets, ignore_index=True)
    begun = time.perf_counter()
    frame = inputs.build(daily)
    forecasts = methods.walk_forward(frame)
    walked = time.perf_counter()
    score.build_scorecard(frame, forecasts, events.find_events(frame), synthetic=True)
    return {"walk": walked - begun, "score": time.perf_counter() - walked}
