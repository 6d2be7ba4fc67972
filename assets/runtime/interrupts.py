"""Ctrl-C, or SIGTERM, inside a step, and before and after a command's own work.

Dagster raises its own exception for it, which asyncio wraps and dbt takes for a model's error; both stop cleanly for
`KeyboardInterrupt`. Dagster keeps only the name of a step's exception, so interrupts are recognised by name.

An exception that a handler raises while a destructor runs is dropped, and libraries that hold signals back drop them where their
block ends. `noticed` keeps what came, and the next step raises it again (`raise_noticed`).

While modules are imported, which takes seconds, and while the interpreter ends, an exception would be printed with its traceback,
or be lost in a destructor. Nothing has begun by then that could be lost, so the process ends at once.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_NAMES = {"KeyboardInterrupt", "DagsterExecutionInterruptedError", "SignalReceivedException"}  # Python's, Dagster's, dlt's


def end_at_once(*_: object) -> None:
    """A handler of Ctrl-C: end the process with one line and status 130, without an exception."""
    os.write(2, b"\nstopped\n")
    os._exit(130)


def take_interrupts() -> bool:
    """Let Ctrl-C end the process at once from now on.

    False, and nothing changes, where it is ignored, as in a shell's background, or has another handler already.
    """
    if signal.getsignal(signal.SIGINT) not in (signal.default_int_handler, signal.SIG_DFL):
        return False
    signal.signal(signal.SIGINT, end_at_once)
    return True


@contextmanager
def plain_interrupts() -> Iterator[None]:
    """Within the block, Ctrl-C and SIGTERM raise Python's own `KeyboardInterrupt`; only the main thread receives signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler)}
    # Whoever answers Ctrl-C then, as asyncio does, which ends its tasks.
    before[signal.SIGTERM] = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)


_readers: list[int] = []


@contextmanager
def noticed() -> Iterator[None]:
    """Within the block `raise_noticed` knows of each Ctrl-C and SIGTERM: Python writes them to a pipe before any handler runs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()
    for end in (reader, writer):
        os.set_blocking(end, False)
    before, hook = signal.set_wakeup_fd(writer, warn_on_full_buffer=False), sys.unraisablehook
    sys.unraisablehook = lambda lost: None if stops_the_run(lost.exc_value) else hook(lost)
    _readers.append(reader)
    try:
        yield
    finally:
        _readers.remove(reader)
        sys.unraisablehook = hook
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)


def raise_noticed() -> None:
    """Raise `KeyboardInterrupt` where a signal came since the block began, or since it was raised here."""
    for reader in _readers:
        with suppress(BlockingIOError):
            if {signal.SIGINT, signal.SIGTERM} & set(os.read(reader, 4096)):
                raise KeyboardInterrupt


def stops_the_run(error: BaseException | None) -> bool:
    """True for an exception that Ctrl-C or a signal raised."""
    return type(error).__name__ in _NAMES


def is_interrupt(error: Any) -> bool:
    """True if a step's error (Dagster's `SerializableErrorInfo`, or None) is Ctrl-C or was caused by it."""
    return error is not None and (error.cls_name in _NAMES or is_interrupt(error.cause) or is_interrupt(error.context))
