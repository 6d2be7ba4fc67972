"""The client: sends requests to one source within its limits, repeats them where that helps, and returns pages.

A page is decoded as its type at once. A truncated body, an HTML page, or rows of another window or instrument are requested
again; a complete page that can't be read is returned with the reason (`Page.problem`), for quarantine. Every other outcome is a
`VenueError` that names the source, the request and a remedy.
"""

from __future__ import annotations

import asyncio
import email.utils
import hashlib
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from typing import Any

import aiohttp
import msgspec
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, wait_random_exponential
from yarl import URL

from pipelines.clock import Clock
from pipelines.errors import AGAIN, Blocked, KeyRefused, RateLimited, Rejected, Transient
from pipelines.limits import Limiter
from pipelines.s3 import S3
from pipelines.source import Endpoint, Request, Source, Transport
from pipelines.windows import Window, iso

log = logging.getLogger("perplake.client")

#: Status, headers, body and URL.
Answer = tuple[int, Mapping[str, str], bytes, str]

#: A longer wait (in seconds) than this blocks the source for the run.
LONGEST_WAIT = 300.0
#: Seconds to wait where a status means a limit and has no `Retry-After`. Bybit's 403: ten minutes at least.
WAITS = {418: 120.0, 429: 10.0, 403: 600.0}
#: The difference between the venue's clock and ours that is tolerated, in milliseconds.
SKEW_MS = 60_000
ELSEWHERE = (
    "This venue refuses your region. Run from another, leave it out with `--venues`, or use its public archive where the "
    "venue page names one"
)


@dataclass
class Page:
    """A response: its bytes and what they decode to. `problem`: why they could not be decoded; `field` and `value`: where."""

    body: bytes
    status: int
    url: str
    origin: str
    observed_at: int
    content: Any = None
    rows: Sequence[Any] = field(default_factory=list)
    problem: str = ""
    field: str = ""
    value: str = ""

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


