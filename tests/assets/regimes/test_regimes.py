"""The regime rules: days worked by hand, missing inputs, data cut at random days, arbitrary data."""

from collections.abc import Callable

import duckdb
import numpy as np
import pandas as pd
import pandera.errors
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets import regimes
from assets.regimes import rules
from assets.regimes.tables import TABLES
from assets.regimes.thresholds import INPUTS, MIN_HISTORY_DAYS, REGIMES, RULE_FEATURES, THRESHOLDS, Input

CALM = {
    "close": 100.0, "high": 101.0, "low": 99.0, "realised_vol_1d": 0.45, "realised_vol_7d": 0.50, "drawdown_7d": -0.01,
    "low_vs_prev_close": -0.01, "oi_change_1d": 0.0, "liq_complete_over_oi": 0.001, "liq_complete_oi_share": 1.0,
    "liq_at_least_over_oi": 0.001, "funding_8h": 0.00005, "oi_to_volume": 0.5,
    "funding_weighting": "oi", "venues_total": 4, "price_venues": 4, "funding_venues": 4, "oi_venues": 4, "liq_venues": 4,
    "coverage_price": 1.0, "coverage_funding": 1.0, "coverage_oi": 1.0, "coverage_liquidations": 1.0,
}  # fmt: skip
"""A day on which no rule holds, by the fixed limits: volatility between 0.30 and 0.60, everything else small."""

NO_LIQUIDATIONS = {"liq_complete_over_oi": np.nan, "liq_complete_oi_share": 0.0, "liq_at_least_over_oi": np.nan, "liq_venues": 0,
                   "coverage_liquidations": 0.0}  # fmt: skip
NULLABLE = ["realised_vol_1d", "realised_vol_7d", "drawdown_7d", "low_vs_prev_close", "liq_at_least_over_oi",
            "oi_change_1d", "funding_8h", "oi_to_volume"]  # fmt: skip


def calm(days: int, asset: str = "BTC") -> pd.DataFrame:
    return pd.DataFrame([CALM] * days).assign(day=pd.date_range("2025-01-01", periods=days), asset=asset)


def last_day(days: int = 10, **changed: object) -> pd.Series:
    """The label of the last of `days` calm days, with the columns `changed` on that day."""
    daily = calm(days)
    for column, value in changed.items():
        daily.loc[days - 1, column] = value
    return regimes.label(daily)[1].iloc[-1]


