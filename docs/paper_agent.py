"""An example agent: it reduces a paper position by the posture's rule, and its record is scored as a method's is.

The position is long a perpetual, without leverage. The agent reads `regime_posture` and keeps `1 - hedge_ratio` of it, from the
first daily close after the row's `known_at` on; while the volatility is unknown, it leaves the position as it is. The record
compares what is left after costs and funding with holding, and with volatility targeting of the same budget of risk:

    regime_posture, daily_assets ──► exposures, by what was known ──► net returns ──► a table with intervals

A net return of a day is exposure × (return - funding) - COST × change of exposure, fractions; positive funding is paid by the
long. Costs of keeping the exposure while the price moves are left out. Days without a price or funding are in no strategy, and
are counted. Nothing here is advice.

Alone: `python docs/paper_agent.py` says what the agent would hold now, `python docs/paper_agent.py --record` prints the record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

import perplake
from assets.regimes.forecasts.metrics import bootstrap_weights
from assets.regimes.posture import HOLDING_LOSS, MOVE
from perplake.lake import Lake

#: Of what is traded: fee and half of the spread.
COST = 0.0005
DAYS_OF_YEAR = 365
#: The volatility, annualised, at which the posture begins to hedge: volatility targeting gets the same.
TARGET = HOLDING_LOSS / (MOVE * np.sqrt(7 / DAYS_OF_YEAR))
VOLATILITY_DAYS = 30
DEEP_WEEKS = f"weeks that lose over {HOLDING_LOSS:.0%}"


def decisions(postures: pd.DataFrame, daily: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """By strategy `asset`, `day`, `known_at` and the `exposure` to hold from then on; no row: it stays as it is."""
    rows = postures.merge(daily[["asset", "day", "return_1d"]], on=["asset", "day"]).sort_values(["asset", "day"])
    deviation = rows.groupby("asset")["return_1d"].rolling(VOLATILITY_DAYS).std().droplevel(0)
    targeted = (TARGET / (deviation * np.sqrt(DAYS_OF_YEAR))).clip(upper=1)
    columns = ["asset", "day", "known_at"]
    return {
        "holding": rows[columns].assign(exposure=1.0),
        "posture": rows[columns].assign(exposure=1 - rows["hedge_ratio"]).dropna(),
        "volatility targeting": rows[columns].assign(exposure=targeted).dropna(),
    }


def exposures(days: pd.DataFrame, decided: pd.DataFrame) -> pd.Series:
    """The exposure over each day of `days`, by the last decision that was known at the close before it; 1 before the first.

    Raises `ValueError` for a decision that is said to be known before its day is over: it looks ahead.
    """
    if (early := decided["known_at"] < decided["day"] + pd.Timedelta(days=1)).any():
        raise ValueError(f"{early.sum()} decisions are known before their day is over: they look ahead")
    order = days[["asset", "day"]].reset_index(names="row").sort_values("day")
    known = decided[["asset", "known_at", "exposure"]].sort_values("known_at")
    for table, column in ((order, "day"), (known, "known_at")):
        table[column] = table[column].astype("datetime64[us]")
    found = pd.merge_asof(order, known, left_on="day", right_on="known_at", by="asset")
    return found.set_index("row")["exposure"].fillna(1.0).reindex(days.index)


def net(days: pd.DataFrame, exposure: pd.Series) -> pd.Series:
    """The net return of each day, fraction, after funding and costs; `days` are in the order of asset and day."""
    change = exposure - exposure.groupby(days["asset"]).shift(fill_value=0.0)
    return exposure * (days["return_1d"] - 3 * days["funding_8h"]) - COST * change.abs()


def record(postures: pd.DataFrame, daily: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What each strategy brought, a row each; and the agent less each other, with 95 % intervals of blocks of days.

    `fixed` holds the agent's mean exposure all the time: known in hindsight, it shows what timing alone adds.
    """
    daily = daily[daily["asset"] != "MARKET"].assign(day=lambda t: pd.to_datetime(t["day"])).sort_values(["asset", "day"])
    days = daily.dropna(subset=["return_1d", "funding_8h"]).reset_index(drop=True)
    decided = decisions(postures.assign(day=pd.to_datetime(postures["day"])), daily)
    held = {name: exposures(days, rows) for name, rows in decided.items()}
    held["fixed"] = pd.Series(held["posture"].mean(), days.index)
    returns = {name: net(days, exposure) for name, exposure in held.items()}
    weeks = {name: _weeks(days["asset"], each) for name, each in returns.items()}
    weights = np.vstack([np.ones(len(days)), bootstrap_weights(days["day"])])  # the first draw: as it was
    brought = {name: _by_draw(returns[name].to_numpy(), weeks[name].to_numpy(), weights) for name in held}
    summary = pd.DataFrame(
        {
            "mean exposure": {name: exposure.mean() for name, exposure in held.items()},
            "traded a year": {
                name: exposure.groupby(days["asset"]).diff().abs().mean() * DAYS_OF_YEAR for name, exposure in held.items()
            },
            **{what: {name: brought[name][what][0] for name in held} for what in next(iter(brought.values()))},
            "deepest fall": {name: _deepest_fall(each.groupby(days["day"]).mean()) for name, each in returns.items()},
        }
    )
    found = {}
    for name in (name for name in held if name != "posture"):
        for what, ours in brought["posture"].items():
            value, *draws = ours - brought[name][what]
            low, high = np.nanquantile(draws, [0.025, 0.975])
            found[name, what] = {"difference": value, "low": low, "high": high}
    return summary, pd.DataFrame.from_dict(found, orient="index").rename_axis(["posture less", "what"])


