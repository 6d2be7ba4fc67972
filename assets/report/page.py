"""The report's pages: read the marts, draw the figures, fill the templates, write the pages and `report.png`.

`report.html` shows the market, `regimes.html` the forecasts and their skill (`assets.report.regimes`), `claims.html` common
claims about the market and whether the data support them. Style and pictures are inside a page, which refers to nothing but
the other pages, so it can be mailed and opens without a network.

Alone: ``write_report(Path("perplake.duckdb"), Path("out"))``.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Hashable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from assets.regimes.thresholds import REGIMES
from assets.report import figure, regimes
from assets.report.marts import Marts
from assets.report.outcomes import CheckOutcome

PAGES = {"report.html": "Market", "regimes.html": "Regimes, risk and warnings", "claims.html": "Claims"}
TABLE_DAYS = 14


def write_report(
    db_path: Path, out_dir: Path, checks: Iterable[CheckOutcome] = (), *, generated_at: datetime | None = None
) -> dict[str, Any]:
    """Write the `PAGES` and `report.png` of the warehouse at `db_path` into `out_dir` (made if absent).

    `checks` are the run's checks; those that failed are shown, errors first. Returns what was written:
    `html` and `png` (paths), `assets`, `days`, `synthetic`, `checks_failed`.
    """
    marts, checks = Marts.read(Path(db_path)), list(checks)
    failed = [check for check in checks if not check.passed]
    caption = f"{marts.mode} · {_date(marts.run['window_start'])} to {_date(marts.run['window_end'])}"
    figures = {
        asset: figure.market(
            asset, _rows_of(marts.daily, asset), _rows_of(marts.labels, asset), caption, synthetic=marts.synthetic
        )
        for asset in marts.assets
    }
    pictures = {asset: figure.png(drawn) for asset, drawn in figures.items()}

    out_dir.mkdir(parents=True, exist_ok=True)
    html, png = out_dir / "report.html", out_dir / "report.png"
    png.write_bytes(pictures[marts.assets[0]])
    shared = {
        "run": marts.run,
        "synthetic": marts.synthetic,
        "mode": marts.mode,
        "pages": PAGES,
        "regimes": REGIMES,
    }
    by_page: dict[str, dict[str, Any]] = {
        "report.html": {
            "table_days": TABLE_DAYS,
            "warehouse": str(db_path),
            "generated_at": generated_at or datetime.now(UTC),
            "pictures": pictures,
            "shares": _picture(figure.shares, marts.venues, caption, marts),
            "coverage_picture": _picture(figure.coverage, marts.coverage, caption, marts),
            "last_days": _last_days(marts),
            "coverage": _coverage(marts.coverage),
            "checks": checks,
            "failed": sorted(failed, key=lambda check: (not check.is_error, check.name)),
        },
        "regimes.html": regimes.context(marts, caption),
        "claims.html": {"claims": marts.claims},
    }
    environment = _environment()
    for page, values in by_page.items():
        template = environment.get_template(f"{page}.j2")
        (out_dir / page).write_text(template.render(**shared, **values, page=page), encoding="utf-8")
    return {
        "html": html,
        "png": png,
        "assets": marts.assets,
        "days": int(marts.daily["day"].nunique()),
        "synthetic": marts.synthetic,
        "checks_failed": len(failed),
    }


def _rows_of(table: pd.DataFrame, asset: str) -> pd.DataFrame:
    return table[table["asset"] == asset]


def _picture(draw: Callable[..., Figure], table: pd.DataFrame, caption: str, marts: Marts) -> bytes | None:
    return None if table.empty else figure.png(draw(table, caption, synthetic=marts.synthetic))


def _last_days(marts: Marts) -> dict[str, list[dict[Hashable, Any]]]:
    """By asset the labels of the last `TABLE_DAYS` days, newest first, reasons as a list (units joined to their numbers)."""
    since = marts.daily["day"].max() - pd.Timedelta(days=TABLE_DAYS - 1)
    recent = marts.labels[marts.labels["day"] >= since].sort_values("day", ascending=False)
    unbroken = recent["reasons"].str.replace(r"(?<=[\d.]) (?=%|h\b)", "\u00a0", regex=True)
    recent = recent.assign(reasons=unbroken.str.split("; "))
    return {asset: _rows_of(recent, asset).to_dict("records") for asset in marts.assets}


def _coverage(table: pd.DataFrame) -> list[dict[Hashable, Any]]:
    """By dataset and venue: observations expected and seen, days with gaps and days without any, over the window."""
    days = table.assign(
        short=(table["seen"] < table["expected"]) & (table["seen"] > 0), none=(table["seen"] == 0) & (table["expected"] > 0)
    )
    summed = days.groupby(["dataset", "venue"], as_index=False).agg(
        expected=("expected", "sum"), seen=("seen", "sum"), short=("short", "sum"), none=("none", "sum")
    )
    summed["coverage"] = (summed["seen"] / summed["expected"]).where(summed["expected"] > 0)
    return summed.to_dict("records")


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "date": _date,
        "minute": lambda moment: f"{pd.Timestamp(moment):%Y-%m-%d %H:%M} UTC",
        "base64": lambda data: b64encode(data).decode("ascii"),
        "score": lambda number: "–" if pd.isna(number) else f"{round(number, 2) + 0.0:.2f}",  # without a minus before zero
        "sentence": _sentence,
        "whole": lambda number: "–" if pd.isna(number) else f"{number:.0f}",
        "percent": lambda share: "unknown" if pd.isna(share) else f"{share * 100:.1f} %",
        "count": lambda number: f"{int(number):,}".replace(",", "\u202f"),
    }
    return environment


def _sentence(text: str) -> Markup:
    """Text as HTML with a capital at its start, a full stop at its end, and `code` in backticks."""
    escaped = str(escape(text[0].upper() + text[1:]))
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", escaped) + ".")


def _date(moment: Any) -> str:
    return f"{pd.Timestamp(moment):%Y-%m-%d}"
