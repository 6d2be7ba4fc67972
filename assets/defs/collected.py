"""What `perps collect` puts into landing, as assets outside of Dagster: `collected/<source>`, which raw tables depend on.

The collector is a process of its own, so nothing here can be materialised; the sensor `on_collected` notes what came.
Alone: `perps collect`.
"""

import dagster as dg

from pipelines.registry import source_rows
from pipelines.source import Endpoint, Source
from pipelines.sources import get_source


def collected_key(source: str) -> dg.AssetKey:
    return dg.AssetKey(["collected", source])


def is_collected(source: Source, endpoint: Endpoint) -> bool:
    """True if `perps collect` gives rows of a raw table."""
    return endpoint.streamed or (bool(source.venue) and endpoint in source.polled)


collected = [
    dg.AssetSpec(
        collected_key(name),
        group_name=name,
        kinds={"python", "zstd"},
        description=f"{source_rows()[name].title}: what `perps collect` heard and polled, as it came, in landing. The sensor "
        "`on_collected` loads it.",
    )
    for name, source in ((name, get_source(name)) for name in source_rows())
    if any(is_collected(source, endpoint) for endpoint in source.tables)
]
