"""Maintenance of a lake as an asset: old snapshots are forgotten, small files merged, and files that nothing refers to deleted.

Once a night, by its schedule, or when it is materialised; of a file it does nothing. `lake_days` says how long publications stay.
Alone: `dagster asset materialize --select serving/lake -m assets.definitions`.
"""

import dagster as dg

from assets.defs.resources import SettingsResource
from pipelines import ducklake, warehouse

LAKE = dg.AssetKey(["serving", "lake"])


@dg.asset(
    key=LAKE,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="serving",
    kinds={"ducklake"},
    description="The lake's snapshots and files: old ones forgotten, small ones merged, all that the catalog refers to there. "
    "Nothing where the warehouse is a file.",
)
def maintained_lake(settings: SettingsResource) -> dg.MaterializeResult[None]:
    """Fails where a file that the catalog refers to is missing."""
    resolved = settings.resolve()
    if not ducklake.is_lake(resolved.database):
        return dg.MaterializeResult(metadata={"status": "the warehouse is a file"})
    with warehouse.one_writer(resolved.database), warehouse.connect(resolved.database) as connection:
        return dg.MaterializeResult(metadata=ducklake.maintain(connection, resolved.database, resolved.lake_days))
