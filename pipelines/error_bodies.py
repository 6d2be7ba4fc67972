"""How a venue's error body becomes a kind and a message: a table for the usual forms.

    error = error_reader("label", "message", limited=("TOO_FAST",), transient=("SERVER_ERROR",))

Nothing to run alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from operator import attrgetter
from typing import Any

import msgspec

from pipelines.shapes import decode_or_none
from pipelines.source import Kind, VenueProblem

Codes = Sequence[str | int]


def error_reader(
    code: str = "",
    message: str = "",
    *,
    success: Codes = (),
    limited: Codes = (),
    blocked: Codes = (),
    transient: Codes = (),
    key: Codes = (),
    absent: Codes = (),
    retired: Codes = (),
    statuses: Mapping[int, Kind] | None = None,
    phrases: Mapping[str, Kind] | None = None,
) -> Callable[[int, bytes], VenueProblem | None]:
    """`Source.error` of a venue that states a code, a message, or both, at these dotted paths of its body.

    A body without the code (the message, where there is no code) or with a code of `success` is no error. Its kind: by HTTP
    status where `statuses` has it, whatever the body; by a phrase in the message, in lower case; by the code; else by the
    status, 429, 410 and 5xx, and rejected for the rest. A code may be a pattern: `5*`.
    """
    lists: dict[Kind, Codes] = {
        "limited": limited,
        "blocked": blocked,
        "transient": transient,
        "key": key,
        "absent": absent,
        "retired": retired,
    }
    kinds = [(str(one), kind) for kind, codes in lists.items() for one in codes]
    fine = set(map(str, success))
    body_type = _body(
        {code or message: (str | int, msgspec.NODEFAULT)} | ({message: (str | None, "")} if code and message else {})
    )

    def error(status: int, body: bytes) -> VenueProblem | None:
        by_status = (statuses or {}).get(status)
        content = decode_or_none(body, body_type)
        if content is None or (code and str(attrgetter(code)(content)) in fine):
            return VenueProblem(by_status, f"HTTP {status}") if by_status else None
        stated = str(attrgetter(code)(content)) if code else ""
        text = (attrgetter(message)(content) or "") if message else ""
        by_phrase = next((kind for phrase, kind in (phrases or {}).items() if phrase in text.lower()), None)
        kind = by_status or by_phrase or next((kind for pattern, kind in kinds if fnmatchcase(stated, pattern)), None)
        line = f"{stated} {text}".strip()
        return VenueProblem(kind, line) if kind else VenueProblem.by_status(status, line)

    return error


class _GraphQLError(msgspec.Struct):
    message: str = ""


class _GraphQLErrors(msgspec.Struct):
    errors: list[_GraphQLError] = []


def graphql_error_reader(phrases: Mapping[str, Kind]) -> Callable[[int, bytes], VenueProblem | None]:
    """`Source.error` of a GraphQL server: `{"errors": [{"message": …}]}`, mostly in HTTP 200.

    The kind follows from a phrase in the first message, in lower case, or else from the status.
    """

    def error(status: int, body: bytes) -> VenueProblem | None:
        content = decode_or_none(body, _GraphQLErrors)
        if content is None or not content.errors:
            return None
        message = content.errors[0].message
        kind = next((kind for phrase, kind in phrases.items() if phrase in message.lower()), None)
        return VenueProblem(kind, message) if kind else VenueProblem.by_status(status, message)

    return error


def _body(fields: Mapping[str, tuple[Any, Any]]) -> type[msgspec.Struct]:
    """A struct with these fields (dotted path: type and default); all but the last part of a path are structs."""
    own: list[tuple[str, Any, Any]] = []
    inner: dict[str, dict[str, tuple[Any, Any]]] = {}
    for path, field in fields.items():
        outer, dot, rest = path.partition(".")
        if dot:
            inner.setdefault(outer, {})[rest] = field
        else:
            own.append((path, *field))
    return msgspec.defstruct("Body", [*((name, _body(below)) for name, below in inner.items()), *own])
