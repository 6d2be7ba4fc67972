"""Windows are half-open, and their parts overlap nowhere and leave nothing out."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.paging import hourly
from pipelines.source import Instrument, Request
from pipelines.windows import DAY, HOUR, Window, iso, to_datetime, to_ms

moments = st.integers(1_388_534_400_000, 2_208_988_799_999)
windows = st.builds(lambda start, length: Window(start, start + length), moments, st.integers(0, 400 * DAY))
steps = st.integers(1, 5000).map(lambda hours: hours * HOUR)


@given(windows, steps)
def test_chunks_partition_a_window(window: Window, step: int) -> None:
    chunks = list(window.chunks(step))
    assert bool(chunks) == bool(window)
    if chunks:
        assert (chunks[0].start, chunks[-1].end) == (window.start, window.end)
    assert all(a.end == b.start for a, b in pairwise(chunks))
    assert all(0 < c.end - c.start <= step for c in chunks)


@given(windows, steps)
def test_inner_edges_of_chunks_are_multiples_of_the_step(window: Window, step: int) -> None:
    """Overlapping windows give equal requests."""
    assert all(c.end % step == 0 for c in list(window.chunks(step))[:-1])


@given(windows, moments)
def test_before_and_after_split_a_window_at_a_moment(window: Window, ms: int) -> None:
    early, late = window.before(ms), window.after(ms)
    assert early.start == window.start and late.end == window.end
    assert (early.end - early.start) + (late.end - late.start) == window.end - window.start
    assert all(m not in late for m in (early.start, early.end - 1) if m in early)


@given(windows)
def test_days_are_those_that_the_window_touches(window: Window) -> None:
    touched = {to_datetime(ms).date() for ms in range(window.start, window.end, HOUR)}
    if window:
        touched.add(to_datetime(window.end - 1).date())
    assert window.days == sorted(touched)


@given(windows, st.integers(1, 2000))
def test_hourly_requests_span_at_most_their_rows_in_hours(window: Window, rows: int) -> None:
    plan = hourly(rows, lambda instrument, chunk: Request("/", window=chunk))
    for request in plan(Instrument("", ""), window):
        assert request.window
        hours = -(-request.window.end // HOUR) - -(-request.window.start // HOUR)
        assert hours <= rows


def test_days_are_inclusive_and_utc() -> None:
    window = Window.of_days(date(2024, 2, 28), date(2024, 2, 29))
    assert (iso(window.start), iso(window.end)) == ("2024-02-28T00:00:00Z", "2024-03-01T00:00:00Z")
    assert window.days == [date(2024, 2, 28), date(2024, 2, 29)]
    assert window.start in window and window.end - 1 in window and window.end not in window


def test_a_window_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ValueError, match="ends before"):
        Window(2, 1)


def test_milliseconds_of_any_zone() -> None:
    shanghai = timezone(timedelta(hours=8))
    assert to_ms(datetime(2025, 10, 11, 5, 15, tzinfo=shanghai)) == to_ms(datetime(2025, 10, 10, 21, 15, tzinfo=UTC))
