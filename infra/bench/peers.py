"""The peers: dlt's `rest_api` source, ccxt and freqtrade on the same candles, DuckDB's JSON reader on the same bytes.

They are used as documented. They have less to do: they keep no raw bytes, neither merge nor deduplicate, and only append rows.
For dlt a map names the columns and converts the numbers; ccxt and freqtrade keep six columns of nine, and freqtrade reads pair
after pair into files. `least` is no peer but the limit: what a process of Python needs to request, decode and store. Each prints
rows and seconds as JSON; imports and a warm-up are not timed.

Alone: `python -m infra.bench.peers rest-api URL INSTRUMENTS HOURS FOLDER --best`,
`python -m infra.bench.peers ccxt-pages URL HOURS FOLDER`, `python -m infra.bench.peers json-reader HOME FOLDER`.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from collections.abc import Callable
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import dlt
import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from dlt.sources.helpers.rest_client.paginators import BasePaginator
from dlt.sources.rest_api import rest_api_source
from requests import Response  # noqa: TID251  (the type that dlt passes to a paginator)

from infra.bench.market import START
from pipelines import records
from pipelines.sources import get_source
from pipelines.sources.binance_usdm import BARS
from pipelines.windows import HOUR

app = typer.Typer()
#: Rows in a page, as perplake requests them: all contenders send the same requests.
PAGE = BARS
NUMBERS = ("open", "high", "low", "close", "volume", "quote_volume")


class Hours(BasePaginator):
    """Pages by time: the next starts after the last row, until a page is not full or the window is over."""

    def __init__(self, end: int) -> None:
        super().__init__()
        self.end, self.start = end, 0

    def update_state(self, response: Response, data: list[Any] | None = None) -> None:
        self.start = data[-1][0] + HOUR if data else self.end
        self._has_next_page = bool(data) and len(data or []) == PAGE and self.start < self.end

    def update_request(self, request: Any) -> None:
        request.params["startTime"] = self.start


def _named(symbol: str) -> Callable[[list[Any]], dict[str, Any]]:
    def named(row: list[Any]) -> dict[str, Any]:
        opened, *prices, volume, closed, quote_volume, trades = row[:9]
        numbers = map(float, (*prices, volume, quote_volume))
        return {
            "symbol": symbol,
            "open_time": opened,
            "close_time": closed,
            "trades": trades,
            **dict(zip(NUMBERS, numbers, strict=True)),
        }

    return named


@app.command()
def rest_api(
    url: str,
    instruments: int,
    hours: int,
    folder: Path,
    best: Annotated[bool, typer.Option(help="Parallel requests, two normalizing processes, Parquet.")] = False,
) -> None:
    """dlt's `rest_api`, one resource per instrument, into a new DuckDB file."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    if best:
        settings = {
            "EXTRACT__WORKERS": "8",
            "NORMALIZE__WORKERS": "2",
            "EXTRACT__DATA_WRITER__FILE_MAX_ITEMS": "50000",
            "DATA_WRITER__BUFFER_MAX_ITEMS": "50000",
        }
        os.environ.update(settings)
    end = START + hours * HOUR
    symbols = [f"C{i:03d}USDT" for i in range(instruments)]
    resources = [
        {
            "name": symbol,
            "table_name": "candles",
            "max_table_nesting": 0,
            "parallelized": best,
            "processing_steps": [{"map": _named(symbol)}],
            "endpoint": {
                "path": "fapi/v1/klines",
                "params": {"symbol": symbol, "interval": "1h", "startTime": START, "endTime": end - 1, "limit": PAGE},
                "paginator": Hours(end),
                "data_selector": "$",
            },
        }
        for symbol in symbols
    ]
    source: Any = rest_api_source({"client": {"base_url": f"{url}/binance/"}, "resources": resources})
    options = {"loader_file_format": "parquet"} if best else {}
    _pipeline(folder, "warm").run([{"n": 1}], table_name="warm", **options)
    pipeline = _pipeline(folder, "peer")
    begun = time.perf_counter()
    pipeline.run(source, **options)
    seconds = time.perf_counter() - begun
    _report(folder / "peer.duckdb", seconds)


