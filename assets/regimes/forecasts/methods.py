"""The methods, side by side under one interface, and the walk forward that gives each of them its past and no more.

A method has columns that it reads and a way to make an estimator of scikit-learn's kind for a target. Every `plan.REFIT_DAYS`
it is fitted anew, on all assets together, to the rows whose week was over `plan.EMBARGO_DAYS` before; then it speaks until the
next fit. Nulls stand beside the methods: what has no skill beyond them adds nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from assets.regimes.forecasts import plan
from assets.regimes.forecasts.inputs import NEXT_RV, build
from assets.regimes.forecasts.plan import TARGETS, USED, Target
from assets.regimes.forecasts.schemas import FORECASTS

HAR = ("rv1", "rv7", "rv30", "weekend")


def _logistic() -> Any:
    """Ridge-penalised; what is missing is the median of the past, and said to be missing."""
    filled = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    return make_pipeline(filled, StandardScaler(), LogisticRegression(C=0.1, max_iter=500))


class Har(ClassifierMixin, BaseEstimator):
    """The week's volatility out of the day's, week's and month's (Corsi 2009), by least squares on logarithms.

    A crash is then the chance that a Student t of four degrees, as wide as that volatility, touches the depth within the week:
    twice that of ending beyond it (the reflection of a random walk). What has no depth is a logistic function of the
    volatility.
    """

    def __init__(self, depth: float | None) -> None:
        self.depth = depth

    def fit(self, x: pd.DataFrame, y: pd.Series) -> Har:
        known = x.drop(columns=NEXT_RV).notna().all(axis=1) & x[NEXT_RV].notna()
        self.usual_ = x.drop(columns=NEXT_RV).median()
        self.model_ = LinearRegression().fit(x.loc[known].drop(columns=NEXT_RV), x.loc[known, NEXT_RV])
        self.classes_ = np.array([0.0, 1.0])
        self.link_ = None if self.depth else LogisticRegression().fit(self._volatility(x), y)
        return self

    def _volatility(self, x: pd.DataFrame) -> np.ndarray:
        told = x.drop(columns=NEXT_RV).fillna(self.usual_).fillna(0.0)
        return self.model_.predict(told).reshape(-1, 1)

    def predict_proba(self, x: pd.DataFrame) -> np.ndarray:
        volatility = self._volatility(x)
        if self.link_ is not None:
            return self.link_.predict_proba(volatility)
        freedom = 4
        week = np.exp(volatility[:, 0]) * np.sqrt(plan.HORIZON_DAYS / 365)
        scale = week / np.sqrt(freedom / (freedom - 2))
        chance = np.clip(2 * stats.t.cdf(np.log(1 - (self.depth or 0)) / scale, freedom), 0, 1)
        return np.column_stack([1 - chance, chance])


def hidden_states(train: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """The chances of three hidden states of return and volatility (Hamilton 1989) on each day of `history`, filtered, never
    smoothed.

    All assets have one set of parameters, fitted to `train`. States are ordered by their volatility, so that a name means the
    same after every fit. A day that lacks moves the chances on and tells nothing.
    """
    from hmmlearn.hmm import GaussianHMM

    columns = ["return_1d", "rv1"]
    known = train[train[columns].notna().all(axis=1)]
    scale = StandardScaler().fit(known[columns].to_numpy())
    model = GaussianHMM(3, covariance_type="diag", n_iter=25, random_state=plan.SEED)
    logging.getLogger("hmmlearn").setLevel(logging.ERROR)  # a likelihood that wavers in its sixth digit
    model.fit(scale.transform(known[columns].to_numpy()), known.groupby("asset", sort=False).size().tolist())
    order = np.argsort(model.means_[:, 1])
    means, moves = model.means_[order], model.transmat_[np.ix_(order, order)]
    deviations = np.sqrt(np.array([np.diag(c) for c in model.covars_])[order])
    # Days x assets x columns, so that all assets go through a day at once.
    wide = history.pivot(index="day", columns="asset", values=columns)
    seen = np.stack([wide[name].to_numpy() for name in columns], axis=2)
    missing = np.isnan(seen).any(axis=2)
    scaled = (np.nan_to_num(seen) - scale.mean_) / scale.scale_
    likely = stats.norm.logpdf(scaled[:, :, None, :], means, deviations).sum(axis=3)
    likely[missing] = 0.0
    likely = np.exp(likely - likely.max(axis=2, keepdims=True))
    belief, told = np.full(likely.shape[1:], 1 / 3), np.empty_like(likely)
    for day, weights in enumerate(likely):
        belief = belief @ moves * weights
        belief /= belief.sum(axis=1, keepdims=True)
        told[day] = belief
    assets = pd.Index(wide.columns.get_level_values("asset").unique())
    at = wide.index.get_indexer(pd.Index(history["day"])), assets.get_indexer(pd.Index(history["asset"]))
    return pd.DataFrame(told[at][:, 1:], history.index, ["usual", "wild"])


def jumps(train: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """Whether the market is in the wilder of two states of a statistical jump model, told online (Nystrup and others 2020)."""
    from jumpmodels.jump import JumpModel

    columns = ["return_7d", "rv1", "rv7"]
    learn, market = (rows.groupby("day")[columns].mean().dropna() for rows in (train, history))
    scale = StandardScaler().fit(learn.to_numpy())
    model = JumpModel(n_components=2, jump_penalty=30.0, cont=False, random_state=plan.SEED)
    model.fit(pd.DataFrame(scale.transform(learn.to_numpy()), learn.index))
    states = model.predict_online(pd.DataFrame(scale.transform(market.to_numpy()), market.index))
    wild = pd.Series((np.asarray(states) == int(np.argmax(model.centers_[:, 1]))).astype(float), market.index)
    return pd.DataFrame({"wild": history["day"].map(wild).to_numpy()}, history.index)


def _boosted() -> Any:
    """Shallow trees; what is missing is the median of the past, and said to be missing."""
    filled = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    trees = HistGradientBoostingClassifier(
        max_iter=60, max_depth=3, learning_rate=0.06, min_samples_leaf=60, l2_regularization=1.0, random_state=plan.SEED
    )
    return make_pipeline(filled, trees)


@dataclass(frozen=True)
class Method:
    """`kind` is `null`, `rule`, `volatility`, `state` or `learned`; `columns` what it reads; `make` its estimator for a target.

    `stage`, where it has one, makes the columns: from what is known it learns, once per fit, and tells all days in their order.
    """

    name: str
    kind: str
    columns: tuple[str, ...]
    make: Callable[[Target], Any] = lambda target: _logistic()
    stage: Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame] | None = None


METHODS = {
    m.name: m
    for m in (
        Method("climatology", "null", ("rv7",), lambda target: DummyClassifier(strategy="prior")),
        Method("volatility_alone", "null", ("rv7",)),
        Method("funding_alone", "null", ("funding_7d",)),
        Method("claim", "rule", ("claim",)),
        Method("rule_v1", "rule", ("crowded",)),
        Method("har", "volatility", (*HAR, NEXT_RV), lambda target: Har(target.depth)),
        Method("har_funding", "volatility", (*HAR, "funding_7d", NEXT_RV), lambda target: Har(target.depth)),
        Method("hidden_states", "state", ("usual", "wild"), stage=hidden_states),
        Method("jumps", "state", ("wild",), stage=jumps),
        Method("logistic", "learned", USED),
        Method("boosted", "learned", USED, lambda target: _boosted()),
    )
}


def fits(days: pd.DatetimeIndex) -> Iterator[tuple[pd.Timestamp, pd.Timestamp]]:
    """The day from which each fit speaks, and the day on which it ends. The grid is the calendar's: more data moves no fit."""
    if not len(days):
        return
    origin, step = pd.Timestamp("2017-01-01"), pd.Timedelta(days=plan.REFIT_DAYS)
    first = days.min() + pd.Timedelta(days=plan.MIN_TRAIN_DAYS)
    start = first
    following = origin + (int((first - origin) / step) + 1) * step
    while start <= days.max():
        yield start, min(following, days.max() + pd.Timedelta(days=1))
        start, following = following, following + step


