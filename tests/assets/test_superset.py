"""The dashboards of `infra/superset` and the metrics of the dbt project fit what a whole run has published.

The expected numbers are those of `daily_industry`, which is summed from instruments, not from assets and venues.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import duckdb
import pytest

from assets.defs.dbt import manifest
from infra.superset import __main__ as command
from infra.superset import bundle as made
from tests.whole import Reference, published


@pytest.fixture(scope="module")
def bundle(reference: Reference) -> dict[str, dict[str, Any]]:
    return made.bundle(published(reference.home), manifest())


def of_kind(bundle: dict[str, dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [content for name, content in bundle.items() if name.startswith(f"{kind}/")]


def test_every_dataset_and_its_metrics_can_be_asked(bundle: dict[str, dict[str, Any]], reference: Reference) -> None:
    assert len(of_kind(bundle, "dashboards")) == 4
    with duckdb.connect(str(published(reference.home)), read_only=True) as db:
        for dataset in of_kind(bundle, "datasets"):
            source = f"({dataset['sql']})" if dataset["sql"] else f"{dataset['schema']}.{dataset['table_name']}"
            columns = [column["column_name"] for column in dataset["columns"]]
            assert db.sql(f"select * from {source}").columns == columns, dataset["table_name"]
            assert all(c["description"] for c in (dataset, *dataset["columns"], *dataset["metrics"])), dataset["table_name"]
            metrics = ", ".join(f'{metric["expression"]} as "{metric["metric_name"]}"' for metric in dataset["metrics"])
            rows = db.sql(f"select {columns[0]}, {metrics} from {source} group by all").fetchall()
            assert rows or dataset["table_name"] == "regime_signals", "three calm days have no signal"


def test_metrics_of_a_day_are_the_numbers_of_the_industry(reference: Reference) -> None:
    of_mart = {mart: {m.name: m.sql for m in metrics} for mart, metrics in made.metrics(manifest()).items()}
    pairs = [("daily_assets", "volume_usd", "volume_usd"), ("daily_assets", "oi_usd", "oi_usd")]
    pairs += [("daily_venues", "venue_volume_usd", "volume_usd"), ("daily_venues", "venue_oi_usd", "oi_usd")]
    with duckdb.connect(str(published(reference.home)), read_only=True) as db:
        for mart, metric, column in pairs:
            days = dict(db.execute(f"select day, {of_mart[mart][metric]} from marts.{mart} group by day").fetchall())
            industry = dict(db.execute(f"select day, {column} from marts.daily_industry").fetchall())
            assert days == pytest.approx(industry) and len(days) == 3, metric
            (total,) = db.execute(f"select {of_mart[mart][metric]} from marts.{mart}").fetchall()[0]
            levels = sum(industry.values()) / (3 if column == "oi_usd" else 1)
            assert total == pytest.approx(levels), "volume is summed over days, a level is not"


def test_the_exposures_name_the_marts_that_the_dashboards_draw() -> None:
    content, exposures = made.described(), {e["label"]: e for e in manifest()["exposures"].values()}
    for slug, board in content["dashboards"].items():
        drawn = {chart["of"] for row in board["rows"] for chart in row}
        marts = {content["views"].get(name, {}).get("of", name) for name in drawn if not name.startswith("meta.")}
        exposure = exposures[board["title"]]
        assert {name.split(".")[-1] for name in exposure["depends_on"]["nodes"]} == marts, slug
        assert exposure["url"].endswith(f"/{slug}/")


def test_a_chart_of_a_column_that_is_not_there_is_named(reference: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    content = made.described()
    content["dashboards"]["market-today"]["rows"][1][0]["number"] = "leverage"
    monkeypatch.setattr(made, "described", lambda: content)
    with pytest.raises(ValueError, match="market-today/Volume: daily_assets has no leverage"):
        made.bundle(published(reference.home), manifest())


def test_a_secret_is_its_owners_alone_and_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUPERSET_SECRET_KEY", raising=False)
    file = tmp_path / "secret_key"
    first = command.secret("SUPERSET_SECRET_KEY", file)
    assert len(first) > 42 and file.stat().st_mode & 0o777 == 0o600
    assert command.secret("SUPERSET_SECRET_KEY", file) == first
    monkeypatch.setenv("SUPERSET_SECRET_KEY", "mine")
    assert command.secret("SUPERSET_SECRET_KEY", file) == "mine" and file.read_text() == first


@contextmanager
def serving(home: Path, port: int) -> Iterator[str]:
    """Superset as a user starts it, in the environment of `make superset` or that of `SUPERSET_ENVIRONMENT`."""
    environment = os.environ.get("SUPERSET_ENVIRONMENT", command.ENVIRONMENT)
    arguments = ["-m", "infra.superset", "--home", str(home), "--port", str(port), "--environment", str(environment)]
    with subprocess.Popen([sys.executable, *arguments], start_new_session=True) as process:
        try:
            for _ in range(300):
                try:
                    urlopen(f"http://127.0.0.1:{port}/health", timeout=5)
                    break
                except OSError:
                    assert process.poll() is None
                    time.sleep(1)
            yield f"http://127.0.0.1:{port}/api/v1"
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def ask(url: str, token: str = "", content: Any = None) -> Any:
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    request = Request(url, headers=headers, data=None if content is None else json.dumps(content).encode())
    with urlopen(request, timeout=120) as answer:
        return json.load(answer)


@pytest.mark.slow
def test_superset_imports_the_dashboards_twice_and_answers_their_metrics(
    bundle: dict[str, dict[str, Any]], reference: Reference
) -> None:
    folder, found = reference.home / "superset", []
    for port in (18_088, 18_089):
        with serving(reference.home, port) as api, sqlite3.connect(folder / "superset.db") as metadata:
            found.append(
                [metadata.execute(f"select count(*) from {t}").fetchone()[0] for t in ("slices", "dashboards", "tables")]
            )
            login = {"username": "admin", "password": (folder / "admin_password").read_text(), "provider": "db"}
            token = ask(f"{api}/security/login", content=login)["access_token"]
            for dataset in ask(f"{api}/dataset/?q=(page_size:100)", token)["result"]:
                metrics = [m["metric_name"] for m in ask(f"{api}/dataset/{dataset['id']}", token)["result"]["metrics"]]
                query = {"datasource": {"id": dataset["id"], "type": "table"}, "queries": [{"metrics": metrics, "columns": []}]}
                [answer] = ask(f"{api}/chart/data", token, query)["result"]
                assert answer["rowcount"] == 1 and set(answer["data"][0]) == set(metrics), dataset["table_name"]
    charts, dashboards, datasets = (len(of_kind(bundle, kind)) for kind in ("charts", "dashboards", "datasets"))
    assert found == [[charts, dashboards, datasets]] * 2
