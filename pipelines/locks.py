"""File locks that are held for moments, such as while a file is made: a wait for one ends, and names it.

The writer's lock, which is held for minutes, is in `pipelines.warehouse`. Alone: `with moment(Path("x.lock")): ...`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def moment(path: Path, seconds: float = 60) -> Iterator[None]:
    """Hold a lock until the block ends. Raises `ValueError` where another process doesn't let it go within `seconds`."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=seconds)
    except Timeout:
        held = f"another process has held {path} for {seconds:.0f} seconds"
        raise ValueError(f"{held}: `fuser {path}` prints its number; end it, then run again") from None
    try:
        yield
    finally:
        lock.release()