class Client:
    """A client of one source. `base_url` is the venue's or the emulator's. `check_clock`: compare the venue's clock with ours."""

    def __init__(
        self,
        source: Source,
        base_url: str,
        limiter: Limiter,
        clock: Clock,
        *,
        timeout: float = 30,
        tries: int = 6,
        check_clock: bool = True,
        s3_endpoint: str | None = None,
        key: Mapping[str, str] | None = None,
    ) -> None:
        self.source, self.base_url, self.limiter, self.clock = source, base_url.rstrip("/"), limiter, clock
        self.tries, self.check_clock = tries, check_clock
        self.warnings: list[str] = []
        self._key = key or {}
        self._free_slots = asyncio.Semaphore(source.concurrency)
        self._resume = 0.0
        self._skew = 0
        self._requests_by_body: dict[tuple[str, str, str], Request] = {}
        self._timeout = aiohttp.ClientTimeout(total=timeout * 4, sock_connect=timeout, sock_read=timeout)
        self._session: aiohttp.ClientSession | None = None
        self._transport: Transport | None = S3(source, s3_endpoint) if self.base_url.startswith("s3://") else None
        if source.transport:
            self._transport = source.transport(self)

    async def __aenter__(self) -> Client:
        self._session = aiohttp.ClientSession(
            timeout=self._timeout,
            connector=aiohttp.TCPConnector(limit=self.source.concurrency),
            headers={"User-Agent": "perplake", "Accept": "application/json", **self._key},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()
        if self._transport:
            await self._transport.close()

    def warn(self, line: str) -> None:
        """Show a line to the user now, and again at the end of the run."""
        self.warnings.append(line)
        log.warning("%s", line)

    async def fetch_page(self, request: Request, endpoint: Endpoint) -> Page:
        """The page that answers a request, after at most `tries` tries. Raises `VenueError`."""
        confirmed_empty = False
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type((Transient, RateLimited)),
            stop=stop_after_attempt(self.tries),
            wait=self._wait,
            reraise=True,
        ):
            with attempt:
                page = await self._once(request, endpoint)
                # Confirm an empty response with a second request.
                if not page.problem and endpoint.is_empty(page.content, page.rows) and not confirmed_empty:
                    page = await self._once(request, endpoint)
                    confirmed_empty = True
        return page

    def _wait(self, state: RetryCallState) -> float:
        problem = state.outcome.exception() if state.outcome else None
        if isinstance(problem, RateLimited):
            return problem.retry_after
        return wait_random_exponential(multiplier=0.25, max=20)(state)

    async def _once(self, request: Request, endpoint: Endpoint) -> Page:
        async with self._free_slots:
            await self.limiter.acquire(request.weights)
            # Checked after the wait for our own limit, because another request may have met the venue's limit meanwhile.
            await asyncio.sleep(max(0.0, self._resume - asyncio.get_running_loop().time()))
            status, headers, body, url = await self._send(request)
        self._raise_for(request, status, headers, body)
        page = Page(body, status, url, headers.get("X-Perplake-Origin", ""), self._observed_at(headers))
        try:
            page.content = endpoint.read(body)
            page.rows = endpoint.rows(page.content)
        except msgspec.ValidationError as problem:
            page.problem = str(problem)
            page.field, page.value = locate(body, page.problem)
        except (msgspec.DecodeError, UnicodeDecodeError) as problem:
            raise self._transient(request, f"the body is not whole JSON ({problem}): {body[:60]!r}") from problem
        except ValueError as problem:
            page.problem = str(problem)
        if page.rows:
            self._check_answers(request, endpoint, page)
        return page

    def _check_answers(self, request: Request, endpoint: Endpoint, page: Page) -> None:
        """Raise `Transient` where the rows don't answer the request: another window or instrument, or another request's bytes."""
        if request.window and endpoint.time:
            start = 0 if request.clip_start else request.window.start
            window = Window(start, sys.maxsize if request.clip_end else request.window.end)
            times = list(map(attrgetter(endpoint.time), page.rows))
            if min(times) not in window or max(times) not in window:
                stray = [time for time in times if time not in window]
                share = f"{len(stray)} of {len(page.rows)} rows"
                raise self._transient(request, f"{share} are outside of the requested window ({iso(stray[0])})")
        if request.instrument and (column := endpoint.key[0]) in endpoint.record.__struct_fields__:
            others = set(map(attrgetter(column), page.rows)) - {request.instrument}
            if others:
                raise self._transient(request, f"rows of {', '.join(sorted(others)[:3])} instead of {request.instrument}")
        identity = (endpoint.name, page.sha256, request.instrument if endpoint.allow_identical_pages else "")
        if self._requests_by_body.setdefault(identity, request) != request:
            raise self._transient(request, "another request got the same bytes")

    async def http(self, method: str, url: str | URL, **content: Any) -> Answer:
        """One request by HTTP. Raises `TimeoutError` and `ConnectionError`."""
        assert self._session
        try:
            # A key must not follow a redirect to another host.
            async with self._session.request(method, url, allow_redirects=not self._key, **content) as response:
                return response.status, response.headers, await response.read(), str(response.url)
        except TimeoutError as problem:
            raise TimeoutError("the connection went silent") from problem
        except aiohttp.ClientError as problem:
            raise ConnectionError(f"the connection failed ({type(problem).__name__}: {problem})") from problem

    async def _send(self, request: Request) -> Answer:
        url = self.base_url + request.path
        if self._transport:
            return await self._transport.get(url, request)
        params = {k: str(v) for k, v in request.params.items()}
        try:
            return await self.http(request.method, url, params=params, json=request.body)
        except (TimeoutError, ConnectionError) as problem:
            raise self._transient(request, str(problem)) from problem

    def _raise_for(self, request: Request, status: int, headers: Any, body: bytes) -> None:
        """Raise the `VenueError` of a response that is no page, by its status and body."""
        problem = self.source.error(status, body)
        message = problem.message if problem else f"HTTP {status}"
        kind = problem.kind if problem else None
        name, label = self.source.name, request.path_label
        if kind == "key":
            raise KeyRefused(name, label, message, "Set a key that is good for this, or leave the source out with `--venues`")
        if status in (418, 429) or kind == "limited":
            wait = _seconds(headers.get("Retry-After"))
            wait = wait if wait is not None else WAITS.get(status, 5.0)
            if wait > LONGEST_WAIT:
                raise Blocked(name, label, f"{message}: the venue asks to wait {wait:.0f} s", AGAIN)
            self._resume = max(self._resume, asyncio.get_running_loop().time() + wait)
            self.warn(f"{name} {label}: {message}; waited {wait:.0f} s")
            raise RateLimited(name, label, message, AGAIN, wait)
        if status in (403, 451) or kind == "blocked":
            raise Blocked(name, label, message, ELSEWHERE)
        if status >= 500 or kind == "transient":
            raise self._transient(request, message)
        if body[:1] == b"<" or (status == 200 and not body):
            raise self._transient(request, f"HTTP {status} with {'an HTML page' if body else 'nothing'} instead of data")
        if kind == "rejected" or status >= 400:
            raise Rejected(name, label, f"{message} (asked: {dict(request.params) or request.body})", "Look the parameters up")

    def _transient(self, request: Request, problem: str) -> Transient:
        return Transient(self.source.name, request.path_label, problem, AGAIN)

    def _observed_at(self, headers: Any) -> int:
        """The time of our clock, or of the venue's where that is more than a minute behind, so that bars are over by both."""
        now = self.clock.now()
        if not self.check_clock or "Date" not in headers:
            return now
        stamp = email.utils.parsedate_to_datetime(headers["Date"])
        skew = int(stamp.timestamp() * 1000) - now
        if abs(skew) <= SKEW_MS:
            return now
        if not self._skew:
            self._skew = skew
            self.warn(
                f"{self.source.name}: the venue's clock is {abs(skew) / 60_000:.1f} minutes "
                f"{'ahead of' if skew > 0 else 'behind'} ours; bars count as over only when both say so. "
                "Check this machine's clock"
            )
        return min(now, now + skew)


def _seconds(value: str | None) -> float | None:
    try:
        return max(0.0, float(value)) if value is not None else None
    except ValueError:
        return None


def locate(body: bytes, problem: str) -> tuple[str, str]:
    """The path and the value of the field in a validation error: `$[3].fundingRate` and its value in the body."""
    path = problem.rpartition("at `")[2].rstrip("`") if "at `" in problem else "$"
    missing = problem.partition("missing required field `")[2].partition("`")[0]
    try:
        value: Any = msgspec.json.decode(body)
        for step in path.removeprefix("$").replace("[", ".").replace("]", "").split("."):
            if step:
                value = value[int(step)] if step.isdigit() else value[step]
        return f"{path}.{missing}" if missing else path, "(absent)" if missing else repr(value)[:80]
    except (LookupError, TypeError, ValueError):
        return path, ""
