"""What answers cover: pages that are cut, loops, silence, refusals, the life of a contract; by a venue of a few lines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from assets.runtime.stages import fetch_problems
from pipelines.clock import Clock
from pipelines.endpoints import hourly_bars, series, snapshot
from pipelines.error_bodies import error_reader
from pipelines.fetch import FetchResult, fetch
from pipelines.paging import from_newest, hourly, latest, present, rest_of_window, windowed
from pipelines.reading import read
from pipelines.records import Ms, Number, Record
from pipelines.run import EmulatorInfo, Run
from pipelines.settings import Settings
from pipelines.shapes import Bar
from pipelines.source import Endpoint, Instrument, Limit, Request, Source
from pipelines.windows import DAY, HOUR, Window

NOW = 1_795_305_600_000  # 2026-11-22T00:00Z
MONTH = Window(NOW - 30 * DAY, NOW)
WEIGHTS = {"requests": 1}


class Rate(Record):
    time: Ms
    rate: Number


class Listed(Record):
    symbol: str


BARS = hourly_bars("candles", Bar, hourly(1000, windowed("/bars", 1000, WEIGHTS)))
Answer = Callable[[str, Mapping[str, Any]], Any]


@dataclass
class Venue:
    """A venue with one contract, and the requests that it got. `answer(path, params)` gives a body, or a status and a body."""

    answer: Answer
    endpoints: tuple[Endpoint, ...]
    instruments: tuple[Instrument, ...] = (Instrument("A", "A"),)
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    async def get(self, url: str, request: Request) -> tuple[int, Mapping[str, str], bytes, str]:
        params = {name: int(value) if str(value).isdigit() else value for name, value in request.params.items()}
        if request.path == "/list":
            return 200, {}, b'[{"symbol": "A"}]', url
        self.requests.append((request.path, params))
        answered = self.answer(request.path, params)
        status, body = answered if isinstance(answered, tuple) else (200, answered)
        return status, {}, json.dumps(body).encode(), url

    async def close(self) -> None: ...

    def fetch(self, home: Path, window: Window = MONTH, **settings: Any) -> FetchResult:
        """One run; forgets the requests before it."""
        self.requests.clear()
        source = Source(
            name="x",
            venue="x",
            base_url="https://x",
            limits={"requests": Limit(100_000, 1)},
            endpoints=(snapshot("instruments", Listed, "symbol", Request("/list", weights=WEIGHTS)), *self.endpoints),
            error=error_reader("code", absent=(-4108,), retired=(-5000,)),
            parse_instruments=lambda page: list(self.instruments),
            transport=lambda client: self,
        )
        known: dict[str, Any] = {"home": home, "assets": ["A"], "tries": 1}
        self.run = run = Run.begin(Settings(**known | settings), window, Clock(NOW), EmulatorInfo("http://x", "x"))
        [result] = asyncio.run(fetch(run, [source]))
        self.times = {
            row.time if isinstance(row, Rate) else row.open_time
            for entry in result.entries
            if entry.window and not entry.problem
            for row in read(source.endpoint(entry.endpoint_name), run.landing.body(entry)).rows
        }
        return result


def bars(start: int, end: int) -> list[list[Any]]:
    """Bars of whole hours, both ends inclusive."""
    return [[time, 1, 1, 1, 1] for time in range(-(-start // HOUR) * HOUR, end + 1, HOUR)]


def of_the_month(times: set[int]) -> list[int]:
    return sorted(time for time in times if time in MONTH)


@pytest.mark.parametrize("kept", [slice(-200, None), slice(200)], ids=["newest", "oldest"])
def test_a_page_that_the_venue_cut_is_completed(kept: slice, tmp_path: Path) -> None:
    venue = Venue(lambda path, params: bars(params["startTime"], params["endTime"])[kept], (BARS,))
    assert not venue.fetch(tmp_path).failures
    assert of_the_month(venue.times) == list(range(MONTH.start, MONTH.end, HOUR))
    venue.fetch(tmp_path)
    assert venue.requests == [], "what is known is not requested again"


def test_bytes_that_came_for_two_instruments_are_requested_again_by_the_next_run(tmp_path: Path) -> None:
    """A proxy that repeats an answer, also when asked a second time; two quiet markets have the same bytes in truth."""
    wrong = True

    def answer(path: str, params: Mapping[str, Any]) -> Any:
        price = 1 if wrong else {"A": 1, "B": 2}[params["symbol"]]
        return [[*bar[:4], price] for bar in bars(params["startTime"], params["endTime"])]

    day, both = Window(NOW - DAY, NOW), (Instrument("A", "A"), Instrument("B", "A"))
    venue = Venue(answer, (BARS,), both)
    [told] = venue.fetch(tmp_path, day).warnings
    assert (
        told.startswith("x candles: 1 answers are byte for byte those about other instruments, such as ")
        and len(venue.requests) == 3
    )
    wrong = False
    assert not venue.fetch(tmp_path, day).warnings and len(venue.requests) == 2
    assert not venue.fetch(tmp_path, day).warnings and not venue.requests


def test_bytes_that_came_for_another_instrument_in_an_earlier_run_are_requested_again(tmp_path: Path) -> None:
    """A proxy that answers about A with what it kept of B, once."""
    answered: list[Any] = []

    def answer(path: str, params: Mapping[str, Any]) -> Any:
        price = {"A": 1, "B": 2}[params["symbol"]]
        answered.append([[*bar[:4], price] for bar in bars(params["startTime"], params["endTime"])])
        return answered[0] if len(answered) == 2 else answered[-1]

    venue = Venue(answer, (BARS,), (Instrument("B", "A"),))
    venue.fetch(tmp_path, Window(NOW - DAY, NOW))
    venue.instruments = (Instrument("A", "A"),)
    result = venue.fetch(tmp_path, Window(NOW - 2 * DAY, NOW))
    closes = {row.close for e in result.entries if e.window for row in read(BARS, venue.run.landing.body(e)).rows}
    assert closes == {1} and not result.warnings and len(venue.requests) == 2


@pytest.mark.parametrize("stays", [False, True])
def test_points_at_regular_times_that_are_left_out_are_requested_again(stays: bool, tmp_path: Path) -> None:
    """Three points of open interest in the middle of a day; where the venue has none it is asked once more, then no more."""
    points = series("open_interest", Rate, "time", hourly(1000, windowed("/points", 1000, WEIGHTS)), every=HOUR)
    answered: list[int] = []

    def answer(path: str, params: Mapping[str, Any]) -> Any:
        answered.append(1)
        times = range(-(-params["startTime"] // HOUR) * HOUR, params["endTime"] + 1, HOUR)
        left_out = (3, 9, 10) if stays or len(answered) == 1 else ()
        return [{"time": time, "rate": 1} for time in times if time // HOUR % 24 not in left_out]

    day = Window(NOW - DAY, NOW)
    venue = Venue(answer, (points,))
    assert not venue.fetch(tmp_path, day).failures
    assert len(venue.times) == (21 if stays else 24) and len(venue.requests) == 2
    result = venue.fetch(tmp_path, day)
    assert venue.requests == [] and bool(silent(result)) == stays


def test_hours_without_trades_are_requested_once_more_and_stay_missing(tmp_path: Path) -> None:
    def answer(path: str, params: Mapping[str, Any]) -> Any:
        return [bar for bar in bars(params["startTime"], params["endTime"]) if bar[0] // HOUR % 24 not in (0, 3, 20)]

    venue = Venue(answer, (BARS,))
    result = venue.fetch(tmp_path)
    assert len(of_the_month(venue.times)) == 30 * 21 and not result.failures
    assert len(venue.requests) <= 2 * len(list(MONTH.chunks(1000 * HOUR)))
    quiet = set(range(MONTH.start, MONTH.end, HOUR)) - venue.times
    assert quiet <= silent(result)
    result = venue.fetch(tmp_path)
    assert venue.requests == [] and quiet <= silent(result)


CHUNKS = series("funding_rates", Rate, "time", hourly(500, windowed("/rates", 1000, WEIGHTS)))


def test_a_window_without_any_row_is_named(tmp_path: Path) -> None:
    """A has bars from the last week on, and no rate: of three windows, one is due. B trades nowhere, C no longer."""
    listed = (Instrument("A", "A"), Instrument("B", "A"), Instrument("C", "A", trading=False))

    def answer(path: str, params: Mapping[str, Any]) -> Any:
        begins = NOW - 7 * DAY if params["symbol"] == "A" and path == "/bars" else NOW
        return bars(max(params["startTime"], begins), params["endTime"])

    told = [
        "x funding_rates: rows are due and none came for 1 of 9 requests, such as A; the next run requests them again",
        "x: no dataset has a row of 1 of 3 instruments, such as B, which may be suspended or new; "
        "the next run requests them again",
    ]
    for _ in range(2):
        assert Venue(answer, (BARS, CHUNKS), listed).fetch(tmp_path).warnings == told
    assert Venue(lambda path, params: [], (CHUNKS,)).fetch(tmp_path / "short", Window(NOW - 3 * HOUR, NOW)).warnings == []


def test_a_present_without_any_row_is_named_and_costs_no_day(tmp_path: Path) -> None:
    day, now = Window(NOW - DAY, NOW), snapshot("tickers", Listed, "symbol", Request("/tickers", weights=WEIGHTS))
    venue = Venue(lambda path, params: [] if path == "/tickers" else bars(params["startTime"], params["endTime"]), (BARS, now))
    result = venue.fetch(tmp_path, day)
    assert result.warnings == ["x tickers: the answers have no row; nothing of it is known of now"]
    assert result.whole_days(venue.run) == day.days


def silent(result: FetchResult) -> set[int]:
    """The hours of which the venue was asked a second time for missing bars, and had no more."""
    return {time for e in result.entries if e.silent == "A" and e.window for time in range(*e.window, HOUR)}


@pytest.mark.parametrize("quiet", [{0}, {23}, {0, 23}, {0, 5, 23}, {11, 12}, set(range(1, 24))])
def test_hours_of_a_day_that_stay_missing_are_silent(quiet: set[int], tmp_path: Path) -> None:
    """Also where the missing hours span the window, so that the second request is the same as the first."""

    def answer(path: str, params: Mapping[str, Any]) -> Any:
        return [bar for bar in bars(params["startTime"], params["endTime"]) if bar[0] // HOUR % 24 not in quiet]

    day = Window(NOW - DAY, NOW)
    venue = Venue(answer, (BARS,))
    result = venue.fetch(tmp_path, day)
    missing = {day.start + hour * HOUR for hour in quiet}
    assert missing <= silent(result) and len(venue.requests) <= 3  # an empty page is requested again
    assert missing <= silent(venue.fetch(tmp_path, day)) and venue.requests == []


@pytest.mark.parametrize(
    "second",
    [
        lambda rows: (500, {}),
        lambda rows: [[*row[:4], "n/a"] for row in rows],
        lambda rows: rows,
        lambda rows: [{"not": "a bar"}],
    ],
    ids=["fails", "unreadable rows", "all of them", "unreadable"],
)
def test_a_second_answer_that_is_no_silence_leaves_hours_to_be_fetched(second: Callable[[Any], Any], tmp_path: Path) -> None:
    answered: list[Any] = []

    def answer(path: str, params: Mapping[str, Any]) -> Any:
        rows = bars(params["startTime"], params["endTime"])
        answered.append(rows)
        return [row for row in rows if row[0] // HOUR % 24 != 7] if len(answered) == 1 else second(rows)

    result = Venue(answer, (BARS,)).fetch(tmp_path, Window(NOW - DAY, NOW))
    assert len(answered) == 2 and not silent(result)


def test_a_file_that_was_asked_for_a_part_of_its_day_is_asked_for_the_whole(tmp_path: Path) -> None:
    """Its path is that of the day, and load cuts it to the window of its request."""

    def files(instrument: Instrument, window: Window) -> Iterable[Request]:
        return (Request("/day.json", context={"symbol": "A"}, window=day, weights=WEIGHTS) for day in window.chunks(DAY))

    rates = series("funding_rates", Rate, "time", files)
    venue = Venue(lambda path, params: [{"time": NOW - h * HOUR, "rate": 1e-4} for h in range(1, 25)], (rates,))
    for hours, asked in ((1, 1), (1, 0), (0, 1), (0, 0), (1, 0)):
        assert not venue.fetch(tmp_path, Window(NOW - DAY, NOW - hours * HOUR)).failures
        assert len(venue.requests) == asked, hours


def test_a_window_that_is_not_over_is_never_silent(tmp_path: Path) -> None:
    """The day is not over at the run's clock, so bars may still come."""
    venue = Venue(lambda path, params: bars(params["startTime"], params["endTime"])[:3], (BARS,))
    today = Window(NOW - 6 * HOUR, NOW + 18 * HOUR)
    assert not [e for e in venue.fetch(tmp_path, today).entries if e.silent and e.window and e.window[1] > NOW]


