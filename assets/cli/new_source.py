"""`perps new-source`: the skeleton of a source, which runs before a line of it is changed.

The templates in `templates/source/` are a whole source named `example`, with an imaginary wire format. Writing one replaces the
name and adds the rows to the table of sources and to the seeds `venues` and `venue_facts`. `docs/adding-a-source.md` goes on
from there. Alone: ``write_source("acme", "Acme", Path("."))``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from assets.cli.base import app, expected_errors

ROOT = Path(__file__).parents[2]
TEMPLATES = Path(__file__).parent / "templates" / "source"
#: Where each template's file goes, in the order in which they are worked on.
FILES = {
    "module.py": "pipelines/sources/{name}.py",
    "cases.yaml": "infra/emulator/venues/{name}.yaml",
    "emulator.py": "infra/emulator/venues/{name}.py",
    "staging/_example.yml": "dbt_project/models/staging/{name}/_{name}.yml",
    **{
        f"staging/{dataset}.sql": f"dbt_project/models/staging/{{name}}/stg_{{name}}__{dataset}.sql"
        for dataset in ("instruments", "funding_rates", "running_rates", "open_interest", "candles", "liquidations")
    },
}
TABLE = "dbt_project/dbt_project.yml"
SEEDS = {"venues.csv": "dbt_project/seeds/venues.csv", "venue_facts.csv": "dbt_project/seeds/venue_facts.csv"}


@app.command("new-source")
def new_source(
    name: Annotated[str, typer.Argument(help="the source's name in code and tables, such as `acme`")],
    title: Annotated[str | None, typer.Option(help="its name for people", show_default="the name, capitalised")] = None,
) -> None:
    """Write the skeleton of a new source into this checkout: a whole source that runs, with an imaginary wire format.

    The documentation's page "Add a source" goes on from there.
    """
    with expected_errors():
        for path in write_source(name, title or name.replace("_", " ").title(), ROOT):
            typer.echo(path.relative_to(ROOT))
        typer.echo(f"try it: `perps run --venues {name} --days 5`; then follow docs/adding-a-source.md from step 2 on")


def write_source(name: str, title: str, root: Path) -> list[Path]:
    """Write the skeleton of a source into the checkout at `root`; returns the files written or changed.

    Raises `ValueError` for a name that is no identifier in lower case, or that the checkout already has.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        raise ValueError(f"{name!r}: a source's name has lower-case letters, digits and single underscores, such as `okx_spot`")
    files = {TEMPLATES / f"{template}.tmpl": root / path.format(name=name) for template, path in FILES.items()}
    if existing := [path for path in files.values() if path.exists()]:
        raise ValueError(f"{name}: {existing[0].relative_to(root)} already exists")
    for template, path in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_filled(template, name, title))
    table = root / TABLE
    table.write_text(_with_row(table.read_text(), _filled(TEMPLATES / "row.yml.tmpl", name, title)))
    for file, seed in SEEDS.items():
        rows = (root / seed).read_text()
        (root / seed).write_text(rows.rstrip("\n") + "\n" + _filled(TEMPLATES / f"{file}.tmpl", name, title))
    return [*files.values(), table, *(root / seed for seed in SEEDS.values())]


def _filled(template: Path, name: str, title: str) -> str:
    """A template with the name, the class's name and the title of a source in place of the example's."""
    text = template.read_text()
    class_name = "".join(part.capitalize() for part in name.split("_"))
    for kept, placeholder in {"example.invalid": "\0", "class Example": "class \1", "VENUE = Example": "VENUE = \1"}.items():
        text = text.replace(kept, placeholder)
    return text.replace("example", name).replace("Example", title).replace("\0", "example.invalid").replace("\1", class_name)


def _with_row(project: str, row: str) -> str:
    """The text of `dbt_project.yml` with a row at the end of its table of sources (`vars: sources`)."""
    start = project.index("\n  sources:\n") + 1
    end = re.compile(r"^(?: {0,2}\S)", re.MULTILINE).search(project, project.index("\n", start) + 1)
    at = end.start() if end else len(project)
    return project[:at] + row + project[at:]
