"""Signals: each change of an asset's regime, and each red flag of the early warning, as a program takes them.

    marts.regime_signals ──► signals ──► perps watch, MCP, the sensor of notices

A signal's `key` says what happened (`BTC:2025-10-10:cascade`), so the same event has it in each run. Signals are in the order of
day, asset and name, and those `since` a key come after it in that order. The label of a day that is not over, and the flag of
the day before, may still come or change: who must miss none asks since a day, and leaves out the keys that are known.

Alone: ``perplake.open().signals(since="2025-10-10")``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime

import duckdb

from assets.regimes.thresholds import SEVERITIES, Severity


@dataclass(frozen=True)
class Signal:
    """One event by the close of a UTC day: a row of `marts.regime_signals`.

    `known_at` is when its inputs were known (UTC). `reasons` say why; `probability` is a red flag's, `label` and `before` are a
    change's regimes. `max_leverage` and `hedge_ratio` (fraction of a holding) are the posture of that day: a fixed rule, no
    advice.
    """

    key: str
    day: date
    asset: str
    known_at: datetime
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
        return {**asdict(self), "day": self.day.isoformat(), "known_at": self.known_at.isoformat()}


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
    columns = ", ".join(f'"{field.name}"' for field in fields(Signal))
    rows = db.execute(f"SELECT {columns} FROM marts.regime_signals WHERE day >= ?", [after[0] if after else date.min]).fetchall()
    found = sorted((Signal(*row) for row in rows), key=lambda signal: signal.order)
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
