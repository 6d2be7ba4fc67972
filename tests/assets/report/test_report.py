"""The report: one page that loads nothing, whose numbers are those of the marts, and in which missing stays missing."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import numpy as np
import pandas as pd
import pytest

from assets.defs.landing import fetched_whole_check
from assets.report import page, regimes, series
from assets.report.outcomes import CheckOutcome, Severity
from assets.report.page import write_report
from assets.runtime.outcomes import check_outcomes
from pipelines.errors import VenueError
from pipelines.fetch import FetchResult

Marts = dict[str, pd.DataFrame]
Write = Callable[[Marts], Path]
WHEN = datetime(2025, 5, 1, 6, tzinfo=UTC)
GAP = pd.date_range("2025-04-01", "2025-04-07")
"""The days without open interest in the warehouse of `conftest`."""
HOSTILE = "</script><!--<script>alert(1)//"


def only(marts: Marts, *assets: str, origin: str | None = None) -> Marts:
    cut = {name: t[t.asset.isin([*assets, "MARKET"])] if "asset" in t else t for name, t in marts.items()}
    if origin:
        cut["scope"] = cut["scope"].assign(origin=origin, mode=f"{origin}:series")
        cut["daily_assets"] = cut["daily_assets"].assign(origin=origin)
    return cut


def checks_of_a_run() -> list[CheckOutcome]:
    """The checks of a run as Dagster records them: a warning, an error with its problems, and one that passed."""
    failures = [VenueError("kraken_futures", name, "HTTP 500", "again") for name in ("candles", "tickers")]
    results = [
        dg.AssetCheckResult(
            asset_key=["marts", "coverage_daily"],
            check_name="gaps",
            passed=False,
            severity=dg.AssetCheckSeverity.WARN,
            description="3 hours of <b>kraken</b> are missing",
        ),
        fetched_whole_check(FetchResult("kraken_futures", failures=failures)),
        fetched_whole_check(FetchResult("okx")),
    ]

    @dg.multi_asset_check(specs=[dg.AssetCheckSpec(r.check_name, asset=r.asset_key) for r in results])
    def checks() -> Iterator[dg.AssetCheckResult]:
        yield from results

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([checks], instance=instance, selection=dg.AssetSelection.all_asset_checks())
        return check_outcomes(instance, result.run_id)


@pytest.fixture(scope="module")
def warehouse(marts: Marts, write_warehouse: Write) -> Path:
    return write_warehouse(marts)


@pytest.fixture(scope="module")
def synthetic(warehouse: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_report(warehouse, tmp_path_factory.mktemp("synthetic"), checks_of_a_run(), generated_at=WHEN)


@pytest.fixture(scope="module")
def recorded(marts: Marts, write_warehouse: Write, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    warehouse = write_warehouse(only(marts, "BTC", origin="recorded"))
    return write_report(warehouse, tmp_path_factory.mktemp("recorded") / "new" / "folder", generated_at=WHEN)


class Page(HTMLParser):
    """The links, images, tags, ids, scripts and tables of a page; asserts that its elements close in order.

    `scripts` are the texts of script elements as a browser ends them, by their type; `tables` rows of cells by `data-name`.
    """

    VOID = frozenset({"meta", "img", "br", "link", "input", "hr", "rect"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.unnamed: list[dict[str, str | None]] = []
        self.scripts: dict[str, str] = {}
        self.tables: dict[str, list[list[str]]] = {}
        self.policy = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.ids += [given["id"] or ""] if "id" in given else []
        self.links += [str(given[name]) for name in ("href", "src", "srcset", "action", "data") if name in given]
        if (tag == "img" or given.get("role") == "img") and not (given.get("alt") or given.get("aria-label")):
            self.unnamed.append(given)
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""
        if tag == "script":
            self.script = given.get("type") or "script"
        if tag == "table":
            self.table = self.tables.setdefault(given["data-name"] or "", [])
        if tag == "tr":
            self.table.append([])
        if tag in ("td", "th"):
            self.table[-1].append("")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[self.script] = self.scripts.get(self.script, "") + data
        elif {"td", "th"} & set(self.open) and self.open[-1] != "title":
            self.table[-1][-1] += data


def read(report: dict[str, Any]) -> Page:
    return Page(report["html"].read_text(encoding="utf-8"))


def data_of(report: dict[str, Any]) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(read(report).scripts["application/json"], parse_constant=refuse)


def test_the_page_loads_nothing_and_runs_its_own_script_alone(synthetic: dict[str, Any]) -> None:
    shown = read(synthetic)
    assert not shown.open, "every element is closed"
    assert not {"link", "img", "iframe", "object", "embed", "base", "form"} & set(shown.tags) and shown.tags.count("script") == 2
    assert not [link for link in shown.links if not link.startswith("#")]
    assert {link[1:] for link in shown.links} <= set(shown.ids) | {"asset"} and not shown.unnamed
    digest = hashlib.sha256(shown.scripts["script"].encode()).digest()
    policy = dict(part.strip().split(" ", 1) for part in shown.policy.split(";"))
    assert policy.keys() == {"default-src", "script-src", "style-src"} and policy["default-src"] == "'none'"
    assert policy["script-src"] == f"'sha256-{page.b64encode(digest).decode()}'"
    # The one address is that of the library's home, in its first comment.
    html = synthetic["html"].read_text(encoding="utf-8")
    assert re.findall(r"https?:[^\s\"']*|@import|url\([^)]*\)", html) == ["https://github.com/leeoniya/uPlot"]
    assert "noscript" in shown.tags and "perps query" in html


def test_the_library_is_the_published_one() -> None:
    """Hashes of the files of uPlot 1.6.32 as the npm registry has them."""
    expected = {
        "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
        "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
        "LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
    }
    folder = Path(page.__file__).parent / "vendor"
    assert {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()} == expected


def test_texts_of_the_data_stay_texts(marts: Marts, write_warehouse: Write, tmp_path: Path) -> None:
    """Names, reasons and checks come from outside: none ends a script, opens a comment or makes an element."""
    named = {
        name: t.assign(asset=t["asset"].replace("SOL", HOSTILE)) if "asset" in t else t
        for name, t in only(marts, "BTC", "SOL").items()
    }
    named["regime_labels"] = named["regime_labels"].assign(reasons=HOSTILE)
    named["daily_asset_venues"] = named["daily_asset_venues"].replace({"venue": {"kraken": HOSTILE}})
    named["coverage_daily"] = named["coverage_daily"].replace({"venue": {"kraken": HOSTILE}})
    outcome = CheckOutcome(HOSTILE, "check", Severity.ERROR, False, HOSTILE)
    report = write_report(write_warehouse(named), tmp_path, [outcome])
    shown = read(report)
    assert shown.tags.count("script") == 2 and not shown.open and "<!--" not in report["html"].read_text(encoding="utf-8")
    data = data_of(report)
    assert HOSTILE in data["names"] and HOSTILE in data["cells"][HOSTILE] and data["reasons"]["BTC"][0]["reasons"] == HOSTILE
    assert shown.tables["checks"][1][0] == f"{HOSTILE}: check"


def test_the_numbers_of_the_page_are_those_of_the_marts(synthetic: dict[str, Any], warehouse: Path) -> None:
    """Each series against an own query of its mart, value by value; a day without a row or a value is null."""
    data = data_of(synthetic)
    compared = 0
    with duckdb.connect(str(warehouse), read_only=True) as db:
        for part, (table, keys, columns) in series.COLUMNS.items():
            rows = db.sql(f"select * replace (day::varchar as day) from marts.{table}").df().set_index(["day", *keys])
            names = rows.index.droplevel("day").unique() if keys else [()]
            for name in names:
                place = name if isinstance(name, tuple) else (name,)
                if part in ("labels", "liquidations") and name == "MARKET":
                    continue
                if part == "market_liquidations" and name != "MARKET":
                    continue
                found = data["market"] if part in ("market", "market_liquidations") else data[part]
                for key in place if part not in ("market", "market_liquidations") else ():
                    found = found[key]
                for column in columns:
                    values = rows[column] if not keys else rows[column].xs(place, level=list(keys))
                    values = values.reindex(data["days"])
                    shown = found.get(column) or [None] * len(data["days"])
                    assert len(shown) == len(values)
                    for want, got in zip(values, shown, strict=True):
                        compared += got is not None
                        if pd.isna(want):
                            assert got is None, (part, name, column)
                        elif isinstance(want, str):
                            assert data["texts"][got] == want
                        else:
                            assert got == pytest.approx(float(want), rel=5e-6), (part, name, column)
    assert compared > 30_000


def test_missing_is_null_and_never_zero(synthetic: dict[str, Any], marts: Marts) -> None:
    data = data_of(synthetic)
    interest = pd.Series(data["assets"]["BTC"]["oi_usd"], pd.DatetimeIndex(data["days"]), dtype=float)
    assert interest[GAP].isna().all() and (interest.drop(GAP) > 0).all()
    assert "funding_8h" not in data["cells"]["BTC"]["bybit"], "a series without any value is left out"
    known = marts["daily_assets"].query("asset == 'BTC'")["liq_long_usd"].notna().sum()
    assert sum(value is not None for value in data["liquidations"]["BTC"]["complete_long_usd"]) == known


def test_a_day_without_a_row_is_null(marts: Marts, write_warehouse: Write, tmp_path: Path) -> None:
    cut = {name: t[t["day"] != "2025-02-10"] if "day" in t else t for name, t in only(marts, "BTC").items()}
    data = data_of(write_report(write_warehouse(cut), tmp_path))
    close = data["assets"]["BTC"]["close"]
    assert len(close) == 120 and [data["days"][n] for n, value in enumerate(close) if value is None] == ["2025-02-10"]


def test_a_synthetic_report_is_marked(synthetic: dict[str, Any]) -> None:
    html = synthetic["html"].read_text(encoding="utf-8")
    assert synthetic["synthetic"] and html.index('class="synthetic"') < html.index("<h1>") and "<title>SYNTHETIC DATA" in html
    assert data_of(synthetic)["origin"] == "synthetic", "which every CSV has in its name and rows"


def test_one_synthetic_row_makes_the_report_synthetic(marts: Marts, write_warehouse: Write, tmp_path: Path) -> None:
    mixed = only(marts, "BTC", origin="recorded")
    mixed["daily_assets"] = mixed["daily_assets"].assign(origin=["synthetic"] + ["recorded"] * (len(mixed["daily_assets"]) - 1))
    assert write_report(write_warehouse(mixed), tmp_path)["synthetic"]


def test_a_recorded_report_names_its_mode_and_window(recorded: dict[str, Any]) -> None:
    html = recorded["html"].read_text(encoding="utf-8")
    assert not recorded["synthetic"] and "synthetic data" not in re.sub("<script.*?</script>", "", html, flags=re.DOTALL).lower()
    for text in ("<dt>Mode</dt><dd>recorded:series</dd>", "2025-01-01 to 2025-04-30", "2025-05-01 06:00 UTC", "warehouse.duckdb"):
        assert text in html
    assert "No results of checks were handed to this report." in html


def test_the_page_has_labels_reasons_and_failed_checks(synthetic: dict[str, Any], marts: Marts) -> None:
    assert synthetic["assets"][:2] == ["BTC", "ETH"] and len(synthetic["assets"]) == 5
    days = only(marts, "BTC")["regime_labels"].query("asset == 'BTC'").sort_values("day", ascending=False).head(14)
    shown = data_of(synthetic)["reasons"]["BTC"]
    assert [(row["day"], row["label"], row["reasons"]) for row in shown] == [
        (f"{row.day:%Y-%m-%d}", row.label, row.reasons) for row in days.itertuples()
    ]
    page = read(synthetic)
    html = synthetic["html"].read_text(encoding="utf-8")
    assert "3 hours of &lt;b&gt;kraken&lt;/b&gt; are missing" in html and "2 of 3 checks did not pass" in html
    rows = page.tables["checks"][1:]
    assert [row[:2] for row in rows] == [
        ["landing/kraken_futures: fetched_whole", "error"],
        ["marts/coverage_daily: gaps", "warning"],
    ]
    assert "candles: HTTP 500" in rows[0][2] and "tickers: HTTP 500" in rows[0][2] and "landing/okx" not in html


def test_coverage_is_summed_by_source_with_a_strip_a_day_wide(marts: Marts, write_warehouse: Write, tmp_path: Path) -> None:
    rows = [
        ("okx", "okx", 1, 24),
        ("okx", "okx", 2, 12),
        ("vendor", "okx", 2, 0),
        ("vendor", "gate", 1, 24),
        ("vendor", "gate", 2, 24),
    ]
    table = pd.DataFrame(
        {"source": s, "venue": v, "dataset": "candles", "day": pd.Timestamp(2025, 1, day), "expected": 24, "seen": seen}
        for s, v, day, seen in rows
    )
    cut = only(marts, "BTC") | {"coverage_daily": table.assign(comparable=table["seen"], coverage=table["seen"] / 24)}
    report = write_report(write_warehouse(cut), tmp_path)
    shown = [[cell.strip() for cell in row] for row in read(report).tables["coverage"]]
    assert [row[1:4] + row[5:7] + row[8:] for row in shown[1:]] == [
        ["gate", "vendor", "100.0\u00a0%", "48", "48", "0", "0"],
        ["okx", "okx", "75.0\u00a0%", "36", "48", "1", "0"],
        ["okx", "vendor", "0.0\u00a0%", "0", "24", "0", "1"],
    ]
    strips = re.findall(r"<svg.*?</svg>", report["html"].read_text(encoding="utf-8"))
    rects = [re.findall(r'<rect x="(\d+)" width="(\d+)" height="10" class="(\w+)"', strip) for strip in strips]
    assert rects == [[("0", "2", "l4")], [("0", "1", "l4"), ("1", "1", "l2")], [("0", "1", "none"), ("1", "1", "none")]]


def test_pages_of_older_versions_go(warehouse: Path, tmp_path: Path) -> None:
    for name in ("regimes.html", "claims.html", "report.png", "perplake.duckdb"):
        (tmp_path / name).write_text("old")
    write_report(warehouse, tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["perplake.duckdb", "report.html"]


def test_the_same_data_give_the_same_page_and_do_not_change_the_warehouse(
    marts: Marts, write_warehouse: Write, tmp_path: Path
) -> None:
    warehouse = write_warehouse(only(marts, "BTC", origin="recorded"))
    before = hashlib.sha256(warehouse.read_bytes()).hexdigest()
    with duckdb.connect(str(warehouse), read_only=True):
        first, again = (write_report(warehouse, tmp_path / name, generated_at=WHEN)["html"].read_bytes() for name in "ab")
    assert hashlib.sha256(warehouse.read_bytes()).hexdigest() == before
    assert first == again


def test_thirty_assets_of_fifteen_venues_stay_under_five_megabytes(write_warehouse: Write, marts: Marts, tmp_path: Path) -> None:
    """120 days of random digits, which nothing shortens; a longer window doesn't add to it."""
    report = write_report(many(write_warehouse(marts), assets=32, venues=15, days=120), tmp_path)
    data = data_of(report)
    assert report["bytes"] < 5e6 and len(data["names"]) == 30 and len(data["days"]) == 120
    assert len(data["cells"]["BTC"]["V7"]["volume_usd"]) == 120
    assert "2 more are in the tables" in report["html"].read_text(encoding="utf-8")


