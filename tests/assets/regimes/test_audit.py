"""The audit by change points: a known change is found, and noise has none."""

import numpy as np
import pandas as pd

from assets.regimes import audit


def rows(volatility: np.ndarray, label: list[str]) -> pd.DataFrame:
    table = pd.DataFrame({"day": pd.date_range("2025-01-01", periods=len(label)), "asset": "BTC", "label": label})
    return table.assign(realised_vol_7d=volatility, funding_8h=np.nan, oi_to_volume=np.nan)


def test_a_change_of_level_is_found_on_its_day() -> None:
    """30 % for a hundred days, then 90 %: one change; the label changes two days later."""
    noise = np.exp(np.random.default_rng(1).normal(0, 0.05, 200))
    label = ["quiet"] * 102 + ["stress"] * 98
    [change] = audit.changes(rows(np.where(np.arange(200) < 100, 0.3, 0.9) * noise, label)).to_dict("records")
    assert change["day"] == pd.Timestamp("2025-04-11") and change["series"] == "realised_vol_7d"
    assert (round(change["level_before"], 1), round(change["level_after"], 1)) == (0.3, 0.9)
    assert change["label"] == "quiet" and change["days_to_label_change"] == 2 and change["near_share"] == 7 / 200


def test_noise_has_no_change_of_level() -> None:
    noise = 0.5 * np.exp(np.random.default_rng(2).normal(0, 0.2, 400))
    assert audit.changes(rows(noise, ["neutral"] * 400)).empty


def test_an_unknown_feature_has_no_change_of_level() -> None:
    assert audit.changes(rows(np.full(50, np.nan), ["neutral"] * 50)).empty
