"""The named points at which the small job is killed: moments in the middle of a write."""

from __future__ import annotations

from tests.whole import Point

POINTS = [
    Point("dbt-mid", "dbt.adapters.duckdb.connections:DuckDBConnectionManager.add_query", nth=60),
    Point("publish", "pathlib:Path.symlink_to", after=True),
    Point("fetch-mid-page", "pipelines.landing:_rename", nth=4),
    Point("load-merged", "dlt:Pipeline.load", after=True),
    Point("fetch-first-page", "pipelines.landing:Landing.put", after=True),
    Point("landing-manifest", "pipelines.landing:Landing.flush", after=True),
    Point("load-extracted", "dlt:Pipeline.normalize"),
    Point("regimes", "assets.defs.regimes:write_table", after=True),
]
