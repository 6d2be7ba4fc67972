"""Dashboards in the YAML files that Superset imports, made of `dashboards.yml`, dbt's metrics, and the published file.

    dashboards.yml, metrics of the manifest, columns of perplake.duckdb ──► databases/, datasets/, charts/, dashboards/

UUIDs are made of names, so a second import replaces what the first one made. Superset's users see descriptions and units: a
column's is its comment in the published file, a metric's that of the dbt project.

Alone: ``python -m infra.superset --bundle FOLDER``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import duckdb
import yaml

HERE = Path(__file__).parent
DATABASE = "perplake"
#: SQL of dbt's aggregations.
AGGREGATIONS = {"sum": "sum({})", "average": "avg({})", "count_distinct": "count(distinct {})"}
#: How a number is written (d3-format, or Superset's own), by the unit of its metric.
FORMATS = {"USD": "SMART_NUMBER", "share": ".1%", "rate": ".4%", "price": ",.4r", "number": ",.3r", "rows": ",d"}
#: A chart's type in Superset, and its height in units of 8 pixels, by the key of `dashboards.yml` that says what it draws.
KINDS = {
    "number": ("big_number", 18),
    "line": ("echarts_timeseries_line", 42),
    "area": ("echarts_area", 42),
    "bar": ("echarts_timeseries_bar", 42),
    "bars": ("echarts_timeseries_bar", 42),
    "heatmap": ("heatmap_v2", 42),
    "table": ("table", 44),
    "list": ("table", 44),
}
COLUMNS_OF_A_ROW = 12
CURRENCY = {"symbol": "USD", "symbolPosition": "prefix"}


@dataclass(frozen=True)
class Metric:
    """A metric as SQL on one mart, with its label, its description and its unit (a key of `FORMATS`)."""

    name: str
    label: str
    description: str
    sql: str
    unit: str


def metrics(manifest: Mapping[str, Any]) -> dict[str, list[Metric]]:
    """The metrics of dbt's semantic layer that have a unit, by mart: sums and means of its columns, and ratios of two of them."""
    measures: dict[str, tuple[str, str]] = {}
    for model in manifest["semantic_models"].values():
        for measure in model["measures"]:
            measures[measure["name"]] = (model["node_relation"]["alias"], AGGREGATIONS[measure["agg"]].format(measure["expr"]))
    found: dict[str, list[Metric]] = {}
    for metric in manifest["metrics"].values():
        if not metric["config"]["meta"]:
            continue  # the parts of a ratio
        parts = [measures[measure["name"]] for measure in metric["type_params"]["input_measures"]]
        sql = " / nullif(".join(sql for _, sql in parts) + ", 0)" * (len(parts) - 1)
        about = (metric["name"], metric["label"], metric["description"], sql, metric["config"]["meta"]["unit"])
        found.setdefault(parts[0][0], []).append(Metric(*about))
    return found


def described() -> dict[str, Any]:
    """What `dashboards.yml` says."""
    content: dict[str, Any] = yaml.safe_load((HERE / "dashboards.yml").read_text())
    return content


def uuid(*names: str) -> str:
    return str(uuid5(NAMESPACE_URL, "/".join(("perplake", *names))))


