"""Histories of faults, kills and damage (`history.py`), each run with the real commands against the emulator, then judged.

The truth is one undisturbed fetch and load of the whole window into another home. Of each history:
* what a fetch called whole and a load took in is in the warehouse, equal to the truth, before anything is repaired;
* once nothing goes wrong any more, one or two more commands complete the window; nothing is twice, and nothing is asked again;
* no command ends in a traceback, or refuses to go on.

A failure names its seed: `make simulate SEEDS=17` repeats it.
"""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Iterator
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
from tests.whole import Finished, begin, database, market, perps

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
        ended = perps(self.path, self.emulator.url, *step.arguments, point=step.point, **self.settings)
        if beside:
            beside.wait()
        return ended

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

    def missing(self, truth: Path, window: tuple[int, int]) -> list[str]:
        """By raw table: the truth's rows of the window that this warehouse has not."""
        found = []
        with duckdb.connect(str(database(self.path)), read_only=True) as connection:
            connection.execute(f"ATTACH '{truth}' AS truth (READ_ONLY)")
            for table, endpoint in self.tables():
                if endpoint.snapshot or not endpoint.time:
                    continue
                columns = ", ".join(f'"{field.name}"' for field in endpoint.schema if not field.name.startswith("_"))
                window_of = f'"{endpoint.time}" >= {window[0]} AND "{endpoint.time}" < {window[1]}'
                rows = f'SELECT {columns} FROM truth.raw."{table}" WHERE {window_of} EXCEPT SELECT {columns} FROM raw."{table}"'
                lost = connection.execute(f"{rows} ORDER BY ALL").fetchall()
                found += [f"{table}: {len(lost)} rows, such as {lost[0]}"] if lost else []
        return found

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


def test_a_history_loses_nothing(seed: int, emulator: Served, tmp_path: Path) -> None:
    history, rng = draw(seed), random.Random(seed)
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
    bodies_lost = False
    for number, step in enumerate(history.steps):
        what = f"{again}, step {number}, {step}"
        if step.damage:
            home.damage(step.damage, rng)
            bodies_lost, fetched = True, []
        for fault in step.faults:
            emulator.fault(venue=rng.choice(history.venues), **fault)
        ended = home.run(step)
        emulator.clear_faults()
        killed = step.point is not None and ended.status in (-signal.SIGKILL, 130)
        refused = (step.point and step.point.error) or (step.kind in ("load", "rebuild") and "is empty" in ended.output)
        assert killed or ended.status in (0, 1) or (refused and ended.status == 2), f"{what}:\n{ended.output}"
        assert "Traceback" not in ended.output, f"{what}:\n{ended.output}"
        if step.kind == "prune":
            bodies_lost, fetched = True, []
        if step.kind == "rebuild" and bodies_lost:
            claimed = []
        told = any(words in ended.output for words in ("rows are due and none came", "byte for byte those about other"))
        if step.kind == "fetch" and ended.status == 0 and not told and step.window[1] <= step.now:
            fetched.append(step.window)
        if step.kind in ("load", "rebuild") and ended.status == 0:
            claimed, fetched = claimed + fetched, []
            for window in claimed[-3:]:
                assert not (lost := home.missing(truth, window)), f"{what}: {window} was whole, but {lost}"

    outputs = []
    for _ in range(REPAIRS):
        repaired = [home.run(history.whole), home.run(Step("load", history.whole.now))]
        outputs += [ended.output for ended in repaired]
        if all(ended.status == 0 for ended in repaired):
            break
    else:
        pytest.fail(f"{again}: can't go on:\n" + "\n".join(outputs))
    for window in (*claimed, history.window):
        assert not (lost := home.missing(truth, window)), f"{again}: {lost}"
    assert not (twice := home.doubles()), f"{again}: {twice}"
    home.run(history.whole)
    landing = Landing(str(database(home.path).parent / "landing"))
    [last] = landing.runs()[-1:]
    asked = [entry.path_label for entry in landing.iterate([last]) if entry.run == last and entry.window]
    assert asked == [], f"{again}: the whole window was there"