def market(days: int, seed: int, asset: str = "BTC") -> pd.DataFrame:
    """A random, volatile market with one value in twelve missing and some days absent, on which every rule holds some day."""
    rng = np.random.default_rng(seed)
    state = np.repeat(rng.choice([0.3, 0.6, 1.5], days // 10 + 1), 10)[:days]
    daily = calm(days, asset).assign(
        close=100 * np.exp(np.cumsum(rng.normal(0, 0.03, days) * state)),
        realised_vol_1d=state * rng.uniform(0.6, 1.4, days),
        realised_vol_7d=state * rng.uniform(0.8, 1.2, days),
        drawdown_7d=-np.abs(rng.normal(0, 0.08, days) * state).clip(0, 0.9),
        low_vs_prev_close=-np.abs(rng.normal(0, 0.05, days) * state).clip(0, 0.9),
        liq_complete_over_oi=(forced := np.abs(rng.normal(0, 0.04, days) * state)),
        liq_complete_oi_share=(known := rng.uniform(0, 1, days)),
        liq_at_least_over_oi=forced * (known + 1) / 2,
        oi_change_1d=(rng.normal(-0.01, 0.06, days) * state).clip(-0.9, 1),
        funding_8h=rng.normal(0.00005, 0.0001, days),
        oi_to_volume=rng.uniform(0.2, 1.0, days),
        liq_venues=rng.integers(0, 5, days),
    )
    daily = daily.assign(high=daily.close * 1.03, low=daily.close * 0.97)
    daily[NULLABLE] = daily[NULLABLE].mask(rng.random((days, len(NULLABLE))) < 1 / 12)
    return daily[rng.random(days) > 0.02].reset_index(drop=True)


@pytest.mark.parametrize(
    ("label", "changed", "reason"),
    [
        ("neutral", {}, "no rule met: 7-day volatility 50 %"),
        ("cascade", {"low_vs_prev_close": -0.12, "liq_complete_over_oi": 0.09},
         "yesterday's close -12.0 % ≤ limit -8.0 % (fixed, under 20 days of history); liquidations over open interest 9 % ≥"),
        ("cascade", {"high": 115.0, "liq_complete_over_oi": 0.09}, "high vs yesterday's close +15.0 % ≥ limit +8.0 %"),
        ("cascade", {"low_vs_prev_close": -0.12, "oi_change_1d": -0.3, **NO_LIQUIDATIONS},
         "1-day change of open interest -30.0 % ≤ limit -15.0 %"),
        # A lower bound that is high shows forced closing; one that is low does not refute the fall of open interest.
        ("cascade", {"low_vs_prev_close": -0.12, "liq_complete_oi_share": 0.1, "liq_at_least_over_oi": 0.09},
         "liquidations over open interest, at least 9 % ≥ limit 8 % (fixed)"),
        ("cascade", {"low_vs_prev_close": -0.12, "oi_change_1d": -0.3, "liq_complete_oi_share": 0.49, "liq_venues": 1},
         "liquidations from 1 of 4 venues"),
        # Complete lists of venues with a small part of the open interest do not stand for the market.
        ("crash", {"low_vs_prev_close": -0.12, "liq_complete_oi_share": 0.1, "liq_complete_over_oi": 0.9},
         "-12.0 % ≤ limit -10.0 % (fixed)"),
        # Liquidations that are known refute it.
        ("crash", {"low_vs_prev_close": -0.12, "oi_change_1d": -0.3}, "low vs yesterday's close -12.0 % ≤ limit -10.0 % (fixed)"),
        ("crash", {"low_vs_prev_close": -0.12, "oi_change_1d": -0.1, **NO_LIQUIDATIONS}, "liquidations missing"),
        ("stress", {"low_vs_prev_close": -0.09}, "low vs yesterday's close -9.0 % ≤ limit -8.0 %"),
        ("stress", {"realised_vol_7d": 1.12}, "7-day volatility 112 % ≥ limit 100 %"),
        ("stress", {"drawdown_7d": -0.25}, "close vs 7-day high -25.0 % ≤ limit -20.0 %"),
        ("neutral", {"low_vs_prev_close": -0.02, "oi_change_1d": -0.3, **NO_LIQUIDATIONS}, "change of open interest -30.0 %"),
        ("crowded_long", {"funding_8h": 0.0003, "oi_to_volume": 0.9}, "funding per 8 h 0.0300 % ≥ limit 0.0200 %"),
        ("neutral", {"funding_8h": 0.0003, "oi_to_volume": 0.9, "realised_vol_7d": 0.7}, "no rule met"),
        ("neutral", {"funding_8h": 0.0003}, "no rule met"),
        ("crowded_short", {"funding_8h": -0.0002, "oi_to_volume": 0.9}, "funding per 8 h -0.0200 % ≤ limit -0.0100 %"),
        ("quiet", {"realised_vol_7d": 0.2}, "7-day volatility 20 % ≤ limit 30 %"),
        ("neutral", {"realised_vol_7d": 0.2, "funding_8h": 0.00015}, "no rule met"),
    ],
)  # fmt: skip
def test_each_label_by_hand(label: str, changed: dict[str, object], reason: str) -> None:
    row = last_day(**changed)
    assert (row.label, row.method) == (label, regimes.METHOD)
    assert reason in row.reasons


@pytest.mark.parametrize(
    ("evidence", "changed"),
    [
        ("liquidations", {"liq_complete_over_oi": 0.08}),
        ("liquidations", {"liq_complete_oi_share": 0.2, "liq_at_least_over_oi": 0.08}),
        ("liquidations", {"liq_complete_oi_share": 0.2, "liq_at_least_over_oi": 0.08, "oi_change_1d": -0.3}),
        ("open_interest", {"liq_complete_oi_share": 0.2, "liq_at_least_over_oi": 0.079, "oi_change_1d": -0.3}),
        ("open_interest", {**NO_LIQUIDATIONS, "oi_change_1d": -0.3}),
    ],
)
def test_a_cascade_says_what_shows_it(evidence: str, changed: dict[str, object]) -> None:
    row = last_day(low_vs_prev_close=-0.12, **changed)
    assert (row.label, row.cascade_evidence) == ("cascade", evidence)


def test_another_label_has_no_evidence_of_a_cascade() -> None:
    assert pd.isna(last_day(liq_complete_over_oi=0.5).cascade_evidence)  # forced closing without a violent move
    assert pd.isna(last_day(low_vs_prev_close=-0.12).cascade_evidence)


def test_deleveraging_needs_a_fall_over_several_days() -> None:
    daily = calm(12)
    daily.loc[7:, "oi_change_1d"] = [-0.05, -0.04, 0.01, -0.05, -0.05]
    features, labels = regimes.label(daily)
    # 0.95 x 0.96 x 1.01 x 0.95 x 0.95 - 1
    assert features.oi_change_5d.iloc[-1] == pytest.approx(-0.1686892, abs=1e-9)
    assert features.oi_falling_days_5d.iloc[-1] == 4
    assert labels.label.tolist() == ["neutral"] * 11 + ["deleveraging"]
    daily.loc[7:, "oi_change_1d"] = [-0.25, 0.01, 0.01, 0.01, 0.01]
    assert "deleveraging" not in set(regimes.label(daily)[1].label)


def test_limits_become_trailing_quantiles_after_twenty_days() -> None:
    daily = calm(60).assign(realised_vol_7d=np.linspace(0.61, 1.20, 60))
    features, labels = regimes.label(daily)
    assert (features.vol_7d_extreme_limit[:MIN_HISTORY_DAYS] == THRESHOLDS["vol_7d_extreme"].fixed).all()
    for row in (20, 40, 59):
        before = daily.realised_vol_7d[:row]
        assert features.vol_7d_extreme_limit[row] == pytest.approx(np.quantile(before, 0.95))
    assert labels.label[30] == "stress"
    assert "(95 % quantile of the trailing 180 days)" in labels.reasons[30]


def test_a_bound_keeps_a_calm_day_after_calmer_days_from_being_stress() -> None:
    daily = calm(60).assign(realised_vol_7d=0.10)
    daily.loc[59, "realised_vol_7d"] = 0.40
    assert regimes.label(daily)[1].label.iloc[-1] != "stress"


def test_yesterday_is_the_day_before_not_the_row_before() -> None:
    daily = calm(10).drop(index=8)
    daily.loc[9, "high"] = 200.0
    features, _ = regimes.label(daily)
    assert np.isnan(features.high_vs_prev_close.iloc[-1])
    assert np.isnan(features.oi_change_5d.iloc[-1])


def test_complete_inputs_and_full_history_give_full_confidence() -> None:
    assert last_day(200).confidence == 1.0
    # 10 days: nine lie behind the last, 0.5 + 0.5 x 9 / 180
    assert last_day(10).confidence == pytest.approx(0.525)
    # one of four venues for open interest, no liquidations: 0.40 + 0.25 x 0.25 + 0.20
    partial = last_day(200, oi_venues=1, coverage_oi=0.25, **NO_LIQUIDATIONS)
    assert partial.confidence == pytest.approx(0.6625)
    assert "open interest from 1 of 4 venues; liquidations missing" in partial.reasons


@pytest.mark.parametrize("source", INPUTS, ids=lambda i: i.name)
def test_a_missing_input_lowers_confidence_and_is_named(source: Input) -> None:
    given = [f for f in source.features if f in CALM]
    missing = last_day(200, **dict.fromkeys(given, np.nan), **{source.venues_column: 0, source.coverage_column: 0.0})
    assert missing.confidence == pytest.approx(1 - source.weight)
    assert f"{source.name} missing" in missing.reasons
    for feature in given:
        one = last_day(200, **{feature: np.nan})
        assert one.confidence < 1
        assert RULE_FEATURES[feature].text in one.reasons.split("not known: ")[1]


def test_no_label_or_feature_uses_a_later_day() -> None:
    assert_later_days_change_nothing(market(420, seed=7))


def test_no_label_of_the_recorded_year_uses_a_later_day(recorded_daily: pd.DataFrame) -> None:
    assert_later_days_change_nothing(recorded_daily[recorded_daily.asset == "SOL"].reset_index(drop=True))


def assert_later_days_change_nothing(daily: pd.DataFrame) -> None:
    """Cut the data on 200 random days: no row before a cut may differ.

    All cuts are assets of one call (another test shows that assets are independent), and five are also calls of their own.
    """
    whole = [f.drop(columns="asset") for f in regimes.label(daily)]
    cuts = np.random.default_rng(1).choice(len(daily) - 1, 200, replace=False) + 1
    side_by_side = regimes.label(pd.concat([daily[:cut].assign(asset=f"cut{cut}") for cut in cuts]))
    for got, expected in zip(side_by_side, whole, strict=True):
        copies = pd.concat([expected[:cut].assign(asset=f"cut{cut}") for cut in cuts])
        copies = copies.sort_values(["day", "asset"], ignore_index=True)
        pd.testing.assert_frame_equal(got, copies, check_exact=True, check_like=True)
    for cut in cuts[:5]:
        for got, expected in zip(regimes.label(daily[:cut]), whole, strict=True):
            pd.testing.assert_frame_equal(got.drop(columns="asset"), expected[:cut], check_exact=True)


def test_every_label_occurs_in_the_random_market() -> None:
    assert set(regimes.label(market(420, seed=7))[1].label) == set(REGIMES)


def test_labels_depend_neither_on_the_order_of_rows_nor_on_other_assets() -> None:
    daily = pd.concat([market(120, seed=n, asset=a) for n, a in enumerate(["BTC", "ETH", "SOL"])], ignore_index=True)
    features, labels = regimes.label(daily)
    for shuffled, expected in zip(regimes.label(daily.sample(frac=1, random_state=3)), (features, labels), strict=True):
        pd.testing.assert_frame_equal(shuffled, expected, check_exact=True)
    alone = regimes.label(daily[daily.asset == "ETH"])[1]
    pd.testing.assert_frame_equal(alone, labels[labels.asset == "ETH"].reset_index(drop=True), check_exact=True)


def test_the_input_is_not_changed() -> None:
    daily = market(50, seed=1)
    before = daily.copy(deep=True)
    regimes.label(daily)
    pd.testing.assert_frame_equal(daily, before)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: pd.concat([d, d[:1]]),
        lambda d: d.assign(coverage_oi=1.2),
        lambda d: d.assign(drawdown_7d=0.1),
        lambda d: d.assign(funding_8h=np.inf),
        lambda d: d.assign(day=d.day + pd.Timedelta(hours=3)),
        lambda d: d.drop(columns="liq_venues"),
    ],
)
def test_rows_that_violate_the_schema_are_refused(spoil: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    with pytest.raises(pandera.errors.SchemaErrors):
        regimes.label(spoil(calm(5)))


def test_rows_from_duckdb_are_labelled() -> None:
    daily = calm(30)  # noqa: F841  (DuckDB reads it by name)
    rows = duckdb.sql("select * replace (day::date as day, null::double as oi_to_volume) from daily").df()
    assert len(regimes.label(rows)[1]) == 30


missing_or = st.none() | st.floats(0, 3)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "realised_vol_7d": missing_or,
                "realised_vol_1d": missing_or,
                "low_vs_prev_close": st.none() | st.floats(-1, 0.2),
                "drawdown_7d": st.none() | st.floats(-1, 0),
                "oi_change_1d": st.none() | st.floats(-1, 1),
                "liq_complete_over_oi": missing_or,
                "liq_complete_oi_share": st.none() | st.floats(0, 1),
                "liq_at_least_over_oi": missing_or,
                "funding_8h": st.none() | st.floats(-0.01, 0.01),
                "oi_to_volume": missing_or,
                "liq_venues": st.integers(0, 4),
                "coverage_oi": st.none() | st.floats(0, 1),
            }
        ),
        min_size=1,
        max_size=40,
    ),
    st.sampled_from(NULLABLE),
)
def test_any_day_gets_one_label_reasons_and_a_confidence_that_falls_with_missing_data(days: list[dict], lost: str) -> None:
    daily = calm(len(days)).assign(**pd.DataFrame(days).astype(float).to_dict("series")).astype({"liq_venues": int})
    fewer = daily.assign(asset="FEWER", **{lost: np.nan})
    features, both = regimes.label(pd.concat([daily, fewer]))
    labels, poorer = (both[both.asset == asset].reset_index() for asset in ("BTC", "FEWER"))
    assert len(labels) == len(poorer) == len(features) / 2 == len(days)
    assert labels.label.isin(list(REGIMES)).all() and (labels.reasons.str.len() > 0).all()
    assert not both.reasons.str.contains("nan|None").any()
    assert labels.confidence.between(0, 1).all()
    assert (poorer.confidence <= labels.confidence).all(), "missing data must not raise the confidence"


