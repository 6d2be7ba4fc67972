"""The Typer application, and what all commands share: settings from options, expected errors, the published copy to read."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import typer
from pydantic import ValidationError

from pipelines.errors import LandingFull, WarehouseMismatch
from pipelines.settings import Settings

app = typer.Typer(
    name="perps",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="perplake: a self-hosted warehouse for crypto perpetual futures.\n\n"
    "Start with `perps run` (a synthetic market, no network), then `perps status` and "
    '`perps query "select * from marts.regime_labels limit 5"`. Settings: `perps settings`.',
)


@app.callback()
def main() -> None:
    logging.basicConfig(level=os.environ.get("PERPLAKE_LOG", "CRITICAL").upper(), format="%(levelname)s %(name)s: %(message)s")


def settings_of(**options: Any) -> Settings:
    """Options over environment over file; an option that was not given is left to those."""
    for name in ("first", "last"):
        if isinstance(options.get(name), datetime):
            options[name] = options[name].date()
    return Settings(**{name: value for name, value in options.items() if value not in (None, False)})


@contextmanager
def expected_errors() -> Iterator[None]:
    """Expected problems end with one line and status 2; a stopped run with the next step and status 130."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("\nstopped; what was fetched is kept, the next run goes on from here", err=True)
        raise typer.Exit(130) from None
    except ValidationError as problem:
        for error in problem.errors():
            typer.echo(f"perps: setting {'.'.join(map(str, error['loc']))}: {error['msg']}", err=True)
        raise typer.Exit(2) from None
    except (ValueError, KeyError, ConnectionError, WarehouseMismatch, LandingFull) as problem:
        typer.echo(f"perps: {problem}", err=True)
        raise typer.Exit(2) from None


def published_copy(settings: Settings) -> Path:
    """The published copy to read: the named market's or warehouse's, else the last run's."""
    current = settings.home / "current"
    named = "mode" in settings.model_fields_set or settings.warehouse is not None
    path = (settings.published if named or not current.exists() else current / "published") / "perplake.duckdb"
    if not path.exists():
        raise ValueError(f"nothing is published at {path}: `perps run` first, or name a --warehouse")
    return path
