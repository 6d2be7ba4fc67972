"""Half-open windows of time, in milliseconds since the epoch, UTC: `[start, end)`.

Endpoints with history are fetched and loaded for such a window, which Dagster's daily partitions give. Milliseconds, because most
venues use them and integers compare exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

HOUR = 3_600_000
DAY = 24 * HOUR
#: How late, in milliseconds, a venue stamps a settlement: the one at the window's end pays for the window's last hours.
SETTLED_LATE_MS = 60_000


def to_ms(moment: datetime) -> int:
    """Milliseconds since the epoch of an aware datetime."""
    return int(moment.timestamp() * 1000)


def to_datetime(ms: int) -> datetime:
    """The aware UTC datetime of milliseconds since the epoch."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def iso(ms: int) -> str:
    """`2025-10-10T21:00:00Z`, as in logs and messages."""
    return to_datetime(ms).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_ms(ms: int) -> str:
    """`2025-10-10T21:00:00.219Z`, for venues whose parameters are ISO 8601."""
    return f"{iso(ms)[:-1]}.{ms % 1000:03d}Z"


@dataclass(frozen=True, order=True)
class Window:
    """`[start, end)` in milliseconds, UTC."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise ValueError(f"window ends before it starts: {self}")

    @classmethod
    def of_days(cls, first: date, last: date) -> Window:
        """The window of whole UTC days from `first` to `last`, both inclusive."""
        start = datetime(first.year, first.month, first.day, tzinfo=UTC)
        end = datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=1)
        return cls(to_ms(start), to_ms(end))

    @property
    def day_numbers(self) -> range:
        """The UTC days that the window touches, counted from 1970-01-01."""
        return range(self.start // DAY, -(-self.end // DAY) if self else self.start // DAY)

    @property
    def days(self) -> list[date]:
        """The UTC days that the window touches."""
        return [to_datetime(day * DAY).date() for day in self.day_numbers]

    def __contains__(self, ms: int) -> bool:
        return self.start <= ms < self.end

    def __bool__(self) -> bool:
        return self.end > self.start

    def meets(self, other: Window) -> bool:
        """True if the windows have a moment in common."""
        return max(self.start, other.start) < min(self.end, other.end)

    def chunks(self, step: int) -> Iterator[Window]:
        """Consecutive windows of at most `step` milliseconds, aligned to the epoch: a day gives the same requests in any run."""
        start = self.start
        while start < self.end:
            end = min((start // step + 1) * step, self.end)
            yield Window(start, end)
            start = end

    def months(self, together: int = 1) -> Iterator[Window]:
        """The calendar months that the window touches, whole; three `together` are the quarters of years."""
        at = self.start
        while at < self.end:
            day = to_datetime(at)
            year, month = day.year, (day.month - 1) // together * together
            first, following = (datetime(year + m // 12, m % 12 + 1, 1, tzinfo=UTC) for m in (month, month + together))
            yield Window(to_ms(first), at := to_ms(following))

    def after(self, ms: int) -> Window:
        """The part of the window from `ms` on (maybe empty)."""
        return Window(min(max(self.start, ms), self.end), self.end)

    @property
    def whole_days(self) -> Window:
        """The UTC days that the window touches, from the first one's start to the last one's end."""
        return Window(self.start // DAY * DAY, -(-self.end // DAY) * DAY)

    def before(self, ms: int) -> Window:
        """The part of the window before `ms` (maybe empty)."""
        return Window(self.start, max(self.start, min(self.end, ms)))

    def without(self, others: Iterable[Window]) -> list[Window]:
        """The parts of the window that no other one has, in order."""
        left, rest = [], self
        for other in sorted(others):
            left.append(rest.before(other.start))
            rest = rest.after(other.end)
        return [part for part in (*left, rest) if part]

    def widened(self, ms: int) -> Window:
        """The window with `ms` more on either side."""
        return Window(self.start - ms, self.end + ms)

    def __str__(self) -> str:
        return f"{iso(self.start)} to {iso(self.end)}"
