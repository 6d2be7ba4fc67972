"""A user's folder of series, read into the one format that the emulator serves (`docs/your-own-data.md`).

    series = read_series(Path("my-series"))
    series.tables["candles_1h"], series.notes

A file is read as text (CSV and JSON, by DuckDB) or with its types (Parquet), whatever its suffix; then each column is typed here,
so that a coin `007` or `NA` stays a name (`spellings`). The first value that can't be read raises `SeriesError` with file, line,
column, value and remedy.
"""

from __future__ import annotations

import csv
import gzip
import re
import shutil
import tempfile
import zlib
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines.spellings import SERVED, coin_name, column_name, decimal_mark, floats, instants, venue_name

if TYPE_CHECKING:
    import duckdb

KEYS = ("timestamp", "venue", "coin")
MS_HOUR, MS_DAY = 3_600_000, 86_400_000
YEAR_2014 = 1_388_534_400_000
QUOTED = 80  # the longest value that a message quotes
DEEPEST = 100  # brackets within brackets in JSON
ROUNDING = 1e-6  # by how much a bar's high may fall short of its other prices, as columns of different precision do


class SeriesError(ValueError):
    """A file of series can't be used; the message is one line."""


@dataclass(frozen=True)
class Format:
    """A file's columns. `grid`: milliseconds that stamps are a multiple of. `names`: the spellings of the file's name."""

    name: str
    names: str
    required: tuple[str, ...]
    optional: tuple[str, ...]
    positive: tuple[str, ...]
    grid: int
    stamp: str


FORMATS = (
    Format(
        "candles_1h", r"candles?|klines?|ohlcv?|bars?", ("open", "high", "low", "close"),
        ("volume_base", "volume_usd", "mark_price"), ("open", "high", "low", "close", "mark_price"),
        MS_HOUR, "the start of its bar, on the hour",
    ),
    Format(
        "funding_rates", r"fundings?|funding_?rates?", ("funding_rate",), ("mark_price",), ("mark_price",), 1, "the settlement",
    ),
    Format(
        "open_interest_1h", r"open_?interests?|oi", (), ("oi_usd", "oi_base", "mark_price"), ("mark_price",),
        MS_HOUR, "an instant on the hour",
    ),
    Format(
        "liquidations_1d", r"liquidations?|liqs?", ("total_usd", "long_usd", "short_usd"), ("events",), (), MS_DAY, "a day",
    ),
)  # fmt: skip

_SUFFIXES = {"csv": "csv", "tsv": "csv", "txt": "csv", "json": "json", "jsonl": "json", "ndjson": "json"}
_DATA = re.compile(rf"(?i)(?P<stem>.+?)\.(?P<kind>parquet|pq|{'|'.join(_SUFFIXES)})(?P<packed>\.gz|\.zst)?")
#: How the content of a file begins: what it is, whatever its suffix says.
_MAGIC = {b"PAR1": "parquet", b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "workbook"}
#: A column without a name: what pandas writes for its index.
_INDEX = re.compile(r"(?i)unnamed: ?\d+|column\d+|index|level_\d+|__index_level_\d+__|\s*")


@dataclass
class Series:
    """Tables by the name of their format: `timestamp` in int64 ms, values in float64, NaN = not recorded; notes for the user."""

    tables: dict[str, pa.Table] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def venues(self) -> frozenset[str]:
        return frozenset(v for table in self.tables.values() for v in pc.unique(table["venue"]).to_pylist())

    @property
    def start(self) -> int:
        """The first stamp of all tables, milliseconds, UTC."""
        return min(int(table["timestamp"].to_numpy().min()) for table in self.tables.values())

    def write(self, folder: Path) -> None:
        """The tables as Parquet files, which the emulator serves."""
        folder.mkdir(parents=True)
        for name, table in self.tables.items():
            pq.write_table(table, folder / f"{name}.parquet")


