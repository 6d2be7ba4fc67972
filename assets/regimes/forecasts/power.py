"""Would the harness find the effect if there were one, and none where there is none? Scored on markets whose truth is known.

The synthetic market's `Causes` say how much crowded leverage causes cascades: from none (cascades come by chance, as often) to
strong (slow crowds, and no cascade without one). For each strength and seed a market is made, forecast walking forward and
scored against its true cascades. What counts is how often the interval of what perpetuals' data add to the same method without
them lies above zero, and contains it. Generator and plan were frozen first; no method was tuned on these seeds.

    python -m assets.regimes.forecasts.power --seeds 200      # three quarters of an hour on two cores; `--seeds 10` for a look
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
from infra.emulator.synthetic import EPOCH, Causes, SyntheticMarket

#: Eight years of four assets: some twenty cascades apart in time.
DAYS, ASSETS = 3000, 4
STRENGTHS = (0.0, 0.25, 0.5, 1.0)
#: Seeds from here on: the default market's, the tests' and those that methods were made on are below.
FIRST_SEED = 1000
TARGET, METHOD = "cascade", plan.WARNING[1]
SPOKEN = ("climatology", score.AGAINST, methods.METHODS[METHOD].beside, METHOD)


def causes(strength: float) -> Causes:
    """Cascades by slow crowds and by chance, in shares that leave their number about the same."""
    return Causes(strength, half_life_days=30, hazard=0.003, shock=0.03, distance=0.045, chance=(1 - strength) * 0.0003)


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
        days["oi_to_volume"] = days["oi_usd"] / days["usd"].rolling(7).mean()
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
    market = SyntheticMarket(seed, ASSETS, until=EPOCH + DAYS * 24 * MS_HOUR, causes=causes(strength))
    frame = inputs.build(daily(market))
    said = methods.walk_forward(frame, SPOKEN, (TARGET,))
    rows = score.card(frame, said, score.events(frame), synthetic=True, pooled_only=True)
    rows = rows[(rows["target"] == TARGET) & (rows["method"] == METHOD)]
    return {"strength": strength, "seed": seed, **({str(k): v for k, v in rows.iloc[0].items()} if len(rows) else {})}


def table(found: pd.DataFrame) -> pd.DataFrame:
    """By strength: what the harness finds, and how often it finds that perpetuals' data add something, or may add nothing."""
    low, high = found["perps_add_low"], found["perps_add_high"]
    found = found.assign(adds=low > 0, none=(low <= 0) & (high >= 0)).dropna(subset=["auroc"])
    columns = {
        "markets": ("seed", "count"),
        "events": ("events", "median"),
        "auroc": ("auroc", "mean"),
        "perps_add": ("perps_add", "mean"),
        "found_to_add": ("adds", "mean"),
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
        f"`{METHOD}` and `{methods.METHODS[METHOD].beside}`, true cascades within {plan.HORIZON_DAYS} days, plan {plan.HASH}; "
        "synthetic\n"
    )
    typer.echo("| " + " | ".join(str(name).replace("_", " ") for name in made) + " |")
    typer.echo("|---" * len(made.columns) + "|")
    for row in made.to_numpy().tolist():
        typer.echo("| " + " | ".join(f"{value:g}" for value in row) + " |")


if __name__ == "__main__":
    typer.run(main)
