"""The client against a server on loopback, with every known fault of venues and networks."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from pipelines.client import LONGEST_BAN, Client, Page, http_date, retry_after
from pipelines.clock import Clock
from pipelines.errors import Absent, Blocked, KeyRefused, NotFound, RateLimited, Rejected, Retired, Transient, VenueError
from pipelines.limits import File, Limiter
from pipelines.source import Endpoint, Instrument, Limit, Request, Source, Usage
from pipelines.sources import get_source
from pipelines.windows import HOUR, Window

START = 1_760_054_400_000
WINDOW = Window(START, START + 3 * HOUR)
BINANCE = get_source("binance_usdm")

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def rows(*stamps: int, symbol: str = "BTCUSDT", **fields: object) -> list[dict[str, object]]:
    return [{"symbol": symbol, "fundingTime": t, "fundingRate": "0.0001", "markPrice": "", **fields} for t in stamps]


GOOD = rows(START, START + HOUR)


def responds(content: object, status: int = 200, **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return web.Response(body=body, status=status, headers=headers)

    return answer


async def stalls(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(20)
    raise AssertionError("the client waited")


async def resets(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.content_length = 1000
    await response.prepare(request)
    await response.write(b'[{"symbol": "BTC')
    assert request.transport
    request.transport.abort()
    return response


async def resets_at_once(request: web.Request) -> web.StreamResponse:
    assert request.transport
    request.transport.abort()
    return web.Response()


class Outcome:
    """The requests that the server got (time, URL), and the client's result."""

    def __init__(self) -> None:
        self.requests: list[tuple[float, str]] = []
        self.warnings: list[str] = []
        self.usage: dict[str, Usage] = {}
        self.page: Page | None = None
        self.error: VenueError | None = None

    @property
    def rows(self) -> list[Any]:
        assert self.page, self.error
        return list(self.page.rows)