def _pipeline(folder: Path, name: str) -> Any:
    destination = dlt.destinations.duckdb(str(folder / f"{name}.duckdb"))
    return dlt.pipeline(pipeline_name=name, pipelines_dir=str(folder / "dlt"), destination=destination, dataset_name="raw")


@app.command()
def ccxt_pages(url: str, hours: int, folder: Path) -> None:
    """ccxt's `fetch_ohlcv` of all instruments, as many at once as perplake sends, into a frame that DuckDB stores at once."""
    rows, seconds = asyncio.run(_by_ccxt(url, hours, folder / "peer.duckdb"))
    typer.echo(json.dumps({"rows": rows, "seconds": seconds}))


async def _by_ccxt(url: str, hours: int, database: Path) -> tuple[int, float]:
    import ccxt.async_support as ccxt

    exchange: Any = ccxt.binanceusdm({"enableRateLimit": False, "options": {"fetchMarkets": {"types": ["linear"]}}})
    exchange.has["fetchCurrencies"] = False  # it needs a key
    own = "https://fapi.binance.com"
    exchange.urls["api"] = {name: str(at).replace(own, f"{url}/binance") for name, at in exchange.urls["api"].items()}
    slots, end = asyncio.Semaphore(get_source("binance_usdm").concurrency), START + hours * HOUR

    async def candles(symbol: str) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = []
        start = START
        while start < end:
            async with slots:
                page = await exchange.fetch_ohlcv(symbol, "1h", start, PAGE, {"until": end - 1})
            if not page:
                break
            found += [(symbol, *row) for row in page]
            start = page[-1][0] + HOUR
        return found

    try:
        markets = await exchange.load_markets()
        begun = time.perf_counter()
        pages = await asyncio.gather(*map(candles, markets))
        frame = pd.DataFrame(chain.from_iterable(pages), columns=["symbol", "open_time", *NUMBERS[:5]])
        with duckdb.connect(str(database)) as connection:
            connection.execute("CREATE SCHEMA raw; CREATE TABLE raw.candles AS FROM frame")
        return len(frame), time.perf_counter() - begun
    finally:
        await exchange.close()


@app.command()
def least(url: str, instruments: int, hours: int, folder: Path) -> None:
    """The limit of one process of Python: aiohttp, msgspec, Arrow and a statement of DuckDB; nothing is kept or checked."""
    rows, seconds = asyncio.run(_least(url, instruments, hours, folder / "peer.duckdb"))
    typer.echo(json.dumps({"rows": rows, "seconds": seconds}))


async def _least(url: str, instruments: int, hours: int, database: Path) -> tuple[int, float]:
    source, end = get_source("binance_usdm"), START + hours * HOUR
    endpoint, slots = source.endpoint("candles"), asyncio.Semaphore(source.concurrency)
    names = endpoint.record.__struct_fields__

    async def page(session: aiohttp.ClientSession, symbol: str, start: int) -> pa.Table:
        params: dict[str, str | int] = {"symbol": symbol, "interval": "1h", "startTime": start, "endTime": end - 1, "limit": PAGE}
        async with slots, session.get(f"{url}/binance/fapi/v1/klines", params=params) as response:
            rows = endpoint.rows(endpoint.read(await response.read()))
        arrays = records.columns(endpoint.record, rows)
        return pa.table([pa.repeat(symbol, len(rows)), *arrays], ["symbol", *names])

    begun = time.perf_counter()
    starts = range(START, end, PAGE * HOUR)
    async with aiohttp.ClientSession() as session:
        requests = [page(session, f"C{i:03d}USDT", start) for i in range(instruments) for start in starts]
        candles = pa.concat_tables(await asyncio.gather(*requests))
    with duckdb.connect(str(database)) as connection:
        connection.execute("CREATE SCHEMA raw; CREATE TABLE raw.candles AS FROM candles")
    return candles.num_rows, time.perf_counter() - begun


