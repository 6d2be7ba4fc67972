"""Statistical power of the scorecard: how often it finds an effect of a known strength, and how often one that does not exist.

The synthetic market's `Causes` set how much crowded leverage causes cascades, from none (cascades by chance, equally often) to
strong (slow crowding, and no cascade without it). For each strength and seed, a market is generated, forecast walking forward and
scored against its true cascades. The result is how often the interval of `perp_data_gain` lies above zero, and how often it
contains zero. Generator and plan were fixed before; no method was tuned on these seeds.

    python -m infra.bench.power --seeds 200      # three quarters of an hour on two cores; `--seeds 10` for a quick look
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

from assets.regimes.forecasts import events, inputs, methods, plan, score
from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import EPOCH, Causes, SyntheticMarket

#: Eight years of four assets have about twenty separate cascades.
DAYS, ASSETS = 3000, 4
STRENGTHS = (0.0, 0.25, 0.5, 1.0)
#: Seeds below are those of the default market, of tests and of the development of methods.
FIRST_SEED = 1000
TARGET, METHOD = "cascade", plan.WARNING[1]
SCORED = ("climatology", score.REFERENCE, methods.METHODS[METHOD].without_perps, METHOD)


def causes(strength: float) -> Causes:
    """Cascades by slow crowding and by chance, in shares that keep their number about the same."""
    return Causes(strength, half_life_days=30, hazard=0.003, shock=0.03, distance=0.045, chance=(1 - strength) * 0.0003)


def daily_rows(market: SyntheticMarket, venue: str = "binance") -> pd.DataFrame:
    """Daily rows of one venue (`inputs.REQUIRED_COLUMNS`), labelled `cascade` on the days of the market's true cascades."""
    assets, cascades = [], {(e.asset, e.start_ms // (24 * MS_HOUR)) for e in market.events() if e.kind == "cascade"}
    for listing in market.listings(venue):
        bars, interest = market.candles(venue, listing.listed, "trade"), market.open_interest(venue, listing.listed)
        funding, liquidations = market.funding(venue, listing.listed), market.liquidations(venue, listing.listed)
        index = market.candles(venue, listing.listed, "index")
        if bars is None or interest is None or funding is None or liquidations is None or index is None:
            continue
        hours = pd.DataFrame({"at": bars.opened_at, "low": bars.low, "close": bars.close, "usd": bars.quote_volume})
        hours["day"], hours["basis"] = hours["at"] // (24 * MS_HOUR), bars.close / index.close - 1
        hours["squared"] = np.log(hours["close"]).diff() ** 2
        days = hours.groupby("day").agg(
            close=("close", "last"), low=("low", "min"), usd=("usd", "sum"), squared=("squared", "sum"), basis=("basis", "last")
        )
        days["realised_vol_1d"] = np.sqrt(days["squared"] * 365)
        coins = (
            pd.DataFrame({"day": (interest.observed_at - 1) // (24 * MS_HOUR), "size": interest.size})
            .groupby("day")["size"]
            .last()
        )
        days["oi_change_1d"], days["oi_usd"] = coins.pct_change(fill_method=None), coins * days["close"]
        days["oi_to_volume"] = days["oi_usd"] / days["usd"].rolling(7).mean()
        charged = (
            pd.DataFrame({"day": (funding.settled_at - 1) // (24 * MS_HOUR), "rate": funding.rate}).groupby("day")["rate"].sum()
        )
        days["funding_8h"] = charged / 3
        closed = pd.DataFrame(
            {"day": liquidations.time // (24 * MS_HOUR), "long": liquidations.long, "usd": liquidations.price * liquidations.size}
        )
        for side, name in ((True, "liq_long_usd"), (False, "liq_short_usd")):
            days[name] = closed[closed["long"] == side].groupby("day")["usd"].sum().reindex(days.index, fill_value=0.0)
        days["liq_over_oi"] = (days["liq_long_usd"] + days["liq_short_usd"]) / days["oi_usd"]
        days["drawdown_7d"] = days["close"] / days["close"].rolling(7).max() - 1
        days["label"] = ["cascade" if (listing.base, day) in cascades else "neutral" for day in days.index]
        days["day"] = pd.to_datetime(days.index * 24 * MS_HOUR, unit="ms")
        assets.append(days.assign(asset=listing.base).reindex(columns=list(inputs.REQUIRED_COLUMNS)))
    return pd.concat(assets, ignore_index=True)


def score_market(seed: int, strength: float) -> dict[str, Any]:
    """The scorecard's pooled row of `METHOD` for the true cascades of one market."""
    warnings.simplefilter("ignore")
    market = SyntheticMarket(seed, ASSETS, until=EPOCH + DAYS * 24 * MS_HOUR, causes=causes(strength))
    frame = inputs.build(daily_rows(market))
    forecasts = methods.walk_forward(frame, SCORED, (TARGET,))
    rows = score.build_scorecard(frame, forecasts, events.find_events(frame), synthetic=True, pooled_only=True)
    rows = rows[(rows["target"] == TARGET) & (rows["method"] == METHOD)]
    return {"strength": strength, "seed": seed, **({str(k): v for k, v in rows.iloc[0].items()} if len(rows) else {})}


def power_table(rows: pd.DataFrame) -> pd.DataFrame:
    """By strength: mean scores, and how often the interval of `perp_data_gain` lies above zero or contains it."""
    low, high = rows["perp_data_gain_low"], rows["perp_data_gain_high"]
    rows = rows.assign(above=low > 0, contains=(low <= 0) & (high >= 0)).dropna(subset=["auroc"])
    columns = {
        "markets": ("seed", "count"),
        "events": ("events", "median"),
        "auroc": ("auroc", "mean"),
        "perp_data_gain": ("perp_data_gain", "mean"),
        "interval_above_zero": ("above", "mean"),
        "interval_contains_zero": ("contains", "mean"),
        "recall": ("recall_events", "mean"),
        "lead_days": ("lead_days", "median"),
        "false_alarms_per_year": ("false_alarms_per_year", "mean"),
    }
    return rows.groupby("strength").agg(**columns)


def main(
    seeds: Annotated[int, typer.Option(help="markets for each strength")] = 200,
    workers: Annotated[int, typer.Option(help="processes")] = os.cpu_count() or 1,
) -> None:
    """Print the power curve as a Markdown table."""
    rows = []
    with ProcessPoolExecutor(workers) as pool:
        for strength in STRENGTHS:
            rows += list(pool.map(partial(score_market, strength=strength), range(FIRST_SEED, FIRST_SEED + seeds)))
    table = power_table(pd.DataFrame(rows)).round(3).reset_index()
    without_perps = methods.METHODS[METHOD].without_perps
    typer.echo(f"`{METHOD}` and `{without_perps}`, true cascades within {plan.HORIZON_DAYS} days, plan {plan.HASH}; synthetic\n")
    typer.echo("| " + " | ".join(str(name).replace("_", " ") for name in table) + " |")
    typer.echo("|---" * len(table.columns) + "|")
    for row in table.to_numpy().tolist():
        typer.echo("| " + " | ".join(f"{value:g}" for value in row) + " |")


if __name__ == "__main__":
    typer.run(main)
