"""The tables that the report is made of, read once."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from assets.regimes import audit
from assets.regimes.forecasts import schemas
from assets.report import claims
from assets.report.claims import Answer

MAX_ASSETS = 4
_FIRST_ASSETS = ("BTC", "ETH")
_ON_DEMAND = {
    "forecasts": schemas.FORECASTS,
    "events": schemas.EVENTS,
    "scorecard": schemas.SCORECARD,
    "changes": audit.CHANGES,
}


@dataclass(frozen=True)
class Marts:
    """The tables that a report is made of, days as naive UTC midnights."""

    run: dict[Hashable, Any]
    daily: pd.DataFrame
    labels: pd.DataFrame
    venues: pd.DataFrame
    coverage: pd.DataFrame
    forecasts: pd.DataFrame
    events: pd.DataFrame
    scorecard: pd.DataFrame
    changes: pd.DataFrame
    claims: list[Answer]

    @classmethod
    def read(cls, db_path: Path) -> Marts:
        """Read `marts` of a DuckDB file, opened read only; `ValueError` when there is nothing to report on."""
        with duckdb.connect(str(db_path), read_only=True) as db:
            run, daily, labels, venues, coverage = (
                db.sql(f"select * from {table}").df()
                for table in (
                    "meta.scope",
                    "marts.daily_assets",
                    "marts.regime_labels",
                    "marts.daily_venues",
                    "marts.coverage_daily",
                )
            )
            on_demand = {name: _if_made(db, name) for name in _ON_DEMAND}
            said = [] if run["origin"].eq("synthetic").any() else claims.answers(db)
        if run.empty or daily.empty:
            raise ValueError(f"{db_path}: meta.scope or marts.daily_assets is empty; load a window first")
        return cls(run.iloc[-1].to_dict(), daily, labels, venues, coverage, **on_demand, claims=said)

    @property
    def synthetic(self) -> bool:
        """Whether any of the rows, or the run, is synthetic."""
        return self.run["origin"] == "synthetic" or bool(self.daily["origin"].eq("synthetic").any())

    @property
    def source(self) -> str:
        """The source's name, with the origin before it where the name doesn't say it."""
        origin, source = self.run["origin"], self.run["mode"]
        return source if source.startswith(origin) else f"{origin}: {source}"

    @property
    def assets(self) -> list[str]:
        """BTC and ETH where they are, then the assets of most volume, `MAX_ASSETS` at most."""
        by_volume = self.daily.groupby("asset")["volume_usd"].sum().sort_values(ascending=False).index
        first = [asset for asset in _FIRST_ASSETS if asset in by_volume]
        return (first + [asset for asset in by_volume if asset not in first])[:MAX_ASSETS]


def _if_made(db: duckdb.DuckDBPyConnection, name: str) -> pd.DataFrame:
    """A table of forecasts; without rows where no run has made any."""
    made = db.execute(
        "select 1 from duckdb_tables() where schema_name = 'marts' and table_name = ?", [f"regime_{name}"]
    ).fetchone()
    return db.sql(f"select * from marts.regime_{name}").df() if made else schemas.empty(_ON_DEMAND[name])
