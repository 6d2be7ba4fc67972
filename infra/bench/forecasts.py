"""What forecasts cost: features, all methods walking forward, and the scorecard, for so many assets and days.

The rows are those of synthetic markets of eight assets and fewer, side by side. Alone: ``walk_seconds(12, 1825)``.
"""

from __future__ import annotations

import time
import warnings

import pandas as pd

from assets.regimes.forecasts import inputs, methods, power, score
from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import ASSETS, EPOCH, SyntheticMarket


def walk_seconds(assets: int, days: int) -> dict[str, float]:
    """Seconds of `walk` (features and all forecasts) and of `score` (the whole scorecard)."""
    warnings.simplefilter("ignore")
    made: list[pd.DataFrame] = []
    while (left := assets - sum(rows["asset"].nunique() for rows in made)) > 0:
        market = SyntheticMarket(len(made) + 1, min(left, len(ASSETS)), until=EPOCH + days * 24 * MS_HOUR)
        rows = power.daily(market)
        made.append(rows[rows["day"] < rows["day"].min() + pd.Timedelta(days=days)].assign(asset=rows["asset"] + f"{len(made)}"))
    markets = pd.concat(made, ignore_index=True)
    begun = time.perf_counter()
    frame = inputs.build(markets)
    said = methods.walk_forward(frame)
    walked = time.perf_counter()
    score.card(frame, said, score.events(frame), synthetic=True)
    return {"walk": walked - begun, "score": time.perf_counter() - walked}
