# %% [markdown]
# # A cascade, minute by minute
#
# The day of the window with the largest listed liquidations: when they came, of which side, how many are known, and
# what price, open interest and funding did.
#
# After `make run` this is a **synthetic market** with crashes of its own; no day of it happened. On recordings or live
# data the same cells show a day such as 10 October 2025.

# %%
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.dates import ConciseDateFormatter

import perplake

lake = perplake.open()
origin = lake.published.origin
minutes = lake.table("liquidation_events").sort_values("minute")
days = minutes.groupby(["day", "asset"], as_index=False)[["long_usd", "short_usd", "complete_usd", "events"]].sum()
days.assign(total=days["long_usd"] + days["short_usd"]).nlargest(5, "total")

# %% [markdown]
# Where the table above is empty, no list has an hour of the size that `liquidation_events` keeps the minutes of. The core
# venues give no liquidations to requests; `perps collect` hears them, and other venues list them (`perps run --venues all`).
# The cells below then show the day with the deepest low, without what is not known.
#
# ## The day

# %%
daily = lake.table("daily_assets")
if len(days):
    day, asset = days.loc[(days["long_usd"] + days["short_usd"]).idxmax(), ["day", "asset"]]
else:
    day, asset = daily.loc[daily["low_vs_prev_close"].fillna(0).idxmin(), ["day", "asset"]]
numbers = ["return_1d", "low_vs_prev_close", "oi_change_1d", "funding_8h", "liq_long_usd", "liq_short_usd", "realised_vol_1d"]
trust = [name for name in daily if name.endswith("_trust")]
that_day = daily[(daily["day"] == day) & (daily["asset"] == asset)]
that_day.set_index(["day", "asset"])[[*numbers, *trust]].T

# %% [markdown]
# The regime's label and its reasons, and when they could be known: nothing below was known during the day.

# %%
lake.sql(
    """
    select l.label, l.confidence, l.reasons, l.known_at
    from regime_labels as l where day = ? and asset = ?
    """,
    parameters=[day, asset],
).T

# %% [markdown]
# ## By minute
#
# Sums over all venues are lower bounds: some lists are sampled. The dark line is from complete lists. The lower panel has
# the minutes in which the day's liquidations went from 1 % to 99 % of their sum.

# %%
own = minutes[(minutes["day"] == day) & (minutes["asset"] == asset)].set_index("minute")
hours = lake.sql(
    "select opened_at, median(close) as close from fct_candles where base_asset = ? and opened_at >= ? and opened_at < ? "
    "group by all order by all",
    parameters=[asset, day - pd.Timedelta(days=1), day + pd.Timedelta(days=2)],
).set_index("opened_at")
figure, (above, below) = plt.subplots(2, figsize=(8, 5.5), layout="constrained")
above.plot(hours["close"], color="0.2")
above.set_title(f"{asset}, {day:%Y-%m-%d}: hourly close, median over venues ({origin} data)", loc="left", fontsize=10)
above.xaxis.set_major_formatter(ConciseDateFormatter(above.xaxis.get_major_locator()))
most = own[own["cumulated_share"].between(0.01, 0.99)]
if len(most):
    above.axvspan(most.index.min(), most.index.max() + pd.Timedelta(minutes=1), color="#ee9988", alpha=0.4)
    width = pd.Timedelta(minutes=1)
    below.bar(most.index, most["long_usd"] / 1e6, width, align="edge", color="#ee9988", label="longs")
    below.bar(most.index, -most["short_usd"] / 1e6, width, align="edge", color="#88aadd", label="shorts (down)")
    below.step(
        most.index, most["complete_usd"] / 1e6, where="post", color="#771100", linewidth=1, label="both, from complete lists"
    )
    below.set_title("liquidations listed, million US dollars a minute", loc="left", fontsize=10)
    below.xaxis.set_major_formatter(ConciseDateFormatter(below.xaxis.get_major_locator()))
    below.legend(frameon=False)
else:
    below.set_axis_off()
    below.set_title("no list has this day's liquidations by the minute", loc="left", fontsize=10)

# %% [markdown]
# ## Half of it, and how long it took

# %%
half = own[own["cumulated_share"] >= 0.5].index.min()
pd.Series(
    {"half of the day's liquidations by": half, "minutes with an event": len(own), "venues heard": own["venues_covered"].max()}
)

# %% [markdown]
# ## Who lost open interest
#
# By venue, in coins, so that the fall of the price alone is no change; a venue without open interest is left out, not
# zero.

# %%
venues = lake.sql(
    """
    select venue, day, sum(oi_base) as oi_coins from daily_instruments
    where base_asset = ? and day between ?::date - 1 and ?::date + 1 group by all order by all
    """,
    parameters=[asset, day, day],
)
venues.pivot(index="venue", columns="day", values="oi_coins")