def test_a_window_without_any_bar_is_requested_by_each_run(tmp_path: Path) -> None:
    venue = Venue(lambda path, params: [], (BARS,))
    for _ in range(2):
        assert silent(venue.fetch(tmp_path, Window(NOW - DAY, NOW))) and len(venue.requests) == 2


def test_a_start_that_the_venue_ignores_costs_nothing(tmp_path: Path) -> None:
    """The newest `limit` bars up to the end, or the bar that contains the start, or one bar more at the end."""
    for first in (lambda p: p["endTime"] - 1000 * HOUR, lambda p: p["startTime"] - HOUR, lambda p: p["startTime"]):
        venue = Venue(lambda path, params, first=first: bars(first(params), params["endTime"] + HOUR), (BARS,))  # type: ignore[misc]
        result = venue.fetch(tmp_path / str(id(first)))
        assert not result.failures and result.times_outside
        assert of_the_month(venue.times) == list(range(MONTH.start, MONTH.end, HOUR))


@pytest.mark.parametrize("times", [1, 2])
def test_a_row_that_comes_back_whole_is_not_lost(times: int, tmp_path: Path) -> None:
    """One bar can't be read: in the first answer alone, or in each."""
    sent = []

    def answer(path: str, params: Mapping[str, Any]) -> Any:
        rows = bars(params["startTime"], params["endTime"])
        sent.append(rows)
        return [[*row[:4], "n/a"] if row[0] == NOW - 5 * HOUR and len(sent) <= times else row for row in rows]

    venue = Venue(answer, (BARS,))
    result = venue.fetch(tmp_path, Window(NOW - DAY, NOW))
    assert len(sent) == 2 and not result.failures
    assert bool(fetch_problems(result)) == (times == 2)
    assert ("in quarantine, $[19][4]" in str(result.warnings)) and len(venue.times) == 25 - times


