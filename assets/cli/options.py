"""The settings that are options of several commands, by the setting's name."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

_DAY = ["%Y-%m-%d"]

OPTIONS: dict[str, Any] = {
    "mode": Annotated[
        str | None,
        typer.Option(
            "--mode",
            "--source",
            help="`synthetic`, `recorded:FOLDER`, `live`, or `replay` (from landing alone)",
            show_default="synthetic",
        ),
    ],
    "venues": Annotated[str | None, typer.Option(help="by comma, or `core`, `all`", show_default="core")],
    "assets": Annotated[str | None, typer.Option(help="base assets by comma, or `all`", show_default="a core list")],
    "first": Annotated[datetime | None, typer.Option("--from", formats=_DAY, help="first day, inclusive, UTC")],
    "last": Annotated[datetime | None, typer.Option("--to", formats=_DAY, help="last day, inclusive, UTC")],
    "days": Annotated[int | None, typer.Option(help="how many days, where no first day is given", show_default="120")],
    "as_of": Annotated[str | None, typer.Option(help="the run's clock, ISO, UTC", show_default="the end of the data; live: now")],
    "home": Annotated[Path | None, typer.Option(help="folder for everything that runs write", show_default=".perplake")],
    "warehouse": Annotated[Path | None, typer.Option(help="the DuckDB file", show_default="one per market in the home")],
    "as_published": Annotated[
        str | None,
        typer.Option(help="of a lake: what was published last by then, ISO, UTC", show_default="what is now"),
    ],
    "landing": Annotated[str | None, typer.Option(help="folder or s3:// URL of raw bytes", show_default="in the home")],
    "seed": Annotated[int | None, typer.Option(help="the synthetic market's seed", show_default="7")],
    "refetch": Annotated[bool, typer.Option("--refetch", help="request again what landing already has")],
    "forecasts": Annotated[bool, typer.Option("--forecasts", help="forecast the coming week too, and score it")],
}

#: Which published copy a command reads.
COPY = ("mode", "home", "warehouse", "seed", "as_published")
#: What a run covers, and where its data are.
RUN = ("mode", "venues", "assets", "first", "last", "days", "as_of", "home", "warehouse", "landing", "seed")
