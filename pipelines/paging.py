"""Plans and paging rules that sources share: how a window becomes requests, and how the next page is requested."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

from pipelines.source import Instrument, NextPage, Plan, Request
from pipelines.windows import HOUR, Window, iso

#: One request about one instrument and one window.
WindowRequest = Callable[[Instrument, Window], Request]
#: The parameters that name an instrument.
InstrumentParams = Callable[[Instrument], Mapping[str, str]]


def once(*requests: Request) -> Plan:
    """The same requests for any window, mostly a single one: bulk snapshots."""

    def plan(instrument: Instrument, window: Window) -> Iterable[Request]:
        return requests

    return plan


def hourly(rows: int, request: WindowRequest) -> Plan:
    """Requests for `rows` hours each: with at most one row per hour, no page exceeds a limit of `rows`."""

    def plan(instrument: Instrument, window: Window) -> Iterable[Request]:
        return (request(instrument, chunk) for chunk in window.chunks(rows * HOUR))

    return plan


def by_symbol(instrument: Instrument) -> Mapping[str, str]:
    return {"symbol": instrument.symbol}


def no_params(instrument: Instrument) -> Mapping[str, str]:
    """No parameters: the path names the instrument."""
    return {}


def windowed(
    path: str,
    limit: int | None,
    weights: Mapping[str, int] | Callable[[int], Mapping[str, int]],
    *,
    instrument_params: InstrumentParams = by_symbol,
    bounds: tuple[str, str] = ("startTime", "endTime"),
    unit: int | Literal["iso"] = 1,
    **params: str | int,
) -> WindowRequest:
    """A request about one instrument and one window, both ends inclusive, for at most `limit` rows (None: no such parameter).

    `instrument_params` gives the parameters that name the instrument, `bounds` the names of the parameters for the window's ends,
    `unit` the milliseconds in one unit of theirs (1000: seconds), or `iso` for ISO 8601 with an end that is exclusive. `params`
    are the same in all requests. The instrument's symbol takes the place of `{symbol}` in the path. `weights` is what a request
    costs, or the cost by the rows that it asks for: then it asks for as many as the window has hours, and one more for a bar that
    contains its start.
    """

    def request(instrument: Instrument, window: Window) -> Request:
        if unit == "iso":
            ends: tuple[str | int, str | int] = (iso(window.start), iso(window.end))
        else:
            ends = (window.start // unit, (window.end - 1) // unit)
        span = dict(zip(bounds, ends, strict=True))
        rows, cost = limit, weights
        if callable(cost):
            hours = -(-(window.end - window.start) // HOUR) + 1
            rows = min(limit or hours, hours)
            cost = cost(rows)
        if rows:
            span["limit"] = rows
        return Request(
            path.format(symbol=instrument.in_path),
            {**instrument_params(instrument), **params, **span},
            context={"symbol": instrument.symbol},
            window=window,
            weights=cost,
        )

    return request


def present(
    path: str,
    weights: Mapping[str, int],
    *,
    instrument_params: InstrumentParams = by_symbol,
    **params: str | int,
) -> Plan:
    """One request about an instrument as it is now. The parameters are those of `windowed`."""

    def plan(instrument: Instrument, window: Window) -> Iterable[Request]:
        context = {"symbol": instrument.symbol}
        asked = {**instrument_params(instrument), **params}
        yield Request(path.format(symbol=instrument.in_path), asked, context=context, weights=weights)

    return plan


def latest(
    path: str,
    weights: Mapping[str, int],
    *,
    instrument_params: InstrumentParams = by_symbol,
    **params: str | int,
) -> Plan:
    """One request for the latest rows of an instrument, where the venue takes no window: rows outside it are dropped."""
    request = present(path, weights, instrument_params=instrument_params, **params)

    def plan(instrument: Instrument, window: Window) -> Iterable[Request]:
        return (replace(r, window=window, clip_start=True, clip_end=True) for r in request(instrument, window))

    return plan


def from_newest(number: str, time: str) -> NextPage:
    """The next page of a list that is numbered from the newest row back, until a page is empty or reaches before the window.

    `number` is the parameter for the page. A page may be shorter than was asked. Rows that are added meanwhile shift others to
    later pages, where they come a second time; none is lost.
    """

    def next_page(request: Request, page: Any, rows: Sequence[Any]) -> Request | None:
        assert request.window
        if not rows or min(map(attrgetter(time), rows)) < request.window.start:
            return None
        return replace(request, params={**request.params, number: int(request.params[number]) + 1})

    return next_page


def rest_of_window(size: int, time: str, bounds: tuple[str, str], unit: int = 1) -> NextPage:
    """What a page of `size` rows leaves of its window, in whichever order they came: from the last row's moment on, asked again.

    `time` is the column of the moment, `bounds` and `unit` are those of `windowed`.
    """

    def next_page(request: Request, page: Any, rows: Sequence[Any]) -> Request | None:
        if len(rows) < size or not request.window:
            return None
        first, last = (getattr(rows[n], time) for n in (0, -1))
        rest = request.window.before(last + unit) if first > last else request.window.after(last)
        ends = dict(zip(bounds, (rest.start // unit, (rest.end - 1) // unit), strict=True))
        return replace(request, params={**request.params, **ends}, window=rest)

    return next_page


def linked(next_url: Callable[[Any], str | None]) -> NextPage:
    """The next page by the URL in a page: its path and parameters, never its host, so that the API key stays with the venue."""

    def next_page(request: Request, page: Any, rows: Sequence[Any]) -> Request | None:
        url = urlsplit(next_url(page) or "")
        return replace(request, path=url.path, params=dict(parse_qsl(url.query))) if url.path else None

    return next_page
