"""The client against a real server on loopback that misbehaves in every way that is known of venues and networks."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from pipelines.client import Client, Page, locate
from pipelines.clock import Clock
from pipelines.errors import Absent, Blocked, RateLimited, Rejected, Transient, VenueError
from pipelines.limits import Limiter
from pipelines.source import Instrument, Request, Source
from pipelines.sources import get_source
from pipelines.windows import HOUR, Window

START = 1_760_054_400_000
WINDOW = Window(START, START + 3 * HOUR)
BINANCE = get_source("binance_usdm")

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def rows(*stamps: int, symbol: str = "BTCUSDT", **fields: object) -> list[dict[str, object]]:
    return [{"symbol": symbol, "fundingTime": t, "fundingRate": "0.0001", "markPrice": "", **fields} for t in stamps]


GOOD = rows(START, START + HOUR)


def says(content: object, status: int = 200, **headers: str) -> Answer:
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


class Talk:
    """What was asked, when, and what came of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, str]] = []
        self.warnings: list[str] = []
        self.page: Page | None = None
        self.error: VenueError | None = None

    @property
    def rows(self) -> list[Any]:
        assert self.page, self.error
        return list(self.page.rows)


def talk(
    tmp_path: Path, *answers: Answer, of: Source = BINANCE, dataset: str = "funding_rates", symbol: str = "BTCUSDT", **kw: Any
) -> Talk:
    """Ask one request of a server that gives these answers in turn (the last again and again)."""
    done = Talk()

    async def main() -> None:
        async def handle(request: web.Request) -> web.StreamResponse:
            done.asked.append((time.monotonic(), str(request.rel_url)))
            return await answers[min(len(done.asked), len(answers)) - 1](request)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        server = TestServer(app)
        await server.start_server()
        limiter = Limiter(tmp_path / "limits.sqlite", of.name, of.limits)
        clock = kw.pop("clock", Clock())
        async with Client(of, str(server.make_url("")), limiter, clock, **{"timeout": 0.5, "tries": 3, **kw}) as client:
            [request] = list(of.endpoint(dataset).plan(Instrument(symbol, ""), WINDOW))
            try:
                done.page = await client.fetch_page(request, of.endpoint(dataset))
            except VenueError as problem:
                done.error = problem
            done.warnings = client.warnings
        limiter.close()
        await server.close()

    asyncio.run(main())
    return done


def test_a_good_page(tmp_path: Path) -> None:
    done = talk(tmp_path, says(GOOD, **{"X-Perplake-Origin": "synthetic; seed=7"}))
    assert [r.funding_time for r in done.rows] == [START, START + HOUR]
    assert (
        done.page
        and done.page.body == json.dumps(GOOD).encode()
        and done.page.origin == "synthetic; seed=7"
        and not done.page.problem
    )
    assert len(done.asked) == 1 and done.asked[0][1].startswith(
        "/fapi/v1/fundingRate?symbol=BTCUSDT&startTime=1760054400000&endTime="
    )


@pytest.mark.parametrize("status", [429, 418])
def test_a_limit_is_waited_out_as_told(status: int, tmp_path: Path) -> None:
    refusal = says({"code": -1003, "msg": "Too much request weight used"}, status, **{"Retry-After": "1.2"})
    done = talk(tmp_path, refusal, refusal, says(GOOD))
    assert len(done.rows) == 2
    waits = [b - a for (a, _), (b, _) in zip(done.asked, done.asked[1:], strict=False)]
    assert all(1.2 <= w < 3 for w in waits)
    assert any("-1003" in line and "waited 1 s" in line for line in done.warnings)


def test_a_limit_told_to_one_request_holds_back_the_others(tmp_path: Path) -> None:
    begun: list[tuple[float, int]] = []

    async def main() -> None:
        async def handle(request: web.Request) -> web.StreamResponse:
            begun.append((time.monotonic(), len(begun)))
            if len(begun) == 1:
                return web.json_response({"code": -1003, "msg": "slow"}, status=429, headers={"Retry-After": "1"})
            symbol = request.query["symbol"]
            return web.json_response(rows(START, symbol=symbol))

        app = web.Application()
        app.router.add_get("/{path:.*}", handle)
        server = TestServer(app)
        await server.start_server()
        limiter = Limiter(tmp_path / "limits.sqlite", "binance_usdm", BINANCE.limits)
        dataset = BINANCE.endpoint("funding_rates")
        async with Client(BINANCE, str(server.make_url("")), limiter, Clock()) as client:

            async def one(nth: int, after: float) -> None:
                await asyncio.sleep(after)
                [request] = list(dataset.plan(Instrument(f"S{nth}", ""), WINDOW))
                await client.fetch_page(request, dataset)

            await asyncio.gather(one(0, 0), *(one(i, 0.3) for i in range(1, 5)))
        limiter.close()
        await server.close()

    asyncio.run(main())
    assert len(begun) == 6
    assert min(t for t, _ in begun[1:]) - begun[0][0] >= 1


