"""The layers of the dbt project: which layer a model may read, the record of each dataset, and that every column is described."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import yaml

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


def test_every_table_and_column_has_a_comment(models: Path) -> None:
    with duckdb.connect(str(models)) as connection:
        missing = connection.execute(
            "select schema_name, table_name, column_name from duckdb_columns() where comment is null"
            " union all select schema_name, table_name, null from duckdb_tables() where comment is null"
            " union all select schema_name, view_name, null from duckdb_views() where comment is null"
        ).fetchall()
    assert [row for row in missing if row[0] in ("staging", "intermediate", "marts")] == []


def test_each_dataset_names_its_mart_and_columns(models: Path) -> None:
    datasets = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]["datasets"]
    with duckdb.connect(str(models)) as connection:
        for name, dataset in datasets.items():
            sql = "select column_name, data_type from duckdb_columns() where schema_name = ? and table_name = ?"
            mart = dict(connection.execute(sql, ["marts", dataset["fact"]]).fetchall())
            assert {dataset["time"], dataset.get("stamp", dataset["time"]), *dataset["grain"]} <= mart.keys(), name
            union = dict(connection.execute(sql, ["intermediate", f"int_{name}"]).fetchall())
            assert {c: t.upper() for c, (t, _) in dataset["columns"].items()}.items() <= union.items(), name
