"""Bytes to rows: a page is decoded as its type at once, and row by row where that fails.

Whatever bytes arrive, what comes out is rows, the flaws of the rows that were left out (place in the body, value, problem), or
`Unreadable` for the whole page. A row is an item of the innermost list (or object) of records in the page's type; where a flaw
lies outside any row, as in columns that are sent side by side, the page can't be read. `fetch` and `load` read by this function
alone, so a page that a venue sent is judged the same on arrival, at load, and after a parser is mended.
Alone: `read(get_source("gate").endpoint("instruments"), body)`.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import lru_cache, partial
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import inspect

from pipelines import records
from pipelines.source import Endpoint, Instrument, Source

#: The longest integer that is read, in digits; Python refuses 4,300.
DIGITS = 400
#: The longest value and problem that a flaw quotes.
QUOTED = 160


class Flaw(msgspec.Struct, frozen=True):
    """What could not be read: its place in the body (`$.symbols[3].onboardDate`), the value there, and the problem."""

    place: str
    value: str
    problem: str


class Unreadable(ValueError):
    """No row of the page can be read. `truncated`: the body ends too early, so that another request may help."""

    def __init__(self, flaw: Flaw, truncated: bool = False) -> None:
        super().__init__(flaw.problem)
        self.flaw, self.truncated = flaw, truncated


@dataclass
class Reading:
    """A page, its rows, and the flaws of rows that were left out of both."""

    content: Any
    rows: Sequence[Any]
    flaws: list[Flaw] = field(default_factory=list)


def read(endpoint: Endpoint, body: bytes) -> Reading:
    """A page's rows. Raises `Unreadable` where there is none that can be read, and nothing else."""
    try:
        return _whole(endpoint, endpoint.read(body))
    except Exception as problem:
        if endpoint.decode:
            raise Unreadable(Flaw("$", "", _text(problem))) from problem
        try:
            return _by_row(endpoint, body, problem)
        except RecursionError as deep:
            raise Unreadable(Flaw("$", repr(body[:40]), "the body is nested too deeply")) from deep


def read_instruments(source: Source, body: bytes) -> tuple[list[Instrument], list[Flaw]]:
    """The instruments of a page, and the flaws of listed entries that none could be made of. Raises `Unreadable`."""
    assert source.parse_instruments
    endpoint = source.endpoint("instruments")
    reading = read(endpoint, body)
    try:
        return source.parse_instruments(reading.content), []
    except Exception as problem:
        value = _decoded(body)[0]
        found: list[Instrument] = []
        flaws: list[Flaw] = []
        for path, alone in _pages_of_one_row(endpoint, value):
            try:
                found += source.parse_instruments(_convert(endpoint, alone))
            except Exception as each:
                flaws.append(Flaw(_place(path), "", _text(each)))
        if not found:
            raise Unreadable(Flaw("$", "", _text(problem))) from problem
        return found, flaws


def _whole(endpoint: Endpoint, content: Any) -> Reading:
    rows = endpoint.rows(content)
    for name, limit in records.integer_limits(endpoint.record).items():
        values = [value for value in map(attrgetter(name), rows) if value is not None and value != ""]
        if values and (max(values) >= limit or min(values) <= -limit):
            raise OverflowError(f"Expected an integer within ±{limit:,} - at `{name}`")
    return Reading(content, rows)


def _convert(endpoint: Endpoint, value: Any) -> Any:
    return msgspec.convert(value, _page_type(endpoint), strict=False, dec_hook=records.read_custom)


def _page_type(endpoint: Endpoint) -> Any:
    return endpoint.page or list[endpoint.record]  # type: ignore[name-defined]


# --- row by row -------------------------------------------------------------------------------------------------------------


def _by_row(endpoint: Endpoint, body: bytes, first: Exception) -> Reading:
    value, odd = _decoded(body)
    kind = _type_info(endpoint)
    flaws: list[Flaw] = []
    for path in odd:  # null in its place: a row that needs the value is left out below
        flaws.append(Flaw(_place(path), _quote(_at(value, path)), "not a value of JSON, or no Unicode text"))
        if path:
            _at(value, path[:-1])[path[-1]] = None
    while True:
        try:
            reading = _whole(endpoint, _convert(endpoint, value))
        except Exception as problem:
            left_out = _leave_out(endpoint, kind, value, problem)
            if not left_out:
                flaw = flaws[0] if flaws else _flaw(problem, value) if isinstance(problem, msgspec.ValidationError) else None
                raise Unreadable(flaw or Flaw("$", "", _text(problem))) from problem
            flaws += left_out
        else:
            if flaws and not reading.rows:
                raise Unreadable(flaws[0]) from first
            return Reading(reading.content, reading.rows, flaws)


