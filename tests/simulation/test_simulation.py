"""Histories of faults, kills and damage (`history.py`), each run with the real commands against the emulator, then judged.

The truth is one undisturbed fetch and load of the whole window into another home. Of each history:
* what a fetch called whole and a load took in is in the warehouse, equal to the truth, before anything is repaired;
* once nothing goes wrong any more, one or two more commands complete the window; nothing is twice, and nothing is asked again;
* a value that the venue has corrected is in the warehouse as it was before, too (`meta.versions`);
* the rows of an imported file are in the warehouse of the live market;
* a replay makes from landing alone a warehouse that is equal to the truth, with the same corrections;
* no command ends in a traceback, or refuses to go on.

A failure names its seed: `make simulate SEEDS=17` repeats it.
"""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from infra.emulator.testing import Served
from pipelines.landing import Landing
from pipelines.registry import source_rows
from pipelines.source import Endpoint
from pipelines.sources import get_source
from pipelines.windows import to_datetime
from tests.simulation.history import History, Step, draw
from tests.whole import Finished, Point, begin, database, market, perps

REPAIRS = 3


@pytest.fixture(scope="module")
def emulator() -> Iterator[Served]:
    with market() as served:
        yield served


class Home:
    """A home folder in which a history's commands run."""

    def __init__(self, path: Path, history: History, emulator: Served) -> None:
        self.path, self.history, self.emulator = path, history, emulator
        self.settings = {
            "venues": ",".join(history.venues),
            "assets": ",".join(history.assets),
            "tries": 2,
            "state": path / "state",
        }

    def run(self, step: Step) -> Finished:
        self.emulator.set_clock(f"{to_datetime(step.now):%Y-%m-%dT%H:%M:%SZ}")
        if step.kind == "rebuild":
            for file in database(self.path).parent.glob("warehouse.duckdb*"):
                file.unlink()
            shutil.rmtree(database(self.path).parent / ".dlt", ignore_errors=True)
        beside = begin(self.path, self.emulator.url, *step.beside.arguments, **self.settings) if step.beside else None
        ended = self.command(*step.arguments, point=step.point)
        if beside:
            beside.wait()
        return ended

    def command(self, *arguments: str, point: Point | None = None) -> Finished:
        return perps(self.path, self.emulator.url, *arguments, point=point, report=False, **self.settings)

    def damage(self, kind: str, rng: random.Random) -> None:
        """Tear, flip a byte of, or empty one file of landing."""
        files = sorted(f for f in (database(self.path).parent / "landing").rglob("*") if f.is_file())
        if not files:
            return
        file = rng.choice(files)
        data = bytearray(file.read_bytes())
        middle = len(data) // 2
        if kind == "flipped" and data:
            data[middle] ^= 0x10
        file.write_bytes(data if kind == "flipped" else data[:middle] if kind == "torn" else b"")

    def missing(self, truth: Path, windows: Sequence[tuple[int, int]], path: Path | None = None) -> list[str]:
        """By raw table: the truth's rows of these windows that this warehouse, or that of a replay, has not."""
        found = []
        with duckdb.connect(str(path or database(self.path)), read_only=True) as connection:
            connection.execute(f"ATTACH '{truth}' AS truth (READ_ONLY)")
            for table, endpoint in self.tables():
                if endpoint.snapshot or not endpoint.time:
                    continue
                columns = _columns(endpoint)
                within = " OR ".join(f'"{endpoint.time}" >= {start} AND "{endpoint.time}" < {end}' for start, end in windows)
                rows = f'SELECT {columns} FROM truth.raw."{table}" WHERE {within} EXCEPT SELECT {columns} FROM raw."{table}"'
                lost = connection.execute(f"{rows} ORDER BY ALL").fetchall()
                found += [f"{table}: {len(lost)} rows, such as {lost[0]}"] if lost else []
        return found

    def untrue(self, truth: Path) -> set[tuple[str, str, str]]:
        """Rows that the truth has with other values: source, dataset and key as in `meta.versions`."""
        found: set[tuple[str, str, str]] = set()
        with duckdb.connect(str(database(self.path)), read_only=True) as connection:
            connection.execute(f"ATTACH '{truth}' AS truth (READ_ONLY)")
            for table, endpoint in self.tables():
                if endpoint.snapshot or not endpoint.time:
                    continue
                columns, keys = _columns(endpoint), ", ".join(f'"{key}"' for key in endpoint.primary_key)
                rows = f'SELECT {columns} FROM raw."{table}" EXCEPT SELECT {columns} FROM truth.raw."{table}"'
                sql = f"""SELECT '{table.partition("__")[0]}', '{endpoint.name}', concat_ws(' ', {keys}) FROM ({rows})
                    SEMI JOIN truth.raw."{table}" USING ({keys})"""
                found |= set(connection.execute(sql).fetchall())
        return found

    def versions(self, path: Path | None = None) -> set[tuple[str, ...]]:
        """All observations of corrected values: source, dataset, key, field, value."""
        with duckdb.connect(str(path or database(self.path)), read_only=True) as connection:
            sql = "SELECT source, dataset, row_key, field, value FROM meta.versions"
            return set(connection.execute(sql).fetchall())

    def import_file(self, truth: Path, point: Point | None, rng: random.Random) -> str:
        """Import a page of the truth into the live market, and load it; what is wrong with the result."""
        landing = Landing(str(truth.parent / "landing"))
        of_time = {name: endpoint for name, endpoint in self.tables() if endpoint.time and not endpoint.snapshot}
        entries = [e for e in landing.iterate() if f"{e.source}__{e.endpoint_name}" in of_time and not e.empty]
        entry, file = rng.choice(entries), self.path / "page.json"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(landing.body(entry))
        context = [part for name, value in entry.context.items() for part in ("--context", f"{name}={value}")]
        arguments = ["import", entry.source, entry.endpoint_name, str(file), *context]
        ended = [self.command(*arguments, point=point)] if point else []
        ended += [self.command(*arguments), self.command("load", "--mode", "live")]
        table = f"{entry.source}__{entry.endpoint_name}"
        columns = _columns(of_time[table])
        if any("Traceback" in each.output for each in ended) or any(each.status for each in ended[-2:]):
            return "\n".join(each.output for each in ended)
        with duckdb.connect(str(self.path / "live" / "warehouse.duckdb"), read_only=True) as connection:
            connection.execute(f"ATTACH '{truth}' AS truth (READ_ONLY)")
            rows = f"SELECT {columns} FROM truth.raw.\"{table}\" WHERE _page = '{entry.page}'"
            lost = connection.execute(f'{rows} EXCEPT SELECT {columns} FROM raw."{table}"').fetchall()
        return f"{entry.path_label}: {len(lost)} rows, such as {lost[0]}" if lost else ""

    def doubles(self) -> list[str]:
        """Raw tables that have a key twice."""
        found = []
        with duckdb.connect(str(database(self.path)), read_only=True) as connection:
            for table, endpoint in self.tables():
                keys = ", ".join(f'"{key}"' for key in endpoint.primary_key)
                twice = connection.execute(f'SELECT {keys} FROM raw."{table}" GROUP BY ALL HAVING count(*) > 1').fetchall()
                found += [f"{table}: {len(twice)} keys, such as {twice[0]}"] if twice else []
        return found

    def tables(self) -> Iterator[tuple[str, Endpoint]]:
        """The raw tables of the history's venues."""
        for name, row in source_rows().items():
            if row.venue in self.history.venues:
                source = get_source(name)
                yield from ((source.raw_table(endpoint), endpoint) for endpoint in source.endpoints)


