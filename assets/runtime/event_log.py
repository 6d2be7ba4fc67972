"""Dagster's event log in SQLite with its files kept open, for a run in this process.

Dagster's own storage opens two files for each event, compiles its statements anew and waits for the disk at each commit and
each close. For 150 assets that took 8 s of processor time, and 30 s beside other programs; it takes 3 s and 5 to 10 s where each
file is opened once. Commits go to the write-ahead log, which SQLite brings to the disk at checkpoints (`PRAGMA synchronous =
NORMAL`): after a power cut the history may lack its last events, and is whole up to them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import StaticPool


@contextmanager
def kept_open(instance: dg.DagsterInstance) -> Iterator[None]:
    """Keep the files of the instance's event log open until the block ends; a log elsewhere than in SQLite is left as it is."""
    storage, engines = instance.event_log_storage, dict[str, Engine]()
    if type(storage) is not SqliteEventLogStorage:
        yield
        return

    @contextmanager
    def connect(shard: str) -> Iterator[Connection]:
        with storage._db_lock:
            if shard not in engines:
                engines[shard] = _engine(storage.conn_string_for_shard(shard))
                storage._initdb(engines[shard])
            with engines[shard].begin() as connection:
                yield connection

    storage._connect = connect
    try:
        yield
    finally:
        del storage._connect
        for engine in engines.values():
            engine.dispose()


def _engine(address: str) -> Engine:
    # Dagster's own lock admits one thread at a time.
    options = {"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, "check_same_thread": False}
    engine = create_engine(address, poolclass=StaticPool, connect_args=options)

    @event.listens_for(engine, "connect")
    def _(connection: Any, _: object) -> None:
        connection.execute("PRAGMA synchronous = NORMAL")

    return engine
