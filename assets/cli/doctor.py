"""`perps doctor`: one small question to every chosen source and dataset, and what is wrong with the answers.

    fetch (one asset, one day, a folder of its own) ──► load ──► dbt ──► verdicts

Nothing of the user's warehouse or landing is read or written; limits and pauses are the machine's. A verdict is `ok`, `bad`, or
`unknown` where there was nothing to judge by. `perps doctor --mode live` is the first command on a new machine.
"""

from __future__ import annotations

import asyncio
import json
import platform
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import duckdb
import typer

from assets.cli.base import command
from pipelines import __version__, warehouse
from pipelines.fetch import FetchResult
from pipelines.files import regular
from pipelines.limits import SHARE
from pipelines.load import LoadResult
from pipelines.reading import Flaw
from pipelines.registry import source_rows
from pipelines.settings import Settings
from pipelines.sources import get_source

#: The greatest distance of a venue's price from the median of all venues at the same hour.
PRICE_BAND = 0.01
#: The greatest plausible funding rate of 8 hours: most venues cap it at 0.75 %, some at 2 % or more.
FUNDING_BAND = 0.02

_PRICES = """
WITH last AS (
    SELECT instrument_id, source, base_asset, close,
        median(close) OVER (PARTITION BY base_asset) AS middle, count(*) OVER (PARTITION BY base_asset) AS venues
    FROM marts.fct_candles
    WHERE opened_at = (SELECT mode(last) FROM (SELECT max(opened_at) AS last FROM marts.fct_candles GROUP BY instrument_id))
)
SELECT source, instrument_id, close, middle, venues, abs(close / nullif(middle, 0) - 1) AS distance FROM last ORDER BY ALL
"""
_FUNDING = """
SELECT source, instrument_id, arg_max(rate_8h, settled_at), max(settled_at) FROM marts.fct_funding_rates
WHERE rate_8h IS NOT NULL GROUP BY ALL ORDER BY ALL
"""
_REFERENCES = """
SELECT source, covers, base_asset, our_value, reported_value, agrees, likely_reason FROM marts.reconciliation_daily
WHERE metric = 'open_interest' AND base_asset IS NOT NULL AND our_value IS NOT NULL ORDER BY ALL
"""
_FACTS = "SELECT source, venue, dataset, fact, value FROM marts.dim_venue_facts WHERE NOT verified ORDER BY ALL"
#: The kinds of facts that data can decide, and the names of such facts in `venue_facts.csv`.
_DECIDED = {
    "sides of open interest": "sides_of_",
    "fixed_interval_hours": "fixed_interval_hours",
    "unit of liquidations": "unit_of_",
}
#: What facts are measured on, where none are asked for: enough hours and assets for the measurements of `catalog.MEASURED`.
_MEASURED_DAYS, _MEASURED_ASSETS = 8, ["BTC", "ETH", "SOL"]


class Colour(StrEnum):
    """What a verdict says."""

    ok = "green"
    unknown = "yellow"
    bad = "red"


@dataclass(frozen=True)
class Verdict:
    """One finding: what was asked of a source, and how the answer was."""

    source: str
    about: str
    colour: Colour
    reason: str


def answers(results: Sequence[FetchResult], loads: Sequence[LoadResult]) -> Iterator[Verdict]:
    """A verdict on each endpoint's answers, and one on each request that failed."""
    loaded = {load.source: load for load in loads}
    for result in results:
        source, load = get_source(result.source), loaded[result.source]
        for endpoint in source.endpoints:
            pages = [entry for entry in result.entries if entry.endpoint_name == endpoint.name]
            unread = [(e, Flaw(e.field, e.value, e.problem)) for e in load.quarantined if e.endpoint_name == endpoint.name]
            unread += [(e, flaw) for e, flaw in load.flaws if e.endpoint_name == endpoint.name]
            rows = load.rows.get(endpoint.name, 0)
            if unread:
                entry, flaw = unread[0]
                reason = f"{flaw.place} = {flaw.value}: {flaw.problem} ({entry.url})"
                yield Verdict(source.name, endpoint.name, Colour.bad, reason)
            elif rows:
                yield Verdict(source.name, endpoint.name, Colour.ok, f"{len(pages)} pages, {rows:,} rows")
            elif pages:
                colour, reason = (Colour.unknown, "no event") if endpoint.is_event else (Colour.bad, "an answer without rows")
                yield Verdict(source.name, endpoint.name, colour, f"{reason} for {pages[0].url}")
            else:
                yield Verdict(source.name, endpoint.name, Colour.unknown, "not asked: the window is outside of its history")
        for failure in result.failures:
            yield Verdict(source.name, failure.path_label or "all", Colour.bad, f"{failure.problem}. {failure.remedy}")
        for warning in result.warnings:
            yield Verdict(source.name, "clock" if "clock" in warning else "note", Colour.unknown, warning)


