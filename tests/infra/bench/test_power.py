"""The scorecard finds what crowding adds in a market where it causes cascades, and not in one where it does not."""

import pandas as pd
import pytest

from infra.bench.power import power_table, score_market


@pytest.mark.slow
@pytest.mark.parametrize(("strength", "found"), [(1.0, True), (0.0, False)])
def test_the_scorecard_finds_an_effect_only_where_there_is_one(strength: float, found: bool) -> None:
    """One market each; the curve of 200 seeds is `python -m infra.bench.power`."""
    row = score_market(7, strength)
    [power] = power_table(pd.DataFrame([row])).to_dict("records")
    assert (power["interval_above_zero"], power["interval_contains_zero"]) == (found, not found)
    assert power["auroc"] > 0.7 or not found
