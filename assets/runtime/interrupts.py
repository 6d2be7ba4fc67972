"""Ctrl-C inside of a step.

Dagster raises an exception of its own for it, which asyncio wraps and dbt takes for a model's error; both stop cleanly for
`KeyboardInterrupt`. What a step failed of is told by its error's name, for Dagster keeps no more.
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
    """Within the block Ctrl-C is Python's own, in the main thread (no other gets it)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def interrupted(error: Any) -> bool:
    """Whether a step's error (Dagster's `SerializableErrorInfo`, or None) is, or came of, Ctrl-C."""
    return error is not None and (error.cls_name in _NAMES or interrupted(error.cause) or interrupted(error.context))
