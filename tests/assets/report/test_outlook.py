"""`perps regimes` on a market with forecasts: what it prints is in the tables, of the last day and of a past one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
from typer.testing import CliRunner

from assets.cli import app
from assets.regimes.forecasts.plan import WARNING
from pipelines.settings import Settings
from tests.assets.report.conftest import write

AS_NEVER_LOADED = """
create table marts.daily_instruments (day date, base_asset varchar, funding_8h double);
create table marts.fct_references (period_end timestamp, base_asset varchar, metric varchar, value double);
alter table marts.daily_industry add column hhi_volume double; alter table marts.daily_industry add column dex_volume_share double
"""


def test_an_outlook_is_what_the_tables_have(marts: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    published = Settings(home=tmp_path).published
    published.mkdir(parents=True)
    with duckdb.connect(str(write(marts, published / "perplake.duckdb"))) as db:
        db.execute(AS_NEVER_LOADED)

    def outlook(*options: str) -> Any:
        ended = CliRunner().invoke(app, ["regimes", "BTC", *options, "--home", str(tmp_path)])
        assert ended.exit_code == 0, ended.output
        return json.loads(ended.output)[0] if "json" in options else ended.output

    [found] = [outlook("--format", "json")]
    labels, forecasts, scores = marts["regime_labels"], marts["regime_forecasts"], marts["regime_scorecard"]
    label = labels[labels["asset"] == "BTC"].sort_values("day").iloc[-1]
    assert (found["day"], found["label"], found["reasons"]) == (str(label["day"])[:10], label["label"], label["reasons"])
    target, method = WARNING
    of_day = forecasts[(forecasts["asset"] == "BTC") & (forecasts["day"] == label["day"])]
    warning = of_day[(of_day["target"] == target) & (of_day["method"] == method)]
    assert found["early_warning"]["probability"] in warning["probability"].to_list()
    score = scores[(scores["target"] == target) & (scores["method"] == method) & (scores["asset"] == "all")].iloc[0]
    assert found["early_warning"]["verdict"] == score["verdict"]
    printed = outlook()
    assert label["reasons"] in printed and f"[bold]{score['verdict']}" not in printed and score["verdict"] in printed
    then = outlook("--as-of", "2025-04-01", "--format", "json")
    assert then["day"] == "2025-04-01" and then["early_warning"]["target"] == target