def neighbours(db: duckdb.DuckDBPyConnection) -> Iterator[Verdict]:
    """Verdicts on numbers beside those of other sources: price, funding, open interest."""
    for source, instrument, close, middle, venues, distance in db.execute(_PRICES).fetchall():
        reason = f"{close:g} at {instrument}, the median of {venues} is {middle:g} ({distance:.2%} off)"
        colour = Colour.unknown if venues < 3 else Colour.ok if distance <= PRICE_BAND else Colour.bad
        yield Verdict(source, "price", colour, reason)
    for source, instrument, rate, at in db.execute(_FUNDING).fetchall():
        colour = Colour.ok if abs(rate) <= FUNDING_BAND else Colour.bad
        yield Verdict(source, "funding", colour, f"{rate:.4%} for 8 hours at {instrument}, {at} UTC")
    for source, covers, asset, ours, theirs, agrees, reason in db.execute(_REFERENCES).fetchall():
        text = f"{source} reports {theirs:,.0f} of {covers or 'all venues'} {asset}, ours is {ours:,.0f}"
        yield Verdict(source, "open interest", Colour.ok if agrees else Colour.bad, text + (f": {reason}" if reason else ""))


def limits(results: Sequence[FetchResult], scale: float) -> Iterator[Verdict]:
    """A verdict on each limit whose use a source states in the headers of its answers, beside ours (times `scale`)."""
    for result in results:
        for name, usage in sorted(result.usage.items()):
            ours = get_source(result.source).limits[name]
            allowed = int(ours.weight * scale)
            colour, remedy = Colour.ok, ""
            if usage.limit is not None and usage.limit < allowed * SHARE:
                colour, remedy = Colour.bad, ": ours is too high, report it; until then lower it with PERPLAKE_LIMITS_SCALE"
            elif usage.used is not None and usage.used > 1.1 * usage.counted + 5:
                colour, remedy = Colour.unknown, ": another program on this address uses it, or requests weigh more than we count"
            stated = ", ".join(
                f"{value:,} {what}" for value, what in ((usage.limit, "allowed"), (usage.used, "used")) if value is not None
            )
            counted = f"ours is {allowed:,} in {ours.seconds} s, {usage.counted:,.0f} counted"
            yield Verdict(result.source, f"limit {name}", colour, f"the venue states {stated}; {counted}{remedy}")


def measured_facts(db: duckdb.DuckDBPyConnection, sources: Collection[str]) -> Iterator[Verdict]:
    """Verdicts on facts about the venues of these sources: what data say of them, and the facts that stay without a proof."""
    from assets.defs.checks.catalog import MEASURED  # pandera takes a second to import

    venues = {source_rows()[source].venue: source for source in sorted(sources, reverse=True)}
    decided: set[tuple[str, str, str]] = set()
    sql = f"{MEASURED} SELECT venue, dataset, fact, stated, measured, observations, agrees FROM measured ORDER BY ALL"
    for venue, dataset, fact, stated, value, observations, agrees in db.execute(sql).fetchall():
        if venue not in venues:
            continue
        colour = Colour.unknown if agrees is None else Colour.ok if agrees else Colour.bad
        said = {Colour.ok: "proven by data", Colour.bad: "contradicted", Colour.unknown: "not decided"}[colour]
        text = f"{said}: stated {stated}, measured {value} ({observations} observations)"
        yield Verdict(venues[venue], f"fact {dataset}.{fact}", colour, text)
        if colour is not Colour.unknown:
            decided.add((venue, dataset, _DECIDED[fact]))
    for source, venue, dataset, fact, value in db.execute(_FACTS).fetchall():
        if source in sources and not any(v == venue and d == dataset and fact.startswith(start) for v, d, start in decided):
            yield Verdict(source, f"fact {dataset}.{fact}", Colour.unknown, f"{value}: not proven")


