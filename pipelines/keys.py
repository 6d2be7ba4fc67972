"""API keys: read from the environment, sent in a header, stored nowhere, and not used again for a while once refused.

The table of sources names a source's variable (`key`), the source its header. After a venue refuses a key, a digest of the key
is noted in `keys.json` in the market's folder, and its source is left out for `COOLDOWN_SECONDS` or until the key changes. The
emulator gets a key of its own, never a real one. Alone: `perps venues` shows which variables are set.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import msgspec

from pipelines.registry import source_rows
from pipelines.source import Source
from pipelines.windows import iso

#: The key that the emulator accepts.
EMULATED = "emulator"
#: How long a refused key is not used, in seconds.
COOLDOWN_SECONDS = 3600


class Refusal(msgspec.Struct):
    """A refused key: its digest, the time from which it may be used again (Unix seconds), and the venue's message."""

    until: float
    digest: str
    message: str = msgspec.field(name="said")  # the name in files of version 0.1


def missing(source_name: str) -> str | None:
    """The environment variable that must be set before a source can be fetched; None if nothing is missing."""
    row = source_rows()[source_name]
    return None if not row.key or row.key_optional or os.environ.get(row.key) else row.key


def headers(source: Source, emulated: bool) -> dict[str, str]:
    """The header with the key; empty without a key."""
    key = _key(source, emulated) if source.key_header else ""
    return {source.key_header: source.key_prefix + key} if key else {}


def refuse(folder: Path, source: Source, emulated: bool, message: str) -> None:
    """Note that the source's key was refused."""
    refusal = Refusal(time.time() + COOLDOWN_SECONDS, _digest(_key(source, emulated)), message)
    part = folder / "keys.json.part"
    part.write_bytes(msgspec.json.encode(_refusals(folder) | {source.name: refusal}))
    part.replace(folder / "keys.json")


def cooldown_message(folder: Path, source: Source, emulated: bool) -> str | None:
    """Why a source is left out after its key was refused; None if it is not."""
    refusal = _refusals(folder).get(source.name)
    if refusal is None or refusal.until <= time.time() or refusal.digest != _digest(_key(source, emulated)):
        return None
    until, variable = iso(int(refusal.until * 1000)), source_rows()[source.name].key
    return f"{source.name} is left out until {until}: {refusal.message}. A new {variable} is tried at once"


def _key(source: Source, emulated: bool) -> str:
    variable = source_rows()[source.name].key
    return EMULATED if emulated else os.environ.get(variable or "", "").strip()


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:12]


def _refusals(folder: Path) -> dict[str, Refusal]:
    try:
        return msgspec.json.decode((folder / "keys.json").read_bytes(), type=dict[str, Refusal])
    except (FileNotFoundError, msgspec.DecodeError):
        return {}
