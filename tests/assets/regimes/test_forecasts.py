"""Forecasts and their scores: worked by hand, against scikit-learn, and without look-ahead or false skill."""

from __future__ import annotations

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.regimes import forecasts
from assets.regimes.forecasts import events, inputs, methods, metrics, plan, score


def roc_auc_score(outcome: object, probability: object) -> float:
    """scikit-learn's; it is imported where a test calls it, as each worker imports all modules of tests (1.7 s)."""
    from sklearn import metrics as independent

    return float(independent.roc_auc_score(outcome, probability))


def market(seed: int, days: int = 420, persistence: float = 0.97) -> pd.DataFrame:
    """Daily rows of three assets whose volatility clusters (`persistence` 0: not at all) and whose crowding has no effect."""
    random = np.random.default_rng(seed)
    assets = []
    for asset in ("BTC", "ETH", "SOL"):
        shocks, level = random.normal(0, 0.25, days), np.zeros(days)
        for n in range(1, days):
            level[n] = persistence * level[n - 1] + shocks[n]
        volatility = 0.6 * np.exp(level)
        returns = random.standard_t(4, days) / np.sqrt(2) * volatility / np.sqrt(365)
        close = 100 * np.exp(np.cumsum(returns))
        rows = pd.DataFrame({"day": pd.date_range("2023-01-01", periods=days), "asset": asset, "close": close})
        rows["low"] = np.minimum(close, np.roll(close, 1)) * (1 - volatility / 40)
        rows["realised_vol_1d"] = volatility * np.exp(random.normal(0, 0.2, days))
        rows["funding_8h"], rows["oi_to_volume"] = random.normal(1e-4, 1e-4, days), np.exp(random.normal(0, 0.3, days))
        rows["oi_change_1d"] = random.normal(0, 0.05, days)
        rows["label"] = np.where(rows["oi_to_volume"] > 1.4, "crowded_long", "neutral")
        assets.append(rows)
    return pd.concat(assets, ignore_index=True).reindex(columns=list(inputs.REQUIRED_COLUMNS))


@pytest.fixture(scope="module")
def markets() -> pd.DataFrame:
    return market(1)


@pytest.fixture(scope="module")
def tables(markets: pd.DataFrame) -> forecasts.Tables:
    """Forecasts, events and scorecard of `markets`, by all methods; tests must not change them in place."""
    return forecasts.tables_from_rows(markets, synthetic=True)


# --- inputs -----------------------------------------------------------------------------------------------------------------


def series(close: list[float], low: list[float], label: list[str] | None = None) -> pd.DataFrame:
    rows = pd.DataFrame({"day": pd.date_range("2025-10-01", periods=len(close)), "asset": "BTC", "close": close, "low": low})
    return rows.assign(label=label or ["neutral"] * len(close)).reindex(columns=list(inputs.REQUIRED_COLUMNS))


def test_targets_by_hand() -> None:
    """Ten days at 100 with a low of 90 on the ninth: the seven days before it have a crash of 10 %, the last two are unknown."""
    close, low = [100.0] * 10, [99.0] * 8 + [90.0, 99.0]
    frame = inputs.build(series(close, low, ["neutral"] * 4 + ["cascade"] + ["neutral"] * 5))
    assert frame["crash10"].tolist()[:2] == [0.0, 1.0] and frame["crash10"].tolist()[2:8] == [1.0] * 6
    assert frame["crash10"].isna().tolist()[8:] == [True, True], "their following days are unknown"
    assert frame["crash15"].tolist()[:3] == [0.0, 0.0, 0.0] and frame["crash15"].isna().tolist()[3:] == [True] * 7
    assert frame["cascade"].tolist()[:4] == [1.0] * 4 and np.isnan(frame["cascade"][5])


def test_a_missing_day_stays_missing() -> None:
    rows = series([100.0] * 12, [99.0] * 12).drop(index=5)
    frame = inputs.build(rows)
    assert len(frame) == 12 and np.isnan(frame["close"][5])
    assert np.isnan(frame["crash10"][1]), "one of its seven following days is missing"


