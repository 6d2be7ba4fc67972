"""The suggested posture: rule and score worked by hand."""

import numpy as np
import pandas as pd
import pytest

from assets.regimes import posture


def days(number: int, volatility: float = 0.5) -> pd.DataFrame:
    dates = pd.date_range("2025-01-01", periods=number)
    return pd.DataFrame({"day": dates, "asset": "BTC", "close": 100.0, "low": 99.0, "realised_vol_7d": volatility})


def test_the_rule_by_hand() -> None:
    """50 % a year is 6.9 % a week. A move of 2.33 times that, 16 %, takes half of the margin at a leverage of 3.1."""
    rows = days(4).assign(realised_vol_7d=[0.5, np.nan, 0.0, 0.2])
    table = posture.build(rows)
    text, unknown, still, calm = (posture.describe(row) for row in table.to_dict("records"))
    assert "leverage of at most 3.1" in text and "(16%)" in text and "38% of a holding hedged" in text and "No advice." in text
    assert "is unknown" in unknown and "is unknown" in still and "is unknown" in posture.describe({})
    assert "0% of a holding hedged" in calm, "a calm week needs no hedge"


def test_the_score_by_hand() -> None:
    """Of twenty days the 15th has a low of 80: six of the thirteen weeks that are over fall more than the 16 % allowed for."""
    rows = days(20)
    rows.loc[14, "low"] = 80.0
    last = posture.build(rows).iloc[-1]
    assert last["weeks"] == 13
    assert last["margin_breaches"] == last["margin_breaches_fixed"] == pytest.approx(6 / 13), "the weeks after days 8 to 13"
    assert last["holding_breaches"] == pytest.approx(6 / 13), "20 % of the unhedged 62 % is more than 10 %"
    assert "13 overlapping weeks" in posture.describe(last)


def test_the_cap_holds_in_a_volatile_week_that_breaks_a_fixed_leverage() -> None:
    """A volatility of 100 % halves the cap before the fall; the mean leverage is too high for it."""
    rows = days(60, 0.4)
    rows.loc[30:45, "realised_vol_7d"], rows.loc[44, "low"] = 1.0, 75.0
    last = posture.build(rows).iloc[-1]
    assert last["margin_breaches"] == 0 < last["margin_breaches_fixed"]


def test_there_is_no_score_before_a_week_is_over() -> None:
    table = posture.build(days(9))
    assert table["weeks"].tolist() == [0] * 7 + [1, 2] and table["margin_breaches"].notna().tolist() == [False] * 7 + [True] * 2


def test_no_row_changes_by_later_days_and_each_has_the_score_of_its_day() -> None:
    """Each row as computed from the days until then: means over the weeks that were over, by a plain loop."""
    rng = np.random.default_rng(1)
    rows = days(50).assign(realised_vol_7d=rng.uniform(0.2, 1.5, 50), low=100 - rng.uniform(0, 25, 50))
    rows = rows.drop(index=[20])
    rows.loc[30, "low"] = np.nan
    table = posture.build(rows)
    for end in (8, 29, 40, 49):
        pd.testing.assert_frame_equal(posture.build(rows[:end]), table[:end])
    since = rows["day"].iloc[25]
    pd.testing.assert_frame_equal(posture.build(rows, since.date()), table[table["day"] >= since].reset_index(drop=True))
    known = rows.set_index("day")
    falls = []
    for day in known.index:
        week = known["low"].reindex(pd.date_range(day, periods=8)[1:])
        if week.notna().all():
            move = 2.33 * known["realised_vol_7d"][day] * (7 / 365) ** 0.5
            falls.append((1 - week.min() / 100, 0.5 / move, min(1, 0.1 / move)))
    fall, leverage, unhedged = map(np.array, zip(*falls, strict=True))
    last = table.iloc[-1]
    assert last["weeks"] == len(falls) == 28
    assert last["margin_breaches"] == pytest.approx(np.mean(fall * leverage > 0.5))
    assert last["margin_breaches_fixed"] == pytest.approx(np.mean(fall * leverage.mean() > 0.5))
    assert last["holding_breaches"] == pytest.approx(np.mean(fall * unhedged > 0.1))
    assert last["holding_breaches_fixed"] == pytest.approx(np.mean(fall * unhedged.mean() > 0.1))
