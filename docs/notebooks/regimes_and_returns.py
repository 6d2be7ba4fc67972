# %% [markdown]
# # Regimes and what came after
#
# Returns after each label, with 95 % intervals. A label is known after its day is over (`known_at`), so a return here
# begins with the first daily close after that, not with the close of the labelled day.
#
# After `make run` this is a **synthetic market**: what follows a label there is what its generator does, and no
# market's habit.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import perplake

lake = perplake.open()
DAYS, BLOCK, DRAWS = 7, 14, 2000
labels = lake.sql("""
    select l.day, l.asset, l.label, l.confidence, l.known_at, d.close
    from regime_labels as l join daily_assets as d using (day, asset)
    order by asset, day
""")
labels["label"].value_counts().to_frame("days")

# %% [markdown]
# ## From the first close that could be traded
#
# A daily close is at the end of its day. The wait is the number of days from the label's day to the day of that close.

# %%
midnight = labels["known_at"].dt.normalize()
entry = midnight.where(labels["known_at"] == midnight, midnight + pd.Timedelta(days=1)) - pd.Timedelta(days=1)
closes = labels.pivot(index="day", columns="asset", values="close").asfreq("D")


def close_at(days: pd.Series) -> np.ndarray:
    """The closes of the rows' assets on these days; NaN where there is none."""
    places = zip(days, labels["asset"], strict=True)
    return np.array([closes[asset].get(day, np.nan) for day, asset in places])


labels["forward"] = close_at(entry + pd.Timedelta(days=DAYS)) / close_at(entry) - 1
pd.Series({"wait, days": (entry - labels["day"]).dt.days.max(), "rows": len(labels), "with a return": labels["forward"].count()})

# %% [markdown]
# ## Intervals
#
# Returns of neighbouring days overlap, and assets fall together, so rows are not independent. The bootstrap draws
# blocks of days, all assets of a day at once. A label with few days has a wide interval or none: that is the answer.


# %%
def interval(rows: pd.DataFrame) -> tuple[float, float]:
    """The 95 % interval of the mean, by a circular block bootstrap of days."""
    by_day = rows.groupby("day")["forward"].agg(["sum", "count"]).reindex(closes.index, fill_value=0)
    places = np.random.default_rng(7).integers(0, len(by_day), (DRAWS, -(-len(by_day) // BLOCK)))
    drawn = ((places[..., None] + np.arange(BLOCK)) % len(by_day)).reshape(DRAWS, -1)[:, : len(by_day)]
    sums, counts = by_day["sum"].to_numpy()[drawn].sum(1), by_day["count"].to_numpy()[drawn].sum(1)
    low, high = np.quantile((sums[counts > 0] / counts[counts > 0]), [0.025, 0.975])
    return float(low), float(high)


known = labels.dropna(subset="forward")
known = known[known["asset"] != "MARKET"]
found = {}
for label, rows in [*known.groupby("label"), ("any", known)]:
    if rows["day"].nunique() >= 2 * DAYS:
        found[label] = (rows["day"].nunique(), rows["forward"].mean(), *interval(rows), (rows["forward"] > 0).mean())
table = pd.DataFrame.from_dict(found, orient="index", columns=["days", "mean", "low", "high", "share above zero"])
table.style.format("{:.1%}", subset=["mean", "low", "high", "share above zero"]).format("{:.0f}", subset=["days"])

# %%
figure, axes = plt.subplots(figsize=(8, 0.5 * len(table) + 1.4))
errors = [table["mean"] - table["low"], table["high"] - table["mean"]]
axes.errorbar(table["mean"], range(len(table)), xerr=errors, fmt="o", color="#0077bb", capsize=3)
axes.set_yticks(range(len(table)), table.index)
axes.axvline(0, color="0.8", linewidth=1)
axes.xaxis.set_major_formatter("{x:.0%}")
axes.set_title(f"return over {DAYS} days after the label was known ({lake.published.origin} data)", loc="left", fontsize=10)
figure.tight_layout()

# %% [markdown]
# An interval that holds zero says that these days don't tell the label from nothing. Of many labels one misses zero by
# chance; the [scorecard](../scorecard.md) counts that, and compares forecasts with what volatility alone says.
