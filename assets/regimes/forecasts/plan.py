"""What was decided before scoring: targets, features, methods' names, refits, the flag. `HASH` names a state of it and of the
code.

No number here was chosen by a score; those with a reason say it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

HORIZON_DAYS = 7
#: Between the end of a training row's week and the fit: what the week moved must not reach back into the fit.
EMBARGO_DAYS = 7
#: A quarter: markets change faster than a year, and a fit costs seconds.
REFIT_DAYS = 91
#: No method speaks before it has seen so many days, nor before so many separate weeks brought the target, and as many didn't.
MIN_TRAIN_DAYS, MIN_EVENTS = 60, 5
#: A flag is a probability in the top tenth of the method's own past year.
FLAG_SHARE, FLAG_WINDOW_DAYS, FLAG_MIN_DAYS = 0.10, 365, 30
#: Events closer than a week are one; one more than a month after the last is fresh.
SAME_EVENT_DAYS, FRESH_DAYS = 7, 30
#: Fewer events than this and the scorecard says so instead of a verdict.
ENOUGH_EVENTS = 20
#: A state lasts: fewer days of it than a year have seen too few of its turns.
ENOUGH_DAYS = 365
#: On real crashes a better AUROC is taken for a bug until shown otherwise.
TOO_GOOD = 0.75
#: Blocks of the stationary bootstrap, as long as volatility clusters last, and its draws.
BLOCK_DAYS, DRAWS = 30, 200
SEED = 20251010


@dataclass(frozen=True)
class Target:
    """Something that the coming week brings or doesn't. `depth` is of the low under the close, where it is a crash."""

    name: str
    what: str
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


#: The target that lasts, and is no event.
STATE = "high_volatility"

#: What the label of a day is held against: the day itself, and no week to come.
NOWCASTS = {
    t.name: t
    for t in (
        Target("low10_today", "a low 10 % or more under the last close on the day itself, as the label's own rule has it", 0.10),
        Target("liquidations_today", "a day among the 2 % of most liquidations over open interest of its asset, in hindsight"),
        Target("documented_today", "a day in the list of documented crashes 2020 to 2025; the list leaves out many"),
    )
}
NOWCAST_LABELS = ("cascade", "crash")
#: The share of days of most liquidations, and the days without which no share is of anything.
LIQUIDATION_DAYS, LIQUIDATION_LEAST = 0.02, 100


@dataclass(frozen=True)
class Feature:
    """One input and why it should matter; `used` by forecasts, or only described; `perp` is known of perpetuals alone."""

    name: str
    why: str
    used: bool = True
    perp: bool = False


FEATURES = (
    Feature("rv1", "volatility clusters: yesterday's is the best guess of tomorrow's"),
    Feature("rv7", "the week's volatility, less noisy than the day's"),
    Feature("rv30", "the level that volatility returns to"),
    Feature("rv_year", "a coin's own level: one falls 10 % in a usual week, another in a crash"),
    Feature("rv7_over_limit", "how far the last week was from being called volatile"),
    Feature("market_rv7", "coins fall together: the others' volatility reaches this one"),
    Feature("weekend", "a weekend's volatility says less of the week ahead: it is lower"),
    Feature("return_7d", "falls feed falls where positions are leveraged"),
    Feature("drawdown_7d", "how near the week's buyers are to their liquidation"),
    Feature("funding_7d", "what leverage pays to stay: crowding", perp=True),
    Feature("funding_either_7d", "how far funding is from rest, whoever pays: shorts are squeezed too", perp=True),
    Feature("market_funding", "crowding is the market's: arbitrage carries it from coin to coin", perp=True),
    Feature("oi_to_volume_build", "open interest over volume against its own half year: how long it takes to leave", perp=True),
    Feature("oi_to_volume_growth_7d", "leverage that was built up lately is young and near its entry", perp=True),
    Feature("oi_build", "open interest against its own half year: what there is to be closed", perp=True),
    Feature("market_oi_build", "the same of all coins: margin is shared between them", perp=True),
    Feature("oi_growth_7d", "new contracts, in their own unit, whatever the price did", perp=True),
    Feature("liq_over_oi", "forced closing under way", perp=True),
    Feature("liq_long_share", "which side is being closed", perp=True),
    Feature("basis", "what buyers pay for leverage over the index", perp=True),
    Feature("market_basis_either", "how far perpetuals stand from the index: what funding's clamp hides", perp=True),
    Feature("funding_dispersion", "venues disagree when arbitrage is short of capital", perp=True),
    Feature("positive_share", "how general the crowding is", perp=True),
    Feature("hhi_volume", "one venue's outage or margin call is everybody's", perp=True),
    Feature("dex_volume_share", "where liquidations are automatic and public", perp=True),
    Feature("oi_over_cap", "leverage against what there is to sell; market caps are known from snapshots alone", used=False),
)
USED = tuple(f.name for f in FEATURES if f.used)
PRICE = tuple(f.name for f in FEATURES if f.used and not f.perp)


#: In the scorecard: all assets together.
POOLED = "all"

#: What the report and `perps regimes` speak by, chosen before scoring: the plainest that reads what the claim is about.
RISK, WARNING = ("high_volatility", "har"), ("crash10", "logistic")


def _hash() -> str:
    digest = hashlib.sha256()
    for name in ("plan.py", "inputs.py", "methods.py", "score.py", "documented.csv"):
        digest.update((Path(__file__).parent / name).read_bytes())
    return digest.hexdigest()[:12]


HASH = _hash()
