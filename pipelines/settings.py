"""All settings: the command line overrides the environment (`PERPLAKE_…`), that `perplake.toml`, that the defaults here.

`perps settings` prints the table for the docs from the descriptions below. Secrets are no settings: API keys are read from the
environment (`pipelines.keys`), AWS credentials by s3fs from the usual `AWS_…` variables.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import tomllib
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, date, datetime
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import Field, PrivateAttr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from pipelines.registry import SourceRow, source_rows
from pipelines.series_files import read_series, state
from pipelines.source import Source
from pipelines.sources import expand_multi_venue

#: Names that a DuckDB file may not have, because they are those of schemas and of DuckDB's own catalogs.
CATALOGS = frozenset(
    "raw meta marts marts_0_1 staging intermediate seeds main temp system information_schema pg_catalog memory".split()
)
#: The suffix of a path that names a lake (`pipelines.ducklake`).
LAKE = ".lake"
Names = Annotated[list[str], NoDecode]
#: No venue has data of before, and a later day is a slip of the finger.
Day = Annotated[date, Field(ge=date(1971, 1, 1), lt=date(2200, 1, 1))]


def problems(error: ValidationError) -> list[str]:
    """What is wrong with settings, a line each: the setting and why."""
    unknown = "there is no such setting; `perps settings` lists them"
    abouts = (
        [
            ".".join(map(str, each["loc"])),
            unknown if each["type"] == "extra_forbidden" else each["msg"].removeprefix("Value error, "),
        ]
        for each in error.errors()
    )
    return [f"setting {': '.join(filter(None, about))}" for about in abouts]


def in_full(path: Path) -> Path:
    """The path with `~` expanded. Raises `ValueError` where that names no user with a home folder, and for a URL.

    A URL would be made as a folder `s3:`.
    """
    if path.parts and re.fullmatch(r"\w{2,}:", path.parts[0]):
        raise ValueError(f"{path} is no folder of this machine; a bucket can have landing alone")
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(f"{path} names no user's home folder: write the path in full") from None


def _state_folder() -> Path:
    """`perplake` in the user's folder for state, or in the folder for temporary files where that can't be written."""
    with suppress(ValueError):
        folder = Path(os.environ.get("XDG_STATE_HOME") or in_full(Path("~/.local/state"))) / "perplake"
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        if os.access(existing, os.W_OK):
            return folder
    return Path(tempfile.gettempdir()) / f"perplake-{os.getuid()}"


def _old_variable() -> dict[str, Any]:
    """The setting `mode`, from its variable in version 0.1."""
    return {"mode": value} if (value := os.environ.get("PERPLAKE_SOURCE")) else {}


class _Toml(TomlConfigSettingsSource):
    """`perplake.toml`. Raises `ValueError` naming a file that can't be read."""

    def _read_file(self, file_path: Path | Traversable) -> dict[str, Any]:
        try:
            return tomllib.loads(file_path.read_text("utf-8-sig"))
        except (ValueError, RecursionError) as problem:
            raise ValueError(f"{Path(str(file_path)).absolute()} is no TOML ({problem}): mend it, or move it away") from None


