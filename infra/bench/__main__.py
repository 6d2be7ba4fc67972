"""The benchmarks: speed as ratios, each measured within one run on one machine, printed as a Markdown table.

    throughput  a million candles from the emulator to the raw table, compared with dlt's `rest_api`, with ccxt, and with
                freqtrade where `FREQTRADE` is its command (by rate: some get fewer rows)
    replay      landing to the raw table, compared with DuckDB's JSON reader on the same bytes
    archives    an archive's files to raw tables, compared with DuckDB on the same zipped CSVs
    limits      the share of the allowed rate that a limited backfill uses
    times       minutes of whole fetches at the venues' real limits, calculated on a clock that jumps
    history     a daily run on 300 days of history, compared with one on 30 days
    publish     publishing one more day of a large warehouse, compared with publishing it whole
    forecasts   walking forward with all methods for 12 assets over 5 years, compared with three minutes

Contenders take turns, each in its own process, and the median counts. `--quick` runs each part with little data, to test that it
runs; its figures mean nothing. Exit status 1 where a ratio misses its aim.

Alone: `make bench`, or `python -m infra.bench --only limits`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer

from infra.bench.forecasts import walk_seconds
from infra.bench.history import daily_seconds
from infra.bench.limited import SOURCES, shares
from infra.bench.market import serve
from infra.bench.scale import publish_costs
from infra.bench.virtual import TASKS, minutes

PARTS = ("throughput", "replay", "archives", "limits", "times", "history", "publish", "forecasts")
HOURS = 9000
ENDLESS = 1e6


@dataclass(frozen=True)
class Line:
    """A line of the table. `good` is true where the ratio meets the aim."""

    task: str
    ours: str
    peer: str
    ratio: str
    aim: str
    good: bool


def rate(folder: Path, module: str, *arguments: object) -> float:
    """Rows per second of a contender: `python -m infra.bench.<module> …` in its own process; `Path` stands for a new folder."""
    own = tempfile.mkdtemp(dir=folder)
    command = [sys.executable, "-m", f"infra.bench.{module}", *(str(own if a is Path else a) for a in arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return float(result["rows"] / result["seconds"])


def speed(folder: Path, quick: bool, rounds: int, parts: set[str]) -> Iterator[Line]:
    """Throughput and replay, which share the landing of one backfill."""
    # Rows are instruments x HOURS: a million for ours; the peers' rate does not depend on the number.
    many, few, some, rounds = (4, 1, 2, 1) if quick else (112, 6, 24, rounds)
    home = folder / "home"
    home.mkdir()
    with serve(many, HOURS, ENDLESS) as url:
        if "throughput" not in parts:
            rate(folder, "ours", "backfill", url, HOURS, home)
        else:
            ours, default, best, by_ccxt, by_freqtrade, least = [], [], [], [], [], []
            for at in range(rounds):
                ours.append(rate(folder, "ours", "backfill", url, HOURS, Path if at else home))
                default.append(rate(folder, "peers", "rest-api", url, few, HOURS, Path))
                best.append(rate(folder, "peers", "rest-api", url, some, HOURS, Path, "--best"))
                by_ccxt.append(rate(folder, "peers", "ccxt-pages", url, HOURS, Path))
                least.append(rate(folder, "peers", "least", url, many, HOURS, Path))
                if "FREQTRADE" in os.environ:
                    by_freqtrade.append(rate(folder, "peers", "freqtrade", url, some, HOURS, Path))
            task = f"{many * HOURS:,} candles from the emulator to the raw table"
            yield _rates(task, ours, "dlt `rest_api`, defaults", default, least=25)
            yield _rates(task, ours, "dlt `rest_api`, parallel, Parquet", best, least=10)
            yield _rates(task, ours, "ccxt, all pages into one frame", by_ccxt, least=3.5)
            yield _rates(task, ours, "requested, decoded and stored alone (the limit)", least, most=3)
            if by_freqtrade:
                yield _rates(task, ours, "freqtrade `download-data`", by_freqtrade, least=10)
    if "replay" in parts:
        ours, reader = [], []
        for _ in range(rounds):
            ours.append(rate(folder, "ours", "replay", HOURS, home, Path))
            reader.append(rate(folder, "peers", "json-reader", home, Path))
        yield _rates("replay from landing to the raw table", ours, "DuckDB `read_json`, same bytes", reader, most=2.5)


def _rates(task: str, ours: list[float], peer: str, theirs: list[float], least: float = 0, most: float = 0) -> Line:
    """Compare medians of rows per second: at least `least` times the peer's rate, or at most `most` times its time."""
    we, they = median(ours), median(theirs)
    ratio, aim = (we / they, f"≥ {least:g} times its rate") if least else (they / we, f"≤ {most:g} times our time")
    good = ratio >= least if least else ratio <= most
    shown = f"{ratio:.1f} times faster" if least else f"{ratio:.1f} times slower"
    return Line(task, f"{we:,.0f} rows/s", f"{peer}: {they:,.0f} rows/s", shown, aim, good)


