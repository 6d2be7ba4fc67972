"""What one more day costs as the history grows, over instruments and days: seconds by part, and memory.

A warehouse like that of `infra.bench.scale` is made for each number of instruments (at each of four venues) and days: dbt builds
the last month, and the rows of every incremental model are these again, moved back in time. Then a day's raw rows are added, and
a process of its own brings dbt's models, regimes, the published copy and the report up to date. The first such day is not
counted: what is made of the whole history for once is made then. Such a day is fetched from an emulator without limits and
loaded once for each number of instruments, into a warehouse of its own: that costs what the day's rows do. Starting is not in it.

The table is printed; `--picture FILE` writes its curves as SVG. Alone, ten minutes:
`python -m infra.bench.growth --picture docs/growth.svg`.
"""

from __future__ import annotations

import asyncio
import json
import resource
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

import jinja2
import typer

from assets.defs import dbt
from assets.defs.publish import published_marts
from assets.defs.regimes import label_changed
from assets.defs.snapshot import copy_marts, write_parquet
from assets.report.page import write_report
from infra.bench.market import serve
from infra.bench.ours import begin
from infra.bench.scale import BUILT, NEXT, SOURCES, Cost, alone, build, fill
from pipelines import warehouse
from pipelines.fetch import fetch
from pipelines.load import load_sources
from pipelines.sources import get_source

INSTRUMENTS = (25, 100)
DAYS = (30, 90, 360, 1080)
PARTS = ("fetch", "load", "dbt", "regimes", "publish", "report")


def make(database: Path, instruments: int, days: int) -> None:
    """Make a warehouse with some days (a multiple of `BUILT`) of instruments at each of four venues.

    The day before those that are built is left out again: with it, the first settlement of each of these has one before it.
    """
    first = NEXT - timedelta(days=BUILT)
    fill(database, instruments, first - timedelta(days=1), NEXT - timedelta(days=1))
    build(database)
    models = {n["name"]: n for n in dbt.manifest()["nodes"].values() if n["config"].get("materialized") == "incremental"}
    with warehouse.connect(database) as connection:
        for name, node in models.items():
            if (at := node["config"]["meta"]["time"]) == "month":
                continue  # a row a fault
            table = f'{node["schema"]}."{name}"'
            kinds = connection.execute(f"SELECT column_name, column_type FROM (DESCRIBE {table})").fetchall()
            moved = ", ".join(f'"{c}" - to_days(back) AS "{c}"' for c, kind in kinds if kind in ("DATE", "TIMESTAMP"))
            moved = moved.replace(f'"{at}" - to_days(back)', f'("{at}" - to_days(back))::{dict(kinds)[at]}')
            connection.execute(f"DELETE FROM {table} WHERE \"{at}\" < DATE '{first}'")
            for back in range(BUILT, days, BUILT):
                connection.execute(
                    f"INSERT INTO {table} SELECT * EXCLUDE (back) REPLACE ({moved}) "
                    f"FROM (FROM {table} WHERE \"{at}\" >= DATE '{first}'), (SELECT {back} AS back)"
                )
        connection.execute("UPDATE meta.scope SET window_start = ?", [NEXT - timedelta(days=days)])
        dbt.note_built(connection)


def fetch_and_load(instruments: int) -> dict[str, float]:
    """A day of the instruments of four venues, with all their datasets, into a new warehouse; seconds by part."""
    sources = [get_source(name) for name in SOURCES]
    with tempfile.TemporaryDirectory(prefix="perplake-bench-") as home, serve(instruments, 24, 1e6) as url:
        run = begin(Path(home), 24, url, 1e6)
        begun = time.perf_counter()
        results = asyncio.run(fetch(run, sources))
        fetched = time.perf_counter()
        load_sources(run, sources, {result.source: result.entries for result in results})
        if problems := [failure for result in results for failure in result.failures]:
            raise RuntimeError(f"fetching a day: {problems[0]}")
        return {"fetch": fetched - begun, "load": time.perf_counter() - fetched}


def bring_up_to_date(database: Path) -> dict[str, float]:
    """dbt, regimes, publishing and the report, as a run does; seconds by part."""
    begun = time.perf_counter()
    with warehouse.connect(database) as connection:
        todo = dbt.plan(connection)
    dbt.build(todo, database)
    built = time.perf_counter()
    with warehouse.connect(database) as connection:
        dbt.note_built(connection)
        label_changed(connection)
    labelled = time.perf_counter()
    out = database.parent / "published"
    write_parquet(copy := copy_marts(database, out, published_marts()), out / "parquet")
    published = time.perf_counter()
    write_report(copy, out)
    report = time.perf_counter() - published
    return {"dbt": built - begun, "regimes": labelled - built, "publish": published - labelled, "report": report}


