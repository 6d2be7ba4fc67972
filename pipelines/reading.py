"""Bytes to rows: a page is decoded as its type at once, and row by row where that fails.

Whatever bytes arrive, what comes out is rows, the flaws of the rows that were left out (place in the body, value, problem), or
`Unreadable` for the whole page. A row is an item of the innermost list (or object) of records in the page's type, or an index of
the lists that an endpoint calls `aligned`; where a flaw lies outside any row, the page can't be read. `fetch` and `load` read by
this function alone, so a page that a venue sent is judged the same on arrival, at load, and after a parser is mended.
Alone: `read(get_source("gate").endpoint("instruments"), body)`.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import lru_cache
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
    if endpoint.columnar:
        try:
            found = endpoint.columnar(body)
        except Exception as problem:
            raise Unreadable(Flaw("$", "", _text(problem))) from problem
        return Reading(found, found, [Flaw(*flaw) for flaw in found.flaws])
    try:
        return _whole(endpoint, endpoint.read(body))
    except Exception as problem:
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
        for path, alone, _ in _pages_of_one_row(value, _type_info(endpoint)):
            try:
                found += source.parse_instruments(endpoint.convert(alone))
            except Exception as each:
                flaws.append(Flaw(_place(path), "", _text(each)))
        if not found:
            raise Unreadable(Flaw("$", "", _text(problem))) from problem
        return found, flaws


def rows_left_out(endpoint: Endpoint, body: bytes, flaws: Sequence[Flaw]) -> list[Any]:
    """The rows that have these flaws, decoded; the whole page for a flaw that is in no row."""
    value, rows = _decoded_by(endpoint, body)[0], []
    for flaw in flaws:
        try:
            path = _path(flaw.place)
            holder = _holder(_type_info(endpoint), value, path)
            rows.append(_at(value, path[: len(holder[0]) + 1]) if holder else value)
        except (LookupError, TypeError):
            rows.append(value)
    return rows


def _whole(endpoint: Endpoint, content: Any) -> Reading:
    rows = endpoint.rows(content)
    for name, limit in records.integer_limits(endpoint.record).items():
        values = set(map(attrgetter(name), rows)) - {None, ""}
        if values and (max(values) >= limit or min(values) <= -limit):
            raise OverflowError(f"Expected an integer within ±{limit:,} - at `{name}`")
    return Reading(content, rows)


# --- row by row -------------------------------------------------------------------------------------------------------------


def _by_row(endpoint: Endpoint, body: bytes, first: Exception) -> Reading:
    value, odd = _decoded_by(endpoint, body)
    kind = _type_info(endpoint)
    flaws: list[Flaw] = []
    for path in odd:  # null in its place: a row that needs the value is left out below
        flaws.append(Flaw(_place(path), _quote(_at(value, path)), "not a value of JSON, or no Unicode text"))
        if path:
            _at(value, path[:-1])[path[-1]] = None
    while True:
        try:
            reading = _whole(endpoint, endpoint.convert(value))
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
    """Delete the rows that have the problem from the list of rows that it names, or else from all lists; their flaws."""
    if endpoint.aligned:
        return _leave_out_indexes(endpoint, value)
    bad: list[tuple[Path, Exception]] = []
    if isinstance(problem, msgspec.ValidationError):
        if holder := _holder(kind, value, _path(str(problem))):
            at, row_type = holder
            for key, row in _items(_at(value, at)):
                try:
                    msgspec.convert(row, row_type, strict=False, dec_hook=records.read_custom)
                except Exception as each:
                    bad.append(((*at, key), each))
    else:
        bad = list(_bad_rows(endpoint, value, kind))
    flaws: list[Flaw] = []
    dropped: defaultdict[Path, set[Any]] = defaultdict(set)
    for path, why in bad:
        flaws.append(_flaw(why, _at(value, path), _place(path)))
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


def _bad_rows(endpoint: Endpoint, page: Any, kind: inspect.Type, at: Path = ()) -> Iterator[tuple[Path, Exception]]:
    """The paths below `at`, and the problems, of the innermost rows with which alone the page can't be read."""
    for path, alone, row_kind in _pages_of_one_row(page, kind, at):
        try:
            _whole(endpoint, endpoint.convert(alone))
        except Exception as problem:
            row = path if isinstance(_at(page, path[:-1]), dict) else (*path[:-1], 0)
            inner = list(_bad_rows(endpoint, alone, row_kind, row))
            below = _first_holder(row_kind, _at(page, path)) if inner else None
            if below and len(inner) < len(_at(page, (*path, *below[0]))):
                yield from (((*path, *each[len(row) :]), flaw) for each, flaw in inner)
            else:
                yield path, problem


