"""Which days of a run's window count as materialised: those that are over and were answered whole, each with its own metadata.

Dagster marks each partition of a step's range once the step has yielded the asset's result, so that a day that a venue didn't
answer would be green and no later run would fill it. Here a step logs an event for each whole day itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import dagster as dg
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION

#: The result of a step's asset with this metadata is no event of its own; Dagster's observable assets log theirs so.
_NO_EVENT = {SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True}


def is_partitioned(context: dg.AssetExecutionContext) -> bool:
    """True for a run of one or several days; the command line's runs have a window instead."""
    return bool({"dagster/partition", "dagster/asset_partition_range_start"} & context.run.tags.keys())


def not_materialized(key: dg.AssetKey) -> dg.MaterializeResult[None]:
    """A result for an asset that has nothing new: the steps after it run, and no event says that it was made."""
    return dg.MaterializeResult(asset_key=key, metadata=_NO_EVENT)


def materialized(
    context: dg.AssetExecutionContext, key: dg.AssetKey, days: Mapping[date, Mapping[str, Any]], metadata: Mapping[str, Any]
) -> dg.MaterializeResult[None]:
    """The result of an asset: in a run of partitions an event for each of the whole `days`, with what is known of that day."""
    if not is_partitioned(context):
        return dg.MaterializeResult(asset_key=key, metadata=metadata)
    for day, own in days.items():
        context.log_event(dg.AssetMaterialization(key, partition=day.isoformat(), metadata={**metadata, **own}))
    return not_materialized(key)