def _leave_out(endpoint: Endpoint, kind: inspect.Type, value: Any, problem: Exception) -> list[Flaw]:
    """Delete the rows that have the problem from the list of rows that it names, or else from the first list; their flaws."""
    tests: list[tuple[Path, Callable[[], object]]]
    if isinstance(problem, msgspec.ValidationError):
        holder = _holder(kind, value, _path(str(problem)))
        if holder is None:
            return []
        at, row_type = holder
        tests = [((*at, key), partial(_as_type, row, row_type)) for key, row in _items(_at(value, at))]
    else:
        tests = [(path, partial(_page_alone, endpoint, alone)) for path, alone in _pages_of_one_row(endpoint, value)]
    flaws: list[Flaw] = []
    dropped: defaultdict[Path, set[Any]] = defaultdict(set)
    for path, test in tests:
        try:
            test()
        except Exception as each:
            flaws.append(_flaw(each, _at(value, path), _place(path)))
            dropped[path[:-1]].add(path[-1])
    for at, keys in dropped.items():
        _delete(_at(value, at), keys)
    return flaws


def _delete(rows: Any, keys: set[Any]) -> None:
    """Delete some items of a list or an object, by index or key."""
    if isinstance(rows, list):
        rows[:] = [row for index, row in enumerate(rows) if index not in keys]
    else:
        for key in keys:
            del rows[key]


def _page_alone(endpoint: Endpoint, value: Any) -> None:
    _whole(endpoint, _convert(endpoint, value))


def _as_type(row: Any, kind: type) -> None:
    msgspec.convert(row, kind, strict=False, dec_hook=records.read_custom)


def _pages_of_one_row(endpoint: Endpoint, value: Any) -> Iterator[tuple[Path, Any]]:
    """The page with each of its rows alone, and the row's path; nothing where the type has no list of records."""
    path = _first_holder(_type_info(endpoint), value)
    if path is None:
        return
    rows = _at(value, path)
    for key, row in list(_items(rows)):
        alone: Any = {key: row} if isinstance(rows, dict) else [row]
        for depth in range(len(path) - 1, -1, -1):
            outer = copy(_at(value, path[:depth]))
            outer[path[depth]] = alone
            alone = outer
        yield (*path, key), alone


# --- places in a body -------------------------------------------------------------------------------------------------------

Path = tuple[Any, ...]


@lru_cache(maxsize=512)
def _type_info(endpoint: Endpoint) -> inspect.Type:
    return inspect.type_info(_page_type(endpoint))


