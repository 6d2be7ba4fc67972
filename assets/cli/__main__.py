"""`python -m assets.cli` is `perps`."""

from assets.cli import app

if __name__ == "__main__":
    app(prog_name="perps")
