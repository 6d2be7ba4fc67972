"""Forecasts and their scores: by hand, against scikit-learn, and by what must not be: a look ahead, a false skill."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from assets.defs.regimes import _said_live
from assets.regimes import forecasts
from assets.regimes.forecasts import inputs, methods, plan, power, schemas, score

UNKNOWN = [name for name in inputs.NEEDS if name not in ("day", "asset", "close", "low")]


def market(
    seed: int, days: int = 420, assets: tuple[str, ...] = ("BTC", "ETH", "SOL"), persistence: float = 0.97
) -> pd.DataFrame:
    """Daily rows of assets whose volatility clusters (0: not at all) and whose crowding moves nothing."""
    random = np.random.default_rng(seed)
    made = []
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
        rows["oi_change_1d"], rows["label"] = random.normal(0, 0.05, days), "neutral"
        made.append(rows)
    return pd.concat(made, ignore_index=True).reindex(columns=list(inputs.NEEDS))


@pytest.fixture(scope="module")
def markets() -> pd.DataFrame:
    return market(1)


# --- inputs -----------------------------------------------------------------------------------------------------------------


def series(close: list[float], low: list[float], label: list[str] | None = None) -> pd.DataFrame:
    rows = pd.DataFrame({"day": pd.date_range("2025-10-01", periods=len(close)), "asset": "BTC", "close": close, "low": low})
    return rows.assign(label=label or ["neutral"] * len(close)).reindex(columns=list(inputs.NEEDS))


def test_targets_by_hand() -> None:
    """Ten days at 100, a low of 90 on the ninth: a crash of 10 % for the seven days before it, and unknown at the end."""
    close, low = [100.0] * 10, [99.0] * 8 + [90.0, 99.0]
    made = inputs.build(series(close, low, ["neutral"] * 4 + ["cascade"] + ["neutral"] * 5))
    assert made["crash10"].tolist()[:2] == [0.0, 1.0] and made["crash10"].tolist()[2:8] == [1.0] * 6
    assert made["crash10"].isna().tolist()[8:] == [True, True], "what is to come is not known"
    assert made["crash15"].tolist()[:3] == [0.0, 0.0, 0.0] and made["crash15"].isna().tolist()[3:] == [True] * 7
    assert made["cascade"].tolist()[:4] == [1.0] * 4 and np.isnan(made["cascade"][5])


def test_a_day_that_is_missing_stays_missing() -> None:
    rows = series([100.0] * 12, [99.0] * 12).drop(index=5)
    made = inputs.build(rows)
    assert len(made) == 12 and np.isnan(made["close"][5])
    assert np.isnan(made["crash10"][1]), "six of its seven days are not seven"


def test_events_are_a_week_apart() -> None:
    """Lows 12 % and 20 % under the week's highest close on days 3 and 8 are one event, that of day 30 another, not fresh."""
    low = [99.0] * 60
    low[3], low[8], low[30], low[58] = 88.0, 80.0, 90.0, 85.0
    found = score.events(inputs.build(series([100.0] * 60, low)))
    of = found[found["target"] == "crash10"]
    days = [
        (start.day, start.month, end.day, round(worst, 2), fresh)
        for start, end, worst, fresh in of.iloc[:, 2:].itertuples(index=False)
    ]
    assert days == [(4, 10, 9, -0.2, True), (31, 10, 31, -0.1, False), (28, 11, 28, -0.15, False)]
    assert found["target"].value_counts().to_dict() == {"crash10": 3, "crash15": 2}


# --- nothing looks ahead ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", methods.METHODS)
def test_no_method_looks_ahead(method: str, markets: pd.DataFrame) -> None:
    """What was said by a day is the same when the market ends there, in the middle of a fit's span."""
    assert methods.peeks(markets, pd.Timestamp("2023-12-19"), (method,)).empty


