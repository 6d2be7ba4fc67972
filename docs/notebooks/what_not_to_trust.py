# %% [markdown]
# # What not to trust
#
# A number is as good as what is behind it. Before a chart: which numbers are whole, which are a part, estimated, a
# lower bound or suspect, and why.
#
# After `make run` this is a **synthetic market** whose venues lack what the real ones lack: histories that end, lists
# that are sampled.

# %%
import matplotlib.pyplot as plt
import pandas as pd

import perplake

lake = perplake.open()
daily = lake.table("daily_assets")
pd.Series({"origin": lake.published.origin, "published": lake.published.published_at, "stale": lake.stale or "no"}).to_frame("")

# %% [markdown]
# ## How far each number can be trusted
#
# A class stands before the colon of each column of trust, and the reason after it. The share of rows by class:

# %%
trust = daily.filter(like="_trust")
shares = trust.apply(lambda column: column.str.partition(":")[0].value_counts(normalize=True)).fillna(0)
shares.map("{:.0%}".format)

# %% [markdown]
# The reasons, the most frequent first, without their numbers:

# %%
reasons = (
    trust.replace(r"\d[\d.]*", "…", regex=True)
    .melt(var_name="number", value_name="trust")
    .value_counts()
    .reset_index(name="rows")
)
reasons[reasons["trust"] != "whole"].head(12)

# %% [markdown]
# ## Coverage by day
#
# Observations seen over those expected. A level that jumps where coverage jumps is a venue that begins, not a market
# that moves: `oi_usd_chained` and `volume_usd_chained` compare days.

# %%
columns = [name for name in daily if name.startswith("coverage_")]
by_day = daily.groupby("day")[columns].mean()
figure, axes = plt.subplots(figsize=(8, 3.2))
for name, style in zip(columns, ["-", "--", "-.", ":", (0, (5, 1))], strict=False):
    axes.plot(by_day[name], linestyle=style, label=name.removeprefix("coverage_"))
axes.set_ylim(0, 1.05)
axes.yaxis.set_major_formatter("{x:.0%}")
axes.set_title(f"coverage, mean over assets ({lake.published.origin} data)", loc="left", fontsize=10)
axes.legend(frameon=False, ncol=3)
figure.autofmt_xdate()

# %%
level = daily.groupby("day")[["oi_usd", "oi_usd_chained"]].sum(min_count=1).pct_change(fill_method=None).abs().max()
level.map("{:.0%}".format).to_frame("largest change in a day")

# %% [markdown]
# ## What venues don't list
#
# Sums of liquidations over `complete` lists compare; others are lower bounds. Null: the venue doesn't say.

# %%
lake.sql("""
    select venue, value as class, valid_from, valid_to, proof is not null as proven
    from dim_venue_facts where fact = 'completeness_class' and venue is not null
        and venue in (select distinct venue from daily_venues)
    order by all
""")

# %% [markdown]
# ## What is missing, and can still be had

# %%
lake.sql("""
    select dataset, reason, fetchable, sum(missing) as missing, count(distinct instrument_id) as instruments
    from gaps group by all order by missing desc limit 12
""")

# %% [markdown]
# ## Faults, corrections, disagreements
#
# Series that can't be right and are left out of daily numbers; values that a venue sent again with another value; sums
# that differ from what others report by more than the tolerance.

# %%
pd.Series(
    {
        "series set apart": len(lake.table("series_faults")),
        "values corrected": len(lake.table("corrections")),
        "numbers that can't be, nulled": int(lake.table("coverage_daily")["rows_nulled"].sum()),
        "sums that disagree with a report": int((lake.table("reconciliation_daily")["agrees"] == False).sum()),  # noqa: E712
    }
).to_frame("how many")

# %% [markdown]
# ## From a number to its bytes
#
# A number that looks wrong is traced to what the venue sent.

# %%
first = lake.sql(
    "select instrument_id, settled_at from fct_funding_rates order by abs(rate_8h) desc, instrument_id limit 1", "arrow"
)
[row] = first.to_pylist()
for step in lake.explain("fct_funding_rates", row["instrument_id"], row["settled_at"]):
    display(step.title, {name: str(value)[:100] for name, value in list(step.content.items())[:6]})  # noqa: F821