@pytest.mark.parametrize("hours", [1, 4, 8, 24])
@pytest.mark.parametrize("kept", [slice(-200, -100), slice(40, 90), slice(100)], ids=["second third", "middle", "start"])
def test_rates_that_a_page_leaves_out_are_requested_once_more(kept: slice, hours: int, tmp_path: Path) -> None:
    """The first answer is about another window; a series of pages that is known to be whole is not requested again."""
    window = Window(NOW - 300 * hours * HOUR, NOW)
    sent = []

    def answer(path: str, params: Mapping[str, Any]) -> Any:
        stamps = [t for t in range(window.start, window.end, hours * HOUR) if params["startTime"] <= t <= params["endTime"]]
        sent.append(stamps)
        return [{"time": t, "rate": 1e-4} for t in (stamps[kept] if len(sent) == 1 else stamps[-120:])]

    rates = series("funding_rates", Rate, "time", hourly(10_000, windowed("/rates", 120, WEIGHTS)), next_page=_earlier)
    venue = Venue(answer, (rates,))
    assert not venue.fetch(tmp_path, window).failures
    assert len(venue.times) == 300
    venue.fetch(tmp_path, window)
    assert venue.requests == []


def test_a_day_is_whole_with_the_settlement_that_closes_it(tmp_path: Path) -> None:
    """Requests of eight hours each: that of the settlement at midnight is one of its own."""
    rates = series("funding_rates", Rate, "time", hourly(8, windowed("/rates", 100, WEIGHTS)))
    fails = True

    def answer(path: str, params: Mapping[str, Any]) -> Any:
        if fails and params["startTime"] == NOW - DAY:
            return 500, {}
        return [{"time": t, "rate": 1e-4} for t in range(params["startTime"], params["endTime"], 8 * HOUR)]

    venue, days = Venue(answer, (rates,)), Window(NOW - 2 * DAY, NOW - DAY)
    assert venue.fetch(tmp_path, days).whole_days(venue.run) == [] and len(venue.times) == 3
    fails = False
    assert venue.fetch(tmp_path, days).whole_days(venue.run) == days.days and len(venue.times) == 4 and len(venue.requests) == 1