def day_costs(instruments: int, days: int, repeated: int = 3) -> Cost:
    """The cost of one more day: the median of some, after a first."""
    with tempfile.TemporaryDirectory(prefix="perplake-bench-") as folder:
        database = Path(folder) / "warehouse.duckdb"
        make(database, instruments, days)
        costs = []
        for day in (NEXT + timedelta(days=n) for n in range(repeated + 1)):
            _add(database, instruments, day, days)
            costs.append(alone("growth", "--database", database))
    return sorted(costs[1:], key=lambda cost: cost.total)[repeated // 2]


def _add(database: Path, instruments: int, day: date, days: int) -> None:
    fill(database, instruments, day, day)
    with warehouse.connect(database) as connection:
        connection.execute("UPDATE meta.scope SET window_start = ?", [NEXT - timedelta(days=days)])


_PICTURE = jinja2.Template(
    """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 330" font-family="sans-serif" font-size="13" role="img">
<title>One more day: seconds and memory over the days of history</title>
<rect width="760" height="330" fill="white"/>
{%- for panel in panels %}
<g transform="translate({{ 60 + 370 * loop.index0 }},40)">
<text y="-14" font-weight="bold">{{ panel.title }}</text>
{%- for label, y in panel.ticks %}
<line x1="0" x2="290" y1="{{ y }}" y2="{{ y }}" stroke="#ddd"/><text x="-8" y="{{ y + 4 }}" text-anchor="end">{{ label }}</text>
{%- endfor %}
{%- for label, x in days %}
<text x="{{ x }}" y="245" text-anchor="middle">{{ label }}</text>
{%- endfor %}
{%- for line in panel.lines %}
<polyline points="{{ line.points }}" fill="none" stroke="{{ line.colour }}" stroke-width="2"/>
<text x="5" y="{{ 268 + 16 * loop.index0 }}" fill="{{ line.colour }}">{{ line.name }}</text>
{%- endfor %}
</g>
{%- endfor %}
</svg>
"""
)


def picture(costs: dict[tuple[int, int], Cost]) -> str:
    """The curves as SVG: seconds and megabytes over days, a line for each number of instruments."""
    instruments, days = (sorted({key[n] for key in costs}) for n in (0, 1))
    at = {day: 290 * n // max(len(days) - 1, 1) for n, day in enumerate(days)}
    colours = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")

    def panel(title: str, values: dict[tuple[int, int], float]) -> dict[str, object]:
        top = max(values.values()) * 1.1
        lines = [
            {
                "name": f"{4 * many} instruments",
                "colour": colour,
                "points": " ".join(f"{at[day]},{220 - 220 * values[many, day] / top:.1f}" for day in days),
            }
            for many, colour in zip(instruments, colours, strict=False)
        ]
        return {"title": title, "ticks": [(f"{top * n / 4:,.0f}", 220 - 55 * n) for n in range(5)], "lines": lines}

    panels = [
        panel("Seconds, one more day", {key: cost.total for key, cost in costs.items()}),
        panel("Peak memory, MB", {key: cost.peak_mb for key, cost in costs.items()}),
    ]
    return _PICTURE.render(panels=panels, days=[(f"{day} days", x) for day, x in at.items()])


def main(
    instruments: Annotated[list[int], typer.Option(help="At each of four venues.")] = list(INSTRUMENTS),  # noqa: B006
    days: Annotated[list[int], typer.Option(help="Days of history, multiples of 30.")] = list(DAYS),  # noqa: B006
    picture_file: Annotated[Path | None, typer.Option("--picture")] = None,
    database: Annotated[Path | None, typer.Option(hidden=True)] = None,
    fetched: Annotated[int, typer.Option(hidden=True)] = 0,
) -> None:
    """Print the cost of one more day; with a database, bring that up to date alone, with `fetched` instruments fetch and load."""
    if database or fetched:
        seconds = bring_up_to_date(database) if database else fetch_and_load(fetched)
        typer.echo(json.dumps({"seconds": seconds, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
        return
    costs: dict[tuple[int, int], Cost] = {}
    columns = ["instruments", "days", *(f"{part}, s" for part in PARTS), "all, s", "against the shortest", "peak, MB"]
    typer.echo(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for many in instruments:
        of_day = alone("growth", "--fetched", many)
        for length in days:
            grown = day_costs(many, length)
            cost = costs[many, length] = Cost(of_day.seconds | grown.seconds, max(of_day.peak_mb, grown.peak_mb))
            parts = " | ".join(f"{second:.1f}" for second in cost.seconds.values())
            ratio = cost.total / costs[many, days[0]].total
            typer.echo(f"| {4 * many} | {length} | {parts} | {cost.total:.1f} | {ratio:.2f} | {cost.peak_mb:,.0f} |")
    if picture_file:
        picture_file.write_text(picture(costs))


if __name__ == "__main__":
    typer.run(main)
