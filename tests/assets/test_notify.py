"""The sensor sends a change of regime once, to a server on loopback; no message contains an address."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import apprise
import dagster as dg
import duckdb
import pytest

from assets.defs.regimes import write_table
from assets.defs.resources import SettingsResource
from assets.defs.sensors import Notice, collected_days, collected_sources, notices, on_regime, send
from assets.regimes import posture
from assets.regimes.signals import read as signals_of
from perplake.published import reading
from perplake.signals import line, signals
from pipelines.landing import Landing
from pipelines.settings import Settings
from tests.pipelines.test_landing import entry


@pytest.fixture
def hook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    got: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"json://127.0.0.1:{server.server_port}/secret", got
    server.shutdown()


def publish(settings: Settings, label: str, flag: bool | None) -> None:
    """Publish two days of BTC: `quiet`, then `label`, with or without a flag."""
    settings.published.mkdir(parents=True, exist_ok=True)
    path = settings.published / "perplake.duckdb"
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as db:
        db.execute("create schema marts; create schema meta")
        db.execute(
            "create table marts.regime_labels as select *, day + interval 1 day as known_at from (values "
            "(date '2025-10-09', 'BTC', 'quiet', 'calm'), "
            "(date '2025-10-10', 'BTC', ?, 'a deep low')) as t(day, asset, label, reasons)",
            [label],
        )
        db.execute(
            "create table marts.daily_assets as select day, asset, 0.5::double as realised_vol_7d, 'recorded' as origin, "
            "100.0::double as close, 99.0::double as low from marts.regime_labels; "
            "create table meta.scope as select 'recorded' as origin"
        )
        db.execute(
            "create table marts.regime_forecasts as select date '2025-10-10' as day, 'BTC' as asset, 'crash10' as target, "
            "'logistic' as method, 'backtest' as run_type, 0.31::double as probability, ?::boolean as flag",
            [flag],
        )
        db.execute(
            "create table marts.regime_scorecard as select 'crash10' as target, 'logistic' as method, 'all' as asset, "
            "0.57::double as auroc, 'insufficient' as verdict"
        )
        summarise(db)


def summarise(db: duckdb.DuckDBPyConnection) -> None:
    """Postures and signals of what is published, as a run makes them; a day without a row has none."""
    table = posture.build(db.sql("from marts.daily_assets").df())
    write_table(db, "regime_posture", table.assign(known_at=table["day"] + timedelta(days=1, minutes=5)))
    write_table(db, "regime_signals", signals_of(db))


def tick(settings: Settings, cursor: str | None) -> tuple[str, str | None]:
    """One evaluation: its message and the new cursor."""
    resources = {"settings": SettingsResource(home=str(settings.home))}
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(instance, cursor=cursor, resources=resources) as context,
    ):
        message = on_regime(context)
        assert isinstance(message, dg.SkipReason) and message.skip_message
        return message.skip_message, context.cursor


def test_a_change_and_a_flag_are_sent_once(
    hook: tuple[str, list[dict[str, Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, got = hook
    monkeypatch.setenv("PERPLAKE_NOTIFY", url)
    settings = Settings(home=tmp_path)
    publish(settings, "quiet", None)
    message, cursor = tick(settings, None)
    assert not got and cursor == '["2025-10-10"]'
    publish(settings, "cascade", True)
    message, cursor = tick(settings, cursor)
    assert message == "sent BTC:2025-10-10:cascade, BTC:2025-10-10:flag"
    assert [message["title"] for message in got] == [
        "BTC: regime changed from quiet to cascade (2025-10-10)",
        "BTC: red flag (2025-10-10)",
    ]
    assert "a deep low" in got[0]["message"] and "No advice." in got[0]["message"]
    assert "leverage of at most 3.1" in got[0]["message"] and "report.html#scorecard" in got[0]["message"]
    assert "31% for a low 10 % or more" in got[1]["message"] and "AUROC 0.57, insufficient" in got[1]["message"]
    with reading(settings.published / "perplake.duckdb") as db:
        assert [message["signal"] for message in got] == [json.loads(line(signal)) for signal in signals(db)]
    assert got[0]["signal"]["severity"] == "critical" and got[1]["signal"]["probability"] == 0.31
    message, again = tick(settings, cursor)
    assert message == "no new notices" and again == cursor and len(got) == 2


def test_the_flag_of_the_last_whole_day_is_sent_while_a_day_is_in_progress(tmp_path: Path) -> None:
    """The hourly run may label the day in progress before the daily run forecasts the day that is over."""
    settings = Settings(home=tmp_path)
    publish(settings, "quiet", True)
    with duckdb.connect(str(settings.published / "perplake.duckdb")) as db:
        db.execute("insert into marts.regime_labels values (date '2025-10-11', 'BTC', 'quiet', 'so far', '2025-10-12')")
    assert [notice.key for notice in notices(settings.published / "perplake.duckdb")] == ["BTC:2025-10-10:flag"]


def test_nothing_is_left_out_of_the_days_in_which_no_one_looked(
    hook: tuple[str, list[dict[str, Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERPLAKE_NOTIFY", hook[0])
    settings = Settings(home=tmp_path)
    publish(settings, "quiet", None)
    _, cursor = tick(settings, None)
    with duckdb.connect(str(settings.published / "perplake.duckdb")) as db:
        db.execute(
            "insert into marts.regime_labels select *, t.col0 + interval 1 day from (values "
            "(date '2025-10-11', 'BTC', 'crash', 'low'), "
            "(date '2025-10-12', 'BTC', 'crash', 'low'), (date '2025-10-13', 'BTC', 'stress', 'volatile'), "
            "(date '2025-10-14', 'BTC', 'stress', 'volatile')) as t;"
            "insert into marts.daily_assets by name select day, asset, 0.5 as realised_vol_7d, 'recorded' as origin,"
            " 100 as close, 99 as low from marts.regime_labels where day > '2025-10-10'"
        )
        summarise(db)
    message, cursor = tick(settings, cursor)
    assert message == "sent BTC:2025-10-11:crash, BTC:2025-10-13:stress"
    assert tick(settings, cursor)[0] == "no new notices"


def test_a_failed_notice_is_sent_again_and_its_message_names_no_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERPLAKE_NOTIFY", "json://127.0.0.1:9/secret")
    settings = Settings(home=tmp_path)
    publish(settings, "cascade", None)
    older = '["BTC:2025-10-01:stress"]'
    message, cursor = tick(settings, older)
    assert message == "an address of 1 in PERPLAKE_NOTIFY failed; the next evaluation tries again" and cursor == older
    monkeypatch.delenv("PERPLAKE_NOTIFY")
    assert tick(settings, cursor)[0] == "PERPLAKE_NOTIFY is not set: there is no address to send to"


def test_a_notice_is_plain_text(hook: tuple[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch) -> None:
    url, got = hook
    formats: list[Any] = []
    notify = apprise.Apprise.notify
    monkeypatch.setattr(
        apprise.Apprise, "notify", lambda to, **given: formats.append(given["body_format"]) or notify(to, **given)
    )
    assert send(Notice("k", "a run failed\x1b[2J", "<img src=x>\x1b]0;x"), [url])
    assert formats == ["text"], "which a mail shows as it is; without a format it would be HTML"
    assert (got[0]["title"], got[0]["message"]) == ("a run failed\ufffd[2J", "<img src=x>\ufffd]0;x")


def test_the_first_evaluation_sends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERPLAKE_NOTIFY", "json://127.0.0.1:9/secret")
    settings = Settings(home=tmp_path)
    publish(settings, "stress", True)
    assert tick(settings, None) == (
        "first evaluation: 2 earlier notices are not sent",
        '["2025-10-10", "BTC:2025-10-10:flag", "BTC:2025-10-10:stress"]',
    )
    assert len(notices(settings.published / "perplake.duckdb")) == 2


def test_a_day_with_new_segments_is_loaded_once(tmp_path: Path) -> None:
    landing = Landing(str(tmp_path))
    assert collected_days(landing, {}) == ([], {})
    for name in (
        "20261126T235901000000-aaaaaa-collected/0001",
        "20261127T000001000000-aaaaaa-collected/0001",
        "20261127T01-b/0001",
    ):
        part = tmp_path / "manifest" / f"{name}.jsonl"
        part.parent.mkdir(parents=True)
        part.write_bytes(b"")
    collector = Landing(str(tmp_path), "20261127T000001000000-aaaaaa-collected")
    collector.put(entry(b"a", collector.run, source="okx", observed_at=1_795_737_601_000), b"a")
    collector.flush()
    assert collected_sources(landing, collected_days(landing, {})[1]) == {"okx": datetime(2026, 11, 27, 0, 0, 1, tzinfo=UTC)}
    days, seen = collected_days(landing, {})
    assert days == ["2026-11-26", "2026-11-27"] and collected_days(landing, seen) == ([], seen)
    (tmp_path / "manifest" / "20261127T000001000000-aaaaaa-collected" / "0002.jsonl").write_bytes(b"")
    assert collected_days(landing, seen)[0] == ["2026-11-27"]
