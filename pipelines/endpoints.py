"""The usual endpoints of a venue: a list of everything as it is now, one instrument now, its series, its hourly bars.

    series("funding_rates", FundingRate, "funding_time", hourly(500, windowed("/fundingRate", 1000, {"weight": 1})))

What a source adds goes through to `Endpoint`. Nothing to run alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.paging import once
from pipelines.records import Record
from pipelines.shapes import enveloped
from pipelines.source import Endpoint, Plan, Request
from pipelines.windows import HOUR


def snapshot(
    name: str,
    record: type[Record],
    key: str | tuple[str, ...],
    *requests: Request,
    rows_at: str = "",
    beside: Mapping[str, tuple[Any, Any]] | None = None,
    ignored_fields: str = "",
    **more: Any,
) -> Endpoint:
    """One request, or a few, for all instruments as they are now; `key` is the column, or the columns, that identify a row.

    `rows_at` is the dotted path of the list of rows in the body (default: the body itself, or what `page` and `rows` say),
    `beside` are further fields at that place, each a type and a default.
    """
    return Endpoint(
        name,
        record,
        key=(key,) if isinstance(key, str) else key,
        plan=once(*requests),
        bulk=True,
        ignored_fields=frozenset(ignored_fields.split()),
        **_envelope(rows_at, record, beside),
        **more,
    )


def snapshot_by_instrument(
    name: str, record: type[Record], plan: Plan, *, key: str = "symbol", ignored_fields: str = "", **more: Any
) -> Endpoint:
    """A request per instrument for what it is now; `key` is the column that names it, taken from the request where absent."""
    return Endpoint(
        name,
        record,
        key=(key,),
        plan=plan,
        context=() if key in record.__struct_fields__ else (key,),
        ignored_fields=frozenset(ignored_fields.split()),
        **more,
    )


def series(
    name: str,
    record: type[Record],
    time: str,
    plan: Plan,
    *,
    instrument: str = "symbol",
    rows_at: str = "",
    beside: Mapping[str, tuple[Any, Any]] | None = None,
    ignored_fields: str = "",
    key: tuple[str, ...] = (),
    **more: Any,
) -> Endpoint:
    """Rows of one instrument by the column `time`.

    `instrument` is the column that names it, taken from the request where the record has none. `key` is what identifies a row
    (default: instrument and time); `rows_at` and `beside` as in `snapshot`.
    """
    return Endpoint(
        name,
        record,
        key=key or (instrument, time),
        time=time,
        plan=plan,
        context=() if instrument in record.__struct_fields__ else (instrument,),
        ignored_fields=frozenset(ignored_fields.split()),
        **_envelope(rows_at, record, beside),
        **more,
    )


def hourly_bars(name: str, record: type[Record], plan: Plan, time: str = "open_time", **more: Any) -> Endpoint:
    """A series of bars of an hour, of trades or of a price."""
    return series(name, record, time, plan, bar=HOUR, **more)


def _envelope(rows_at: str, record: type[Record], beside: Mapping[str, tuple[Any, Any]] | None) -> dict[str, Any]:
    return enveloped(rows_at, list[record], **beside or {}) if rows_at else {}  # type: ignore[valid-type]
