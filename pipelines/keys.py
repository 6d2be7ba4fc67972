"""API keys: read from the environment, sent in a header, stored nowhere, and not used again for a while once refused.

A venue may send a key back, mostly in an error: `Redactor` takes it out of every answer where it arrives (`Client.http`), before
anything is stored, shown or logged.

The table of sources names a source's variable (`key`), the source its header. After a venue refuses a key, a digest of the key
is noted in `keys.json` in the market's folder, and its source is left out for `COOLDOWN_SECONDS` or until the key changes. The
emulator gets a key of its own, never a real one. Alone: `perps venues` shows which variables are set.
"""

from __future__ import annotations

import base64
import hashlib
import html
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sized
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from pipelines.files import regular
from pipelines.registry import source_rows
from pipelines.source import Source
from pipelines.windows import iso

#: The key that the emulator accepts.
EMULATED = "emulator"
#: What stands in the place of a key that a venue sent back.
REMOVED = b"[key removed]"
#: The least characters by which a key, or what begins one, is known.
LEAST = 6
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
    if not row.key or row.key_optional:
        return None
    needed = [row.key, *s3_variables(row.key)[1:2]]
    return next((name for name in needed if not os.environ.get(name)), None)


def headers(source: Source, emulated: bool) -> dict[str, str]:
    """The header with the key; empty without a key."""
    key = _key(source, emulated) if source.key_header else ""
    return {source.key_header: source.key_prefix + key} if key else {}


def s3_variables(key: str) -> list[str]:
    """The variables of an archive's credentials by that of its key id: id, secret, session token. Empty for another key."""
    return (
        [key.replace("ACCESS_KEY_ID", part) for part in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")]
        if "ACCESS_KEY_ID" in key
        else []
    )


def s3_credentials(source: Source) -> dict[str, str]:
    """The credentials of an archive whose reader pays, as s3fs takes them; none of the usual `AWS_…` variables."""
    row = source_rows().get(source.name)
    given = zip(("key", "secret", "token"), s3_variables(row.key or "") if row else (), strict=False)
    return {name: value for name, variable in given if (value := os.environ.get(variable, "").strip())}


def secrets(source: Source, sent: Mapping[str, str]) -> list[str]:
    """What a source's answers may not show: the key in the headers that are sent to it, its variables, passwords of proxies."""
    found = [value.removeprefix(source.key_prefix) for name, value in sent.items() if name == source.key_header]
    found += s3_credentials(source).values()
    found += [urlsplit(value).password or "" for name, value in os.environ.items() if name.lower().endswith("_proxy")]
    return [value for value in found if value != EMULATED]


class Redactor:
    """Takes secrets out of bytes and text from outside, in any case, and as URLs, JSON, HTML, hex and base64 write them.

    So it does with the first half of a value, or more of it, as a line that was cut has it. A value, or a half, of less than six
    characters is left: it would be found everywhere, and no API has such a key.
    """

    def __init__(self, values: Iterable[str]) -> None:
        forms = [form for value in set(values) if len(value) >= LEAST for form in (_spelt(value), *_encoded(value))]
        self._pattern = re.compile(b"|".join(forms), re.IGNORECASE) if forms else None

    def __call__(self, content: bytes) -> bytes:
        return self._pattern.sub(REMOVED, content) if self._pattern else content

    def text(self, content: str) -> str:
        return self(content.encode(errors="surrogatepass")).decode(errors="surrogatepass") if self._pattern else content


def _half(value: Sized) -> int:
    """So much of a value is as good as the whole."""
    return max(LEAST, -(-len(value) // 2))


def _spelt(value: str) -> bytes:
    """A pattern for a value of which any character may be escaped: `%2F`, `\\u002f`, `\\x2f`, `\\/`, `&#47;`, `&quot;`.

    What is found of a character is not looked at again (`(?>…)`), and an escape is escaped some times at most: else a text with
    almost all of a value, or of backslashes alone, would take hours.
    """
    characters = [
        rb"(?>\\{1,9}(?:u00|x)%02x|&#0{0,9}%d;|&#x0{0,9}%02x;|%b|%b|\\{0,9}%b)"
        % (
            code := ord(char),
            code,
            code,
            re.escape(html.escape(char).encode()),
            b"".join(b"%%(?:25){0,9}%02x" % byte for byte in char.encode()),
            re.escape(char.encode()),
        )
        for char in value
    ]
    first, rest = characters[: _half(value)], characters[_half(value) :]
    return b"".join(first) + (b"(?:%b|(?:%b)*+)" % (b"".join(rest), b"|".join(sorted(set(rest)))) if rest else b"")


def _encoded(value: str) -> Iterator[bytes]:
    """Patterns for a value, or what begins it, in hex, and in base64 at any place of a longer text, whose rest goes too."""
    raw = value.encode()
    yield raw.hex().encode()[: 2 * _half(raw)] + b"[0-9a-f]*"
    for offset in range(3):
        # The first characters, and the last, depend on what stands before and after.
        inner = base64.b64encode(bytes(offset) + raw)[-(-offset * 8 // 6) : (offset + len(raw)) * 8 // 6]
        for part in {inner, inner.replace(b"+", b"-").replace(b"/", b"_")}:
            yield re.escape(part[: _half(part)]) + b"[a-z0-9+/_-]*"


def refuse(folder: Path, source: Source, emulated: bool, message: str) -> None:
    """Note that the source's key was refused."""
    refusal = Refusal(time.time() + COOLDOWN_SECONDS, _digest(_key(source, emulated)), message)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / "keys.json.part"
    part.write_bytes(msgspec.json.encode(_refusals(folder) | {source.name: refusal}))
    part.replace(folder / "keys.json")


def cooldown_message(folder: Path, source: Source, emulated: bool) -> str | None:
    """Why a source is left out after its key was refused; None if it is not."""
    refusal = _refusals(folder).get(source.name)
    if refusal is None or refusal.digest != _digest(_key(source, emulated)):
        return None
    if not 0 < refusal.until - time.time() <= COOLDOWN_SECONDS:  # over, or the clock was set back
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
        return msgspec.json.decode(regular(folder / "keys.json").read_bytes(), type=dict[str, Refusal])
    except (FileNotFoundError, msgspec.DecodeError):
        return {}
