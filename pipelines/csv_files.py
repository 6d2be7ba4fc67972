"""The CSV in a zip or gzip file of an archive as columns: its rows as they are, or the hourly bars of its trades or minutes.

`read_rows` is for files whose rows are loaded. `Bars` is for files of trades or of minutes, which are too many to be rows in
Python: the file is unpacked on disk, and DuckDB adds its lines up by hour with one thread and 256 MB, in the order of the file,
so that the sums (Kahan's) are always the same. Columns are found by the header's names, where a file has one: header rows come
and go, and columns move. Times in milliseconds, UTC.
Alone: `read_rows(path.read_bytes(), record, names)`, with a record of `pipelines.sources`.
"""

from __future__ import annotations

import gzip
import io
import re
import tempfile
import typing
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from pipelines.records import Columns, Record, UtcMs, arrow_schema, columns, read_custom
from pipelines.windows import HOUR

#: The longest file that is read whole, in bytes after decompression, and the longest one whose lines are read one by one where
#: some can't be read, which takes thirty times as much memory: a month of hourly bars has 0.1 MB.
MOST_BYTES, MOST_BY_LINE = 64_000_000, 16_000_000
#: How many times as long as its packed file a CSV may be: trades pack to a fifth.
MOST_TIMES = 50
#: The longest line of names, in bytes.
LONGEST_HEADER = 1 << 16
#: The earliest and the latest time that a row may have, and the least ones that are in milliseconds and in microseconds.
EARLIEST, LATEST, MILLISECONDS, MICROSECONDS = 1_388_534_400_000, 2_208_988_800_000, 10**11, 10**15
#: What DuckDB may take for a file of trades.
MEMORY = "256MB"
#: How many flaws of a file are named.
NAMED = 100


def open_file(body: bytes) -> IO[bytes]:
    """The content of a gzip file, or of the one file in a zip. Raises what `zipfile` raises."""
    if body[:2] == b"\x1f\x8b":
        return typing.cast(IO[bytes], gzip.GzipFile(fileobj=io.BytesIO(body)))
    archive = zipfile.ZipFile(io.BytesIO(body))
    if len(inside := archive.infolist()) != 1:
        raise ValueError(f"the zip has {len(inside)} files, and one is needed")
    return archive.open(inside[0])


def header_of(first: bytes) -> list[str] | None:
    """The names in the first line of a file; None where it is a row: it has a number."""
    words = [word.strip() for word in first.removeprefix(b"\xef\xbb\xbf").decode(errors="replace").split(",")]
    return None if any(re.fullmatch(r"[-+.\d].*", word) for word in words) else words


# --- rows -------------------------------------------------------------------------------------------------------------------


def read_rows(
    body: bytes,
    record: type[Record],
    names: Sequence[str],
    key: Sequence[str] = (),
    mend: Callable[[bytes], bytes] = lambda plain: plain,
) -> Columns:
    """The columns of a record out of a CSV; `names` are those of its columns where it has no header.

    A time is in seconds, milliseconds or microseconds, whatever it was in the file before, or an ISO text; `mend` makes one of
    what is neither. Of rows with the same `key` (names of the record; default: its first field, the time) the last one counts. A
    line that can't be read is left out, and named. Raises `ValueError` for a file without a line that can be read, and what
    `gzip` and `zipfile` raise.
    """
    with open_file(body) as file:
        plain = file.read(MOST_BYTES + 1)
    if len(plain) > MOST_BYTES:
        raise ValueError(f"the file is longer than {MOST_BYTES / 1e6:g} MB")
    if not plain.strip():
        raise ValueError("the file is empty")
    first, _, rest = plain.partition(b"\n")
    if len(first) > LONGEST_HEADER:
        raise ValueError(f"its first line has {len(first):,} bytes")
    header = header_of(first)
    names, plain = (header, rest) if header else (names, plain)
    if missing := [wire for wire, _, null in _fields(record).values() if wire not in names and not null]:
        raise ValueError(f"the header has no column {', '.join(missing)}: {', '.join(names)}")
    plain = mend(plain)
    if not plain.strip():
        return Columns(record, arrow_schema(record).empty_table().select(record.__struct_fields__))
    try:
        table, flaws = _whole(plain, record, names), list[tuple[str, str, str]]()
    except (pa.ArrowException, OverflowError) as problem:
        if len(plain) > MOST_BY_LINE:
            raise ValueError(f"a line can't be read, and the file has {len(plain) / 1e6:.0f} MB: {problem}") from None
        table, flaws = _by_line(plain, record, names, 2 if header else 1)
    return Columns(record, _last(table, key or record.__struct_fields__[:1]), flaws)


@cache
def _fields(record: type[Record]) -> Mapping[str, tuple[str, pa.DataType, bool]]:
    """By field: its name in a header, the type that is read, and whether it may be null."""
    hints, schema = typing.get_type_hints(record), arrow_schema(record)
    return {
        f.name: (
            f.encode_name,
            pa.timestamp("ms") if hints[f.name] is UtcMs else schema.field(f.name).type,
            schema.field(f.name).nullable,
        )
        for f in msgspec.structs.fields(record)
    }


