"""The report page: reads the marts, has the figures drawn, fills the template, writes `report.html` and `report.png`.

Alone: ``write_report(Path("perplake.duckdb"), Path("out"))``. The page holds its style and pictures inside itself and
refers to nothing outside, so it can be mailed and opens without a network.
"""

from base64 import b64encode
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

from assets.regimes.forecasts import plan, schemas
from assets.report import claims, figure
from assets.report.claims import Answer

MAX_ASSETS = 4
TABLE_DAYS = 14
_FIRST_ASSETS = ("BTC", "ETH")

REGIME_MEANINGS = {
    "cascade": "a violent fall or rise with forced closing: liquidations, or a collapse of open interest",
    "stress": "very high volatility or a deep fall, without evidence of forced closing",
    "deleveraging": "open interest falling over several days",
    "crowded long": "funding and leverage high while volatility is not: many pay to stay long",
    "crowded short": "funding far below zero and leverage high while volatility is not: many pay to stay short",
    "quiet": "low volatility and funding near zero",
    "neutral": "no rule met",
}


@dataclass(frozen=True)
class Marts:
    """The tables that a report is made of, days as naive UTC midnights."""

    run: dict[Hashable, Any]
    daily: pd.DataFrame
    labels: pd.DataFrame
    venues: pd.DataFrame
    coverage: pd.DataFrame
    forecasts: pd.DataFrame
    events: pd.DataFrame
    scorecard: pd.DataFrame
    claims: list[Answer]

    @classmethod
    def read(cls, db_path: Path) -> "Marts":
        """Read `marts` of a DuckDB file, opened read only; `ValueError` when there is nothing to report on."""
        with duckdb.connect(str(db_path), read_only=True) as db:
            run, daily, labels, venues, coverage = (
                db.sql(f"select * from {table}").df()
                for table in (
                    "meta.run_info",
                    "marts.daily_markets",
                    "marts.regime_labels",
                    "marts.daily_venues",
                    "marts.coverage_daily",
                )
            )
            forecasts, events, scorecard = (_if_made(db, name) for name in ("forecasts", "events", "scorecard"))
            said = [] if run["origin"].eq("synthetic").any() else claims.answers(db)
        if run.empty or daily.empty:
            raise ValueError(f"{db_path}: meta.run_info or marts.daily_markets is empty; load a window first")
        return cls(run.iloc[-1].to_dict(), daily, labels, venues, coverage, forecasts, events, scorecard, said)

    @property
    def synthetic(self) -> bool:
        """Whether any of the rows, or the run, is synthetic."""
        return self.run["origin"] == "synthetic" or bool(self.daily["origin"].eq("synthetic").any())

    @property
    def source(self) -> str:
        """The source's name, with the origin before it where the name doesn't say it."""
        origin, source = self.run["origin"], self.run["source"]
        return source if source.startswith(origin) else f"{origin}: {source}"

    @property
    def assets(self) -> list[str]:
        """BTC and ETH where they are, then the assets of most volume, `MAX_ASSETS` at most."""
        by_volume = self.daily.groupby("asset")["volume_usd"].sum().sort_values(ascending=False).index
        first = [asset for asset in _FIRST_ASSETS if asset in by_volume]
        return (first + [asset for asset in by_volume if asset not in first])[:MAX_ASSETS]


def _if_made(db: duckdb.DuckDBPyConnection, name: str) -> pd.DataFrame:
    """A table of forecasts; without rows where no run has made any."""
    made = db.execute(
        "select 1 from duckdb_tables() where schema_name = 'marts' and table_name = ?", [f"regime_{name}"]
    ).fetchone()
    return db.sql(f"select * from marts.regime_{name}").df() if made else schemas.empty(getattr(schemas, name.upper()))


def write_report(
    db_path: Path, out_dir: Path, checks: Iterable[Mapping[str, Any]] = (), *, generated_at: datetime | None = None
) -> dict[str, Any]:
    """Write `report.html` and `report.png` of the warehouse at `db_path` into `out_dir` (made if absent).

    `checks` are the run's checks, each with `name`, `severity` ("warn" or "error"), `passed` and `reason`; those that did not
    pass are shown. Returns what was written: `html` and `png` (paths), `assets`, `days`, `synthetic`, `checks_failed`.
    """
    marts, checks = Marts.read(Path(db_path)), list(checks)
    failed = [check for check in checks if not check["passed"]]
    caption = f"{marts.source} · {_date(marts.run['window_start'])} to {_date(marts.run['window_end'])}"
    figures = {
        asset: figure.market(asset, _of(marts.daily, asset), _of(marts.labels, asset), caption, synthetic=marts.synthetic)
        for asset in marts.assets
    }
    pictures = {asset: figure.png(drawn) for asset, drawn in figures.items()}

    out_dir.mkdir(parents=True, exist_ok=True)
    html, png = out_dir / "report.html", out_dir / "report.png"
    png.write_bytes(pictures[marts.assets[0]])
    html.write_text(
        _environment()
        .get_template("template.html.j2")
        .render(
            run=marts.run,
            synthetic=marts.synthetic,
            source=marts.source,
            table_days=TABLE_DAYS,
            warehouse=str(db_path),
            generated_at=generated_at or datetime.now(UTC),
            pictures=pictures,
            shares=_picture_of(figure.shares, marts.venues, caption, marts),
            coverage_picture=_picture_of(figure.coverage, marts.coverage, caption, marts),
            regimes=_last_days(marts),
            outlook=_outlook(marts),
            scorecard=_scorecard(marts),
            events=_events(marts),
            wolf=_cried_wolf(marts),
            enough=plan.ENOUGH_EVENTS,
            claims=marts.claims,
            coverage=_coverage(marts.coverage),
            checks=checks,
            failed=sorted(failed, key=lambda check: (check["severity"] != "error", check["name"])),
            colours=figure.REGIME_COLOURS,
            meanings=REGIME_MEANINGS,
        ),
        encoding="utf-8",
    )
    return {
        "html": html,
        "png": png,
        "assets": marts.assets,
        "days": int(marts.daily["day"].nunique()),
        "synthetic": marts.synthetic,
        "checks_failed": len(failed),
    }