@command("mode", "venues", "assets", "as_of", "seed")
def doctor(
    settings: Settings,
    facts: Annotated[
        bool, typer.Option("--facts", help="measure facts about venues on eight days of three assets, and list the unproven ones")
    ] = False,
    output: Annotated[Path | None, typer.Option(help="a JSON file to attach to a report; it has no key in it")] = None,
) -> None:
    """Ask every chosen source one small question per dataset, and compare the answers: `perps doctor --mode live`.

    One asset (BTC, or the first of `--assets`), the last whole day. Exit status 1 where a verdict is red.
    """
    if output:
        regular(output)  # told before anything is requested
    given = settings.assets if "assets" in settings.model_fields_set else _MEASURED_ASSETS
    with tempfile.TemporaryDirectory(prefix="perplake-doctor-") as folder:
        own = {
            "home": Path(folder),
            "warehouse": None,
            "landing": None,
            "assets": given if facts else given[:1],
            "days": _MEASURED_DAYS if facts else 1,
            "first": None,
            "last": None,
        }
        found, notes = examine(settings.model_copy(update=own), facts)
    _show(found, notes)
    if output:
        about = {"perplake": __version__, "python": platform.python_version(), "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}
        document = {**about, "mode": settings.mode, "notes": notes, "verdicts": [asdict(verdict) for verdict in found]}
        output.write_text(json.dumps(document, indent=1))
        typer.echo(f"written to {output}")
    raise typer.Exit(1 if any(verdict.colour is Colour.bad for verdict in found) else 0)


def _show(found: Sequence[Verdict], notes: Sequence[str]) -> None:
    """The verdicts, red ones last, the notes, and how many verdicts there are of each colour."""
    from rich.markup import escape
    from rich.table import Column, Table

    from assets.cli.printing import console, show

    order = list(Colour)
    table = Table("source", "about", "", Column("reason", overflow="fold"), box=None)
    for each in sorted(found, key=lambda verdict: order.index(verdict.colour)):
        table.add_row(each.source, escape(each.about), f"[{each.colour}]{each.colour}[/]", escape(each.reason))
    show(table)
    for note in notes:
        console.print(f"[yellow]note[/] {escape(note)}")
    counts = Counter(verdict.colour for verdict in found)
    console.print(", ".join(f"{counts[colour]} {colour}" for colour in order))


def examine(settings: Settings, facts: bool = False) -> tuple[list[Verdict], list[str]]:
    """Fetch, load and transform one day in the settings' home; the verdicts, and a note for each source that was left out."""
    from assets.cli.run import progress_bars
    from assets.runtime.job import prepared
    from assets.runtime.stages import load_chosen
    from pipelines.fetch import fetch

    with prepared(settings) as ready:
        run = ready.begin()
        sources, notes = run.chosen_sources()
        with progress_bars() as progress:
            results = asyncio.run(fetch(run, sources, progress))
        sources = [get_source(result.source) for result in results]
        with warehouse.one_writer(settings.database, [source.name for source in sources]):
            loads = list(load_chosen(run, sources, {result.source: result.entries for result in results}).values())
        found = [*answers(results, loads), *limits(results, settings.scale)]
        if problem := _build(settings):
            found.append(Verdict("all", "tables", Colour.bad, problem))
        with warehouse.connect(settings.database, read_only=True) as db:
            if not problem:
                found += neighbours(db)
            if facts and not problem:
                found += measured_facts(db, {result.source for result in results})
    return found, notes


def _build(settings: Settings) -> str:
    """Build the tables; why they could not be built, or nothing."""
    import dagster as dg

    from assets.defs.dbt import invoke

    arguments = ["build", "--no-populate-cache", "--no-write-json", "--resource-type", "seed", "--resource-type", "model"]
    try:
        invoke(arguments, settings.database)
    except dg.Failure as problem:
        return str(problem.description)
    return ""
