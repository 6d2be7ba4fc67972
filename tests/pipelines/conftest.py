"""Shared by the tests of `pipelines`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the caller's environment nor a `perplake.toml` in the folder reaches a test."""
    for name in list(os.environ):
        if name.startswith("PERPLAKE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
