"""The tables of the report, read once from a DuckDB file.

Alone: ``Marts.read(Path("perplake.duckdb"))``.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from assets.regimes.forecasts import schemas
from assets.regimes.tables import TABLES
from assets.report import claims, series
from assets.report.claims import Answer
from pipelines import warehouse

MAX_ASSETS = 30
_FIRST_ASSETS = ("BTC", "ETH")
_ON_DEMAND = ("forecasts", "events", "scorecard", "changes")
"""Tables `regime_<name>`, which only runs with `--forecasts` make."""


@dataclass(frozen=True)
class Marts:
    """The tables of a report; days are naive UTC midnights."""

    run: dict[Hashable, Any]
    daily: pd.DataFrame
    labels: pd.DataFrame
    posture: pd.DataFrame
    coverage: pd.DataFrame
    forecasts: pd.DataFrame
    events: pd.DataFrame
    scorecard: pd.DataFrame
    changes: pd.DataFrame
    claims: list[Answer]
    series: dict[str, Any]

    @classmethod
    def read(cls, db_path: Path) -> Marts:
        """Read a published copy, read only. Raises ValueError where the marts are empty."""
        with warehouse.connect(db_path, read_only=True) as db:
            run, daily, labels, posture, coverage = (
                db.sql(f"select * from {table}").df()
                for table in (
                    "meta.scope",
                    "marts.daily_assets",
                    "marts.regime_labels",
                    "marts.regime_posture",
                    "marts.coverage_daily",
                )
            )
            on_demand = {name: _table_or_empty(db, f"regime_{name}") for name in _ON_DEMAND}
            answers = [] if run["origin"].eq("synthetic").any() else claims.answers(db)
            if run.empty or daily.empty:
                raise ValueError(f"{db_path}: meta.scope or marts.daily_assets is empty; load a window first")
            drawn = series.read(db, _largest(daily))
        return cls(run.iloc[-1].to_dict(), daily, labels, posture, coverage, **on_demand, claims=answers, series=drawn)

    @property
    def synthetic(self) -> bool:
        """True if the run, or any row, is synthetic."""
        return self.run["origin"] == "synthetic" or bool(self.daily["origin"].eq("synthetic").any())

    @property
    def mode(self) -> str:
        """The mode of the run, after the origin of its data where that is another word."""
        origin, mode = self.run["origin"], self.run["mode"]
        return mode if mode.startswith(origin) else f"{origin}: {mode}"

    @property
    def assets(self) -> list[str]:
        """The assets that the page shows."""
        names: list[str] = self.series["names"]
        return names


def _largest(daily: pd.DataFrame) -> list[str]:
    """At most `MAX_ASSETS` assets: BTC and ETH if loaded, then those with the most volume."""
    by_volume = daily.groupby("asset")["volume_usd"].sum().sort_values(ascending=False).index
    first = [asset for asset in _FIRST_ASSETS if asset in by_volume]
    return (first + [asset for asset in by_volume if asset not in first])[:MAX_ASSETS]


def _table_or_empty(db: duckdb.DuckDBPyConnection, name: str) -> pd.DataFrame:
    """A table of `marts`; without rows where no run has made it."""
    query = "select 1 from duckdb_columns() where schema_name = 'marts' and table_name = ?"
    return db.table(f"marts.{name}").df() if db.execute(query, [name]).fetchone() else schemas.empty(TABLES[name])
