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
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from threadpoolctl import threadpool_limits

from assets.regimes.forecasts import plan
from assets.regimes.forecasts.inputs import LIMIT, NEXT_RV, build
from assets.regimes.forecasts.plan import PRICE, STATE, TARGETS, USED, Target
from assets.regimes.forecasts.schemas import FORECASTS
from assets.regimes.market import MARKET
from assets.regimes.rules import METHOD as RULE

_FAR = 3.0
#: What a volatility model is given beside what it reads: the week that came, for its fit, and the limit that it is held to.
ASIDE = (LIMIT, NEXT_RV)
HAR = ("rv1", "rv7", "rv30", "weekend")


class Weekly(ClassifierMixin, BaseEstimator):
    """A classifier fitted as if to independent weeks: rows of all assets on the days of one week tell about one thing, once.

    What is missing is the median of the past; columns are of unit width, and nothing is further out than `_FAR` of them: a
    value never seen is no reason for a certainty never seen.
    """

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, x: pd.DataFrame, y: pd.Series, weights: pd.Series) -> Weekly:
        filled = SimpleImputer(strategy="median", keep_empty_features=True)
        near = FunctionTransformer(np.clip, kw_args={"a_min": -_FAR, "a_max": _FAR})
        self.ready_ = make_pipeline(filled, StandardScaler(), near)
        self.model_ = clone(self.model).fit(self.ready_.fit_transform(x), y, sample_weight=weights)
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, x: pd.DataFrame) -> np.ndarray:
        found: np.ndarray = self.model_.predict_proba(self.ready_.transform(x))
        return found


def _logistic() -> Any:
    """Ridge-penalised: a prior of a third of a logit per standard deviation."""
    return Weekly(LogisticRegression(C=0.1, max_iter=500))


class Har(ClassifierMixin, BaseEstimator):
    """The week's volatility out of the day's, week's and month's (Corsi 2009), by least squares on logarithms.

    A crash is then the chance that a Student t of four degrees, as wide as that volatility, touches the depth within the week:
    twice that of ending beyond it (the reflection of a random walk). A volatile week is the share of the fit's own errors that
    would carry it over the limit. What is neither is a logistic function of the volatility.
    """

    def __init__(self, target: Target) -> None:
        self.target = target

    def fit(self, x: pd.DataFrame, y: pd.Series, weights: pd.Series) -> Har:
        known = x[x[NEXT_RV].notna()]
        self.model_ = LinearRegression().fit(known.drop(columns=list(ASIDE)), known[NEXT_RV])
        self.errors_ = np.sort(known[NEXT_RV] - self._volatility(known))
        self.classes_ = np.array([0.0, 1.0])
        if not self.target.depth and self.target.name != STATE:
            self.link_ = LogisticRegression().fit(self._volatility(x).reshape(-1, 1), y)
        return self

    def _volatility(self, x: pd.DataFrame) -> np.ndarray:
        found: np.ndarray = self.model_.predict(x.drop(columns=list(ASIDE)))
        return found

    def predict_proba(self, x: pd.DataFrame) -> np.ndarray:
        volatility = self._volatility(x)
        if self.target.name == STATE:
            short = x[LIMIT].to_numpy() - volatility
            chance = np.where(np.isnan(short), np.nan, 1 - np.searchsorted(self.errors_, short) / len(self.errors_))
        elif self.target.depth:
            freedom = 4
            week = np.exp(volatility) * np.sqrt(plan.HORIZON_DAYS / 365)
            scale = week / np.sqrt(freedom / (freedom - 2))
            chance = np.clip(2 * stats.t.cdf(np.log(1 - self.target.depth) / scale, freedom), 0, 1)
        else:
            return np.asarray(self.link_.predict_proba(volatility.reshape(-1, 1)))
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
    """Shallow trees."""
    return Weekly(
        HistGradientBoostingClassifier(
            max_iter=60, max_depth=3, learning_rate=0.06, min_samples_leaf=300, max_bins=32, random_state=plan.SEED
        )
    )


@dataclass(frozen=True)
class Method:
    """`kind` is `null`, `rule`, `volatility`, `state` or `learned`; `columns` what it reads; `make` its estimator for a target.

    `beside` is the nearest method without what is known of perpetuals alone: the difference is what that adds. A `whole` method
    needs all of its columns, others take the median of the past for what is missing. `stage`, where there is one, makes the
    columns: from what is known it learns, once per fit, and tells all days in their order.
    """

    name: str
    kind: str
    columns: tuple[str, ...]
    make: Callable[[Target], Any] = lambda target: _logistic()
    beside: str = ""
    whole: bool = False
    stage: Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame] | None = None

    def knows(self, rows: pd.DataFrame) -> pd.Series:
        """The rows of which it has something to say: one that reads nothing that is known says nothing."""
        own = rows.drop(columns=[name for name in ASIDE if name in rows]).notna()
        return own.all(axis=1) if self.whole else own.any(axis=1)


