"""Hard trials of the collector: `perps collect` at the emulator, all streams at once, cascades of 10,000 events a minute.

`--kills N`: the collector is killed (SIGKILL) at N random moments and started again. What was left is loaded, and checked: every
event that happened while a session says that it heard is in the raw table, once; what was lost before a kill is younger than a
second and the stream's delay; a session ends no later than its kill. Of sampled streams, what is there must have happened.

`--minutes M`: the collector runs for M minutes undisturbed: its memory at the start and at the end, the share of a core that it
takes, and the age of the oldest frame when it is found on the disk.

    python -m infra.bench.collecting --kills 50
    python -m infra.bench.collecting --minutes 60
    python -m infra.bench.collecting --kills 3 --landing s3://bucket/folder      # AWS_ENDPOINT_URL names another server

Exit status 1 where a check fails.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import duckdb
import msgspec
import typer

from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served, serve
from pipelines.registry import source_rows
from pipelines.sources import get_source

#: Streams that show a part of what happens, by the venue's statement.
SAMPLED = {"binance_usdm", "binance_coinm", "okx"}
#: Of a source: the market of the emulator, and the columns of an event's time and price.
MARKETS = {
    "binance_usdm": ("binance", "trade_time", "average_price"),
    "binance_coinm": ("binance_coinm", "trade_time", "average_price"),
    "bybit_linear": ("bybit", "time", "price"),
    "bybit_inverse": ("bybit_inverse", "time", "price"),
    "okx": ("okx", "ts", "bk_px"),
    "bitget": ("bitget", "ts", "price"),
    "deribit": ("deribit", "timestamp", "price"),
    "dydx": ("dydx", "created_at", "price"),
    "kraken_futures": ("kraken", "time", "price"),
    "gate": ("gate", "time", "price"),
    "htx_linear": ("htx", "created_at", "price"),
    "htx_coinm": ("htx_coinm", "created_at", "price"),
}
STREAMING = [name for name, row in source_rows().items() if row.streams]
#: Events a minute and market; seconds for which a cascade is made at a time.
EVENTS, AHEAD = 10_000, 60
#: Milliseconds that may be lost before a kill, beside the stream's delay: a second, and the write itself.
LOST = 1500


def now() -> int:
    return time.time_ns() // 1_000_000


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@dataclass
class Life:
    """One process: when it was started and killed, milliseconds."""

    started: int
    killed: int = 0


class Trial:
    """A home folder, an emulator, and the collectors that were run at it."""

    def __init__(self, emulator: Served, home: Path, landing: str) -> None:
        self.emulator, self.home, self.lives = emulator, home, list[Life]()
        self.environment = {
            **os.environ,
            "PERPLAKE_HOME": str(home),
            "PERPLAKE_EMULATOR_URL": emulator.url,
            "PERPLAKE_COLLECT_SECONDS": "5",
            "PERPLAKE_COLLECT_PORT": "0",
            "PERPLAKE_POLL_SECONDS": "0",
            **({"PERPLAKE_LANDING": landing} if landing else {}),
        }
        self.options = ["--mode", "synthetic", "--venues", ",".join(sorted({get_source(name).venue for name in STREAMING}))]

    def begin(self) -> subprocess.Popen[bytes]:
        self.lives.append(Life(now()))
        log = (self.home / "collector.log").open("ab")
        return subprocess.Popen([sys.executable, "-m", "assets.cli", "collect", *self.options], env=self.environment, stderr=log)

    def status(self) -> dict[str, Any]:
        """The state of the collector that was started last; empty until there is one."""
        files = sorted(self.home.glob("*/collect/*/status.json"), key=lambda file: file.stat().st_mtime)
        state: dict[str, Any] = msgspec.json.decode(files[-1].read_bytes()) if files else {}
        return state if state.get("started", 0) >= self.lives[-1].started else {}

    def wait(self, process: subprocess.Popen[bytes], seconds: float = 90) -> None:
        """Until all streams are heard."""
        until = time.monotonic() + seconds
        while not self.status().get("healthy"):
            if time.monotonic() > until or process.poll() is not None:
                raise SystemExit(f"the collector is not well after {seconds:.0f} s: see {self.home / 'collector.log'}")
            time.sleep(0.1)

    def end(self, process: subprocess.Popen[bytes]) -> float:
        """SIGTERM; the seconds that it took to end."""
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        return time.monotonic() - begun

    def load(self) -> duckdb.DuckDBPyConnection:
        today = datetime.now(UTC).date()
        days = ["--from", str(datetime.fromtimestamp(self.lives[0].started / 1000, UTC).date()), "--to", str(today)]
        subprocess.run([sys.executable, "-m", "assets.cli", "load", *self.options, *days], env=self.environment, check=True)
        [file] = self.home.glob("*/*.duckdb")
        return duckdb.connect(str(file), read_only=True)


@contextmanager
def cascading(emulator: Served) -> Iterator[None]:
    """Cascades on all venues, one after the other, until the block ends."""
    stop = threading.Event()

    def keep() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            for venue in sorted(market for market, _, _ in MARKETS.values()):
                emulator.streams("cascade", events=EVENTS, seconds=AHEAD, seed=number, venue=venue)
            stop.wait(AHEAD)

    thread = threading.Thread(target=keep, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)


def killed(trial: Trial, kills: int, seed: int) -> int:
    """Kill at random moments, load, check; how many checks failed."""
    moments = random.Random(seed)
    with cascading(trial.emulator):
        for _ in range(kills):
            process = trial.begin()
            trial.wait(process)
            time.sleep(moments.uniform(0, 4))
            trial.lives[-1].killed = now()
            process.kill()
            process.wait()
        process = trial.begin()
        trial.wait(process)
        time.sleep(5)
        ending = trial.end(process)
    say(f"{kills} kills; SIGTERM ended the last collector in {ending:.1f} s")
    happened: defaultdict[str, Counter[tuple[int, float]]] = defaultdict(Counter)
    for market, _, at, _, price, _ in trial.emulator.events(trial.lives[0].started):
        happened[market][at, price] += 1
    with trial.load() as db:
        return sum(_check(trial, db, name, happened[MARKETS[name][0]]) for name in STREAMING)


def _check(trial: Trial, db: duckdb.DuckDBPyConnection, name: str, happened: Counter[tuple[int, float]]) -> int:
    _, at, price = MARKETS[name]
    rows = db.execute(f'SELECT "{at}", {price} FROM raw.{name}__liquidations_stream').fetchall()
    found = Counter((int(t), p) for t, p in rows if t >= trial.lives[0].started)
    sessions = db.execute(
        f"SELECT heard_from, heard_to FROM raw.{name}__sessions WHERE heard_to > heard_from ORDER BY 1"
    ).fetchall()
    windows = [(int(start), int(end)) for start, end in sessions]
    delay = int(get_source(name).streams[0].delay * 1000)
    lives = [life for life in trial.lives if life.killed]
    twice = sum((found - happened).values())
    missing, lost = 0, 0
    if name not in SAMPLED:
        gone = happened - found
        missing = sum(any(start <= t < end for start, end in windows) for t, _ in gone)
        ages = [
            life.killed - t
            for life in lives
            for start, _ in windows
            if life.started <= start <= life.killed
            for t, _ in gone
            if start <= t <= life.killed
        ]
        lost = max(ages, default=0)
    ends = [life.killed - end for life in lives for start, end in windows if life.started <= start <= life.killed]
    flaws = [twice, missing, max(0, lost - delay - LOST), -min([0, *ends])]
    say(
        f"{name:15} {sum(happened.values()):8,} happened, {len(rows):8,} loaded, {len(windows):4} sessions; untrue or twice: "
        f"{twice}; missing where heard: {missing}; lost before a kill: {lost} ms at most (delay {delay}); heard until "
        f"{min(ends, default=0)} to {max(ends, default=0)} ms before a kill: {'FAILED' if any(flaws) else 'ok'}"
    )
    return int(any(flaws))


def loaded(trial: Trial, minutes: float) -> int:
    """Run undisturbed, and say how it went."""
    process = trial.begin()
    trial.wait(process)
    stop, lags = threading.Event(), list[int]()
    watching = threading.Thread(target=_watch, args=(trial.home, stop, lags), daemon=True)
    with cascading(trial.emulator):
        time.sleep(15)
        begun, used = time.monotonic(), _processor(process.pid)
        memory = [_memory(process.pid)]
        watching.start()
        while time.monotonic() - begun < minutes * 60:
            time.sleep(min(15, minutes * 60 / 4))
            memory.append(_memory(process.pid))
        share = (_processor(process.pid) - used) / (time.monotonic() - begun)
        stop.set()
        watching.join()
        state = trial.status()
        ending = trial.end(process)
    events = sum(stream["events"] for stream in state["streams"].values())
    messages = sum(stream["messages"] for stream in state["streams"].values())
    dropped = sum(stream["dropped"] for stream in state["streams"].values())
    lags.sort()
    say(
        f"{minutes:g} minutes: {events:,} frames kept of {messages:,}, {dropped} dropped; RSS {memory[0]:.0f} MB at the start, "
        f"{memory[-1]:.0f} MB at the end, {max(memory):.0f} MB at most; {share:.1%} of a core; oldest frame of a flush on the "
        f"disk after {lags[len(lags) // 2]} ms (median), {lags[int(len(lags) * 0.99)]} ms (99 %), {lags[-1]} ms at most; "
        f"SIGTERM ended it in {ending:.1f} s"
    )
    return int(dropped > 0)


def _watch(home: Path, stop: threading.Event, lags: list[int]) -> None:
    """The age of the oldest new line of the spool, at each look; a look each 50 ms."""
    read: dict[Path, int] = {}
    while not stop.wait(0.05):
        for file in home.glob("*/collect/*/*.lines"):
            try:
                with file.open("rb") as opened:
                    opened.seek(read.get(file, 0))
                    text = opened.read()
                    text = text[: text.rfind(b"\n") + 1]  # a line that is being written is read at the next look
            except FileNotFoundError:
                continue
            if not text:
                continue
            read[file] = read.get(file, 0) + len(text)
            stamps = [int(line.split(b'{"at":', 1)[1].split(b",", 1)[0]) for line in text.split(b"\n") if b'{"at":' in line]
            if stamps:
                lags.append(now() - min(stamps))


def _memory(pid: int) -> float:
    """Resident megabytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _processor(pid: int) -> float:
    """Seconds of processor time that were used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(
    kills: Annotated[int, typer.Option(help="kill the collector so many times")] = 0,
    minutes: Annotated[float, typer.Option(help="run it undisturbed for so many minutes")] = 0,
    landing: Annotated[str, typer.Option(help="where landing is: a folder or s3://…; default: in a temporary home")] = "",
    seed: Annotated[int, typer.Option(help="of the moments of kills")] = 7,
) -> None:
    failed = 0
    market = SyntheticMarket(seed=7, until=now())
    with tempfile.TemporaryDirectory(prefix="perplake-") as folder, serve(market, days=1, limits_scale=1e6) as emulator:
        if kills:
            (home := Path(folder) / "killed").mkdir()
            failed += killed(Trial(emulator, home, landing), kills, seed)
        if minutes:
            (home := Path(folder) / "loaded").mkdir()
            failed += loaded(Trial(emulator, home, landing), minutes)
    raise typer.Exit(1 if failed else 0)


if __name__ == "__main__":
    typer.run(main)
