"""The checks as two steps, one after dbt and one after the regimes.

    marts ──► check_marts ──► regimes, publish      (a failed blocking check keeps downstream steps from running)
    regimes ──► check_regimes ──► publish

`catalog` has the checks with thresholds and reasons; `factory` makes Dagster definitions of them. Any check can be run alone:
its SQL is in its metadata and reads only marts.
"""

import dagster as dg

from assets.defs.checks.catalog import MARTS, REGIMES
from assets.defs.checks.factory import check_step

asset_checks: list[dg.AssetChecksDefinition] = [check_step("check_marts", MARTS), check_step("check_regimes", REGIMES)]