def test_a_venue_that_begins_builds_up_no_open_interest() -> None:
    """The raw sum doubles on the last day as a venue's history begins; the chained level stays where it was for 39 days."""
    rows = series([100.0] * 40, [99.0] * 40).assign(oi_usd=[1e9] * 39 + [2e9], oi_usd_chained=1e9)
    assert inputs.build(rows)["oi_build"].iloc[-1] == 0
    rows["oi_usd_chained"] = [1e9] * 39 + [2e9]
    assert inputs.build(rows)["oi_build"].iloc[-1] == pytest.approx(np.log(2) * 29 / 30, abs=1e-2)


def test_events_are_a_week_apart() -> None:
    """Lows 12 % and 20 % under the week's highest close on days 3 and 8 are one event. That of day 30 does not follow calm."""
    low = [99.0] * 60
    low[3], low[8], low[30], low[58] = 88.0, 80.0, 90.0, 85.0
    table = events.find_events(inputs.build(series([100.0] * 60, low)))
    crashes = [
        (start.day, start.month, end.day, round(fall, 2), after_calm)
        for start, end, fall, after_calm in table[table["target"] == "crash10"].iloc[:, 2:].itertuples(index=False)
    ]
    assert crashes == [(4, 10, 9, -0.2, True), (31, 10, 31, -0.1, False), (28, 11, 28, -0.15, False)]
    assert table["target"].value_counts().to_dict() == {"crash10": 3, "crash15": 2}


# --- nothing looks ahead ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", methods.METHODS)
def test_no_method_looks_ahead(method: str, markets: pd.DataFrame) -> None:
    """The forecasts up to a day between two fits are the same when the rows end there."""
    two = markets[markets["asset"] != "SOL"]
    assert methods.lookahead_violations(two, pd.Timestamp("2023-12-19"), (method,)).empty


def test_a_planted_leak_is_caught(markets: pd.DataFrame) -> None:
    """A feature that uses the next days: cutting the rows reveals it, and so does a score that is too good."""

    def leaky(rows: pd.DataFrame) -> pd.DataFrame:
        frame = inputs.build(rows)
        ahead = frame.groupby("asset")["low"].transform(lambda low: low[::-1].rolling(7, min_periods=1).min()[::-1].shift(-1))
        return frame.assign(rv7=ahead / frame["close"])

    assert not methods.lookahead_violations(markets, pd.Timestamp("2023-09-19"), ("volatility_alone",), leaky).empty
    frame = leaky(markets)
    backtest = methods.walk_forward(frame, ("climatology", "volatility_alone", "logistic"), ("crash10",))
    scorecard = score.build_scorecard(frame, backtest, events.find_events(frame), synthetic=False, pooled_only=True)
    [pooled] = scorecard[(scorecard["target"] == "crash10") & (scorecard["method"] == "logistic")].to_dict("records")
    assert pooled["auroc"] > 0.9 and pooled["verdict"] == "too good: taken for a bug until shown otherwise"


def test_a_fit_uses_no_week_that_overlaps_the_days_forecast(markets: pd.DataFrame) -> None:
    frame = inputs.build(markets)
    backtest = methods.walk_forward(frame, ("climatology",))
    gap = (backtest["day"] - backtest["fitted_on"]).dt.days
    assert gap.min() > plan.HORIZON_DAYS + plan.EMBARGO_DAYS and gap.max() < plan.REFIT_DAYS + 3 * plan.HORIZON_DAYS
    crash = backtest[backtest["target"] == "crash10"]
    [first] = crash.loc[crash["asset"] == "BTC", "probability"].head(1)
    known = frame[frame["day"] <= crash["fitted_on"].min()]
    assert first == pytest.approx(known["crash10"].mean()), "climatology is the base rate so far"


