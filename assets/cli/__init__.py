"""The `perps` commands: options, what each command calls, and how results are printed."""

from assets.cli.commands import app

__all__ = ["app"]
