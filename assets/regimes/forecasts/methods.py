"""The forecasting methods under one interface, and the walk forward that fits each to the past alone.

A method names the columns that it reads and makes an estimator of scikit-learn's kind for a target. Every `plan.REFIT_DAYS` it is
fitted again, on all assets together, to the rows whose week was over `plan.EMBARGO_DAYS` before, and forecasts until the next
fit. Null methods are scored beside the others: a method without skill beyond them adds nothing.

Alone: ``walk_forward(inputs.build(rows), ("climatology", "har"))``.
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
from assets.regimes.forecasts.inputs import NEXT_RV, RV_LIMIT, build
from assets.regimes.forecasts.plan import PRICE, STATE, TARGETS, USED, Target
from assets.regimes.forecasts.schemas import FORECASTS
from assets.regimes.market import MARKET
from assets.regimes.rules import METHOD as RULE

_MAX_DEVIATIONS = 3.0
#: Columns that a volatility model gets beside its features: the limit of a volatile week, and the next week's volatility to fit.
HAR_EXTRA = (RV_LIMIT, NEXT_RV)
HAR = ("rv1", "rv7", "rv30", "weekend")


class Weekly(ClassifierMixin, BaseEstimator):
    """A classifier with weights for overlapping weeks: all assets' rows of one week count as one observation.

    Missing values become the median of the past. Columns are scaled to unit width and clipped at `_MAX_DEVIATIONS`, so that a
    value outside the past range gives no probability outside it.
    """

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, x: pd.DataFrame, y: pd.Series, weights: pd.Series) -> Weekly:
        imputer = SimpleImputer(strategy="median", keep_empty_features=True)
        clipper = FunctionTransformer(np.clip, kw_args={"a_min": -_MAX_DEVIATIONS, "a_max": _MAX_DEVIATIONS})
        self.preprocessor_ = make_pipeline(imputer, StandardScaler(), clipper)
        self.model_ = clone(self.model).fit(self.preprocessor_.fit_transform(x), y, sample_weight=weights)
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, x: pd.DataFrame) -> np.ndarray:
        probabilities: np.ndarray = self.model_.predict_proba(self.preprocessor_.transform(x))
        return probabilities


def _climatology(target: Target) -> Any:
    """The rate of the target so far."""
    return Weekly(DummyClassifier(strategy="prior"))


def _logistic(target: Target) -> Any:
    """Logistic regression with a ridge penalty: a prior of a third of a logit per standard deviation."""
    return Weekly(LogisticRegression(C=0.1, max_iter=500))


def _boosted(target: Target) -> Any:
    """Gradient boosting of shallow trees."""
    return Weekly(
        HistGradientBoostingClassifier(
            max_iter=60, max_depth=3, learning_rate=0.06, min_samples_leaf=300, max_bins=32, random_state=plan.SEED
        )
    )


class Har(ClassifierMixin, BaseEstimator):
    """Volatility of the next week from that of the day, week and month (Corsi 2009), by least squares on logarithms.

    The probability of a crash is that of a Student t of four degrees of freedom with that volatility to touch the depth within
    the week: twice that of ending beyond it (reflection of a random walk). The probability of a volatile week is the share of
    the fit's own errors that would carry it over the limit. Any other target is a logistic function of the volatility.
    """

    def __init__(self, target: Target) -> None:
        self.target = target

    def fit(self, x: pd.DataFrame, y: pd.Series, weights: pd.Series) -> Har:
        known = x[x[NEXT_RV].notna()]
        self.model_ = LinearRegression().fit(known.drop(columns=list(HAR_EXTRA)), known[NEXT_RV])
        self.errors_ = np.sort(known[NEXT_RV] - self._log_volatility(known))
        self.classes_ = np.array([0.0, 1.0])
        if not self.target.depth and self.target.name != STATE:
            self.link_ = LogisticRegression().fit(self._log_volatility(x).reshape(-1, 1), y)
        return self

    def _log_volatility(self, x: pd.DataFrame) -> np.ndarray:
        volatility: np.ndarray = self.model_.predict(x.drop(columns=list(HAR_EXTRA)))
        return volatility

    def predict_proba(self, x: pd.DataFrame) -> np.ndarray:
        volatility = self._log_volatility(x)
        if self.target.name == STATE:
            margin = x[RV_LIMIT].to_numpy() - volatility
            chance = np.where(np.isnan(margin), np.nan, 1 - np.searchsorted(self.errors_, margin) / len(self.errors_))
        elif self.target.depth:
            freedom = 4
            week = np.exp(volatility) * np.sqrt(plan.HORIZON_DAYS / 365)
            scale = week / np.sqrt(freedom / (freedom - 2))
            chance = np.clip(2 * stats.t.cdf(np.log(1 - self.target.depth) / scale, freedom), 0, 1)
        else:
            return np.asarray(self.link_.predict_proba(volatility.reshape(-1, 1)))
        return np.column_stack([1 - chance, chance])


def hidden_states(train: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """Filtered (not smoothed) probabilities of three hidden states of return and volatility (Hamilton 1989), by row of `history`.

    One set of parameters for all assets, fitted to `train`. States are ordered by volatility, so that their names mean the same
    after every fit. A day with a missing value moves the probabilities on by the transition matrix alone.
    """
    from hmmlearn.hmm import GaussianHMM

    columns = ["return_1d", "rv1"]
    known = train[train[columns].notna().all(axis=1)]
    scale = StandardScaler().fit(known[columns].to_numpy())
    model = GaussianHMM(3, covariance_type="diag", n_iter=25, random_state=plan.SEED)
    logging.getLogger("hmmlearn").setLevel(logging.ERROR)  # it warns of changes of the likelihood in the sixth digit
    model.fit(scale.transform(known[columns].to_numpy()), known.groupby("asset", sort=False).size().tolist())
    order = np.argsort(model.means_[:, 1])
    means, transitions = model.means_[order], model.transmat_[np.ix_(order, order)]
    deviations = np.sqrt(np.array([np.diag(c) for c in model.covars_])[order])
    # Days x assets x columns, so that each step takes all assets of a day.
    wide = history.pivot(index="day", columns="asset", values=columns)
    values = np.stack([wide[name].to_numpy() for name in columns], axis=2)
    missing = np.isnan(values).any(axis=2)
    scaled = (np.nan_to_num(values) - scale.mean_) / scale.scale_
    likelihood = stats.norm.logpdf(scaled[:, :, None, :], means, deviations).sum(axis=3)
    likelihood[missing] = 0.0
    likelihood = np.exp(likelihood - likelihood.max(axis=2, keepdims=True))
    state, filtered = np.full(likelihood.shape[1:], 1 / 3), np.empty_like(likelihood)
    for day, weights in enumerate(likelihood):
        state = state @ transitions * weights
        state /= state.sum(axis=1, keepdims=True)
        filtered[day] = state
    assets = pd.Index(wide.columns.get_level_values("asset").unique())
    position = wide.index.get_indexer(pd.Index(history["day"])), assets.get_indexer(pd.Index(history["asset"]))
    return pd.DataFrame(filtered[position][:, 1:], history.index, ["usual", "wild"])


def jumps(train: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """1 on days on which the market is in the more volatile of two states of a jump model, online (Nystrup and others 2020)."""
    from jumpmodels.jump import JumpModel

    columns = ["return_7d", "rv1", "rv7"]
    learn, market = (rows.groupby("day")[columns].mean().dropna() for rows in (train, history))
    scale = StandardScaler().fit(learn.to_numpy())
    model = JumpModel(n_components=2, jump_penalty=30.0, cont=False, random_state=plan.SEED)
    model.fit(pd.DataFrame(scale.transform(learn.to_numpy()), learn.index))
    states = model.predict_online(pd.DataFrame(scale.transform(market.to_numpy()), market.index))
    wild = pd.Series((np.asarray(states) == int(np.argmax(model.centers_[:, 1]))).astype(float), market.index)
    return pd.DataFrame({"wild": history["day"].map(wild).to_numpy()}, history.index)


@dataclass(frozen=True)
class Method:
    """A forecasting method. `kind` is `null`, `rule`, `volatility`, `state` or `learned`.

    `columns` are read, `estimator` makes the model of a target. `without_perps` names the nearest method without data of
    perpetuals: the difference in skill is what those data add. A method with `needs_all` forecasts only rows whose columns are
    all known; others use the median of the past for missing values. `derive`, where there is one, computes the columns once per
    fit from the training rows and the whole history.
    """

    name: str
    kind: str
    columns: tuple[str, ...]
    estimator: Callable[[Target], Any] = _logistic
    without_perps: str = ""
    needs_all: bool = False
    derive: Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame] | None = None

    def has_inputs(self, rows: pd.DataFrame) -> pd.Series:
        """True for rows with enough known columns to forecast from."""
        known = rows.drop(columns=[name for name in HAR_EXTRA if name in rows]).notna()
        return known.all(axis=1) if self.needs_all else known.any(axis=1)


METHODS = {
    m.name: m
    for m in (
        Method("climatology", "null", ("weekend",), _climatology),
        Method("volatility_alone", "null", ("rv7", "rv7_over_limit")),
        Method("funding_alone", "null", ("funding_7d",)),
        Method("claim", "rule", ("claim",)),
        Method(RULE, "rule", ("crowded",)),
        Method("har", "volatility", (*HAR, *HAR_EXTRA), Har, needs_all=True),
        Method("har_funding", "volatility", (*HAR, "funding_7d", *HAR_EXTRA), Har, without_perps="har", needs_all=True),
        Method("hidden_states", "state", ("usual", "wild"), derive=hidden_states),
        Method("jumps", "state", ("wild",), derive=jumps),
        Method("logistic_price", "learned", PRICE),
        Method("logistic", "learned", USED, without_perps="logistic_price"),
        Method("boosted", "learned", USED, _boosted, without_perps="logistic_price"),
    )
}


def refit_windows(days: pd.DatetimeIndex) -> Iterator[tuple[pd.Timestamp, pd.Timestamp]]:
    """First day and end (exclusive) of the forecasts of each fit. Fits follow a fixed calendar: more data moves none of them."""
    if not len(days):
        return
    origin, step = pd.Timestamp("2017-01-01"), pd.Timedelta(days=plan.REFIT_DAYS)
    start = days.min() + pd.Timedelta(days=plan.MIN_TRAIN_DAYS)
    end = origin + (int((start - origin) / step) + 1) * step
    while start <= days.max():
        yield start, min(end, days.max() + pd.Timedelta(days=1))
        start, end = end, end + step


def walk_forward(
    frame: pd.DataFrame, only: tuple[str, ...] = tuple(METHODS), targets: tuple[str, ...] = tuple(TARGETS)
) -> pd.DataFrame:
    """`regime_forecasts` of a frame of `inputs.build`: the probability of each target by day, asset and method, with its flag.

    Sorted by day, asset, target and method; columns and units are those of `schemas.FORECASTS`.
    """
    days = pd.DatetimeIndex(frame["day"]) if len(frame) else pd.DatetimeIndex([])
    parts = [
        part
        for start, end in refit_windows(days)
        for part in _forecast_window(frame, start, end, [METHODS[name] for name in only], [TARGETS[name] for name in targets])
    ]
    if not parts:
        return pd.DataFrame(columns=list(FORECASTS.columns))
    forecasts = pd.concat(parts, ignore_index=True).sort_values(["asset", "target", "method", "day"], ignore_index=True)
    past = forecasts.groupby(["asset", "target", "method"], sort=False)["probability"]
    limit = past.transform(
        lambda p: p.rolling(plan.FLAG_WINDOW_DAYS, min_periods=plan.FLAG_MIN_DAYS).quantile(1 - plan.FLAG_SHARE).shift()
    )
    forecasts["flag"] = (forecasts["probability"] > limit).where(limit.notna())
    forecasts["horizon_days"], forecasts["run_type"], forecasts["plan_hash"] = plan.HORIZON_DAYS, "backtest", plan.HASH
    return forecasts[list(FORECASTS.columns)].sort_values(["day", "asset", "target", "method"], ignore_index=True)


def _forecast_window(
    frame: pd.DataFrame, start: pd.Timestamp, end: pd.Timestamp, methods: list[Method], targets: list[Target]
) -> Iterator[pd.DataFrame]:
    """Forecasts of all methods for the days from `start` to `end` (exclusive), from fits to the days before."""
    # The week of a training row is over, and the embargo too. MARKET is left out: it repeats what the assets say.
    known_before = start - pd.Timedelta(days=plan.HORIZON_DAYS + plan.EMBARGO_DAYS)
    train = frame[(frame["day"] < known_before) & (frame["asset"] != MARKET)]
    weights = 1 / (plan.HORIZON_DAYS * train.groupby("day")["close"].transform("count").clip(lower=1))
    history = frame[frame["day"] < end]
    in_window = (history["day"] >= start) & history["close"].notna()
    outcomes = {target: train[train[target.name].notna()] for target in targets}
    outcomes = {target: rows for target, rows in outcomes.items() if _enough(rows, target.name)}
    for method in methods if outcomes else []:
        values = (method.derive(train, history) if method.derive else history)[list(method.columns)]
        has_inputs = method.has_inputs(values)
        rows = history.index[in_window & has_inputs]
        for target, outcome in outcomes.items():
            learn = outcome[has_inputs[outcome.index]]
            if not len(rows) or not _enough(learn, target.name):
                continue
            # What never varied tells the target's frequency alone: its ranking would be the drift of that between fits.
            if method.kind == "rule" and values.loc[learn.index].nunique().max() < 2:
                continue
            with threadpool_limits(1):  # more threads slow down models this small
                model = method.estimator(target).fit(values.loc[learn.index], learn[target.name], weights[learn.index])
                probability = model.predict_proba(values.loc[rows])[:, 1]
            forecasts = history.loc[rows, ["day", "asset"]].assign(
                probability=probability, target=target.name, method=method.name
            )
            yield forecasts.dropna().assign(kind=method.kind, fitted_on=learn["day"].max())


def _enough(train: pd.DataFrame, target: str) -> bool:
    """True if the rows have enough separate weeks with the target and without it, whatever the number of assets."""
    return all(count_separated(train.loc[train[target] == outcome, "day"]) >= plan.MIN_EVENTS for outcome in (0.0, 1.0))


def count_separated(days: pd.Series, min_gap_days: int = plan.HORIZON_DAYS + 1) -> int:
    """Number of days that are at least `min_gap_days` after the last one counted: a long event of many assets counts once."""
    count, last = 0, -min_gap_days
    for day in np.unique(pd.to_datetime(days).to_numpy().astype("datetime64[D]").astype(int)).tolist():
        if day - last >= min_gap_days:
            count, last = count + 1, day
    return count


def lookahead_violations(
    daily: pd.DataFrame, day: pd.Timestamp, only: tuple[str, ...] = tuple(METHODS), build: Callable[..., pd.DataFrame] = build
) -> pd.DataFrame:
    """Forecasts up to a day that change when later days are cut from the daily rows; without look-ahead there are none."""
    past = daily[pd.to_datetime(daily["day"]) <= day]
    whole, cut = (walk_forward(build(rows), only) for rows in (daily, past))
    both = whole[whole["day"] <= day].merge(cut, on=["day", "asset", "target", "method"], suffixes=("", "_cut"), how="outer")
    return both[~np.isclose(both["probability"], both["probability_cut"], atol=1e-6, equal_nan=True)]