@pytest.mark.parametrize(
    ("gaps", "lost", "asked"),
    [
        ([1] * 40, {20}, 2),
        ([1] * 40, {20, 21, 30}, 2),
        ([8] * 20 + [4] * 20, {10, 30}, 2),  # the interval changes, and a settlement of each is left out
        ([8] * 20 + [4] * 20, set(), 1),
        ([4] * 9 + [8, 1] + [1] * 30, set(), 3),  # longer than both sides: an empty answer is confirmed
    ],
)
def test_settlements_that_are_left_out_are_noticed_whatever_the_interval(
    gaps: list[int], lost: set[int], asked: int, tmp_path: Path
) -> None:
    stamps = [NOW - HOUR * sum(gaps[n:]) for n in range(len(gaps))]
    rates = series("funding_rates", Rate, "time", hourly(1000, windowed("/rates", 1000, WEIGHTS)))

    def answer(path: str, params: Mapping[str, Any]) -> Any:
        first = len(venue.requests) == 1
        due = [t for n, t in enumerate(stamps) if not (first and n in lost) and params["startTime"] <= t <= params["endTime"]]
        return [{"time": t, "rate": 1e-4} for t in due]

    venue = Venue(answer, (rates,))
    assert not venue.fetch(tmp_path, Window(stamps[0], NOW)).failures
    assert venue.times == set(stamps) and len(venue.requests) == asked


