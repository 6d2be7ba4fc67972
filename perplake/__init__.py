"""perplake for programs: the published copy, read only, with descriptions, provenance, coverage and signals.

    import perplake

    lake = perplake.open()                  # the market that ran last; or perplake.open("/srv/perplake")
    daily = lake.table("daily_assets")      # pandas; as_="polars" or "arrow"; units are in daily.attrs["columns"]
    lake.sql("select * from regime_labels where asset = ?", parameters=["BTC"])

`lake` has the reader, `published` its sessions, `explain` the way back to the bytes, `signals` the events, `server` the same for
agents (MCP). The command line reads through them too.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perplake.lake import Lake

__all__ = ["open"]


def open(
    home: str | Path | None = None,
    *,
    mode: str | None = None,
    warehouse: str | Path | None = None,
    as_published: datetime | str | None = None,
) -> Lake:
    """The published copy of a home folder (default: the setting `home`), there of the market that ran last.

    `mode` or `warehouse` name another market, as those options of `perps` do; `as_published` reads what a lake had published by
    then (UTC). Raises `ValueError`, in one line, where nothing is published or a setting is wrong.
    """
    from pydantic import ValidationError

    from perplake.lake import Lake
    from pipelines.settings import Settings, problems

    given: dict[str, Any] = {"home": home, "mode": mode, "warehouse": warehouse, "as_published": as_published}
    try:
        return Lake(Settings(**{name: value for name, value in given.items() if value is not None}))
    except ValidationError as problem:
        raise ValueError("; ".join(problems(problem))) from None