def archives(folder: Path, quick: bool, rounds: int) -> Iterator[Line]:
    instruments, days = (1, 5) if quick else (10, 365)
    home = folder / "archive"
    command = [sys.executable, "-m", "infra.bench.archives", "files", str(home), str(instruments), str(days)]
    subprocess.run(command, check=True, capture_output=True)
    we, they = [], []
    for _ in range(1 if quick else rounds):
        we.append(rate(folder, "archives", "ours", home, Path))
        they.append(rate(folder, "archives", "duckdb", home, Path))
    task = f"an archive's files of {instruments} instruments, {days} days, from landing to raw tables"
    yield _rates(task, we, "DuckDB `read_csv`, same zips", they, most=3)


def limits(quick: bool) -> Iterator[Line]:
    for name, (share, refused) in shares(0.1 if quick else 3).items():
        yield Line(
            f"limited backfill, {name} {SOURCES[name]}, 3 windows",
            f"{share:.1%} of the allowed weight, {refused} refused",
            "the venue's limit",
            f"{share:.2f}",
            "≥ 0.90, none refused",
            share >= 0.9 and not refused,
        )


def times(quick: bool) -> Iterator[Line]:
    for task in TASKS[: 1 if quick else None]:
        taken = minutes(task)
        ratio, good = f"{taken / task.aim:.2f}", taken <= task.aim
        yield Line(f"fetch {task.title}", f"{taken:.1f} min, calculated", f"{task.aim:g} min", ratio, "≤ 1", good)


def history(quick: bool, rounds: int) -> Iterator[Line]:
    long, short = (4, 2) if quick else (300, 30)
    took = daily_seconds((long, short), 1 if quick else rounds, ("--venues", "binance", "--assets", "BTC") if quick else ())
    ratio = took[long] / took[short]
    ours, peer = f"{took[long]:.1f} s on {long} days", f"{took[short]:.1f} s on {short} days"
    yield Line("`perps run` for one more day", ours, peer, f"{ratio:.2f}", "≤ 1.2", ratio <= 1.2)


def publish(quick: bool) -> Iterator[Line]:
    instruments, days = (2, 3) if quick else (100, 365)
    found = publish_costs(instruments, days)
    whole, day = found.whole, found.day
    ratio = day.total / whole.total
    yield Line(
        f"publish one more day of {instruments} instruments x 4 venues, {days} days ({found.rows:,} rows of facts)",
        f"{day.total:.1f} s, {day.peak_mb:,.0f} MB",
        f"the whole: {whole.total:.1f} s, {whole.peak_mb:,.0f} MB",
        f"{ratio:.3f}",
        "≤ 0.05",
        ratio <= 0.05,
    )


def forecasts(quick: bool) -> Iterator[Line]:
    assets, days, limit = (2, 400, 180) if quick else (12, 5 * 365, 180)
    took = walk_seconds(assets, days)
    walk, score = took["walk"], took["score"]
    yield Line(
        f"all methods walking forward, {assets} assets, {days:,} days",
        f"{walk:.0f} s, and {score:.0f} s to score them",
        f"{limit} s",
        f"{walk / limit:.2f}",
        "≤ 1",
        walk <= limit,
    )


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Run each part with little data, as a test.")] = False,
    rounds: Annotated[int, typer.Option(help="How often each contender runs; the median counts.")] = 3,
    only: Annotated[str, typer.Option(help="Parts to run, by comma.")] = ",".join(PARTS),
) -> None:
    """Print the table of ratios."""
    parts = set(only.split(","))
    if unknown := parts - set(PARTS):
        raise typer.BadParameter(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    lines: list[Line] = []
    with tempfile.TemporaryDirectory(prefix="perplake-bench-") as folder:
        if parts & {"throughput", "replay"}:
            lines += speed(Path(folder), quick, rounds, parts)
        if "archives" in parts:
            lines += archives(Path(folder), quick, rounds)
    if "limits" in parts:
        lines += limits(quick)
    if "times" in parts:
        lines += times(quick)
    if "history" in parts:
        lines += history(quick, rounds)
    if "publish" in parts:
        lines += publish(quick)
    if "forecasts" in parts:
        lines += forecasts(quick)
    cores = len(os.sched_getaffinity(0))
    option, warning = (" --quick", ": little data, figures mean nothing") if quick else ("", "")
    typer.echo(f"`python -m infra.bench{option}` on {cores} cores{warning}\n")
    typer.echo("| task | ours | compared with | ratio | aim |\n|---|---|---|---|---|")
    for line in lines:
        met = "" if line.good else " (missed)"
        typer.echo(f"| {line.task} | {line.ours} | {line.peer} | {line.ratio} | {line.aim}{met} |")
    if not quick and not all(line.good for line in lines):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
