"""When an asset's day could be known: the latest `known_at` of the facts' rows behind it, and never before the day is over.

Rows of history are known some minutes after their time, those of an archive days later (`dim_venue_facts`): a day waits for what
its own rows are from, and not for every source in scope. `MARKET` waits for all assets.

    fct_candles, fct_funding_rates, fct_open_interest, fct_liquidations ──► known_at ──► regime_labels, regime_posture

Alone: ``known_at(duckdb.connect(path), "fct_candles")``.
"""

from datetime import datetime

import duckdb
import pandas as pd

#: A fact to the time of a row, and how many seconds before it lies in the day that the row counts for: a settlement pays for the
#: time before it.
FACTS = {
    "fct_candles": ("opened_at", 0),
    "fct_funding_rates": ("settled_at", 1),
    "fct_open_interest": ("observed_at", 0),
    "fct_liquidations": ("liquidated_at", 0),
}


def known_at(connection: duckdb.DuckDBPyConnection, frame: pd.DataFrame, *facts: str) -> pd.Series:
    """When each row of a frame, with `day` and `asset`, could be known (UTC) by the rows of these facts, or of all.

    The end of its day where none has a row of it. Rows from before the frame's first day are not read.
    """
    rows = " UNION ALL ".join(
        f"SELECT ({time} - to_seconds({before}))::DATE AS day, base_asset AS asset, max(known_at) AS known_at FROM marts.{fact} "
        # The column by itself, so that DuckDB leaves out the blocks of other days.
        f"WHERE base_asset IS NOT NULL AND {time} >= $1::TIMESTAMP + to_seconds({before}) GROUP BY ALL"
        for fact, (time, before) in FACTS.items()
        if fact in (facts or FACTS)
    )
    days = f"SELECT day, asset, greatest(max(known_at), (day + 1)::TIMESTAMP) AS known_at FROM ({rows}) GROUP BY day, asset"
    first = frame["day"].min() if len(frame) else datetime.max
    found = connection.execute(
        f"WITH days AS ({days}) FROM days UNION ALL SELECT day, 'MARKET', max(known_at) FROM days GROUP BY day", [first]
    ).df()
    table = frame[["day", "asset"]].assign(day=pd.to_datetime(frame["day"])).merge(found, "left", ["day", "asset"])
    return table["known_at"].fillna(table["day"] + pd.Timedelta(days=1)).set_axis(frame.index)
