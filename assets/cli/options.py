"""The options that several commands have."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

_DAY = ["%Y-%m-%d"]

Mode = Annotated[
    str | None,
    typer.Option(
        "--mode",
        "--source",
        help="`synthetic`, `recorded:FOLDER`, `live`, or `replay` (from landing alone)",
        show_default="synthetic",
    ),
]
Venues = Annotated[str | None, typer.Option(help="by comma, or `core`, `all`", show_default="core")]
Assets = Annotated[str | None, typer.Option(help="base assets by comma, or `all`", show_default="a core list")]
First = Annotated[datetime | None, typer.Option("--from", formats=_DAY, help="first day, inclusive, UTC")]
Last = Annotated[datetime | None, typer.Option("--to", formats=_DAY, help="last day, inclusive, UTC")]
Days = Annotated[int | None, typer.Option(help="how many days, where no first day is given", show_default="120")]
AsOf = Annotated[str | None, typer.Option(help="the run's clock, ISO, UTC", show_default="the end of the data; live: now")]
Home = Annotated[Path | None, typer.Option(help="folder for everything that runs write", show_default=".perplake")]
Warehouse = Annotated[Path | None, typer.Option(help="the DuckDB file", show_default="one per market in the home")]
Landing = Annotated[str | None, typer.Option(help="folder or s3:// URL of raw bytes", show_default="in the home")]
Seed = Annotated[int | None, typer.Option(help="the synthetic market's seed", show_default="7")]
Refetch = Annotated[bool, typer.Option("--refetch", help="request again what landing already has")]
Forecasts = Annotated[bool, typer.Option("--forecasts", help="forecast the coming week too, and score it")]
