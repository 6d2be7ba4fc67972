"""Regime features and labels as assets: one read of `marts.daily_markets`, the pure functions of `assets.regimes`, one write.

They are rebuilt whole: a label depends on 180 trailing days, and the table is small.
"""

from collections.abc import Iterator

import dagster as dg
import pandas as pd

from assets.ingest import WAREHOUSE_POOL
from assets.session import Session
from pipelines import warehouse

FEATURES, LABELS = (dg.AssetKey(["marts", name]) for name in ("regime_features", "regime_labels"))


@dg.multi_asset(
    name="label_regimes",
    specs=[
        dg.AssetSpec(
            FEATURES,
            deps=[["marts", "daily_markets"]],
            group_name="regimes",
            kinds={"pandas", "pandera"},
            description="Inputs of the regime rule per UTC day and asset, with the trailing quantiles they are held against.",
        ),
        dg.AssetSpec(
            LABELS,
            deps=[["marts", "daily_markets"]],
            group_name="regimes",
            kinds={"pandas", "pandera"},
            description="One label per UTC day and asset with its confidence and reasons. No label uses a later day.",
        ),
    ],
    pool=WAREHOUSE_POOL,
)
def label_regimes(session: dg.ResourceParam[Session]) -> Iterator[dg.MaterializeResult[None]]:
    """Label every day anew."""
    from assets import regimes

    with warehouse.one_writer(session.database), warehouse.connect(session.database) as connection:
        made = regimes.label(connection.sql("SELECT * FROM marts.daily_markets ORDER BY day, asset").df())
        connection.begin()
        for key, frame in zip((FEATURES, LABELS), made, strict=True):
            _replace(connection, key.path[-1], frame)
        connection.commit()
    for key, frame in zip((FEATURES, LABELS), made, strict=True):
        counts = frame["label"].value_counts().to_dict() if "label" in frame else {}
        window = f"{frame['day'].min():%Y-%m-%d} to {frame['day'].max():%Y-%m-%d}" if len(frame) else ""
        metadata = {"dagster/row_count": len(frame), "window": window, "labels": counts}
        yield dg.MaterializeResult(asset_key=key, metadata=metadata)


def _replace(connection: object, name: str, frame: pd.DataFrame) -> None:
    connection.register("made", frame)  # type: ignore[attr-defined]
    columns = ", ".join('"day"::DATE AS "day"' if c == "day" else f'"{c}"' for c in frame.columns)
    connection.execute(f'CREATE OR REPLACE TABLE marts."{name}" AS SELECT {columns} FROM made')  # type: ignore[attr-defined]
    connection.unregister("made")  # type: ignore[attr-defined]
