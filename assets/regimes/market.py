"""The market as one asset: `MARKET`, whose daily rows dbt averages in `marts.daily_market`, in the columns of `daily_assets`.

Alone: ``duckdb.connect(path).sql(f"FROM {DAILY} WHERE asset = 'MARKET'")``.
"""

MARKET = "MARKET"
#: The daily rows of all assets and of MARKET, as SQL.
DAILY = "(FROM marts.daily_assets UNION ALL BY NAME FROM marts.daily_market)"
