"""The suggested posture: its rule and its score by hand."""

import numpy as np
import pandas as pd
import pytest

from assets.regimes import posture


def test_the_rule_by_hand() -> None:
    """50 % a year is 6.9 % a week; 2.33 of it, 16 %, takes half of the margin at 3.1 times, and 10 % of 62 % of a holding."""
    said = posture.say(0.5, None)
    assert "leverage at most 3.1" in said and "(16%)" in said and "38% of a holding hedged" in said and "No advice." in said
    assert "not known" in posture.say(None, None) and "not known" in posture.say(np.nan, None)
    assert "0% of a holding hedged" in posture.say(0.2, None), "a calm week needs no hedge"


def test_the_score_by_hand() -> None:
    """Twenty days, a low of 80 on the 15th: seven of the thirteen weeks that are over have it, and a move of 16 % was meant."""
    rows = pd.DataFrame({"day": pd.date_range("2025-01-01", periods=20), "close": 100.0, "low": 99.0, "realised_vol_7d": 0.5})
    rows.loc[14, "low"] = 80.0
    scored = posture.score(rows)
    assert scored is not None and scored.weeks == 13
    assert scored.cap == scored.fixed == pytest.approx(6 / 13), "six of the thirteen that begin on days 8 to 13"
    assert scored.hedged == pytest.approx(6 / 13), "20 % of 62 % are more than 10 %"
    assert "13 overlapping weeks" in posture.say(0.5, scored)


def test_a_cap_that_falls_with_volatility_spares_the_wild_week() -> None:
    """Volatility of 100 % halves the cap before the fall; a fixed leverage between the two is broken by it."""
    rows = pd.DataFrame({"day": pd.date_range("2025-01-01", periods=60), "close": 100.0, "low": 99.0, "realised_vol_7d": 0.4})
    rows.loc[30:45, "realised_vol_7d"], rows.loc[44, "low"] = 1.0, 75.0
    scored = posture.score(rows)
    assert scored is not None and scored.cap == 0 < scored.fixed


def test_without_a_week_there_is_no_score() -> None:
    rows = pd.DataFrame({"day": pd.date_range("2025-01-01", periods=5), "close": 100.0, "low": 99.0, "realised_vol_7d": 0.5})
    assert posture.score(rows) is None