def _of(table: pd.DataFrame, asset: str) -> pd.DataFrame:
    return table[table["asset"] == asset]


def _picture_of(draw: Callable[..., Figure], table: pd.DataFrame, caption: str, marts: Marts) -> bytes | None:
    return None if table.empty else figure.png(draw(table, caption, synthetic=marts.synthetic))


def _last_days(marts: Marts) -> dict[str, list[dict[Hashable, Any]]]:
    """Asset to its labels of the last `TABLE_DAYS` days, newest first, reasons as a list (a unit stays beside its number)."""
    since = marts.daily["day"].max() - pd.Timedelta(days=TABLE_DAYS - 1)
    recent = marts.labels[marts.labels["day"] >= since].sort_values("day", ascending=False)
    unbroken = recent["reasons"].str.replace(r"(?<=[\d.]) (?=%|h\b)", "\u00a0", regex=True)
    recent = recent.assign(reasons=unbroken.str.split("; "))
    return {asset: _of(recent, asset).to_dict("records") for asset in marts.assets}


def _said(marts: Marts, target: str, method: str) -> pd.DataFrame:
    rows = marts.forecasts
    return rows[(rows["target"] == target) & (rows["method"] == method) & (rows["basis"] == "backtest")]


def _outlook(marts: Marts) -> list[dict[Hashable, Any]]:
    """Per asset the last day's label, and what the methods in `plan` say of the coming week against their own past year."""
    last = marts.labels.sort_values("day").groupby("asset", as_index=False).last()
    for name, (target, method) in {"risk": plan.RISK, "warning": plan.WARNING}.items():
        said = _said(marts, target, method).sort_values("day")
        rank = said.groupby("asset")["probability"].transform(lambda p: p.rolling(365, min_periods=30).rank(pct=True))
        said = said.assign(rank=rank)[["asset", "day", "probability", "flag", "rank"]]
        last = last.merge(said.add_prefix(f"{name}_").rename(columns={f"{name}_asset": "asset", f"{name}_day": "day"}), "left")
    return [last[last["asset"] == asset].iloc[0].to_dict() for asset in marts.assets if (last["asset"] == asset).any()]


def _scorecard(marts: Marts) -> list[dict[Hashable, Any]]:
    """The pooled rows, by target and then by AUROC."""
    rows = marts.scorecard[marts.scorecard["asset"] == "all"]
    return rows.sort_values(["target", "auroc"], ascending=[True, False]).to_dict("records")


def _events(marts: Marts) -> list[dict[Hashable, Any]]:
    """Every event of the warning's target, with the probability that was given 1, 3 and 7 days before; the newest first."""
    target, method = plan.WARNING
    said = _said(marts, target, method).set_index(["asset", "day"])["probability"]
    rows = marts.events[marts.events["target"] == target].sort_values("started_on", ascending=False)
    for days in (1, 3, 7):
        at = pd.MultiIndex.from_arrays([rows["asset"], rows["started_on"] - pd.Timedelta(days=days)])
        rows = rows.assign(**{f"before_{days}": said.reindex(at).to_numpy()})
    return rows[rows["asset"].isin(marts.assets)].to_dict("records")


def _cried_wolf(marts: Marts) -> list[dict[str, Any]]:
    """The warning's flags whose week brought no such low: per asset how many of those that are over, and the last of them."""
    target, method = plan.WARNING
    flagged = _said(marts, target, method)
    flagged = flagged[flagged["flag"].fillna(False).astype(bool)]
    made = []
    for asset in marts.assets:
        days = _of(marts.daily, asset).set_index("day").sort_index().asfreq("D")
        ahead = pd.concat([days["low"].shift(-n) for n in range(1, plan.HORIZON_DAYS + 1)], axis=1)
        came = ahead.le(days["close"] * (1 - (plan.TARGETS[target].depth or 0)), axis=0).any(axis=1)
        over = came | ahead.notna().all(axis=1)
        at = pd.DatetimeIndex(_of(flagged, asset)["day"])
        at = at[over.reindex(at).fillna(False).to_numpy(bool)]
        false = at[~came.reindex(at).to_numpy(bool)].sort_values(ascending=False)
        made.append({"asset": asset, "flags": len(at), "false": len(false), "last": [_date(day) for day in false[:10]]})
    return made


def _coverage(table: pd.DataFrame) -> list[dict[Hashable, Any]]:
    """Per dataset and venue over the window: days, observations expected and seen, the days with gaps and without any."""
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
        "score": lambda number: "–" if pd.isna(number) else f"{number:.2f}",
        "percent": lambda share: "unknown" if pd.isna(share) else f"{share * 100:.1f} %",
        "count": lambda number: f"{int(number):,}".replace(",", "\u202f"),
    }
    return environment


def _date(moment: Any) -> str:
    return f"{pd.Timestamp(moment):%Y-%m-%d}"