@app.command()
def freqtrade(url: str, instruments: int, hours: int, folder: Path) -> None:
    """freqtrade's `download-data` into a file for each pair, from the first request to the last file by its own log.

    It needs an environment of its own: `FREQTRADE` is its command.
    """
    api = {"fapiPublic": "fapi/v1", "fapiPublicV2": "fapi/v2", "fapiPublicV3": "fapi/v3", "fapiData": "futures/data"}
    of_ccxt = {
        "enableRateLimit": False,
        "urls": {"api": {name: f"{url}/binance/{path}" for name, path in api.items()}},
        "options": {"fetchMarkets": {"types": ["linear"]}, "fetchCurrencies": False},
    }
    prices = {"price_side": "same", "use_order_book": True, "order_book_top": 1}
    config = {
        "dry_run": True,
        "stake_currency": "USDT",
        "stake_amount": 10,
        "max_open_trades": 1,
        "trading_mode": "futures",
        "margin_mode": "isolated",
        "entry_pricing": prices,
        "exit_pricing": prices,
        "pairlists": [{"method": "StaticPairList"}],
        "exchange": {
            "name": "binance",
            "only_from_ccxt": True,
            "pair_whitelist": [f"C{i:03d}/USDT:USDT" for i in range(instruments)],
            "ccxt_config": of_ccxt,
            "ccxt_async_config": of_ccxt,
        },
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "user" / "data").mkdir(parents=True)
    seconds = f"{START // 1000}-{(START + hours * HOUR) // 1000}"
    options = (
        f"-c config.json --userdir user -d data -t 1h --candle-types futures --data-format-ohlcv parquet --timerange {seconds}"
    )
    command = [os.environ["FREQTRADE"], "download-data", *options.split()]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "ownload" in line and line[:4].isdigit()]
    begun, *_, ended = (datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f") for line in lines)
    rows = sum(pq.read_metadata(file).num_rows for file in folder.glob("data/futures/*.parquet"))
    typer.echo(json.dumps({"rows": rows, "seconds": (ended - begun).total_seconds()}))


@app.command()
def json_reader(home: Path, folder: Path) -> None:
    """DuckDB's `read_json` on the bodies in HOME's landing, into a typed table of a new file."""
    (landing,) = home.glob("*/landing")
    columns = (
        "open_time BIGINT",
        *(f"{name} DOUBLE" for name in NUMBERS[:5]),
        "close_time BIGINT",
        "quote_volume DOUBLE",
        "trades BIGINT",
    )
    read = ", ".join(f"row[{at}]::{column.split()[1]}" for at, column in enumerate(columns, 1))
    begun = time.perf_counter()
    with duckdb.connect(str(folder / "peer.duckdb")) as connection:
        connection.execute(f"CREATE SCHEMA raw; CREATE TABLE raw.candles (symbol VARCHAR, {', '.join(columns)})")
        connection.execute(
            f"CREATE TEMP TABLE pages AS SELECT DISTINCT '{landing}/pages/' || sha256[:2] || '/' || sha256 || '.zst' "
            f"AS filename, context->>'symbol' AS symbol FROM read_json('{landing}/manifest/*/*.jsonl', "
            "columns = {sha256: 'VARCHAR', dataset: 'VARCHAR', context: 'JSON'}) WHERE dataset = 'candles'"
        )
        files = [name for (name,) in connection.execute("SELECT filename FROM pages").fetchall()]
        connection.execute(
            f"INSERT INTO raw.candles SELECT symbol, {read} FROM read_json($files, format = 'array', records = false, "
            "columns = {row: 'VARCHAR[]'}, filename = true) JOIN pages USING (filename)",
            {"files": files},
        )
    _report(folder / "peer.duckdb", time.perf_counter() - begun)


def _report(file: Path, seconds: float) -> None:
    with duckdb.connect(str(file), read_only=True) as connection:
        rows = connection.execute("SELECT count(*) FROM raw.candles").fetchall()[0][0]
    typer.echo(json.dumps({"rows": rows, "seconds": seconds}))


if __name__ == "__main__":
    app()
