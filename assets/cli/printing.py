"""What the commands print: the end of a run, of a fetch and of a load, and tables of the published copy."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from math import isnan
from pathlib import Path
from typing import Any

import duckdb
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Column, Table

from assets.cli.venues import HEADER, Row
from assets.regimes import forecasts, posture
from assets.regimes.forecasts.plan import RISK, TARGETS, WARNING
from assets.regimes.thresholds import REGIMES
from assets.runtime.outcomes import RunOutcome
from assets.runtime.stages import fetch_problems, unlisted_assets
from perplake.lake import COVERAGE
from pipelines import warehouse
from pipelines.backfill import Planned
from pipelines.errors import printable
from pipelines.fetch import FetchResult
from pipelines.load import LoadResult
from pipelines.registry import counted_datasets
from pipelines.run import Run
from pipelines.windows import Window, to_datetime


class _Plain(Console):
    """A console that shows control characters from outside as `\ufffd`; those of its own are styles, not text."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)

    def on_broken_pipe(self) -> None:
        """`perps venues | head` ends as every command does (`assets.cli.base`); without this, with status 1."""
        raise


console = _Plain(highlight=False, width=shutil.get_terminal_size((140, 40)).columns, soft_wrap=True)


def show(table: Table, to: Console = console) -> None:
    """Print a table, or, where the terminal is too narrow for its longest words, each row as lines of names and values."""
    if Measurement.get(to, to.options.update_width(10_000), table).minimum <= to.width:
        to.print(table)
        return
    columns = list(table.columns)
    names = [str(column.header) for column in columns]
    for row in zip(*(column.cells for column in columns), strict=True):
        for name, cell in zip(names, row, strict=True):
            to.print(f"{escape(name)}: {cell}")
        to.print()


def collectors(found: Sequence[tuple[Mapping[str, Any], bool]]) -> None:
    """How collectors go, by stream and by polled source."""
    if not found:
        console.print("no collector runs: start one with `perps collect`")
    for state, lives in found:
        end = "runs" if lives else "was killed: the next collector puts what it left into landing"
        console.print(f"collector {escape(state['run'])} {end}; last written {_ms(state['flushed_at'])} UTC")
        if state["problem"]:
            console.print(escape(state["problem"]), style="red")
        names = ("stream", "heard", "instruments", "events", "messages", "MB", "last event, UTC", "missing", "dropped", "again")
        table = Table(*names, box=None)
        for tag, stream in state["streams"].items():
            numbers = [f"{stream[name]:,}" for name in ("events", "messages")]
            losses = [f"{stream[name]:,}" for name in ("missing", "dropped", "reconnections")]
            heard = "yes" if stream["heard"] and lives else f"no: {stream['last_problem'] or 'not subscribed yet'}"
            last = _ms(stream["last_event"]) if stream["last_event"] else "none"
            symbols = f"{stream['symbols']:,}" if stream["symbols"] else "all"
            table.add_row(escape(tag), escape(heard), symbols, *numbers, f"{stream['bytes'] / 1e6:.1f}", last, *losses)
        show(table)
        table = Table("source", "polled", "instruments", "rounds", "pages", "failed", "last round, UTC", box=None)
        for source, poll in state.get("polls", {}).items():
            polled = "yes" if poll["polled"] and lives else f"no: {poll['last_problem'] or 'not yet'}"
            polled += "".join(f"; {endpoint} of {turn} in a round" for endpoint, turn in poll.get("in_turn", {}).items())
            numbers = [f"{poll[name]:,}" for name in ("instruments", "rounds", "pages", "failures")]
            table.add_row(escape(source), escape(polled), *numbers, _ms(poll["last_round"]) if poll["last_round"] else "none")
        if table.row_count:
            show(table)


def collector_rows(found: Sequence[tuple[Mapping[str, Any], bool]]) -> list[dict[str, Any]]:
    """The same, a row for each stream and each polled source; times in milliseconds, UTC."""
    return [
        {"collector": state["run"], "lives": lives, "kind": kind, "name": name, **about}
        for state, lives in found
        for kind, part in {"stream": "streams", "poll": "polls"}.items()
        for name, about in state.get(part, {}).items()
    ]


