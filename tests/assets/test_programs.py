"""Programs and agents on what a whole run has published: their numbers are those of the marts.

The expected numbers are asked of the published file by DuckDB alone, or computed from its Parquet files by pandas.
"""

from __future__ import annotations

import asyncio
import csv
import json
import os
import re
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from math import nan
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import duckdb
import pandas as pd
import pytest
from mcp import Client, StdioServerParameters
from typer.testing import CliRunner

import perplake
from assets.cli import app
from docs import generate
from perplake import server
from perplake.lake import Lake
from pipelines import __version__
from pipelines.settings import Settings
from tests.whole import ROOT, Reference, published


def ask(home: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(published(home)), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def test_the_examples_of_the_page_on_python_run(
    reference: Reference, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PERPLAKE_HOME", str(reference.home))
    page = (ROOT / "docs/python.md").read_text()
    names: dict[str, Any] = {}
    exec(compile("\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL)), "docs/python.md", "exec"), names)
    charged = {row.venue: row.paid_by_longs for row in names["charged"].itertuples()}
    btc = ask(reference.home, "select venue, settled_at, rate_interval from marts.fct_funding_rates where base_asset = 'BTC'")
    since = max(at for _, at, _ in btc) - timedelta(days=2)
    expected: dict[str, float] = defaultdict(float)
    for venue, at, rate in btc:
        expected[venue] += rate if at >= since else 0
    assert charged == pytest.approx(expected) and len(charged) == 4
    assert len(names["daily"]) == ask(reference.home, "select count(*) from marts.daily_assets")[0][0]
    assert names["daily"].attrs["columns"]["oi_usd"].startswith("Open interest at the day's end, one side, US dollars")
    assert names["daily"].attrs["units"]["funding_8h"] == "1 per 8 hours"
    assert ask(reference.home, "select count(*) from meta.published where run <> ''") == [(1,)]
    assert "the response, byte for byte" in capsys.readouterr().out


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(script, marks=[pytest.mark.slow] if n else [], id=script.stem)
        for n, script in enumerate(sorted(generate.NOTEBOOKS.glob("*.py")))
    ],
)
def test_each_notebook_runs_and_says_that_the_market_is_synthetic(
    script: Path, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERPLAKE_HOME", str(reference.home))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    page, pictures = generate.notebook(script, execute=True)
    prose, outputs = page.split("```python", 1)
    assert "**synthetic market**" in prose and "Without outputs" not in page and "Error" not in page
    assert pictures and all(picture.startswith(b"\x89PNG") and f"({name})" in outputs for name, picture in pictures.items())
    assert set(re.findall(r"^import (\w+)", script.read_text(), re.MULTILINE)) <= {"perplake", "pandas", "numpy", "matplotlib"}


def test_what_venues_have_of_assets_sums_to_both_and_differs_as_their_pairs_do(reference: Reference) -> None:
    """`daily_asset_venues` beside the marts that sum or subtract the same numbers on another way; null where they are null."""
    sums = """
        with parts as (select day, {key}, sum({measure}) as measure from marts.daily_asset_venues where {which} group by all),
        pairs as (select p.measure, t.{total} as total from parts as p inner join marts.{table} as t using (day, {key}))
        select count(*), count(measure),
            bool_and(measure is not distinct from total or abs(measure - total) <= 1e-9 * total)
        from pairs
    """
    for table, key, which, measures in (
        ("daily_venues", "venue", "true", {"volume_usd": "volume_usd", "oi_usd": "oi_usd"}),
        ("daily_assets", "asset", "true", {"volume_usd": "volume_usd", "oi_usd": "oi_usd", "liq_long_usd": "liq_long_usd"}),
        ("daily_liquidations", "asset", "liq_is_complete", {"liq_short_usd": "complete_short_usd"}),
    ):
        for measure, total in measures.items():
            [(days, known, are_equal)] = ask(
                reference.home, sums.format(table=table, key=key, which=which, measure=measure, total=total)
            )
            assert days >= known > 0 and are_equal, (table, measure)
    [(pairs, spread, charged_)] = ask(
        reference.home,
        """
        select count(p.spread_8h), max(abs(p.spread_8h - s.funding_8h + l.funding_8h)),
            count(*) filter ((p.charged is not distinct from s.funding_charged - l.funding_charged) is not true)
        from marts.daily_funding_pairs as p
        left join marts.daily_asset_venues as l on (p.day, p.asset, p.long_venue) = (l.day, l.asset, l.venue)
        left join marts.daily_asset_venues as s on (p.day, p.asset, p.short_venue) = (s.day, s.asset, s.venue)
        """,
    )
    assert pairs > 0 and spread < 1e-15 and charged_ == 0


Frames = Callable[[str], pd.DataFrame]


def charged(mart: Frames) -> pd.DataFrame:
    rates = mart("fct_funding_rates").groupby(["venue", "base_asset"], as_index=False)["rate_interval"]
    return rates.agg(charged="sum", settlements="size")


def earned(mart: Frames) -> pd.DataFrame:
    pairs = mart("daily_funding_pairs").groupby(["asset", "long_venue", "short_venue"])["charged"]
    return pd.DataFrame({"earned": pairs.sum(min_count=1), "days": pairs.count()}).reset_index()


def open_interest(mart: Frames) -> pd.DataFrame:
    rows = mart("daily_venues").dropna(subset="oi_usd").sort_values(["day", "venue"])
    return rows.assign(oi_share=rows["oi_usd"] / rows.groupby("day")["oi_usd"].transform("sum"))[
        ["day", "venue", "oi_usd", "oi_share"]
    ]


def liquidated(mart: Frames) -> pd.DataFrame:
    rows = mart("daily_liquidations")
    columns = (
        "complete_long_usd complete_short_usd complete_venues lower_bound_long_usd lower_bound_short_usd venues_total".split()
    )
    return rows[rows["asset"] != "MARKET"].sort_values(["day", "asset"])[["day", "asset", *columns]]


def concentration(mart: Frames) -> pd.DataFrame:
    volumes = mart("daily_venues").pivot(index="day", columns="venue", values="volume_usd")
    shares = volumes.div(volumes.sum(axis=1), axis=0)
    top = shares.apply(lambda row: row.nlargest(3).sum(), axis=1)
    return pd.DataFrame({"hhi_volume": (shares**2).sum(axis=1), "top3_volume_share": top}).reset_index()


def decentralised(mart: Frames) -> pd.DataFrame:
    rows = mart("daily_venues").merge(mart("dim_venues")[["venue", "kind"]])
    whole, dex = (each.groupby("day")[["volume_usd", "oi_usd"]].sum() for each in (rows, rows[rows["kind"] == "dex"]))
    return (dex / whole).rename(columns={"volume_usd": "dex_volume_share", "oi_usd": "dex_oi_share"}).reset_index()


def basis(mart: Frames) -> pd.DataFrame:
    """Mean over the venues of what closes are over the index, as the mart has it."""
    return mart("daily_assets").sort_values(["day", "asset"])[["day", "asset", "basis"]]


def after_regimes(mart: Frames) -> pd.DataFrame:
    rows = mart("daily_assets").merge(mart("regime_labels")[["day", "asset", "label"]]).sort_values("day")
    rows["next"] = rows.groupby("asset")["close"].shift(-1) / rows["close"] - 1
    return rows.groupby("label", as_index=False)["next"].agg(days="count", mean_return="mean")


def by_month(mart: Frames) -> pd.DataFrame:
    rows = mart("daily_venues").groupby("day", as_index=False)["volume_usd"].sum()
    return (
        rows.groupby(rows["day"].astype(str).str[:7].rename("month"))["volume_usd"]
        .agg(volume_usd="sum", days="size")
        .reset_index()
    )


def yesterday(mart: Frames) -> pd.DataFrame:
    rows = mart("daily_assets").merge(mart("regime_labels")[["day", "asset", "label"]])
    columns = "asset close volume_usd oi_usd funding_8h label".split()
    return rows[rows["day"] == rows["day"].max()].sort_values("asset")[columns]


#: How the answers to the questions in `docs/agents.md` are computed from Parquet by pandas, in their order.
ANSWERS = (
    charged, earned, open_interest, liquidated, concentration, decentralised, basis, after_regimes, by_month, yesterday
)  # fmt: skip


def same(rows: list[dict[str, Any]], expected: pd.DataFrame) -> None:
    assert rows and [list(row) for row in rows] == len(expected) * [list(expected)]
    for column in expected:
        answers = [row[column] for row in rows]
        if pd.api.types.is_numeric_dtype(expected[column]):
            numbers = [nan if answer is None else answer for answer in answers]
            assert numbers == pytest.approx(expected[column].to_list(), rel=1e-12, nan_ok=True), column
        else:
            assert answers == expected[column].astype(str).to_list(), column


QUESTIONS = re.findall(r"^## (\d+)\..*?```sql\n(.*?)```", (ROOT / "docs/questions.md").read_text(), re.DOTALL | re.MULTILINE)


def test_the_twelve_questions_are_answered_by_one_query_each(reference: Reference) -> None:
    """Forward returns, months, doubts and yesterday are computed again from the daily tables by pandas."""
    lake = perplake.open(reference.home)
    answers = {int(number): lake.sql(sql) for number, sql in QUESTIONS}
    assert list(answers) == list(range(1, 13)) and not [number for number, answer in answers.items() if answer.empty]
    daily, labels = lake.table("daily_assets"), lake.table("regime_labels")
    close, volume = (daily.pivot(index="day", columns="asset", values=name) for name in ("close", "volume_usd"))
    returns = close / close.shift() - 1
    weights = volume.expanding().mean().shift()
    returns["MARKET"] = (returns * weights).sum(axis=1) / weights.sum(axis=1).replace(0, nan)
    after = returns.shift(-1).stack().rename("next").reset_index()
    expected = labels.merge(after).groupby(["asset", "label"])["next"].agg(["count", "mean"])
    found = answers[8].set_index(["asset", "label"])
    assert set(found.index.get_level_values("asset")) == {"BTC", "ETH", "MARKET"}
    for key, row in expected.iterrows():
        assert (found.loc[key, "days"], found.loc[key, "mean_return"]) == pytest.approx(tuple(row), rel=1e-9)
    [month] = answers[9].to_dict("records")
    assert (month["days"], month["days_of_period"], month["is_whole"]) == (3, 30, False)
    assert month["volume_usd"] == pytest.approx(volume.to_numpy().sum()) and "3 of 30 days" in month["volume_trust"]
    doubts = answers[10].groupby("number").size().to_dict()
    # All hours of open interest are there, the last day's funding isn't settled at the clock, and some liquidations are listed.
    assert doubts.keys() == {"funding_trust", "liquidations_trust"} and doubts["funding_trust"] == 2
    assert doubts["liquidations_trust"] == ((daily["coverage_liquidations"] < 1) | daily["liq_long_usd"].isna()).sum()
    yesterday = answers[12].set_index("asset")
    spreads = lake.sql("from daily_funding_spreads where day = (select max(day) from daily_assets)").set_index("asset")
    assert yesterday["close"].drop("MARKET").to_dict() == close.iloc[-1].to_dict()
    assert yesterday.loc["MARKET", "volume_usd"] == pytest.approx(volume.iloc[-1].sum())
    assert yesterday["highest_funding_venue"].drop("MARKET").to_dict() == spreads["highest_funding_venue"].to_dict()
    last = labels[labels["day"] == labels["day"].max()].set_index("asset")["label"]
    assert yesterday["label"].to_dict() == last.to_dict()
    rate = answers[11].iloc[0]
    steps = lake.explain("fct_funding_rates", rate["instrument_id"], rate["settled_at"])
    assert steps[0].content["raw_rate"] == rate["raw_rate"]


def test_weeks_and_months_are_sums_of_the_days(reference: Reference) -> None:
    lake = perplake.open(reference.home)
    for table, key in {"assets": ["asset"], "venues": ["venue"], "industry": []}.items():
        days = lake.table(f"daily_{table}").sort_values("day")
        for period, code in {"week": "W-SUN", "month": "M"}.items():
            days[period] = pd.to_datetime(days["day"]).dt.to_period(code).dt.start_time
            rows = lake.table(f"{period}ly_{table}").set_index([period, *key])
            expected = days.groupby([period, *key]).agg(volume_usd=("volume_usd", "sum"), days=("day", "size"))
            expected = expected.join(
                days.groupby([period, *key]).agg(funding_8h=("funding_8h", "mean"), oi_usd=("oi_usd", "last"))
            )
            pd.testing.assert_frame_equal(rows[list(expected)].sort_index(), expected, check_index_type=False, check_names=False)


def test_posture_and_signals_are_known_after_their_day(reference: Reference) -> None:
    """The posture reads bars alone, known a minute after the day; other numbers wait two days for Hyperliquid's archive."""
    lake = perplake.open(reference.home)
    postures, last = lake.table("regime_posture"), lake.table("market_last_day")
    assert set(postures["known_at"] - pd.to_datetime(postures["day"])) == {timedelta(days=1, minutes=1)}
    wait = last["known_at"] - pd.to_datetime(last["day"])
    assert len(wait) and (wait > timedelta(days=2)).all() and (wait <= timedelta(days=1 + 2)).all()
    assert len(postures) == len(lake.table("regime_labels"))
    assert [signal.key for signal in lake.signals()] == lake.table("regime_signals")["key"].tolist()


def test_an_agent_answers_an_analysts_questions_with_the_numbers_of_the_marts(reference: Reference) -> None:
    parquet = published(reference.home).parent / "parquet"
    mart = cache(lambda name: pd.read_parquet(parquet / f"{name}.parquet"))
    questions = re.findall(r"```sql\n(.*?)```", (ROOT / "docs/agents.md").read_text(), re.DOTALL)
    assert len(questions) == len(ANSWERS) == 10

    async def ask_all() -> None:
        command = ["-m", "assets.cli", "mcp", "--home", str(reference.home)]
        async with Client(StdioServerParameters(command=sys.executable, args=command, cwd=ROOT)) as agent:

            async def call(tool: str, **given: Any) -> dict[str, Any]:
                answer = await agent.call_tool(tool, given)
                assert not answer.is_error and answer.structured_content, answer.content
                assert (answer.structured_content["origin"], answer.structured_content["stale"]) == ("synthetic", None)
                return answer.structured_content

            for sql, answer in zip(questions, ANSWERS, strict=True):
                found = await call("query", sql=sql, rows=1000)
                same(found["rows"], answer(mart))
                assert not found["truncated"]
            assert (await call("query", sql="from fct_candles", rows=5))["truncated"]
            assert (await call("tables"))["tables"].keys() >= {"daily_assets", "regime_labels"}
            assert (await call("describe", table="daily_assets"))["columns"]["oi_usd"]["unit"] == "USD"
            seen = mart("coverage_daily").groupby(["dataset", "source"])["seen"].sum()
            rows = (await call("coverage"))["coverage"]
            assert {(row["dataset"], row["source"]): row["seen"] for row in rows} == seen.to_dict()
            rate = mart("fct_funding_rates").iloc[0]
            steps = (
                await call("explain", fact="fct_funding_rates", instrument_id=rate["instrument_id"], at=str(rate["settled_at"]))
            )["steps"]
            assert steps[0]["raw_rate"] == rate["raw_rate"] and steps[-1]["title"] == "the response, byte for byte"
            labels = mart("regime_labels").sort_values(["asset", "day"])
            before = labels.groupby("asset")["label"].shift()
            changed = labels[before.notna() & (labels["label"] != before)]
            keys = {f"{row.asset}:{row.day}:{row.label}" for row in changed.itertuples()}
            found = await call("signals")
            assert {signal["key"] for signal in found["signals"]} == keys
            for sql, says in {
                "from enable_logging(storage = 'file')": "enable_logging: a query only reads the published copy",
                "selec": "syntax error",
            }.items():
                refused = await agent.call_tool("query", {"sql": sql})
                assert refused.is_error and says in refused.content[0].text

    asyncio.run(ask_all())


def test_no_answer_to_an_agent_takes_or_is_too_long(reference: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    [(instrument, at)] = ask(
        reference.home, "select instrument_id, settled_at::varchar from marts.fct_funding_rates order by all limit 1"
    )
    asked = {
        "explain": {"fact": "fct_funding_rates", "instrument_id": instrument, "at": at},
        "query": {"sql": "select count(*) from range(1000000000000)"},
    }

    async def refusals(*tools: str) -> list[str]:
        async with Client(server.server(Lake(Settings(home=reference.home)))) as agent:
            answers = [await agent.call_tool(tool, asked[tool]) for tool in tools]
        return [answer.content[0].text for answer in answers if answer.is_error]

    with monkeypatch.context() as short:
        short.setattr(server, "CHARACTERS", 100)
        [text] = asyncio.run(refusals("explain"))
        assert "more than 100: ask for fewer" in text
    monkeypatch.setattr(server, "SECONDS", 0.001)
    assert len([text for text in asyncio.run(refusals("explain", "query")) if "took" in text]) == 2


def test_agents_come_over_http_on_loopback_and_no_stranger_does(reference: Reference) -> None:
    command = [sys.executable, "-m", "assets.cli", "mcp", "--http", "--port", "0", "--home", str(reference.home)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stdout
            [url] = re.findall(r"http://127\.0\.0\.1:\d+/mcp", serving.stdout.readline())

            async def list_tools() -> set[str]:
                async with Client(url) as agent:
                    return {tool.name for tool in (await agent.list_tools()).tools}

            assert asyncio.run(list_tools()) == {"tables", "describe", "query", "explain", "coverage", "signals"}
            for header in ({"Host": "attacker.example"}, {"Origin": "http://attacker.example"}):
                with pytest.raises(HTTPError, match="403"):
                    urlopen(Request(url, data=b"{}", headers=header))
        finally:
            serving.terminate()


def test_ctrl_c_ends_the_server_of_an_agent_that_says_nothing(reference: Reference) -> None:
    asked = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "agent", "version": "1"}}
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": asked}
    command = [sys.executable, "-m", "assets.cli", "mcp", "--home", str(reference.home)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, preexec_fn=_hear_interrupts, **pipes) as serving:
        try:
            assert serving.stdin and serving.stdout and serving.stderr
            print(json.dumps(hello), file=serving.stdin, flush=True)
            assert json.loads(serving.stdout.readline())["result"]["serverInfo"]["name"] == "perplake"
            serving.send_signal(signal.SIGINT)
            assert (serving.wait(60), serving.stderr.read().split()) == (130, ["stopped"])
        finally:
            serving.kill()


def _hear_interrupts() -> None:
    """In the child: a shell has ignored Ctrl-C for tests in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


#: The commands that read; of `explain` the row is looked up.
READING = ("status", "gaps", "venues", "regimes BTC", "watch", "explain", "query|from daily_assets order by all")


@pytest.mark.parametrize("command", READING)
def test_every_reading_command_speaks_csv_and_json(command: str, reference: Reference) -> None:
    arguments = command.split("|" if "|" in command else None)
    if command == "explain":
        [(instrument, at, rate)] = ask(
            reference.home, "select instrument_id, settled_at, raw_rate from marts.fct_funding_rates order by all limit 1"
        )
        arguments += ["fct_funding_rates", instrument, f"{at:%Y-%m-%dT%H:%M}"]
    printed = {}
    for format in ("csv", "json"):
        ended = CliRunner().invoke(app, [*arguments, "--format", format, "--home", str(reference.home)])
        assert ended.exit_code in ((0, 3, 4, 5) if command == "watch" else (0,)), ended.output
        printed[format] = ended.output
    header, *rows = csv.reader(printed["csv"].splitlines())
    assert {len(row) for row in rows} <= {len(header)}
    found = json.loads(printed["json"], parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    match command:
        case "status":
            assert [list(row) for row in found["datasets"]] == len(rows) * [header] and found["runs"] and found["scope"]
            facts = "select count(*) from marts.fct_candles"
            assert [(sum(row["rows"] for row in found["datasets"] if row["dataset"] == "candles"),)] == ask(reference.home, facts)
        case "explain":
            assert found[0]["raw_rate"] == rate and {row[0] for row in rows} == {step["title"] for step in found}
        case _:
            assert (len(found) == len(rows) and all(list(row) == header for row in found)) or command.startswith("regimes")
    if command.startswith("query"):
        expected = ask(reference.home, "from marts.daily_assets order by all")
        assert [list(row.values())[2:9] for row in found] == [list(row)[2:9] for row in expected]


@pytest.mark.parametrize(("command", "whole"), [("venues", "binance_usdm"), ("gaps", "liquidations")])
def test_a_narrow_terminal_breaks_no_word(command: str, whole: str, reference: Reference) -> None:
    process = [sys.executable, "-m", "assets.cli", command, "--home", str(reference.home)]
    ended = subprocess.run(process, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "COLUMNS": "40"})
    assert ended.returncode == 0 and whole in ended.stdout, ended.stderr


@pytest.mark.parametrize("command", ["venues", "watch --json", "query|from range(100000)|--format|json"])
def test_a_reader_that_leaves_is_no_error(command: str, reference: Reference) -> None:
    arguments = command.split("|" if "|" in command else None)
    left, output = os.pipe()
    os.close(left)
    process = [sys.executable, "-m", "assets.cli", *arguments, "--home", str(reference.home)]
    ended = subprocess.run(process, cwd=ROOT, stdout=output, stderr=subprocess.PIPE, text=True)
    os.close(output)
    assert (ended.returncode in (0, 3, 4, 5) if "watch" in command else ended.returncode == 0) and ended.stderr == ""


def test_the_version_is_an_option_too() -> None:
    assert CliRunner().invoke(app, ["--version"]).output == f"{__version__}\n"
