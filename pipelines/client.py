"""The client: sends requests to one source within its limits, repeats them where that helps, and returns pages.

A page is decoded as its type at once. A truncated body, an HTML page, or rows of another window or instrument are requested
again; a complete page that can't be read is returned with the reason (`Page.problem`), for quarantine, and one with rows that
can't be read without these (`Page.flaws`). Every other outcome is a `VenueError` that names the source, the request and a remedy.
"""

from __future__ import annotations

import asyncio
import email.utils
import hashlib
import logging
import re
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC
from functools import cached_property
from math import inf
from operator import attrgetter
from typing import Any

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError
from multidict import CIMultiDict
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, wait_random_exponential
from yarl import URL

from pipelines.clock import Clock
from pipelines.errors import AGAIN, Absent, Blocked, KeyRefused, NotFound, RateLimited, Rejected, Retired, Transient, VenueError
from pipelines.keys import Redactor, secrets
from pipelines.limits import Limiter
from pipelines.reading import Flaw, Unreadable, is_json, read
from pipelines.records import values
from pipelines.s3 import S3
from pipelines.source import Endpoint, Request, Source, Transport, Usage
from pipelines.windows import DAY, Window, iso

log = logging.getLogger("perplake.client")

#: Status, headers, body and URL.
Answer = tuple[int, Mapping[str, str], bytes, str]