def _ms(moment: int) -> str:
    return f"{datetime.fromtimestamp(moment / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def regimes(db: duckdb.DuckDBPyConnection, assets: list[str], days: int = 14) -> None:
    """The last days' labels of some assets, newest first, with confidence and reasons."""
    for asset in assets:
        rows = db.execute(
            "SELECT day, label, confidence, reasons FROM marts.regime_labels WHERE asset = ? ORDER BY day DESC LIMIT ?",
            [asset, days],
        ).fetchall()
        if not rows:
            continue
        table = Table(
            "day",
            "regime",
            "confidence",
            "reasons",
            title=f"{escape(asset)}, last {len(rows)} days",
            title_justify="left",
            box=None,
        )
        for day, label, confidence, reasons in rows:
            table.add_row(str(day), _styled(label), f"{confidence:.2f}", escape(reasons))
        show(table)
        console.print()


def _styled(label: str) -> str:
    """A label in its colour; one of an older version is plain."""
    return f"[{REGIMES[label].terminal_style}]{label}[/]" if label in REGIMES else escape(label)


def outlook(db: duckdb.DuckDBPyConnection, asset: str, day: date | None) -> dict[str, Any]:
    """One day of an asset: its label, the forecasts of the week after it, and the scores of the methods that made them.

    Raises `ValueError` for a day without a label.
    """
    labelled = db.execute(
        "SELECT day, label, confidence, reasons, (SELECT origin FROM meta.scope) FROM marts.regime_labels "
        "WHERE asset = $1 AND day <= coalesce($2, day) ORDER BY day DESC LIMIT 1",
        [asset, day],
    ).fetchone()
    if labelled is None or (day and labelled[0] != day):
        raise ValueError(f"{asset} has no label of {day or 'any day'}: load that window first")
    at, label, confidence, reasons, origin = labelled
    about = {"asset": asset, "day": at, "origin": origin, "label": label, "confidence": confidence, "reasons": reasons}
    has_forecasts = db.execute("SELECT 1 FROM duckdb_columns() WHERE table_name = 'regime_forecasts'").fetchone()
    scorecard = "marts.regime_scorecard"
    if day and has_forecasts:  # what was known then, not what the days since have shown
        db.register("scorecard_of_the_day", forecasts.scorecard_as_of(db, at))
        scorecard = "scorecard_of_the_day"
    found = {
        name: _forecast(db, asset, at, *about_it, scorecard) if has_forecasts else None
        for name, about_it in {"risk_state": RISK, "early_warning": WARNING}.items()
    }
    return {**about, "posture": posture.of(db, asset, at), "forecasts": bool(has_forecasts), **found}


def _forecast(
    db: duckdb.DuckDBPyConnection, asset: str, day: date, target: str, method: str, scorecard: str
) -> dict[str, Any] | None:
    """The forecast of a day by one method, with the method's score; None where too few events had happened."""
    forecast = db.execute(
        "SELECT probability, flag, fitted_on FROM marts.regime_forecasts "
        "WHERE asset = ? AND day = ? AND target = ? AND method = ? ORDER BY run_type DESC LIMIT 1",
        [asset, day, target, method],
    ).fetchone()
    if forecast is None:
        return None
    names = ("auroc", "auroc_low", "auroc_high", "precision", "base_rate", "events", "verdict")
    scored = db.execute(
        f"SELECT {', '.join(names)} FROM {scorecard} WHERE asset = 'all' AND target = ? AND method = ?", [target, method]
    ).fetchone() or len(names) * (None,)
    probability, flag, fitted_on = forecast
    known = [None if isinstance(value, float) and isnan(value) else value for value in scored]
    about = {"target": target, "method": method, "probability": probability, "flag": flag, "fitted_on": fitted_on}
    return {**about, **dict(zip(names, known, strict=True))}


