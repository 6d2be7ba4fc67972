"""Every setting, in one place: command line over environment (`PERPLAKE_…`) over `perplake.toml` over the defaults here.

The README's table of settings is printed from the descriptions below (`perps settings`). Secrets are never settings: AWS
credentials are read by s3fs from the usual `AWS_…` variables.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import Field, PrivateAttr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from pipelines.registry import source_rows
from pipelines.source import Source
from pipelines.sources import expand_multi_venue

Names = Annotated[list[str], NoDecode]


def _old_variable() -> dict[str, Any]:
    """The setting `mode` by the name of its variable in version 0.1."""
    return {"mode": value} if (value := os.environ.get("PERPLAKE_SOURCE")) else {}


class Settings(BaseSettings):
    """What a run is asked to do. Immutable; `model_copy(update=…)` makes a variant."""

    model_config = SettingsConfigDict(env_prefix="PERPLAKE_", toml_file="perplake.toml", frozen=True, extra="forbid")

    mode: str = Field("synthetic", description="`synthetic`, `recorded:FOLDER`, `live`, or `replay` (from landing alone)")
    venues: Names = Field(["core"], description="venues to cover, by comma; `core` or `all`")
    ccxt_venues: Names = Field(
        [],
        description="further venues through ccxt, by comma and ccxt's name (`phemex,bingx`): any without a source here; live",
    )
    vendor_venues: Names = Field([], description="venues to have from vendors too, by comma: CoinAPI, Kaiko, Amberdata; live")
    subgraphs: Names = Field([], description="subgraphs of on-chain perpetuals at The Graph, by comma, as `project=id`")
    assets: Names = Field(
        ["BTC", "ETH", "SOL", "XRP", "DOGE", "HYPE", "LINK", "PEPE"],
        description="base assets to cover, by comma; `all` for every perpetual listed; default of a recording: all that it has",
    )
    first: date | None = Field(None, description="first day, inclusive (UTC); default: `days` before the last")
    last: date | None = Field(None, description="last day, inclusive (UTC); default: the last day that is over")
    days: int = Field(120, ge=1, description="how many days, where no first day is given")
    as_of: datetime | None = Field(None, description="the run's clock; default: the end of the last day, live: now")
    home: Path = Field(Path(".perplake"), description="folder for everything that runs write")
    warehouse: Path | None = Field(None, description="the DuckDB file; default: in the home, one per market")
    landing: str | None = Field(None, description="folder or `s3://bucket/prefix` for raw bytes; default: in the home")
    landing_max_gb: float = Field(20.0, gt=0, description="landing's cap; a run stops before it writes beyond")
    seed: int = Field(7, description="the synthetic market's seed")
    limits_scale: float | None = Field(
        None,
        gt=0,
        description="multiplies the rate limits of client and emulator; default: 1 live, 500 on the emulator",
    )
    emulator_url: str | None = Field(None, description="an emulator that runs already; default: start one")
    liquidation_days: float = Field(3, ge=0, description="days of liquidations asked where they are a long paging job (Kraken)")
    settle_minutes: float = Field(5, ge=0, description="how long after its end a window's answer may still change")
    timeout_seconds: float = Field(30, gt=0, description="how long a request may stay silent")
    tries: int = Field(6, ge=1, description="how often a request is tried before it is given up")
    refetch: bool = Field(False, description="ask again for what landing already holds")
    forecasts: bool = Field(False, description="forecast the coming week and score it: some 10 s for a year of history")
    #: The market of the landing that is replayed: landing says it, no setting does.
    _replays: str = PrivateAttr("")

    @model_validator(mode="before")
    @classmethod
    def _whole_recordings(cls, given: dict[str, Any]) -> dict[str, Any]:
        """A recording defaults to all its assets."""
        if "source" in given:  # the name of `mode` in version 0.1
            given = {"mode": given["source"], **{name: value for name, value in given.items() if name != "source"}}
        return {"assets": "all", **given} if str(given.get("mode", "")).startswith("recorded:") else given

    @field_validator("venues", "ccxt_venues", "vendor_venues", "subgraphs", "assets", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (
            init_settings,
            env_settings,
            cast(PydanticBaseSettingsSource, _old_variable),
            TomlConfigSettingsSource(settings_cls),
        )

    @property
    def recording(self) -> Path | None:
        """The folder of recorded series, where the source is one."""
        kind, _, folder = self.mode.partition(":")
        return Path(folder).expanduser() if kind == "recorded" and folder else None

    @property
    def market(self) -> str:
        """Which market the data are of: what must never be mixed in one warehouse.

        Each seed of the synthetic market is one, each state of a recorded folder another, and the live market the last.
        """
        if self.mode == "synthetic":
            return f"synthetic-{self.seed}"
        if self.recording:
            files = self._recorded_files()
            if not files:
                raise ValueError(f"{self.recording}: no .parquet or .csv files there; see the README, «Bring your own series»")
            state = ";".join(f"{f.name}:{f.stat().st_size}:{f.stat().st_mtime_ns}" for f in files)
            return f"recorded-{self.recording.resolve().name}-{hashlib.sha256(state.encode()).hexdigest()[:8]}"
        if self.mode == "live":
            return "live"
        if self.mode == "replay":
            current = self.home / "current"
            return self._replays or ("replay" if self.landing or not current.exists() else current.resolve().name)
        raise ValueError(f"source {self.mode!r}: it is `synthetic`, `recorded:FOLDER`, `live` or `replay`")

    def replaying(self, market: str) -> Settings:
        """These settings, for a replay of a landing that holds this market."""
        made = self.model_copy()
        made._replays = market
        return made

    @property
    def folder(self) -> Path:
        """Where this market's landing, warehouse, published copy and report lie."""
        return self.home / self.market

    @property
    def database(self) -> Path:
        return self.warehouse or self.folder / "warehouse.duckdb"

    @property
    def landing_root(self) -> str:
        return self.landing or str(self.folder / "landing")

    @property
    def published(self) -> Path:
        """The folder of what readers get: `marts.duckdb`, `parquet/`, `report.html`."""
        return self.database.parent / "published" if self.warehouse is None else self.warehouse.with_suffix(".published")

    @property
    def scale(self) -> float:
        return self.limits_scale or (1.0 if self.mode == "live" else 500.0)

    @property
    def sources(self) -> list[str]:
        """The names of the chosen sources, in the order of the table; of a recording, of venues that it has or that are named.

        Raises `ValueError` for a venue that there is not.
        """
        rows, held = source_rows(), self._recorded_venues()
        known = {row.venue for row in rows.values() if row.venue}
        if unknown := set(self.venues) - known - {"core", "all"}:
            raise ValueError(f"no venue {', '.join(sorted(unknown))}; there are: {', '.join(sorted(known))}")
        return [
            name
            for name, row in rows.items()
            if (
                any(self.expand_multi_venue(name))
                if row.venue is None
                else row.venue in self.venues
                or (("all" in self.venues or ("core" in self.venues and row.core)) and (not held or row.venue in held))
            )
        ]

    def _recorded_venues(self) -> frozenset[str]:
        """The venues whose series a recording has; none where there is no recording, or it can't be read."""
        return _venues_in(tuple((str(file), file.stat().st_mtime_ns) for file in self._recorded_files()))

    def _recorded_files(self) -> list[Path]:
        """The files of a recording; none where there is no recording."""
        return [file for kind in ("*.parquet", "*.csv") for file in sorted(self.recording.glob(kind))] if self.recording else []

    def expand_multi_venue(self, name: str) -> tuple[tuple[Source, ...], tuple[str, ...]]:
        """Of a source without a venue of its own, one for each venue that is named; and lines about what lacks."""
        wanted = tuple(getattr(self, source_rows()[name].named_in or ""))
        chosen = wanted or "all" in self.venues
        return expand_multi_venue(name, wanted, self.mode.partition(":")[0]) if chosen else ((), ())


@lru_cache(maxsize=8)
def _venues_in(files: tuple[tuple[str, int], ...]) -> frozenset[str]:
    """What the column `venue` of some files holds; a file without one holds none: who serves it says what is wrong with it."""
    import duckdb

    found: set[str] = set()
    for path, _ in files:
        reader = "read_parquet" if path.endswith(".parquet") else "read_csv"
        with suppress(duckdb.Error):
            found |= {str(venue) for (venue,) in duckdb.execute(f"SELECT DISTINCT venue FROM {reader}(?)", [path]).fetchall()}
    return frozenset(found)