def test_a_flag_compares_with_the_past_of_its_asset(markets: pd.DataFrame) -> None:
    backtest = methods.walk_forward(inputs.build(markets), ("har",))
    one = backtest[(backtest["asset"] == "BTC") & (backtest["target"] == "crash10")].reset_index(drop=True)
    for n in (60, 150, len(one) - 1):
        limit = one["probability"][max(0, n - plan.FLAG_WINDOW_DAYS) : n].quantile(1 - plan.FLAG_SHARE)
        assert bool(one["flag"][n]) == bool(one["probability"][n] > limit)
    assert one["flag"][: plan.FLAG_MIN_DAYS].isna().all()


# --- scoring ----------------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=2, max_size=60))
def test_auroc_equals_that_of_scikit_learn(rows: list[tuple[int, bool]]) -> None:
    probability, outcome = (np.array(column, float) for column in zip(*rows, strict=True))
    area = metrics.auroc(probability, outcome)[0]
    if 0 < outcome.sum() < len(outcome):
        assert area == pytest.approx(roc_auc_score(outcome, probability))
        assert metrics.auroc(probability, outcome, np.full((1, len(probability)), 2.0))[0] == pytest.approx(area)
    else:
        assert np.isnan(area)


def test_a_weight_of_two_equals_two_rows() -> None:
    probability, outcome, weights = np.array([0.1, 0.5, 0.5, 0.9]), np.array([0.0, 1.0, 0.0, 1.0]), np.array([3, 0, 2, 1])
    repeated = roc_auc_score(np.repeat(outcome, weights), np.repeat(probability, weights))
    assert metrics.auroc(probability, outcome, weights[None].astype(float))[0] == pytest.approx(repeated)


def test_the_bootstrap_draws_a_day_with_all_its_assets() -> None:
    days = pd.Series(np.tile(pd.date_range("2025-01-01", periods=40), 3))
    drawn = metrics.bootstrap_weights(days).reshape(plan.DRAWS, 3, 40)
    assert (drawn == drawn[:, :1]).all() and (drawn.sum(axis=2) == 40).all() and drawn.std() > 0


@pytest.mark.slow
def test_skill_is_found_where_volatility_clusters_and_only_there() -> None:
    """A volatility model forecasts volatile weeks and crashes where volatility clusters, and no crash where it does not.

    (It forecasts volatile weeks there too: where the limit of the past year is low, more weeks exceed it.)
    """
    clustered, none = (pooled_scores(market(5, 560, persistence=persistence)) for persistence in (0.97, 0.0))
    assert clustered.loc[("high_volatility", "har"), "auroc_low"] > 0.6
    assert clustered.loc[("crash10", "har"), "auroc_low"] > 0.5
    assert none.loc[("crash10", "har"), "auroc_low"] < 0.5
    for scores in (clustered, none):  # crowding has no effect in these markets
        assert scores.loc[("crash10", "funding_alone"), "auroc_low"] < 0.55
        assert scores.loc[("crash10", "claim"), "verdict"] != "adds to volatility alone"


def pooled_scores(daily: pd.DataFrame) -> pd.DataFrame:
    """Scorecard rows over all assets of the methods compared above, by target and method."""
    frame = inputs.build(daily)
    backtest = methods.walk_forward(
        frame, ("climatology", "volatility_alone", "funding_alone", "claim", "har"), ("high_volatility", "crash10")
    )
    scorecard = score.build_scorecard(frame, backtest, events.find_events(frame), synthetic=True, pooled_only=True)
    return scorecard[scorecard["asset"] == "all"].set_index(["target", "method"])


@pytest.mark.slow
def test_rows_in_another_order_give_the_same_tables(markets: pd.DataFrame, tables: forecasts.Tables) -> None:
    shuffled = forecasts.tables_from_rows(markets.sample(frac=1, random_state=1), synthetic=True)
    for table, again in zip(tables, shuffled, strict=True):
        pd.testing.assert_frame_equal(table, again)