METHODS = {
    m.name: m
    for m in (
        Method("climatology", "null", ("weekend",), lambda target: Weekly(DummyClassifier(strategy="prior"))),
        Method("volatility_alone", "null", ("rv7", "rv7_over_limit")),
        Method("funding_alone", "null", ("funding_7d",)),
        Method("claim", "rule", ("claim",)),
        Method(RULE, "rule", ("crowded",)),
        Method("har", "volatility", (*HAR, *ASIDE), Har, whole=True),
        Method("har_funding", "volatility", (*HAR, "funding_7d", *ASIDE), Har, beside="har", whole=True),
        Method("hidden_states", "state", ("usual", "wild"), stage=hidden_states),
        Method("jumps", "state", ("wild",), stage=jumps),
        Method("logistic_price", "learned", PRICE),
        Method("logistic", "learned", USED, beside="logistic_price"),
        Method("boosted", "learned", USED, lambda target: _boosted(), beside="logistic_price"),
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


def walk_forward(
    frame: pd.DataFrame, only: tuple[str, ...] = tuple(METHODS), targets: tuple[str, ...] = tuple(TARGETS)
) -> pd.DataFrame:
    """`regime_forecasts`: the probability that each method gave to each target on each day, and whether that was a flag.

    Columns: `day`, `asset`, `target`, `method`, `kind`, `horizon_days`, `probability` (0 to 1), `flag`, `fitted_on` (the last
    day that the fit knew), `run_type` (`backtest`), `plan_hash`. Sorted by its first four.
    """
    made = []
    days = pd.DatetimeIndex(frame["day"]) if len(frame) else pd.DatetimeIndex([])
    for start, end in fits(days):
        # A row's week must be over, and a week besides. The average of the assets tells a fit nothing that they don't.
        known = start - pd.Timedelta(days=plan.HORIZON_DAYS + plan.EMBARGO_DAYS)
        train = frame[(frame["day"] < known) & (frame["asset"] != MARKET)]
        weights = 1 / (plan.HORIZON_DAYS * train.groupby("day")["close"].transform("count").clip(lower=1))
        upto = frame[frame["day"] < end]
        asked = (upto["day"] >= start) & upto["close"].notna()
        learns = {TARGETS[name]: train[train[name].notna()] for name in targets}
        learns = {target: rows for target, rows in learns.items() if _enough(rows, target.name)}
        for method in (METHODS[name] for name in only if learns):
            columns = list(method.columns)
            read = (method.stage(train, upto) if method.stage else upto)[columns]
            there = method.knows(read)
            told_of = upto.index[asked & there]
            for target, learn in learns.items():
                learn = learn[there[learn.index]]
                if not len(told_of) or not _enough(learn, target.name):
                    continue
                with threadpool_limits(1):  # trees this small wait for each other
                    model = method.make(target).fit(read.loc[learn.index], learn[target.name], weights[learn.index])
                    chance = model.predict_proba(read.loc[told_of])[:, 1]
                told = upto.loc[told_of, ["day", "asset"]].assign(probability=chance, target=target.name, method=method.name)
                made.append(told.dropna().assign(kind=method.kind, fitted_on=learn["day"].max()))
    if not made:
        return pd.DataFrame(columns=list(FORECASTS.columns))
    told = pd.concat(made, ignore_index=True).sort_values(["asset", "target", "method", "day"], ignore_index=True)
    past = told.groupby(["asset", "target", "method"], sort=False)["probability"]
    limit = past.transform(
        lambda p: p.rolling(plan.FLAG_WINDOW_DAYS, min_periods=plan.FLAG_MIN_DAYS).quantile(1 - plan.FLAG_SHARE).shift()
    )
    told["flag"] = (told["probability"] > limit).where(limit.notna())
    told["horizon_days"], told["run_type"], told["plan_hash"] = plan.HORIZON_DAYS, "backtest", plan.HASH
    return told[list(FORECASTS.columns)].sort_values(["day", "asset", "target", "method"], ignore_index=True)


def _enough(train: pd.DataFrame, target: str) -> bool:
    """Whether the past had enough separate weeks of either kind to learn from, whatever the number of assets."""
    return all(apart(train.loc[train[target] == kind, "day"]) >= plan.MIN_EVENTS for kind in (0.0, 1.0))


def apart(days: pd.Series, least: int = plan.HORIZON_DAYS + 1) -> int:
    """How many of some days are at least so many days apart: what befalls several assets, or lasts, counts once."""
    count, last = 0, -least
    for day in np.unique(pd.to_datetime(days).to_numpy().astype("datetime64[D]").astype(int)).tolist():
        if day - last >= least:
            count, last = count + 1, day
    return count


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
