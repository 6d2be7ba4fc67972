"""PostgreSQL has the rows of the published file after each publication, is sent what changed, and is never seen half changed.

The server is a real one. Its rows are read by `psql` as CSV, and not by the driver that wrote them.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from assets.defs.postgres import VARIABLE, PostgresError, copy_to_postgres
from assets.defs.publish import POSTGRES, marts_postgres
from assets.defs.resources import SettingsResource
from assets.defs.schedules import chosen_assets
from assets.defs.snapshot import copy_marts
from infra.lake import Postgres, free_ports
from pipelines.meta_tables import create_meta_tables
from pipelines.settings import Settings
from tests.whole import Reference, published

PROGRAMS = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
pytestmark = pytest.mark.skipif(PROGRAMS is None, reason="PostgreSQL's programs are not installed (Debian: postgresql)")
PASSWORD = "a secret/1"  # pragma: allowlist secret
MARTS = ("fct_candles", "daily_assets", "dim_venues")
WAREHOUSE = f"""
{create_meta_tables()};
insert into meta.scope (market, origin, "mode") values ('synthetic-7', 'synthetic', 'synthetic');
create schema marts;
create table marts.fct_candles as
    select 'BTC' as asset, t as opened_at, (hash(t) % 1000)::double as close, hash(t) as _versions, t::varchar as raw
    from generate_series(timestamp '2025-01-30', timestamp '2025-02-02 23:00', interval 1 hour) as h(t);
create table marts.daily_assets as
    select opened_at::date as day, asset, max(close) as close from marts.fct_candles group by all;
create table marts.dim_venues as
    from (values ('binance', 'it''s "quoted", \\n', true), ('bybit', '', null)) as t(venue, note, is_open);
comment on table marts.dim_venues is 'The venues'' own words.';
comment on column marts.dim_venues.note is 'A note.';
"""
#: Changes of the marts, and the rows that each sends.
CHANGES = {
    "select 1": {},
    "insert into marts.fct_candles select 'BTC', t, 1, 2, null from generate_series(timestamp '2025-02-03', "
    "timestamp '2025-02-03 23:00', interval 1 hour) as h(t)": {"fct_candles": 24},
    "update marts.fct_candles set close = 'infinity' where opened_at = '2025-01-30 05:00'": {"fct_candles": 24},
    "delete from marts.daily_assets where day = '2025-01-31'": {"daily_assets": 0},
    "insert into marts.fct_candles (asset, raw) values ('without a time', 'a' || chr(0))": {"fct_candles": 1},
    "alter table marts.daily_assets add column oi_usd double": {"daily_assets": 3},
    "update marts.dim_venues set is_open = false where venue = 'bybit'": {"dim_venues": 2},
}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a server without databases of perplake."""
    folder = Path(tempfile.mkdtemp(prefix="perplake-postgresql-"))
    running = Postgres(folder, free_ports(1)[0], PASSWORD)
    running.make()
    running.start()
    yield running.url.removesuffix("/postgres")
    running.stop()
    shutil.rmtree(folder)


@pytest.fixture
def url(server: str, request: pytest.FixtureRequest) -> str:
    """A new database."""
    name = f"of_{abs(hash(request.node.name))}"
    psql(f"{server}/postgres", f"create database {name}")
    return f"{server}/{name}"


def psql(url: str, sql: str) -> str:
    assert PROGRAMS
    command = [str(PROGRAMS / "psql"), url, "--no-psqlrc", "--tuples-only", "--no-align", "--command", sql]
    return subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "PGTZ": "Asia/Shanghai"}).stdout


def publish(folder: Path, sql: str = "") -> Path:
    """Change a warehouse, and publish it."""
    database = folder / "warehouse.duckdb"
    with duckdb.connect(str(database)) as db:
        db.execute(sql or WAREHOUSE)
    return copy_marts(database, folder / "published", dict.fromkeys(MARTS), "a run")


def differences(published: Path, url: str, folder: Path) -> dict[str, Any]:
    """The marts whose rows and checksums differ, with both."""
    found = {}
    with duckdb.connect(str(published), read_only=True) as db:
        db.execute("set timezone = 'UTC'")
        tables = db.execute("select table_name from duckdb_tables() where schema_name = 'marts'").fetchall()
        for (mart,) in tables:
            file = folder / f"{mart}.csv"
            file.write_text(psql(url, f'copy marts."{mart}" to stdout (format csv, header)'))
            columns = db.execute(f'describe marts."{mart}"').fetchall()
            read = {name: "timestamptz" if kind == "TIMESTAMP" else kind for name, kind, *_ in columns}
            values = ", ".join(f'"{name}"::{kind}' for name, kind, *_ in columns)
            ours = ", ".join(f"replace(\"{n}\", chr(0), '')" if kind == "VARCHAR" else f'"{n}"' for n, kind, *_ in columns)
            sums = "select count(*), sum(hash({})::hugeint) from {}"
            csv = f"read_csv('{file}', columns = {read}, nullstr = '', allow_quoted_nulls = false, header = true)"
            theirs = db.execute(sums.format(values, csv)).fetchall()
            if (expected := db.execute(sums.format(ours, f'marts."{mart}"')).fetchall()) != theirs:
                found[mart] = (expected, theirs)
    return found