def test_too_few_days_give_empty_tables_of_the_same_columns(tables: forecasts.Tables) -> None:
    few = forecasts.tables_from_rows(market(2, days=30), synthetic=True)
    for table, full in zip(few, tables, strict=True):
        assert table.empty and not full.empty and list(table) == list(full)


def test_a_label_is_scored_on_its_own_day() -> None:
    """Three days fall 10 % under the last close; the label names two of them and one other: precision and recall are 2 of 3.

    Of the ten days from 1 October 2025 the list of documented crashes has the last, which the label does not name.
    """
    low, label = [99.0] * 10, ["neutral"] * 10
    low[3] = low[5] = low[7] = 90.0
    label[3], label[5], label[8] = "cascade", "crash", "crash"
    frame = inputs.build(series([100.0] * 10, low, label))
    rows = {(row["target"], row["asset"]): row for row in score.score_nowcasts(frame, synthetic=False)}
    assert set(rows) == {(t, a) for t in ("low10_today", "documented_today") for a in ("all", "BTC")}, "liquidations are unknown"
    lows, listed = rows["low10_today", "all"], rows["documented_today", "BTC"]
    assert (lows["precision"], lows["recall_events"]) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert lows["base_rate"] == pytest.approx(3 / 9) and lows["verdict"] == "insufficient"
    assert (listed["precision"], listed["recall_events"], listed["base_rate"]) == (0, 0, pytest.approx(0.1))
    assert listed["false_alarms_per_year"] == pytest.approx(0.3 * 365)
    assert {row["target"] for row in score.score_nowcasts(frame, synthetic=True)} == {"low10_today"}


def test_a_label_is_scored_on_the_days_with_the_most_liquidations() -> None:
    """Of two hundred days four have the most liquidations; the label names three of them and one other day."""
    rows = series([100.0] * 200, [99.0] * 200, ["neutral"] * 200).assign(liq_over_oi=np.linspace(0.001, 0.01, 200))
    rows.loc[[20, 60, 100, 140], "liq_over_oi"] = 0.1
    rows.loc[[20, 60, 100, 180], "label"] = "cascade"
    records = score.score_nowcasts(inputs.build(rows), synthetic=True)
    [record] = [row for row in records if (row["target"], row["asset"]) == ("liquidations_today", "BTC")]
    assert (record["precision"], record["recall_events"], record["days"]) == (0.75, 0.75, 200)
    few = score.score_nowcasts(inputs.build(rows.head(99)), synthetic=True)
    assert "liquidations_today" not in {row["target"] for row in few}, "a share of 2 % needs a hundred days"


def test_documented_crashes_have_sources() -> None:
    listed = events.documented_crashes()
    assert len(listed) >= 25 and listed["day"].is_monotonic_increasing and listed["day"].is_unique
    assert listed["day"].dt.year.min() == 2020 and listed["day"].dt.year.max() == 2025
    assert listed["source"].str.match(r"https://\S+/\S+").all() and listed["event"].str.len().gt(10).all()


def test_a_method_without_inputs_makes_no_forecast(markets: pd.DataFrame) -> None:
    """Funding is known for two assets: a method that reads only funding forecasts these two, and is compared on their rows."""
    frame = inputs.build(markets.assign(funding_8h=markets["funding_8h"].where(markets["asset"] != "SOL")))
    backtest = methods.walk_forward(frame, ("climatology", "volatility_alone", "funding_alone"), ("crash10",))
    assert set(backtest.loc[backtest["method"] == "funding_alone", "asset"]) == {"BTC", "ETH"}
    scorecard = score.build_scorecard(frame, backtest, events.find_events(frame), synthetic=True, pooled_only=True)
    pooled = scorecard[scorecard["target"] == "crash10"].set_index("method")
    wide = backtest.pivot(index=["day", "asset"], columns="method", values="probability").dropna()
    outcome = frame.set_index(["day", "asset"])["crash10"].reindex(wide.index)
    wide, outcome = wide[outcome.notna()], outcome.dropna()
    funding, volatility = (roc_auc_score(outcome, wide[m]) for m in ("funding_alone", "volatility_alone"))
    assert pooled.loc["funding_alone", "auroc"] == pytest.approx(funding)
    assert pooled.loc["funding_alone", "auroc_over_volatility"] == pytest.approx(funding - volatility)


