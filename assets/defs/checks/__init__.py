"""What may go wrong with the marts, as Dagster asset checks: two steps, one after dbt and one after the regimes.

    marts ──► check_marts ──► regimes, publish      (a blocking check that fails keeps what comes after from running)
    regimes ──► check_regimes ──► publish

`catalog` says what is checked, with thresholds and reasons; `factory` makes Dagster definitions of it. Any check can be run
alone: its SQL stands in its metadata and reads nothing but marts.
"""

import dagster as dg

from assets.defs.checks.catalog import MARTS, REGIMES
from assets.defs.checks.factory import check_step

__all__ = ["asset_checks"]

asset_checks: list[dg.AssetChecksDefinition] = [check_step("check_marts", MARTS), check_step("check_regimes", REGIMES)]
