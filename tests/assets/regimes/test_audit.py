"""The audit by change points: levels that are known, and none where there is but noise."""

import numpy as np
import pandas as pd

from assets.regimes import audit


def rows(volatility: np.ndarray, label: list[str]) -> pd.DataFrame:
    made = pd.DataFrame({"day": pd.date_range("2025-01-01", periods=len(label)), "asset": "BTC", "label": label})
    return made.assign(realised_vol_7d=volatility, funding_8h=np.nan, oi_to_volume=np.nan)


def test_a_level_that_changed_is_found_on_its_day() -> None:
    """30 % for a hundred days, then 90 %: told once, and the label turned two days later."""
    noise = np.exp(np.random.default_rng(1).normal(0, 0.05, 200))
    label = ["quiet"] * 102 + ["stress"] * 98
    [found] = audit.changes(rows(np.where(np.arange(200) < 100, 0.3, 0.9) * noise, label)).to_dict("records")
    assert found["day"] == pd.Timestamp("2025-04-11") and found["series"] == "realised_vol_7d"
    assert (round(found["before"], 1), round(found["after"], 1)) == (0.3, 0.9)
    assert found["label"] == "quiet" and found["label_days"] == 2 and found["near_share"] == 7 / 200


def test_noise_has_no_levels() -> None:
    noise = 0.5 * np.exp(np.random.default_rng(2).normal(0, 0.2, 400))
    assert audit.changes(rows(noise, ["neutral"] * 400)).empty


def test_what_is_not_known_is_not_audited() -> None:
    assert audit.changes(rows(np.full(50, np.nan), ["neutral"] * 50)).empty
