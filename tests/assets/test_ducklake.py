"""The main job on a lake: its marts are those of a file, readers see whole publications, and writers exclude each other by table.

PostgreSQL and the S3 server are real ones, on loopback.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pandas as pd
import pytest
import s3fs

import perplake.lake
from assets.defs import regimes
from assets.defs.dbt import invoke
from assets.defs.publish import published_marts
from assets.defs.snapshot import copy_marts
from assets.regimes import last_day
from infra.emulator.testing import Served
from infra.lake import BUCKET, PASSWORD, MissingServer, Servers, servers
from perplake.published import published_copy, question, reading
from pipelines import ducklake, warehouse
from pipelines.errors import WarehouseMismatch
from pipelines.limits import Limiter
from pipelines.settings import Settings
from pipelines.shared_limits import Shared
from pipelines.source import Limit
from tests.whole import CONTEXT, SMALL, WHOLE, Finished, Reference, checksums, different, marts, perps, published

dbapi = pytest.importorskip("adbc_driver_postgresql.dbapi")
pytest.importorskip("duckdb_extensions", reason="the lake's packages are not installed: pip install 'perplake[lake]'")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("servers")
    for each in (folder, *folder.parents[:2]):  # PostgreSQL may run as another user
        each.chmod(0o755)
    try:
        with servers(folder) as both, pytest.MonkeyPatch.context() as patch:
            for name, value in both.environment.items():
                patch.setenv(name, value)
            yield both
    except MissingServer as problem:
        pytest.skip(str(problem))


PUBLISHED = "synthetic-7/published/perplake.lake"


@dataclass(frozen=True)
class Lake:
    """A run of the small job on a lake."""

    settings: Settings
    ended: Finished

    @property
    def database(self) -> Path:
        return self.settings.database

    @property
    def published(self) -> Path:
        return self.settings.published / self.settings.copy_name


@pytest.fixture(scope="module")
def lake(running: Servers, emulator: Served, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    emulator.clear_faults()
    home = tmp_path_factory.mktemp("lake")
    variables = {**running.environment, "PERPLAKE_LANDING": str(home / "landing")}
    ended = perps(home, emulator.url, *WHOLE, variables=variables, data_tests=False, **{**SMALL, "report": True})
    assert ended.status == 0, ended.output
    return Lake(Settings(home=home), ended)


@pytest.mark.slow
def test_the_marts_are_those_of_a_file(lake: Lake, reference: Reference) -> None:
    assert different(marts(lake.published), marts(published(reference.home))) == []
    assert PASSWORD not in lake.ended.output
    assert (lake.settings.published / "report.html").exists()


@pytest.mark.slow
def test_tables_and_columns_have_the_descriptions_of_a_file(lake: Lake, reference: Reference) -> None:
    ours = perplake.open(lake.settings.home, mode="synthetic")
    theirs = perplake.lake.Lake(Settings(home=reference.home, mode="synthetic", profile="file"))
    tables = theirs.tables()
    assert tables == ours.tables()
    assert {table: theirs.describe(table) for table in tables} == {table: ours.describe(table) for table in tables}


@pytest.mark.slow
def test_a_backup_is_restored_into_an_empty_lake(
    running: Servers, lake: Lake, reference: Reference, emulator: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(home: Path, *arguments: str, landing: Path, status: int = 0) -> str:
        here = {name: value for name, value in os.environ.items() if name in running.environment}
        ended = perps(home, emulator.url, *arguments, variables={**here, "PERPLAKE_LANDING": str(landing)}, **SMALL)
        assert ended.status == status, ended.output
        return ended.output

    def content() -> dict[str, dict[str, tuple[int, int]]]:
        path = home / "synthetic-7" / "warehouse.lake"
        found = {schema: checksums(path, schema) for schema in ("raw", "meta", "seeds", "intermediate")}
        found["meta"].pop("run_info", None)  # an old name, which publishing makes
        return {**found, "marts": marts(path)}

    home, saved = lake.settings.home, str(tmp_path / "saved.tar")
    run(home, "backup", saved, landing=home / "landing")
    before = content()
    assert sum(rows for tables in before.values() for rows, _ in tables.values()) > 1000
    in_postgres(running, "CREATE DATABASE empty")
    monkeypatch.setenv(ducklake.VARIABLE, running.postgres.url.replace("/postgres", "/empty"))
    monkeypatch.setenv("PERPLAKE_LAKE_DATA", f"s3://{BUCKET}/empty/lake")
    home = tmp_path / "home"
    run(home, "restore", saved, landing=home / "landing")
    after = content()
    assert [line for schema in before for line in different(before[schema], after[schema])] == []
    with pytest.raises(WarehouseMismatch, match="nothing is published"), warehouse.connect(tmp_path / "home" / PUBLISHED):
        pass
    run(home, *WHOLE, landing=home / "landing")
    assert different(marts(home / PUBLISHED), reference.marts) == []
    another = tmp_path / "another"
    assert "has tables already" in run(another, "restore", saved, landing=another / "landing", status=2)
    assert not list((another / "landing").rglob("*.zst"))


@pytest.mark.slow
def test_readers_see_what_was_published_until_the_next_publication(lake: Lake) -> None:
    reader = perplake.open(lake.settings.home, mode="synthetic")
    sql = "select count(*)::int as n from daily_assets"
    before, published_at = reader.sql(sql)["n"][0], reader.published.published_at
    with warehouse.connect(lake.database) as connection:
        connection.execute("delete from marts.daily_assets where asset = 'BTC'")
    assert reader.sql(sql)["n"][0] == before
    copy_marts(lake.database, lake.settings.published, published_marts())
    assert reader.sql(sql)["n"][0] == before - 3
    assert reader.published.published_at > published_at


@pytest.mark.slow
def test_a_model_that_fails_takes_the_others_of_its_call_with_it(lake: Lake) -> None:
    def last() -> int:
        with warehouse.connect(lake.database, read_only=True) as connection:
            return int(connection.execute("select max(snapshot_id) from warehouse.snapshots()").fetchall()[0][0])

    before, models = last(), ["run", "--no-populate-cache", "--no-write-json", "--select", "daily_market", "liquidation_events"]
    with pytest.raises(dg.Failure, match="liquidation_events: Runtime Error") as told:
        invoke(models, lake.database, {"cascade_hour_usd": "'much'"})
    assert "aborted" not in str(told.value) and last() == before
    invoke(models, lake.database)
    assert last() == before + 1


@pytest.mark.slow
def test_maintenance_keeps_publications_and_their_files(lake: Lake) -> None:
    def publish(sql: str) -> datetime:
        with warehouse.connect(lake.database) as connection:
            for statement in (sql, *["insert into raw.small from range(100)"] * 3):  # snapshots that nobody published
                connection.execute(statement)
        copy_marts(lake.database, lake.settings.published, published_marts())
        return datetime.now(UTC)

    def by(moment: datetime) -> tuple[dict[str, tuple[int, int]], int]:
        settings = lake.settings.model_copy(update={"as_published": moment})
        reader = perplake.open(lake.settings.home, mode="synthetic", as_published=moment)
        labels = reader.sql("select count(*) as n from regime_labels where label = 'renamed'")
        return marts(settings.published / settings.copy_name), int(labels["n"][0])

    with warehouse.connect(lake.database) as connection:
        connection.execute("create table raw.small (number bigint)")
    first = publish("update marts.regime_labels set label = 'renamed' where asset = 'ETH'")
    before = by(first)
    last = publish("update marts.regime_labels set label = 'neutral' where label = 'renamed'")
    now = by(last)
    assert (before[1] > 0, now[1]) == (True, 0)
    with warehouse.one_writer(lake.database), warehouse.connect(lake.database) as connection:
        done = ducklake.maintain(connection, lake.database, days=1, grace_hours=0)
        (kept,) = connection.execute("select count(*) from warehouse.snapshots()").fetchall()[0]
        assert connection.execute("select count(*), sum(number) from raw.small").fetchall() == [(600, 29_700)]
    assert done["expired snapshots"] > 20 and kept < 20
    assert (done["merged files"], done["deleted files"]) == (6, 6), done
    assert (by(first), by(last)) == (before, now)


def in_postgres(running: Servers, sql: str) -> None:
    with dbapi.connect(running.postgres.url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(sql)


def described(copy: Path) -> list[tuple[Any, ...]]:
    """The columns of the marts with their types and descriptions."""
    reader = perplake.lake.Lake(Settings(home=copy.parents[2], profile="lake" if ducklake.is_lake(copy) else "file"))
    return [(table, about, reader.describe(table)) for table, about in reader.tables().items()]


@pytest.mark.slow
def test_a_warehouse_moves_to_a_lake_and_back(
    running: Servers, reference: Reference, emulator: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, market = tmp_path / "home", tmp_path / "home" / "synthetic-7"
    shutil.copytree(reference.home / "synthetic-7", market)
    (home / "current").symlink_to("synthetic-7")
    in_postgres(running, "CREATE DATABASE another")
    of_lake = {
        **running.environment,
        "PERPLAKE_LAKE_CATALOG": running.postgres.url.replace("/postgres", "/another"),
        "PERPLAKE_LAKE_DATA": f"s3://{BUCKET}/another/lake",
        "PERPLAKE_LANDING": f"s3://{BUCKET}/another/landing",
    }
    for name, value in of_lake.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> str:
        ended = perps(home, emulator.url, *arguments, variables=of_lake)
        assert ended.status == 0, ended.output
        return ended.output

    there = run("move", "lake")
    lake = market / "published" / "perplake.lake"
    assert different(marts(lake), reference.marts) == []
    before = described(lake)
    again = perps(home, emulator.url, "move", "lake", variables=of_lake)
    assert again.status == 2 and "the lake of synthetic-7 has tables already" in again.output
    assert "and the warehouse" in run("backup", str(tmp_path / "saved.tar"))
    (market / "warehouse.duckdb").unlink()
    (market / "published" / "perplake.duckdb").unlink()
    shutil.rmtree(market / "landing")

    # `meta` has one row more: that of the publication
    sums = [
        [line for line in output.splitlines() if "checksum" in line and line[:4] != "meta"]
        for output in (there, run("move", "file"))
    ]
    assert sums[0] == sums[1] and len(sums[0]) == 4, sums
    assert described(published(home)) == before
    assert different(marts(published(home)), reference.marts) == []
    on = perps(home, emulator.url, *WHOLE, **SMALL)
    assert on.status == 0 and different(marts(published(home)), reference.marts) == [], on.output

    assert perps(tmp_path / "restored", emulator.url, "restore", str(tmp_path / "saved.tar"), **SMALL).status == 0
    restored = checksums(tmp_path / "restored" / "synthetic-7" / "warehouse.duckdb", "marts")
    assert different({name: restored[name] for name in reference.marts}, reference.marts) == []


@pytest.mark.slow
def test_a_missing_file_is_told(lake: Lake) -> None:
    with warehouse.one_writer(lake.database), warehouse.connect(lake.database) as connection:
        fs = s3fs.S3FileSystem()
        (name,) = connection.execute(
            "from ducklake_list_files('warehouse', 'daily_assets', schema => 'marts') select data_file"
        ).fetchall()[0]
        file = name.removeprefix("s3://")
        content = fs.cat_file(file)
        fs.rm_file(file)
        try:
            with pytest.raises(WarehouseMismatch, match="files of the lake are missing"):
                ducklake.maintain(connection, lake.database, days=1)
        finally:
            fs.pipe_file(file, content)


@pytest.mark.slow
@pytest.mark.parametrize(
    "sql",
    [
        "select * from postgres_query('__ducklake_metadata_perplake', 'select 1')",
        "select * from read_parquet('s3://perplake/lake/synthetic-7/**')",
        "select * from read_csv('/etc/passwd')",
        "delete from marts.daily_assets",
    ],
)
def test_a_question_reaches_nothing_else(lake: Lake, sql: str) -> None:
    with reading(published_copy(lake.settings)) as db, pytest.raises(ValueError):
        question(db, sql).fetchall()


@pytest.mark.slow
def test_a_session_shows_no_secret(lake: Lake) -> None:
    with reading(published_copy(lake.settings)) as db:
        shown = str(question(db, "from duckdb_databases()").fetchall()) + str(db.execute("from duckdb_secrets()").fetchall())
    assert PASSWORD not in shown


def test_a_lake_without_a_publication_and_a_catalog_that_is_gone_are_told(
    running: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="nothing is published in the lake of synthetic-8"):
        perplake.lake.Lake(Settings(home=tmp_path, mode="synthetic", seed=8))
    monkeypatch.setenv(ducklake.VARIABLE, f"postgresql://perplake:{PASSWORD}@127.0.0.1:1/postgres")
    with pytest.raises(WarehouseMismatch, match=ducklake.VARIABLE) as told, warehouse.connect(tmp_path / "m" / "warehouse.lake"):
        pass
    assert PASSWORD not in str(told.value)


def test_loads_of_different_sources_share_and_everything_else_excludes_all(running: Servers, tmp_path: Path) -> None:
    path = tmp_path / "market" / "warehouse.lake"
    with warehouse.one_writer(path, ["kaiko"]), warehouse.one_writer(path, ["okx"], wait=1):
        for sources in (["okx", "gate"], None):
            with pytest.raises(WarehouseMismatch, match="another worker"), warehouse.one_writer(path, sources, wait=0.1):
                pass
    alone, beside = warehouse.one_writer(path, wait=1), warehouse.one_writer(path, ["gate"], wait=0.1)
    with alone, pytest.raises(WarehouseMismatch, match="another worker"), beside:
        pass


def test_nothing_is_committed_once_a_lock_is_lost(running: Servers, tmp_path: Path) -> None:
    path = tmp_path / "market" / "warehouse.lake"
    with warehouse.one_writer(path, ["kaiko"]), warehouse.connect(path) as connection:
        connection.execute("create table rows (number bigint)")
        with warehouse.transaction(connection):
            connection.execute("insert into rows values (1)")
        with pytest.raises(WarehouseMismatch, match=ducklake.VARIABLE), warehouse.transaction(connection):
            connection.execute("insert into rows values (2)")
            in_postgres(running, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
        assert connection.execute("from rows").fetchall() == [(1,)]


@pytest.mark.slow
def test_no_step_commits_once_its_lock_is_lost(running: Servers, lake: Lake) -> None:
    day = {"day": [datetime(2025, 6, 1)], "asset": "BTC", "target": "label", "method": "none", "run_type": "backtest"}
    steps: list[Callable[[duckdb.DuckDBPyConnection], object]] = [
        lambda db: warehouse.prepare(db, ducklake.market(lake.database)),
        lambda db: warehouse.note_built(db, "another"),
        regimes.label_changed,
        lambda db: regimes.live_forecasts(db, pd.DataFrame(day)),
        lambda db: regimes.write_tables(db, {regimes.LAST_DAY: last_day.read(db)}),
        lambda _: copy_marts(lake.database, lake.settings.published, published_marts()),
        lambda db: ducklake.maintain(db, lake.database, days=0, grace_hours=0),
    ]
    for step in steps:
        with warehouse.one_writer(lake.database), warehouse.connect(lake.database) as connection:
            (before,) = connection.execute("select max(snapshot_id) from warehouse.snapshots()").fetchall()
            in_postgres(running, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
            with pytest.raises(WarehouseMismatch, match=ducklake.VARIABLE):
                step(connection)
            assert connection.execute("select max(snapshot_id) from warehouse.snapshots()").fetchall() == [before]


def test_machines_with_one_address_share_a_venue_s_limits(running: Servers) -> None:
    one, same, another = (Limiter(Shared(at), "binance", {"weight": Limit(100, 60)}) for at in ("home", "home", "office"))
    assert one.spend({"weight": 90}) == 0 and same.spend({"weight": 90}) > 50 and another.spend({"weight": 90}) == 0
    same.pause(1000, "banned", "wait")
    same.pause(10, "slow")
    pause = one.paused()
    assert pause and 990 < pause.seconds <= 1000 and (pause.problem, pause.remedy) == ("banned", "wait")
    assert another.paused() is None and one.spend({"weight": 1}) > 990


def test_requests_are_not_sent_uncounted_and_go_on_after_an_outage(running: Servers) -> None:
    limiter = Limiter(Shared("outage"), "binance", {"weight": Limit(100, 60)})
    assert limiter.spend({"weight": 50}) == 0
    in_postgres(running, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    with pytest.raises(OSError, match=ducklake.VARIABLE):
        limiter.spend({"weight": 1})
    assert limiter.spend({"weight": 60}) > 50


def test_the_lock_of_a_killed_worker_is_free(running: Servers, tmp_path: Path) -> None:
    path = tmp_path / "market" / "warehouse.lake"
    has_it = CONTEXT.Event()
    worker = CONTEXT.Process(target=_hold, args=(path, has_it, running.environment))
    worker.start()
    assert has_it.wait(60) and worker.pid
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    with warehouse.one_writer(path, wait=5):
        pass


def _hold(path: Path, has_it: Any, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    with warehouse.one_writer(path):
        has_it.set()
        signal.pause()
