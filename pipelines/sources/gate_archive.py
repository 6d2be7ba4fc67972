"""Gate's public archive (download.gatedata.org): hourly bars and settled funding of USDT perpetuals, by month, delisted ones too.

A gzip of a CSV without a header by contract and month, put up when the month is over. The host ignores what a listing is asked
for, so files have known names, and HEAD tells which are there. The list of contracts is REST's of all there were
(`contracts_all`, api.gateio.ws), which states their lives and how many coins a contract has.

Checked against public studies and parsers of the archive (devvir/tradebot `docs/venues/GATE.md`, which told open from close by
bars of several lengths, a historical-membership study with tests, OsEngine's connector) and Gate's own SDKs: the paths; the
columns of bars, open last; that seconds are UTC's and months too (the file of 2026-01 begins at midnight); that a month
without a file answers 404, also while it runs; that `contracts_all` has delisted contracts, in pages. Volume is in contracts
by its size beside the trades'. Unverified: how early the files of a contract begin, whether `funding_applies` has every
settlement. Some files have no byte, and count as none; the last line of others is cut, and costs that line. Mark and index
prices are there as ticks alone (`mark_prices`), and aren't read.
Alone: `perps fetch --mode live --venues gate_archive --from 2024-02-01 --to 2024-02-29`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from pipelines.archives import Archive, Files
from pipelines.archives import error as of_archive
from pipelines.csv_files import read_rows
from pipelines.endpoints import snapshot
from pipelines.records import MaybeNumber, Ms, Number, Record
from pipelines.source import Endpoint, Instrument, Limit, Request, Source, VenueProblem
from pipelines.sources import gate
from pipelines.symbols import base_asset
from pipelines.windows import HOUR

PAGE = 100


class Contract(Record):
    """Times in seconds; 0 or absent: not stated."""

    name: str
    type: str
    quanto_multiplier: MaybeNumber = None
    funding_interval: int | None = None
    in_delisting: bool = False
    status: str | None = None
    contract_type: str | None = None
    create_time: int | None = None
    launch_time: int | None = None
    delisted_time: int | None = None


class Kline(Record):
    """`volume` in contracts."""

    open_time: Ms
    volume: Number
    close: Number
    high: Number
    low: Number
    open: Number


class FundingRate(Record):
    time: Ms
    rate: Number


def error(status: int, body: bytes) -> VenueProblem | None:
    return of_archive(status, body) or gate.error(status, body)


def instruments(page: list[Contract]) -> list[Instrument]:
    """None of the stamps of a listing can be relied on alone: the earliest one asks for the most files."""
    found = []
    for c in page:
        begun, ended = min((t for t in (c.launch_time, c.create_time) if t), default=0), c.delisted_time or 0
        life = (begun * 1000 or None, ended * 1000 if ended > begun else None)
        if c.type == "direct":
            found.append(Instrument(c.name, base_asset(c.name.split("_")[0]), *life))
    return found


def following(request: Request, page: Any, rows: Sequence[Any]) -> Request | None:
    offset = int(request.params["offset"]) + PAGE
    return replace(request, params={"limit": PAGE, "offset": offset}) if len(rows) == PAGE else None


def series(name: str, kind: str, record: type[Record], **more: Any) -> Endpoint:
    where = Files(monthly=f"futures_usdt/{kind}/{{at:%Y%m}}/{{symbol}}-{{at:%Y%m}}.csv.gz", cut=True, probed=True)
    fields = record.__struct_fields__
    return Endpoint(
        name,
        record,
        key=("symbol", fields[0]),
        time=fields[0],
        context=("symbol",),
        plan=where.plan,
        listed=where.listed,
        columnar=partial(read_rows, record=record, names=fields),
        allow_identical_pages=True,
        **more,
    )


SOURCE = Source(
    name="gate_archive",
    venue="gate",
    host="gate_archive",
    base_url="https://api.gateio.ws",
    files_url="https://download.gatedata.org",
    limits={"contracts": Limit(200, 10), "requests": Limit(20, 1)},  # files: our own moderation
    error=error,
    parse_instruments=instruments,
    transport=Archive,
    endpoints=(
        snapshot(
            "instruments",
            Contract,
            "name",
            Request("/api/v4/futures/usdt/contracts_all", {"limit": PAGE, "offset": 0}, weights={"contracts": 1}),
            next_page=following,
            ignored_fields="*",
        ),
        series("funding_rates", "funding_applies", FundingRate),
        series("candles", "candlesticks_1h", Kline, bar=HOUR),
    ),
)
