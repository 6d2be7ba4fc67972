"""A key that its venue sends back is nowhere: one whole run against a server that echoes it, then every file is searched.

Each keyed source has a key of its own, and is sent it in status lines, headers, cookies, names, values, errors, redirects, pages
of HTML and JSON that is cut; one venue beside them gives the run its rows. Then the home folder is searched: landing, warehouse,
published copy, Parquet files, report, Dagster's history, output. What is planted there is found, in each kind of file.
"""

from __future__ import annotations

import base64
import html
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb
import pytest
import zstandard

from infra.emulator.testing import Served
from pipelines.client import Client
from pipelines.registry import source_rows
from pipelines.run import Run
from pipelines.source import Source
from pipelines.sources import get_source
from tests import whole

KEYS = {name: f"canary-{name}/0123456789" for name in source_rows() if get_source(name).key_header}
#: What a search looks for: the beginning of each key as it is, and in base64 at any of three places.
FORMS = [b"canary-", *(base64.b64encode(n * b"x" + b"canary-")[-(-8 * n // 6) :][:8] for n in range(3))]


class Echo(BaseHTTPRequestHandler):
    """Answers in turn, in seven ways, with the key that came; `sent` counts by source the requests that had it."""

    sent: Counter[str]
    turns: Counter[str]

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        name = self.path.split("/")[1]
        key = KEYS[name]
        Echo.sent[name] += any(key in value for value in self.headers.values())
        Echo.turns[name] += 1
        way = (Echo.turns[name] + list(KEYS).index(name)) % 7
        encoded = base64.b64encode(f"user:{key}".encode()).decode()
        echo: dict[str, Any] = {"message": f"bad {key}", "error": quote(key, ""), "data": [{"id": key, "symbol": key}]}
        body = json.dumps(echo | {"result": key, key: 1, "basic": encoded})
        status = (200, 400, 500, 302, 401, 200, 429)[way]
        if way == 2:
            body = f"<p>{html.escape(key)} {quote(key, '')} {encoded}</p>"
        if way == 5:
            body = body[: body.index(key) + len(key) - 3]
        self.send_response(status, f"No {key}")
        for header, value in (("X-Echo", key), ("X-Perplake-Origin", key), ("Set-Cookie", f"key={key}"), ("X-Key", encoded)):
            self.send_header(header, value)
        self.send_header("Retry-After", "0" if way == 6 else key)
        if way == 3:
            self.send_header("Location", f"https://evil.test/{quote(key, '')}")
        self.send_header("Content-Type", "text/html" if way == 2 else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the tests' output."""


@contextmanager
def echo() -> Iterator[str]:
    Echo.sent, Echo.turns = Counter(), Counter()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def run(url: str, market: str, *arguments: Any) -> None:
    """In the child: a live run whose keyed sources are at `url`, and whose others are in the market."""
    client = Run.client

    def at_the_server(self: Run, source: Source) -> Client:
        base = f"{url}/{source.name}" if source.name in KEYS else f"{market}/{source.venue}"
        return client(self, replace(source, base_url=base))

    Run.client = at_the_server  # type: ignore[method-assign]
    whole._run(*arguments)


def hits(home: Path) -> set[str]:
    """The files that have a key, or a part of one."""
    files = (file for file in home.rglob("*") if file.is_file())
    return {str(file.relative_to(home)) for file in files if any(form in text for text in texts(file) for form in FORMS)}


def texts(file: Path) -> Iterator[bytes]:
    """The content of a file: as it is, decompressed, and of tables each row as text."""
    data = file.read_bytes()
    yield data
    if file.suffix == ".zst":
        yield zstandard.decompress(data)
    elif file.suffix == ".parquet":
        yield from rows(duckdb.read_parquet(str(file)))
    elif data[8:12] == b"DUCK":
        with duckdb.connect(str(file), read_only=True) as connection:
            tables = "SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT internal AND estimated_size > 0"
            for schema, table in connection.execute(tables).fetchall():
                yield from rows(connection.table(f'"{schema}"."{table}"'))


def rows(table: duckdb.DuckDBPyRelation) -> Iterator[bytes]:
    every = ", ".join(f'"{name}"::VARCHAR' for name in table.columns)
    yield from (row.encode() for (row,) in table.project(f"concat_ws(chr(10), {every})").fetchall())


@pytest.mark.slow
def test_no_key_that_a_venue_sends_back_is_in_any_file_of_a_run(emulator: Served, tmp_path: Path) -> None:
    emulator.clear_faults()
    home = tmp_path / "home"
    home.mkdir()
    whole.keep_history(home)
    venues = sorted({row.venue for name in KEYS if (row := source_rows()[name]).venue} | {"kraken"})
    environment = {
        **whole.NO_DATA_TESTS,
        **{source_rows()[name].key or "": key for name, key in KEYS.items()},
        "PERPLAKE_HOME": str(home),
        "PERPLAKE_STATE": str(home / "state"),
        "PERPLAKE_ASSETS": "BTC",
        "PERPLAKE_TRIES": "2",
        "PERPLAKE_LIMITS_SCALE": "1000000",
        "PERPLAKE_VENDOR_VENUES": "binance,bybit",
        "PERPLAKE_SUBGRAPHS": "gmx_v2=QmAbcdefghijklmnopqrstuvwxyz0123456789ABCDEFGH",
        "PERPLAKE_LOG": "debug",
    }
    arguments = ["run", "--mode", "live", "--venues", ",".join(venues), *whole.window(whole.DAYS[1])[1:]]
    output = home / "output.txt"
    with echo() as url:
        process = whole.CONTEXT.Process(target=run, args=(url, emulator.url, arguments, environment, str(output), None))
        process.start()
        process.join(whole.TIMEOUT_SECONDS)
    told = output.read_text()
    assert process.exitcode == 1 and "Traceback" not in told, told[-3000:]
    assert all(Echo.sent[name] for name in KEYS), "each key was sent"
    assert "[key removed]" in told and (home / "live" / "published" / "perplake.duckdb").exists(), told[-3000:]
    assert hits(home) == set()

    planted = KEYS["coinapi"]
    (home / "control.txt").write_text(quote(planted, ""))
    (home / "control.zst").write_bytes(zstandard.compress(f"basic {base64.b64encode(planted.encode()).decode()}".encode()))
    with duckdb.connect(str(home / "control.duckdb")) as connection:
        connection.execute("CREATE TABLE t AS SELECT {'message': 'bad ' || $1} AS problem FROM range(9)", [planted])
        connection.execute(f"COPY t TO '{home / 'control.parquet'}' (COMPRESSION zstd)")
    with duckdb.connect(str(home / "live" / "warehouse.duckdb")) as connection:
        connection.execute("UPDATE meta.quarantine SET value = $1", [planted])
    assert hits(home) == {"control.txt", "control.zst", "control.duckdb", "control.parquet", "live/warehouse.duckdb"}
