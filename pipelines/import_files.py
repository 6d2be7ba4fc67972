"""A user's own files as pages in landing: history in a venue's wire format, of venues that no longer answer most of all.

A file is one answer of the venue, as it would have come: it is read as its type before it is stored, and loaded, replayed and
traced like any other page. Alone: `perps import bitmex funding_rates funding-2024.json`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from pipelines.landing import Entry
from pipelines.run import Run
from pipelines.source import Endpoint, Source


def import_files(run: Run, of: Source, dataset: Endpoint, files: Sequence[Path], context: Mapping[str, str]) -> int:
    """Put files into landing; returns how many rows they hold.

    Raises `ValueError` naming the file for one that can't be read as that dataset, for one without rows, and where the rows
    don't say what `context` has to.
    """
    if lacking := set(dataset.context) - set(context):
        raise ValueError(f"{of.name} {dataset.name}: the rows don't say {', '.join(sorted(lacking))}: give it, as symbol=XBTUSD")
    total = 0
    for file in files:
        body = file.read_bytes()
        try:
            rows = dataset.rows(dataset.read(body))
        except (msgspec.MsgspecError, ValueError) as problem:
            raise ValueError(f"{file}: not {dataset.name} as {of.name} sends them: {problem}") from problem
        if not rows:
            raise ValueError(f"{file}: no rows in it")
        times = [int(getattr(row, dataset.time)) for row in rows] if dataset.time else []
        run.landing.put(
            Entry(
                run=run.id,
                source=of.name,
                dataset=dataset.name,
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
            ),
            body,
        )
        total += len(rows)
    run.landing.flush()
    return total
