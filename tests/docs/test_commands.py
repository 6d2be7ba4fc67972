"""Every command, target, module and option that the project's texts name exists.

The texts are the documentation, the docstrings, comments and messages of the code, and the descriptions in YAML, SQL and
templates. `perps` commands are resolved against the Typer application, `make` targets against the Makefile, `python -m`
modules against the files, options against the command that they follow (or, in inline code, against all of them).
Alone: `python -m pytest tests/docs`.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path

import click
import typer

from assets.cli import app

ROOT = Path(__file__).parents[2]
TEXTS = {".md", ".yml", ".yaml", ".sql", ".j2", ".csv", ".html", ".svg"}
FOLDERS = ("assets", "dbt_project", "docs", "infra", "perplake", "pipelines", "tests", ".github")
GENERATED = {"target", "logs", "node_modules"}
PERPS = typer.main.get_group(app)
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))

#: A command ends where its code span, its string or its line does, or where a comment or another command begins.
REST = r"([^`|&;#\n]*)"
COMMAND = re.compile(r"(?<![\w./-])perps +([a-z][a-z-]*)\b" + REST)
MODULE = re.compile(r"(?<!\w)python3?(?:\.\d+)? +-m +([A-Za-z_]\w*(?:\.\w+)*)(?![\w.<])" + REST)
CODE_TAG = re.compile(r"<code>([^<\n]+)</code>")
CODE_SPAN = re.compile(r"`{1,2}([^`\n]+)`{1,2}")
MAKE = re.compile(r"(?:^|[\s`(])make +([a-z][a-z-]*)\b")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*\b(?!:)")
QUOTED = re.compile(r"""(["']).*?\1""")

Places = Mapping[tuple[str, ...], list[str]]


def strings(source: str) -> Iterator[tuple[int, str]]:
    """The strings of a Python module that have a blank, with their lines; `…` in place of what an f-string puts in."""
    nodes = list(ast.walk(ast.parse(source)))
    parts = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        if id(node) in parts:
            continue
        if isinstance(node, ast.JoinedStr):
            value = "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            value = node.value
        else:
            continue
        if " " in value.strip():
            yield node.lineno, value


def texts(file: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file that people read, numbered: of Python the comments and the strings."""
    source = file.read_text()
    if file.suffix != ".py":
        yield from enumerate(source.splitlines(), 1)
        return
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for number, value in strings(source):
        yield from enumerate(value.splitlines(), number)


def files() -> list[Path]:
    """Every file with text, but this test and what is generated."""
    top = [*ROOT.glob("*.md"), ROOT / "pyproject.toml", ROOT / "mkdocs.yml", ROOT / "Makefile", ROOT / ".ci" / "run"]
    found = (file for folder in FOLDERS for file in (ROOT / folder).rglob("*") if file.suffix in {".py", *TEXTS})
    kept = (file for file in found if not GENERATED & set(file.relative_to(ROOT).parts))
    return [file for file in (*top, *sorted(kept)) if file.exists() and file != Path(__file__)]


def in_code(file: Path, line: str, fenced: bool) -> list[str]:
    """The parts of a line that are code: a fenced line, a line of a script of `.ci` or `.github`, or inline code."""
    if fenced or {".ci", ".github"} & set(file.parts):
        return [line]
    return (CODE_TAG if file.suffix == ".j2" else CODE_SPAN).findall(line)


@cache
def mentions() -> dict[str, Places]:
    """What is named, by kind, with the places: `perps` (command, option), `module` (name, option), `make`, `option`."""
    found: dict[str, dict[tuple[str, ...], list[str]]] = {
        kind: defaultdict(list) for kind in ("perps", "module", "make", "option")
    }
    for file in files():
        fenced = False
        for number, line in texts(file):
            at = f"{file.relative_to(ROOT)}:{number}"
            if file.suffix == ".md" and line.lstrip().startswith("```"):
                fenced = not fenced
            code_only = " ".join(in_code(file, line, fenced)) if file.suffix == ".j2" else line  # a heading "perps add"
            for kind, pattern in (("perps", COMMAND), ("module", MODULE)):
                for name, rest in pattern.findall(code_only):
                    for option in ("", *OPTION.findall(QUOTED.sub("", rest))):
                        found[kind][(name, option)].append(at)
            for code in in_code(file, line, fenced):
                for target in MAKE.findall(code):
                    found["make"][(target,)].append(at)
                if file.suffix in {".md", ".py"} and not fenced and code.startswith("--"):
                    for option in OPTION.findall(code):
                        found["option"][(option,)].append(at)
    return found


def options(command: click.Command) -> set[str]:
    """All spellings of the options of a command and of its subcommands."""
    own = {spelling for parameter in command.params for spelling in (*parameter.opts, *parameter.secondary_opts)}
    inner = getattr(command, "commands", {}).values()
    return {spelling for spelling in own if spelling.startswith("--")}.union({"--help"}, *map(options, inner))


def command(name: str) -> click.Command | None:
    """The `perps` command of a name."""
    return PERPS.commands.get(name)


@cache
def module_command(name: str) -> click.Command | None:
    """The command of a module of this project that runs alone; None for a module that doesn't.

    Raises ImportError for a module that does not exist.
    """
    file = ROOT.joinpath(*name.split("."))
    file = file / "__main__.py" if file.is_dir() else file.with_suffix(".py")
    if not file.exists() or (file.name != "__main__.py" and "__main__" not in file.read_text()):
        import_module(name)
        return None
    module = import_module(name)
    if file.name == "__main__.py" and not hasattr(module, "app"):
        module = import_module(f"{name}.__main__")
    if isinstance(getattr(module, "app", None), typer.Typer):
        return typer.main.get_command(module.app)
    if isinstance(getattr(module, "cli", None), click.Command):
        return module.cli
    if "typer.run(main)" not in file.read_text():
        return click.Command(name)
    alone = typer.Typer()
    alone.command()(module.main)
    return typer.main.get_command(alone)


OURS = ("assets", "perplake", "pipelines", "infra", "docs", "tests")


def known_options() -> set[str]:
    """The options of every command of this project."""
    found = {"--kills", "--in-a-row"} | options(PERPS)  # the first two are of tests/torture
    for name, _ in mentions()["module"]:
        if name.split(".")[0] in OURS and (of := module_command(name)):
            found |= options(of)
    return found


def faults(kind: str, fault: Callable[..., str | None]) -> list[str]:
    """What is said of each thing named that `fault` finds wrong, with its places."""
    found = [(fault(*key), places) for key, places in sorted(mentions()[kind].items())]
    return [f"{text}; named in {', '.join(places)}" for text, places in found if text]


def fault_of(called: str, found: click.Command | None, option: str) -> str | None:
    """What is wrong with a command as it is called, and with an option of it (empty: none is named)."""
    if found is None:
        return f"`{called}` is no command"
    return f"`{called}` has no option {option}" if option and option not in options(found) else None


def test_perps_commands_exist() -> None:
    assert faults("perps", lambda name, option: fault_of(f"perps {name}", command(name), option)) == []


def test_make_targets_exist() -> None:
    assert faults("make", lambda name: None if name in TARGETS else f"the Makefile has no target {name}") == []


def test_modules_run_alone() -> None:
    def fault(name: str, option: str) -> str | None:
        if name.split(".")[0] not in OURS:
            import_module(name)
            return None
        return fault_of(f"python -m {name}", module_command(name), option)

    assert faults("module", fault) == []


def test_options_exist() -> None:
    known = known_options()
    assert faults("option", lambda name: None if name in known else f"no command has an option {name}") == []


def test_each_kind_is_named() -> None:
    """The patterns still find what the README names."""
    readme = {kind: {key[0] for key, at in found.items() if any(place.startswith("README.md") for place in at)}
              for kind, found in mentions().items()}  # fmt: skip
    assert {"run", "query"} <= readme["perps"]
    assert {"run", "test", "docs"} <= readme["make"]
