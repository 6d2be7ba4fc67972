"""What a disk, a permission or a damaged file causes is one line with its remedy, and nothing from outside moves the terminal."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext, suppress
from io import StringIO
from pathlib import Path

import pytest
import typer
from rich.table import Table
from sqlalchemy.exc import OperationalError
from typer.testing import CliRunner

from assets.cli import app
from assets.cli.base import expected_errors, of_the_machine
from assets.cli.printing import _Plain
from pipelines.errors import Transient, printable
from pipelines.files import regular


def nested(problem: Exception) -> Exception:
    """As a library raises it: from another, in a group."""
    try:
        try:
            raise problem
        except Exception as inner:
            raise RuntimeError("a step failed") from inner
    except RuntimeError as outer:
        return ExceptionGroup("several", [outer])


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/x"), "the disk is full ("),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), "the disk is full ("),
        (OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full")), "the disk is full ("),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/x"), "can't be used ([Errno 13] Permission denied: '/x')"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS), "/x"), "can't be used ("),
        (OperationalError("PRAGMA", {}, sqlite3.OperationalError("unable to open database file")), "can't be used ("),
        (OSError(errno.EIO, os.strerror(errno.EIO), "/x"), "[Errno 5] Input/output error: '/x'"),
        (
            OperationalError("INSERT", {}, sqlite3.OperationalError("database is locked")),
            "another program locks Dagster's history",
        ),
        (OSError("x.sqlite can't be used (locked): end it"), "x.sqlite can't be used (locked): end it"),
        (sqlite3.DatabaseError("file is not a database"), "DatabaseError: file is not a database"),
    ],
)
def test_what_the_machine_caused_is_one_line(problem: Exception, expected: str) -> None:
    for each in (problem, nested(problem)):
        line = of_the_machine(each)
        assert line and expected in line and "\n" not in line


def test_an_error_in_the_code_keeps_its_traceback() -> None:
    assert of_the_machine(nested(TypeError("a bug"))) is None


@pytest.mark.parametrize("command", [["fetch"], ["load"], ["status"], ["backup", "x"]])
def test_a_home_that_is_no_folder_is_one_line(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    result = CliRunner().invoke(app, [*command, "--home", str(tmp_path / "home")])
    assert result.exit_code == 2 and result.output.strip().count("\n") == 0, result.output
    assert result.output.startswith("perps: ") and "home" in result.output


@pytest.mark.parametrize(
    "command",
    [
        ["import", "bitmex", "funding_rates", "device"],
        ["restore", "backup"],
        ["backup", "backup"],
        ["doctor", "--output", "device"],
        ["prune"],
    ],
    ids=lambda command: command[0],
)
def test_a_device_in_place_of_a_file_is_one_line(command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe is refused by the same rule; a device that ends is one that no test waits for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PERPLAKE_HOME", "home")
    for file in (Path("device"), Path("backup/backup.json"), Path("home/dagster/dagster.yaml")):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.symlink_to("/dev/null")
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2 and result.output.strip().count("\n") == 0, result.output
    assert "is a pipe or a device: a file is needed" in result.output


@pytest.mark.parametrize(("make", "refused"), [(os.mkfifo, True), (Path.mkdir, True), (Path.touch, False), (None, False)])
def test_only_files_and_what_is_not_there_are_read(make: Callable[[Path], None] | None, refused: bool, tmp_path: Path) -> None:
    if make:
        make(tmp_path / "x")
    with pytest.raises(OSError, match="a file is needed") if refused else nullcontext():
        assert regular(tmp_path / "x") == tmp_path / "x"


def _ends_at(moment: str) -> subprocess.CompletedProcess[str]:
    """`perps version` whose process gets SIGINT where Python first runs `moment`: an import, or the end of the interpreter."""
    code = f"""
import atexit, os, runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # of tests in the background, a shell has ignored it
def stop(*_): os.kill(os.getpid(), signal.SIGINT)
class Finder:
    def find_spec(name, *_):
        if name == {moment!r}: stop()
if {moment!r} == "atexit": atexit.register(stop)
sys.meta_path.insert(0, Finder)
sys.argv = ["perps", "version"]
runpy.run_module("assets.cli", run_name="__main__", alter_sys=True)
"""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("moment", ["assets.cli.base", "assets.cli.serve", "atexit"])
def test_ctrl_c_outside_of_a_commands_work_is_one_line(moment: str) -> None:
    ended = _ends_at(moment)
    assert (ended.returncode, ended.stderr.split()) == (130, ["stopped"]), ended.stderr


def test_a_ctrl_c_of_which_a_library_makes_another_error_is_still_one(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # of tests in the background, a shell has ignored it
    try:
        with pytest.raises(typer.Exit) as ended, expected_errors():
            with suppress(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
                sum(range(9))  # Python calls the handler here
            raise RuntimeError("pipeline execution failed: received signal_code=2")
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.value.exit_code == 130 and capsys.readouterr().err.strip().startswith("stopped; what was fetched is kept")


def test_an_unknown_log_level_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERPLAKE_LOG", "loud")
    ended = CliRunner().invoke(app, ["version"])
    assert ended.exit_code == 2 and "PERPLAKE_LOG is 'LOUD': write `info` or `debug`" in ended.output


def test_a_command_needs_neither_output_nor_a_query_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a caller that has closed both, and of a user who presses Ctrl-C in DuckDB."""
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    with pytest.raises(typer.Exit) as ended, expected_errors():
        sys.stdout.write("x")
        sys.stderr.write("x")
        raise RuntimeError("Query interrupted")
    assert ended.value.exit_code == 130


def test_nothing_from_outside_moves_the_terminal() -> None:
    hostile = "\x1b]0;title\x07\x1b[2J\x9b31m\u202eX\r"
    assert printable(hostile) == "\ufffd]0;title\ufffd\ufffd[2J\ufffd31m\ufffdX\ufffd" and printable("a\tb\nc") == "a\tb\nc"
    assert "\x1b" not in str(Transient("okx", hostile, hostile, "again"))
    assert len(long := str(Transient("okx", "/x", "A" * 5_000_000, "again"))) < 1100 and "5,000,000 characters" in long
    screen = StringIO()
    console = _Plain(file=screen, force_terminal=True, width=80)
    table = Table("coin")
    table.add_row(hostile)
    console.print(table)
    console.print(f"[bold]{hostile}[/]")
    assert "title" in screen.getvalue() and "\x1b]" not in screen.getvalue() and "\x1b[2J" not in screen.getvalue()
    assert "\x1b[1m" in screen.getvalue(), "its own styles stay"
