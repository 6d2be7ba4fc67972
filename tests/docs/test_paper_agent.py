"""The example agent: its record against values worked by hand, and leaks that must be caught."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from docs import paper_agent
from docs.paper_agent import COST, decisions, exposures, net, record
from tests.perplake.conftest import home  # noqa: F401 (a fixture)

DAYS = pd.date_range("2025-01-01", periods=4)


def days(returns: list[float], funding: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"asset": "BTC", "day": DAYS[: len(returns)], "return_1d": returns, "funding_8h": funding})


def test_a_decision_counts_from_the_first_close_after_it_was_known() -> None:
    """Known a minute after the first day, it holds from the close of the second on: over the return of the third."""
    decided = pd.DataFrame({"asset": "BTC", "day": DAYS[:1], "known_at": [pd.Timestamp("2025-01-02 00:01")], "exposure": [0.25]})
    rows = days([0.1] * 4, [0.0] * 4)
    assert exposures(rows, decided).tolist() == [1, 1, 0.25, 0.25]
    at_the_close = decided.assign(known_at=pd.Timestamp("2025-01-02"))
    assert exposures(rows, at_the_close).tolist() == [1, 0.25, 0.25, 0.25]
    two_days_later = decided.assign(known_at=pd.Timestamp("2025-01-03 23:00"))
    assert exposures(rows, two_days_later).tolist() == [1, 1, 1, 0.25]


def test_funding_is_paid_by_the_long_and_each_change_costs() -> None:
    """A day has three times its 8 hours; entering costs one COST, halving half of one, negative funding is received."""
    rows = days([0.10, -0.20, 0.0, 0.04], [0.0001, 0.0, -0.002, 0.01])
    assert net(rows, pd.Series([1.0, 0.5, 0.5, 0.0])).tolist() == pytest.approx(
        [0.10 - 0.0003 - COST, -0.10 - 0.5 * COST, 0.003, -0.5 * COST]
    )
    assert COST == 0.0005


def market(length: int = 300) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two assets of calm and wild months, and postures that hedge by the week that is over."""
    random = np.random.default_rng(7)
    dates = pd.date_range("2025-01-01", periods=length)
    parts = []
    for asset in ("BTC", "ETH"):
        scale = np.where(np.arange(length) // 30 % 2, 0.05, 0.01)
        parts.append(pd.DataFrame({"asset": asset, "day": dates, "return_1d": random.normal(0, scale), "funding_8h": 0.0001}))
    daily = pd.concat(parts, ignore_index=True)
    volatility = daily.groupby("asset")["return_1d"].rolling(7).std().droplevel(0) * 365**0.5
    hedge = (1 - paper_agent.TARGET / volatility).clip(lower=0)
    known = daily["day"] + pd.Timedelta(days=1, minutes=1)
    return daily, daily[["asset", "day"]].assign(known_at=known, hedge_ratio=hedge)


def test_what_is_held_over_a_day_is_the_same_without_that_day_and_later_ones_and_a_planted_leak_is_caught() -> None:
    daily, postures = market()
    rows = daily.sort_values(["asset", "day"], ignore_index=True)
    held, before = rows["day"] <= "2025-07-01", rows["day"] < "2025-07-01"

    def changed(leak: bool) -> set[str]:
        found = set()
        whole, until = decisions(postures, rows), decisions(postures[postures["day"] < "2025-07-01"], rows[before])
        for name in whole:
            if leak:  # held over a day by what the rule says of that day
                for each in (whole[name], until[name]):
                    each["exposure"] = each["exposure"].groupby(each["asset"]).shift(-2).fillna(1.0)
            if not np.allclose(exposures(rows[held], whole[name]), exposures(rows[held], until[name])):
                found.add(name)
        return found

    assert changed(leak=False) == set()
    assert {"posture", "volatility targeting"} == changed(leak=True)


def test_a_posture_known_before_its_day_is_over_is_refused() -> None:
    daily, postures = market()
    with pytest.raises(ValueError, match="600 decisions are known before their day is over: they look ahead"):
        record(postures.assign(known_at=postures["day"] + pd.Timedelta(hours=23)), daily)


def test_the_record_is_that_of_each_strategy_with_intervals_around_the_differences() -> None:
    daily, postures = market()
    missing = daily["day"].isin(DAYS) & (daily["asset"] == "BTC")
    daily.loc[missing, "return_1d"] = np.nan
    summary, differences = record(postures, daily)
    known = daily[~missing].reset_index(drop=True)
    hold = net(known, pd.Series(1.0, known.index))
    assert summary.loc["holding", "return a year"] == pytest.approx(365 * hold.mean())
    assert summary.loc["holding", "traded a year"] == 0 and summary.loc["holding", "mean exposure"] == 1
    assert summary.loc["fixed", "mean exposure"] == pytest.approx(summary.loc["posture", "mean exposure"])
    assert summary.loc["posture", "mean exposure"] < 0.95
    assert summary.loc["fixed", "Sharpe ratio"] == pytest.approx(summary.loc["holding", "Sharpe ratio"], abs=0.05)
    assert (differences["low"] <= differences["difference"]).all() and (differences["difference"] <= differences["high"]).all()
    deep = differences.xs(paper_agent.DEEP_WEEKS, level="what")
    assert deep.loc["holding", "high"] < 0, "on a market whose wild months come in runs, it loses fewer weeks"


def test_it_says_what_it_would_hold_now(home: Path) -> None:  # noqa: F811
    app = typer.Typer()
    app.command()(paper_agent.main)
    said = CliRunner().invoke(app, ["--home", str(home)])
    # 1 - 0.6901, the posture of `test_signals`; ETH's volatility is unknown.
    assert said.output.splitlines() == [
        "BTC: keep 31%, by 2025-10-10, known at 2025-10-11 00:05 UTC",
        "ETH: unknown volatility: leave it, by 2025-10-09, known at 2025-10-10 00:05 UTC",
    ]
