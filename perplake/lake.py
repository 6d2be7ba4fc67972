"""The published copy as a program reads it: questions in SQL, tables with their descriptions, provenance, coverage, signals.

Each call reads what is published at that moment: where a run has replaced the file since the last call, or published another
snapshot of a lake, it is opened anew. A process has a file open once, whoever reads it: closing it twice would drop the lock by
which a run sees that it is being read.

Alone: ``perplake.open().table("daily_assets")``.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload
from weakref import WeakValueDictionary

import duckdb

from assets.runtime.outcomes import noted_runs
from perplake.published import CATALOG, asked, attached, enter, explained, published_copy, question
from pipelines import ducklake
from pipelines.settings import Settings
from pipelines.units import Columns, described, stated

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from perplake.explain import Step
    from perplake.signals import Signal

    Frame: TypeAlias = pd.DataFrame | pl.DataFrame | pa.Table

As = Literal["pandas", "polars", "arrow"]

#: Of a live market: the age of its newest data from which a copy is stale. Yesterday is loaded once a day.
STALE_AFTER = timedelta(hours=36)

#: Observations seen and expected over the whole window.
COVERAGE = """
SELECT dataset, source, sum(seen)::BIGINT AS seen, sum(expected)::BIGINT AS expected,
    sum(seen) / nullif(sum(expected), 0) AS coverage