def print_outlook(found: dict[str, Any]) -> None:
    """An outlook, in sentences."""
    if found["origin"] == "synthetic":
        console.print("[bold]SYNTHETIC DATA[/]: a generated market of this seed, not the real one.")
    console.print(f"{escape(found['asset'])} on {found['day']}, from what was known by its close")
    console.print(
        f"nowcast       {_styled(found['label'])}, confidence {found['confidence']:.2f}: {escape(found['reasons'])}\n"
        f"posture       {found['posture']}"
    )
    if not found["forecasts"]:
        console.print("there are no forecasts yet: `perps run --forecasts`")
        return
    for name in ("risk_state", "early_warning"):
        title, forecast = name.replace("_", " "), found[name]
        if forecast is None:
            console.print(f"{title:<13} no forecast: too few such events had happened by then")
            continue
        flag = {True: "[bold red]flag[/]", False: "no flag", None: "no flag yet"}[forecast["flag"]]
        fitted = f"({forecast['method']}, fitted on days up to {forecast['fitted_on']})"
        description = TARGETS[forecast["target"]].description
        console.print(f"{title:<13} {forecast['probability']:.0%}, {flag}: {description} {fitted}")
        if verdict := forecast["verdict"]:
            names = ("auroc", "auroc_low", "auroc_high", "precision", "base_rate")
            auroc, low, high, precision, rate = ("–" if forecast[n] is None else f"{forecast[n]:.2f}" for n in names)
            score = f"AUROC {auroc} ({low} to {high}), precision of its flags {precision} where {rate} is chance"
            counted = f", {forecast['events']} events" if forecast["events"] else ""
            console.print(f"{'':<13} its score over all assets: {score}{counted}: [bold]{verdict}[/]")


def coverage(db: duckdb.DuckDBPyConnection) -> None:
    """A line per dataset: seen of expected over the whole window, and source by source."""
    rows = db.execute(COVERAGE).fetchall()
    table = Table("coverage", "seen", "expected", "share", "by source", box=None)
    for dataset in dict.fromkeys(row[0] for row in rows):
        by_source = [row for row in rows if row[0] == dataset]
        seen, expected = sum(row[2] for row in by_source), sum(row[3] for row in by_source)
        each = ", ".join(f"{source} {_share(s, e)}" for _, source, s, e, _ in by_source)
        table.add_row(dataset, f"{seen:,}", f"{expected:,}", _share(seen, expected), each)
    show(table)
    console.print()


def _share(seen: int, expected: int) -> str:
    return f"{seen / expected:.1%}" if expected else "not due"


def venues(rows: list[Row], loads: dict[str, datetime]) -> None:
    """The table of sources, with the last load."""
    table = Table(*(Column(name, overflow="fold") for name in (*HEADER, "last load")), show_lines=True)
    for row in rows:
        at = loads.get(row.source)
        table.add_row(*map(escape, row.cells()), f"{at:%Y-%m-%d %H:%M}" if at else "never")
    show(table)


def run_end(outcome: RunOutcome) -> None:
    """The end of a run: regimes and coverage, failed checks, notes, failed steps, requests, paths."""
    settings, published = outcome.settings, outcome.settings.published / outcome.settings.copy_name
    if published.is_file() and not outcome.failed:
        with warehouse.connect(published, read_only=True) as db:
            origin = db.execute("SELECT origin FROM meta.scope").fetchone()
            if origin and origin[0] == "synthetic":
                console.print("[bold]SYNTHETIC DATA[/]: a generated market of this seed, not the real one.\n")
            regimes(db, ["BTC", "ETH"])
            coverage(db)
    for check in outcome.failed_checks:
        kind = "[red]check failed[/]" if check.is_error else "[yellow]check warned[/]"
        console.print(f"{kind} {escape(check.name)}: {escape(check.reason or 'the notes say why')}")
    _notes(outcome.messages)
    for line in outcome.failed:
        console.print(f"[bold red]failed[/] {escape(line)}")
    console.print(f"\nrequests  {outcome.requested:,} sent, {outcome.reused:,} answered from landing")
    _durations(outcome.seconds)
    console.print(f"window    {outcome.window}")
    report = {"report": settings.published / "report.html"} if settings.report else {}
    _paths(warehouse=settings.database, published=published, **report)


