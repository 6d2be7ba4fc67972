"""Every message that the page of messages explains is one that the code can print."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.test_commands import ROOT, strings

MESSAGES = re.findall(r"^\| `([^`]+)`", (ROOT / "docs" / "messages.md").read_text(), re.MULTILINE)
CODE = [file for folder in ("assets", "perplake", "pipelines", "infra") for file in sorted((ROOT / folder).rglob("*.py"))]


def in_code(message: str, texts: list[str]) -> bool:
    """Whether a message, `…` standing for anything, is a part of a string of the code."""
    pattern = re.compile(".*".join(re.escape(part) for part in re.split(r"\s*…\s*", message) if part), re.DOTALL)
    return any(pattern.search(text) for text in texts)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [value for file in CODE for _, value in strings(Path(file).read_text())]


@pytest.mark.parametrize("message", MESSAGES)
def test_the_code_has_the_message(message: str, texts: list[str]) -> None:
    assert in_code(message, texts)


def test_a_message_that_no_code_has(texts: list[str]) -> None:
    assert len(MESSAGES) > 20
    assert not in_code("the moon refused …: ask again", texts)