class Settings(BaseSettings):
    """The settings of a run. Immutable; `model_copy(update=…)` makes a variant."""

    model_config = SettingsConfigDict(
        env_prefix="PERPLAKE_", toml_file="perplake.toml", frozen=True, extra="forbid", allow_inf_nan=False
    )

    mode: str = Field("synthetic", description="`synthetic`, `recorded:FOLDER`, `live`, or `replay` (load again from landing)")
    venues: Names = Field(["core"], description="venues, separated by commas; `core` or `all`")
    ccxt_venues: Names = Field(
        [],
        description="venues without a source of their own, read through ccxt, by ccxt's names (`phemex,bingx`); live only",
    )
    vendor_venues: Names = Field([], description="venues to read from data vendors too (CoinAPI, Kaiko, Amberdata); live only")
    subgraphs: Names = Field([], description="subgraphs of on-chain perpetuals at The Graph, as `project=id`")
    hosts: Names = Field(
        [],
        description="another host of a source than its own, as `source=URL`, such as that of your region: "
        "`okx=https://us.okx.com`, of its streams `okx=wss://wsus.okx.com`; live only",
    )
    assets: Names = Field(
        ["BTC", "ETH", "SOL", "XRP", "DOGE", "HYPE", "LINK", "PEPE"],
        description="base assets; `all` for every listed perpetual; a recording defaults to all its assets",
    )
    first: Day | None = Field(None, description="first day, inclusive (UTC); default: `days` before the last day")
    last: Day | None = Field(None, description="last day, inclusive (UTC); default: yesterday")
    days: int = Field(
        120,
        ge=1,
        le=20_000,
        description="length of the window in days, where no first day is given; a recording defaults to all its days",
    )
    as_of: datetime | None = Field(None, description="the time of the run's clock; default: the end of the last day, live: now")
    home: Path = Field(Path(".perplake"), description="folder for all that runs write")
    state: Path | None = Field(
        None,
        description="folder for what all runs on this machine share: the use of venues' rate limits, and pauses that venues "
        "asked for; default: `perplake` in the user's folder for state (`XDG_STATE_HOME`, `~/.local/state`)",
    )
    warehouse: Path | None = Field(None, description="DuckDB file; default: one per market in the home folder")
    profile: Literal["file", "lake"] = Field(
        "file", description="`file`: the warehouse is a DuckDB file; `lake`: a DuckLake, its catalog in PostgreSQL"
    )
    lake_data: str | None = Field(
        None, description="folder or `s3://bucket/prefix` for the lake's Parquet files; default: `lake` in the home folder"
    )
    address: str = Field(
        "", description="of a lake: a name of the address from which this machine asks venues; machines of one name share limits"
    )
    lake_days: float = Field(
        30, ge=1, description="days for which a lake keeps what it published (`as_published` reads it); the last stays always"
    )
    as_published: datetime | None = Field(
        None, description="of a lake: read what was published last by this time (UTC), instead of what is now"
    )
    landing: str | None = Field(
        None, description="folder or `s3://bucket/prefix` for raw responses; default: one per market in the home folder"
    )
    landing_max_gb: float = Field(20.0, gt=0, description="largest size of landing in GB; a run stops before it exceeds it")
    memory_gb: float = Field(
        2.0, ge=1, description="memory in GB that a run may take: half of it is DuckDB's, which writes to disk what does not fit"
    )
    seed: int = Field(7, ge=-(2**31), lt=2**31, description="seed of the synthetic market")
    limits_scale: float | None = Field(
        None,
        gt=0,
        description="factor for the rate limits of client and emulator; default: 1 live, 500 on the emulator",
    )
    emulator_url: str | None = Field(None, pattern="^https?://", description="URL of a running emulator; default: start one")
    report: bool = Field(True, description="draw the report at the end of a run; `false` saves some seconds")
    liquidation_days: float = Field(3, ge=0, description="days of liquidations to fetch, at the end of the window")
    collect_seconds: float = Field(60, gt=0, description="seconds after which the collector puts what it heard into landing")
    poll_seconds: float = Field(
        60, ge=0, description="seconds between two rounds of the collector's requests for what venues don't keep; 0: none"
    )
    collect_port: int = Field(
        9187, ge=0, le=65535, description="port on loopback of the collector's `/metrics` and `/health`; 0: none"
    )
    settle_minutes: float = Field(5, ge=0, description="minutes after its end in which a window's data may still change")
    timeout_seconds: float = Field(
        30, gt=0, description="seconds without data after which a request fails; a whole answer may take four times as long"
    )
    body_max_mb: float = Field(
        32, gt=0, description="largest response in MB, decompressed; reading one can take ten times as much memory"
    )
    chain_max_pages: int = Field(
        2000, ge=1, description="most pages that may follow each other in answer to one request (Kraken's have 1,000 trades each)"
    )
    tries: int = Field(6, ge=1, description="tries per request")
    catch_up_days: int = Field(7, ge=0, description="days before yesterday of which the daily schedule requests what is missing")
    history_days: int = Field(
        14, ge=0, description="days after which runs and their logs are deleted from Dagster's history; 0: never"
    )
    ui_hosts: Names = Field(
        [], description="names, beside those of loopback, under which the Dagster UI and the documentation may be asked"
    )
    refetch: bool = Field(False, description="request pages again that landing already has")
    forecasts: bool = Field(
        False, description="forecast the coming week and score past forecasts (about 10 s per year of history)"
    )
    #: The market of the landing that is replayed, which is read from landing itself.
    _replayed_market: str = PrivateAttr("")
    #: The sources of which that landing has pages or was asked for; None: those of the chosen venues.
    _replayed_sources: tuple[str, ...] | None = PrivateAttr(None)

    @model_validator(mode="before")
    @classmethod
    def _defaults_by_mode(cls, values: dict[str, Any]) -> dict[str, Any]:
        """A recording defaults to all its assets."""
        if "source" in values:  # the name of `mode` in version 0.1
            values = {"mode": values["source"], **{name: value for name, value in values.items() if name != "source"}}
        return {"assets": "all", **values} if str(values.get("mode", "")).startswith("recorded:") else values

    @field_validator("home", "warehouse")
    @classmethod
    def _usable(cls, path: Path | None) -> Path | None:
        """`~` expanded. DuckDB, dlt and Dagster take some characters and names for something else."""
        if path is None:
            return None
        path = in_full(path)
        if found := re.search(r"""['"`%#?;\x00-\x1f]""", str(path.absolute())):
            raise ValueError(f"{path.absolute()} contains {found[0]!r}, which its files may not: choose another folder or name")
        return path

    @field_validator("warehouse")
    @classmethod
    def _no_schema(cls, path: Path | None) -> Path | None:
        """DuckDB calls a file's catalog by its name."""
        if path and path.stem.lower() in CATALOGS:
            raise ValueError(f"a warehouse can't be called {path.name}: {path.stem} is a schema's name; choose another")
        if path and path.exists() and not path.is_file():
            raise ValueError(f"{path} is a {'folder' if path.is_dir() else 'pipe or a device'}: name a DuckDB file")
        return path

    @field_validator("as_of")
    @classmethod
    def _in_range(cls, moment: datetime | None) -> datetime | None:
        if moment and not 1971 <= moment.year < 2200:
            raise ValueError(f"{moment} is no time of data: name one from 1971 to 2199")
        return moment

    @field_validator("landing", "lake_data")
    @classmethod
    def _expanded(cls, place: str | None) -> str | None:
        if place and "://" in place and not re.match("s3://[^/]", place):
            raise ValueError(f"{place}: it is a folder, or a bucket as s3://BUCKET/FOLDER")
        return str(in_full(Path(place))) if place and "://" not in place else place

    @field_validator("venues", "ccxt_venues", "vendor_venues", "subgraphs", "hosts", "assets", "ui_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _not_nothing(self) -> Settings:
        if not (self.venues or self.ccxt_venues or self.vendor_venues or self.subgraphs):
            raise ValueError("venues: it names none; name some, separated by commas")
        if not self.assets:
            raise ValueError("assets: it names none; name some, separated by commas")
        return self

    @model_validator(mode="after")
    def _lake_or_file(self) -> Settings:
        if self.profile == "lake" and self.warehouse:
            raise ValueError("warehouse: it names a file, and profile `lake` has none; leave one of them out")
        if self.profile == "file" and self.as_published:
            raise ValueError("as_published: only a lake keeps what it published before")
        return self

    @field_validator("as_published")
    @classmethod
    def _in_utc(cls, moment: datetime | None) -> datetime | None:
        return moment.replace(tzinfo=moment.tzinfo or UTC) if moment else None

    @field_validator("hosts")
    @classmethod
    def _known_hosts(cls, hosts: list[str]) -> list[str]:
        for each in hosts:
            source, _, url = each.partition("=")
            if source not in source_rows():
                raise ValueError(f"{each!r}: there is no source {source!r}; `perps venues` lists them")
            if not re.fullmatch(r"(https|wss)://[A-Za-z0-9.-]+(:\d+)?", url):
                raise ValueError(f"{each!r}: write it as {source}=https://host, of streams {source}=wss://host, without a path")
        return hosts

    def host_of(self, source: str, scheme: str = "https") -> str:
        """The URL of the host that the setting `hosts` has for a source, or its streams (`wss`); empty where it has none."""
        return next((url for name, url in (h.split("=", 1) for h in self.hosts) if name == source and url.startswith(scheme)), "")

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
            _Toml(settings_cls),
        )

    @property
    def recording(self) -> Path | None:
        """The folder of recorded series, in mode `recorded`."""
        kind, _, folder = self.mode.partition(":")
        return in_full(Path(folder)) if kind == "recorded" and folder else None

    @property
    def market(self) -> str:
        """The name of the market that the data are from. Data of two markets are never mixed in one warehouse.

        Each seed of the synthetic market is a market, each state of a recorded folder, and the live market.
        """
        if self.mode == "synthetic":
            return f"synthetic-{self.seed}"
        if self.recording:
            name = re.sub(r"[^A-Za-z0-9._-]", "_", self.recording.resolve().name)
            return f"recorded-{name}-{hashlib.sha256(state(self.recording).encode()).hexdigest()[:8]}"
        if self.mode == "live":
            return "live"
        if self.mode == "replay":
            current = self.home / "current"
            return self._replayed_market or ("replay" if self.landing or not current.exists() else current.resolve().name)
        raise ValueError(f"mode {self.mode!r}: it is `synthetic`, `recorded:FOLDER`, `live` or `replay`")

    def replaying(self, market: str, sources: Iterable[str] | None = None) -> Settings:
        """These settings, for a replay of a landing of this market, and of these sources where no venues are chosen."""
        settings = self.model_copy(update={"mode": "replay"})
        settings._replayed_market = market
        settings._replayed_sources = None if sources is None or "venues" in self.model_fields_set else tuple(sources)
        return settings

    @property
    def replayed_sources(self) -> list[str] | None:
        """The sources of a replay, where they come from landing."""
        return None if self._replayed_sources is None else list(self._replayed_sources)

    @property
    def folder(self) -> Path:
        """The folder of this market's landing, warehouse, published copy and report."""
        return self.home / self.market

    @property
    def state_folder(self) -> Path:
        """The folder that all runs on this machine share."""
        return self.state or _state_folder()

    @property
    def database(self) -> Path:
        """The warehouse: a DuckDB file, or the path that names a lake."""
        return self.warehouse or self.folder / f"warehouse{self._suffix}"

    @property
    def _suffix(self) -> str:
        return LAKE if self.profile == "lake" else ".duckdb"

    @property
    def landing_root(self) -> str:
        return self.landing or str(self.folder / "landing")

    @property
    def published(self) -> Path:
        """The folder of the published copy: `perplake.duckdb`, `parquet/`, `report.html`."""
        return self.database.parent / "published" if self.warehouse is None else self.warehouse.with_suffix(".published")

    @property
    def copy_name(self) -> str:
        """The published copy in its folder: a DuckDB file, or the path that names what a lake has published, and by when."""
        by = f"@{self.as_published.astimezone(UTC).replace(tzinfo=None).isoformat()}" if self.as_published else ""
        return f"perplake{by}{self._suffix}"

    @property
    def scale(self) -> float:
        return self.limits_scale or (1.0 if self.mode == "live" else 500.0)

    @property
    def sources(self) -> list[str]:
        """The names of the chosen sources, in the order of the table of sources.

        `core` and `all` choose among the venues that a recording has. Raises `ValueError` for an unknown venue.
        """
        if self._replayed_sources is not None:
            return [name for name in source_rows() if name in self._replayed_sources]
        known = {name if row.by_name else row.venue for name, row in source_rows().items() if row.venue}
        if unknown := set(self.venues) - known - {"core", "all"}:
            raise ValueError(f"no venue {', '.join(sorted(unknown))}; there are: {', '.join(sorted(known))}")
        return [name for name, row in source_rows().items() if self._is_chosen(name, row)]

    def _is_chosen(self, name: str, row: SourceRow) -> bool:
        if row.venue is None:
            return any(self.expand_multi_venue(name))
        if row.by_name:
            return name in self.venues
        by_group = "all" in self.venues or ("core" in self.venues and row.core)
        return row.venue in self.venues or (by_group and (not self.recording or row.venue in read_series(self.recording).venues))

    def expand_multi_venue(self, name: str) -> tuple[tuple[Source, ...], tuple[str, ...]]:
        """For a source that reads several venues: a `Source` for each chosen venue, and a note for each unavailable one."""
        wanted = tuple(getattr(self, source_rows()[name].named_in or ""))
        chosen = wanted or "all" in self.venues or name in (self._replayed_sources or ())
        return expand_multi_venue(name, wanted, self.mode.partition(":")[0]) if chosen else ((), ())
