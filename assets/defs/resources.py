"""What the assets of every layer share: settings and a run's choices, the process's session and daily partitions.

Settings come from the environment and `perplake.toml` (`perps settings` lists them). What the Launchpad or the command line
gives for one run under `resources: settings: config` goes first, so one and the same job serves both.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field, ValidationError

from assets.runtime.emulator import HISTORY_DAYS
from assets.runtime.interrupts import noticed, raise_noticed
from assets.runtime.orphans import alive
from assets.runtime.session import Session
from pipelines.settings import Settings


def first_day() -> str:
    """The first day that can be asked for: that of the settings, of the synthetic market's past, or of any venue."""
    try:
        settings = Settings()
    except ValidationError:  # told by what reads the settings
        return "2019-09-01"
    if settings.first is None and settings.mode == "synthetic":
        return f"{datetime.now(UTC) - timedelta(days=HISTORY_DAYS):%Y-%m-01}"
    return str(settings.first or "2019-09-01")


#: One definition for all sources: a job made by `define_asset_job`, which schedules need, refuses assets of several ones
#: (Dagster 1.13). A run over days before the listing of a source's first instrument marks them (`FetchResult.whole_days`).
DAYS = dg.DailyPartitionsDefinition(start_date=first_day(), end_offset=1)


class Choices(dg.Config):
    """What one run may choose. Anything left out is taken from the settings."""

    venues: list[str] | None = Field(None, description="venues to cover; `core` or `all`")
    assets: list[str] | None = Field(None, description="base assets to cover, or `all`")
    ccxt_venues: list[str] | None = Field(None, description="venues to read through ccxt")
    vendor_venues: list[str] | None = Field(None, description="venues to read from data vendors")
    subgraphs: list[str] | None = Field(None, description="subgraphs at The Graph, as `project=id`")
    first: str | None = Field(None, description="first day, YYYY-MM-DD, UTC; a partitioned run takes its partitions")
    last: str | None = Field(None, description="last day, YYYY-MM-DD, UTC, inclusive")
    days: int | None = Field(None, description="how many days, where no first day is given")
    as_of: str | None = Field(None, description="the run's clock, ISO, UTC")
    refetch: bool | None = Field(None, description="request again what landing already has")
    forecasts: bool | None = Field(None, description="forecast the coming week and score it")


class SettingsResource(dg.ConfigurableResource):
    """The settings of one run: where its data are, and its choices."""

    mode: str | None = Field(None, description="`synthetic`, `recorded:FOLDER`, `live` or `replay`")
    home: str | None = Field(None, description="folder for everything that runs write")
    warehouse: str | None = Field(None, description="the DuckDB file")
    landing: str | None = Field(None, description="folder or s3:// URL of raw bytes")
    seed: int | None = Field(None, description="the synthetic market's seed")
    replayed_market: str | None = Field(None, description="the market that a replayed landing has; the command line sets it")
    replayed_sources: list[str] | None = Field(None, description="the sources that it has; the command line sets them")
    choices: Choices = Choices()

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[SettingsResource]:
        """Hold the run's lock while its process lives, by which other processes detect that it was killed."""
        if context.run is None:  # of a sensor
            yield self
            return
        with alive(self.resolve().home, context.run.run_id), noticed():
            yield self

    def resolve(self) -> Settings:
        """This run's settings: what is configured here over environment over file over defaults.

        Every step begins with it. Raises `KeyboardInterrupt` where Ctrl-C was pressed and a step before has lost it.
        """
        raise_noticed()
        given = {**self.model_dump(exclude={"choices", "replayed_market", "replayed_sources"}), **self.choices.model_dump()}
        settings = Settings(**{name: value for name, value in given.items() if value is not None})
        return settings.replaying(self.replayed_market, self.replayed_sources) if self.replayed_market else settings


def run_config(settings: Settings) -> dict[str, Any]:
    """The run configuration under which `SettingsResource.resolve` gives these settings."""
    given = {name: _plain(getattr(settings, name)) for name in settings.model_fields_set}
    config: dict[str, Any] = {name: given[name] for name in SettingsResource.model_fields if name in given}
    config["choices"] = {name: given[name] for name in Choices.model_fields if name in given}
    if settings.mode == "replay":
        config |= {"replayed_market": settings.market, "replayed_sources": settings.replayed_sources}
    return {"resources": {"settings": {"config": {k: v for k, v in config.items() if v not in (None, {})}}}}


def _plain(value: object) -> object:
    match value:
        case Path():
            return str(value)
        case date() | datetime():
            return value.isoformat()
    return value


@dg.definitions
def resources() -> dg.Definitions:
    """The resources of the code location; the command line gives its runs a session of their own."""
    return dg.Definitions(resources={"settings": SettingsResource(), "session": Session()})
