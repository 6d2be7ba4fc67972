"""Ctrl-C inside a step, and before and after a command's own work.

Dagster raises its own exception for it, which asyncio wraps and dbt takes for a model's error; both stop cleanly for
`KeyboardInterrupt`. Dagster keeps only the name of a step's exception, so interrupts are recognised by name.

While modules are imported, which takes seconds, and while the interpreter ends, an exception would be printed with its traceback,
or be lost in a destructor. Nothing has begun by then that could be lost, so the process ends at once.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
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
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return False
    signal.signal(signal.SIGINT, end_at_once)
    return True


@contextmanager
def plain_interrupts() -> Iterator[None]:
    """Within the block, Ctrl-C raises Python's own `KeyboardInterrupt`; only the main thread receives signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def stops_the_run(error: BaseException | None) -> bool:
    """True for an exception that Ctrl-C or a signal raised."""
    return type(error).__name__ in _NAMES


def is_interrupt(error: Any) -> bool:
    """True if a step's error (Dagster's `SerializableErrorInfo`, or None) is Ctrl-C or was caused by it."""
    return error is not None and (error.cls_name in _NAMES or is_interrupt(error.cause) or is_interrupt(error.context))
