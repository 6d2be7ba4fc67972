"""Signals: each change of an asset's regime, and each red flag of the early warning, as a program takes them.

    marts.regime_labels, regime_forecasts, daily_assets ──► signals ──► perps watch, MCP, the sensor of notices

A signal's `key` says what happened (`BTC:2025-10-10:cascade`), so the same event has it in each run. Signals are in the order of
day, asset and name, and those `since` a key come after it in that order. The label of a day that is not over, and the flag of
the day before, may still come or change: who must miss none asks since a day, and leaves out the keys that are known.

Alone: ``perplake.open().signals(since="2025-10-10")``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import date

import duckdb
import pandas as pd

from assets.regimes import posture, with_market
from assets.regimes.forecasts.plan import TARGETS, WARNING
from assets.regimes.thresholds import REGIMES, SEVERITIES, Severity

FLAG = "flag"

_CHANGES = """
SELECT asset, day, label, before, reasons FROM (
    SELECT *, lag(label) OVER (PARTITION BY asset ORDER BY day) AS before FROM marts.regime_labels
) WHERE before <> label AND day >= $1 ORDER BY ALL
"""
_FLAGS = """
SELECT asset, day, probability FROM marts.regime_forecasts
WHERE target = $2 AND method = $3 AND run_type = 'backtest' AND flag AND day >= $1 ORDER BY ALL
"""


@dataclass(frozen=True)
class Signal:
    """One event by the close of a UTC day.

    `reasons` say why; `probability` is a red flag's, `label` and `before` are a change's regimes. `max_leverage` and
    `hedge_ratio` (fraction of a holding) are the posture of that day by `assets.regimes.posture`: a fixed rule, no advice.
    """

    key: str
    day: date
    asset: str
    kind: str  # `regime` or `red_flag`
    severity: Severity
    title: str
    reasons: str
    label: str | None
    before: str | None
    probability: float | None
    max_leverage: float | None
    hedge_ratio: float | None
    origin: str

    @property
    def order(self) -> tuple[date, str, str]:
        return _order(self.key)

    def as_json(self) -> dict[str, object]:
        """What `perps watch` prints, MCP answers and webhooks get."""
        return {**asdict(self), "day": self.day.isoformat()}


def line(signal: Signal) -> str:
    """A signal as one line of JSON."""
    return json.dumps(signal.as_json(), ensure_ascii=False, allow_nan=False)


def worst(signals: list[Signal]) -> Severity | None:
    """The highest severity; None where there is no signal."""
    return max((signal.severity for signal in signals), key=SEVERITIES.index, default=None)


def signals(db: duckdb.DuckDBPyConnection, since: str | None = None) -> list[Signal]:
    """The signals since a key (those after it) or a day (those of that day and later); all of them without one.

    Red flags are there where a run has made forecasts. Raises `ValueError` for a `since` that is neither.
    """
    after = _order(since) if since else None
    first = after[0] if after else date.min
    daily = db.sql("FROM marts.daily_assets ORDER BY asset, day").df()  # all: MARKET's volatility is weighted by days before
    if daily.empty:
        return []
    origin = str(daily["origin"].iloc[0])
    mark = "SYNTHETIC DATA. " if origin == "synthetic" else ""
    postures = _postures(daily)
    found = []
    for asset, day, label, before, reasons in db.execute(_CHANGES, [first]).fetchall():
        title = f"{mark}{asset}: regime changed from {before} to {label} ({day})"
        severity = REGIMES[label].severity if label in REGIMES else SEVERITIES[0]
        key, (leverage, hedge) = f"{asset}:{day}:{label}", postures.get((asset, day), (None, None))
        signal = Signal(key, day, asset, "regime", severity, title, reasons, label, before, None, leverage, hedge, origin)
        found.append(signal)
    if db.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'regime_forecasts'").fetchone():
        target = TARGETS[WARNING[0]].description
        for asset, day, probability in db.execute(_FLAGS, [first, *WARNING]).fetchall():
            title = f"{mark}{asset}: red flag ({day})"
            reasons = f"{probability:.0%} for {target}, in the top tenth of its past year ({WARNING[1]})."
            key, (leverage, hedge) = f"{asset}:{day}:{FLAG}", postures.get((asset, day), (None, None))
            words = (title, reasons, None, None)
            found.append(Signal(key, day, asset, "red_flag", "warning", *words, probability, leverage, hedge, origin))
    found.sort(key=lambda signal: signal.order)
    return [signal for signal in found if after is None or signal.order > after]


def day_of(since: str) -> date:
    """The day of a key, or the day itself."""
    return _order(since)[0]


def last_day(db: duckdb.DuckDBPyConnection) -> date:
    """The last labelled day; that before all others where there is none."""
    found = db.execute("SELECT max(day) FROM marts.regime_labels").fetchone()
    return found[0] if found and found[0] else date(1, 1, 2)


def _order(since: str) -> tuple[date, str, str]:
    """A key's place among signals; that of a day is before its signals."""
    *asset, day, name = since.split(":") if ":" in since else (since, "")
    try:
        return date.fromisoformat(day), ":".join(asset), name
    except ValueError:
        raise ValueError(f"{since!r} is neither a signal's key, such as BTC:2025-10-10:cascade, nor a day") from None


def _postures(daily: pd.DataFrame) -> dict[tuple[str, date], tuple[float, float]]:
    """By asset and day: the most leverage, and the share of a holding to hedge."""
    rows = with_market(daily)[["asset", "day", "realised_vol_7d"]].itertuples(index=False)
    found = {(str(asset), pd.Timestamp(day).date()): posture.limits(volatility) for asset, day, volatility in rows}
    return {key: limits for key, limits in found.items() if limits}