def test_a_planted_leak_is_caught(markets: pd.DataFrame) -> None:
    """A feature that knows tomorrow: found by the cut, and by a score that is too good."""

    def leaky(rows: pd.DataFrame) -> pd.DataFrame:
        made = inputs.build(rows)
        ahead = made.groupby("asset")["low"].transform(lambda low: low[::-1].rolling(7, min_periods=1).min()[::-1].shift(-1))
        return made.assign(rv7=ahead / made["close"])

    assert not methods.peeks(markets, pd.Timestamp("2023-09-19"), ("volatility_alone",), leaky).empty
    frame = leaky(markets)
    said = methods.walk_forward(frame, ("climatology", "volatility_alone", "logistic"))
    card = score.card(frame, said, score.events(frame), synthetic=False)
    pooled = card[(card["asset"] == "all") & (card["target"] == "crash10") & (card["method"] == "logistic")].iloc[0]
    assert pooled["auroc"] > 0.9 and pooled["verdict"] == "too good: taken for a bug until shown otherwise"


def test_a_fit_knows_no_week_that_touches_it(markets: pd.DataFrame) -> None:
    said = methods.walk_forward(inputs.build(markets), ("climatology",))
    gap = (said["day"] - said["fitted_on"]).dt.days
    assert gap.min() > plan.HORIZON_DAYS + plan.EMBARGO_DAYS and gap.max() < plan.REFIT_DAYS + 3 * plan.HORIZON_DAYS
    frame = inputs.build(markets)
    [first] = said.loc[(said["target"] == "crash10") & (said["asset"] == "BTC"), "probability"].head(1)
    known = frame[frame["day"] <= said.loc[said["target"] == "crash10", "fitted_on"].min()]
    assert first == pytest.approx(known["crash10"].mean()), "climatology is the rate so far"


def test_a_flag_is_of_its_own_past(markets: pd.DataFrame) -> None:
    said = methods.walk_forward(inputs.build(markets), ("har",))
    one = said[(said["asset"] == "BTC") & (said["target"] == "crash10")].reset_index(drop=True)
    for n in (60, 150, len(one) - 1):
        limit = one["probability"][max(0, n - plan.FLAG_WINDOW_DAYS) : n].quantile(1 - plan.FLAG_SHARE)
        assert bool(one["flag"][n]) == bool(one["probability"][n] > limit)
    assert one["flag"][: plan.FLAG_MIN_DAYS].isna().all()


# --- scoring ----------------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=2, max_size=60))
def test_auroc_is_scikit_learns(rows: list[tuple[int, bool]]) -> None:
    told, happened = (np.array(column, float) for column in zip(*rows, strict=True))
    found = score.auroc(told, happened)[0]
    if 0 < happened.sum() < len(happened):
        assert found == pytest.approx(roc_auc_score(happened, told))
        twice = score.auroc(told, happened, np.full((1, len(told)), 2.0))[0]
        assert twice == pytest.approx(found)
    else:
        assert np.isnan(found)


def test_weights_are_repetitions() -> None:
    told, happened, often = np.array([0.1, 0.5, 0.5, 0.9]), np.array([0.0, 1.0, 0.0, 1.0]), np.array([3, 0, 2, 1])
    repeated = roc_auc_score(np.repeat(happened, often), np.repeat(told, often))
    assert score.auroc(told, happened, often[None].astype(float))[0] == pytest.approx(repeated)


def test_a_day_is_drawn_with_all_its_assets() -> None:
    days = pd.Series(np.tile(pd.date_range("2025-01-01", periods=40), 3))
    drawn = score.draws(days).reshape(plan.DRAWS, 3, 40)
    assert (drawn == drawn[:, :1]).all() and (drawn.sum(axis=2) == 40).all() and drawn.std() > 0


def test_volatility_is_found_where_it_clusters_and_nothing_where_it_does_not() -> None:
    """Both are told by any volatility model where volatility clusters; a crash of a market without memory by none.

    (A volatile week is told there too: its limit is of the past year, and where it is low a week is over it more often.)
    """
    cards = [forecasts.of_markets(market(5, 560, persistence=p), synthetic=True)[2] for p in (0.97, 0.0)]
    clustered, none = (card[card["asset"] == "all"].set_index(["target", "method"]) for card in cards)
    assert clustered.loc[("high_volatility", "har"), "auroc_low"] > 0.6
    assert clustered.loc[("crash10", "har"), "auroc_low"] > 0.5
    assert none.loc[("crash10", "har"), "auroc_low"] < 0.5
    for card in (clustered, none):  # crowding moves nothing in this market
        assert card.loc[("crash10", "funding_alone"), "auroc_low"] < 0.55
        assert card.loc[("crash10", "claim"), "verdict"] != "adds to volatility alone"


