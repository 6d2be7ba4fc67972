"""Any perpetual venue that ccxt knows, named in the setting `ccxt_venues`: instruments, settled funding, open interest, bars.

ccxt builds the requests of a venue and reads its answers. The requests go through the client of this project: session, retries,
one limit for the whole machine, counted as ccxt counts it, in milliseconds of the venue's time. Its clock is the run's.

Landing gets one JSON body a call: `answers`, the URL, status and text of every body that the venue sent; and `rows`, the result
of ccxt's unified method, cut to the window. Loading reads `rows`, so a replay needs no ccxt; what a later ccxt reads better has
to be fetched again. A row on which ccxt fails is kept as sent, and goes to
quarantine; where it fails on all of an answer `rows` is null, and the page does. Times are milliseconds.

What ccxt doesn't state are facts without proof (`venue_facts.csv`): sides of open interest, the meaning of a stamp, coins or
contracts (known only where a contract is one coin), stocks or coins. A fact about one venue is called `<fact> of <venue>`.

Live, a venue that has a source of its own is refused. On the emulator, which speaks as no other venue, it is fetched by both, and
the precedence of sources decides. Alone: `PERPLAKE_CCXT_VENUES=phemex perps run --mode live --venues ''`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from math import ceil
from operator import attrgetter
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
from yarl import URL

from pipelines.client import Answer, Client
from pipelines.errors import Absent
from pipelines.paging import hourly, once
from pipelines.records import MaybeNumber, Ms, Number, Record
from pipelines.registry import source_rows
from pipelines.shapes import Bar, decode_or_none
from pipelines.source import Endpoint, Instrument, Limit, Plan, Request, Source, VenueProblem
from pipelines.symbols import base_asset
from pipelines.windows import DAY, HOUR, Window, iso

#: Quotes of the instruments that are fetched (the fact `fetched_quote`).
QUOTES = ("USDT", "USDC", "USD")
#: Rows that every venue sends at once, and so hours in a request: rates and open interest have a row an hour at most.
PAGE = 96
#: Rows requested of a venue that ignores the window: its latest ones may reach back to it.
LATEST = 1000
OLDER = "Older history can't be had this way"
#: A refused window that ended longer ago than this shows that the venue keeps no such history: older windows are not requested.
OLD = 2 * DAY
#: The most hours in a request for bars, where ccxt states no fewer for the venue.
BARS = 1000
#: The most answers in one call of ccxt's, which follows cursors by itself; the markets of the largest venues take about ten.
MOST_ANSWERS = 100
#: How often ccxt reads parts of an answer in which it fails, until the answer is given up.
MOST_TRIES = 200
INSTALL = "ccxt_venues needs the package ccxt: install perplake with its extra, `pip install 'perplake[ccxt]'`"


class Market(Record, rename="camel"):
    """`listed` is the coin as the venue writes it where ccxt only changed the case (kPEPE), else ccxt's name (BTC for XBT)."""

    symbol: str = msgspec.field(name="id")
    unified: str = msgspec.field(name="symbol")
    base: str
    quote: str
    settle: str | None = None
    linear: bool | None = None
    inverse: bool | None = None
    contract_size: MaybeNumber = None
    active: bool | None = None
    created: int | None = None
    listed: str = msgspec.field(name="baseId", default="")

    def __post_init__(self) -> None:
        if self.listed.upper() != self.base:
            self.listed = self.base


class FundingRate(Record, rename="camel"):
    timestamp: Ms
    funding_rate: Number


class OpenInterest(Record, rename="camel"):
    timestamp: Ms
    open_interest_amount: MaybeNumber = None
    open_interest_value: MaybeNumber = None


class OpenInterestNow(Record, rename="camel"):
    timestamp: int | None = None
    open_interest_amount: MaybeNumber = None
    open_interest_value: MaybeNumber = None


class Candle(Bar, array_like=True):
    volume: MaybeNumber


class Problem(msgspec.Struct):
    """The body that stands for an exception of ccxt's."""

    kind: Literal["limited", "blocked", "rejected", "transient"]
    message: str


def error(status: int, body: bytes) -> VenueProblem | None:
    problem = decode_or_none(body, Problem)
    return VenueProblem(problem.kind, problem.message) if problem else None


