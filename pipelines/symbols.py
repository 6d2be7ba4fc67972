"""From the coin as a venue lists it to the asset behind it: `1000PEPE`, `kPEPE`, `SHIB1000`, `XBT`.

Fetching only chooses by it which instruments to ask for; the conversion of sizes and prices is SQL
(`dbt_project/macros/symbols.sql`), and a test holds the two together. Both read the aliases in
`dbt_project/seeds/asset_aliases.csv`: here those that hold today. Rules: `semantics.md` section 4.
"""

from __future__ import annotations

import re
from functools import cache

from pipelines.registry import read_seed

_PREFIX = re.compile(r"^(1000000|100000|10000|1000|1M)(?=[A-Z])")
_SUFFIX = re.compile(r"(?<=[A-Z])1000$")
_K = re.compile(r"^k(?=[A-Z])")


@cache
def _aliases() -> dict[str, str]:
    return {row["listed"]: row["base_asset"] for row in read_seed("asset_aliases") if not row["valid_to"]}


def base_asset(listed: str) -> str:
    """`1000PEPE` -> `PEPE`, `kPEPE` -> `PEPE`, `SHIB1000` -> `SHIB`, `XBT` -> `BTC`; others as they are."""
    for pattern in (_PREFIX, _SUFFIX, _K):
        listed = pattern.sub("", listed)
    return _aliases().get(listed, listed)