def _pages_of_one_row(page: Any, kind: inspect.Type, at: Path = ()) -> Iterator[tuple[Path, Any, inspect.Type]]:
    """For each row of the first list of rows in the part of a page at `at`: its path, the page with it alone, and its type."""
    found = _first_holder(kind, _at(page, at))
    if found is None:
        return
    path, row_kind = (*at, *found[0]), found[1]
    rows = _at(page, path)
    for key, row in list(_items(rows)):
        alone: Any = {key: row} if isinstance(rows, dict) else [row]
        for depth in range(len(path) - 1, -1, -1):
            outer = copy(_at(page, path[:depth]))
            outer[path[depth]] = alone
            alone = outer
        yield (*path, key), alone, row_kind


def _leave_out_indexes(endpoint: Endpoint, value: Any) -> list[Flaw]:
    """Delete from all aligned lists the indexes with which alone the page can't be read; their flaws."""
    paths = _aligned(endpoint, value)
    lists = [_at(value, path) for path in paths]
    if not lists or len({len(each) for each in lists}) > 1:
        return []
    flaws: list[Flaw] = []
    kept: list[tuple[Any, ...]] = []
    for index, row in enumerate(list(zip(*lists, strict=True))):
        for each, part in zip(lists, row, strict=True):
            each[:] = [part]
        try:
            _whole(endpoint, endpoint.convert(value))
        except Exception as problem:
            flaw = _flaw(problem, value)
            heads = {_place((*path, 0)): _place((*path, index)) for path in paths}
            head = next((head for head in heads if flaw.place.startswith(head)), "")
            place = heads[head] + flaw.place[len(head) :] if head else _place((*paths[0], index))
            flaws.append(Flaw(place, flaw.value if head else _quote(list(row)), flaw.problem))
        else:
            kept.append(row)
    for number, each in enumerate(lists):
        each[:] = [row[number] for row in kept]
    return flaws


def _aligned(endpoint: Endpoint, value: Any) -> list[Path]:
    """The paths of the lists of which a row is an index: the filled ones at `Endpoint.aligned`, or the columns inside of one.

    None where a list is as long as each of its items: they may be rows or columns.
    """
    paths: list[Path] = []
    length = 0
    for place in endpoint.aligned:
        try:
            part = _at(value, path := _path(place))
        except (LookupError, TypeError):
            continue
        if not isinstance(part, list) or not part:
            continue
        length = length or len(part)
        has_columns = all(isinstance(column, list) and len(column) == length for column in part)
        if has_columns and len(part) == length:
            return []
        paths += [(*path, number) for number in range(len(part))] if has_columns else [path]
    return paths


# --- places in a body -------------------------------------------------------------------------------------------------------

Path = tuple[Any, ...]


@lru_cache(maxsize=512)
def _type_info(endpoint: Endpoint) -> inspect.Type:
    return inspect.type_info(endpoint.page_type)


def _options(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    return kind.types if isinstance(kind, inspect.UnionType) else (kind,)


def _rows_of(kind: inspect.Type) -> inspect.StructType | None:
    """The type of record of which the type is a list or an object of many."""
    item = kind.value_type if isinstance(kind, inspect.DictType) else getattr(kind, "item_type", None)
    return next((option for option in _options(item) if isinstance(option, inspect.StructType)), None) if item else None


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
            found = path[:depth], row.cls
        if depth == len(path) or path[depth] is ...:
            break
        key = path[depth]
        try:
            inner = value[key]
        except (LookupError, TypeError):
            break
        kinds, value = _inner(fitting, key), inner
    return found


def _first_holder(kind: inspect.Type, value: Any) -> tuple[Path, inspect.Type] | None:
    """The path of the first list (or object) of records that isn't inside of another, and the type of these."""
    waiting: list[tuple[Path, inspect.Type, Any]] = [((), option, value) for option in _options(kind)]
    while waiting:
        path, option, part = waiting.pop(0)
        if not _fits(option, part):
            continue
        if row := _rows_of(option):
            return path, row
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


def _decoded_by(endpoint: Endpoint, body: bytes) -> tuple[Any, list[Path]]:
    """What the endpoint's own decoder reads, or `_decoded`. Raises `Unreadable`."""
    if not endpoint.decode:
        return _decoded(body)
    try:
        return endpoint.decode(body), []
    except Exception as problem:
        raise Unreadable(Flaw("$", "", _text(problem))) from problem


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
