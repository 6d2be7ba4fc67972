"""Shared by the tests of `pipelines`: the recordings, and runs in a temporary folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from samples import WIRE

needs_recordings = pytest.mark.skipif(not WIRE.is_dir(), reason="../shared/recordings/wire is absent: no recorded bytes to hold against")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the caller's environment nor a `perplake.toml` in the folder reaches a test."""
    import os

    for name in list(os.environ):
        if name.startswith("PERPLAKE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