def _options(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    return kind.types if isinstance(kind, inspect.UnionType) else (kind,)


def _rows_of(kind: inspect.Type) -> type | None:
    """The record of which the type is a list or an object of many."""
    item = kind.value_type if isinstance(kind, inspect.DictType) else getattr(kind, "item_type", None)
    return next((option.cls for option in _options(item) if isinstance(option, inspect.StructType)), None) if item else None


def _inner(kind: inspect.Type, key: Any) -> tuple[inspect.Type, ...]:
    """The types of a value's part by its key or index."""
    if isinstance(kind, inspect.StructType):
        if kind.array_like:
            return _options(kind.fields[key].type) if isinstance(key, int) and key < len(kind.fields) else ()
        return next((_options(part.type) for part in kind.fields if part.encode_name == key), ())
    if isinstance(kind, inspect.TupleType):
        return _options(kind.item_types[key]) if isinstance(key, int) and key < len(kind.item_types) else ()
    item = kind.value_type if isinstance(kind, inspect.DictType) else getattr(kind, "item_type", None)
    return _options(item) if item else ()


def _fits(kind: inspect.Type, value: Any) -> bool:
    is_object = isinstance(kind, inspect.DictType) or (isinstance(kind, inspect.StructType) and not kind.array_like)
    return isinstance(value, dict) if is_object else isinstance(value, list)


def _holder(kind: inspect.Type, value: Any, path: Path) -> tuple[Path, type] | None:
    """The innermost list (or object) of records along a path, and their type; None where there is none."""
    found: tuple[Path, type] | None = None
    kinds = _options(kind)
    for depth in range(len(path) + 1):
        fitting = next((option for option in kinds if _fits(option, value)), None)
        if fitting is None:
            break
        if (row := _rows_of(fitting)) and (depth < len(path) or found is None):
            found = path[:depth], row
        if depth == len(path) or path[depth] is ...:
            break
        key = path[depth]
        try:
            inner = value[key]
        except (LookupError, TypeError):
            break
        kinds, value = _inner(fitting, key), inner
    return found


def _first_holder(kind: inspect.Type, value: Any) -> Path | None:
    """The path of the first list (or object) of records that isn't inside of another."""
    waiting: list[tuple[Path, inspect.Type, Any]] = [((), option, value) for option in _options(kind)]
    while waiting:
        path, option, part = waiting.pop(0)
        if not _fits(option, part):
            continue
        if _rows_of(option):
            return path
        keys = list(_items(part)) if isinstance(option, inspect.StructType | inspect.TupleType) else []
        waiting += [((*path, key), inner, each) for key, each in keys for inner in _inner(option, key)]
    return None


def _items(rows: Any) -> Iterator[tuple[Any, Any]]:
    return iter(rows.items()) if isinstance(rows, dict) else iter(enumerate(rows))


def _at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


def _path(place: str) -> Path:
    """The steps of a place: `$.result.list[3][0]`, also as the end of a message of msgspec's. `[...]` is any key: `...`."""
    text = place.rpartition("at `")[2].rstrip("`") if "at `" in place else place
    if not text.startswith("$"):
        return ()
    steps = re.findall(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]", text)
    return tuple(name or (... if index == "..." else int(index)) for name, index in steps)


def _place(path: Path) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


def _flaw(problem: Exception, value: Any, place: str = "$") -> Flaw:
    """A problem with a value, as a flaw: msgspec's messages name the place within the value."""
    text = _text(problem)
    inner = _path(str(problem)) if isinstance(problem, msgspec.ValidationError) else ()
    for step in inner:
        try:
            value = value[step]
        except (LookupError, TypeError):
            value = ""
            break
    missing = text.partition("missing required field `")[2].partition("`")[0]
    where = place + _place(inner)[1:].replace(".Ellipsis", "[...]")
    return Flaw(f"{where}.{missing}" if missing else where, "(absent)" if missing else _quote(value), text)


def _text(problem: BaseException) -> str:
    text = str(problem).partition(" - at `")[0]
    known = isinstance(problem, ValueError) and text
    return (text if known else f"{type(problem).__name__}: {text}")[:QUOTED]


def _quote(value: Any) -> str:
    try:
        return repr(value)[:80]
    except RecursionError:
        return ""


# --- bodies that are no JSON ------------------------------------------------------------------------------------------------


class Odd:
    """What JSON doesn't have: a bare NaN or Infinity, an integer of thousands of digits."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text[:40]


def _decoded(body: bytes) -> tuple[Any, list[Path]]:
    """A body as plain values, and the paths of those that JSON doesn't have, the last first. Raises `Unreadable`."""
    try:
        return msgspec.json.decode(body), []
    except (ValueError, RecursionError) as problem:
        strict = str(problem)
    try:
        value = json.loads(
            body.decode("utf-8-sig", "surrogateescape"),
            parse_constant=Odd,
            parse_int=lambda text: int(text) if len(text) <= DIGITS else Odd(text),
        )
    except (ValueError, RecursionError) as problem:
        deep = isinstance(problem, RecursionError)
        message = "the body is nested too deeply" if deep else f"the body is no whole JSON ({strict})"
        byte = re.search(r"byte (\d+)", strict)
        at = int(byte[1]) if byte else 0
        flaw = Flaw(f"byte {at}" if byte else "$", repr(body[max(0, at - 30) : at + 30]), message)
        raise Unreadable(flaw, "truncated" in strict or isinstance(problem, UnicodeDecodeError)) from problem
    paths: list[Path] = []
    waiting: list[tuple[Path, Any]] = [((), value)]
    while waiting:
        path, part = waiting.pop()
        if isinstance(part, dict | list):
            waiting += [((*path, key), each) for key, each in _items(part)]
        elif _is_odd(part):
            paths.append(path)
    return value, paths


def is_json(body: bytes) -> bool:
    """True for a whole body of JSON, or of what is almost JSON."""
    try:
        _decoded(body)
    except Unreadable:
        return False
    return True


def _is_odd(value: Any) -> bool:
    if isinstance(value, str):
        return any("\ud800" <= letter <= "\udfff" for letter in value)
    return isinstance(value, Odd) or (isinstance(value, float) and value in (float("inf"), float("-inf")))
