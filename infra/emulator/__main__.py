"""`python -m infra.emulator`: serve the synthetic market, or recorded series, as every venue of `venues/` on loopback.

Prints the URL and the token of the admin routes (unless PERPLAKE_EMULATOR_TOKEN sets it) and, with `--port-file`, writes the URL
there once it listens. Stops on Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from infra.emulator.server import TOKEN_HEADER, TOKEN_VARIABLE, Emulator, start, to_ms
from infra.emulator.store import MarketStore


def open_store(name: str, seed: int, now: int) -> tuple[MarketStore, int | None]:
    """The store, and the clock (ms) that its data ends at, where it has an end."""
    kind, _, folder = name.partition(":")
    if kind == "synthetic":
        from infra.emulator.synthetic import SyntheticMarket

        return SyntheticMarket(seed=seed, until=now), None
    if kind == "recorded" and folder:
        from infra.emulator.recorded import RecordedMarket

        market = RecordedMarket(Path(folder))
        return market, market.end
    raise typer.BadParameter("--store is `synthetic` or `recorded:FOLDER`")


def main(
    store: Annotated[str, typer.Option(help="`synthetic`, or `recorded:FOLDER` of series.")] = "synthetic",
    seed: Annotated[int, typer.Option(help="Seed of the synthetic market.")] = 7,
    days: Annotated[float, typer.Option(help="Days of synthetic history before the clock.")] = 120,
    as_of: Annotated[str | None, typer.Option(help="Stop the clock here (ISO 8601, UTC). Recorded series: their end.")] = None,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 = any free one.")] = 0,
    limits_scale: Annotated[float, typer.Option(help="Multiplies the venues' rate limits.")] = 1.0,
    history_limits: Annotated[
        bool, typer.Option("--history-limits/--no-history-limits", help="Forget what the venues forget.")
    ] = True,
    port_file: Annotated[Path | None, typer.Option(help="Write the URL to this file once it listens.")] = None,
    attached: Annotated[bool, typer.Option("--attached", help="Stop when standard input ends, with whoever started it.")] = False,
) -> None:
    """Serve one market store as every venue that `infra/emulator/venues` speaks as."""
    clock = to_ms(as_of) if as_of else None
    market, end = open_store(store, seed, clock or int(time.time() * 1000))
    emulator = Emulator(
        market,
        as_of=clock or end,
        days=days if end is None else None,
        limits_scale=limits_scale,
        history_limits=history_limits,
    )
    asyncio.run(_serve(emulator, port, port_file, attached))


async def _serve(emulator: Emulator, port: int, port_file: Path | None, attached: bool) -> None:
    runner, bound = await start(emulator, port)
    url = f"http://127.0.0.1:{bound}"
    token = "" if os.environ.get(TOKEN_VARIABLE) else f"; {TOKEN_HEADER}: {emulator.token}"
    typer.echo(f"{url}  ({emulator.store.origin}{token})")
    if port_file:
        partial = port_file.with_name(port_file.name + ".part")
        partial.write_text(url)
        partial.replace(port_file)
    stop = asyncio.Event()
    for which in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(which, stop.set)
    if attached:
        asyncio.get_running_loop().add_reader(sys.stdin, stop.set)
    await stop.wait()
    await runner.cleanup()


if __name__ == "__main__":
    typer.run(main)