def _read_csv(plain: bytes, names: Sequence[str], types: Mapping[str, pa.DataType], odd: list[str] | None = None) -> pa.Table:
    unique = [name if name in types and names.index(name) == n else f"{n}" for n, name in enumerate(names)]

    def set_aside(line: pa.csv.InvalidRow) -> str:
        assert odd is not None
        odd.append(line.text)
        return "skip"

    return pa.csv.read_csv(
        pa.BufferReader(plain),
        read_options=pa.csv.ReadOptions(column_names=unique, use_threads=False, block_size=max(len(plain), 1 << 16)),
        parse_options=pa.csv.ParseOptions(invalid_row_handler=None if odd is None else set_aside),
        convert_options=pa.csv.ConvertOptions(
            column_types=types, include_columns=[name for name in unique if name in types], null_values=[""]
        ),
    )


def _whole(plain: bytes, record: type[Record], names: Sequence[str]) -> pa.Table:
    """All lines. Raises `pa.ArrowException` or `OverflowError` where one can't be read."""
    fields = _fields(record)
    read = _read_csv(plain, names, {wire: kind for wire, kind, _ in fields.values() if wire in names})
    made = {}
    for n, (name, (wire, kind, null)) in enumerate(fields.items()):
        column = read[wire] if wire in names else pa.nulls(read.num_rows, kind)
        if n == 0:
            column = column.cast(pa.int64())
            least, most = pc.min_max(column).as_py().values()
            if least is not None and (least < MILLISECONDS or most >= MICROSECONDS):
                column = pc.if_else(pc.greater_equal(column, MICROSECONDS), pc.divide(column, 1000), column)
                column = pc.if_else(pc.less(column, MILLISECONDS), pc.multiply(column, 1000), column)
                least, most = pc.min_max(column).as_py().values()
            if least is None or least < EARLIEST or most >= LATEST:
                raise OverflowError(name)
        # A sum tells in one step whether all are finite.
        total = pc.sum(column).as_py() if kind == pa.float64() else None
        if (column.null_count and not null) or (total is not None and not abs(total) <= 1e300):
            raise OverflowError(name)
        made[name] = column
    return pa.table(made)