def many(path: Path, *, assets: int, venues: int, days: int) -> Path:
    """The warehouse with random numbers of so many assets, venues and days in the tables that the page holds by day."""
    keys = {
        "asset": f"(select if(range = 0, 'BTC', 'A' || range) as asset from range({assets}))",
        "venue": f"(select 'V' || range as venue from range({venues}))",
        "day": f"(select range::date as day from range(date '2025-01-01', date '2025-01-01' + {days}, interval 1 day))",
    }
    values = {"DOUBLE": "random() * 1e9", "VARCHAR": "'V1'"}
    with duckdb.connect(str(path)) as db:
        db.sql("select setseed(0.5)")
        for table in {table for table, *_ in series.COLUMNS.values()} - {"regime_labels"}:
            columns = db.sql(f"describe marts.{table}").df().set_index("column_name")["column_type"]
            sides = [keys[name] for name in columns.index if name in keys]
            drawn = [f"{values.get(kind, f'1::{kind}')} as {name}" for name, kind in columns.items() if name not in keys]
            db.sql(f"create or replace table marts.{table} as select *, {', '.join(drawn)} from {', '.join(sides)}")
    return path


def test_a_nearly_empty_warehouse_has_a_report(marts: Marts, write_warehouse: Write, tmp_path: Path) -> None:
    little = only(marts, "SOL", origin="live")
    for name in set(little) - {"daily_assets", "scope"}:
        little[name] = little[name][:0]
    little["daily_assets"] = little["daily_assets"][:1]
    html = write_report(write_warehouse(little), tmp_path)["html"].read_text(encoding="utf-8")
    for text in ("No regime labels in this warehouse", "There are no scores", "Coverage is unknown"):
        assert text in html


