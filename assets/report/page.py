"""The report's page: read the marts, fill the templates, write `report.html`.

The page is one file: data, style, script and the charting library (`vendor/`: uPlot) are inside, so it can be mailed and opens
without a network; its content security policy lets it load nothing, and lets no script run but its own. `report.js` draws the
market and the assets from the JSON of `assets.report.series`; the tables on forecasts (`assets.report.regimes`), coverage,
checks and claims are HTML.

Alone: ``write_report(Path("perplake.duckdb"), Path("out"))``.
"""

import re
from base64 import b64encode
from collections.abc import Hashable, Iterable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from assets.regimes.thresholds import REGIMES
from assets.report import regimes
from assets.report.marts import Marts
from assets.report.outcomes import CheckOutcome

TABLE_DAYS = 14
_FOLDER = Path(__file__).parent
_OLD_PAGES = ("regimes.html", "claims.html", "report.png")
"""What older versions wrote beside the page; it would stay and grow stale."""


def write_report(
    db_path: Path, out_dir: Path, checks: Iterable[CheckOutcome] = (), *, generated_at: datetime | None = None
) -> dict[str, Any]:
    """Write `report.html` of the warehouse at `db_path` into `out_dir` (made if absent).

    `checks` are the run's checks; those that failed are shown, errors first. Returns what was written:
    `html` (path), `bytes`, `assets`, `days`, `synthetic`, `checks_failed`.
    """
    marts, checks = Marts.read(Path(db_path)), list(checks)
    failed = [check for check in checks if not check.passed]
    forecasts = regimes.backtests(marts)
    outcomes = regimes.outcomes_of(marts, forecasts)
    script = "\n".join(Path(_FOLDER, name).read_text(encoding="utf-8") for name in ("vendor/uPlot.iife.min.js", "report.js"))
    values = {
        "run": marts.run,
        "synthetic": marts.synthetic,
        "mode": marts.mode,
        "regimes": REGIMES,
        "assets_left_out": marts.extent[2] - len(marts.assets),
        "first": f"{marts.extent[0]}",
        "last": f"{marts.extent[1]}",
        "warehouse": str(db_path),
        "generated_at": generated_at or datetime.now(UTC),
        "coverage": _coverage(marts.coverage),
        "checks": checks,
        "failed": sorted(failed, key=lambda check: (not check.is_error, check.name)),
        "claims": marts.claims,
        "table_days": TABLE_DAYS,
        **regimes.context(marts, forecasts, outcomes),
        "data": {
            "origin": "synthetic" if marts.synthetic else marts.run["origin"],
            "synthetic": marts.synthetic,
            "regimes": {
                name: {"title": _name(name), "meaning": regime.meaning, "colour": regime.colour, "is_marked": bool(regime.rule)}
                for name, regime in REGIMES.items()
            },
            "reasons": _last_days(marts),
            **marts.series,
            **regimes.drawn(marts, forecasts, outcomes),
        },
        "style": Markup(
            "\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in ("vendor/uPlot.min.css", "report.css"))
        ),
        "script": Markup(script),
        "script_hash": b64encode(sha256(script.encode()).digest()).decode("ascii"),
    }
    out_dir.mkdir(parents=True, exist_ok=True)
    html = out_dir / "report.html"
    html.write_text(_environment().get_template("report.html.j2").render(values), encoding="utf-8", newline="")
    for name in _OLD_PAGES:
        (out_dir / name).unlink(missing_ok=True)
    return {
        "html": html,
        "bytes": html.stat().st_size,
        "assets": marts.assets,
        "days": int(marts.daily["day"].nunique()),
        "synthetic": marts.synthetic,
        "checks_failed": len(failed),
    }


def _last_days(marts: Marts) -> dict[str, list[dict[Hashable, Any]]]:
    """By asset the labels of the last `TABLE_DAYS` days with their reasons, newest first."""
    since = marts.daily["day"].max() - pd.Timedelta(days=TABLE_DAYS - 1)
    recent = marts.labels[(marts.labels["day"] >= since) & marts.labels["asset"].isin(marts.assets)]
    recent = recent.assign(day=recent["day"].dt.strftime("%Y-%m-%d")).sort_values("day", ascending=False)
    columns = ["day", "label", "confidence", "reasons"]
    return {str(asset): rows[columns].to_dict("records") for asset, rows in recent.groupby("asset")}


def _coverage(table: pd.DataFrame) -> list[dict[Hashable, Any]]:
    """By dataset, venue and source: observations expected and seen over the window, days with gaps and without any, `strip`."""
    keys = ["dataset", "venue", "source"]
    days = table.assign(
        short=(table["seen"] < table["expected"]) & (table["seen"] > 0), none=(table["seen"] == 0) & (table["expected"] > 0)
    )
    sums = days.groupby(keys)[["expected", "seen", "comparable", "short", "none"]].sum()
    sums["coverage"] = (sums["seen"] / sums["expected"]).where(sums["expected"] > 0)
    window = pd.date_range(table["day"].min(), table["day"].max()) if len(table) else pd.DatetimeIndex([])
    strips = {key: _strip(rows.set_index("day")["coverage"].reindex(window)) for key, rows in table.groupby(keys)}
    return sums.assign(strip=pd.Series(strips, sums.index, dtype=object)).reset_index().to_dict("records")


def _strip(coverage: pd.Series) -> list[dict[str, Any]]:
    """Runs of days of like coverage, for a strip a day wide each: `start`, `days`, `level` 0 to 4 or None, and a `text`."""
    level = (coverage * 4).apply(lambda share: share if pd.isna(share) else max(1, int(share)) if share > 0 else 0)
    runs = []
    for _, run in coverage.groupby(level.fillna(-1).ne(level.fillna(-1).shift()).cumsum()):
        own = level[run.index[0]]
        said = (
            "unknown" if pd.isna(own) else f"{run.min():.0%} to {run.max():.0%}" if run.min() < run.max() else f"{run.min():.0%}"
        )
        runs.append(
            {
                "start": (run.index[0] - coverage.index[0]).days,
                "days": len(run),
                "level": None if pd.isna(own) else int(own),
                "text": f"{run.index[0]:%Y-%m-%d} to {run.index[-1]:%Y-%m-%d}: {said}".replace("%", " %"),
            }
        )
    return runs


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # `tojson` writes <, > and & as escapes, so that no text of the data ends the script element or opens a comment in it.
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    environment.filters |= {
        "date": lambda moment: f"{pd.Timestamp(moment):%Y-%m-%d}",
        "minute": lambda moment: f"{pd.Timestamp(moment):%Y-%m-%d %H:%M} UTC",
        "score": lambda number: "–" if pd.isna(number) else f"{round(number, 2) + 0.0:.2f}",  # without a minus before zero
        "sentence": _sentence,
        "name": _name,
        "whole": lambda number: "–" if pd.isna(number) else f"{number:.0f}",
        "percent": lambda share: "–" if pd.isna(share) else f"{share * 100:.1f}\u00a0%",
        "count": lambda number: f"{int(number):,}",
        "raw": lambda value: "" if pd.isna(value) else value,
    }
    return environment


def _sentence(text: str) -> Markup:
    """Text as HTML with a capital at its start, a full stop at its end, and `code` in backticks."""
    escaped = str(escape(text[0].upper() + text[1:]))
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", escaped) + ".")


def _name(name: str) -> str:
    return name.replace("_", " ")
