"""`python -m assets.cli` is `perps`."""

from assets.cli import app

app()