@pytest.mark.parametrize(
    "plan", [hourly(1000, windowed("/rates", 1000, WEIGHTS)), latest("/rates", WEIGHTS)], ids=["window", "latest"]
)
def test_a_settlement_that_never_came_is_asked_for_by_each_run(plan: Any, tmp_path: Path) -> None:
    window = Window(NOW - 10 * DAY, NOW)
    rates = series("funding_rates", Rate, "time", plan)
    lost = {window.start + 10 * 8 * HOUR}

    def answer(path: str, params: Mapping[str, Any]) -> Any:
        start, end = params.get("startTime", 0), params.get("endTime", NOW)
        # What is asked for again comes with a row around it, so that no answer is empty.
        stamps = [t for t in range(window.start, window.end, 8 * HOUR) if start - 8 * HOUR <= t <= end]
        return [{"time": t, "rate": 1e-4} for t in stamps if t not in lost]

    venue = Venue(answer, (rates,))
    for asked in (2, 1, 1):
        result = venue.fetch(tmp_path, window)
        [told] = [line for line in result.warnings if "outside the requested" not in line]
        assert told.startswith("x funding_rates: rows are left out after others came, in 1 of 1 requests, such as A in ")
        assert not result.failures and len(venue.requests) == asked and len(venue.times) == 29
    lost.clear()
    for asked in (1, 0):
        venue.fetch(tmp_path, window)
        assert len(venue.requests) == asked and len(venue.times) == 30


@pytest.mark.parametrize("at", [0, -1], ids=["first", "last"])
@pytest.mark.parametrize("before", [1, 8], ids=["hourly before, too", "every eight hours before"])
def test_rows_outside_of_a_window_show_what_is_left_out_at_its_end(at: int, before: int, tmp_path: Path) -> None:
    """A venue sends more than the window, twice without its first or last settlement; another interval before is no hole."""
    window = Window(NOW - 2 * DAY, NOW - DAY)
    rates = series("funding_rates", Rate, "time", latest("/rates", WEIGHTS))
    hourly_stamps = list(range(window.start, NOW, HOUR))
    lost = {[t for t in hourly_stamps if t in window][at]}

    def answer(path: str, params: Mapping[str, Any]) -> Any:
        stamps = [*range(window.start - 6 * before * HOUR, window.start, before * HOUR), *hourly_stamps]
        return [{"time": t, "rate": 1e-4} for t in stamps if t not in lost]

    venue = Venue(answer, (rates,))
    for _ in range(2):
        told = [line for line in venue.fetch(tmp_path, window).warnings if "rows are left out after others came" in line]
        # Between settlements of eight hours and of one, nine hours are one too many, too.
        assert len(told) == 1
    lost.clear()
    venue.fetch(tmp_path, window)
    assert len(venue.requests) == 1 and len({time for time in venue.times if time in window}) == 24
    assert not [line for line in venue.fetch(tmp_path, window).warnings if "left out" in line] and not venue.requests


def _earlier(request: Request, page: Any, rows: Sequence[Rate]) -> Request | None:
    """What 120 rows, counted from the newest, leave of a window."""
    if len(rows) < 120 or not request.window:
        return None
    end = min(row.time for row in rows)
    return replace(request, params={**request.params, "endTime": end - 1}) if end > request.window.start else None


