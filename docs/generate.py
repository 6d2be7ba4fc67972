"""The generated pages of the documentation: tables, venues, commands, settings, the changelog and the notebooks.

MkDocs calls `on_files` at each build (`hooks` in mkdocs.yml), so a generated page is never older than what it describes, and
none is committed. Tables come from dbt's manifest (models with contracts, sources, seeds) and from the pandera schemas of the
regime tables; venues and settings from the commands that print them; commands from the Typer application. Neither a run nor a
network is needed. Notebooks (`docs/notebooks`, scripts in cells that Jupytext reads) are executed on the published copy of the
home, where there is one, and their outputs are nowhere but in the built page.

Alone: `python docs/generate.py tables` prints one page.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from typer.testing import CliRunner

from pipelines.meta_tables import META_TABLES
from pipelines.registry import PROJECT_FILE
from pipelines.units import NAMED_IN, UNITS, comment, described

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "docs" / "notebooks"
PICTURE = ROOT / "assets" / "report" / "example.png"
Row = tuple[str, ...]

TABLES_INTRO = """# Tables

Every table of the [published copy](quickstart.md#where-the-data-is), by schema. Times are UTC without a zone, rates are
fractions (0.0001 is 0.01 %), money is US dollars unless the column says otherwise, and `instrument_id` is
`<venue>:<venue symbol>`. Null means unknown; a missing value is never zero. Descriptions and units are also comments in the
published DuckDB file: `perps query "select column_name, comment from duckdb_columns() where table_name = 'daily_assets'"`.
[Programs](python.md#tables-with-their-units) have each unit by itself. The units:
"""

INTERNAL_INTRO = """# Tables behind the marts

The layers of the warehouse file between the venues' answers and the marts. They are not published: read them with
`duckdb -readonly` while no run writes. [Architecture](architecture.md) shows the order.
"""


def page(intro: str, sections: Iterable[str]) -> str:
    """A page of an introduction and sections."""
    return "\n".join([intro, *sections])


def table(header: Row, rows: Iterable[Row]) -> str:
    """A Markdown table; line breaks and bars in cells are escaped."""
    lines = [header, ("---",) * len(header), *rows]
    return (
        "\n".join("| " + " | ".join(re.sub(r"\s+", " ", cell).replace("|", "\\|") for cell in row) + " |" for row in lines) + "\n"
    )


@cache
def manifest() -> dict[str, Any]:
    """dbt's manifest of the project as it is now."""
    from assets.defs.dbt import manifest

    return manifest()


def models(schema: str) -> list[dict[str, Any]]:
    """The models and sources of a schema, as dbt knows them, by name."""
    nodes = [node for node in manifest()["nodes"].values() if node["resource_type"] in ("model", "seed")]
    found = [node for node in (*nodes, *manifest()["sources"].values()) if node["schema"] == schema]
    return sorted(found, key=lambda node: str(node["name"]))


def key(node: Mapping[str, Any]) -> str:
    """The columns that make a row unique, from the test of the same name."""
    for test in manifest()["nodes"].values():
        if test["resource_type"] == "test" and test.get("attached_node") == node["unique_id"]:
            meta = test["test_metadata"]
            if meta["name"] == "unique_key":
                return " × ".join(f"`{column}`" for column in meta["kwargs"]["columns"])
    return ""


def columns(node: Mapping[str, Any]) -> list[Row]:
    """Name, type, unit and description of each column that dbt describes."""
    return [
        row(name, column.get("data_type") or "", comment(column["description"], column["meta"].get("unit")))
        for name, column in node["columns"].items()
    ]


def row(name: str, kind: str, text: str) -> Row:
    """A column by its name, type and comment."""
    description, unit = described(text, kind)
    return f"`{name}`", kind.lower(), unit or "", description


def schema_columns(schema: Any) -> list[Row]:
    """Name, type and description of each column of a pandera schema."""
    types = {"datetime": "date", "string": "varchar", "float": "double", "int": "bigint", "bool": "boolean"}
    return [
        row(
            name,
            "timestamp"
            if name.endswith("_at")
            else next(sql for kind, sql in types.items() if str(column.dtype).startswith(kind)),
            comment(column.description, (column.metadata or {}).get("unit")),
        )
        for name, column in schema.columns.items()
    ]


def section(name: str, description: str, unique: str, rows: Sequence[Row]) -> str:
    """One table: its name, what a row is, its columns."""
    grain = f"\nOne row per {unique}.\n" if unique else ""
    body = table(("column", "type", "unit", "description"), rows) if rows else ""
    return f"### {name}\n\n{description}\n{grain}\n{body}"


def units() -> str:
    """The vocabulary of units."""
    rows = [(f"`{unit}`", text) for unit, text in UNITS.items()]
    rows.append((f"`{NAMED_IN}<column>`", "the unit, or the unit of the feature, that this column of the row names"))
    return table(("unit", "meaning"), rows)


def tables() -> str:
    """The published schemas `marts` and `meta`."""
    from assets.regimes.tables import TABLES

    sections = [units(), "## Schema `marts`\n"]
    for node in models("marts"):
        if node["name"] not in TABLES:
            sections.append(section(node["name"], node["description"], key(node), columns(node)))
    for name, schema in TABLES.items():
        unique = " × ".join(f"`{column}`" for column in schema.unique or ())
        sections.append(section(name, schema.description, unique, schema_columns(schema)))
    sections.append("## Schema `meta`\n\nWhat perplake records about its own loads and runs.\n")
    for name, record in META_TABLES.items():
        rows = [row(column, *stated) for column, stated in record.columns.items()]
        sections.append(section(name, record.description, " × ".join(f"`{column}`" for column in record.key), rows))
    return page(TABLES_INTRO, sections)


def internal() -> str:
    """The schemas `intermediate`, `staging`, `seeds` and `raw`."""
    sections = []
    for schema, text in {
        "intermediate": "One table per canonical dataset, all sources in one unit, and what several marts derive from them. A "
        "table also has those columns of its dataset, in schema `staging` below, that it passes on.",
        "seeds": "Facts that are maintained by hand, as CSV files in `dbt_project/seeds`.",
    }.items():
        sections.append(f"## Schema `{schema}`\n\n{text}\n")
        sections += [section(node["name"], node["description"], key(node), columns(node)) for node in models(schema)]
    sections.append(
        "## Schema `staging`\n\nOne view per source and dataset: the source's fields under canonical names. The columns of a "
        "dataset are the same for all sources; a column that a source does not state is absent.\n"
    )
    views = models("staging")
    for dataset, record in yaml.safe_load(PROJECT_FILE.read_text())["vars"]["datasets"].items():
        alike = [node for node in views if node["name"].partition("__")[2].removesuffix("_now") == dataset]
        names = ", ".join(f"`{node['name']}`" for node in alike)
        rows = [row(name, *column) for name, column in record["columns"].items()]
        sections.append(section(dataset, f"{alike[0]['description']}\n\nModels: {names}", "", rows))
    raw = [(f"`{node['identifier']}`", node["description"]) for node in models("raw")]
    sections.append("## Schema `raw`\n\nOne table per source and endpoint: the source's records, typed, in its own units.\n")
    sections.append(table(("table", "content"), sorted(raw)))
    return page(INTERNAL_INTRO, sections)


@contextmanager
def clean_environment() -> Iterator[None]:
    """No setting of this machine: neither variables nor a `perplake.toml`."""
    saved, folder = dict(os.environ), Path.cwd()
    for name in [name for name in os.environ if name.startswith("PERPLAKE_")]:
        del os.environ[name]
    os.chdir(ROOT / "docs")
    try:
        yield
    finally:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(saved)


def printed(*arguments: str) -> str:
    """What a `perps` command prints."""
    from assets.cli import app

    with clean_environment():
        result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def breakable(text: str) -> str:
    """Text whose long identifiers may break after an underscore or a dot, those in inline code left out."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"(?<=\w[_.])(?=\w)", "<wbr>", part) for part in parts)


def venues() -> str:
    """Every source, from the table of sources, the modules and the venue facts."""
    return f"""---
hide: [toc]
---

# Venues

Every system that perplake reads, as `perps venues --markdown` prints it. `perps venues` adds this machine's keys and the last
load. The core (Binance USD-M, Bybit linear, Hyperliquid, Kraken Futures) is covered by default; `--venues` chooses others.

* **back to** is how far back the venue answers; without an entry it answers for all of its history.
* **unproven** are facts about the venue's numbers that no recording or independent client confirms yet. Every fact, with its
  evidence, is a row of [`dim_venue_facts`](tables.md#dim_venue_facts).

{breakable(printed("venues", "--markdown"))}"""


def settings() -> str:
    """Every setting, as `perps settings` prints it."""
    return f"""---
hide: [toc]
---

# Settings

Command-line options override environment variables, which override `perplake.toml` in the working folder, which overrides the
defaults. `perps settings` prints this table with the values of the machine.

Secrets are not settings. API keys and AWS credentials are read from environment variables (`perps venues` names them), sent in a
header, and written nowhere. `PERPLAKE_LAKE_CATALOG` is the URL of a [lake's](lake.md) catalog, `PERPLAKE_NOTIFY` holds the
addresses of [notifications](live.md#notifications) and `PERPLAKE_LOG` the log level of the command line (`info`, `debug`).

{printed("settings")}"""


def help_text(parameter: Any) -> str:
    """The help of an argument or option."""
    return str(getattr(parameter, "help", "") or "")


def metavar(argument: Any) -> str:
    """The name of an argument as usage lines show it."""
    return str(argument.metavar or argument.name.upper())


def default(option: Any) -> str:
    """The default of an option as `--help` shows it."""
    shown = getattr(option, "show_default", False)
    if isinstance(shown, str):
        return shown
    value = option.default
    return f"`{getattr(value, 'value', value)}`" if value not in (None, False, ()) else ""


def commands() -> str:
    """Every `perps` command with its arguments and options."""
    from assets.cli import app

    group = typer.main.get_group(app)
    sections = []
    for name, command in sorted(group.commands.items()):
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        rows = [(f"`{metavar(p)}`", help_text(p), "") for p in arguments]
        rows += [
            (", ".join(f"`{spelling}`" for spelling in (*p.opts, *p.secondary_opts)), help_text(p), default(p))
            for p in command.params
            if p not in arguments
        ]
        options = table(("argument or option", "meaning", "default"), rows) if rows else ""
        usage = "```\n" + " ".join(["perps", name, "[OPTIONS]", *map(metavar, arguments)]) + "\n```"
        sections.append(f"## {name}\n\n{command.help}\n\n{usage}\n\n{options}")
    return page(
        "# Commands\n\nEvery command prints this text with `--help`. A command that reads uses the published copy of the last "
        "run unless `--mode` or `--warehouse` names another one. Exit status: 0 success, 1 a step, a blocking check or a part of "
        "the window failed, 2 a wrong option or setting, 130 interrupted.\n",
        sections,
    )


def changelog() -> str:
    """The changelog at the root."""
    return (ROOT / "CHANGELOG.md").read_text()


def rules() -> str:
    """The labels with their meanings and rules, in order of precedence."""
    from assets.regimes.thresholds import REGIMES

    def rule(parts: Iterable[Row]) -> str:
        return " **and** ".join(" or ".join(f"[`{name}`](#thresholds)" for name in one_of) for one_of in parts)

    rows = [(f"`{regime.name}`", regime.meaning, rule(regime.rule)) for regime in REGIMES.values()]
    return table(("label", "meaning", "rule"), rows)


def thresholds() -> str:
    """Every threshold of the rules."""
    from assets.regimes.thresholds import RULE_FEATURES, THRESHOLDS

    rows = [
        (
            f"`{t.name}`",
            f"{RULE_FEATURES[t.feature].text} (`{t.feature}`)",
            "≥" if t.side == 1 else "≤",
            f"{t.quantile:.0%} quantile" if t.quantile is not None else "",
            f"{t.fixed:g}",
            "" if t.bound is None else f"{'at least' if t.side == 1 else 'at most'} {t.bound:g}",
        )
        for t in THRESHOLDS.values()
    ]
    return table(("threshold", "feature", "", "limit", "fixed value", "bound"), rows)


def inputs() -> str:
    """The inputs of the confidence and their weights."""
    from assets.regimes.thresholds import INPUTS

    rows = [(i.name, f"{i.weight:g}", ", ".join(f"`{name}`" for name in i.features)) for i in INPUTS]
    return table(("input", "weight", "features"), rows)


def targets() -> str:
    """What is forecast."""
    from assets.regimes.forecasts.plan import TARGETS

    return table(("target", "meaning"), [(f"`{t.name}`", t.description) for t in TARGETS.values()])


def methods() -> str:
    """The methods with their kind, what they read, and the method that lacks the data of perpetuals."""
    from assets.regimes.forecasts.methods import HAR_EXTRA, METHODS

    rows = []
    for method in METHODS.values():
        reads = [name for name in method.columns if name not in HAR_EXTRA]
        shown = ", ".join(f"`{name}`" for name in reads) if len(reads) < 10 else f"all {len(reads)} features"
        rows.append((f"`{method.name}`", method.kind, shown, f"`{method.without_perps}`" if method.without_perps else ""))
    return table(("method", "kind", "reads", "compared with, for what perpetuals' data add"), rows)


def features() -> str:
    """The features that forecasts read, each with its reason."""
    from assets.regimes.forecasts.plan import FEATURES

    rows = [(f"`{f.name}`", f.reason, "yes" if f.perp else "") for f in FEATURES if f.used]
    return table(("feature", "why it should matter", "data of perpetuals"), rows)


BLOCKS: dict[str, Callable[[], str]] = {f.__name__: f for f in (rules, thresholds, inputs, targets, methods, features)}


PAGES: dict[str, Callable[[], str]] = {
    "tables": tables,
    "tables-internal": internal,
    "venues": venues,
    "settings": settings,
    "commands": commands,
    "changelog": changelog,
}


def notebook(script: Path, execute: bool) -> tuple[str, dict[str, bytes]]:
    """A notebook as a page, and its pictures by name; with its outputs where it is executed. Raises for a cell that fails."""
    import jupytext
    from nbclient import NotebookClient
    from nbconvert import MarkdownExporter
    from traitlets.config import Config

    content = jupytext.read(script)
    if execute:
        no_ports = Config({"KernelManager": {"transport": "ipc"}})
        folder = {"metadata": {"path": str(Path.cwd())}}
        NotebookClient(content, timeout=300, kernel_name="python3", resources=folder, config=no_ports).execute()
    else:
        content.cells[0].source += "\n\n*Without outputs: no market was published here. `make run`, then `make docs`.*"
    text, found = MarkdownExporter().from_notebook_node(content, resources={"unique_key": script.stem})
    return f"---\nhide: [toc]\n---\n\n{text}", found["outputs"]


def on_files(files: Any, config: Any) -> Any:
    """MkDocs: add the generated pages, the notebooks and the picture to the site's files."""
    from mkdocs.structure.files import File

    from perplake.published import published_path
    from pipelines.settings import Settings

    execute = published_path(Settings()).is_file()
    for script in sorted(NOTEBOOKS.glob("*.py")):
        text, pictures = notebook(script, execute)
        files.append(File.generated(config, f"notebooks/{script.stem}.md", content=text))
        for name, content in pictures.items():
            files.append(File.generated(config, f"notebooks/{name}", content=content))
    for name, make in PAGES.items():
        files.append(File.generated(config, f"{name}.md", content=make()))
    files.append(File.generated(config, "example.png", abs_src_path=str(PICTURE)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """MkDocs: replace each `<!-- generated: name -->` of a page by the block of that name."""
    return re.sub(r"<!-- generated: (\w+) -->", lambda found: BLOCKS[found[1]](), markdown)


def main(name: Annotated[str, typer.Argument(help="A page or a block: " + ", ".join([*PAGES, *BLOCKS]))]) -> None:
    """Print one generated page or block."""
    typer.echo((PAGES | BLOCKS)[name]())


if __name__ == "__main__":
    typer.run(main)