def _columns(endpoint: Endpoint) -> str:
    return ", ".join(f'"{field.name}"' for field in endpoint.schema if not field.name.startswith("_"))


def test_a_history_loses_nothing(seed: str, emulator: Served, tmp_path: Path) -> None:
    history = draw(seed)
    rng = random.Random(history.seed)
    again = f"`make simulate SEEDS={seed}`"
    emulator.clear_faults()
    true = Home(tmp_path / "truth", history, emulator)
    for step in (history.whole, Step("load", history.whole.now)):
        ended = true.run(step)
        assert ended.status == 0, f"undisturbed, {again}:\n{ended.output}"
    truth = database(true.path)

    home = Home(tmp_path / "home", history, emulator)
    fetched: list[tuple[int, int]] = []  # called whole, not loaded yet
    claimed: list[tuple[int, int]] = []  # called whole and loaded
    doubted: list[tuple[int, int]] = []  # of which the venue sent other values
    untrue: set[tuple[str, str, str]] = set()
    bodies_lost = False
    for number, step in enumerate(history.steps):
        what = f"{again}, step {number}, {step}"
        if step.damage:
            home.damage(step.damage, rng)
            bodies_lost, fetched, untrue = True, [], set()
        for fault in step.faults:
            emulator.fault(venue=rng.choice(history.venues), **fault)
        if step.kind == "import":
            assert not (wrong := home.import_file(truth, step.point, rng)), f"{what}:\n{wrong}"
            continue
        ended = home.run(step)
        emulator.clear_faults()
        if step.is_untrue:
            doubted.append(step.window)
        killed = step.point is not None and ended.status in (-signal.SIGKILL, 130)
        refused = (step.point and step.point.error) or (step.kind in ("load", "rebuild") and "is empty" in ended.output)
        assert killed or ended.status in (0, 1) or (refused and ended.status == 2), f"{what}:\n{ended.output}"
        assert "Traceback" not in ended.output, f"{what}:\n{ended.output}"
        if step.kind == "prune":
            bodies_lost, fetched, untrue = True, [], set()
        if step.kind == "rebuild" and bodies_lost:
            claimed = []
        told = any(
            words in ended.output
            for words in (
                "rows are due and none came",
                "no dataset has a row",
                "rows are left out after",
                "byte for byte those about other",
            )
        )
        if step.kind == "fetch" and ended.status == 0 and not told and step.window[1] <= min(step.now, step.own_now):
            fetched.append(step.window)
            if step.refetch:
                doubted = [window for window in doubted if window != step.window]
        if step.kind in ("load", "rebuild") and ended.status == 0:
            claimed, fetched = claimed + fetched, []
            untrue = (untrue if step.kind == "load" else set()) | home.untrue(truth)
            told_whole = [w for w in claimed[-3:] if not any(w[0] <= end and start <= w[1] for start, end in doubted)]
            assert not told_whole or not (lost := home.missing(truth, told_whole)), f"{what}: {told_whole} were whole, but {lost}"

    outputs = []
    for _ in range(REPAIRS):
        repaired = [home.run(replace(history.whole, refetch=bool(doubted))), home.run(Step("load", history.whole.now))]
        outputs += [ended.output for ended in repaired]
        if all(ended.status == 0 for ended in repaired):
            break
    else:
        pytest.fail(f"{again}: can't go on:\n" + "\n".join(outputs))
    assert not (lost := home.missing(truth, [*claimed, history.window])), f"{again}: {lost}"
    assert not (twice := home.doubles()), f"{again}: {twice}"
    home.run(history.whole)
    landing = Landing(str(database(home.path).parent / "landing"))
    [last] = landing.runs()[-1:]
    asked = [entry.path_label for entry in landing.iterate([last]) if entry.run == last and entry.window]
    assert asked == [], f"{again}: the whole window was there"
    versions = home.versions()
    unnoted = untrue - {row[:3] for row in versions}
    assert not unnoted, f"{again}: {len(unnoted)} values were corrected without a note, such as {min(unnoted)}"

    if history.replay:
        (kind, point), new = history.replay, tmp_path / "new.duckdb"
        arguments = [kind, "--mode", "replay", "--warehouse", str(new), "--landing", landing.root]
        outputs = [home.command(*arguments, point=point)] if point else []
        outputs.append(home.command(*arguments))
        assert outputs[-1].status == 0 and "Traceback" not in "".join(each.output for each in outputs), f"{again}: {outputs}"
        assert not (lost := home.missing(truth, [history.window], new)), f"{again}, replayed: {lost}"
        if not bodies_lost:
            differing = versions ^ home.versions(new)
            assert not differing, f"{again}, replayed: {len(differing)} other observations, such as {min(differing)}"