def test_all_that_a_run_published_is_there_with_types_and_comments(reference: Reference, url: str, tmp_path: Path) -> None:
    file = published(reference.home)
    sent = copy_to_postgres(file, url)
    with duckdb.connect(str(file), read_only=True) as db:
        rows = dict(db.execute("select mart, sum(rows) from meta.partitions group by 1").fetchall())
        marts = db.execute("select table_name from duckdb_tables() where schema_name = 'marts' order by 1").fetchall()
        comments = dict(db.execute("select table_name, comment from duckdb_tables() where schema_name = 'marts'").fetchall())
    assert sent == rows and sum(rows.values()) > 1000
    assert not differences(file, url, tmp_path)
    there = "from pg_class c join pg_namespace n on n.oid = relnamespace where nspname = 'marts' and relkind = 'r'"
    assert psql(url, f"select relname {there} order by 1").split() == [name for (name,) in marts]
    assert psql(url, "select obj_description('marts.daily_assets'::regclass)").strip() == comments["daily_assets"]
    columns = "select count(*) from information_schema.columns where table_schema = 'marts' and {}"
    assert (
        psql(
            url, columns.format("col_description(format('%I.%I', table_schema, table_name)::regclass, ordinal_position) is null")
        )
        == "0\n"
    )
    assert psql(url, columns.format("data_type = 'timestamp without time zone'")) == "0\n"
    assert copy_to_postgres(file, url) == {}


def test_only_days_that_changed_are_sent(url: str, tmp_path: Path) -> None:
    assert copy_to_postgres(publish(tmp_path), url) == {"fct_candles": 96, "daily_assets": 4, "dim_venues": 2}
    assert psql(url, "select note from marts.dim_venues order by venue") == 'it\'s "quoted", \\n\n\n'
    for sql, rows in CHANGES.items():
        file = publish(tmp_path, sql)
        assert copy_to_postgres(file, url) == rows, sql
        assert not differences(file, url, tmp_path), sql
    assert psql(url, "select market, run from meta.published") == "synthetic-7|a run\n"


def test_a_kill_leaves_the_state_before(url: str, tmp_path: Path) -> None:
    before = publish(tmp_path)
    copy_to_postgres(before, url)
    kept = shutil.copy(before, tmp_path / "before.duckdb")
    after = publish(tmp_path, "update marts.daily_assets set close = 0; update marts.fct_candles set close = 0")
    killed = f"""
import os, signal
from pathlib import Path
from assets.defs import postgres
send, sent = postgres._send, []
def once(*arguments):
    if sent:
        os.kill(os.getpid(), signal.SIGKILL)
    sent.append(send(*arguments))
    return sent[0]
postgres._send = once
postgres.copy_to_postgres(Path({str(after)!r}), {url!r})
"""
    assert subprocess.run([sys.executable, "-c", killed], check=False).returncode == -signal.SIGKILL
    assert not differences(Path(kept), url, tmp_path)
    copy_to_postgres(after, url)
    assert not differences(after, url, tmp_path)


def test_another_market_is_refused(url: str, tmp_path: Path) -> None:
    copy_to_postgres(publish(tmp_path), url)
    with pytest.raises(PostgresError, match="it holds the market 'synthetic-7', not 'live': name another database"):
        copy_to_postgres(publish(tmp_path, "update meta.scope set market = 'live'"), url)


def test_a_database_that_fails_makes_its_asset_red_without_its_password(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=tmp_path)
    settings.folder.mkdir()
    publish(settings.folder)
    wrong = [
        url.replace("%2F1", "%2F2"),
        "postgresql://perplake:a%20secret%2F1@127.0.0.1:1/x",  # pragma: allowlist secret
        url.replace("%2F", "%2"),
        "a secret",
    ]
    for address in (*wrong, url):
        monkeypatch.setenv(VARIABLE, address)
        resources = {"settings": SettingsResource(home=str(tmp_path))}
        with dg.DagsterInstance.ephemeral() as instance:
            ended = dg.materialize([marts_postgres], resources=resources, instance=instance, raise_on_error=False)
            text = "\n".join(str(entry.dagster_event) for entry in instance.all_logs(ended.run_id))
        assert ended.success == (address == url), text
        assert (
            "a%20secret" not in text
            and "a secret" not in text
            and ("the marts are not in PostgreSQL" in text) == (address != url)
        ), text


def test_runs_have_it_where_a_database_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from assets.definitions import defs

    graph = defs.resolve_asset_graph()
    monkeypatch.delenv(VARIABLE, raising=False)
    assert POSTGRES not in chosen_assets(Settings()).resolve(graph)
    monkeypatch.setenv(VARIABLE, "postgresql://")
    assert POSTGRES in chosen_assets(Settings()).resolve(graph)