def walk_forward(frame: pd.DataFrame, only: tuple[str, ...] = tuple(METHODS)) -> pd.DataFrame:
    """`regime_forecasts`: the probability that each method gave to each target on each day, and whether that was a flag.

    Columns: `day`, `asset`, `target`, `method`, `kind`, `horizon_days`, `probability` (0 to 1), `flag`, `fitted_on` (the last
    day that the fit knew), `basis` (`backtest`), `plan_hash`. Sorted by its first four.
    """
    made = []
    days = pd.DatetimeIndex(frame["day"]) if len(frame) else pd.DatetimeIndex([])
    for start, end in fits(days):
        # A row's week must be over, and a week besides.
        known = start - pd.Timedelta(days=plan.HORIZON_DAYS + plan.EMBARGO_DAYS)
        train = frame[frame["day"] < known]
        upto = frame[frame["day"] < end]
        asked = (upto["day"] >= start) & upto["close"].notna()
        targets = {t: train[train[t.name].notna()] for t in TARGETS.values()}
        targets = {t: rows for t, rows in targets.items() if _enough(rows[t.name])}
        for method in (METHODS[name] for name in only if targets):
            made_columns = method.stage(train, upto) if method.stage else upto
            for target, learn in targets.items():
                columns = list(method.columns)
                model = method.make(target).fit(made_columns.loc[learn.index, columns], learn[target.name])
                chance = model.predict_proba(made_columns.loc[asked, columns])[:, 1]
                told = upto.loc[asked, ["day", "asset"]].assign(probability=chance, target=target.name, method=method.name)
                made.append(told.assign(kind=method.kind, fitted_on=learn["day"].max()))
    if not made:
        return pd.DataFrame(columns=list(FORECASTS.columns))
    told = pd.concat(made, ignore_index=True).sort_values(["asset", "target", "method", "day"], ignore_index=True)
    past = told.groupby(["asset", "target", "method"], sort=False)["probability"]
    limit = past.transform(
        lambda p: p.rolling(plan.FLAG_WINDOW_DAYS, min_periods=plan.FLAG_MIN_DAYS).quantile(1 - plan.FLAG_SHARE).shift()
    )
    told["flag"] = (told["probability"] > limit).where(limit.notna())
    told["horizon_days"], told["basis"], told["plan_hash"] = plan.HORIZON_DAYS, "backtest", plan.HASH
    return told[list(FORECASTS.columns)].sort_values(["day", "asset", "target", "method"], ignore_index=True)


def _enough(happened: pd.Series) -> bool:
    return min(happened.sum(), (1 - happened).sum()) >= plan.MIN_POSITIVES


def peeks(
    markets: pd.DataFrame, day: pd.Timestamp, only: tuple[str, ...] = tuple(METHODS), build: Callable[..., pd.DataFrame] = build
) -> pd.DataFrame:
    """The forecasts up to a day that change when the market's later days are cut off before anything is made: there must
    be none.
    """
    before = markets[pd.to_datetime(markets["day"]) <= day]
    whole, cut = (walk_forward(build(rows), only) for rows in (markets, before))
    both = whole[whole["day"] <= day].merge(cut, on=["day", "asset", "target", "method"], suffixes=("", "_cut"), how="outer")
    return both[~np.isclose(both["probability"], both["probability_cut"], atol=1e-6, equal_nan=True)]
