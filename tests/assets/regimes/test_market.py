"""The market as one asset: by hand, and that nothing of a day decides how much it counts."""

import numpy as np
import pandas as pd
import pytest

from assets import regimes
from assets.regimes import MARKET, schemas, with_market

COUNTS = {"venues_total": 2, "price_venues": 2, "funding_venues": 2, "oi_venues": 2, "liq_venues": 0}
SHARES = {f"coverage_{name}": 1.0 for name in ("price", "funding", "oi", "liquidations")}


def rows(asset: str, close: list[float], volume: list[float], oi: list[float], **more: object) -> pd.DataFrame:
    made = pd.DataFrame({"day": pd.date_range("2025-10-01", periods=len(close)), "asset": asset, "close": close})
    before = made["close"].shift()
    made["high"], made["low"] = made["close"] * 1.02, made["close"] * 0.95
    made["low_vs_prev_close"], made["return_1d"] = made["low"] / before - 1, made["close"] / before - 1
    made["volume_usd"], made["oi_usd"], made["oi_change_1d"] = volume, oi, pd.Series(oi).pct_change()
    made["drawdown_7d"], made["liq_over_oi"], made["oi_to_volume"] = 0.0, np.nan, 0.5
    made["liq_long_usd"], made["liq_short_usd"], made["basis"] = np.nan, np.nan, 0.0
    made["realised_vol_1d"], made["realised_vol_7d"], made["funding_8h"] = 0.5, 0.5, 0.0001
    return made.assign(funding_weighting="oi", origin="recorded", oi_venue_names=None, **COUNTS, **SHARES, **more)


@pytest.fixture
def daily() -> pd.DataFrame:
    btc = rows("BTC", [100.0, 100.0, 90.0], [300.0, 300.0, 9e9], [100.0, 200.0, 50.0])
    eth = rows("ETH", [10.0, 10.0, 8.0], [100.0, 100.0, 1.0], [100.0, 200.0, 400.0]).assign(funding_8h=0.0003)
    return pd.concat([btc, eth], ignore_index=True)


def test_by_hand(daily: pd.DataFrame) -> None:
    """BTC was traded three times as much before: -10 % and -20 % weigh 3 to 1, whatever was traded on the day itself."""
    made = with_market(daily)
    last = made[made["asset"] == MARKET].iloc[-1]
    assert last["return_1d"] == pytest.approx(-0.125) and last["close"] == pytest.approx(87.5)
    assert last["low_vs_prev_close"] == pytest.approx(0.75 * (0.855 - 1) + 0.25 * (0.76 - 1))
    assert last["oi_usd"] == 450 and last["oi_change_1d"] == pytest.approx((-0.75 + 1.0) / 2), "by the open interest before"
    assert last["funding_8h"] == pytest.approx(0.0002) and last["venues_total"] == 2
    assert np.isnan(last["liq_long_usd"]), "what is unknown of all is unknown"
    pd.testing.assert_frame_equal(made.iloc[: len(daily)], daily)


def test_it_goes_the_way_of_any_asset(daily: pd.DataFrame) -> None:
    made = with_market(daily)
    schemas.DAILY.validate(made)
    labels = regimes.label(made)[1]
    assert labels.loc[labels["asset"] == MARKET, "label"].tolist() == ["neutral", "neutral", "crash"]


def test_no_later_day_changes_it(daily: pd.DataFrame) -> None:
    whole, cut = (with_market(rows) for rows in (daily, daily[daily["day"] < "2025-10-03"]))
    whole = whole[(whole["asset"] == MARKET) & (whole["day"] < "2025-10-03")].reset_index(drop=True)
    pd.testing.assert_frame_equal(whole, cut[cut["asset"] == MARKET].reset_index(drop=True))


def test_one_asset_is_no_market(daily: pd.DataFrame) -> None:
    btc = daily[daily["asset"] == "BTC"]
    pd.testing.assert_frame_equal(with_market(btc), btc)
