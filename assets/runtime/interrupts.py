"""Ctrl-C inside a step.

Dagster raises its own exception for it, which asyncio wraps and dbt takes for a model's error; both stop cleanly for
`KeyboardInterrupt`. Dagster keeps only the name of a step's exception, so interrupts are recognised by name.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_NAMES = {"KeyboardInterrupt", "DagsterExecutionInterruptedError", "SignalReceivedException"}  # Python's, Dagster's, dlt's


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
