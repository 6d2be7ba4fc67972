"""Signals: each change of an asset's regime, and each red flag of the early warning, as a table.

    regime_labels, regime_posture, regime_forecasts ──► build ──► marts.regime_signals ──► perplake.signals

A signal of a day uses that day and those before it, as labels and forecasts do. Its `key` says what happened
(`BTC:2025-10-10:cascade`), so the same event has it in each run.

Alone: ``read(duckdb.connect(path))``.
"""

from __future__ import annotations

import duckdb
import pandas as pd
import pandera.pandas as pa

from assets.regimes.forecasts.plan import TARGETS, WARNING
from assets.regimes.schemas import ASSET, KEY, KNOWN_AT, day, number, text
from assets.regimes.thresholds import REGIMES, SEVERITIES

FLAG = "flag"
SIGNALS = pa.DataFrameSchema(
    {
        "key": text("What happened: asset, day, and the new regime or `flag`, such as `BTC:2025-10-10:cascade`."),
        "day": day("UTC day by whose close it was so."),
        "asset": ASSET,
        "known_at": KNOWN_AT,
        "kind": text("`regime`: the label is another than that of the asset's day before; or `red_flag` of the early warning.",
                     "regime", "red_flag"),
        "severity": text("That of the new regime; of a red flag `warning`.", *SEVERITIES),
        "title": text("What happened, in words."),
        "reasons": text("Why, in words: the comparisons that gave the label, or the probability of a red flag."),
        "label": text("Of a change, the new regime.", nullable=True),
        "before": text("Of a change, the regime before.", nullable=True),
        "probability": number(f"Of a red flag, the probability of {TARGETS[WARNING[0]].description}, fraction.", 0, 1),
        "max_leverage": number("The most leverage by the posture of the day (`regime_posture`).", 0),
        "hedge_ratio": number("Share of a holding to hedge by the posture of the day.", 0, 1),
        "origin": text("Origin of the data: `synthetic`, `recorded` or `live`."),
    },
    unique=["key"],
    strict=True,
    name="regime_signals",
    description=(
        "Each change of an asset's regime and each red flag of the early warning, with the posture of that day: what "
        "`perps watch`, MCP and notices tell. Red flags are there where a run has made forecasts."
    ),
)  # fmt: skip


def read(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """`regime_signals` of a warehouse, with the red flags of its last forecasts."""
    labels, posture = (connection.table(f"marts.{name}").df() for name in ("regime_labels", "regime_posture"))
    flags = pd.DataFrame(columns=["asset", "day", "probability"])
    if connection.execute("SELECT 1 FROM duckdb_columns() WHERE table_name = 'regime_forecasts'").fetchone():
        of_warning = "target = ? AND method = ? AND run_type = 'backtest' AND flag"
        flags = connection.execute(f"FROM marts.regime_forecasts WHERE {of_warning}", [*WARNING]).df()
    (origin,) = connection.execute("SELECT origin FROM meta.scope").fetchall()[0]
    return build(labels, posture, flags, origin)


def build(labels: pd.DataFrame, posture: pd.DataFrame, flags: pd.DataFrame, origin: str) -> pd.DataFrame:
    """`regime_signals` of `regime_labels` and `regime_posture`; `flags` has `asset`, `day` and `probability` of the red flags."""
    mark = "SYNTHETIC DATA. " if origin == "synthetic" else ""
    rows = labels.sort_values(KEY)
    changes = rows.assign(before=rows.groupby("asset")["label"].shift())[
        lambda t: t["before"].notna() & (t["before"] != t["label"])
    ]
    found = [
        {
            "asset": row.asset, "day": row.day, "name": row.label, "kind": "regime", "severity": REGIMES[row.label].severity,
            "title": f"{mark}{row.asset}: regime changed from {row.before} to {row.label} ({row.day:%Y-%m-%d})",
            "reasons": row.reasons, "label": row.label, "before": row.before,
        }
        for row in changes.itertuples()
    ] + [
        {
            "asset": row.asset, "day": row.day, "name": FLAG, "kind": "red_flag", "severity": "warning",
            "title": f"{mark}{row.asset}: red flag ({row.day:%Y-%m-%d})", "probability": row.probability,
            "reasons": f"{row.probability:.0%} for {TARGETS[WARNING[0]].description}, in the top tenth of its past year "
            f"({WARNING[1]}).",
        }
        for row in flags.itertuples()
    ]  # fmt: skip
    if not found:
        return pd.DataFrame(columns=list(SIGNALS.columns))
    table = pd.DataFrame(found).reindex(columns=["name", *(c for c in SIGNALS.columns if c not in posture or c in KEY)])
    table = table.merge(posture[[*KEY, "max_leverage", "hedge_ratio"]], "left", KEY).merge(
        labels[[*KEY, "known_at"]], "left", KEY
    )
    keys = table["asset"] + ":" + table["day"].dt.strftime("%Y-%m-%d") + ":" + table["name"]
    return table.assign(key=keys, origin=origin).sort_values([*KEY, "name"], ignore_index=True)[list(SIGNALS.columns)]