def series_files(folder: Path) -> list[Path]:
    """The files of a folder, without hidden ones. Raises `SeriesError` for a folder that isn't there."""
    if not folder.is_dir():
        raise SeriesError(f"{folder}: {'is a file, name its folder' if folder.exists() else 'there is no such folder'}")
    files = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    if odd := next((path for path in files if path.exists() and not (path.is_file() or path.is_dir())), None):
        raise SeriesError(f"{odd}: is a pipe or a device: move it away")
    return files


def state(folder: Path) -> str:
    """Names, sizes and times of a folder's files: another text is another recording."""
    stats = [(path.name, path.stat()) for path in series_files(folder)]
    return ";".join(f"{name}:{stat.st_size}:{stat.st_mtime_ns}" for name, stat in stats)


def read_series(folder: Path) -> Series:
    """Read a folder, once for each of its states. Raises `SeriesError`."""
    return _read_state(folder.resolve(), state(folder))


@lru_cache(maxsize=2)
def _read_state(folder: Path, _: str) -> Series:
    series = Series()
    found: dict[str, Path] = {}
    for path in series_files(folder):
        form, suffix = _recognised(path)
        if form is None:
            if path.suffix.lower() != ".md":
                names = ", ".join(form.name for form in FORMATS)
                series.notes.append(f"{path.name} is left out: a series is a .csv, .json or .parquet named {names}")
            continue
        if form.name in found:
            raise SeriesError(f"{found[form.name].name} and {path.name} are both {form.name}: keep one of them in {folder}")
        found[form.name] = path
        table = _File(path, form, suffix).read()
        if not table.num_rows:
            series.notes.append(f"{path.name} has no rows and is left out")
            continue
        table = _served(path.name, table, series.notes)
        if form.name == "liquidations_1d":
            table = _consistent(path.name, table, series.notes)
            series.notes.append(
                f"{path.name}: {table.num_rows:,} daily totals are not loaded: no endpoint of these venues states them"
            )
        if table.num_rows:
            series.tables[form.name] = table
    if not series.tables:
        reasons = "; ".join(series.notes) or "it is empty"
        raise SeriesError(f"{folder} holds no series: {reasons}")
    return series


def _recognised(path: Path) -> tuple[Format | None, str]:
    """The format that a file's name stands for, and what its suffix says that it is: `csv`, `json` or `parquet`."""
    match = _DATA.fullmatch(path.name)
    if match and path.is_file():
        words = re.split(r"[\s\-._]+", match["stem"].strip().lower())
        stem = "_".join(word for word in words if not re.fullmatch(r"1[hd]|60m(in)?|hourly|daily", word))
        for form in FORMATS:
            if re.fullmatch(form.names, stem):
                return form, _SUFFIXES.get(match["kind"].lower(), "parquet")
    return None, ""