@asynccontextmanager
async def connected(tmp_path: Path, handle: Answer, source: Source = BINANCE, **options: Any) -> AsyncIterator[Client]:
    """A client of a server on loopback."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    limiter = Limiter(File(tmp_path / "limits.sqlite"), source.name, source.limits)
    async with TestServer(app) as server, Client(source, str(server.make_url("")), limiter, Clock(), **options) as client:
        yield client
    limiter.close()


def first_request(endpoint: Endpoint, symbol: str) -> Request:
    return replace(next(iter(endpoint.plan(Instrument(symbol, ""), WINDOW))), instrument=symbol)


def request_once(
    tmp_path: Path,
    *answers: Answer,
    source: Source = BINANCE,
    endpoint: str = "funding_rates",
    symbol: str = "BTCUSDT",
    clock: Clock | None = None,
    **options: Any,
) -> Outcome:
    """One request to a server that gives these answers in turn, and then the last one again and again."""
    outcome = Outcome()

    async def handle(request: web.Request) -> web.StreamResponse:
        outcome.requests.append((time.monotonic(), str(request.rel_url)))
        return await answers[min(len(outcome.requests), len(answers)) - 1](request)

    async def main() -> None:
        async with connected(tmp_path, handle, source, **{"timeout": 0.5, "tries": 3, **options}) as client:
            client.clock = clock or client.clock
            try:
                outcome.page = await client.fetch_page(
                    first_request(source.endpoint(endpoint), symbol), source.endpoint(endpoint)
                )
            except VenueError as problem:
                outcome.error = problem
            outcome.warnings, outcome.usage = client.warnings, client.usage

    asyncio.run(main())
    return outcome


def test_a_good_page(tmp_path: Path) -> None:
    outcome = request_once(tmp_path, responds(GOOD, **{"X-Perplake-Origin": "synthetic; seed=7"}))
    assert [r.funding_time for r in outcome.rows] == [START, START + HOUR]
    assert (
        outcome.page
        and outcome.page.body == json.dumps(GOOD).encode()
        and outcome.page.origin == "synthetic; seed=7"
        and not outcome.page.problem
    )
    assert len(outcome.requests) == 1 and outcome.requests[0][1].startswith(
        "/fapi/v1/fundingRate?symbol=BTCUSDT&startTime=1760054400000&endTime="
    )


@pytest.mark.parametrize(
    ("headers", "usage"),
    [
        ({"gw-ratelimit-limit": "2000", "gw-ratelimit-remaining": "1950"}, {"public": Usage(2000, 50, 2.0)}),
        ({"gw-ratelimit-limit": "a lot"}, {}),
        ({}, {}),
    ],
)
def test_the_use_of_a_limit_is_read_from_the_headers(headers: dict[str, str], usage: dict[str, Usage], tmp_path: Path) -> None:
    outcome = request_once(
        tmp_path, responds({"code": "200000", "data": []}, **headers), source=get_source("kucoin"), symbol="XBTUSDTM"
    )
    weight = first_request(get_source("kucoin").endpoint("funding_rates"), "XBTUSDTM").weights["public"]
    expected = {name: replace(each, counted=each.counted * weight) for name, each in usage.items()}
    assert outcome.usage == expected, "an empty page is requested twice"


@pytest.mark.parametrize("status", [429, 418])
def test_retry_after_is_respected(status: int, tmp_path: Path) -> None:
    refusal = responds({"code": -1003, "msg": "Too much request weight used"}, status, **{"Retry-After": "1.2"})
    outcome = request_once(tmp_path, refusal, responds(GOOD))
    assert len(outcome.rows) == 2
    (first, _), (second, _) = outcome.requests
    assert second - first >= 1.2
    assert any("-1003" in line and "waited 1 s" in line for line in outcome.warnings)


def test_a_limit_met_by_one_request_delays_the_others(tmp_path: Path) -> None:
    times: list[float] = []
    endpoint = BINANCE.endpoint("funding_rates")

    async def handle(request: web.Request) -> web.StreamResponse:
        times.append(time.monotonic())
        if len(times) == 1:
            return web.json_response({"code": -1003, "msg": "slow"}, status=429, headers={"Retry-After": "1"})
        return web.json_response(rows(START, symbol=request.query["symbol"]))

    async def main() -> None:
        async with connected(tmp_path, handle) as client:

            async def one(number: int, delay: float) -> None:
                await asyncio.sleep(delay)
                await client.fetch_page(first_request(endpoint, f"S{number}"), endpoint)

            await asyncio.gather(one(0, 0), *(one(number, 0.3) for number in range(1, 5)))

    asyncio.run(main())
    assert len(times) == 6
    assert min(times[1:]) - times[0] >= 1


def test_a_persistent_limit_is_a_failure_that_names_request_and_remedy(tmp_path: Path) -> None:
    outcome = request_once(tmp_path, responds({"code": -1003, "msg": "Too much"}, 429, **{"Retry-After": "0.1"}))
    assert isinstance(outcome.error, RateLimited) and len(outcome.requests) == 3
    assert "binance_usdm /fapi/v1/fundingRate" in str(outcome.error) and "Run again later" in str(outcome.error)


def test_a_ban_of_hours_is_not_waited_for(tmp_path: Path) -> None:
    outcome = request_once(tmp_path, responds({"code": -1003, "msg": "banned"}, 418, **{"Retry-After": "7200"}))
    assert isinstance(outcome.error, Blocked) and len(outcome.requests) == 1 and "7200 s" in str(outcome.error)


@pytest.mark.parametrize(
    ("status", "asked"),
    [
        (418, "3600"),
        (403, "3600"),
        (451, "3600"),
        (418, "Thu, 01 Jan 2099 00:00:00 GMT"),
        (418, "99999999"),
        (429, "4070908800"),
        (418, ""),
    ],
)
def test_a_ban_stops_what_is_queued_and_every_later_run(status: int, asked: str, tmp_path: Path) -> None:
    sent: list[str] = []
    endpoint = BINANCE.endpoint("funding_rates")

    async def handle(request: web.Request) -> web.StreamResponse:
        sent.append(request.query["symbol"])
        return web.json_response({"code": -1003, "msg": "banned"}, status=status, headers={"Retry-After": asked})

    async def main() -> list[Any]:
        problems: list[Any] = []
        for _ in range(2):
            async with connected(tmp_path, handle) as client:
                requests = [first_request(endpoint, f"S{number}") for number in range(100)]
                pages = (client.fetch_page(request, endpoint) for request in requests)
                problems += await asyncio.gather(*pages, return_exceptions=True)
        return problems

    problems = asyncio.run(main())
    assert len(sent) <= BINANCE.concurrency, "those that were on their way"
    assert len(problems) == 200 and all(isinstance(problem, Blocked) for problem in problems)
    assert "nothing is sent to " in str(problems[-1]) and "until 20" in str(problems[-1])


@pytest.mark.parametrize("until", [START // 1000 + 7200, START + 7_200_000], ids=["seconds", "milliseconds"])
def test_the_longer_of_two_times_of_a_ban_counts(until: int, tmp_path: Path) -> None:
    banned = responds({"code": -1003, "msg": f"IP banned until {until}."}, 418, **{"Retry-After": "1"})
    outcome = request_once(tmp_path, banned, clock=Clock(START))
    assert isinstance(outcome.error, Blocked) and len(outcome.requests) == 1 and "7200 s" in str(outcome.error)


def test_a_401_to_a_key_refuses_it(tmp_path: Path) -> None:
    outcome = request_once(tmp_path, responds(b"<html>", 401), key={"X-Key": "secret"})
    assert isinstance(outcome.error, KeyRefused) and len(outcome.requests) == 1


@pytest.mark.parametrize(
    ("value", "unit", "seconds"),
    [
        ("2", 1, 2.0),
        ("7421", 0.001, 7.421),  # dYdX counts milliseconds
        ("Fri, 10 Oct 2025 00:00:30 GMT", 1, 30.0),
        (str(START // 1000 + 30), 1, 30.0),
        (str(START + 30_000), 1, 30.0),
        (str(START // 1000 - 1), 1, 0.0),  # over already
        # No ban is longer than the longest.
        *((far, 1, LONGEST_BAN) for far in ("99999999", "1e99", "Thu, 01 Jan 2099 00:00:00 GMT", "4070908800")),
        *((garbage, 1, None) for garbage in ("", "soon", "nan", "inf", "-1", "Fri, 10 Oct 99999999", None)),
    ],
)
def test_retry_after_in_the_sources_unit(value: str | None, unit: float, seconds: float | None) -> None:
    assert retry_after(value, unit, START) == seconds


@pytest.mark.parametrize(
    "value",
    [None, "", "Wed, 24 Dec 2025", "2025-12-24T00:00:00Z", "Wed, 24 Dec 9999999999 00:00:00 GMT", "Thu, 01 Jan 1970", "\x00"],
)
def test_a_date_that_is_none_is_ignored(value: str | None) -> None:
    assert http_date(value) is None


def test_a_date_without_a_zone_is_never_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        assert http_date("Fri, 10 Oct 2025 00:00:00") is None
        assert http_date("Fri, 10 Oct 2025 00:00:00 -0000") == http_date("Fri, 10 Oct 2025 00:00:00 GMT") == START
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_full_limit_does_not_hold_the_slots_of_other_requests(tmp_path: Path) -> None:
    """Eight requests that wait for one limit, and one by another that leaves at once."""
    source = replace(BINANCE, limits={"weight": Limit(2, 60), "funding": Limit(500, 300)})
    funding, bars = source.endpoint("funding_rates"), source.endpoint("candles")

    async def main() -> None:
        async with connected(tmp_path, responds(rows(START)), source) as client:
            waiting = [asyncio.create_task(client.fetch_page(first_request(bars, f"S{i}"), bars)) for i in range(20)]
            await asyncio.sleep(0.1)
            await asyncio.wait_for(client.fetch_page(first_request(funding, "BTCUSDT"), funding), 20)
            assert not all(task.done() for task in waiting)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (responds(b"<html>gone</html>", 410), Retired, "is retired (HTTP 410)"),
        (responds({"code": -1, "msg": "no path"}, 404), NotFound, "-1 no path"),
        (responds(b"<html>404</html>", 404), NotFound, "HTTP 404"),
        (responds(b"<html>firewall</html>", 403), Blocked, "a firewall or a proxy"),
    ],
)
def test_ended_endpoints_and_firewalls_are_called_so(answer: Answer, kind: type[VenueError], text: str, tmp_path: Path) -> None:
    outcome = request_once(tmp_path, answer)
    assert type(outcome.error) is kind and text in str(outcome.error) and len(outcome.requests) == 1


def test_bybits_403_for_a_limit_is_not_repeated(tmp_path: Path) -> None:
    """Its documentation says to stop for ten minutes at least."""
    outcome = request_once(tmp_path, responds(b"access too frequent", 403), source=get_source("bybit_linear"))
    assert isinstance(outcome.error, Blocked) and len(outcome.requests) == 1 and "600 s" in str(outcome.error)


def test_bybits_limit_in_http_200(tmp_path: Path) -> None:
    good = {"retCode": 0, "result": {"list": [{"symbol": "BTCUSDT", "fundingRate": "0.1", "fundingRateTimestamp": str(START)}]}}
    limited = responds({"retCode": 10006, "retMsg": "Too many visits!"}, **{"Retry-After": "0.1"})
    outcome = request_once(tmp_path, limited, responds(good), source=get_source("bybit_linear"))
    assert [r.funding_rate for r in outcome.rows] == [0.1] and len(outcome.requests) == 2


TRANSIENT = {
    "500": responds({"code": -1001, "msg": "Internal error"}, 500),
    "502 page": responds(b"<html>Bad Gateway</html>", 502),
    "page in 200": responds(b"<!DOCTYPE html><html></html>"),
    "nothing": responds(b""),
    "truncated": responds(json.dumps(GOOD).encode()[:-30]),
    "truncated in utf-8": responds('[{"symbol":"é'.encode()[:-1]),
    "error in 200": responds({"code": -1001, "msg": "Internal error"}),
    "stall": stalls,
    "reset": resets,
    "reset at once": resets_at_once,
    "empty": responds([]),
    "rows of another window": responds(rows(START - 2 * HOUR, START - HOUR)),
    "a row at the end of the window": responds(rows(WINDOW.end)),
}


@pytest.mark.parametrize("fault", TRANSIENT)
def test_a_transient_fault_is_retried(fault: str, tmp_path: Path) -> None:
    outcome = request_once(tmp_path, TRANSIENT[fault], responds(GOOD))
    assert len(outcome.rows) == 2 and len(outcome.requests) == 2


@pytest.mark.parametrize("fault", [f for f in TRANSIENT if f != "empty"])
def test_a_persistent_fault_is_a_failure_that_names_source_request_and_remedy(fault: str, tmp_path: Path) -> None:
    outcome = request_once(tmp_path, TRANSIENT[fault], tries=2)
    assert isinstance(outcome.error, Transient)
    assert len(outcome.requests) == 2 or fault == "reset at once"  # aiohttp itself repeats a GET without any response
    assert "binance_usdm /fapi/v1/fundingRate: " in str(outcome.error) and "Run again later" in str(outcome.error)


def test_no_connection(tmp_path: Path) -> None:
    async def main() -> VenueError:
        limiter = Limiter(File(tmp_path / "limits.sqlite"), "binance_usdm", BINANCE.limits)
        async with Client(BINANCE, "http://127.0.0.1:1", limiter, Clock(), tries=2) as client:
            with pytest.raises(Transient) as refused:
                await client.fetch_page(Request("/fapi/v1/exchangeInfo", weights={"weight": 1}), BINANCE.endpoint("instruments"))
        return refused.value

    assert "the connection failed" in str(asyncio.run(main()))


def test_an_empty_page_is_confirmed_by_a_second_request(tmp_path: Path) -> None:
    outcome = request_once(tmp_path, responds([]))
    assert outcome.rows == [] and len(outcome.requests) == 2


def test_rows_outside_the_window_are_counted_and_no_failure(tmp_path: Path) -> None:
    """The bar that contains the start, or one more at the end: load cuts them."""
    outcome = request_once(tmp_path, responds(rows(START - 1, START, WINDOW.end - 1, WINDOW.end)))
    assert outcome.page and len(outcome.page.times_outside) == 2 and len(outcome.requests) == 1


def test_equal_bytes_of_two_quiet_markets_are_theirs(tmp_path: Path) -> None:
    """No row names its market, nobody traded: a second request says the same."""
    bars = [[START, "1", "1", "1", "1", "0", START + HOUR - 1, "0", 0]]
    endpoint = BINANCE.endpoint("candles")

    async def main() -> list[int]:
        async with connected(tmp_path, responds(bars)) as client:
            pages = [await client.fetch_page(first_request(endpoint, symbol), endpoint) for symbol in "ABC"]
        return [len(page.rows) for page in pages]

    assert asyncio.run(main()) == [1, 1, 1]


def test_the_response_to_another_request_is_refused(tmp_path: Path) -> None:
    """A proxy that repeats its last response: the rows name no symbol, but the same bytes were another symbol's."""
    bars = [
        [START + i * HOUR, "1", "2", "0.5", "1.5", "10", START + (i + 1) * HOUR - 1, "15", 3, "5", "7", "0"] for i in range(3)
    ]
    answers = [bars, bars, [[*bar[:5], "20", *bar[6:]] for bar in bars]]

    endpoint = BINANCE.endpoint("candles")

    async def handle(request: web.Request) -> web.StreamResponse:
        return web.json_response(answers.pop(0))

    async def main() -> list[list[Any]]:
        async with connected(tmp_path, handle) as client:
            pages = [await client.fetch_page(first_request(endpoint, symbol), endpoint) for symbol in ("A", "B")]
        return [[row.volume for row in page.rows] for page in pages]

    assert asyncio.run(main()) == [[10.0] * 3, [20.0] * 3]


