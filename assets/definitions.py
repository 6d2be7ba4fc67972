"""The Dagster code location: everything in `assets/defs`, with what applies to all assets. `dagster dev` and `dg` load it.

Settings come from the environment and `perplake.toml`; `perps ui` points them at a running emulator.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from assets.defs.publish import COPY, MARTS, PARQUET, REPORT
from assets.defs.raw import STREAMED
from assets.defs.regimes import ON_DEMAND, REGIMES
from assets.defs.resources import run_config
from assets.defs.schedules import chosen_assets
from pipelines.settings import Settings

#: What readers use, and what chosen sources give, is written once a day; two hours more before it counts as stale.
FRESH = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=26))
FRESH_ASSETS = {*MARTS, *REGIMES, COPY, PARQUET, REPORT} - {*ON_DEMAND}


def _present() -> tuple[str, set[str]]:
    """The market and the chosen sources of the settings; none where they can't be read, which is told by what uses them."""
    try:
        return Settings().market[:63], set(Settings().sources)
    except ValueError:
        return "", set()


MARKET, CHOSEN = _present()


def _shared(spec: dg.AssetSpec) -> dg.AssetSpec:
    """What holds for all assets: one owner, the market as a tag, and a freshness policy for what is written each day.

    `chosen` is a tag of the assets of the sources that the settings choose.
    """
    chosen = spec.group_name in CHOSEN
    tags = {**spec.tags, "perplake/market": MARKET, **({"perplake/chosen": ""} if chosen else {})}
    spec = spec.replace_attributes(owners=["team:perplake"], tags=tags)
    fresh = spec.key in FRESH_ASSETS or (chosen and spec.key.path[0] in ("landing", "raw") and STREAMED not in spec.tags)
    return dg.apply_freshness_policy(spec, FRESH) if fresh else spec


def _without_partitions(spec: dg.AssetSpec) -> dg.AssetSpec:
    return spec.replace_attributes(partitions_def=None)


defs = dg.Definitions.merge(
    dg.load_from_defs_folder(path_within_project=Path(__file__).parent),
    # A step in a process of its own costs seconds of imports, and two processes can't write one DuckDB file.
    dg.Definitions(executor=dg.in_process_executor),
).map_asset_specs(func=_shared)


def main_job(settings: Settings) -> tuple[dg.JobDefinition, Mapping[str, Any]]:
    """The main job for one run of the command line, and its run configuration.

    It is the job `run` of the code location, on the assets that the settings choose. It has no partitions, since Dagster takes
    some 10 ms to note each asset and day: the window is in the configuration.
    """
    whole = defs.map_asset_specs(func=_without_partitions)
    keys = chosen_assets(settings).resolve(whole.resolve_asset_graph())
    return whole.resolve_job_def("run").get_subset(asset_selection=keys), run_config(settings)
