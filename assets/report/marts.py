"""The tables of the report, read once from a DuckDB file: of the assets that the page shows, which bounds memory.

Alone: ``Marts.read(Path("perplake.duckdb"))``.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from assets.regimes.forecasts import schemas
from assets.regimes.market import MARKET
from assets.regimes.tables import TABLES
from assets.report import claims, series
from assets.report.claims import Answer
from pipelines import warehouse

MAX_ASSETS = 30
_FIRST_ASSETS = ["BTC", "ETH"]
_ON_DEMAND = ("forecasts", "events", "scorecard", "changes")
"""Tables `regime_<name>`, which only runs with `--forecasts` make."""


@dataclass(frozen=True)
class Marts:
    """The tables of a report; days are naive UTC midnights. `extent`: the first and last day of all assets, and their number."""

    run: dict[Hashable, Any]
    extent: tuple[date, date, int]
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
            run, coverage = (db.table(table).df() for table in ("meta.scope", "marts.coverage_daily"))
            first, last, count = db.sql("select min(day), max(day), count(distinct asset) from marts.daily_assets").fetchall()[0]
            if run.empty or not count:
                raise ValueError(f"{db_path}: meta.scope or marts.daily_assets is empty; load a window first")
            shown = _largest(db)
            daily, labels, posture = (
                db.execute(f"from marts.{table} where list_contains($1, asset)", [[*shown, MARKET]]).df()
                for table in ("daily_assets", "regime_labels", "regime_posture")
            )
            on_demand = {name: _table_or_empty(db, f"regime_{name}") for name in _ON_DEMAND}
            answers = [] if run["origin"].eq("synthetic").any() else claims.answers(db)
            drawn = series.read(db, shown)
        return cls(
            run.iloc[-1].to_dict(),
            (first, last, count),
            daily,
            labels,
            posture,
            coverage,
            **on_demand,
            claims=answers,
            series=drawn,
        )

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


def _largest(db: duckdb.DuckDBPyConnection) -> list[str]:
    """At most `MAX_ASSETS` assets: BTC and ETH if loaded, then those with the most volume."""
    ranked = (
        "select asset from marts.daily_assets group by asset "
        "order by list_position($1, asset) nulls last, sum(volume_usd) desc nulls last, asset limit $2"
    )
    return [asset for (asset,) in db.execute(ranked, [_FIRST_ASSETS, MAX_ASSETS]).fetchall()]


def _table_or_empty(db: duckdb.DuckDBPyConnection, name: str) -> pd.DataFrame:
    """A table of `marts`; without rows where no run has made it."""
    query = "select 1 from duckdb_columns() where schema_name = 'marts' and table_name = ?"
    return db.table(f"marts.{name}").df() if db.execute(query, [name]).fetchone() else schemas.empty(TABLES[name])