@pytest.mark.parametrize(
    ("body", "field", "value"),
    [
        ([{k: v for k, v in GOOD[1].items() if k != "fundingRate"}], "$[0].fundingRate", "(absent)"),
        ([{**GOOD[0], "fundingTime": 1760054400}], "$[0].fundingTime", "1760054400"),
        ({"rows": GOOD}, "$", "{'rows':"),
    ],
)
def test_an_unreadable_page_names_the_field(body: object, field: str, value: str, tmp_path: Path) -> None:
    outcome = request_once(tmp_path, responds(body))
    assert outcome.page and outcome.page.problem
    assert (outcome.page.field, outcome.page.value[: len(value)]) == (field, value)
    assert len(outcome.requests) == 1, "a retry would give the same page"


@pytest.mark.parametrize("body", [b"upstream connect error", b"[" * 100_000, b"[1 2]"], ids=["text", "deep", "malformed"])
def test_a_body_that_is_no_json_is_asked_again_and_kept(body: bytes, tmp_path: Path) -> None:
    outcome = request_once(tmp_path, responds(body))
    assert outcome.page and outcome.page.problem and outcome.page.body == body and len(outcome.requests) == 2
    assert len(request_once(tmp_path, responds(body), responds(GOOD)).rows) == 2


def test_a_region_block_names_the_venue_and_the_remedy(tmp_path: Path) -> None:
    blocked = responds({"code": 0, "msg": "Service unavailable from a restricted location"}, 451)
    outcome = request_once(tmp_path, blocked)
    assert isinstance(outcome.error, Blocked) and len(outcome.requests) == 1
    assert "binance_usdm" in str(outcome.error) and "restricted location" in str(outcome.error)
    assert "refuses your region" in str(outcome.error) and "--venues" in str(outcome.error)
    outcome = request_once(tmp_path, responds(b"<html>403 Forbidden CloudFront</html>", 403), source=get_source("bybit_linear"))
    assert isinstance(outcome.error, Blocked) and "refuses your region" in str(outcome.error)