def _rows_of(record: type[Record]) -> dict[str, Any]:
    """`page` and `rows` of an endpoint; `rows` without a list is an answer on which ccxt failed, which is no page."""
    return {"page": msgspec.defstruct("Body", [("rows", list[record])]), "rows": attrgetter("rows")}  # type: ignore[valid-type]


def instruments(page: Any) -> list[Instrument]:
    return [
        Instrument(m.symbol, base_asset(m.listed))
        for m in page.rows
        if (m.linear or m.inverse) and m.quote in QUOTES and m.active is not False
    ]


# --- the transport ----------------------------------------------------------------------------------------------------------

#: The venue's answers to the call in progress.
_answers: ContextVar[list[dict[str, Any]]] = ContextVar("answers")
#: Rows of these answers in which ccxt reads no time.
_untimed: ContextVar[list[Any]] = ContextVar("untimed")
#: The answers that stand for the venue's while its bad rows are searched for.
_replayed: ContextVar[Iterator[Any] | None] = ContextVar("replayed", default=None)


class Transport:
    """An exchange of ccxt whose requests go through a client; `get` returns the result of one unified call as one body."""

    def __init__(self, exchange: str, client: Client) -> None:
        import ccxt.async_support as ccxt

        self._ccxt, self._client = ccxt, client
        self._exchange: Any = getattr(ccxt, exchange)({"options": {"defaultType": "swap"}})
        self._exchange.has["fetchCurrencies"] = False  # most venues need a key for it
        self._exchange.fetch, self._exchange.throttle = self._fetch, self._throttle
        self._exchange.milliseconds = client.clock.now
        self._exchange.sort_by = self._sort_by
        #: By method: the end of the newest refused window (ms), and the first refusal.
        self._refused: dict[str, tuple[int, Absent]] = {}

    async def close(self) -> None:
        """It has no resources of its own."""

    async def get(self, url: str, request: Request) -> Answer:
        """Status, headers, body and URL; a `Problem` as the body where ccxt raises an exception.

        Raises `Absent` for history that the venue doesn't keep, and for methods that ccxt hasn't for this instrument.
        """
        method, until = request.path.rpartition("/")[2], int(request.params.get("until", 0))
        if method in self._refused and until <= self._refused[method][0]:
            raise self._refused[method][1]
        answers: list[dict[str, Any]] = []
        _answers.set(answers)
        _untimed.set([])
        content: dict[str, Any] = {}
        try:
            content["rows"] = await self._rows(method, request.params)
        except Absent as problem:
            self._refused[method] = until, self._refused.get(method, (0, problem))[1]
            raise
        except self._ccxt.NotSupported as problem:
            remedy = "The venue itself may give it, by a source of its own"
            raise Absent("ccxt", request.path_label, str(problem), remedy) from problem
        except self._ccxt.BaseError as problem:
            status = answers[-1]["status"] if answers else 200
            stated = self._problem(status, problem)
            if stated.kind == "rejected" and answers and until and until < self._exchange.milliseconds() - OLD:
                message = f"this venue refuses windows that ended by {iso(until + 1)} ({stated.message})"
                absent = Absent("ccxt", request.path_label, message, OLDER)
                self._refused[method] = until, self._refused.get(method, (0, absent))[1]
                raise self._refused[method][1] from problem
            return status, answers[-1]["headers"] if answers else {}, msgspec.json.encode(stated), url
        except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as problem:
            if not answers:
                raise
            rows = await self._without_bad_rows(method, request.params, [answer["body"] for answer in answers])
            content |= {"rows": rows, "ccxt": repr(problem)}  # an answer that ccxt can't read, or rows of it
        content["answers"] = [{name: answer[name] for name in ("url", "status", "body")} for answer in answers]
        last = answers[-1] if answers else {"headers": {}, "url": url}
        return 200, last["headers"], msgspec.json.encode(content), last["url"]

    async def _rows(self, method: str, params: Mapping[str, Any]) -> list[Any]:
        exchange = self._exchange
        if method == "loadMarkets":
            return [_market(m) for m in (await exchange.load_markets(True)).values() if m["swap"]]
        if exchange.markets is None:
            await exchange.load_markets()
            _answers.get().clear()
        swaps = [m for m in exchange.markets_by_id.get(params["symbol"], []) if m["swap"]]
        market = swaps[0] if swaps else exchange.market(params["symbol"])
        if method == "fetchOpenInterest":
            return [_picked(OpenInterestNow, await exchange.fetch_open_interest(market["symbol"]))]
        since, until, limit = params["since"], params["until"], params["limit"]
        call = getattr(exchange, _snake(method))
        # A method that doesn't read `until` would send it to the venue.
        ccxt_params = {"until": until} if "params.until" in (call.__doc__ or "") else {}
        timeframe = [] if method == "fetchFundingRateHistory" else ["1h"]
        rows = await call(market["symbol"], *timeframe, since, limit, ccxt_params)
        if method == "fetchOHLCV":
            timed = [(row[0], row) for row in rows]
        else:
            kind = FundingRate if method == "fetchFundingRateHistory" else OpenInterest
            timed = [(row["timestamp"], _picked(kind, row)) for row in rows]
        untimed = [row if method == "fetchOHLCV" else _picked(kind, row) for row in _untimed.get()]
        times = [time for time, _ in timed]
        if len(rows) >= min(limit, PAGE) and min(times) > until and max(times) > exchange.milliseconds() - DAY:
            if limit < LATEST:
                with suppress(self._ccxt.BadRequest):
                    return await self._rows(method, {**params, "limit": LATEST})
            problem = f"this venue sends its latest rows, whatever the window, and they begin at {iso(min(times))}"
            raise Absent("ccxt", f"/{exchange.id}/{method}", problem, OLDER)
        return [row for time, row in sorted(timed, key=lambda both: both[0]) if since <= time <= until] + untimed

    async def _without_bad_rows(self, method: str, params: Mapping[str, Any], bodies: Sequence[str]) -> list[Any] | None:
        """The rows of answers in which ccxt fails, the bad ones as sent and without a time; None where it reads none of them."""
        parse = self._exchange.parse_json
        lists = [_longest_list(parse(body)) for body in bodies]
        tries = 0

        async def read(kept: Sequence[tuple[int, int]]) -> list[Any] | None:
            nonlocal tries
            pages = [parse(body) for body in bodies]
            for number, page in enumerate(pages):
                _longest_list(page)[:] = [lists[n][row] for n, row in kept if n == number]
            tries += 1
            _untimed.set([])
            token = _replayed.set(iter(pages))
            try:
                return await self._rows(method, params) if tries < MOST_TRIES else None
            except Exception:  # the row that ccxt can't read, or no page that fits
                return None
            finally:
                _replayed.reset(token)

        async def bad(among: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
            if await read(among) is not None:
                return []
            half = len(among) // 2
            return [*await bad(among[:half]), *await bad(among[half:])] if half else list(among)

        every = [(n, row) for n, rows in enumerate(lists) for row in range(len(rows))]
        lost = set(await bad(every))
        tries = 0
        rows = await read([each for each in every if each not in lost])
        if not rows:
            return None
        sent = [lists[n][row] for n, row in sorted(lost)]
        return rows + [[None, row] if method == "fetchOHLCV" else {"id": None, "timestamp": None, "sent": row} for row in sent]

    def _sort_by(self, array: list[Any], key: str | int, *options: Any) -> Any:
        """ccxt's own, without the rows of no time: ccxt drops them later on, and here they are kept for quarantine."""
        if key in (0, "timestamp"):
            _untimed.get().extend(row for row in array if not row[key])
            array = [row for row in array if row[key]]
        return self._ccxt.Exchange.sort_by(array, key, *options)

    async def _fetch(self, url: str, method: str = "GET", headers: dict[str, Any] | None = None, body: str | None = None) -> Any:
        """ccxt's own `fetch`, through our client: to the venue, or to the emulator in its place."""
        exchange, client = self._exchange, self._client
        if (replayed := _replayed.get()) is not None:
            return next(replayed, None)
        if len(_answers.get()) >= MOST_ANSWERS:
            raise self._ccxt.ExchangeError(f"more than {MOST_ANSWERS} pages follow each other")
        address = url
        if not client.base_url.startswith("ccxt:"):
            parts = urlsplit(url)
            address = client.base_url + parts.path + (f"?{parts.query}" if parts.query else "")
        sent = exchange.prepare_request_headers(headers)
        try:
            status, answered, content, _ = await client.http(
                method, URL(address, encoded=True), headers=sent, data=body and body.encode()
            )
        except TimeoutError as problem:
            raise self._ccxt.RequestTimeout(str(problem)) from problem
        except ConnectionError as problem:
            raise self._ccxt.NetworkError(str(problem)) from problem
        text = content.decode(errors="replace")
        _answers.get().append({"url": url, "status": status, "headers": dict(answered), "body": text})
        read = exchange.parse_json(text)
        exchange.handle_errors(status, "", url, method, dict(answered), text, read, sent, body)
        exchange.handle_http_status_code(status, "", url, method, text)
        if read is None:  # HTML, or a truncated answer
            raise self._ccxt.NetworkError(f"the body is not whole JSON: {text[:60]!r}")
        return read

    async def _throttle(self, cost: float | None = None) -> None:
        await self._client.wait({"ms": max(1, ceil((1 if cost is None else cost) * self._exchange.rateLimit))})

    def _problem(self, status: int, problem: Exception) -> Problem:
        ccxt, kind = self._ccxt, "rejected"
        if isinstance(problem, ccxt.RateLimitExceeded | ccxt.DDoSProtection):
            kind = "limited"
        elif isinstance(problem, ccxt.RestrictedLocation | ccxt.AuthenticationError) or status in (403, 451):
            kind = "blocked"
        elif isinstance(problem, ccxt.OperationFailed) and not 400 <= status < 500:  # it calls a 404 a lost connection
            kind = "transient"
        return Problem(kind, f"{type(problem).__name__}: {problem}"[:300])  # type: ignore[arg-type]


def _longest_list(page: Any) -> list[Any]:
    """The longest of the lists of an answer that are in no other list; an empty one where it has none."""
    longest: list[Any] = []
    waiting = [page]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            waiting += part.values()
        elif isinstance(part, list) and len(part) > len(longest):
            longest = part
    return longest


def _snake(method: str) -> str:
    return {"fetchOHLCV": "fetch_ohlcv"}.get(method) or "".join(f"_{c.lower()}" if c.isupper() else c for c in method)


def _picked(kind: type[Record], row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row.get(name) for name in (f.encode_name for f in msgspec.structs.fields(kind))}


def _market(market: Mapping[str, Any]) -> dict[str, Any]:
    return {**_picked(Market, market), "baseId": str(market.get("baseId") or "")}


# --- the endpoints ----------------------------------------------------------------------------------------------------------

#: ccxt's method by endpoint; a venue for which ccxt has no such method has no such endpoint.
METHODS = {
    "instruments": "loadMarkets",
    "open_interest_now": "fetchOpenInterest",
    "funding_rates": "fetchFundingRateHistory",
    "open_interest": "fetchOpenInterestHistory",
    "candles": "fetchOHLCV",
}


def _more(step: int, request: Request, page: Any, rows: Sequence[Any], time: str) -> Request | None:
    """The missing end of a window, or else its missing start: a venue may send fewer rows at once than were requested.

    `step` is the longest time between two rows. Each page narrows the window, and an empty page ends it.
    """
    if not rows:
        return None
    since, until = int(request.params["since"]), int(request.params["until"])
    first, last = getattr(rows[0], time), getattr(rows[-1], time)
    if last + step <= until:
        return replace(request, params={**request.params, "since": last + 1})
    if first - step >= since:
        return replace(request, params={**request.params, "until": first - 1})
    return None


def _endpoints(exchange: str, venue: str, bars: int = BARS) -> tuple[Endpoint, ...]:
    """All endpoints that a venue may have, by ccxt's name of the venue and ours."""

    def request(name: str, instrument: Instrument, window: Window | None, rows: int) -> Request:
        span = {"since": window.start, "until": window.end - 1, "limit": rows} if window else {}
        context = {"symbol": instrument.symbol, "venue": venue}
        return Request(f"/{exchange}/{METHODS[name]}", {"symbol": instrument.symbol, **span}, context=context, window=window)

    def now(instrument: Instrument, window: Window) -> Iterable[Request]:
        yield request("open_interest_now", instrument, None, 1)

    def paged(name: str, rows: int) -> Plan:
        plan = hourly(rows, lambda instrument, window: request(name, instrument, window, rows))
        return lambda instrument, window: reversed(list(plan(instrument, window)))  # until the venue's history ends

    def series(name: str, record: type[Record], time: str, rows: int, step: int, bar: int | None = None) -> Endpoint:
        def next_page(request: Request, page: Any, rows: Sequence[Any]) -> Request | None:
            return _more(step, request, page, rows, time)

        return Endpoint(
            name,
            record,
            key=("symbol", "venue", time),
            time=time,
            plan=paged(name, rows),
            **_rows_of(record),
            next_page=next_page,
            context=("symbol", "venue"),
            bar=bar,
        )

    return (
        Endpoint(
            "instruments",
            Market,
            key=("symbol", "venue"),
            plan=once(Request(f"/{exchange}/loadMarkets", context={"venue": venue})),
            **_rows_of(Market),
            context=("venue",),
            bulk=True,
        ),
        Endpoint(
            "open_interest_now",
            OpenInterestNow,
            key=("symbol", "venue"),
            plan=now,
            **_rows_of(OpenInterestNow),
            context=("symbol", "venue"),
        ),
        # Nearly all venues settle every eight hours or more often.
        series("funding_rates", FundingRate, "timestamp", PAGE, 9 * HOUR),
        series("open_interest", OpenInterest, "timestamp", PAGE, 2 * HOUR),
        series("candles", Candle, "open_time", bars, 2 * HOUR, bar=HOUR),
    )


def _source(exchange: str, venue: str, endpoints: tuple[Endpoint, ...]) -> Source:
    return Source(
        name="ccxt",
        venue=venue,
        base_url=f"ccxt://{exchange}",
        limits={"ms": Limit(10_000, 10)},
        error=error,
        parse_instruments=instruments,
        endpoints=endpoints,
        transport=partial(Transport, exchange),
    )


#: Without a venue: the raw tables that all venues share.
SOURCE = _source("", "", _endpoints("", ""))


def expand_multi_venue(names: Sequence[str], origin: str) -> tuple[tuple[Source, ...], tuple[str, ...]]:
    """A source for each named exchange of ccxt, and a line for each endpoint that it doesn't have.

    Raises `ValueError` for an exchange that ccxt doesn't know, and, live, for one that has a source of its own.
    """
    if not names:
        return (), ()
    try:
        import ccxt.async_support as ccxt
    except ImportError:
        raise ValueError(INSTALL) from None
    sources, lines = [], []
    native = {row.venue: name for name, row in reversed(source_rows().items()) if row.venue}
    for name in names:
        if name not in ccxt.exchanges:
            near = ", ".join(known for known in ccxt.exchanges if known[:3] == name[:3])
            raise ValueError(f"ccxt_venues: ccxt {ccxt.__version__} knows no {name!r}" + (f"; near it: {near}" if near else ""))
        venue = next((known for known in native if known in name), name)
        if venue in native and origin == "live":
            raise ValueError(f"ccxt_venues: {name} has a source of its own, {native[venue]}: name {venue!r} in `venues` instead")
        if venue not in native and origin not in ("live", "replay"):
            lines.append(f"ccxt {name} is left out: the emulator does not speak as {name}; it needs `--mode live`")
            continue
        exchange = getattr(ccxt, name)()
        limit = exchange.feature_value_by_type("swap", "linear", "fetchOHLCV", "limit", PAGE)
        endpoints = []
        for endpoint in _endpoints(name, venue, min(int(limit or PAGE), BARS)):
            method = METHODS[endpoint.name]
            hourly_bars = endpoint.bar is None or "1h" in exchange.timeframes
            if method == "loadMarkets" or (exchange.has.get(method) is True and hourly_bars):
                endpoints.append(endpoint)
            else:
                lines.append(f"ccxt {name} has no {endpoint.name}: ccxt {ccxt.__version__} has no {method} for it")
        sources.append(_source(name, venue, tuple(endpoints)))
    return tuple(sources), tuple(lines)
