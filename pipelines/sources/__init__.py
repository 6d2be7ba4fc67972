"""The sources, one module each. The table of sources (`pipelines.registry.source_rows`) lists them."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from pipelines.registry import source_rows
from pipelines.source import Source


@cache
def get_source(name: str) -> Source:
    """The source of that name. Raises `KeyError` with the names there are."""
    if name not in source_rows():
        raise KeyError(f"no source {name!r}; there are: {', '.join(source_rows())}")
    source: Source = import_module(f"pipelines.sources.{name}").SOURCE
    return source


@cache
def expand_multi_venue(name: str, wanted: tuple[str, ...], origin: str) -> tuple[tuple[Source, ...], tuple[str, ...]]:
    """For a source that reads several venues: a `Source` for each wanted venue, and a note for each unavailable one.

    `origin` is the kind of the setting `mode`. Raises `ValueError` for a venue that can't be read.
    """
    module = import_module(f"pipelines.sources.{name}")
    sources: tuple[tuple[Source, ...], tuple[str, ...]] = module.expand_multi_venue(wanted, origin)
    return sources