def test_an_empty_warehouse_is_refused_with_a_reason(marts: Marts, write_warehouse: Write, tmp_path: Path) -> None:
    empty = {name: table[:0] for name, table in marts.items()}
    with pytest.raises(ValueError, match="load a window first"):
        write_report(write_warehouse(empty), tmp_path)


def test_a_report_without_forecasts_names_the_option(marts: Marts, write_warehouse: Write, tmp_path: Path) -> None:
    without = {
        name: table
        for name, table in only(marts, "BTC").items()
        if not name.startswith("regime_") or name in ("regime_labels", "regime_posture")
    }
    assert "perps run --forecasts" in write_report(write_warehouse(without), tmp_path)["html"].read_text(encoding="utf-8")


def test_forecasts_events_and_false_alarms_agree_with_the_tables(marts: Marts, synthetic: dict[str, Any]) -> None:
    """Worked again from the tables by day: the probabilities before each event, and the flags without an event after them."""
    tables, data = read(synthetic).tables, data_of(synthetic)
    forecasts = (
        marts["regime_forecasts"].query("target == 'crash10' and method == 'logistic' and asset == 'BTC'").set_index("day")
    )
    shown = pd.Series(data["forecasts"]["BTC"]["warning_probability"], pd.DatetimeIndex(data["days"]), dtype=float)
    pd.testing.assert_series_equal(
        shown.dropna(),
        forecasts["probability"].sort_index(),
        atol=1e-4,
        check_names=False,
        check_freq=False,
        check_index_type=False,
    )
    events = marts["regime_events"].query("target == 'crash10' and asset == 'BTC'")
    assert len(events) and len(forecasts)
    rows = {(row[0], row[1]): row for row in tables["events"][1:]}
    for event in events.to_dict("records"):
        start = pd.Timestamp(event["started_on"])
        before = [forecasts["probability"].get(start - pd.Timedelta(days=days), np.nan) for days in (7, 3, 1)]
        assert rows["BTC", f"{start:%Y-%m-%d}"][5:8] == ["–" if np.isnan(v) else f"{v * 100:.1f}\u00a0%" for v in before]
    close, low = (marts["daily_assets"].query("asset == 'BTC'").set_index("day")[name] for name in ("close", "low"))
    flagged = [pd.Timestamp(day) for day in forecasts.index[forecasts["flag"].fillna(False).astype(bool)]]
    over = [day for day in flagged if day + pd.Timedelta(days=7) in close.index]
    false = [day for day in over if low[day + pd.Timedelta(days=1) : day + pd.Timedelta(days=7)].min() > 0.9 * close[day]]
    [counted] = [row for row in tables["false alarms"] if row[0] == "BTC"]
    assert int(counted[2]) == len(false) and int(counted[1]) >= len(over)