def fetch_end(run: Run, results: list[FetchResult], notes: list[str]) -> list[str]:
    """The end of `perps fetch`: pages by source, notes, problems. Returns the problems."""
    for result in results:
        pages = f"{len(result.entries):,} pages, {result.bytes / 1e6:.1f} MB, {result.reused:,} of them from landing"
        console.print(f"{result.source:<20} {pages}")
    problems = [problem for result in results for problem in fetch_problems(result)]
    _notes([*notes, *unlisted_assets(run, results), *(warning for result in results for warning in result.warnings)])
    for line in _grouped(problems):
        console.print(f"[bold red]failed[/] {escape(line)}")
    _durations({result.source: result.seconds for result in results})
    console.print(f"window    {run.window}")
    console.print(escape(f"landing   {run.settings.landing_root}"))
    return problems


def backfill_plan(run: Run, planned: list[Planned], seconds: Mapping[str, float], notes: list[str]) -> None:
    """What a backfill would request, by source and endpoint, and the time at the venues' limits."""
    table = Table("source", "dataset", "from", "to", "instruments", "requests", "landed", "MB", box=None, padding=(0, 1, 0, 0))
    for line in planned:
        if line.requests:
            days = (f"{to_datetime(line.first):%Y-%m-%d}", f"{to_datetime(line.last - 1):%Y-%m-%d}")
            counts = (f"{len(line.instruments):,}", f"{line.requests:,}", f"{line.known:,}")
            table.add_row(
                line.source.name, line.endpoint, *days, *counts, f"{line.size / 1e6:,.1f}" if line.is_listed else "unknown"
            )
    show(table)
    _notes(notes)
    console.print(f"window    {run.window}")
    for pool, time in seconds.items():
        console.print(escape(f"at least {time / 60:,.1f} minutes at the limits of {pool}"))
    console.print("landed: landing has their answers; pages that follow a first one are not counted")


def backfill_part(
    part: Window, results: list[FetchResult], loaded: list[LoadResult], problems: list[str], left: int, parts: int
) -> None:
    """The end of a part of a backfill, and what is left."""
    pages, reused = (sum(counts) for counts in ([len(r.entries) for r in results], [r.reused for r in results]))
    rows = sum(sum(result.rows.values()) for result in loaded)
    console.print(f"{part}: {pages:,} pages, {reused:,} of them from landing, {rows:,} rows")
    _notes(line for result in results for line in result.warnings)
    for line in _grouped(problems):
        console.print(f"[bold red]failed[/] {escape(line)}")
    console.print(f"left: {parts} parts, {left:,} requests")


def load_end(run: Run, results: list[LoadResult]) -> None:
    """The end of `perps load`: rows by source and endpoint, pages that could not be read."""
    for result in results:
        rows = ", ".join(f"{count:,} {endpoint}" for endpoint, count in result.rows.items()) or "no new rows"
        console.print(f"{result.source:<20} {rows}")
    unread = [
        f"{e.source} {e.path_label}: page {e.page} is in quarantine: {e.problem}"
        for result in results
        for e in result.quarantined
    ] + [
        f"{e.source} {e.path_label}: a row of page {e.page} is in quarantine: {flaw.place} = {flaw.value}: {flaw.problem}"
        for result in results
        for e, flaw in result.flaws
    ]
    _notes(f"{e.source} {e.path_label}: page {e.page} is lost: {e.problem}" for result in results for e in result.lost)
    for line in _grouped(unread):
        console.print(f"[bold red]failed[/] {escape(line)}")
    console.print(f"window    {run.window}")
    console.print(escape(f"warehouse {run.settings.database}"))


def _notes(lines: Iterable[str]) -> None:
    for line in _grouped(lines):
        console.print(f"[yellow]note[/] {escape(line)}")


def _durations(seconds: Mapping[str, float]) -> None:
    if slowest := sorted(seconds.items(), key=lambda item: -item[1]):
        console.print(f"fetched   side by side: {', '.join(f'{name} {taken:.1f} s' for name, taken in slowest)}")


def _paths(**paths: Path) -> None:
    for name, path in paths.items():
        if path.exists():
            console.print(f"{name:<9} {escape(str(path))}")


