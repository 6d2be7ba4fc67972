"""dbt's project, parsed once for all runs of a test session: they are forked from a process that imported this."""

from __future__ import annotations

from functools import cache

from assets.defs import dbt

dbt.parse = cache(dbt.parse)
dbt.parse(dbt.CATALOG)
