# %% [markdown]
# # Funding arbitrage
#
# Long where funding is low, short where it is high: prices cancel, and the difference of two rates remains. What was
# charged, what a pair earned that one could choose the day before, and what trading leaves of it.
#
# After `make run` this is a **synthetic market**: its numbers show how to ask and say nothing of a real one. `origin`
# below tells which market was read.

# %%
import matplotlib.pyplot as plt
import pandas as pd

import perplake

lake = perplake.open()
pd.Series(vars(lake.published)).drop("path").astype(str).to_frame("published")

# %% [markdown]
# ## What longs paid
#
# The sum of the rates as charged, over the window, by venue and asset. Below 1, the coverage says that settlements are
# missing and the sum is short.

# %%
charged = lake.sql("""
    select base_asset as asset, venue, sum(rate_interval) as paid
    from fct_funding_rates where base_asset is not null group by all order by all
""")
charged.pivot(index="asset", columns="venue", values="paid").map("{:.2%}".format)

# %%
coverage = lake.coverage()
coverage[coverage["dataset"] == "funding_rates"]

# %% [markdown]
# ## In hindsight, and without it
#
# The pair with the widest spread of a day is known when the day is over. `daily_funding_pairs` has every pair, and
# marks the one that was the widest **the day before**: that one could be held. Each change of a pair closes two legs
# and opens two; `COST` is the fee and the half spread of one of them, as a fraction.

# %%
COST = 0.0005
pairs = lake.table("daily_funding_pairs").sort_values("day")
pair = ["long_venue", "short_venue"]

widest = pairs.loc[pairs.dropna(subset="charged").groupby(["asset", "day"])["charged"].idxmax()]
fixed = pairs.groupby(["asset", *pair])["charged"].sum().groupby("asset").max()
chosen = pairs[pairs["was_widest_before"].fillna(False)].drop_duplicates(["asset", "day"])
held = chosen[["asset", *pair]]
changed = (held != held.groupby(chosen["asset"]).shift().reindex(columns=held.columns)).loc[:, pair].any(axis=1)
chosen = chosen.assign(cost=4 * COST * changed)

by_asset = pd.DataFrame(
    {
        "widest of each day (hindsight)": widest.groupby("asset")["charged"].sum(),
        "best fixed pair (hindsight)": fixed,
        "widest of the day before": chosen.groupby("asset")["charged"].sum(),
        "the same, after costs": chosen.groupby("asset")["charged"].sum() - chosen.groupby("asset")["cost"].sum(),
        "changes of pair": chosen.groupby("asset")["cost"].agg(lambda cost: (cost > 0).sum()),
    }
)
by_asset.style.format("{:.2%}", subset=by_asset.columns[:4]).format("{:.0f}", subset=["changes of pair"])

# %%
asset = "BTC" if "BTC" in set(pairs["asset"]) else pairs["asset"].min()
one = chosen[chosen["asset"] == asset].set_index("day")
figure, axes = plt.subplots(figsize=(8, 3.2))
axes.plot(
    widest[widest["asset"] == asset].set_index("day")["charged"].cumsum(), label="widest of each day (hindsight)", color="0.6"
)
axes.plot(one["charged"].cumsum(), label="widest of the day before", color="#0077bb")
axes.plot((one["charged"] - one["cost"]).cumsum(), label="after costs", color="#cc3311")
axes.axhline(0, color="0.8", linewidth=1)
axes.yaxis.set_major_formatter("{x:.1%}")
axes.set_title(f"{asset}: earned by funding, fraction of one leg ({lake.published.origin} data)", loc="left", fontsize=10)
axes.legend(frameon=False)
figure.autofmt_xdate()

# %% [markdown]
# Left out: the margin of two venues, the price between two fills, withdrawal, and a venue that fails. `charged` is null
# on days of which a settlement is missing, and such a day is in no sum.