def test_a_limit_without_end_is_a_failure_that_names_everything(tmp_path: Path) -> None:
    done = talk(tmp_path, says({"code": -1003, "msg": "Too much"}, 429, **{"Retry-After": "0.1"}))
    assert isinstance(done.error, RateLimited) and len(done.asked) == 3
    assert "binance_usdm /fapi/v1/fundingRate" in str(done.error) and "Run again later" in str(done.error)


def test_a_ban_of_hours_is_not_waited_for(tmp_path: Path) -> None:
    done = talk(tmp_path, says({"code": -1003, "msg": "banned"}, 418, **{"Retry-After": "7200"}))
    assert isinstance(done.error, Blocked) and len(done.asked) == 1 and "7200 s" in str(done.error)


def test_bybits_403_for_a_limit_is_not_asked_again(tmp_path: Path) -> None:
    """The page says to stop for ten minutes at least."""
    done = talk(tmp_path, says(b"access too frequent", 403), of=get_source("bybit_linear"))
    assert isinstance(done.error, Blocked) and len(done.asked) == 1 and "600 s" in str(done.error)


def test_bybits_limit_in_http_200(tmp_path: Path) -> None:
    good = {"retCode": 0, "result": {"list": [{"symbol": "BTCUSDT", "fundingRate": "0.1", "fundingRateTimestamp": str(START)}]}}
    limited = says({"retCode": 10006, "retMsg": "Too many visits!"}, **{"Retry-After": "0.1"})
    done = talk(tmp_path, limited, says(good), of=get_source("bybit_linear"))
    assert [r.funding_rate for r in done.rows] == [0.1] and len(done.asked) == 2


ONCE = {
    "500": says({"code": -1001, "msg": "Internal error"}, 500),
    "502 page": says(b"<html>Bad Gateway</html>", 502),
    "page in 200": says(b"<!DOCTYPE html><html></html>"),
    "nothing": says(b""),
    "truncated": says(json.dumps(GOOD).encode()[:-30]),
    "truncated in utf-8": says('[{"symbol":"é'.encode()[:-1]),
    "error in 200": says({"code": -1001, "msg": "Internal error"}),
    "stall": stalls,
    "reset": resets,
    "reset at once": resets_at_once,
    "empty": says([]),
    "rows of another window": says(rows(START - HOUR, START)),
    "a row at the end of the window": says(rows(START, WINDOW.end)),
}


@pytest.mark.parametrize("fault", ONCE)
def test_what_may_pass_is_asked_again(fault: str, tmp_path: Path) -> None:
    done = talk(tmp_path, ONCE[fault], says(GOOD))
    assert len(done.rows) == 2 and len(done.asked) == 2


@pytest.mark.parametrize("fault", [f for f in ONCE if f != "empty"])
def test_what_does_not_pass_is_a_failure_that_names_venue_endpoint_and_remedy(fault: str, tmp_path: Path) -> None:
    done = talk(tmp_path, ONCE[fault], tries=2)
    assert isinstance(done.error, Transient)
    assert len(done.asked) == 2 or fault == "reset at once"  # aiohttp itself asks once more where a GET got no answer at all
    assert "binance_usdm /fapi/v1/fundingRate: " in str(done.error) and "Run again later" in str(done.error)


def test_a_venue_that_is_not_there(tmp_path: Path) -> None:
    async def main() -> VenueError:
        limiter = Limiter(tmp_path / "limits.sqlite", "binance_usdm", BINANCE.limits)
        async with Client(BINANCE, "http://127.0.0.1:1", limiter, Clock(), tries=2) as client:
            with pytest.raises(Transient) as found:
                await client.fetch_page(Request("/fapi/v1/exchangeInfo", weights={"weight": 1}), BINANCE.endpoint("instruments"))
        return found.value

    assert "the connection failed" in str(asyncio.run(main()))


def test_empty_is_believed_when_said_twice(tmp_path: Path) -> None:
    done = talk(tmp_path, says([]))
    assert done.rows == [] and len(done.asked) == 2