@dataclass
class _File:
    """One file being read. Rows count from 0 here; messages name a CSV's line, else a row."""

    path: Path
    form: Format
    kind: str
    #: The sign before decimals, and a number that may be of either, where none decides.
    mark: str = "."
    doubtful: str = ""

    def error(self, what: str, remedy: str, row: int | None = None, more: int = 0) -> SeriesError:
        place = "" if row is None else f", {self._place(row)}"
        others = f" (and {more:,} more)" if more else ""
        return SeriesError(f"{self.path.name}{place}: {what[:300]}{others}; {remedy[:300]}")

    def _place(self, row: int) -> str:
        return f"line {row + 2}" if self.kind == "csv" else f"row {row + 1}"

    def read(self) -> pa.Table:
        try:
            table = self._named(self._stored())
        except OSError as problem:
            raise self.error(f"can't be read ({problem.strerror or _first_line(problem)})", "make it readable") from None
        if not table.num_rows:
            return table
        texts = (_plain_text(table[name]) for name in table.column_names if name not in KEYS and not _is_number(table[name].type))
        self.mark, self.doubtful = decimal_mark(text for column in texts for text in pc.unique(column.drop_null()).to_pylist())
        columns: dict[str, Any] = {"timestamp": self._times(table["timestamp"])}
        for name in ("venue", "coin"):
            columns[name] = self._names(name, table[name])
        for name in (name for name in table.column_names if name not in KEYS):
            columns[name] = self._numbers(name, table[name])
        self._check(columns)
        typed = pa.table({name: pa.array(values) for name, values in columns.items()})
        return typed.take(pc.sort_indices(typed, sort_keys=[(name, "ascending") for name in ("venue", "coin", "timestamp")]))

    # --- the table as it is stored

    def _stored(self) -> pa.Table:
        with self.path.open("rb") as file:
            head = file.read(4096)
        if not head:
            raise self.error("is empty", "a header with the columns' names is needed")
        content = next((what for magic, what in _MAGIC.items() if head.startswith(magic)), "")
        if content == "workbook":
            raise self.error("is a workbook or an archive", "save its sheet as CSV, or unpack it")
        if content == "parquet" or (self.kind == "parquet" and content == ""):
            self.kind = "parquet"
            table = self._parquet()
        else:
            table = self._text(content)
        for name, column in zip(table.column_names, table.columns, strict=True):
            if pa.types.is_nested(column.type):
                raise self.error(f"column {name!r} holds {column.type}", "write one number or text for each row")
        return table

    def _parquet(self) -> pa.Table:
        try:
            return pq.ParquetFile(self.path).read()
        except (pa.ArrowException, OSError) as problem:
            raise self.error(f"is no readable Parquet file ({_first_line(problem)})", "write it again") from None

    def _text(self, compression: str) -> pa.Table:
        """The table of a text, packed or not. DuckDB would read a packed file that is cut without a word."""
        import duckdb

        # DuckDB takes a path for a pattern and its suffix for a format: both are kept from it.
        with tempfile.TemporaryDirectory(prefix="perplake-") as folder, duckdb.connect() as connection:
            link, plain = Path(folder) / f"series.{self.kind}", self.path.resolve()
            if compression:
                plain = self._unpacked(Path(folder) / "plain", compression)
            with plain.open("rb") as file:
                encoding = _encoding(file.read(4096))
            if encoding == "utf-8":
                link.symlink_to(plain)
            else:  # as spreadsheets save; DuckDB reads it with an extension only
                try:
                    link.write_text(plain.read_text(encoding), "utf-8")
                except UnicodeError as problem:
                    raise self.error(f"can't be read ({_first_line(problem)})", "save it as text in UTF-8") from None
            try:
                if self.kind == "json" and _is_deep(link):
                    raise ValueError("values within values")
                return (_json if self.kind == "json" else _csv)(connection, str(link))
            except (duckdb.Error, ValueError) as problem:
                raise self._unread(str(problem), folder, plain) from None

    def _unpacked(self, plain: Path, compression: str) -> Path:
        import zstandard

        try:
            with self.path.open("rb") as packed, plain.open("wb") as file:
                if compression == "gzip":
                    shutil.copyfileobj(gzip.GzipFile(fileobj=packed), file, 1 << 20)
                else:
                    file.writelines(_unzstd(packed))
        except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as problem:
            raise self.error(f"can't be unpacked ({_first_line(problem)})", "save it again, it is cut or damaged") from None
        return plain

    def _unread(self, problem: str, folder: str, plain: Path) -> SeriesError:
        """Why DuckDB can't read a file: the first line of another length than the header, else its own words."""
        text = "not in UTF-8" if "utf-8" in problem.lower() else _first_line(problem).replace(f"{folder}/", "")[:150]
        if self.kind == "json":
            return self.error(f"can't be read as JSON ({text})", "write a list of objects, one for each row, or one in each line")
        lines = plain.read_bytes().decode("utf-8", "surrogateescape").splitlines()
        with suppress(csv.Error):  # a value longer than any
            if delimiter := _DELIMITER.search(lines[0]):
                widths = [len(row) for row in csv.reader(lines, delimiter=delimiter[0])]
                if row := next((row for row, width in enumerate(widths) if width not in (0, widths[0])), 0):
                    return self.error(f"{widths[row]} values under {widths[0]} columns", "mend the line", row - 1)
        line = re.search(r"Line: (\d+)", problem)
        return self.error(f"can't be read as CSV ({text})", "save it as CSV in UTF-8", int(line[1]) - 2 if line else None)

    def _named(self, table: pa.Table) -> pa.Table:
        """The table with the format's own column names, and without an index that pandas wrote."""
        known = (*KEYS, *self.form.required, *self.form.optional)
        names = [name.strip().lstrip("\ufeff").strip() for name in table.column_names]
        named = [column_name(name) for name in names]
        columns: dict[str, Any] = {}
        index: list[Any] = []
        for original, name, column in zip(names, named, table.columns, strict=True):
            if name not in known and _INDEX.fullmatch(original):
                index.append(column)
                continue
            twice = re.sub(r"_\d+$", "", name)
            if name in columns or (name not in known and twice in columns):
                raise self.error(f"column {twice!r} stands there twice", "keep one of them")
            if name not in known:
                raise self.error(
                    f"unknown column {original[:QUOTED]!r}", f"its columns are {', '.join(known)}: rename or remove it"
                )
            columns[name] = column
        if "timestamp" not in columns and index:
            columns["timestamp"] = index[0]
        if missing := [name for name in (*KEYS, *self.form.required) if name not in columns]:
            raise self.error(f"required columns are missing: {', '.join(missing)}", f"there are: {', '.join(names)}")
        if not self.form.required and not {"oi_usd", "oi_base"} & columns.keys():
            raise self.error("one of the columns oi_usd and oi_base is required", f"there are: {', '.join(names)}")
        return pa.table(columns)

    # --- columns

    def _texts(self, column: pa.ChunkedArray, read: Callable[[list[str]], list[Any]]) -> tuple[list[Any], NDArray[np.int64]]:
        """What `read` makes of the distinct values, and each row's place among them (-1 = null)."""
        encoded = column.cast(pa.string()).combine_chunks().dictionary_encode()
        indices = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        return read([value.strip() for value in encoded.dictionary.to_pylist()]), indices

    def _names(self, name: str, column: pa.ChunkedArray) -> list[str]:
        if not pa.types.is_string(column.type):
            column = column.cast(pa.string())
        read: Callable[[str], str] = venue_name if name == "venue" else coin_name
        values, at = self._texts(column, lambda texts: [read(text) for text in texts])
        self._refuse([i < 0 or not values[i] for i in at], f"column {name} is empty", f"each row needs a {name}")
        return [values[i] for i in at]

    def _times(self, column: pa.ChunkedArray) -> NDArray[np.int64]:
        if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
            zone = getattr(column.type, "tz", None)
            found = column.cast(pa.timestamp("ms", tz=zone), safe=False).cast(pa.int64())
            texts = column
        else:
            texts = _plain_text(column)
            read, at = self._texts(texts, instants)
            found = pa.chunked_array([pa.array([None if i < 0 else read[i] for i in at], pa.int64())])
        unread = found.is_null().to_numpy()
        remedy = "write it as 2025-10-10T20:00:00Z, or as a number of seconds or milliseconds since 1970"
        self._refuse(unread, "timestamp {} can't be read", remedy, texts)
        times: NDArray[np.int64] = found.to_numpy()
        future = times > datetime.now(UTC).timestamp() * 1000 + MS_DAY
        self._refuse((times < YEAR_2014) | future, "timestamp {} lies before 2014 or in the future", remedy, texts)
        grid = f"a stamp is {self.form.stamp} (UTC)"
        self._refuse(times % self.form.grid != 0, "timestamp {} is off the grid", grid, texts)
        return times

    def _numbers(self, name: str, column: pa.ChunkedArray) -> NDArray[np.float64]:
        if _is_number(column.type):
            values: NDArray[np.float64] = column.cast(pa.float64(), safe=False).to_numpy().astype(np.float64)
        else:
            texts = _plain_text(column)
            self._refuse(pc.equal(pc.utf8_trim_whitespace(texts), self.doubtful).fill_null(False) if self.doubtful else [],
                         f"column {name}: {{}} may have decimals or thousands after its comma",
                         "write digits with a decimal point", texts)  # fmt: skip
            read, at = self._texts(texts, lambda each: floats(each, self.mark))
            values = np.array([np.nan if i < 0 or read[i] is None else read[i] for i in at], np.float64)
            self._refuse([i >= 0 and read[i] is False for i in at], f"column {name}: {{}} is no number",
                         "write digits with a decimal point, no percent sign and no unit", texts)  # fmt: skip
        texts = column
        self._refuse(np.isinf(values), f"column {name}: {{}} is infinite", "leave unknown values empty", texts)
        if name in self.form.required:
            self._refuse(np.isnan(values), f"column {name} is empty", "give the value or remove the row")
        if name in self.form.positive:
            self._refuse(values <= 0, f"column {name}: {{}} is not above zero", "leave unknown prices out", texts)
        elif name != "funding_rate":
            self._refuse(values < 0, f"column {name}: {{}} is below zero", "leave unknown values empty", texts)
        return values

    def _refuse(self, bad: Any, what: str, remedy: str, texts: pa.ChunkedArray | None = None) -> None:
        """Raises for the first bad row, with its value in `what`."""
        rows = np.flatnonzero(np.asarray(bad, np.bool_))
        if len(rows):
            value = "" if texts is None else repr(str(texts[int(rows[0])].as_py())[:QUOTED])
            raise self.error(what.replace("{}", value), remedy, int(rows[0]), len(rows) - 1)

    def _check(self, columns: dict[str, Any]) -> None:
        """Rules over several columns; a bar's high and low are widened by what rounding took."""
        if "high" in columns:
            prices = np.stack([columns[name] for name in ("open", "high", "low", "close")])
            highest, lowest = prices.max(axis=0), prices.min(axis=0)
            self._refuse(columns["high"] < highest * (1 - ROUNDING), "high is below the bar's open, low or close", "mend the bar")
            self._refuse(columns["low"] > lowest * (1 + ROUNDING), "low is above the bar's open, high or close", "mend the bar")
            columns["high"], columns["low"] = highest, lowest
        if not self.form.required:
            held = np.stack([columns[name] for name in ("oi_usd", "oi_base") if name in columns])
            self._refuse(np.isnan(held).all(axis=0), "oi_usd and oi_base are empty", "give one of them or remove the row")
        keys = list(zip(columns["venue"], columns["coin"], columns["timestamp"].tolist(), strict=True))
        if len(first := dict(zip(reversed(keys), reversed(range(len(keys))), strict=True))) < len(keys):
            row = next(row for row, key in enumerate(keys) if first[key] < row)
            venue, coin, at = keys[row]
            what = f"{venue} {coin} at {_iso(at)} stands there already ({self._place(first[keys[row]])})"
            raise self.error(what, "keep one row for each time, venue and coin", row, len(keys) - len(first) - 1)


