"""Would the harness find the effect if there were one, and none where there is none? Scored on markets whose truth is known.

The synthetic market's `crowding` is how much crowded leverage causes cascades: from none to strong. For each strength and seed
a market is made, forecast walking forward and scored against its true cascades; what counts is how often the interval of what
the crowding adds over volatility alone lies above zero. Generator and plan are frozen; no method was tuned on these seeds.

    python -m assets.regimes.forecasts.power --seeds 200      # two hours on two cores; `--seeds 10` for a look
"""

from __future__ import annotations

import os
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from assets.regimes.forecasts import inputs, methods, plan, score
from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import EPOCH, SyntheticMarket

DAYS = 600
STRENGTHS = (0.0, 0.5, 1.0, 1.5)
#: Seeds from here on: the default market's and the tests' are below.
FIRST_SEED = 1000
SPOKEN = ("climatology", "volatility_alone", "funding_alone", "claim", "har", "logistic")
METHOD = plan.WARNING[1]


def daily(market: SyntheticMarket, venue: str = "binance") -> pd.DataFrame:
    """Daily rows of one venue's market (`inputs.NEEDS`), a day labelled `cascade` where the market's truth says so."""
    made, truth = [], {(e.asset, e.start_ms // (24 * MS_HOUR)) for e in market.events() if e.kind == "cascade"}
    for listing in market.listings(venue):
        bars, held = market.candles(venue, listing.listed, "trade"), market.open_interest(venue, listing.listed)
        funding, forced = market.funding(venue, listing.listed), market.liquidations(venue, listing.listed)
        index = market.candles(venue, listing.listed, "index")
        if bars is None or held is None or funding is None or forced is None or index is None:
            continue
        hours = pd.DataFrame({"at": bars.opened_at, "low": bars.low, "close": bars.close, "usd": bars.quote_volume})
        hours["day"], hours["basis"] = hours["at"] // (24 * MS_HOUR), bars.close / index.close - 1
        hours["squared"] = np.log(hours["close"]).diff() ** 2
        days = hours.groupby("day").agg(
            close=("close", "last"), low=("low", "min"), usd=("usd", "sum"), squared=("squared", "sum"), basis=("basis", "last")
        )
        days["realised_vol_1d"] = np.sqrt(days["squared"] * 365)
        coins = pd.DataFrame({"day": (held.observed_at - 1) // (24 * MS_HOUR), "size": held.size}).groupby("day")["size"].last()
        days["oi_change_1d"], days["oi_usd"] = coins.pct_change(fill_method=None), coins * days["close"]
        days["leverage"] = days["oi_usd"] / days["usd"].rolling(7).mean()
        paid = (
            pd.DataFrame({"day": (funding.settled_at - 1) // (24 * MS_HOUR), "rate": funding.rate}).groupby("day")["rate"].sum()
        )
        days["funding_8h"] = paid / 3
        worth = pd.DataFrame({"day": forced.time // (24 * MS_HOUR), "long": forced.long, "usd": forced.price * forced.size})
        for side, name in ((True, "liq_long_usd"), (False, "liq_short_usd")):
            days[name] = worth[worth["long"] == side].groupby("day")["usd"].sum().reindex(days.index, fill_value=0.0)
        days["liq_over_oi"] = (days["liq_long_usd"] + days["liq_short_usd"]) / days["oi_usd"]
        days["drawdown_7d"] = days["close"] / days["close"].rolling(7).max() - 1
        days["label"] = ["cascade" if (listing.base, day) in truth else "neutral" for day in days.index]
        days["day"] = pd.to_datetime(days.index * 24 * MS_HOUR, unit="ms")
        made.append(days.assign(asset=listing.base).reindex(columns=list(inputs.NEEDS)))
    return pd.concat(made, ignore_index=True)


def one(seed: int, strength: float) -> dict[str, Any]:
    """What the scorecard says of one market: the pooled row of the warning's method for true cascades."""
    warnings.simplefilter("ignore")
    market = SyntheticMarket(seed, until=EPOCH + DAYS * 24 * MS_HOUR, crowding=strength)
    frame = inputs.build(daily(market))
    card = score.card(frame, methods.walk_forward(frame, SPOKEN), synthetic=True)
    rows = card[(card["target"] == "cascade") & (card["asset"] == score.POOLED) & (card["method"] == METHOD)]
    # Without cascades there is nothing to rank: what crowding adds is then asked of crashes.
    if rows.empty:
        rows = card[(card["target"] == "crash10") & (card["asset"] == score.POOLED) & (card["method"] == METHOD)]
    said = {str(name): value for name, value in rows.iloc[0].items()} if len(rows) else {"target": "none"}
    return {"strength": strength, "seed": seed, **said}


def table(found: pd.DataFrame) -> pd.DataFrame:
    """By strength: how often the harness finds that crowding adds something, and what it finds."""
    low, high = found["over_low"], found["over_high"]
    found = found.assign(adds=low > 0, none=(low <= 0) & (high >= 0))
    columns = {
        "markets": ("seed", "count"),
        "events": ("events", "median"),
        "auroc": ("auroc", "mean"),
        "over_volatility": ("auroc_over_volatility", "mean"),
        "found": ("adds", "mean"),
        "interval_contains_zero": ("none", "mean"),
        "recall": ("recall_events", "mean"),
        "lead_days": ("lead_days", "median"),
        "false_alarms_per_year": ("false_alarms_per_year", "mean"),
    }
    return found.groupby("strength").agg(**columns)


def main(
    seeds: Annotated[int, typer.Option(help="markets a strength")] = 200,
    workers: Annotated[int, typer.Option(help="processes")] = os.cpu_count() or 1,
) -> None:
    """Print the power curve as a Markdown table."""
    rows = []
    with ProcessPoolExecutor(workers) as pool:
        for strength in STRENGTHS:
            rows += list(pool.map(partial(one, strength=strength), range(FIRST_SEED, FIRST_SEED + seeds)))
    made = table(pd.DataFrame(rows)).round(3).reset_index()
    typer.echo(
        f"`{METHOD}` against volatility alone, true cascades within {plan.HORIZON_DAYS} days, plan {plan.HASH}; synthetic\n"
    )
    typer.echo("| " + " | ".join(str(name).replace("_", " ") for name in made) + " |")
    typer.echo("|---" * len(made.columns) + "|")
    for row in made.to_numpy().tolist():
        typer.echo("| " + " | ".join(f"{value:g}" for value in row) + " |")


if __name__ == "__main__":
    typer.run(main)
