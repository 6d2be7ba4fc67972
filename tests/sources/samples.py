"""Every recorded and documented body that answers an endpoint of ours, read in place from `../shared/recordings/wire`.

`collect()` finds them by the cases of each source (`Cases.samples`); `wire_rows` reads a body by the standard library alone,
numbers exact, as the cases name its columns: what our record types are compared with.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache, reduce
from operator import getitem, or_
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from infra.emulator.cases import Cases, Samples, Wire, cases, names
from infra.emulator.store import MS_HOUR
from pipelines import records
from pipelines.sources import get_source

WIRE = Path(__file__).parents[3] / "shared" / "recordings" / "wire"
recorded = pytest.mark.skipif(not WIRE.is_dir(), reason="../shared/recordings/wire is absent: no recorded bytes to compare with")


@dataclass(frozen=True)
class Sample:
    """A recorded or documented body of an endpoint that we read."""

    source: str
    endpoint: str
    file: str
    status: int
    body: bytes

    def __str__(self) -> str:
        return f"{self.source}.{self.endpoint} {self.file}"


def matches(paths: Mapping[str, str], path: str) -> str | None:
    """The endpoint of that path; `*` stands for one part of a path."""
    for pattern, endpoint in paths.items():
        if re.fullmatch(re.escape(pattern).replace(r"\*", "[^/]+"), path):
            return endpoint
    return None


@cache
def recorded_exchanges() -> list[tuple[str, str, str, int, bytes]]:
    """File, URL, request body, status and body of every exchange under `recorded/`."""
    return list(_recorded_exchanges()) if WIRE.is_dir() else []


def _recorded_exchanges() -> Iterator[tuple[str, str, str, int, bytes]]:
    for file in sorted((WIRE / "recorded" / "cryptofeed_rest").glob("*.gz")):
        for line in gzip.decompress(file.read_bytes()).decode().splitlines():
            url, arrow, rest = line.partition(" -> ")
            if arrow:
                yield str(file.relative_to(WIRE)), url, "", 200, rest.partition(": ")[2].encode()
    for file in sorted((WIRE / "recorded").rglob("*.y*ml")):
        tape = yaml.load(file.read_text(), yaml.CSafeLoader)
        for exchange in tape.get("interactions") or tape.get("http_interactions"):
            request, response = exchange["request"], exchange["response"]
            asked = request["body"] if isinstance(request["body"], str) else ""
            text = response["body"]["string"]
            body = text.encode() if isinstance(text, str) else text
            yield str(file.relative_to(WIRE)), request["uri"], asked, response["status"]["code"], body
    file = WIRE / "recorded" / "binance_futures_http_recorded.json.gz"
    for path, methods in json.loads(gzip.decompress(file.read_bytes()))["routes"].items():
        host = "https://dapi.binance.com" if path.startswith("/dapi") else "https://fapi.binance.com"
        for exchange in methods.get("GET", []):
            yield str(file.relative_to(WIRE)), host + path, "", 200, json.dumps(exchange["data"]).encode()


def _bodies(where: Samples, paths: Mapping[str, str]) -> Iterator[tuple[str, str | None, int, bytes]]:
    """File, endpoint (None: one that we don't read), status and body of everything that the cases point at."""
    for file, url, asked, status, body in recorded_exchanges():
        parts = urlsplit(url)
        if parts.netloc in where.hosts:
            path = f"{parts.path} {json.loads(asked)['type']}" if asked.startswith("{") else parts.path
            yield f"{file} {parts.query}", matches(paths, path), status, body
    if where.examples:
        path = WIRE / "documented" / "client_endpoint_examples" / f"{where.examples}.json"
        for entry in json.loads(path.read_text())["entries"]:
            name = f"{where.examples}:{entry['endpoint']}"
            endpoint = where.files[name] if name in where.files else matches(paths, entry["path"])
            yield name, endpoint, 200, entry["body"].encode()
    for name, endpoint in where.files.items():
        if name.endswith(".json"):
            yield name, endpoint, 200, (WIRE / "documented" / "nautilus_trader" / name).read_bytes()


@cache
def collect() -> tuple[list[Sample], list[str]]:
    """The samples of all sources, and the reasons of those that are left out; both empty where the folder is absent."""
    samples: list[Sample] = []
    left_out: list[str] = []
    for name in names() if WIRE.is_dir() else []:
        if not (where := cases(name).samples):
            continue
        for file, endpoint, status, body in _bodies(where, cases(name).sample_paths()):
            if endpoint is None:
                continue
            text = re.sub(rb"\s", b"", body).decode()
            reasons = [reason for piece, reason in where.left_out.get(endpoint, {}).items() if piece in text]
            if reasons:
                left_out.append(reasons[0])
                continue
            if where.inside:
                body = json.dumps(json.loads(body)[where.inside]).encode()
            samples.append(Sample(name, endpoint, file, status, body))
    return samples, left_out


def documented() -> list[Sample]:
    """The bodies that the cases have from venue pages."""
    bodies = [(name, endpoint, body) for name in names() for endpoint, body in cases(name).documented.items()]
    return [Sample(name, endpoint, "venue page", 200, json.dumps(body).encode()) for name, endpoint, body in bodies]


def decoded(sample: Sample) -> list[dict[str, Any]]:
    """A sample's rows as they go into the raw table, without what the request adds."""
    endpoint = get_source(sample.source).endpoint(sample.endpoint)
    assert get_source(sample.source).error(sample.status, sample.body) is None, "an answer taken for an error"
    rows = endpoint.rows(endpoint.read(sample.body))
    arrays = records.columns(endpoint.record, rows)
    columns = dict(zip(endpoint.record.__struct_fields__, (a.to_pylist() for a in arrays), strict=True))
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def exact(body: bytes) -> Any:
    """JSON by the standard library, numbers as decimals."""
    return json.loads(body, parse_float=Decimal)


def rows_at(case: Cases, endpoint: str, body: Any) -> list[Any]:
    """The rows of a body, by the cases (`Cases.rows`): one object is one row, null is none."""
    path = case.rows.get(endpoint, "")
    if "+" in path:
        aligned = [reduce(getitem, _steps(part), body) for part in path.split("+")]
        return [reduce(or_, row) for row in zip(*aligned, strict=True)]
    inside = reduce(getitem, _steps(path), body)
    if path.endswith("*"):
        return list(inside.values())
    if path.endswith("[]"):
        columns = {name: values for name, values in inside.items() if isinstance(values, list)}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return inside if isinstance(inside, list) else [] if inside is None else [inside]


def _steps(path: str) -> list[str | int]:
    return [int(part) if part.isdigit() else part for part in path.strip().split(".") if part not in ("", "*", "[]")]


def wire_value(row: Any, where: Wire) -> Any:
    """The value of a wire's row for one of our columns; times in ms."""
    if isinstance(where.field, str):
        *outer, last = where.field.split(".")
        value = reduce(getitem, outer, row).get(last, where.default)
    else:
        value = row[where.field]
    if value in (None, "") or not where.unit:
        return value
    if where.unit == "labels":
        return " ".join(value)
    if where.unit == "iso":
        moment = datetime.fromisoformat(value.replace(" UTC", "Z"))
        time = int(Decimal(str(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp())) * 1000)
    else:
        time = int(Decimal(value) * 1000) if where.unit == "seconds" else int(value) // 1_000_000
    return time + where.hours * MS_HOUR


def same(ours: Any, wire: Any) -> bool:
    """Whether a value is the wire's: numbers to the last digit; null, and the empty text for a number, as None."""
    if ours is None or wire is None:
        return ours is None and wire in ("", None)
    return bool(ours == (wire if isinstance(ours, str | bool) else type(ours)(Decimal(wire))))