def _served(name: str, table: pa.Table, notes: list[str]) -> pa.Table:
    """The rows of the venues that a recording serves; the others are counted in a note."""
    others = Counter(venue for venue in table["venue"].to_pylist() if venue not in SERVED)
    for venue, count in sorted(others.items()):
        notes.append(f"{name}: {count:,} rows of {venue} are left out: a recording serves {', '.join(SERVED)}")
    return table.filter(pc.is_in(table["venue"], pa.array(SERVED))) if others else table


def _consistent(name: str, table: pa.Table, notes: list[str]) -> pa.Table:
    """The liquidations without the series whose sides add up to more than their total."""
    total, sides = table["total_usd"].to_numpy(), table["long_usd"].to_numpy() + table["short_usd"].to_numpy()
    keys = list(zip(table["venue"].to_pylist(), table["coin"].to_pylist(), strict=True))
    above: dict[tuple[str, str], list[int]] = {}
    for at in np.flatnonzero(sides > total * 1.001 + 1):
        above.setdefault(keys[at], []).append(int(at))
    for (venue, coin), rows in above.items():
        row, count = rows[0], keys.count((venue, coin))
        notes.append(
            f"{name}: consistency: {venue} {coin} is left out ({count:,} rows): long_usd + short_usd is above total_usd on "
            f"{len(rows)} days, first {_iso(table['timestamp'][row].as_py())[:10]} ({sides[row]:,.0f} of {total[row]:,.0f})"
        )
    return table.filter(pa.array([key not in above for key in keys])) if above else table