def _by_draw(returns: np.ndarray, weeks: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Yearly return and Sharpe ratio, and the share of deep weeks, in each draw."""
    mean = weights @ returns / weights.sum(axis=1)
    deviation = np.sqrt(np.maximum(weights @ returns**2 / weights.sum(axis=1) - mean**2, 0))
    over = ~np.isnan(weeks)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "return a year": mean * DAYS_OF_YEAR,
            "Sharpe ratio": mean / deviation * np.sqrt(DAYS_OF_YEAR),
            DEEP_WEEKS: weights[:, over] @ (weeks[over] < -HOLDING_LOSS) / weights[:, over].sum(axis=1),
        }


def _weeks(assets: pd.Series, returns: pd.Series) -> pd.Series:
    """The return of the seven days that end with each day; NaN where there are fewer."""
    sums = np.log1p(returns).groupby(assets).rolling(7).sum().droplevel(0).reindex(returns.index)
    return pd.Series(np.expm1(sums))


def _deepest_fall(returns: pd.Series) -> float:
    """Of the mean of all assets, each day the same capital in each."""
    level = (1 + returns).cumprod()
    return float((level / level.cummax().clip(lower=1) - 1).min())


def now(lake: Lake) -> Iterator[str]:
    """What the agent would hold of each asset by the newest posture, in words."""
    newest = "FROM regime_posture QUALIFY day = max(day) OVER (PARTITION BY asset) ORDER BY asset"
    for row in lake.sql(newest, "arrow").to_pylist():
        keep = "unknown volatility: leave it" if row["hedge_ratio"] is None else f"keep {1 - row['hedge_ratio']:.0%}"
        yield f"{row['asset']}: {keep}, by {row['day']}, known at {row['known_at']:%Y-%m-%d %H:%M} UTC"


def main(
    home: Annotated[Path | None, typer.Option(help="home folder of the published copy")] = None,
    record_: Annotated[bool, typer.Option("--record", help="score it over all days that are published")] = False,
) -> None:
    """A paper position by the posture's rule: what to hold now, or what following it would have brought."""
    lake = perplake.open(home)
    if not record_:
        typer.echo("\n".join(now(lake)))
        return
    daily = lake.table("daily_assets")
    summary, differences = record(lake.table("regime_posture"), daily)
    known = daily.dropna(subset=["return_1d", "funding_8h"])
    typer.echo(
        f"{lake.published.origin} data, {known['asset'].nunique()} assets, {known['day'].min():%Y-%m-%d} to "
        f"{known['day'].max():%Y-%m-%d}; {len(daily) - len(known)} of {len(daily)} rows lack a return or funding\n"
    )
    forms = dict.fromkeys(summary, "{:.1%}") | {"traded a year": "{:.1f}", "Sharpe ratio": "{:.2f}"}
    rows = [[str(name), *(forms[what].format(summary[what][name]) for what in summary)] for name in summary.index]
    typer.echo(_markdown(["", *summary], rows))
    rows = [
        [name, what, *(forms[what].replace(":", ":+").format(value) for value in differences.loc[(name, what)])]
        for name, what in differences.index.to_list()
    ]
    typer.echo("\n" + _markdown(["posture less", "", "difference", "low", "high"], rows))


def _markdown(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


if __name__ == "__main__":
    typer.run(main)