def test_a_rejection_is_not_repeated_and_names_the_parameters(tmp_path: Path) -> None:
    outcome = request_once(tmp_path, responds({"code": -1121, "msg": "Invalid symbol."}, 400))
    assert isinstance(outcome.error, Rejected) and len(outcome.requests) == 1
    assert "-1121 Invalid symbol." in str(outcome.error) and "BTCUSDT" in str(outcome.error)
    outcome = request_once(
        tmp_path, responds(b"Failed to deserialize the JSON body", 422), source=get_source("hyperliquid"), symbol="BTC"
    )
    assert isinstance(outcome.error, Rejected) and "/info fundingHistory" in str(outcome.error)


def test_null_from_hyperliquid(tmp_path: Path) -> None:
    outcome = request_once(tmp_path, responds(b"null", 500), source=get_source("hyperliquid"), symbol="NONE", tries=2)
    assert isinstance(outcome.error, Transient) and "HTTP 500" in str(outcome.error)


@pytest.mark.parametrize(("minutes", "correction"), [(-10, -10), (10, 0), (0.5, 0)])
def test_the_earlier_clock_counts(minutes: float, correction: float, tmp_path: Path) -> None:
    """Bars must be over by both clocks; a difference under a minute is ignored."""
    now = START + 100 * HOUR
    outcome = request_once(tmp_path, responds(GOOD, Date=formatdate(now / 1000 + minutes * 60, usegmt=True)), clock=Clock(now))
    assert outcome.page and outcome.page.observed_at == now + correction * 60_000
    assert [("ahead of" if minutes > 0 else "behind") in w and "10.0 minutes" in w for w in outcome.warnings] == (
        [] if abs(minutes) < 1 else [True]
    )
    assert request_once(tmp_path, responds(GOOD, Date=formatdate(0)), clock=Clock(now), check_clock=False).warnings == []


def test_an_unreachable_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    archive = get_source("hyperliquid_archive")

    async def main() -> VenueError:
        limiter = Limiter(File(tmp_path / "limits.sqlite"), archive.name, archive.limits)
        async with Client(archive, archive.base_url, limiter, Clock(), tries=1, s3_endpoint="http://127.0.0.1:1") as client:
            client._transport._fs.retries = 1  # type: ignore[union-attr]
            with pytest.raises(VenueError) as refused:
                await client.fetch_page(
                    Request("/asset_ctxs/20251010.csv.lz4", weights={"requests": 1}), archive.endpoint("asset_ctxs")
                )
        limiter.close()
        return refused.value

    problem = asyncio.run(main())
    assert isinstance(problem, Transient) and not isinstance(problem, Absent)
