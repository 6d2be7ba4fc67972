"""Put a user's own files into landing as pages: history in a venue's wire format, for a venue that has closed above all.

A file is one response of the venue. It is decoded before it is stored, and then loaded, replayed and traced like any other page.
Alone: `perps import bitmex funding_rates funding-2024.json`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import msgspec

from pipelines.files import regular
from pipelines.landing import Entry
from pipelines.records import known_names
from pipelines.run import Run
from pipelines.source import Endpoint, Source


def import_files(run: Run, source: Source, endpoint: Endpoint, files: Sequence[Path], context: Mapping[str, str]) -> int:
    """Put files into landing; returns the number of their rows.

    Raises `ValueError` for a file that can't be read as this endpoint's pages or has no rows, and where `context` lacks a column
    that the rows don't have.
    """
    if missing := set(endpoint.context) - set(context):
        columns = ", ".join(sorted(missing))
        raise ValueError(f"{source.name} {endpoint.name}: the rows don't have {columns}: give it, as symbol=XBTUSD")
    total, most = 0, int(run.settings.body_max_mb * 1e6)
    for file in files:
        with regular(file).open("rb") as opened:
            body = opened.read(most + 1)
        if len(body) > most:
            raise ValueError(f"{file}: it is longer than {most / 1e6:g} MB: split it, or raise the setting body_max_mb")
        try:
            rows = endpoint.rows(endpoint.read(body))
        except (msgspec.MsgspecError, ValueError) as problem:
            raise ValueError(f"{file}: not {endpoint.name} in the format of {source.name}: {problem}") from problem
        if not rows:
            raise ValueError(f"{file}: no rows in it")
        if better := _better_reader(source, endpoint, body):
            raise ValueError(f"{file}: its rows are {better} of {source.name}, not {endpoint.name}: name that dataset")
        times = [int(getattr(row, endpoint.time)) for row in rows] if endpoint.time else []
        entry = Entry(
            run=run.id,
            source=source.name,
            endpoint_name=endpoint.name,
            market=run.settings.market,
            method="FILE",
            url=file.name,
            path_label=f"file:{file.name}",
            context=dict(context),
            window=(min(times), max(times) + 1) if times else None,
            observed_at=run.started,
            status=200,
            sha256=hashlib.sha256(body).hexdigest(),
            size=len(body),
            origin="a user's file",
            final=True,
            last=True,
            place=next(run.places),
        )
        run.landing.put(entry, body)
        total += len(rows)
    run.landing.flush()
    return total


def _better_reader(source: Source, endpoint: Endpoint, body: bytes) -> str | None:
    """The dataset that knows more fields of a file's rows: most fields are optional, so that another can read them as nothing."""
    if endpoint.decode or endpoint.record.__struct_config__.array_like:
        return None
    objects = list(islice(_objects(msgspec.json.decode(body)), 20))

    def known(each: Endpoint) -> int:
        names = known_names(each.wire_type or each.record)
        return max((len(names & row.keys()) for row in objects), default=0)

    best = max(source.endpoints, key=known)
    return best.name if known(best) > known(endpoint) else None


def _objects(value: object) -> Iterator[dict[str, object]]:
    """The objects in a body."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _objects(each)