# --- values


def _plain_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values as text, decimals digit by digit: a float made from them is the nearest one."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.cast(pa.string())


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _iso(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


_DELIMITER = re.compile(r"[,;\t|^~]")


def _csv(connection: duckdb.DuckDBPyConnection, path: str) -> pa.Table:
    options: dict[str, Any] = {"all_varchar": True, "header": True, "compression": "none"}
    table = connection.read_csv(path, **options).to_arrow_table()
    if table.num_columns == 1 and (delimiter := _DELIMITER.search(table.column_names[0])):
        # The sniffer takes lines of different lengths for one column: with the delimiter it names the line.
        table = connection.read_csv(path, sep=delimiter[0], **options).to_arrow_table()
    return table


def _unzstd(packed: IO[bytes]) -> Iterator[bytes]:
    """The parts of a file of zstd's frames. Raises `EOFError` where the last one is cut, of which zstandard says nothing."""
    import zstandard

    frame = zstandard.ZstdDecompressor().decompressobj()
    while part := packed.read(1 << 20):
        while part:
            if frame.eof:
                frame = zstandard.ZstdDecompressor().decompressobj()
            yield frame.decompress(part)
            part = frame.unused_data if frame.eof else b""
    if not frame.eof:
        raise EOFError("it ends too early")


#: Brackets as steps into what is nested and out of it, for `_is_deep`.
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))


