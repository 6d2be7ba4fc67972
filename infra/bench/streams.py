"""What sampled liquidation streams miss, and what that costs the label `cascade`: on synthetic markets, whose truth is known.

The synthetic market says how much is closed by force in each hour, venue and coin, and when its cascades are. Here an hour is cut
into orders: Pareto sizes (exponent `TAIL`) about the mean of `MEAN_ORDER`, at times of a multiplicative cascade with bias b (the
"b-model" of Wang and others, 2002): one half of each stretch of time has the share b of its orders, by chance the first or the
second; 0.5 is even. Orders pass the rule of the venue's stream as the emulator plays it (`largest_a_symbol`): of a symbol in a
second the largest, or by Binance's older wording the latest.

    python -m infra.bench.streams     # five minutes on one core; `--seeds 1` for a quick look
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import typer

from assets.regimes import label
from assets.regimes.thresholds import FORCED_SHARE
from infra.emulator.store import MS_HOUR, Bools, Floats, Ints
from infra.emulator.synthetic import EPOCH, SyntheticMarket

DAYS = 365
#: Seeds from which `FORCED_SHARE` was chosen, and those that are scored: others than that of the default market.
CHOSEN_FROM, FIRST_SEED = range(100, 104), 200
DAY = 24 * MS_HOUR
#: The completeness classes of `venue_facts.csv` of what is heard today, by the store's names; Bitget and HTX state none.
SAMPLED = ("binance", "binance_coinm", "okx")
COMPLETE = ("bybit", "bybit_inverse", "deribit", "dydx", "gate", "kraken", "gmx")
UNSTATED = ("bitget", "htx", "htx_coinm")
#: US dollars: Hyperliquid's fills of December 2025, by coin; of the others a guess between those.
MEAN_ORDER = {"BTC": 12_000.0, "ETH": 15_000.0, "SOL": 5_500.0, "HYPE": 2_500.0, "DOGE": 2_000.0}
OTHER_ORDER = 4_000.0
#: As the emulator's cascades have it; between an even market and one that a few orders make up.
TAIL = 1.5
BIASES = (0.5, 0.7, 0.8)
LEVELS = 12  # 4,096 stretches of an hour, each under a second
RATES = (0.01, 0.1, 0.3, 1, 3, 10, 30, 100)
SIZES = (0.0, 1e5, 1e6, 1e7, 1e8, np.inf)
Rule = Literal["largest", "latest"]


def kept(times: Ints, usd: Floats, rule: Rule = "largest") -> Bools:
    """Which orders of one symbol a sampled stream shows: one a second. `times` in ms, ascending."""
    second = times // 1000
    order = np.lexsort((usd, second)) if rule == "largest" else np.arange(len(times))
    last = np.ones(len(times), dtype=bool)
    last[:-1] = second[order][1:] != second[order][:-1]
    shown = np.zeros(len(times), dtype=bool)
    shown[order[last]] = True
    return shown


def orders(usd: float, mean: float, bias: float, rng: np.random.Generator) -> tuple[Ints, Floats]:
    """An hour's orders that add up to `usd`: ms within the hour, ascending, and US dollars."""
    count = max(1, round(usd / mean))
    sizes = rng.pareto(TAIL, count) + 1
    shares = np.ones(1)
    for _ in range(LEVELS):
        first = np.where(rng.random(len(shares)) < 0.5, bias, 1 - bias)
        shares = np.stack([shares * first, shares * (1 - first)], axis=1).ravel()
    place = np.searchsorted(np.cumsum(shares), rng.random(count) * shares.sum())
    times = ((np.minimum(place, 2**LEVELS - 1) + rng.random(count)) / 2**LEVELS * MS_HOUR).astype(np.int64)
    return np.sort(times), sizes * (usd / sizes.sum())


