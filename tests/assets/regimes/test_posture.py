"""The suggested posture: rule and score worked by hand."""

import numpy as np
import pandas as pd
import pytest

from assets.regimes import posture


def test_the_rule_by_hand() -> None:
    """50 % a year is 6.9 % a week. A move of 2.33 times that, 16 %, takes half of the margin at a leverage of 3.1."""
    text = posture.describe(0.5, None)
    assert "leverage of at most 3.1" in text and "(16%)" in text and "38% of a holding hedged" in text and "No advice." in text
    assert "is unknown" in posture.describe(None, None) and "is unknown" in posture.describe(np.nan, None)
    assert "0% of a holding hedged" in posture.describe(0.2, None), "a calm week needs no hedge"


def test_the_score_by_hand() -> None:
    """Of twenty days the 15th has a low of 80: six of the thirteen weeks that are over fall more than the 16 % allowed for."""
    rows = pd.DataFrame({"day": pd.date_range("2025-01-01", periods=20), "close": 100.0, "low": 99.0, "realised_vol_7d": 0.5})
    rows.loc[14, "low"] = 80.0
    scored = posture.score(rows)
    assert scored is not None and scored.weeks == 13
    assert scored.capped == scored.fixed_leverage == pytest.approx(6 / 13), "the weeks after days 8 to 13"
    assert scored.hedged == pytest.approx(6 / 13), "20 % of the unhedged 62 % is more than 10 %"
    assert "13 overlapping weeks" in posture.describe(0.5, scored)


def test_the_cap_holds_in_a_volatile_week_that_breaks_a_fixed_leverage() -> None:
    """A volatility of 100 % halves the cap before the fall; the mean leverage is too high for it."""
    rows = pd.DataFrame({"day": pd.date_range("2025-01-01", periods=60), "close": 100.0, "low": 99.0, "realised_vol_7d": 0.4})
    rows.loc[30:45, "realised_vol_7d"], rows.loc[44, "low"] = 1.0, 75.0
    scored = posture.score(rows)
    assert scored is not None and scored.capped == 0 < scored.fixed_leverage


def test_there_is_no_score_before_a_week_is_over() -> None:
    rows = pd.DataFrame({"day": pd.date_range("2025-01-01", periods=5), "close": 100.0, "low": 99.0, "realised_vol_7d": 0.5})
    assert posture.score(rows) is None
