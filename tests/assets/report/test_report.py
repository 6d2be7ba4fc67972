"""The report: pages without outside references, the origin of the data, gaps where data are missing."""

import hashlib
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import matplotlib.dates as mdates
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.patches import StepPatch

from assets.defs.landing import fetched_whole_check
from assets.report import figure
from assets.report.outcomes import CheckOutcome
from assets.report.page import PAGES, write_report
from assets.runtime.outcomes import check_outcomes
from pipelines.errors import VenueError
from pipelines.fetch import FetchResult

Marts = dict[str, pd.DataFrame]
Write = Callable[[Marts], Path]
WHEN = datetime(2025, 5, 1, 6, tzinfo=UTC)
GAP = pd.date_range("2025-04-01", "2025-04-07")
"""The days without open interest in the warehouse of `conftest`."""


def only(marts: Marts, *assets: str, origin: str | None = None) -> Marts:
    cut = {name: t[t.asset.isin(assets)] if "asset" in t else t for name, t in marts.items()}
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
def synthetic(marts: Marts, write_warehouse: Write, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("synthetic")
    return write_report(write_warehouse(marts), out, checks_of_a_run(), generated_at=WHEN)


@pytest.fixture(scope="module")
def recorded(marts: Marts, write_warehouse: Write, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    warehouse = write_warehouse(only(marts, "BTC", origin="recorded"))
    return write_report(warehouse, tmp_path_factory.mktemp("recorded") / "new" / "folder", generated_at=WHEN)


class Page(HTMLParser):
    """The links, images, tags and ids of a page; asserts that its elements close in order."""

    VOID = frozenset({"meta", "img", "br", "link", "input", "hr"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.ids += [given["id"] or ""] if "id" in given else []
        self.links += [str(given[name]) for name in ("href", "src", "srcset", "action", "data") if name in given]
        self.images += [given] if tag == "img" else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def panel(drawn: Any, title: str) -> Axes:
    return next(ax for ax in drawn.axes if ax.get_title(loc="left").startswith(title))


@pytest.mark.parametrize(("name", "images"), [("report.html", 4 + 2), ("regimes.html", 5 + 1), ("claims.html", 0)])
def test_a_page_refers_to_nothing_but_the_other_pages(synthetic: dict[str, Any], name: str, images: int) -> None:
    html = (synthetic["html"].parent / name).read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(", re.sub(r"base64,[^\"]+", "", html), re.IGNORECASE)
    page = Page(html)
    assert not page.open, "every element is closed"
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)
    others = {link for link in page.links if not link.startswith(("data:image/png;base64,", "#"))}
    assert others == set(PAGES) - {name} and all((synthetic["html"].parent / link).exists() for link in others)
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert len(page.images) == images and all(image["alt"] for image in page.images)
    assert "SYNTHETIC DATA" in html


def test_a_synthetic_report_is_marked_in_page_and_figures(synthetic: dict[str, Any], marts: Marts) -> None:
    html = synthetic["html"].read_text(encoding="utf-8")
    assert synthetic["synthetic"] and html.count("SYNTHETIC DATA") >= 2
    assert html.index('class="synthetic"') < html.index("<h1>")
    btc = only(marts, "BTC")
    for drawn in (
        figure.market("BTC", btc["daily_assets"], btc["regime_labels"], "caption", synthetic=True),
        figure.shares(marts["daily_venues"], "caption", synthetic=True),
        figure.coverage(marts["coverage_daily"], "caption", synthetic=True),
    ):
        assert [text.get_text() for text in drawn.texts].count("SYNTHETIC DATA") == 2, "badge and watermark"


def test_coverage_has_a_strip_for_each_venue_of_a_source_of_several() -> None:
    rows = [("okx", "okx"), ("vendor", "okx"), ("vendor", "gate")]
    table = pd.DataFrame(
        [{"source": s, "venue": v, "dataset": "candles", "day": pd.Timestamp(2025, 1, 1), "coverage": 1.0} for s, v in rows]
    )
    [axes] = figure.coverage(table, "caption", synthetic=False).axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert sorted(labels) == ["candles · okx", "candles · vendor, gate", "candles · vendor, okx"]


def test_one_synthetic_row_makes_the_report_synthetic(marts: Marts, write_warehouse: Write, tmp_path: Path) -> None:
    mixed = only(marts, "BTC", origin="recorded")
    mixed["daily_assets"] = mixed["daily_assets"].assign(origin=["synthetic"] + ["recorded"] * (len(mixed["daily_assets"]) - 1))
    assert write_report(write_warehouse(mixed), tmp_path)["synthetic"]


def test_a_recorded_report_names_its_mode_and_window(recorded: dict[str, Any]) -> None:
    html = recorded["html"].read_text(encoding="utf-8")
    assert not recorded["synthetic"] and "synthetic data" not in html.lower()
    for text in ("<dt>Mode</dt><dd>recorded:series</dd>", "2025-01-01 to 2025-04-30", "2025-05-01 06:00 UTC", "warehouse.duckdb"):
        assert text in html
    assert "No results of checks were handed to this report." in html


def test_the_page_shows_labels_reasons_and_failed_checks(synthetic: dict[str, Any], marts: Marts) -> None:
    html = synthetic["html"].read_text(encoding="utf-8").replace("\u00a0", " ")
    assert synthetic["assets"][:2] == ["BTC", "ETH"] and len(synthetic["assets"]) == 4
    days = only(marts, "BTC")["regime_labels"].sort_values("day").tail(14)
    for day in days.itertuples():
        assert f"{day.day:%Y-%m-%d}" in html
        assert day.reasons.replace("'", "&#39;") in html
    assert "3 hours of &lt;b&gt;kraken&lt;/b&gt; are missing" in html
    assert "2 of 3 checks did not pass" in html and "landing/okx" not in html
    rows = re.findall(r'<td class="d">(.*?)</td><td class="(.*?)">(.*?)</td><td>(.*?)</td>', html[html.index('id="checks"') :])
    assert [row[:3] for row in rows] == [
        ("landing/kraken_futures: fetched_whole", "error", "error"),
        ("marts/coverage_daily: gaps", "warn", "warning"),
    ]
    assert "candles: HTTP 500" in rows[0][3] and "tickers: HTTP 500" in rows[0][3]


def test_missing_days_are_gaps_not_zeros(marts: Marts) -> None:
    btc = only(marts, "BTC")
    drawn = figure.market("BTC", btc["daily_assets"], btc["regime_labels"], "caption", synthetic=False)
    line = panel(drawn, "Open interest").lines[0]
    days = pd.DatetimeIndex(pd.to_datetime(line.get_xdata())).normalize()
    interest = pd.Series(np.asarray(line.get_ydata(), float), days)
    assert interest[GAP].isna().all() and interest.drop(GAP).notna().all() and (interest.dropna() > 0).all()
    assert len(hatches(panel(drawn, "Open interest"))) == 1
    start, width = hatches(panel(drawn, "Open interest"))[0]
    assert mdates.num2date(start).date() == GAP[0].date() and width == len(GAP)

    liquidations = panel(drawn, "Liquidations")
    bars = [c for c in liquidations.containers if isinstance(c, BarContainer)]
    known = btc["daily_assets"].liq_long_usd.notna().sum()
    assert [len(c) for c in bars] == [known, known]
    assert all(bar.get_height() <= 0 for bar in bars[1]) and all(bar.get_height() >= 0 for bar in bars[0])


def test_a_day_without_a_row_is_a_gap(marts: Marts) -> None:
    btc = only(marts, "BTC")
    daily = btc["daily_assets"][btc["daily_assets"].day != "2025-02-10"]
    labels = btc["regime_labels"][btc["regime_labels"].day != "2025-02-10"]
    price = panel(figure.market("BTC", daily, labels, "caption", synthetic=False), "Price")
    assert np.isnan(np.asarray(price.lines[0].get_ydata(), float)).sum() == 1


def test_a_dataset_without_any_data_says_no_data(marts: Marts) -> None:
    btc = only(marts, "BTC")
    empty = btc["daily_assets"].assign(liq_long_usd=np.nan, liq_short_usd=np.nan, liq_venues=0, oi_usd=np.nan)
    drawn = figure.market("BTC", empty, btc["regime_labels"], "caption", synthetic=False)
    for title in ("Liquidations", "Open interest"):
        ax = panel(drawn, title)
        assert [text.get_text() for text in ax.texts] == ["no data"]
        assert not ax.lines and not ax.containers
    assert figure.png(drawn, dpi=40)


def test_shares_leave_out_days_that_no_venue_reported(marts: Marts) -> None:
    drawn = figure.shares(marts["daily_venues"], "caption", synthetic=False)
    for step in (p for p in panel(drawn, "Share of open interest").patches if isinstance(p, StepPatch)):
        values, edges, _ = step.get_data()
        unknown = pd.to_datetime(mdates.num2date(edges[:-1][np.isnan(values)])).tz_localize(None)
        assert list(unknown) == list(GAP)


def test_the_picture_is_a_valid_png(recorded: dict[str, Any]) -> None:
    data = recorded["png"].read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n") and data.rstrip().endswith(b"IEND\xaeB`\x82")
    width, height = struct.unpack(">II", data[16:24])
    assert width > 1200 and height > 1200 and len(data) > 50_000
    pixels = zlib.decompress(b"".join(chunk for kind, chunk in chunks(data) if kind == b"IDAT"))
    assert len(set(pixels)) > 100


def test_the_same_data_give_the_same_picture_and_do_not_change_the_warehouse(
    marts: Marts, write_warehouse: Write, recorded: dict[str, Any], tmp_path: Path
) -> None:
    warehouse = write_warehouse(only(marts, "BTC", origin="recorded"))
    before = hashlib.sha256(warehouse.read_bytes()).hexdigest()
    with duckdb.connect(str(warehouse), read_only=True):
        again = write_report(warehouse, tmp_path, generated_at=WHEN)
    assert hashlib.sha256(warehouse.read_bytes()).hexdigest() == before
    assert again["png"].read_bytes() == recorded["png"].read_bytes()


def test_a_nearly_empty_warehouse_has_a_report(marts: Marts, write_warehouse: Write, tmp_path: Path) -> None:
    little = only(marts, "SOL", origin="live")
    for name in ("regime_labels", "daily_venues", "coverage_daily"):
        little[name] = little[name][:0]
    little["daily_assets"] = little["daily_assets"][:1]
    html = write_report(write_warehouse(little), tmp_path)["html"].read_text(encoding="utf-8")
    for text in ("No regime labels in this warehouse", "No data by venue", "Coverage is unknown"):
        assert text in html


def test_an_empty_warehouse_is_refused_with_a_reason(marts: Marts, write_warehouse: Write, tmp_path: Path) -> None:
    empty = {name: table[:0] for name, table in marts.items()}
    with pytest.raises(ValueError, match="load a window first"):
        write_report(write_warehouse(empty), tmp_path)


def hatches(ax: Axes) -> list[tuple[float, float]]:
    """(start, width) in days of the hatched spans of a panel."""
    return [(patch.get_x(), patch.get_width()) for patch in ax.patches if patch.get_hatch()]


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """(type, content) of each chunk of a PNG."""
    parts, at = [], 8
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        parts.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += size + 12
    return parts


def test_a_report_without_forecasts_names_the_option(marts: Marts, write_warehouse: Write, tmp_path: Path) -> None:
    without = {
        name: table
        for name, table in only(marts, "BTC").items()
        if not name.startswith("regime_") or name in ("regime_labels", "regime_posture")
    }
    write_report(write_warehouse(without), tmp_path)
    html = (tmp_path / "regimes.html").read_text(encoding="utf-8")
    assert "perps run --forecasts" in html


def test_the_page_of_regimes_agrees_with_the_tables(marts: Marts, synthetic: dict[str, Any]) -> None:
    """Worked again from the tables by day: the probabilities before each event, and the flags without an event after them."""
    html = (synthetic["html"].parent / "regimes.html").read_text(encoding="utf-8")
    forecasts = (
        marts["regime_forecasts"].query("target == 'crash10' and method == 'logistic' and asset == 'BTC'").set_index("day")
    )
    events = marts["regime_events"].query("target == 'crash10' and asset == 'BTC'")
    assert len(events) and len(forecasts)
    for event in events.to_dict("records"):
        start = pd.Timestamp(event["started_on"])
        before = [forecasts["probability"].get(start - pd.Timedelta(days=days), np.nan) for days in (7, 3, 1)]
        shown = ["unknown" if np.isnan(value) else f"{value * 100:.1f} %" for value in before]
        row = re.search(rf"<tr><td>BTC</td><td class=\"d\">{start:%Y-%m-%d}</td>.*?</tr>", html)
        assert row and re.findall(r'<td class="n">([^<]*)</td>', row[0])[1:] == shown
    close, low = (marts["daily_assets"].query("asset == 'BTC'").set_index("day")[name] for name in ("close", "low"))
    flagged = [pd.Timestamp(day) for day in forecasts.index[forecasts["flag"].fillna(False).astype(bool)]]
    over = [day for day in flagged if day + pd.Timedelta(days=7) in close.index]
    false = [day for day in over if low[day + pd.Timedelta(days=1) : day + pd.Timedelta(days=7)].min() > 0.9 * close[day]]
    [counted] = re.findall(r"<li><b>BTC</b>: (\d+) of (\d+) flagged days", html)
    assert int(counted[0]) == len(false) and int(counted[1]) >= len(over)