@pytest.mark.slow
def test_methods_that_read_prices_need_no_other_data(markets: pd.DataFrame) -> None:
    bare = markets.assign(**dict.fromkeys(("funding_8h", "oi_to_volume", "oi_change_1d"), np.nan))
    backtest, _, scorecard = forecasts.tables_from_rows(bare, synthetic=False)
    assert set(methods.METHODS) - set(backtest["method"]) == {"funding_alone", "har_funding", "claim", methods.RULE}
    assert not backtest["probability"].isna().any()
    assert set(scorecard.loc[scorecard["kind"] != "nowcast", "method"]) == set(backtest["method"])


def test_a_circular_shift_moves_all_assets_together() -> None:
    """Each shift has the same days in another order, equally for all assets; the day that one asset lacks has no outcome."""
    days = pd.date_range("2025-01-01", periods=120)
    index = pd.MultiIndex.from_product([days, ["BTC", "ETH"]], names=["day", "asset"])[:-1]  # ETH has no last day
    outcome = (np.arange(len(index)) // 2 % 10 == 0).astype(float)
    shifted, known = metrics.circular_shifts(index, outcome)
    assert shifted.shape == known.shape == (plan.DRAWS, 239)
    btc, eth, eth_known = shifted[:, ::2], shifted[:, 1::2], known[:, 1::2] == 1
    assert (btc.sum(axis=1) == 12).all() and (eth_known.sum(axis=1) == 118).all()
    assert (btc[:, :-1][eth_known] == eth[eth_known]).all()


def test_reliability_shows_right_probabilities_and_doubled_ones() -> None:
    random = np.random.default_rng(1)
    probability = random.uniform(0, 1, 20_000)
    right = metrics.reliability(probability, (random.uniform(0, 1, 20_000) < probability).astype(float))
    assert (right["probability"] - right["frequency"]).abs().max() < 0.03 and right["days"].sum() == 20_000
    doubled = metrics.reliability(probability, (random.uniform(0, 1, 20_000) < probability / 2).astype(float))
    assert (doubled["probability"] - doubled["frequency"]).iloc[-1] == pytest.approx(0.475, abs=0.03)


def test_the_score_of_a_past_day_is_that_of_a_run_cut_there(markets: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    only, day = ("climatology", "volatility_alone"), markets["day"].max() - pd.Timedelta(days=40)
    past = markets[markets["day"] <= day]
    monkeypatch.setattr(forecasts, "_rows", lambda connection, days: past.assign(origin="synthetic"))
    frame = inputs.build(past)
    cut = score.build_scorecard(
        frame, methods.walk_forward(frame, only), events.find_events(frame), synthetic=True, pooled_only=True
    ).round(6)
    published = methods.walk_forward(inputs.build(markets), only)  # noqa: F841 (DuckDB reads it by name)
    with duckdb.connect() as connection:
        connection.execute("create schema marts")
        connection.sql("from published").create("marts.regime_forecasts")
        actual = forecasts.scorecard_as_of(connection, day.date())
    pd.testing.assert_frame_equal(actual, cut, check_dtype=False)


def test_a_rule_without_its_inputs_is_not_scored(markets: pd.DataFrame) -> None:
    """The rule reads open interest over volume: where that is unknown, or the rule never spoke, it has no forecast."""
    unknown = inputs.build(markets.assign(oi_to_volume=np.nan))
    assert unknown["crowded"].isna().all()
    assert methods.walk_forward(unknown, (methods.RULE,)).empty
    assert methods.walk_forward(inputs.build(markets.assign(label="neutral")), (methods.RULE,)).empty, "it never spoke"
