"""The market as one asset: rows worked by hand, weights from earlier days, an aggregation for every column."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from assets import regimes
from assets.regimes import MARKET, schemas, with_market
from assets.regimes.market import AGGREGATIONS

COUNTS = {"venues_total": 2, "price_venues": 2, "funding_venues": 2, "oi_venues": 2, "liq_venues": 0}
SHARES = {f"coverage_{name}": 1.0 for name in ("price", "funding", "oi", "liquidations")}


def rows(asset: str, close: list[float], volume: list[float], oi: list[float], **more: object) -> pd.DataFrame:
    table = pd.DataFrame({"day": pd.date_range("2025-10-01", periods=len(close)), "asset": asset, "close": close})
    before = table["close"].shift()
    table["high"], table["low"] = table["close"] * 1.02, table["close"] * 0.95
    table["low_vs_prev_close"], table["return_1d"] = table["low"] / before - 1, table["close"] / before - 1
    table["volume_usd"], table["oi_usd"], table["oi_change_1d"] = volume, oi, pd.Series(oi).pct_change()
    table["drawdown_7d"], table["liq_over_oi"], table["oi_to_volume"] = 0.0, np.nan, 0.5
    table["liq_long_usd"], table["liq_short_usd"], table["basis"] = np.nan, np.nan, 0.0
    table["liq_complete_over_oi"], table["liq_complete_oi_share"], table["liq_at_least_over_oi"] = np.nan, 0.0, np.nan
    table["realised_vol_1d"], table["realised_vol_7d"], table["funding_8h"] = 0.5, 0.5, 0.0001
    return table.assign(funding_weighting="oi", origin="recorded", oi_venue_names=None, **COUNTS, **SHARES, **more)


@pytest.fixture
def daily() -> pd.DataFrame:
    btc = rows("BTC", [100.0, 100.0, 90.0], [300.0, 300.0, 9e9], [100.0, 200.0, 50.0])
    eth = rows("ETH", [10.0, 10.0, 8.0], [100.0, 100.0, 1.0], [100.0, 200.0, 400.0]).assign(funding_8h=0.0003)
    return pd.concat([btc, eth], ignore_index=True)


def test_averages_by_hand(daily: pd.DataFrame) -> None:
    """BTC had three times the volume before: -10 % and -20 % weigh 3 to 1, whatever the volume of the day itself."""
    table = with_market(daily)
    last = table[table["asset"] == MARKET].iloc[-1]
    assert last["return_1d"] == pytest.approx(-0.125) and last["close"] == pytest.approx(87.5)
    assert last["low_vs_prev_close"] == pytest.approx(0.75 * (0.855 - 1) + 0.25 * (0.76 - 1))
    assert last["oi_usd"] == 450 and last["oi_change_1d"] == pytest.approx((-0.75 + 1.0) / 2), (
        "weights are the open interest of the day before"
    )
    assert last["funding_8h"] == pytest.approx(0.0002) and last["venues_total"] == 2
    assert np.isnan(last["liq_long_usd"]), "unknown for all assets"
    pd.testing.assert_frame_equal(table.iloc[: len(daily)], daily)


def test_an_asset_that_begins_is_no_growth_of_the_chained_level(daily: pd.DataFrame) -> None:
    """BTC: 100, 110, nothing, 100, 120. ETH begins with 500 on the second day: 100, then + 10 %; new from the fourth day on."""
    btc = rows("BTC", [1.0] * 5, [1.0] * 5, [1.0] * 5).assign(oi_usd_chained=[100.0, 110.0, np.nan, 100.0, 120.0])
    eth = rows("ETH", [1.0] * 5, [1.0] * 5, [1.0] * 5).assign(oi_usd_chained=[np.nan, 500.0, np.nan, 400.0, 480.0])
    table = with_market(pd.concat([btc, eth], ignore_index=True))
    market = table.loc[table["asset"] == MARKET, "oi_usd_chained"].to_numpy()
    np.testing.assert_allclose(market, [100, 110, np.nan, 500, 600])


def test_the_market_is_labelled_like_an_asset(daily: pd.DataFrame) -> None:
    table = with_market(daily)
    schemas.DAILY.validate(table)
    labels = regimes.label(table)[1]
    assert labels.loc[labels["asset"] == MARKET, "label"].tolist() == ["neutral", "neutral", "crash"]


def test_a_later_day_does_not_change_the_market(daily: pd.DataFrame) -> None:
    whole, cut = (with_market(rows) for rows in (daily, daily[daily["day"] < "2025-10-03"]))
    whole = whole[(whole["asset"] == MARKET) & (whole["day"] < "2025-10-03")].reset_index(drop=True)
    pd.testing.assert_frame_equal(whole, cut[cut["asset"] == MARKET].reset_index(drop=True))


def test_one_asset_has_no_market(daily: pd.DataFrame) -> None:
    btc = daily[daily["asset"] == "BTC"]
    pd.testing.assert_frame_equal(with_market(btc), btc)


def test_aggregations_are_of_columns_of_daily_assets() -> None:
    models = yaml.safe_load((Path(__file__).parents[3] / "dbt_project/models/_tables.yml").read_text())["models"]
    [columns] = [[column["name"] for column in model["columns"]] for model in models if model["name"] == "daily_assets"]
    assert set(AGGREGATIONS) <= set(columns)


def test_a_column_without_an_aggregation_is_null_for_the_market(daily: pd.DataFrame) -> None:
    whole = with_market(daily.assign(liq_count=1))
    assert whole[whole["asset"] == MARKET]["liq_count"].isna().all()
    assert whole[whole["asset"] != MARKET]["liq_count"].eq(1).all()
    pd.testing.assert_frame_equal(whole.drop(columns="liq_count"), with_market(daily))
