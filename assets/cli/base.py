"""The Typer application, and what all commands share: settings from options, expected errors."""

from __future__ import annotations

import errno
import inspect
import logging
import os
import re
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from assets.cli.options import OPTIONS
from assets.runtime.interrupts import end_at_once, noticed, plain_interrupts, raise_noticed, take_interrupts
from pipelines import __version__
from pipelines.errors import DISK_FULL, FREE_ROOM, LandingFull, WarehouseMismatch, printable
from pipelines.settings import Settings, problems


class _Perps(typer.Typer):
    """The application. Outside of a command's own work Ctrl-C ends it at once, until the process has ended."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        take_interrupts()
        return super().__call__(*args, **options)


app = _Perps(
    name="perps",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="perplake: a self-hosted warehouse for crypto perpetual futures.\n\n"
    "Start with `perps run` (a synthetic market, no network), then `perps status` and "
    '`perps query "select * from marts.regime_labels limit 5"`. Settings: `perps settings`.',
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version, and end")
    ] = False,
) -> None:
    level = os.environ.get("PERPLAKE_LOG", "CRITICAL").upper()
    if level not in logging.getLevelNamesMapping():
        typer.echo(printable(f"perps: PERPLAKE_LOG is {level!r}: write `info` or `debug`"), err=True)
        raise typer.Exit(2)
    logging.basicConfig(level=level)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(PlainFormatter("%(levelname)s %(name)s: %(message)s"))


class PlainFormatter(logging.Formatter):
    """Lines that a terminal may show, whatever a venue sent."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


@contextmanager
def expected_errors() -> Iterator[None]:
    """Expected problems end with one line and status 2; a stopped run with the next step and status 130."""
    for name in ("stdout", "stderr"):  # closed by the caller
        setattr(sys, name, getattr(sys, name) or Path(os.devnull).open("w"))  # noqa: SIM115
    try:
        with noticed(), plain_interrupts() if signal.getsignal(signal.SIGINT) is end_at_once else nullcontext():
            try:
                yield
            except typer.Exit:
                raise
            except Exception:
                raise_noticed()  # a library made another error of it, or a child ended by it
                raise
            finally:  # also of a command that ends with a status of its own, as `perps watch … | head`
                sys.stdout.flush()
    except BrokenPipeError:  # `perps query … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except KeyboardInterrupt:
        typer.echo("\nstopped; what was fetched is kept, the next run goes on from here", err=True)
        raise typer.Exit(130) from None
    except ValidationError as problem:
        for each in problems(problem):
            typer.echo(printable(f"perps: {each}"), err=True)
        raise typer.Exit(2) from None
    except (ValueError, KeyError, ConnectionError, WarehouseMismatch, LandingFull) as problem:
        message = problem.args[0] if isinstance(problem, KeyError) and problem.args else problem  # its text has quotes about it
        typer.echo(printable(f"perps: {message}"), err=True)
        raise typer.Exit(2) from None
    except Exception as problem:
        if "Query interrupted" in str(problem):  # DuckDB's answer to Ctrl-C
            raise typer.Exit(130) from None
        if (line := of_the_machine(problem)) is None:
            raise
        typer.echo(printable(f"perps: {line}"), err=True)
        raise typer.Exit(2) from None


def of_the_machine(problem: BaseException) -> str | None:
    """One line for what a disk, a permission or a lock caused, wherever in a library it was raised; None for anything else."""
    waiting, seen = [problem], set[int]()
    while waiting:
        each = waiting.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        text = " ".join(str(each).split())[:300]
        if (isinstance(each, OSError) and each.errno in (errno.ENOSPC, errno.EDQUOT)) or DISK_FULL.search(text):
            return f"the disk is full ({text}): {FREE_ROOM}"
        if _NOT_WRITABLE.search(text) or (isinstance(each, OSError) and each.errno in _REFUSED):
            return f"a file or folder can't be used ({text}): make it writable, or choose another (--home, --landing, …)"
        if isinstance(each, OSError) and each.errno is None and text:  # one of ours, with its remedy
            return text
        if "database is locked" in text:
            return (
                f"another program locks Dagster's history ({text}): end it (`fuser` of the files in DAGSTER_HOME), then run again"
            )
        if isinstance(each, OSError | sqlite3.Error) or type(each).__module__.startswith(("duckdb", "_duckdb")):
            return f"{type(each).__name__}: {text}"
        waiting += [part for part in (each.__cause__, each.__context__, *getattr(each, "exceptions", ())) if part]
    return None


@contextmanager
def until_stopped() -> Iterator[None]:
    """A server's work: Ctrl-C is its end, with one line and status 130."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("\nstopped", err=True)
        raise typer.Exit(130) from None


_NOT_WRITABLE = re.compile(
    r"permission denied|read-only file system|readonly database|unable to open database file|not a directory|is a directory",
    re.IGNORECASE,
)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG)


def command(*names: str, name: str | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a command. Its parameter `settings` comes from the options of these names, over environment over file."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        @wraps(function)
        def run(**given: Any) -> None:
            options = {option: given.pop(option) for option in names}
            for option, value in options.items():
                options[option] = value.date() if isinstance(value, datetime) else value
            with expected_errors():
                if names:  # an option that was not given is left to environment and file
                    given["settings"] = Settings(**{n: v for n, v in options.items() if v is not None and v is not False})
                function(**given)

        own = inspect.signature(function, eval_str=True).parameters.values()
        kind = inspect.Parameter.KEYWORD_ONLY
        parameters = [parameter.replace(kind=kind) for parameter in own if parameter.name != "settings"]
        parameters += [inspect.Parameter(n, kind, default=None, annotation=OPTIONS[n]) for n in names]
        vars(run)["__signature__"] = inspect.Signature(parameters)  # where Typer reads the options from
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        app.command(name)(run)
        return function

    return register
