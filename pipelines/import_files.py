"""Put a user's own files into landing as pages: history in a venue's wire format, for a venue that has closed above all.

A file is one response of the venue. It is decoded before it is stored, and then loaded, replayed and traced like any other page.
Alone: `perps import bitmex funding_rates funding-2024.json`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from pipelines.landing import Entry
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
    total = 0
    for file in files:
        body = file.read_bytes()
        try:
            rows = endpoint.rows(endpoint.read(body))
        except (msgspec.MsgspecError, ValueError) as problem:
            raise ValueError(f"{file}: not {endpoint.name} in the format of {source.name}: {problem}") from problem
        if not rows:
            raise ValueError(f"{file}: no rows in it")
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
        )
        run.landing.put(entry, body)
        total += len(rows)
    run.landing.flush()
    return total
