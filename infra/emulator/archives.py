"""What archives of files have in common: keys, files whole or by ranges, S3's first listing, and what is wrong with a file.

A module in `venues/` has a class on `Files`, or on `PublicBucket` where the archive can be listed. A file is the CSV of an
instrument and a period, packed; it is there once `there_from` says so. A fault (`missing_file`, `damaged_file`, `other_header`)
stays with a file until it is deleted. Nothing to run alone.
"""

from __future__ import annotations

import gzip
import io
import zipfile
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import replace
from xml.sax.saxutils import escape

import numpy as np

from infra.emulator.buckets import XMLNS, etag, listed, sent
from infra.emulator.messages import Answer, Ask
from infra.emulator.store import MS_HOUR, Ints
from infra.emulator.venue import Refused, Venue, route

MS_DAY = 24 * MS_HOUR


def ends(period: str) -> tuple[int, int]:
    """The ends of a day or a month in ms, of the archive's own clock."""
    first = np.datetime64(period)
    start, end = (int(at.astype("datetime64[ms]").astype(np.int64)) for at in (first, first + 1))
    return start, end


def periods(times: Ints, unit: str, ahead: int = 0) -> list[str]:
    """The days (D) or months (M) that have some times, of a clock that is so many ms ahead of UTC."""
    found: list[str] = np.unique((times + ahead).astype("datetime64[ms]").astype(f"datetime64[{unit}]")).astype(str).tolist()
    return found


def zipped(key: str, csv: str) -> bytes:
    """The same bytes for the same content."""
    name = key.rpartition("/")[2].replace(".zip", ".csv")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), csv, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def gzipped(key: str, csv: str) -> bytes:
    """The same bytes for the same content."""
    return gzip.compress(csv.encode(), mtime=0)


class Files(Venue):
    """Files by key."""

    @abstractmethod
    def find(self, prefix: str, now: int) -> Iterable[str]:
        """The keys of all files that may be below a prefix, and are there."""

    @abstractmethod
    def there_from(self, key: str) -> int:
        """When a file is there (ms)."""

    @abstractmethod
    def lines(self, key: str, now: int) -> tuple[str, Iterable[str]]:
        """The header of a file (empty: it has none) and its rows."""

    def pack(self, key: str, csv: str) -> bytes:
        return (zipped if key.endswith(".zip") else gzipped)(key, csv)

    def keys(self, prefix: str, now: int) -> list[str]:
        """The keys below a prefix, in order."""
        found = self.find(prefix, now)
        return sorted(key for key in found if key.startswith(prefix) and self._fault(key) != "missing_file")

    def _fault(self, key: str) -> str:
        return self.world.faults.of_file(self.name, key)

    def sound(self, key: str, now: int) -> bytes:
        """A file before a fault damaged it."""
        other = self._fault(key) == "other_header"

        def make() -> bytes:
            header, rows = self.lines(key, now)
            if other:
                header = ",".join(f"new_{column}" for column in (header or "time,value").split(","))
            return self.pack(key, "".join(f"{row}\n" for row in ([header, *rows] if header else rows)))

        return self.market.keep(("archive", key, other), make)

    def stated(self, key: str, now: int) -> bytes:
        """The bytes that a listing is about."""
        return self.sound(key, now)

    def file(self, key: str, now: int) -> bytes:
        packed = self.sound(key, now)
        half = len(packed) // 2
        return packed[:half] + bytes([packed[half] ^ 1]) + packed[half + 1 :] if self._fault(key) == "damaged_file" else packed

    @route("/{key:.+}")
    def get(self, ask: Ask, key: str) -> Answer:
        if key not in self.keys(key, ask.now):
            raise Refused("unknown_path")
        answer = sent(self.file(key, ask.now), self.there_from(key), ask)
        return replace(answer, headers={**answer.headers, "ETag": etag(self.stated(key, ask.now))})


class PublicBucket(Files):
    """A bucket that is listed by prefix, delimiter and marker, 1000 keys a page; `folders` are others' that it has beside."""

    bucket: str

    def folders(self, prefix: str) -> Iterable[str]:
        """What a list of folders has beside those of the files."""
        return ()

    @route("/")
    def objects(self, ask: Ask) -> Answer:
        query = ask.query
        prefix, delimiter, marker = (query.get(name, "") for name in ("prefix", "delimiter", "marker"))
        most = min(ask.integer("max-keys") or 1000, 1000)
        keys = [key for key in self.keys(prefix, ask.now) if key > marker]
        folded = {_folded(key, prefix, delimiter) for key in keys}.union(self.folders(prefix) if delimiter else ())
        entries = sorted(entry for entry in folded if entry > marker)
        more, page = len(entries) > most, entries[:most]
        files = (key for key in page if not key.endswith("/"))
        contents = (listed(key, self.stated(key, ask.now), self.there_from(key)) for key in files)
        prefixes = (f"<CommonPrefixes><Prefix>{escape(e)}</Prefix></CommonPrefixes>" for e in page if e.endswith("/"))
        following = f"<NextMarker>{escape(page[-1])}</NextMarker>" if more and delimiter else ""
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult {XMLNS}><Name>{self.bucket}</Name>'
            f"<Prefix>{escape(prefix)}</Prefix><Marker>{escape(marker)}</Marker>{following}<MaxKeys>{most}</MaxKeys>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{''.join(contents)}{''.join(prefixes)}</ListBucketResult>"
        )
        return Answer(body.encode(), content_type="application/xml")


def _folded(key: str, prefix: str, delimiter: str) -> str:
    """A key, or the folder below the prefix that it is in."""
    folder, is_below, _ = key[len(prefix) :].partition(delimiter or "\n")
    return prefix + folder + delimiter if is_below else key