def test_the_same_data_give_the_same_tables(markets: pd.DataFrame) -> None:
    one, two = (forecasts.of_markets(rows, synthetic=True) for rows in (markets, markets.sample(frac=1, random_state=1)))
    for table, again in zip(one, two, strict=True):
        pd.testing.assert_frame_equal(table, again)


def test_too_few_days_give_empty_tables_of_the_same_shape(markets: pd.DataFrame) -> None:
    few = forecasts.of_markets(market(2, days=30), synthetic=True)
    many = forecasts.of_markets(markets, synthetic=True)
    for table, other in zip(few, many, strict=True):
        assert table.empty and list(table) == list(other)
    assert set(many[2]["verdict"]) <= set(schemas.VERDICTS)


def test_a_nowcast_is_held_against_its_own_day() -> None:
    """Three days fall 10 % under the last close, two of them are told; one more is told that was none: 2 of 3 both ways.

    Of the ten days from 1 October 2025 the list has the last, which isn't told.
    """
    low, label = [99.0] * 10, ["neutral"] * 10
    low[3] = low[5] = low[7] = 90.0
    label[3], label[5], label[8] = "cascade", "crash", "crash"
    made = inputs.build(series([100.0] * 10, low, label))
    rows = {(row["target"], row["asset"]): row for row in score.nowcast(made, synthetic=False)}
    assert set(rows) == {(t, a) for t in ("low10_today", "documented_today") for a in ("all", "BTC")}, "no liquidations are known"
    lows, listed = rows["low10_today", "all"], rows["documented_today", "BTC"]
    assert (lows["precision"], lows["recall_events"]) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert lows["base_rate"] == pytest.approx(3 / 9) and lows["verdict"] == "insufficient"
    assert (listed["precision"], listed["recall_events"], listed["base_rate"]) == (0, 0, pytest.approx(0.1))
    assert listed["false_alarms_per_year"] == pytest.approx(0.3 * 365)
    assert {row["target"] for row in score.nowcast(made, synthetic=True)} == {"low10_today"}


def test_a_nowcast_is_held_against_the_days_of_most_liquidations() -> None:
    """Of two hundred days the four of most liquidations; three of them were told, and one day that was none."""
    rows = series([100.0] * 200, [99.0] * 200, ["neutral"] * 200).assign(liq_over_oi=np.linspace(0.001, 0.01, 200))
    rows.loc[[20, 60, 100, 140], "liq_over_oi"] = 0.1
    rows.loc[[20, 60, 100, 180], "label"] = "cascade"
    made = score.nowcast(inputs.build(rows), synthetic=True)
    [found] = [row for row in made if (row["target"], row["asset"]) == ("liquidations_today", "BTC")]
    assert (found["precision"], found["recall_events"], found["days"]) == (0.75, 0.75, 200)
    few = score.nowcast(inputs.build(rows.head(99)), synthetic=True)
    assert "liquidations_today" not in {row["target"] for row in few}, "two of a hundred days are no share of fewer"


def test_the_documented_days_have_sources() -> None:
    listed = score.documented()
    assert len(listed) >= 25 and listed["day"].is_monotonic_increasing and listed["day"].is_unique
    assert listed["day"].dt.year.min() == 2020 and listed["day"].dt.year.max() == 2025
    assert listed["source"].str.match(r"https://\S+/\S+").all() and listed["what"].str.len().gt(10).all()


