"""The peers: dlt's `rest_api` source on the same candles, and DuckDB's JSON reader on the same landed bytes.

Both are used as documented. They have less to do: they keep no raw bytes, neither merge nor deduplicate, and only append rows; a
map names the columns and converts the numbers. Each prints rows and seconds as JSON; imports and a warm-up are not timed.

Alone: `python -m infra.bench.peers rest-api URL INSTRUMENTS HOURS FOLDER --best`,
`python -m infra.bench.peers json-reader HOME FOLDER`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import dlt
import duckdb
import typer
from dlt.sources.helpers.rest_client.paginators import BasePaginator
from dlt.sources.rest_api import rest_api_source
from requests import Response  # noqa: TID251  (the type that dlt passes to a paginator)

from infra.bench.market import START
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
