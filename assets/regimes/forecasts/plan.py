"""What was fixed before any scoring: targets, features, the length of fits, the flag rule. `HASH` identifies it and the code.

No number here was chosen by a score; a comment gives the reason of those that have one. Days are UTC calendar days.

Alone: ``python -c "from assets.regimes.forecasts import plan; print(plan.HASH)"``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from assets.regimes.thresholds import REGIMES

HORIZON_DAYS = 7
#: Days between the end of a training row's week and the fit, so that the row's outcome does not overlap the days forecast.
EMBARGO_DAYS = 7
#: A quarter: markets change within a year, and a fit costs seconds.
REFIT_DAYS = 91
#: A method needs this many days, and this many separate weeks with the target and as many without it.
MIN_TRAIN_DAYS, MIN_EVENTS = 60, 5
#: A flag is a probability in the top tenth of the asset's past year.
FLAG_SHARE, FLAG_WINDOW_DAYS, FLAG_MIN_DAYS = 0.10, 365, 30
#: Days less than a week apart are one event; an event more than a month after the last follows calm.
SAME_EVENT_DAYS, FRESH_DAYS = 7, 30
#: Under this many events the scorecard gives no verdict.
ENOUGH_EVENTS = 20
#: The same for volatile weeks, in days: they last, and less than a year has too few changes between them and other weeks.
ENOUGH_DAYS = 365
#: On real crashes a higher AUROC is treated as a bug until proven otherwise.
TOO_GOOD = 0.75
#: Mean length of the blocks of the stationary bootstrap, as long as volatility clusters last, and the number of draws.
BLOCK_DAYS, DRAWS = 30, 200
SEED = 20251010


@dataclass(frozen=True)
class Target:
    """A condition that the days after a day may meet. `depth` (fraction) is that of the low under the close, for a crash."""

    name: str
    description: str
    depth: float | None = None


TARGETS = {
    t.name: t
    for t in (
        Target("high_volatility", "the week's volatility is in the top quarter of the trailing year's weeks"),
        Target("crash10", "a low 10 % or more under today's close within 7 days", 0.10),
        Target("crash15", "a low 15 % or more under today's close within 7 days", 0.15),
        Target("cascade", "a day labelled cascade within 7 days"),
    )
}

#: The target that describes a state that lasts; the others are events.
STATE = "high_volatility"

#: The truths that the label of a day is compared with: all are about the day itself.
NOWCASTS = {
    t.name: t
    for t in (
        Target(
            "low10_today",
            "a low 10 % or more under the last close on the day itself, the condition of the label's own rule",
            0.10,
        ),
        Target("liquidations_today", "a day among the asset's 2 % with the most liquidations over open interest, in hindsight"),
        Target("documented_today", "a day in the list of documented crashes 2020 to 2025, which is incomplete"),
    )
}
NOWCAST_LABELS = tuple(regime.name for regime in REGIMES.values() if regime.is_shock)
#: The share of days with the most liquidations, and the least number of days to take a share of.
LIQUIDATION_SHARE, LIQUIDATION_MIN_DAYS = 0.02, 100


@dataclass(frozen=True)
class Feature:
    """An input and the reason why it should matter. `used` by methods, or shown only; `perp` needs data of perpetuals."""

    name: str
    reason: str
    used: bool = True
    perp: bool = False


FEATURES = (
    Feature("rv1", "volatility clusters: yesterday's volatility is the best guess of tomorrow's"),
    Feature("rv7", "volatility of the week, less noisy than that of the day"),
    Feature("rv30", "the level to which volatility returns"),
    Feature("rv_year", "level of the coin: a fall of 10 % is a usual week for one coin and a crash for another"),
    Feature("rv7_over_limit", "distance of the last week from the limit of a volatile week"),
    Feature("market_rv7", "coins fall together: the volatility of the others reaches this one"),
    Feature("weekend", "volatility on weekends is lower and says less about the week ahead"),
    Feature("return_7d", "falls lead to further falls where positions are leveraged"),
    Feature("drawdown_7d", "distance of last week's buyers from their liquidation"),
    Feature("funding_7d", "cost of keeping leveraged longs: crowding", perp=True),
    Feature(
        "funding_off_rest_7d", "distance of funding from its resting rate on either side: shorts are squeezed too", perp=True
    ),
    Feature("market_funding", "crowding is shared: arbitrage carries it from coin to coin", perp=True),
    Feature("oi_to_volume_build", "open interest over volume against its half-year mean: how long closing would take", perp=True),
    Feature("oi_to_volume_growth_7d", "recent leverage is young and near its entry price", perp=True),
    Feature("oi_build", "open interest against its half-year mean: the amount that can be closed", perp=True),
    Feature("market_oi_build", "the same for all coins: traders share margin between them", perp=True),
    Feature("oi_growth_7d", "new contracts in their own unit, independent of price", perp=True),
    Feature("liq_over_oi", "forced closing in progress", perp=True),
    Feature("liq_long_share", "the side that is being closed", perp=True),
    Feature("basis", "premium of perpetuals over the index: what buyers pay for leverage", perp=True),
    Feature(
        "market_basis_abs", "distance of perpetuals from the index on either side, which the cap on funding hides", perp=True
    ),
    Feature("funding_dispersion", "funding differs between venues when arbitrage is short of capital", perp=True),
    Feature("positive_share", "share of instruments with positive funding: how general the crowding is", perp=True),
    Feature("hhi_volume", "concentration: an outage or margin call at one large venue reaches all", perp=True),
    Feature("dex_volume_share", "share of decentralised venues, where liquidations are automatic and public", perp=True),
    Feature("oi_over_cap", "leverage over market capitalisation; not used: market caps exist as snapshots only", used=False),
)
USED = tuple(f.name for f in FEATURES if f.used)
PRICE = tuple(f.name for f in FEATURES if f.used and not f.perp)

#: Name of all assets together in the scorecard.
POOLED = "all"

#: Target and method of the risk state and the early warning in the report and `perps regimes`, chosen before scoring.
RISK, WARNING = ("high_volatility", "har"), ("crash10", "logistic")

_HASHED = ("plan.py", "inputs.py", "methods.py", "events.py", "metrics.py", "score.py", "documented.csv")


def _hash() -> str:
    digest = hashlib.sha256()
    for name in _HASHED:
        digest.update((Path(__file__).parent / name).read_bytes())
    return digest.hexdigest()[:12]


HASH = _hash()