def forced_hours(market: SyntheticMarket, venues: Iterable[str]) -> pd.DataFrame:
    """`venue`, `asset`, `hour` (ms) and US dollars closed by force in it, `usd`."""
    frames: list[pd.DataFrame] = []
    for venue in venues:
        for listing in market.listings(venue):
            forced = market.liquidations(venue, listing.listed)
            assert forced is not None
            rows = pd.DataFrame({"hour": forced.time // MS_HOUR * MS_HOUR, "usd": forced.price * forced.size})
            frames.append(rows.groupby("hour", as_index=False).agg(usd=("usd", "sum")).assign(venue=venue, asset=listing.base))
    hours: pd.DataFrame = pd.concat(frames, ignore_index=True)
    return hours


def heard_hours(hours: pd.DataFrame, bias: float, seed: int) -> pd.DataFrame:
    """`forced_hours` of sampled streams with `orders`, and what is shown of them: `largest_orders` and `largest_usd`."""
    rng = np.random.default_rng(seed)
    found = []
    for asset, usd in zip(hours["asset"], hours["usd"], strict=True):
        times, sizes = orders(usd, MEAN_ORDER.get(asset, OTHER_ORDER), bias, rng)
        shown = kept(times, sizes)
        found.append((len(times), shown.sum(), sizes[shown].sum()))
    columns = ["orders", "largest_orders", "largest_usd"]
    return hours.assign(**dict(zip(columns, np.array(found).T, strict=True)))


def missed_by_size(hours: pd.DataFrame, seed: int) -> Iterator[tuple[str, ...]]:
    """By venue and size of an hour of a coin: hours, orders a second, shares of orders and of USD missed by each of `BIASES`."""
    names = ["under 0.1", "0.1 to 1", "1 to 10", "10 to 100", "100 and more"]
    size = pd.cut(hours["usd"], SIZES, right=False, labels=names)
    heard = [heard_hours(hours, bias, seed) for bias in BIASES]
    for venue in hours["venue"].unique():
        for name in names:
            rows = (hours["venue"] == venue) & (size == name)
            sums = [each.loc[rows, ["usd", "orders", "largest_usd", "largest_orders"]].sum() for each in heard]
            missed = [
                " / ".join(f"{1 - each[f'largest_{what}'] / each[what]:.0%}" for each in sums) for what in ("orders", "usd")
            ]
            if rows.any():
                yield (venue, name, f"{rows.sum():,}", f"{sums[0]['orders'] / rows.sum() / 3600:.2g}", *missed)


def missed_by_rate(rate: float, seconds: int = 20_000) -> tuple[str, ...]:
    """At `rate` orders a second, evenly: orders missed by formula, 1 - (1 - e^-r) / r, US dollars missed by 20,000 seconds."""
    rng = np.random.default_rng(7)
    times = np.sort(rng.integers(0, seconds * 1000, rng.poisson(rate * seconds)))
    sizes = rng.pareto(TAIL, len(times)) + 1
    rules: tuple[Rule, ...] = ("largest", "latest")
    usd = (1 - sizes[kept(times, sizes, rule)].sum() / sizes.sum() for rule in rules)
    return (f"{rate:g}", f"{1 - (1 - np.exp(-rate)) / rate:.1%}", *(f"{share:.1%}" for share in usd))


def daily_rows(market: SyntheticMarket, listed: pd.DataFrame, complete: Iterable[str]) -> pd.DataFrame:
    """Daily rows of all venues, as `assets.regimes.label` takes them. Liquidations are those `listed` (`forced_hours`).

    Prices are Binance's, open interest the sum over venues, funding and volume play no part in a cascade and are left out.
    """
    complete, frames = set(complete), []
    usd: pd.DataFrame = listed.assign(day=listed["hour"] // DAY).groupby(["asset", "venue", "day"])["usd"].sum().unstack("venue")
    for listing in market.listings("binance"):
        bars = market.candles("binance", listing.listed, "trade")
        assert bars is not None
        hours = pd.DataFrame({"day": bars.opened_at // DAY, "high": bars.high, "low": bars.low, "close": bars.close})
        hours["squared"] = np.log(hours["close"]).diff() ** 2
        days = hours.groupby("day").agg(
            high=("high", "max"), low=("low", "min"), close=("close", "last"), squared=("squared", "sum")
        )
        days["realised_vol_1d"] = np.sqrt(days["squared"] * 365)
        days["realised_vol_7d"] = np.sqrt(days["squared"].rolling(7).mean() * 365)
        days["drawdown_7d"] = (days["close"] / days["high"].rolling(7).max() - 1).clip(upper=0)
        days["low_vs_prev_close"] = days["low"] / days["close"].shift() - 1
        coins = pd.DataFrame({venue: _coins(market, venue, listing.base) for venue in market.venues}).reindex(days.index)
        days["oi_change_1d"] = coins.sum(axis=1).pct_change(fill_method=None)
        oi = coins.mul(days["close"], axis=0)
        known = [venue for venue in oi if venue in complete and oi[venue].notna().any()]
        of_asset = usd[usd.index.get_level_values("asset") == listing.base].droplevel("asset")
        forced = of_asset.reindex(days.index).fillna(0.0)
        days["liq_complete_oi_share"] = oi[known].sum(axis=1) / oi.sum(axis=1)
        days["liq_complete_over_oi"] = forced.reindex(columns=known).sum(axis=1) / oi[known].sum(axis=1) if known else np.nan
        days["liq_at_least_over_oi"] = forced.sum(axis=1) / oi.sum(axis=1) if len(forced.columns) else np.nan
        frames.append(days.reset_index().assign(asset=listing.base))
    rows = pd.concat(frames, ignore_index=True)
    rows["day"] = pd.to_datetime(rows["day"] * DAY, unit="ms")
    venues = len(market.venues)
    counts = {f"{name}_venues": venues for name in ("price", "funding", "oi", "liq")}
    shares = {f"coverage_{name}": 1.0 for name in ("price", "funding", "oi", "liquidations")}
    return rows.assign(funding_8h=np.nan, oi_to_volume=np.nan, funding_weighting=None, venues_total=venues, **counts, **shares)


def _coins(market: SyntheticMarket, venue: str, base: str) -> pd.Series:
    """A venue's open interest in coins at the end of each day, by day; empty where it doesn't list the asset."""
    for listing in market.listings(venue):
        if listing.base == base:
            interest = market.open_interest(venue, listing.listed)
            assert interest is not None
            at = interest.observed_at % DAY == 0
            return pd.Series(interest.size[at] * listing.multiplier, interest.observed_at[at] // DAY - 1)
    return pd.Series(dtype=float)


def cascade_days(market: SyntheticMarket) -> pd.DataFrame:
    """`day`, `asset` and number (`event`) of the true cascades."""
    found = [
        (pd.to_datetime(day * DAY, unit="ms"), event.asset, number)
        for number, event in enumerate(e for e in market.events() if e.kind == "cascade")
        for day in range(event.start_ms // DAY, (event.end_ms - 1) // DAY + 1)
    ]
    return pd.DataFrame(found, columns=["day", "asset", "event"])


def scores(labels: pd.DataFrame, truth: pd.DataFrame) -> dict[str, int]:
    """Days named, those that are a cascade's, cascades, those that were named on a day of theirs, and days by liquidations."""
    named = labels[labels["label"] == "cascade"].merge(truth, how="left", on=["day", "asset"])
    return {
        "named": len(named),
        "right": int(named["event"].notna().sum()),
        "cascades": truth["event"].nunique(),
        "found": named["event"].nunique(),
        "by_liquidations": int((named["cascade_evidence"] == "liquidations").sum()),
    }


def score_seed(seed: int) -> Iterator[tuple[str, dict[str, int]]]:
    """The scores of the label by what is heard, on one market of `DAYS`."""
    market = SyntheticMarket(seed, until=EPOCH + DAYS * DAY)
    truth = cascade_days(market)
    hours = forced_hours(market, market.venues)
    heard = [hours[hours["venue"].isin((*COMPLETE, *UNSTATED))]]
    sampled = heard_hours(hours[hours["venue"].isin(SAMPLED)], 0.7, seed)
    heard.append(sampled.assign(usd=sampled["largest_usd"]))
    cases: dict[str, tuple[pd.DataFrame, tuple[str, ...]]] = {
        "open interest alone": (hours[:0], ()),
        "liquidations of all venues, complete": (hours, tuple(market.venues)),
        "streams as they are": (pd.concat(heard), COMPLETE),
        "sampled streams alone": (heard[1], ()),
    }
    for name, (listed, complete) in cases.items():
        yield name, scores(label(daily_rows(market, listed, complete))[1], truth)


def limits(shares: Iterable[float]) -> Iterator[tuple[str, ...]]:
    """How `FORCED_SHARE` was chosen: precision and recall of other limits with all liquidations known, on `CHOSEN_FROM`."""
    from assets.regimes import features, rules, schemas

    markets = [SyntheticMarket(seed, until=EPOCH + DAYS * DAY) for seed in CHOSEN_FROM]
    built = [
        (features.build(schemas.DAILY.validate(daily_rows(m, forced_hours(m, m.venues), m.venues))), cascade_days(m))
        for m in markets
    ]
    for share in shares:
        limit = {"liquidations_high_limit": share, "listed_liquidations_high_limit": share}
        total = pd.DataFrame([scores(rules.apply(rows.assign(**limit)), truth) for rows, truth in built]).sum()
        yield (f"{share:.0%}", f"{total['right'] / total['named']:.0%}", f"{total['found'] / total['cascades']:.0%}")


def table(*lines: tuple[str, ...]) -> None:
    """Print a Markdown table; the first line is its head."""
    for line in (lines[0], ("---",) * len(lines[0]), *lines[1:]):
        typer.echo("| " + " | ".join(line) + " |")
    typer.echo()


def main(seeds: Annotated[int, typer.Option(help="Markets whose labels are scored, a year of eight coins each.")] = 4) -> None:
    """Print the tables of the documentation."""
    head: tuple[str, ...] = ("orders a second", "orders missed", "USD missed, largest shown", "USD missed, latest shown")
    table(head, *map(missed_by_rate, RATES))
    market = SyntheticMarket(FIRST_SEED, until=EPOCH + DAYS * DAY)
    each = f"b = {' / '.join(map(str, BIASES))}"
    head = ("venue", "million USD in the hour", "hours", "orders a second", f"orders missed, {each}", f"USD missed, {each}")
    table(head, *missed_by_size(forced_hours(market, SAMPLED), FIRST_SEED))
    results = [{"heard": name, **result} for seed in range(FIRST_SEED, FIRST_SEED + seeds) for name, result in score_seed(seed)]
    head = ("the label reads", "cascades", "named on a day of theirs", "days named", "of them in a cascade", "by liquidations")
    table(head, *(_shares(str(name), row) for name, row in pd.DataFrame(results).groupby("heard", sort=False).sum().iterrows()))
    typer.echo(f"The limit, {FORCED_SHARE:.0%} of open interest, was chosen on other seeds, with all liquidations known:\n")
    table(("limit", "days named that are a cascade's", "cascades named"), *limits((0.02, 0.03, 0.05, 0.06, 0.08, 0.1)))


def _shares(name: str, row: pd.Series) -> tuple[str, ...]:
    named = max(row["named"], 1)
    found, right, by = row["found"] / row["cascades"], row["right"] / named, row["by_liquidations"] / named
    return (name, f"{row['cascades']}", f"{found:.0%}", f"{row['named']}", f"{right:.0%}", f"{by:.0%}")


if __name__ == "__main__":
    typer.run(main)