def test_a_method_that_reads_nothing_says_nothing(markets: pd.DataFrame) -> None:
    """Funding is known of two assets: who reads it alone speaks of them alone, and is held against others on their days."""
    frame = inputs.build(markets.assign(funding_8h=markets["funding_8h"].where(markets["asset"] != "SOL")))
    said = methods.walk_forward(frame, ("climatology", "volatility_alone", "funding_alone"))
    assert set(said.loc[said["method"] == "funding_alone", "asset"]) == {"BTC", "ETH"}
    card = score.card(frame, said, score.events(frame), synthetic=True)
    pooled = card[(card["asset"] == "all") & (card["target"] == "crash10")].set_index("method")
    wide = said[said["target"] == "crash10"].pivot(index=["day", "asset"], columns="method", values="probability").dropna()
    came = frame.set_index(["day", "asset"])["crash10"].reindex(wide.index)
    wide, came = wide[came.notna()], came.dropna()
    funding, volatility = (roc_auc_score(came, wide[m]) for m in ("funding_alone", "volatility_alone"))
    assert pooled.loc["funding_alone", "auroc"] == pytest.approx(funding)
    assert pooled.loc["funding_alone", "auroc_over_volatility"] == pytest.approx(funding - volatility)


def test_prices_alone_are_enough(markets: pd.DataFrame) -> None:
    """A market of which nothing but prices is known is forecast by those who read prices, and nobody fails."""
    bare = markets.assign(**dict.fromkeys(("funding_8h", "oi_to_volume", "oi_change_1d"), np.nan))
    said, _, card = forecasts.of_markets(bare, synthetic=False)
    silent = set(methods.METHODS) - set(said["method"])
    assert silent == {"funding_alone", "har_funding", "claim"} and not said["probability"].isna().any()
    assert set(card["method"]) == set(said["method"])


def test_targets_turn_round_the_calendar_with_all_assets() -> None:
    """Each turn is the same days in another order, equally for every asset; a day that an asset lacks stays out."""
    days = pd.date_range("2025-01-01", periods=120)
    index = pd.MultiIndex.from_product([days, ["BTC", "ETH"]], names=["day", "asset"])[:-1]  # ETH lacks the last day
    happened = (np.arange(len(index)) // 2 % 10 == 0).astype(float)
    rolled, there = score.turned(index, happened)
    assert rolled.shape == there.shape == (plan.DRAWS, 239)
    btc, eth = rolled[:, ::2], rolled[:, 1::2]
    assert (btc.sum(axis=1) == 12).all() and (there[:, 1::2].sum(axis=1) == 118).all()
    known = there[:, 1::2] == 1
    assert (btc[:, :-1][known] == eth[known]).all()


def test_a_probability_that_is_right_is_calibrated() -> None:
    random = np.random.default_rng(1)
    told = random.uniform(0, 1, 20_000)
    curve = score.reliability(told, (random.uniform(0, 1, len(told)) < told).astype(float))
    assert (curve["said"] - curve["came"]).abs().max() < 0.03 and curve["days"].sum() == len(told)
    off = score.reliability(told, (random.uniform(0, 1, len(told)) < told / 2).astype(float))
    assert (off["said"] - off["came"]).iloc[-1] == pytest.approx(0.475, abs=0.03)


# --- the harness itself -----------------------------------------------------------------------------------------------------


def test_what_crowding_adds_is_found_where_it_is_and_nowhere_else() -> None:
    """One market each of `power`: cascades by slow crowds, and by chance. The curve of 200 seeds is the module's own run."""
    strong, none = (power.one(7, strength) for strength in (1.0, 0.0))
    assert strong["perps_add_low"] > 0 and strong["auroc"] > 0.7
    assert none["perps_add_low"] <= 0 <= none["perps_add_high"]


# --- the ledger -------------------------------------------------------------------------------------------------------------


def test_what_was_said_live_stays_as_it_was_said(tmp_path: Path, markets: pd.DataFrame) -> None:
    """Another fit, or mended data, changes the backtest and no row that was said on its day."""
    said = forecasts.of_markets(markets, synthetic=False)[0]
    today = said["day"].max()
    with duckdb.connect(str(tmp_path / "w.duckdb")) as db:
        db.execute("CREATE SCHEMA meta")
        first = _said_live(db, said)
        assert set(first["run_type"]) == {"live"} and set(first["day"]) == {today}
        again = _said_live(db, said.assign(probability=0.123))
        pd.testing.assert_frame_equal(first, again)
        later = _said_live(db, said.assign(day=said["day"] + pd.Timedelta(days=1), probability=0.5))
    assert len(later) == 2 * len(first) and set(later.loc[later["day"] > today, "probability"]) == {0.5}