def _is_deep(path: Path) -> bool:
    """True for JSON with so many values within values that DuckDB would end the process; rows have two."""
    depth = 0
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            steps = np.frombuffer(part.translate(_STEPS, _NO_BRACKETS), np.int8)
            depths = depth + np.cumsum(steps, dtype=np.int64)
            if len(depths):
                if depths.max() > DEEPEST:
                    return True
                depth = int(depths[-1])
    return False


def _json(connection: duckdb.DuckDBPyConnection, path: str) -> pa.Table:
    """All values as text; what is nested keeps its type."""
    found = connection.read_json(path, sample_size=-1)
    if any(kind.id in ("struct", "list", "map") for kind in found.types):
        return found.limit(1).to_arrow_table()
    if found.columns == ["json"]:
        raise ValueError("no list of objects")
    names: Any = dict.fromkeys(found.columns, "VARCHAR")
    return connection.read_json(path, columns=names).to_arrow_table()


def _encoding(head: bytes) -> str:
    """The encoding of a text by how it begins: its byte order mark, else where its zero bytes lie."""
    for encoding, marks in {"utf-32": (BOM_UTF32_LE, BOM_UTF32_BE), "utf-16": (BOM_UTF16_LE, BOM_UTF16_BE)}.items():
        if head.startswith(marks):
            return encoding
    if head.startswith(BOM_UTF8):
        return "utf-8-sig"
    if len(head) > 3 and not any(head[1:64:2]):
        return "utf-32-le" if not any(head[2:64:4]) else "utf-16-le"
    return "utf-16-be" if len(head) > 3 and not any(head[0:64:2]) else "utf-8"


def _first_line(problem: object) -> str:
    return next(iter(str(problem).splitlines()), type(problem).__name__)