def test_the_scorecard_is_a_table_with_a_sentence_under_each_row(marts: Marts, synthetic: dict[str, Any]) -> None:
    tables = read(synthetic).tables
    [target] = [name.removeprefix("scorecard ") for name in tables if name.startswith("scorecard ")]
    scores = marts["regime_scorecard"].query("asset == 'all' and target == @target").sort_values("auroc", ascending=False)
    rows = tables[f"scorecard {target}"][1:]
    assert len(rows) == 2 * len(scores) and len(scores) > 3
    for row, said, score in zip(rows[::2], rows[1::2], scores.to_dict("records"), strict=True):
        assert row[0] == score["method"].replace("_", " ") and row[-1] == score["verdict"]
        assert row[1].startswith(f"{score['auroc']:.2f}") and said == [regimes.sentence(score)]


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.01, 0.2, "better than"),
        (-0.2, -0.01, "worse than"),
        (-0.1, 0.1, "no better and no worse than"),
        (np.nan, np.nan, "(chance: 50 %); its flags"),
        (0, 0, "(chance: 50 %); its flags"),
    ],
)
def test_the_sentence_of_a_score_says_what_its_interval_says(low: float, high: float, words: str) -> None:
    row = {
        "auroc": 0.684, "auroc_over_volatility": 0.02, "auroc_over_volatility_low": low, "auroc_over_volatility_high": high,
        "recall_events": 0.5, "events": 12, "false_alarms_per_year": 3.24, "verdict": "insufficient",
    }  # fmt: skip
    assert words in regimes.sentence(row) and regimes.sentence(row).endswith("; too few events to judge.")
    assert "in 68 % of pairs of days" in regimes.sentence(
        row
    ) and "before 50 % of 12 events, with 3.2 false alarms" in regimes.sentence(row)
    assert regimes.sentence({"auroc": np.nan}) == "Not scored: the target followed all days or none."
