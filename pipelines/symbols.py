"""The base asset of a coin as a venue lists it: `1000PEPE`, `kPEPE`, `SHIB1000`, `XBT`.

Fetch uses it only to choose instruments; sizes and prices are converted in SQL (`dbt_project/macros/symbols.sql`), and a test
compares the two. Both read the aliases in `dbt_project/seeds/asset_aliases.csv`, here those valid today.
"""

from __future__ import annotations

import re
from functools import cache

from pipelines.registry import read_seed

_PREFIX = re.compile(r"^(10{3,9}|1M|1K|k)(?=[A-Z])")
_SUFFIX = re.compile(r"(?<=[A-Z])1000$")


@cache
def _aliases() -> dict[str, str]:
    return {row["listed"]: row["base_asset"] for row in read_seed("asset_aliases") if not row["valid_to"]}


def base_asset(listed: str) -> str:
    """`1000PEPE` -> `PEPE`, `kPEPE` -> `PEPE`, `SHIB1000` -> `SHIB`, `XBT` -> `BTC`; others as they are.

    A name has one marker of its multiplier: the first, or else the last.
    """
    stripped = _PREFIX.sub("", listed)
    if stripped == listed:
        stripped = _SUFFIX.sub("", listed)
    return _aliases().get(stripped, stripped)