def _grouped(lines: Iterable[str]) -> list[str]:
    """Each line once; lines that differ only in their numbers as two: the first, and the last with how many there are."""
    similar: dict[str, list[str]] = {}
    for line in dict.fromkeys(lines):
        similar.setdefault(re.sub(r"\d+", "#", line), []).append(line)
    return [
        line
        for group in similar.values()
        for line in (group if len(group) <= 3 else [group[0], f"… and {len(group) - 1:,} more like it, the last: {group[-1]}"])
    ]


def loaded(db: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
    """What is loaded: a row per dataset, venue and source, with the observations seen and expected of that source."""
    facts = " UNION ALL ".join(
        f"SELECT '{name}' AS dataset, {number} AS nth, venue, source, count(DISTINCT instrument_id) AS instruments, "
        f"count(*) AS rows, min({dataset.time}) AS first, max({dataset.time}) AS last FROM marts.{dataset.fact} GROUP BY ALL"
        for number, (name, dataset) in enumerate(counted_datasets().items())
    )
    return db.sql(
        f"SELECT f.* EXCLUDE nth, c.seen, c.expected, c.coverage FROM ({facts}) AS f "
        f"LEFT JOIN ({COVERAGE}) AS c USING (dataset, source) ORDER BY nth, venue, source"
    )


def unread(db: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
    """What could not be read of venues' answers, the newest first."""
    return db.sql("SELECT source, endpoint, page, field, value, problem FROM meta.quarantine ORDER BY observed_at DESC")


def status(db: duckdb.DuckDBPyConnection) -> None:
    """What is loaded, how fresh, how complete, and what could not be read."""
    info = db.execute("SELECT market, origin, window_start, window_end, as_of FROM meta.scope").fetchone()
    if info:
        window = f"window {info[2]} to {info[3]} (exclusive) UTC"
        console.print(escape(f"market {info[0]} ({info[1]}), {window}, clock at {info[4]}\n"))
    table = Table("dataset", "venue", "source", "instruments", "rows", "first", "last", box=None)
    for dataset, venue, source, instruments, rows, first, last, *_ in loaded(db).fetchall():
        table.add_row(dataset, escape(venue), source, str(instruments), f"{rows:,}", str(first), str(last))
    show(table)
    console.print()
    coverage(db)
    for source, endpoint, page, field, value, problem in unread(db).fetchmany(10):
        console.print(escape(f"quarantine {source} {endpoint} page {page}: {field} = {value}: {problem}"))


def last_runs(runs: list[dict[str, Any]]) -> None:
    """The last runs of the command line, newest first, with the reasons where one did not succeed."""
    for run in runs[:5]:
        outcome = run["outcome"] if run["outcome"] != "running" else "running, or killed"
        console.print(escape(f"run {run['started']} {run['mode']} {run['window']}: {outcome}"))
        for line in run["messages"][:5] if run["outcome"] != "succeeded" else []:
            console.print(f"    {escape(line)}")


def missing(db: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
    """What is missing, what can still be fetched first."""
    return db.sql("FROM marts.gaps ORDER BY fetchable DESC, fetch_until NULLS LAST, missing DESC, instrument_id")


def gaps(db: duckdb.DuckDBPyConnection, limit: int) -> None:
    """What is missing, what of it can still be fetched, and until when."""
    columns = "source, dataset, instrument_id, gap_start, gap_end, missing, reason, fetch_until"
    rows = missing(db).project(columns).fetchall()
    table = Table("dataset", "instrument", "from", "to", "missing", "can be fetched", box=None)
    for source, dataset, instrument, start, end, count, reason, until in rows[:limit]:
        can = f"no: {reason.replace('_', ' ')}" if reason else f"yes, until {until}" if until else "yes"
        table.add_row(f"{source} {dataset}", escape(instrument), str(start), str(end), f"{count:,}", can)
    if rows:
        show(table)
    else:
        console.print("nothing is missing")
    if len(rows) > limit:
        console.print(f'… and {len(rows) - limit:,} more gaps: perps query "select * from marts.gaps"')