#: A longer wait (in seconds) than this blocks the pool: runs don't wait for it, and leave it alone until it is over.
LONGEST_WAIT = 300.0
#: A wait for a limit that is longer than this many seconds is told once.
SILENT_FOR = 90.0
#: Seconds to wait where a status means a limit and states no time. Bybit's 403: ten minutes at least. 418 is a ban.
WAITS = {418: 600.0, 429: 10.0, 403: 600.0}
#: Seconds for which a pool is left alone after it refused this region or this address.
REFUSED_FOR = 3600.0
#: The difference between the venue's clock and ours that is tolerated, in milliseconds.
SKEW_MS = 60_000
#: A greater difference is no clock's: a `Date` that is garbage.
LARGEST_SKEW_MS = 366 * 24 * 3_600_000
#: The longest wait that a venue can ask for, in seconds. Binance's bans last up to three days.
LONGEST_BAN = 30 * 86_400.0
ELSEWHERE = (
    "This venue refuses your region. Run from another, name its host for your region with `PERPLAKE_HOSTS`, leave it out with "
    "`--venues`, or use its public archive where the venue page names one"
)
REFUSED = (
    "The venue, or a firewall or a proxy before it, refuses this machine: its region or its address, or too many requests. Try "
    "from another network, or leave the venue out with `--venues`"
)
#: A venue's own host may redirect a GET so often in a row.
REDIRECTS = 3
#: How a body may be encoded, each by itself. Without Brotli and zstd, a client is the same wherever it is installed.
ENCODINGS = ("gzip", "deflate")
#: A whole answer may take so many times as long as a wait for its next byte: one that drips ends too.
LONGEST_ANSWER = 4
MOVED = (
    "A login page of this network may answer in the venue's place, or the venue has moved: open its address in a browser; a "
    "newer version of perplake may have the new one"
)
RETIRED = "The venue has ended this endpoint: a newer version of perplake may have its successor; until then its data are missing"
UNREADABLE = f"the body can't be decoded: {' or '.join(ENCODINGS)} was asked for, and a proxy between may have changed it"
#: `IP banned until 1766538000000`, in milliseconds or seconds
_BANNED_UNTIL = re.compile(r"until (\d{10}(?:\d{3})?)\b")


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
    #: The times of the rows, in milliseconds; none where the endpoint has no time.
    times: Sequence[int] = ()
    #: Rows that were left out, because they can't be read.
    flaws: list[Flaw] = field(default_factory=list)
    #: The times of rows that lie outside the requested window, in milliseconds; load cuts these rows.
    times_outside: list[int] = field(default_factory=list)
    problem: str = ""
    field: str = ""
    value: str = ""
    #: The request as it was sent.
    request: Request | None = None

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
        most_bytes: int = 32_000_000,
    ) -> None:
        self.source, self.base_url, self.limiter, self.clock = source, base_url.rstrip("/"), limiter, clock
        #: Where files are, if at another host than lists; an address that was set is that of both.
        self.files_url = (source.files_url if base_url == source.base_url else "") or self.base_url
        self.tries, self.check_clock, self.most_bytes = tries, check_clock, most_bytes
        self.warnings: list[str] = []
        #: By limit: the greatest use that the venue stated.
        self.usage: dict[str, Usage] = {}
        self._key = key or {}
        self._redact = Redactor(secrets(source, self._key))
        self.free_slots = asyncio.Semaphore(source.concurrency)
        self._turns: defaultdict[tuple[str, ...], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._stopped = asyncio.Event()
        self._told_to_wait = False
        self._problem: VenueError | None = None
        self._skew = 0
        #: By endpoint and hash: the instrument about which a body came, in this run or an earlier one.
        self.instruments_by_body: dict[tuple[str, str], str] = {}
        #: By endpoint: pairs of instruments that were sent the same bytes, again when asked a second time.
        self.alike: defaultdict[str, list[str]] = defaultdict(list)
        self._timeout = aiohttp.ClientTimeout(total=timeout * LONGEST_ANSWER, sock_connect=timeout, sock_read=timeout)
        self._session: aiohttp.ClientSession | None = None
        self._transport: Transport | None = None
        if self.base_url.startswith("s3://"):
            self._transport = S3(source, s3_endpoint, most_bytes, timeout * LONGEST_ANSWER, self._redact)
        if source.transport:
            self._transport = source.transport(self)

    async def __aenter__(self) -> Client:
        self._session = aiohttp.ClientSession(
            timeout=self._timeout,
            connector=aiohttp.TCPConnector(limit=self.source.concurrency),
            headers={
                "User-Agent": "perplake",
                "Accept": "application/json",
                "Accept-Encoding": ", ".join(ENCODINGS),
                **self._key,
            },
            # Proxies of the environment (`HTTPS_PROXY`, `NO_PROXY`), but never to this machine itself.
            trust_env=URL(self.base_url).host not in ("127.0.0.1", "localhost", "::1"),
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

    def stop(self, problem: VenueError) -> None:
        """Send nothing more: every request that waits ends with this problem."""
        self._problem = self._problem or problem
        self._stopped.set()

    async def fetch_page(
        self, request: Request, endpoint: Endpoint, when_leaving: Callable[[Request], Request] = lambda request: request
    ) -> Page:
        """The page that answers a request, after at most `tries` tries. Raises `VenueError`.

        `when_leaving` is called as a request is about to be sent, which may be long after it was planned: it gives the request
        that is sent, or raises `VenueError`.
        """
        confirmed = False
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type((Transient, RateLimited)),
            stop=stop_after_attempt(self.tries),
            wait=self._wait,
            reraise=True,
        ):
            with attempt:
                page = await self._once(request, endpoint, when_leaving)
                # Confirm with a second request what may be another's answer: no row, no JSON, another instrument's bytes.
                if not confirmed and self._is_doubtful(endpoint, page):
                    page, confirmed = await self._once(request, endpoint, when_leaving), True
        if other := self._instrument_of_same_bytes(endpoint, page):
            self.alike[endpoint.name].append(f"{request.instrument} and {other}")
        return page

    def _wait(self, state: RetryCallState) -> float:
        problem = state.outcome.exception() if state.outcome else None
        if isinstance(problem, RateLimited):
            return problem.retry_after
        return wait_random_exponential(multiplier=0.25, max=20)(state)

    async def wait(
        self,
        weights: Mapping[str, int],
        slot: asyncio.Semaphore | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Wait until a request may leave, and count it. Raises `VenueError` once the client is stopped or its pool is blocked.

        A `slot` is taken with it, never while it waits for a limit: requests by other limits go on meanwhile. Requests by the
        same limits leave in the order in which they came. `check` is called before it is counted, and may raise.
        """
        async with self._turns[tuple(weights)]:
            while True:
                if slot:
                    await slot.acquire()
                try:
                    if self._problem:
                        raise self._problem.with_traceback(None)
                    check()
                    seconds = self.limiter.spend(weights)
                except BaseException:
                    if slot:
                        slot.release()
                    raise
                if not seconds:
                    return
                if slot:
                    slot.release()
                self._raise_if_blocked(seconds)
                if seconds > SILENT_FOR and not self._told_to_wait:
                    self._told_to_wait = True
                    pool = self.source.limit_pool
                    self.warn(f"{self.source.name}: waits {seconds:.0f} s for the limit of {pool}, and maybe again")
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopped.wait(), seconds)

    def _raise_if_blocked(self, seconds: float) -> None:
        """Raise `Blocked` where the wait of so many seconds is a pause that is too long to wait for."""
        if seconds > LONGEST_WAIT and (pause := self.limiter.paused()) and pause.seconds > LONGEST_WAIT:
            until = iso(int((time.time() + pause.seconds) * 1000))
            raise Blocked(
                self.source.name, "", f"nothing is sent to {self.source.limit_pool} until {until}: {pause.problem}", pause.remedy
            )

    async def _once(self, request: Request, endpoint: Endpoint, when_leaving: Callable[[Request], Request]) -> Page:
        def leave() -> None:
            nonlocal request
            request = when_leaving(request)

        await self.wait(request.weights, self.free_slots, leave)
        try:
            status, headers, body, url = await self._send(request)
        finally:
            self.free_slots.release()
        self._note_usage(request, headers)
        self._raise_for(request, status, headers, body, has_markup=bool(endpoint.decode))
        page = Page(body, status, url, headers.get("X-Perplake-Origin", ""), self._observed_at(headers), request=request)
        try:
            # A file takes seconds to read, in which others' answers come.
            reading = await asyncio.to_thread(read, endpoint, body) if endpoint.is_file else read(endpoint, body)
        except Unreadable as problem:
            if problem.truncated:
                raise self._transient(request, f"{problem}: {body[:60]!r}") from problem
            page.problem, page.field, page.value = problem.flaw.problem, problem.flaw.place, problem.flaw.value
        else:
            page.content, page.rows, page.flaws = reading.content, reading.rows, reading.flaws
            page.times = values(page.rows, endpoint.time) if endpoint.time else []
        if page.rows:
            self._check_answers(request, endpoint, page)
        return page

    def _note_usage(self, request: Request, headers: Mapping[str, str]) -> None:
        """Note what the venue states of a limit and its use, beside what was counted here."""
        stated = self.source.usage_headers
        if not stated:
            return
        limit, used, remaining = (
            int(value) if (value := headers.get(name, "").strip()) and re.fullmatch(r"\d{1,9}", value) else None
            for name in (stated.limit, stated.used, stated.remaining)
        )
        if used is None and limit is not None and remaining is not None:
            used = limit - remaining
        names = [name for name in request.weights if stated.name in ("", name)]
        if len(names) == 1 and (limit is not None or used is not None):
            [name] = names
            if name not in self.usage or (used or 0) >= (self.usage[name].used or 0):
                self.usage[name] = Usage(limit, used, self.limiter.counted[name])

    def _check_answers(self, request: Request, endpoint: Endpoint, page: Page) -> None:
        """Count the rows outside the window. Raise `Transient` where none lies inside, or rows are of another instrument."""
        if request.window and endpoint.time:
            start = 0 if request.clip_start else request.window.start
            window = Window(start, page.observed_at + DAY if request.clip_end else request.window.end).widened(endpoint.cut_late)
            if min(page.times) not in window or max(page.times) not in window:
                page.times_outside = stray = [time for time in page.times if time not in window]
                if len(stray) == len(page.times):
                    raise self._transient(request, f"none of {len(stray)} rows is in the requested window ({iso(stray[0])})")
        if request.instrument and (column := endpoint.key[0]) in endpoint.record.__struct_fields__:
            others = set(map(attrgetter(column), page.rows)) - {request.instrument}
            if others:
                raise self._transient(request, f"rows of {', '.join(sorted(others)[:3])} instead of {request.instrument}")

    def _is_doubtful(self, endpoint: Endpoint, page: Page) -> bool:
        """True for a page that a proxy or a slip of the venue's may have sent. Two quiet markets can have equal bytes."""
        if page.problem:
            return not is_json(page.body)
        if endpoint.is_empty(page.content, page.rows):
            return True
        return bool(self._instrument_of_same_bytes(endpoint, page))

    def _instrument_of_same_bytes(self, endpoint: Endpoint, page: Page) -> str:
        """The other instrument about which these bytes came before; empty where there is none, or equal bytes are usual."""
        if not page.rows or endpoint.allow_identical_pages or endpoint.is_empty(page.content, page.rows):
            return ""
        instrument = page.request.instrument if page.request else ""
        first = self.instruments_by_body.setdefault((endpoint.name, page.sha256), instrument)
        return "" if first == instrument else first

    async def http(self, method: str, url: str | URL, **content: Any) -> Answer:
        """One request by HTTP, its answer without this source's key. Raises `TimeoutError`, `ConnectionError`, `Rejected`.

        What a venue sends (a cursor, a link, a redirect) never leads to another host, nor from https to http, and a body is read
        only as far as `most_bytes` after decompression.
        """
        assert self._session
        try:
            at = URL(url)
            for _ in range(REDIRECTS + 1):
                self._refuse_elsewhere(at, url)
                async with self._session.request(method, at, allow_redirects=False, **content) as response:
                    if response.status not in (301, 302, 303, 307, 308):
                        headers = CIMultiDict((name, self._redact.text(value)) for name, value in response.headers.items())
                        body = self._redact(await self._body(response))
                        return response.status, headers, body, self._redact.text(str(response.url))
                    location = self._redact.text(response.headers.get("Location", ""))
                    if method != "GET":
                        raise self._refused(URL(url), f"HTTP {response.status} redirects a {method} to {location!r}", MOVED)
                    at = response.url.join(URL(location))
                content.pop("params", None)
            raise self._refused(URL(url), f"more than {REDIRECTS} redirects follow each other", MOVED)
        except aiohttp.ServerTimeoutError as problem:
            raise TimeoutError("the connection went silent") from problem
        except TimeoutError as problem:
            raise TimeoutError(f"the answer was not whole after {self._timeout.total:g} s") from problem
        except (aiohttp.ClientError, ValueError) as problem:  # ValueError: what a venue sent as an address is none
            text = self._redact.text(" ".join(f"{type(problem).__name__}: {problem}".split()))
            if _is_of_encoding(problem):
                raise ConnectionError(f"{UNREADABLE} ({text})") from None
            raise ConnectionError(f"the connection failed ({text})") from None

    def _refuse_elsewhere(self, at: URL, asked: str | URL) -> None:
        """Raise `Rejected` for an address of another host, port or scheme than the source's; ccxt has several hosts."""
        own = [URL(url) for url in (self.base_url, self.files_url)] if self.base_url.startswith("http") else [URL(asked)]
        if at.scheme not in ("http", "https") or at.origin() not in [url.origin() for url in own]:
            raise self._refused(
                URL(asked), f"a link or a redirect leads to {str(at)[:200]!r}, which is not asked: it is another host", MOVED
            )

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        encoding = ", ".join(response.headers.getall("Content-Encoding", ())).lower()
        if encoding not in ("", "identity", *ENCODINGS):
            raise ConnectionError(f"{UNREADABLE} (it says to be {self._redact.text(encoding)[:40]!r})")
        parts, size = [], response.content_length or 0
        if size <= self.most_bytes:
            size = 0
            async for part in response.content.iter_any():
                size += len(part)
                if size > self.most_bytes:
                    break
                parts.append(part)
        if size > self.most_bytes:
            message = f"the body is longer than {self.most_bytes / 1e6:g} MB"
            raise self._refused(response.url, message, "Raise the setting body_max_mb if the venue's answers have grown so long")
        return b"".join(parts)

    def _refused(self, at: URL, message: str, remedy: str) -> Rejected:
        return Rejected(self.source.name, at.path, message, remedy)

    async def _send(self, request: Request) -> Answer:
        url = self.base_url + request.path
        if self._transport:
            try:
                return await self._transport.get(url, request)
            except VenueError:
                raise
            except Exception as problem:  # a client library's own
                raise self._transient(request, self._redact.text(f"{type(problem).__name__}: {problem}")) from None
        params = {k: str(v) for k, v in request.params.items()}
        try:
            return await self.http(request.method, url, params=params, json=request.body)
        except (TimeoutError, ConnectionError) as problem:
            raise self._transient(request, str(problem)) from problem

    def _raise_for(self, request: Request, status: int, headers: Any, body: bytes, has_markup: bool) -> None:
        """Raise the `VenueError` of a response that is no page, by its status and body, which may be markup (`has_markup`)."""
        try:
            problem = self.source.error(status, body)
        except Exception:  # a body that the source's reader of errors can't read is no stated error
            log.debug("%s: the body of HTTP %d is no stated error", self.source.name, status, exc_info=True)
            problem = None
        message = problem.message if problem else f"HTTP {status}"
        kind = problem.kind if problem else None
        name, label = self.source.name, request.path_label
        if kind == "key" or (status in (401, 403) and kind is None and self._key):
            raise KeyRefused(name, label, message, "Set a key that is good for this, or leave the source out with `--venues`")
        if status in (418, 429) or kind == "limited":
            wait = self._wait_asked(status, headers, message)
            self.limiter.pause(wait, message, AGAIN)
            if wait > LONGEST_WAIT:
                raise Blocked(name, label, f"{message}: the venue asks to wait {wait:.0f} s", AGAIN)
            self.warn(f"{name} {label}: {message}; waited {wait:.0f} s")
            raise RateLimited(name, label, message, AGAIN, wait)
        if kind == "blocked" or status in (403, 407, 451):
            remedy = ELSEWHERE if kind == "blocked" or status == 451 else REFUSED
            self.limiter.pause(REFUSED_FOR, message, remedy, of_host=remedy is ELSEWHERE)
            raise Blocked(name, label, message, remedy)
        if kind == "absent":
            raise Absent(name, label, message, "It is not requested where the venue's list says so")
        if kind == "retired" or status == 410:
            raise Retired(name, label, f"the endpoint is retired ({message})", RETIRED)
        if status >= 500 or kind == "transient":
            raise self._transient(request, message)
        if status == 404:
            raise NotFound(
                name, label, f"{message} (asked: {_asked(request)})", "The venue may not know this instrument any more"
            )
        if (body[:1] == b"<" and not has_markup) or (status == 200 and not body):
            raise self._transient(request, f"HTTP {status} with {'an HTML page' if body else 'nothing'} instead of data")
        if kind == "rejected" or status >= 400:
            raise Rejected(name, label, f"{message} (asked: {_asked(request)})", "Look the parameters up")

    def _wait_asked(self, status: int, headers: Any, message: str) -> float:
        """The seconds that the venue asks to wait: the longer one of the header's and its message's, or the usual by status."""
        now = self.clock.now()
        until = _BANNED_UNTIL.search(message)
        asked = (
            retry_after(headers.get("Retry-After"), self.source.retry_after_unit, now),
            _until(until[1], now) if until else None,
        )
        return max((wait for wait in asked if wait is not None), default=WAITS.get(status, 5.0))

    def _transient(self, request: Request, problem: str) -> Transient:
        return Transient(self.source.name, request.path_label, problem, AGAIN)

    def _observed_at(self, headers: Any) -> int:
        """The time of our clock, or of the venue's where that is more than a minute behind, so that bars are over by both."""
        now = self.clock.now()
        stamp = http_date(headers.get("Date")) if self.check_clock else None
        skew = 0 if stamp is None else stamp - now
        if abs(skew) <= SKEW_MS or abs(skew) > LARGEST_SKEW_MS:
            return now
        if not self._skew:
            self._skew = skew
            self.warn(
                f"{self.source.name}: the venue's clock is {abs(skew) / 60_000:.1f} minutes "
                f"{'ahead of' if skew > 0 else 'behind'} ours; bars count as over only when both say so. "
                "Check this machine's clock"
            )
        return min(now, now + skew)


def _is_of_encoding(problem: BaseException | None) -> bool:
    """True if a body could not be decoded as its `Content-Encoding` says; aiohttp wraps this once or twice."""
    while problem and not isinstance(problem, ContentEncodingError):
        problem = problem.__cause__ or problem.__context__
    return problem is not None


def _asked(request: Request) -> Any:
    return dict(request.params) or request.body


def http_date(value: str | None) -> int | None:
    """A date of HTTP in milliseconds, UTC; None where it is none, or has no zone. `-0000` is UTC, as RFC 5322 has it."""
    try:
        moment = email.utils.parsedate_to_datetime(value or "")
        if moment.tzinfo is None and not (value or "").rstrip().endswith("-0000"):
            return None
        return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)
    except (ValueError, TypeError, OverflowError, IndexError, OSError):
        return None


def retry_after(value: str | None, unit: float, now: int) -> float | None:
    """The seconds that a `Retry-After` asks for: a number of `unit` seconds, a date or a Unix time; else None."""
    if value and re.fullmatch(r"\d{10}(\d{3})?", value):  # as a wait, it would be of years
        return _until(value, now)
    try:
        seconds = float(value or "") * unit
    except ValueError:
        date = http_date(value)
        return None if date is None else min(max(0.0, (date - now) / 1000), LONGEST_BAN)
    return min(seconds, LONGEST_BAN) if 0 <= seconds < inf else None


def _until(time: str, now: int) -> float:
    """The seconds from `now` (milliseconds) to a Unix time in seconds or milliseconds."""
    ms = int(time) * (1000 if len(time) == 10 else 1)
    return min(max(0.0, (ms - now) / 1000), LONGEST_BAN)