FROM marts.coverage_daily GROUP BY ALL ORDER BY ALL
"""


class StaleCopy(UserWarning):
    """The published copy is older than what a run could not publish, or than a day of a live market."""


@dataclass(frozen=True)
class Publication:
    """What is published: its market and origin (`synthetic`, `recorded`, `live`), the hull of its windows (half-open), the clock
    of its last run, and when it was published. Times are UTC, without a zone."""

    path: Path
    market: str
    origin: str
    window_start: datetime
    window_end: datetime
    as_of: datetime
    published_at: datetime


class _File:
    """A published file, or a snapshot of a lake, that this process has open."""

    def __init__(self, path: Path, memory_mb: int | None) -> None:
        self.db = attached(path, memory_mb)
        self.snapshot = ducklake.snapshot(self.db, CATALOG)

    def __del__(self) -> None:
        if hasattr(self, "db"):
            self.db.close()


#: By device, inode, time of the last change, and the most memory.
_open: WeakValueDictionary[tuple[int, int, int, int | None], _File] = WeakValueDictionary()
_opening = Lock()


class Lake:
    """A reader of one market's published copy, whose queries take `memory_mb` at most. Errors are `ValueError` in one line."""

    def __init__(self, settings: Settings, memory_mb: int | None = None) -> None:
        self.settings, self.memory_mb = settings, memory_mb
        self.path = published_copy(settings).resolve()
        self._file: _File | None = None
        with self.session():
            pass

    def __repr__(self) -> str:
        return f"<perplake: {self.path}>"

    @contextmanager
    def session(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to what is published now. Warns with `StaleCopy` where that was opened anew and is stale."""
        with explained(self.path):
            with _opening:
                last, file = self._file, self._opened()
                is_new, self._file = file is not last, file
            with enter(file.db.cursor()) as db:
                if is_new and (reason := self._stale(db)):
                    warnings.warn(reason, StaleCopy, stacklevel=4)
                yield db

    def _opened(self) -> _File:
        """What is published now, opened anew where that is not what was read last."""
        if ducklake.is_lake(self.path):
            last, self._file = self._file, None  # stays so where the catalog doesn't answer
            if last and last.snapshot == ducklake.published_snapshot(last.db, self.path, CATALOG):
                return last
            return _File(self.path, self.memory_mb)
        if not self.path.is_file():
            raise ValueError(f"{self.path} is gone: `perps run` publishes it again")
        stat = self.path.stat()
        identity = (stat.st_dev, stat.st_ino, stat.st_mtime_ns, self.memory_mb)
        return _open.get(identity) or _open.setdefault(identity, _File(self.path, self.memory_mb))

    @property
    def published(self) -> Publication:
        """What is published now."""
        with self.session() as db:
            return self._publication(db)

    @property
    def stale(self) -> str:
        """Why the copy is stale, in a sentence; empty where it isn't."""
        with self.session() as db:
            return self._stale(db)

    @overload
    def sql(self, query: str, as_: Literal["pandas"] = ..., *, parameters: Sequence[Any] | None = ...) -> pd.DataFrame: ...
    @overload
    def sql(self, query: str, as_: Literal["polars"], *, parameters: Sequence[Any] | None = ...) -> pl.DataFrame: ...
    @overload
    def sql(self, query: str, as_: Literal["arrow"], *, parameters: Sequence[Any] | None = ...) -> pa.Table: ...
    def sql(self, query: str, as_: As = "pandas", *, parameters: Sequence[Any] | None = None) -> Frame:
        """The answer to one statement that reads. Tables need no schema's name; `?` in it is a parameter.

        pandas has no whole number wider than 64 bits, such as `sum` of whole numbers: there they are floats, in Arrow decimals.
        """
        with self.session() as db, asked():
            frame: Frame = _as(question(db, query, parameters), as_)
            return frame

    @overload
    def table(self, name: str, as_: Literal["pandas"] = ...) -> pd.DataFrame: ...
    @overload
    def table(self, name: str, as_: Literal["polars"]) -> pl.DataFrame: ...
    @overload
    def table(self, name: str, as_: Literal["arrow"]) -> pa.Table: ...
    def table(self, name: str, as_: As = "pandas") -> Frame:
        """A whole table of `marts`, or of another schema as `meta.runs`, with descriptions and its columns' units.

        They are in `frame.attrs` (pandas) and in the metadata of the schema and its fields (Arrow); a frame of Polars has no
        place for them: `describe` and `units` have.
        """
        schema, _, table = name.rpartition(".")
        with self.session() as db:
            columns = _columns(db, schema or "marts", table)
            about = {"table": name, "description": _tables(db).get(table, ""), **_stated(self._publication(db))}
            frame: Any = _as(db.sql(f'FROM {schema or "marts"}."{table}"'), as_)
        if as_ == "pandas":
            frame.attrs = {**about, "columns": _descriptions(columns), "units": _units(columns)}
        elif as_ == "arrow":
            frame = frame.cast(stated(frame.schema, columns, about))
        answer: Frame = frame
        return answer

    def tables(self) -> dict[str, str]:
        """The tables of `marts` with their descriptions."""
        with self.session() as db:
            return _tables(db)

    def describe(self, name: str) -> dict[str, str]:
        """The columns of a table with their descriptions."""
        return _descriptions(self._columns(name))

    def units(self, name: str) -> dict[str, str]:
        """The columns of a table that have a unit, with it: one of `pipelines.units.UNITS`, or `in <column>` that names it."""
        return _units(self._columns(name))

    def _columns(self, name: str) -> Columns:
        schema, _, table = name.rpartition(".")
        with self.session() as db:
            return _columns(db, schema or "marts", table)

    def explain(self, fact: str, instrument: str, at: datetime | str, seconds: float | None = None) -> list[Step]:
        """A fact's row, or rows of one time (UTC), traced to the bytes that the venue sent; needs landing.

        Raises `ValueError` after `seconds`, where they are given.
        """
        from perplake.explain import explain

        moment = datetime.fromisoformat(at) if isinstance(at, str) else at
        if moment.tzinfo:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
        settings = self.settings
        if not settings.model_fields_set & {"mode", "warehouse"}:
            settings = settings.model_copy(update={"mode": "replay"})  # the market that ran last
        with self.session() as db:
            return list(explain(db, settings, fact, instrument, moment, seconds))

    @overload
    def coverage(self, as_: Literal["pandas"] = ...) -> pd.DataFrame: ...
    @overload
    def coverage(self, as_: Literal["polars"]) -> pl.DataFrame: ...
    @overload
    def coverage(self, as_: Literal["arrow"]) -> pa.Table: ...
    def coverage(self, as_: As = "pandas") -> Frame:
        """Observations seen and expected of each dataset and source over the whole window; `coverage_daily` has them by day."""
        return self.sql(COVERAGE, as_)

    def signals(self, since: str | None = None) -> list[Signal]:
        """Changes of regime and red flags after a signal's key, or since a day (inclusive); all of them without one."""
        from perplake.signals import signals

        with self.session() as db:
            return signals(db, since)

    def _publication(self, db: duckdb.DuckDBPyConnection) -> Publication:
        scope = db.execute("SELECT market, origin, window_start, window_end, as_of FROM meta.scope").fetchone()
        if scope is None:
            raise ValueError(f"{self.path} has no data yet: `perps run` publishes some")
        published = db.execute("SELECT 1 FROM duckdb_columns() WHERE table_name = 'published'").fetchone()
        at = db.execute("SELECT max(published_at) FROM meta.published").fetchone() if published else None
        market, origin, start, end, as_of = scope
        if not (at and at[0]):  # of a version without the table
            at = (datetime.fromtimestamp(self.path.stat().st_mtime, UTC).replace(tzinfo=None),)
        return Publication(self.path, market, origin, start, end, as_of, at[0])

    def _stale(self, db: duckdb.DuckDBPyConnection) -> str:
        about, now = self._publication(db), datetime.now(UTC).replace(tzinfo=None)
        for run in noted_runs(self.path.parent)[:1]:
            if run["outcome"] in ("failed", "incomplete") and run["started"] > f"{about.published_at:%Y-%m-%dT%H:%M:%S}":
                return (
                    f"published at {about.published_at:%Y-%m-%d %H:%M} UTC; the run of {run['started']} {run['outcome']} and "
                    "published nothing: `perps status` says why"
                )
        if about.origin == "live" and now - about.window_end > STALE_AFTER:
            return f"the data end at {about.window_end:%Y-%m-%d %H:%M} UTC: `perps run --mode live` loads what came since"
        return ""


def _stated(about: Publication) -> dict[str, str]:
    return {"market": about.market, "origin": about.origin, "published_at": about.published_at.isoformat()}


def _tables(db: duckdb.DuckDBPyConnection) -> dict[str, str]:
    sql = "SELECT table_name, coalesce(comment, '') FROM duckdb_tables() WHERE schema_name = 'marts'"
    if ducklake.snapshot(db, CATALOG):  # where marts are views, which in a file are tables
        sql += " UNION ALL SELECT view_name, comment FROM duckdb_views() WHERE schema_name = 'marts' AND comment IS NOT NULL"
    return dict(db.execute(f"FROM ({sql}) ORDER BY 1").fetchall())


def _columns(db: duckdb.DuckDBPyConnection, schema: str, table: str) -> Columns:
    """The columns of a table with their descriptions and units. Raises `ValueError` where there is no such table."""
    found = db.execute(
        "SELECT column_name, coalesce(comment, ''), data_type FROM duckdb_columns() WHERE schema_name = ? AND table_name = ? "
        "ORDER BY column_index",
        [schema, table],
    ).fetchall()
    of_view = 'SELECT "column", description FROM meta.view_columns WHERE view = ?'
    in_lake = schema == "marts" and ducklake.snapshot(db, CATALOG) is not None
    views: dict[str, str] = dict(db.execute(of_view, [table]).fetchall()) if in_lake else {}
    if not (columns := {name: described(views.get(name, comment), kind) for name, comment, kind in found}):
        raise ValueError(f"there is no table {schema}.{table}; there are: {', '.join(_tables(db))}")
    return columns


def _as(answer: duckdb.DuckDBPyRelation, as_: As) -> Any:
    if as_ == "pandas":
        return answer.df()
    if as_ == "arrow":
        return answer.to_arrow_table()
    if as_ == "polars":
        try:
            return answer.pl()
        except ModuleNotFoundError:
            raise ValueError("Polars is not installed: `pip install 'perplake[polars]'`, or as_='arrow'") from None
    raise ValueError(f"as_={as_!r}: it is 'pandas', 'polars' or 'arrow'")


def _descriptions(columns: Columns) -> dict[str, str]:
    return {name: description for name, (description, _) in columns.items()}


def _units(columns: Columns) -> dict[str, str]:
    return {name: unit for name, (_, unit) in columns.items() if unit}