@pytest.mark.parametrize("hours", [1, 4, 8])
@pytest.mark.parametrize(("times", "flawed"), [(1, {2}), (1, {0, 2}), (1, {1, 8}), (2, {2})])
def test_a_rate_that_comes_back_whole_is_not_lost(hours: int, times: int, flawed: set[int], tmp_path: Path) -> None:
    """Rates that can't be read: in the first answer alone, or in each."""
    window = Window(NOW - 9 * hours * HOUR, NOW)
    rates = series("funding_rates", Rate, "time", hourly(1000, windowed("/rates", 1000, WEIGHTS)))
    sent: list[Any] = []

    def answer(path: str, params: Mapping[str, Any]) -> Any:
        stamps = [t for t in range(window.start, window.end, hours * HOUR) if params["startTime"] <= t <= params["endTime"]]
        rows = [{"time": t, "rate": "n/a" if (t - window.start) // hours // HOUR in flawed else 1e-4} for t in stamps]
        sent.append(rows)
        return rows if len(sent) <= times else [row | {"rate": 1e-4} for row in rows]

    venue = Venue(answer, (rates,))
    result = venue.fetch(tmp_path, window)
    assert not result.failures and len(sent) == 2
    assert bool(fetch_problems(result)) == (times == 2)
    assert "in quarantine" in str(result.warnings) and len(venue.times) == (9 if times == 1 else 9 - len(flawed))


@pytest.mark.parametrize(
    ("flawed", "lost"), [({-40}, False), ({-40, -1}, False), ({3}, True), ({0}, True), (set(range(1, 10, 2)), True)]
)
def test_a_row_of_another_time_that_cant_be_read_is_no_loss(flawed: set[int], lost: bool, tmp_path: Path) -> None:
    """A venue sends more than the window, and its rates lie equally far apart, but for milliseconds; by hours from the window's
    start."""
    window = Window(NOW - 11 * HOUR, NOW)
    rates = series("funding_rates", Rate, "time", latest("/rates", WEIGHTS))

    def answer(path: str, params: Mapping[str, Any]) -> Any:
        hours = range(-50, 11)
        return [{"time": window.start + h * HOUR + 3 * h * h % 50, "rate": "n/a" if h in flawed else 1e-4} for h in hours]

    venue = Venue(answer, (rates,))
    result = venue.fetch(tmp_path, window)
    assert bool(fetch_problems(result)) == lost and len(venue.requests) == 1 + lost


def test_a_rate_that_is_left_out_of_the_second_answer_is_lost(tmp_path: Path) -> None:
    window = Window(NOW - 10 * DAY, NOW)
    rates = series("funding_rates", Rate, "time", hourly(1000, windowed("/rates", 1000, WEIGHTS)))
    sent: list[Any] = []

    def answer(path: str, params: Mapping[str, Any]) -> Any:
        rows: list[dict[str, Any]] = [{"time": t, "rate": 1e-4} for t in range(window.start, window.end, 8 * HOUR)]
        sent.append(rows)
        lost = rows.pop(20)
        return [lost | {"rate": "n/a"}, *rows] if len(sent) == 1 else rows

    assert fetch_problems(Venue(answer, (rates,)).fetch(tmp_path, window)) and len(sent) == 2


def test_a_row_that_cant_be_read_does_not_end_the_pages(tmp_path: Path) -> None:
    """Pages of ten rows, where a shorter one is the last; each has a row that can't be read."""
    ends = ("startTime", "endTime")
    events = series(
        "liquidations",
        Rate,
        "time",
        hourly(10, windowed("/events", 10, WEIGHTS)),
        next_page=rest_of_window(10, "time", ends),
        is_event=True,
    )

    def answer(path: str, params: Mapping[str, Any]) -> Any:
        times = range(-(-params["startTime"] // 60_000) * 60_000, params["endTime"] + 1, 60_000)[:10]
        return [{"time": time, "rate": 1 if n else None} for n, time in enumerate(times)]

    venue = Venue(answer, (events,))
    assert not venue.fetch(tmp_path, Window(NOW - HOUR, NOW)).failures
    assert len(venue.times) >= 48 and len(venue.requests) >= 6


def test_rows_of_a_time_that_has_not_come_are_named(tmp_path: Path) -> None:
    """Also where the venue takes no window, and so sends rows outside of it."""
    rates = [{"time": time, "rate": 1e-4} for time in (*range(NOW - 2 * DAY, NOW, HOUR), NOW + 4000 * DAY)]
    venue = Venue(lambda path, params: rates, (series("funding_rates", Rate, "time", present("/rates", WEIGHTS)),))
    result = venue.fetch(tmp_path, Window(NOW - DAY, NOW))
    assert result.warnings == [
        "x funding_rates: 1 rows outside the requested windows are left out, such as one of 2037-11-04T00:00:00Z"
    ]


def test_an_answer_to_another_window_is_a_failure(tmp_path: Path) -> None:
    result = Venue(lambda path, params: bars(params["startTime"] - 9 * DAY, params["startTime"] - 8 * DAY), (BARS,)).fetch(
        tmp_path
    )
    assert "none of 25 rows is in the requested window" in str(result.failures[0])


RATES = series(
    "funding_rates",
    Rate,
    "time",
    latest("/rates", WEIGHTS, page=1, size=100),
    next_page=from_newest("page", "time"),
)


def test_numbered_pages_shorter_than_asked_are_followed_to_the_start_of_the_window(tmp_path: Path) -> None:
    every = [{"time": NOW - 8 * HOUR * i, "rate": 1e-4} for i in range(1, 200)]
    venue = Venue(lambda path, params: every[20 * (params["page"] - 1) : 20 * params["page"]], (RATES,))
    assert not venue.fetch(tmp_path).failures
    assert of_the_month(venue.times) == list(range(MONTH.start, MONTH.end, 8 * HOUR))


def paged(token: Callable[[int], str]) -> Endpoint:
    """Pages by a token; the venue's n-th answer names the next."""
    counted = iter(range(10**6))
    return series(
        "funding_rates",
        Rate,
        "time",
        hourly(1000, windowed("/rates", None, WEIGHTS)),
        next_page=lambda request, page, rows: Request(
            request.path, {**request.params, "token": token(next(counted))}, context=request.context, window=request.window
        ),
    )


@pytest.mark.parametrize("token", [lambda n: "AB"[n % 2], lambda n: f"token-{n}", lambda n: "A"], ids=["A B A B", "new", "A A"])
def test_pages_that_repeat_end_the_chain_and_are_kept(token: Callable[[int], str], tmp_path: Path) -> None:
    rates = [{"time": time, "rate": 1e-4} for time in range(NOW - DAY, NOW, HOUR)]
    venue = Venue(lambda path, params: rates, (paged(token),))
    result = venue.fetch(tmp_path, Window(NOW - DAY, NOW))
    assert len(venue.requests) <= 4 and len(venue.times) == 24
    assert "the pages repeat" in str(result.failures[0])


def test_an_undated_history_is_final_only_for_what_it_covered(tmp_path: Path) -> None:
    """The whole history at once, of which the venue shows more in a later run."""
    shown = [10 * DAY]
    whole = present("/rates", WEIGHTS)
    venue = Venue(
        lambda path, params: [{"time": t, "rate": 1e-4} for t in range(NOW - shown[0], NOW, HOUR)],
        (series("funding_rates", Rate, "time", whole),),
    )
    venue.fetch(tmp_path, Window(NOW - 10 * DAY, NOW))
    venue.fetch(tmp_path, Window(NOW - 10 * DAY, NOW))
    assert venue.requests == []
    shown[0] = 30 * DAY
    venue.fetch(tmp_path, MONTH)
    assert len(venue.requests) == 1 and of_the_month(venue.times) == list(range(MONTH.start, MONTH.end, HOUR))


NOW_ONLY = Endpoint("now", Rate, ("symbol",), present("/now", WEIGHTS), context=("symbol",))


def test_windows_are_cut_to_the_life_of_a_contract(tmp_path: Path) -> None:
    """Nothing before the listing, nothing after the delisting, nothing about the present of what doesn't trade."""
    listed = Instrument("A", "A", NOW - 3 * DAY + 60_000, NOW - 2 * DAY - 60_000, trading=False)
    venue = Venue(lambda path, params: bars(params["startTime"], params["endTime"]), (BARS, NOW_ONLY), (listed,))
    assert not venue.fetch(tmp_path).failures
    assert {path for path, _ in venue.requests} == {"/bars"}
    assert min(p["startTime"] for _, p in venue.requests) == NOW - 3 * DAY
    assert max(p["endTime"] for _, p in venue.requests) == NOW - 2 * DAY - 1
    venue.instruments = (Instrument("A", "A", NOW + DAY),)  # not listed yet
    venue.fetch(tmp_path / "b")
    assert [path for path, _ in venue.requests if path == "/bars"] == []


MANY = tuple(Instrument(f"A{number}", "A") for number in range(40))


def test_a_contract_of_which_the_venue_has_nothing_is_a_note(tmp_path: Path) -> None:
    result = Venue(lambda path, params: (400, {"code": -4108}), (NOW_ONLY,), MANY).fetch(tmp_path)
    assert result.failures == [] and len(result.warnings) == 1 and "-4108" in result.warnings[0]


@pytest.mark.parametrize(
    ("refusal", "text", "most"),
    [
        ((400, {"code": -1}), "8 requests in a row to x were refused", 20),
        ((400, {"code": -5000}), "the endpoint is retired (-5000)", 10),
        ((404, {"code": -2}), "the endpoint is retired, or its path has changed (-2", 20),
        ((410, {}), "the endpoint is retired (HTTP 410)", 10),
    ],
)
def test_a_refused_endpoint_does_not_end_the_others(refusal: Any, text: str, most: int, tmp_path: Path) -> None:
    def answer(path: str, params: Mapping[str, Any]) -> Any:
        return refusal if path == "/now" else bars(params["startTime"], params["endTime"])

    venue = Venue(answer, (NOW_ONLY, BARS), MANY)
    result = venue.fetch(tmp_path, Window(NOW - DAY, NOW))
    asked = [path for path, _ in venue.requests]
    assert asked.count("/now") <= most and asked.count("/bars") >= len(MANY)
    assert any(text in str(failure) for failure in result.failures)


def test_an_unknown_instrument_does_not_retire_the_endpoint(tmp_path: Path) -> None:
    def answer(path: str, params: Mapping[str, Any]) -> Any:
        return (404, {"code": -2}) if params["symbol"] == "A0" else {"time": NOW, "rate": params["symbol"].removeprefix("A")}

    endpoint = Endpoint("now", Rate, ("symbol",), present("/now", WEIGHTS), page=Rate, rows=lambda r: [r], context=("symbol",))
    result = Venue(answer, (endpoint,), MANY).fetch(tmp_path)
    assert len(result.failures) == 1 and "may not know this instrument" in str(result.failures[0])


def test_the_edge_of_the_history_is_that_of_the_moment_of_sending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock moves on by half a day while the request waits: its oldest hours are gone, the others are not lost."""
    moment = [NOW]
    monkeypatch.setattr(Clock, "now", lambda self: moment[0])
    monkeypatch.setattr(Clock, "frozen", False)

    def answer(path: str, params: Mapping[str, Any]) -> Any:
        old = params["startTime"] < moment[0] - 7 * DAY
        return (400, {"code": -1130}) if old else bars(params["startTime"], params["endTime"])

    kept = hourly_bars("candles", Bar, hourly(1000, windowed("/bars", 1000, WEIGHTS)), history_days=7)
    venue = Venue(answer, (kept,))
    venue_get = venue.get

    async def late(url: str, request: Request) -> Any:
        if request.path == "/list":
            moment[0] = NOW
        return await venue_get(url, request)

    monkeypatch.setattr(venue, "get", late)
    from pipelines.client import Client

    wait = Client.wait

    async def waits(self: Client, weights: Any, slot: Any = None, check: Any = lambda: None) -> None:
        moment[0] += DAY // 2
        await wait(self, weights, slot, check)

    monkeypatch.setattr(Client, "wait", waits)
    result = venue.fetch(tmp_path, MONTH)
    assert not result.failures and min(venue.times) >= NOW - 7 * DAY + DAY // 2


def test_an_interval_that_gets_longer_at_the_windows_end_leaves_nothing_out(tmp_path: Path) -> None:
    """Four hours, then eight, of which the first end with the window: each run asks for them, as a rate may come late."""
    window = Window(NOW - 10 * DAY, NOW - 2 * DAY)
    rates = series("funding_rates", Rate, "time", hourly(1000, windowed("/rates", 1000, WEIGHTS)))

    def answer(path: str, params: Mapping[str, Any]) -> Any:
        stamps = range(window.start, window.end - 7 * HOUR, 4 * HOUR)
        return [{"time": t, "rate": 1e-4} for t in stamps if params["startTime"] <= t <= params["endTime"]]

    venue = Venue(answer, (rates,))
    tail = window.end - 8 * HOUR + 1
    for starts in ({window.start, tail}, {tail}):
        result = venue.fetch(tmp_path, window)
        assert not fetch_problems(result) and not result.warnings
        assert {params["startTime"] for _, params in venue.requests} == starts
        venue.requests.clear()
