"""The layers of the dbt project: which layer a model may read, the record of each dataset, and that every column is described."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import duckdb
import yaml

from assets.defs.regimes import write_table
from assets.regimes.forecasts.schemas import empty
from assets.regimes.tables import TABLES
from pipelines.meta_tables import create_meta_tables
from pipelines.units import NAMED_IN, UNITS, described
from tests.dbt.conftest import PROJECT, Dbt

#: What the models of a layer may read: other layers, seeds, and sources.
ALLOWED = {
    "staging/meta": {"source meta"},
    "staging": {"raw", "seeds"},
    "intermediate": {"staging", "staging/meta", "intermediate", "seeds"},
    "marts": {"staging/meta", "intermediate", "marts", "seeds"},
}


def layer(node: Any) -> str:
    """The layer of a model, seed or source."""
    if node.resource_type == "source":
        return "raw" if node.schema == "raw" else f"source {node.source_name}"
    return "seeds" if node.resource_type == "seed" else "staging/meta" if "meta" in node.fqn else str(node.schema)


def test_each_layer_reads_only_the_layers_before_it(dbt: Dbt) -> None:
    nodes = {**dbt.manifest.nodes, **dbt.manifest.sources}
    models = [node for node in nodes.values() if node.resource_type == "model"]
    assert {layer(model) for model in models} == ALLOWED.keys()
    reads = [(model, nodes[key]) for model in models for key in model.depends_on.nodes]
    assert sorted(f"{m.name} reads {n.name}" for m, n in reads if layer(n) not in ALLOWED[layer(m)]) == []


def test_the_published_copy_has_all_marts(dbt: Dbt) -> None:
    marts = {key for key, node in dbt.manifest.nodes.items() if node.resource_type == "model" and node.schema == "marts"}
    exposure = dbt.manifest.exposures["exposure.perplake.published_copy"]
    assert {key for key in exposure.depends_on.nodes if key.startswith("model.")} == marts


def test_every_table_and_column_has_a_comment(models: Path) -> None:
    with duckdb.connect(str(models)) as connection:
        missing = connection.execute(
            "select schema_name, table_name, column_name from duckdb_columns() where comment is null"
            " union all select schema_name, table_name, null from duckdb_tables() where comment is null"
            " union all select schema_name, view_name, null from duckdb_views() where comment is null"
        ).fetchall()
    assert [row for row in missing if row[0] in ("staging", "intermediate", "marts")] == []


#: What a description says where a column has the unit.
WORDS = {
    "1": r"fraction|0 to 1|ratio|[Ss]hare|[Pp]robab|p-value|over|index|squared|[Vv]ariance|interval|less|leverage",
    "1 per 8 hours": r"8-hour equivalent|per 8 hours|funding",
    "1 per interval": r"per interval",
    "1 per year": r"annual|for a year",
    "1 per sqrt(year)": r"annualised|volatility",
    "USD": r"US dollars|USD|of both|of them|chained",
    "USD per coin": r"price .*US dollars",
    "quote": r"quote currency",
    "quote per coin": r"quote currency per whole coin",
    "coin": r"[Ww]hole coins",
    "count": r"[Nn]umber|[Hh]ow (many|often)|[Vv]enues|[Ii]nstruments|[Dd]ays|[Oo]bservations|[Hh]ours|"
    r"[Rr]ows|[Ff]rames|[Ee]vents|[Ss]ides|[Ss]ettlements|[Ll]iquidations|[Mm]ethods|[Vv]ersion|alarms|weeks|hashes|Those|most",
    "byte": r"Bytes",
    "second": r"Seconds|of the instrument",
    "hour": r"[Hh]ours",
    "day": r"[Dd]ays",
    "UTC": r"UTC|[Tt]ime|[Ww]hen|Start|End|clock",
    "UTC day": r"UTC|[Dd]ay|report",
    "as sent": r"in the venue's unit|in the same unit|[Ll]isted units",
}


def test_every_number_has_a_unit_that_its_description_agrees_with(models: Path) -> None:
    sql = "select table_name, column_name, data_type, comment from duckdb_columns() where schema_name in ('marts', 'meta')"
    with duckdb.connect(str(models)) as connection:
        columns = connection.execute(sql).fetchall()
    with duckdb.connect() as connection:
        connection.execute(f"create schema marts; {create_meta_tables()}")
        for name in TABLES:
            write_table(connection, name, empty(TABLES[name]))
        columns += connection.execute(sql).fetchall()
    wrong = []
    for table, column, kind, comment in columns:
        description, unit = described(comment, kind)
        if kind in ("VARCHAR", "BOOLEAN") or kind.endswith("[]") or column.startswith("_"):
            assert unit is None or column.startswith("_"), column
        elif unit and unit.startswith(NAMED_IN):
            wrong += [(table, column, unit)] * ((table, unit.removeprefix(NAMED_IN), "VARCHAR") not in {c[:3] for c in columns})
        elif not re.search(WORDS.get(unit, "$^") + "|in the feature's unit", description):
            wrong.append((table, column, f"{description} [{unit}]"))
    assert wrong == [], "\n".join(map(str, wrong))
    assert WORDS.keys() == UNITS.keys()


def test_each_dataset_names_its_mart_and_columns(models: Path) -> None:
    datasets = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]["datasets"]
    with duckdb.connect(str(models)) as connection:
        for name, dataset in datasets.items():
            sql = "select column_name, data_type from duckdb_columns() where schema_name = ? and table_name = ?"
            mart = dict(connection.execute(sql, ["marts", dataset["fact"]]).fetchall())
            assert {dataset["time"], dataset.get("stamp", dataset["time"]), *dataset["grain"]} <= mart.keys(), name
            union = dict(connection.execute(sql, ["intermediate", f"int_{name}"]).fetchall())
            assert {c: t.upper() for c, (t, _) in dataset["columns"].items()}.items() <= union.items(), name