def test_the_answer_to_another_question_is_not_taken(tmp_path: Path) -> None:
    """A proxy that repeats its last answer: the bytes carry no symbol, but they were another symbol's."""
    bars = [
        [START + i * HOUR, "1", "2", "0.5", "1.5", "10", START + (i + 1) * HOUR - 1, "15", 3, "5", "7", "0"] for i in range(3)
    ]
    answers = [bars, bars, [[*bar[:5], "20", *bar[6:]] for bar in bars]]

    async def main() -> list[list[Any]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            return web.json_response(answers.pop(0))

        app = web.Application()
        app.router.add_get("/{path:.*}", handle)
        server = TestServer(app)
        await server.start_server()
        limiter = Limiter(tmp_path / "limits.sqlite", "binance_usdm", BINANCE.limits)
        dataset = BINANCE.endpoint("candles")
        async with Client(BINANCE, str(server.make_url("")), limiter, Clock()) as client:
            pages = [await client.fetch_page(next(iter(dataset.plan(Instrument(s, ""), WINDOW))), dataset) for s in ("A", "B")]
        limiter.close()
        await server.close()
        return [[r.volume for r in page.rows] for page in pages]

    assert asyncio.run(main()) == [[10.0] * 3, [20.0] * 3]


@pytest.mark.parametrize(
    ("body", "field", "value"),
    [
        ([GOOD[0], {k: v for k, v in GOOD[1].items() if k != "fundingRate"}], "$[1].fundingRate", "(absent)"),
        ([GOOD[0], {**GOOD[1], "fundingRate": "n/a"}], "$[1].fundingRate", "'n/a'"),
        ([{**GOOD[0], "fundingTime": 1760054400}], "$[0].fundingTime", "1760054400"),
        ({"rows": GOOD}, "$", "{'rows':"),
    ],
)
def test_a_page_that_is_whole_but_unreadable_says_where(body: object, field: str, value: str, tmp_path: Path) -> None:
    done = talk(tmp_path, says(body))
    assert done.page and done.page.problem
    assert (done.page.field, done.page.value[: len(value)]) == (field, value)
    assert len(done.asked) == 1, "asking again brings the same"


def test_fields_of_bars_and_nested_rows_are_found() -> None:
    bars = BINANCE.endpoint("candles")
    with pytest.raises(ValueError) as found:
        bars.read(b'[[1760054400000,"1","2","x","1","1",1760057999999,"1",1]]')
    assert locate(b'[[1760054400000,"1","2","x","1","1",1760057999999,"1",1]]', str(found.value)) == ("$[0][3]", "'x'")
    assert locate(b"[]", "no path at all") == ("$", "[]")


def test_a_region_block_names_the_venue_and_the_way_round(tmp_path: Path) -> None:
    blocked = says({"code": 0, "msg": "Service unavailable from a restricted location"}, 451)
    done = talk(tmp_path, blocked)
    assert isinstance(done.error, Blocked) and len(done.asked) == 1
    assert "binance_usdm" in str(done.error) and "restricted location" in str(done.error)
    assert "refuses your region" in str(done.error) and "--venues" in str(done.error)
    done = talk(tmp_path, says(b"<html>403 Forbidden CloudFront</html>", 403), of=get_source("bybit_linear"))
    assert isinstance(done.error, Blocked) and "refuses your region" in str(done.error)


def test_a_refusal_is_not_repeated_and_tells_what_was_asked(tmp_path: Path) -> None:
    done = talk(tmp_path, says({"code": -1121, "msg": "Invalid symbol."}, 400))
    assert isinstance(done.error, Rejected) and len(done.asked) == 1
    assert "-1121 Invalid symbol." in str(done.error) and "BTCUSDT" in str(done.error)
    done = talk(tmp_path, says(b"Failed to deserialize the JSON body", 422), of=get_source("hyperliquid"), symbol="BTC")
    assert isinstance(done.error, Rejected) and "/info fundingHistory" in str(done.error)


def test_hyperliquids_null(tmp_path: Path) -> None:
    done = talk(tmp_path, says(b"null", 500), of=get_source("hyperliquid"), symbol="NONE", tries=2)
    assert isinstance(done.error, Transient) and "HTTP 500" in str(done.error)


@pytest.mark.parametrize(("minutes", "believed"), [(-10, -10), (10, 0), (0.5, 0)])
def test_a_clock_that_is_off(minutes: float, believed: float, tmp_path: Path) -> None:
    """Bars are over when both clocks say so: the earlier one counts; a minute is nothing."""
    now = START + 100 * HOUR
    done = talk(tmp_path, says(GOOD, Date=formatdate(now / 1000 + minutes * 60, usegmt=True)), clock=Clock(now))
    assert done.page and done.page.observed_at == now + believed * 60_000
    assert [("ahead of" if minutes > 0 else "behind") in w and "10.0 minutes" in w for w in done.warnings] == (
        [] if abs(minutes) < 1 else [True]
    )
    assert talk(tmp_path, says(GOOD, Date=formatdate(0)), clock=Clock(now), check_clock=False).warnings == []


def test_an_archive_that_cannot_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = get_source("hyperliquid_archive")

    async def main() -> VenueError:
        limiter = Limiter(tmp_path / "limits.sqlite", archive.name, archive.limits)
        async with Client(archive, archive.base_url, limiter, Clock(), tries=1, s3_endpoint="http://127.0.0.1:1") as client:
            client._transport._fs.retries = 1  # type: ignore[union-attr]
            with pytest.raises(VenueError) as found:
                await client.fetch_page(
                    Request("/asset_ctxs/20251010.csv.lz4", weights={"requests": 1}), archive.endpoint("asset_ctxs")
                )
        limiter.close()
        return found.value

    problem = asyncio.run(main())
    assert isinstance(problem, Transient) and not isinstance(problem, Absent)