def _by_line(plain: bytes, record: type[Record], names: Sequence[str], first: int) -> tuple[pa.Table, list[tuple[str, str, str]]]:
    """The lines that can be read, each as the record, and the others. Raises `ValueError` where there is none."""
    odd: list[str] = []
    wires = {wire: pa.string() for wire, *_ in _fields(record).values() if wire in names}
    lines, flaws = _read_csv(plain, names, wires, odd).to_pylist(), []
    time = next(iter(_fields(record).values()))[0]
    rows = []
    for number, line in enumerate(lines, first):
        if (at := line[time] or "").isdigit():
            line[time] = str(int(at) // 1000 if int(at) >= MICROSECONDS else int(at) * (1000 if int(at) < MILLISECONDS else 1))
        try:
            rows.append(msgspec.convert(line, record, strict=False, dec_hook=read_custom))
        except msgspec.ValidationError as problem:
            flaws.append((f"line {number}", repr(line)[:80], str(problem)))
    flaws += [("$", repr(text)[:80], "a line with another number of fields") for text in odd]
    if not rows:
        raise ValueError(f"no line can be read, such as {flaws[0][1]}: {flaws[0][2]}")
    return pa.table(columns(record, rows), names=list(record.__struct_fields__)), flaws


def _last(table: pa.Table, keys: Sequence[str]) -> pa.Table:
    """Of rows with the same keys the last one."""
    if len(keys) == 1:
        time = table[keys[0]].to_numpy()
        if (time[1:] > time[:-1]).all():
            return table
    rows = table.append_column("_row", pa.array(range(table.num_rows)))
    return table.take(
        rows.group_by(list(keys), use_threads=False).aggregate([("_row", "max")])["_row_max"].combine_chunks().sort()
    )


# --- bars -------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bars:
    """How the lines of a file make hourly bars: expressions of SQL over its columns, which are texts.

    `names` are the columns of a file without a header; those of `needed` have to be there. `time` is a line's time in
    milliseconds, `order` what sorts lines in it (default: the time); lines at one time stand in the order of the file, which may
    run backwards. `prices` are open, high, low and close of a line, of a trade the same one. `sums` are added up, by the record's
    names; `count` is the record's name for the number of lines, `by` the record's for the column of the instrument, where a file
    has several. `only` is a condition for a line to count. Of lines that are bars themselves (`step` milliseconds long) the last
    one of a time counts, and an hour that lacks one is left out.
    """

    names: Sequence[str]
    needed: Sequence[str]
    time: str
    prices: tuple[str, str, str, str]
    sums: Mapping[str, str]
    order: str = ""
    count: str = ""
    by: tuple[str, str] | None = None
    only: str = "true"
    step: int = 0

    def read(self, body: bytes, record: type[Record]) -> Columns:
        """The bars of a file. An hour with a line that can't be read is left out, and the line named.

        Raises `ValueError` where a line has no time, for a file without a line or without a column, and what `gzip`, `zipfile`
        and DuckDB raise of a file that is damaged.
        """
        with tempfile.TemporaryDirectory() as folder, duckdb.connect(config={"threads": 1, "memory_limit": MEMORY}) as connection:
            connection.execute("set temp_directory = ?", [folder])
            path = Path(folder) / "file.csv"
            # DuckDB would read a gzip file that ends too early without a word.
            with open_file(body) as file, path.open("wb") as plain:
                plain.write(first := file.readline(LONGEST_HEADER))
                most = max(MOST_BYTES, MOST_TIMES * len(body))
                while part := file.read(1 << 20):
                    if plain.tell() > most:
                        raise ValueError(f"the file is longer than {most / 1e6:g} MB, and was packed into {len(body):,} bytes")
                    plain.write(part)
            if not first.strip():
                raise ValueError("the file is empty")
            header = header_of(first)
            names = header or self.names
            if missing := [name for name in self.needed if name not in names]:
                raise ValueError(f"the header has no column {', '.join(missing)}: {', '.join(names)}")
            # A name that is not needed is outside text, and becomes none of SQL's.
            unique = [name if name in self.needed and names.index(name) == n else f"{n}" for n, name in enumerate(names)]
            connection.read_csv(
                str(path), header=False, skiprows=1 if header else 0, sep=",", quotechar="", escapechar="", auto_detect=False,
                null_padding=True, parallel=False, columns=dict.fromkeys(unique, "VARCHAR"),
            ).create_view("text")  # fmt: skip
            table = connection.sql(self._bars()).to_arrow_table()
            flaws = self._flaws(connection, 2 if header else 1) if pc.any(table["is_odd"]).as_py() else []
        table = table.filter(pc.invert(table["is_odd"]))
        schema = arrow_schema(record)
        fields = pa.schema([schema.field(name) for name in record.__struct_fields__])
        return Columns(record, table.select(record.__struct_fields__).cast(fields), flaws)

    def _lines(self) -> str:
        """The lines that count, with their numbers, and whether one of these can't be read."""
        values = {"ms": self.time, "sorted": self.order or self.time, "instrument": self.by[1] if self.by else "null"}
        texts = dict.fromkeys([*self.prices, *self.sums.values()])
        numbers = {f"number_{n}": f"try_cast({text} as double)" for n, text in enumerate(texts)}
        named = ", ".join(f"{text} as {name}" for name, text in {**values, **numbers}.items())
        is_odd = " or ".join(f"isfinite({name}) is not true" for name in numbers)
        return f"""(
            select *, (ms between {EARLIEST} and {LATEST}) is true as has_time, not has_time or {is_odd} as is_odd
            from (select *, row_number() over () as line, {named} from text) where {self.only}
        )"""

    def _bars(self) -> str:
        texts = list(dict.fromkeys([*self.prices, *self.sums.values()]))
        opened, high, low, closed = (f"number_{texts.index(price)}" for price in self.prices)
        sums = [f"fsum(number_{texts.index(text)}) as {name}" for name, text in self.sums.items()]
        more = [
            *sums,
            *([f"count(*) as {self.count}"] if self.count else []),
            *([f"instrument as {self.by[0]}"] if self.by else []),
        ]
        each = "qualify row_number() over (partition by instrument, ms order by line desc) = 1 order by line"
        return f"""
        select
            case when has_time then ms // {HOUR} * {HOUR} end as open_time,
            case min(sorted)
                when first(sorted) then first({opened}) when last(sorted) then last({opened}) else arg_min({opened}, sorted)
            end as open,
            max({high}) as high,
            min({low}) as low,
            case max(sorted)
                when last(sorted) then last({closed}) when first(sorted) then first({closed}) else arg_max({closed}, sorted)
            end as close,
            bool_or(is_odd) as is_odd,
            {", ".join(more)}
        from (select * from {self._lines()} {each if self.step else ""})
        group by 1, instrument  -- the file may have a column open_time, too
        having is_odd or {self.step} = 0 or count(*) * {self.step} = {HOUR}
        order by 1, instrument"""

    def _flaws(self, connection: duckdb.DuckDBPyConnection, first: int) -> list[tuple[str, str, str]]:
        """The lines that can't be read, the first of them. Raises `ValueError` where one has no time: it may be of any hour."""
        values = ", ".join(f'"{name}"' for name in self.needed)
        odd = connection.sql(
            f"select line, has_time, concat_ws(',', {values}) from {self._lines()} where is_odd order by 2, 1 limit {NAMED}"
        ).fetchall()
        for line, has_time, content in odd:
            if not has_time:
                raise ValueError(f"line {line + first - 1} has no time: {content[:80]!r}")
        return [
            (f"line {line + first - 1}", repr(content)[:80], "not a number: its hour is left out") for line, _, content in odd
        ]
