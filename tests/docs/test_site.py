"""The documentation builds without a warning, opens without a network, and describes every published column.

Alone: `python -m pytest tests/docs/test_site.py`; the site of a build is `make docs-build`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

from assets.regimes.tables import TABLES
from docs import generate
from pipelines.meta_tables import META_TABLES

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site, without a market; a warning of MkDocs (a broken link, a missing page) is an error."""
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PERPLAKE_HOME", str(folder / "no-home"))
        build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True))
    return folder


def test_notebooks_are_pages_also_without_a_market(site: Path) -> None:
    for script in generate.NOTEBOOKS.glob("*.py"):
        assert "no market was published here" in (site / "notebooks" / f"{script.stem}.html").read_text()


def test_nothing_is_loaded_from_another_host(site: Path) -> None:
    for file in (*site.rglob("*.html"), *site.rglob("*.css")):
        text = file.read_text()
        loaded = re.findall(r"""<(?:script|img|iframe|source)[^>]+src=["']?((?:https?:)?//[^"'\s>]+)""", text)
        loaded += re.findall(r"""<link[^>]+href=["']?((?:https?:)?//[^"'\s>]+)""", text)
        loaded += re.findall(r"""@import[^;]*(https?://[^;]+)|url\(["']?(https?://[^)]+)""", text)
        assert not loaded, f"{file.relative_to(site)} loads {loaded}"


def test_every_published_table_is_on_its_page(site: Path) -> None:
    text = (site / "tables.html").read_text()
    names = [*(node["name"] for node in generate.models("marts")), *TABLES, *META_TABLES]
    assert len(names) > 20
    assert not [name for name in names if f'id="{name}"' not in text]


def test_every_mart_column_has_a_type_and_a_description() -> None:
    lacking = [
        f"{node['name']}.{name}"
        for node in generate.models("marts")
        for name, column in node["columns"].items()
        if not (column["description"] and column.get("data_type"))
    ]
    assert not lacking


def test_each_generated_block_is_on_a_page() -> None:
    used = {name for file in (ROOT / "docs").glob("*.md") for name in re.findall(r"<!-- generated: (\w+) -->", file.read_text())}
    assert used == set(generate.BLOCKS)


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")), ids=lambda page: page.name)
def test_links_of_the_root_pages_lead_to_files(page: Path) -> None:
    """MkDocs checks the links of its own pages."""
    links = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", page.read_text())
    assert not [link for link in links if not (ROOT / link).exists()]


@pytest.mark.parametrize("file", sorted((ROOT / "docs").glob("*.md")), ids=lambda file: file.stem)
def test_files_that_a_page_names_exist(file: Path) -> None:
    """Paths of this repository in inline code, without placeholders. `acme` is the source that a page adds: as `gate`."""
    named = re.findall(r"`((?:assets|dbt_project|docs|infra|pipelines|tests)/[^`\s<>*…:{]+)`", file.read_text())
    assert not [path for path in named if not (ROOT / path.replace("acme", "gate")).exists()]