def bundle(published: Path, manifest: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The files to import, by path. Raises `ValueError` where a chart names a column, a metric or a table that there is not."""
    content, of_mart = described(), metrics(manifest)
    charts = [chart for board in content["dashboards"].values() for row in board["rows"] for chart in row]
    with duckdb.connect(str(published), read_only=True) as db:
        datasets = {name: _dataset(db, name, content["views"].get(name), of_mart) for name in sorted({c["of"] for c in charts})}
    files = {
        "metadata.yaml": {"version": "1.0.0", "type": "assets"},
        f"databases/{DATABASE}.yaml": _database(published),
        **{f"datasets/{DATABASE}/{name}.yaml": dataset for name, dataset in datasets.items()},
    }
    for slug, board in content["dashboards"].items():
        for chart in (chart for row in board["rows"] for chart in row):
            name = f"{slug}/{chart['title']}"
            files[f"charts/{uuid(name)}.yaml"] = _chart(name, chart, datasets[chart["of"]])
        files[f"dashboards/{slug}.yaml"] = _dashboard(slug, board, datasets)
    return files


def write(files: Mapping[str, Mapping[str, Any]], folder: Path) -> None:
    """Write the files, also as a user could import them by hand."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=130))


def _database(published: Path) -> dict[str, Any]:
    """The published file, opened anew for each query (Superset keeps no pool of connections), in UTC; it reads no other file."""
    # The zone needs icu, which is in DuckDB's wheel, and has to be set once that is loaded: duckdb-engine does so with settings
    # whose names it doesn't know, and in small letters it doesn't know this one.
    config = {"timezone": "UTC", "enable_external_access": "false"}
    arguments = {"read_only": True, "preload_extensions": ["icu"], "config": config}
    return {
        "database_name": DATABASE,
        "sqlalchemy_uri": f"duckdb:///{published.resolve()}",
        "expose_in_sqllab": True,
        "allow_dml": False,
        "extra": {"engine_params": {"connect_args": arguments}},
        "uuid": uuid("database"),
        "version": "1.0.0",
    }


def _dataset(
    db: duckdb.DuckDBPyConnection, name: str, view: Mapping[str, str] | None, of_mart: Mapping[str, list[Metric]]
) -> dict[str, Any]:
    schema, _, table = (view["of"] if view else name).rpartition(".")
    at = [schema or "marts", table]
    columns = db.execute(
        "SELECT column_name, data_type, comment FROM duckdb_columns() WHERE schema_name = ? AND table_name = ? "
        "ORDER BY column_index",
        at,
    ).fetchall()
    if not columns:
        raise ValueError(f"dashboards.yml names {table!r}, which the published file has not: `perps run` publishes it again")
    sql = "SELECT comment FROM duckdb_tables() WHERE schema_name = ? AND table_name = ?"
    (about,) = db.execute(sql, at).fetchall()[0]
    dated = [column for column, kind, _ in columns if kind in ("DATE", "TIMESTAMP")]
    is_mart = at[0] == "marts"  # what a run says of itself is of no day, so that the filter of days leaves it there
    of_rows = Metric("count", "Rows", "Number of rows.", "count(*)", "rows")
    return {
        "table_name": name if view else table,
        "main_dttm_col": dated[0] if dated and is_mart else None,
        "description": f"{about} Only rows with {view['where']}." if view else about,
        "schema": at[0],
        "sql": f'select * from {at[0]}."{table}" where {view["where"]}' if view else None,
        "uuid": uuid("dataset", name),
        "database_uuid": uuid("database"),
        "version": "1.0.0",
        "metrics": [
            {
                "metric_name": metric.name,
                "verbose_name": metric.label,
                "expression": metric.sql,
                "description": metric.description,
                "d3format": FORMATS[metric.unit],
                "currency": CURRENCY if metric.unit == "USD" else None,
            }
            for metric in (*of_mart.get(table, []), of_rows)
        ],
        "columns": [
            {
                "column_name": column,
                "type": kind,
                "is_dttm": column in dated,
                "groupby": True,
                "filterable": True,
                "description": comment,
            }
            for column, kind, comment in columns
        ],
    }


def _chart(name: str, chart: Mapping[str, Any], dataset: Mapping[str, Any]) -> dict[str, Any]:
    (kind,) = (kind for kind in KINDS if kind in chart)
    drawn = chart[kind] if isinstance(chart[kind], list) else [chart[kind]]
    by = chart.get("by", [])
    by = by if isinstance(by, list) else [by]
    columns = {column["column_name"] for column in dataset["columns"]}
    metrics_of_it = {metric["metric_name"]: metric for metric in dataset["metrics"]}
    if (
        unknown := {*by, *drawn} - columns - set(metrics_of_it)
        if kind == "list"
        else {*by} - columns | {*drawn} - set(metrics_of_it)
    ):
        raise ValueError(f"{name}: {chart['of']} has no {', '.join(sorted(unknown))}")
    first = metrics_of_it.get(drawn[0], {})
    return {
        "slice_name": chart["title"],
        "description": " ".join(
            f"{metrics_of_it[m]['verbose_name']}: {metrics_of_it[m]['description']}" for m in drawn if kind != "list"
        ),
        "viz_type": KINDS[kind][0],
        "params": {
            "viz_type": KINDS[kind][0],
            **_drawing(kind, drawn, by, dataset, chart.get("bounds", 1)),
            **({} if kind == "list" else {"y_axis_format": first["d3format"], "currency_format": first["currency"]}),
        },
        "uuid": uuid("chart", name),
        "dataset_uuid": dataset["uuid"],
        "version": "1.0.0",
    }


def _drawing(kind: str, drawn: list[str], by: list[str], dataset: Mapping[str, Any], bounds: float) -> dict[str, Any]:
    """A chart's settings, without those that are Superset's defaults. The colours of a heat map end at ± `bounds`."""
    day = dataset["main_dttm_col"]
    by_day = {"x_axis": day, "time_grain_sqla": "P1D", "x_axis_time_format": "%Y-%m-%d", "row_limit": 50_000}
    if kind == "number":
        return {**by_day, "metric": drawn[0], "show_trend_line": True, "time_format": "%Y-%m-%d", "start_y_axis_at_zero": False}
    if kind == "heatmap":
        colours = {"linear_color_scheme": "purple_white_green", "normalize_across": "heatmap", "legend_type": "continuous"}
        sorts = {"sort_x_axis": "alpha_asc", "sort_y_axis": "alpha_desc", "xscale_interval": -1, "yscale_interval": -1}
        ends = {"value_bounds": [-bounds, bounds], "show_legend": True, "bottom_margin": 25}
        return {**by_day, **colours, **sorts, **ends, "metric": drawn[0], "groupby": by[0]}
    if kind == "list":
        kinds = {column["column_name"]: column["type"] for column in dataset["columns"]}
        written = {name: {"d3NumberFormat": FORMATS["number"]} for name in drawn if kinds[name] == "DOUBLE"}
        dated: dict[str, Any] = {"order_by_cols": [json.dumps([day, False])]} if day in drawn else {}  # the newest first
        if kinds.get(day) == "DATE":
            dated["table_timestamp_format"] = "%Y-%m-%d"
        raw = {"query_mode": "raw", "all_columns": drawn, "row_limit": 1000, "show_cell_bars": False}
        return {**raw, **dated, "column_config": written}
    if kind == "table":
        sorting = {"order_desc": True, "timeseries_limit_metric": drawn[0]}
        return {**sorting, "query_mode": "aggregate", "groupby": by, "metrics": drawn, "row_limit": 100, "show_cell_bars": False}
    series = {
        "metrics": drawn,
        "show_legend": True,
        "legendType": "scroll",
        "rich_tooltip": True,
        "truncateYAxis": kind == "line",
    }
    if kind == "bars":
        return {
            **series,
            "x_axis": by[0],
            "x_axis_sort": drawn[0],
            "x_axis_sort_asc": False,
            "groupby": [],
            "orientation": "vertical",
        }
    stacked = {"stack": "Stack"} if kind in ("area", "bar") else {}
    return {
        **by_day,
        **series,
        **stacked,
        "groupby": by,
        "limit": 12,
        "timeseries_limit_metric": drawn[0],
        "markerEnabled": False,
    }


def _dashboard(slug: str, board: Mapping[str, Any], datasets: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    names = {chart["of"] for row in board["rows"] for chart in row}
    by_asset = next(d for name, d in datasets.items() if name in names and any(c["column_name"] == "asset" for c in d["columns"]))
    return {
        "dashboard_title": board["title"],
        "description": board["about"],
        "slug": slug,
        "uuid": uuid("dashboard", slug),
        "position": dict(_position(slug, board)),
        "metadata": {
            "native_filter_configuration": [
                _filter("Days", "filter_time", [{}]),
                _filter("Asset", "filter_select", [{"datasetUuid": by_asset["uuid"], "column": {"name": "asset"}}]),
            ],
            "cross_filters_enabled": True,
            "refresh_frequency": 300,
        },
        "published": True,
        "version": "1.0.0",
    }


def _filter(name: str, kind: str, targets: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": f"NATIVE_FILTER-{name}",
        "name": name,
        "filterType": kind,
        "type": "NATIVE_FILTER",
        "targets": targets,
        "controlValues": {"multiSelect": True, "enableEmptyFilter": False},
        "defaultDataMask": {"extraFormData": {}, "filterState": {}},
        "cascadeParentIds": [],
        "scope": {"rootPath": ["ROOT_ID"], "excluded": []},
    }


def _position(slug: str, board: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Superset's tree of rows and charts: the text about the dashboard, then each row with its charts of one width."""
    rows = ["ROW-about", *(f"ROW-{n}" for n in range(len(board["rows"])))]
    yield "DASHBOARD_VERSION_KEY", "v2"
    yield "ROOT_ID", {"type": "ROOT", "id": "ROOT_ID", "children": ["GRID_ID"]}
    yield "HEADER_ID", {"type": "HEADER", "id": "HEADER_ID", "meta": {"text": board["title"]}}
    yield "GRID_ID", {"type": "GRID", "id": "GRID_ID", "children": rows, "parents": ["ROOT_ID"]}
    text = {"type": "MARKDOWN", "id": "MARKDOWN-about", "children": [], "parents": ["ROOT_ID", "GRID_ID", "ROW-about"]}
    yield "ROW-about", _row("ROW-about", ["MARKDOWN-about"])
    yield "MARKDOWN-about", {**text, "meta": {"code": board["about"], "width": COLUMNS_OF_A_ROW, "height": 8}}
    for n, row in enumerate(board["rows"]):
        ids = [f"CHART-{uuid('chart', slug + '/' + chart['title'])}" for chart in row]
        yield f"ROW-{n}", _row(f"ROW-{n}", ids)
        for place, (chart, name) in enumerate(zip(row, ids, strict=True)):
            height = chart.get("height") or max(KINDS[kind][1] for kind in KINDS if kind in chart)
            width = COLUMNS_OF_A_ROW // len(row) + (place < COLUMNS_OF_A_ROW % len(row))
            meta = {
                "uuid": name.removeprefix("CHART-"),
                "sliceName": chart["title"],
                "width": width,
                "height": height,
                "chartId": 0,
            }
            yield name, {"type": "CHART", "id": name, "children": [], "parents": ["ROOT_ID", "GRID_ID", f"ROW-{n}"], "meta": meta}


def _row(name: str, children: list[str]) -> dict[str, Any]:
    background = {"background": "BACKGROUND_TRANSPARENT"}
    return {"type": "ROW", "id": name, "children": children, "parents": ["ROOT_ID", "GRID_ID"], "meta": background}