def test_regimes_thresholds_and_features_name_each_other() -> None:
    used = {name for regime in REGIMES.values() for one_of in regime.rule for name in one_of}
    assert used == set(THRESHOLDS)
    assert {t.feature for t in THRESHOLDS.values()} <= set(RULE_FEATURES)
    assert sum(i.weight for i in INPUTS) == pytest.approx(1)


@pytest.mark.parametrize("table", TABLES)
def test_every_published_column_has_a_description(table: str) -> None:
    schema = TABLES[table]
    assert schema.description
    assert [name for name, column in schema.columns.items() if not column.description] == []


def test_10_october_2025_in_the_recording(recorded_daily: pd.DataFrame) -> None:
    _, labels = regimes.label(recorded_daily)
    crash = labels[(labels.day == "2025-10-10") & labels.asset.isin(["BTC", "ETH", "SOL"])]
    assert len(crash) == 3
    assert crash.label.isin(["cascade", "stress"]).all()
    assert crash.reasons.str.contains("open interest from 1 of 4 venues (hyperliquid)", regex=False).all()
    assert crash.reasons.str.contains("liquidations missing").all()
    assert (crash.confidence < 0.5).all()


def test_alarms_are_rare_in_the_recording(recorded_daily: pd.DataFrame) -> None:
    labels = regimes.label(recorded_daily)[1]
    share = labels[labels.asset.isin(["BTC", "ETH", "SOL"])].groupby("asset").label.value_counts(normalize=True).unstack()
    assert (share["cascade"] < 0.04).all()
    assert (share[["cascade", "stress"]].sum(axis=1) < 0.20).all()
    assert labels.method.unique().item() == rules.METHOD
