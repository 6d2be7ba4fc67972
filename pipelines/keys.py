"""Keys of the sources that want one: from the environment into a header, nowhere else, and left alone once refused.

The table of sources names a source's variable (`key`), the source its header. A key that was refused or is used up is noted by
a digest of it (`keys.json` beside the market's limits), and its source left out for `COOLDOWN_SECONDS` or until it
changes.
The emulator gets a key of its own: a real one never goes there. Alone: `perps venues` shows which variables are set.
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

#: What the emulator takes for a good key.
EMULATED = "emulator"
#: How long a refused key is left alone, in seconds.
COOLDOWN_SECONDS = 3600


class Refusal(msgspec.Struct):
    """A key that was refused: when it may be tried again (Unix seconds), which it was, and what was said."""

    until: float
    digest: str
    message: str = msgspec.field(name="said")  # the name in files written by 0.1


def missing(of: str) -> str | None:
    """The variable that must be set before a source can be asked; None where nothing is missing."""
    row = source_rows()[of]
    return None if not row.key or row.key_optional or os.environ.get(row.key) else row.key


def headers(of: Source, emulated: bool) -> dict[str, str]:
    """The header that carries the key; none where there is no key."""
    key = _key(of, emulated) if of.key_header else ""
    return {of.key_header: of.key_prefix + key} if key else {}


def refuse(folder: Path, of: Source, emulated: bool, message: str) -> None:
    """Note that the source's key was refused."""
    noted = _noted(folder) | {of.name: Refusal(time.time() + COOLDOWN_SECONDS, _digest(_key(of, emulated)), message)}
    part = folder / "keys.json.part"
    part.write_bytes(msgspec.json.encode(noted))
    part.replace(folder / "keys.json")


def cooldown_message(folder: Path, of: Source, emulated: bool) -> str | None:
    """Why a source is not asked for now; None where it is."""
    was = _noted(folder).get(of.name)
    if was is None or was.until <= time.time() or was.digest != _digest(_key(of, emulated)):
        return None
    variable = source_rows()[of.name].key
    return f"{of.name} is left alone until {iso(int(was.until * 1000))}: {was.message}. Another {variable} is tried at once"


def _key(of: Source, emulated: bool) -> str:
    variable = source_rows()[of.name].key
    return EMULATED if emulated else os.environ.get(variable or "", "").strip()


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:12]


def _noted(folder: Path) -> dict[str, Refusal]:
    try:
        return msgspec.json.decode((folder / "keys.json").read_bytes(), type=dict[str, Refusal])
    except (FileNotFoundError, msgspec.DecodeError):
        return {}
