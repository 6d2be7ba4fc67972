"""Every source against its cases: the requests, errors, samples, limits and answers that its venue page states.

The cases (`infra/emulator/venues/<source>.yaml`, form in `infra.emulator.cases`) are written by hand from the venue page. What
is expected comes from there, from recorded bytes read by the standard library, or from ccxt; never from the code under test.
What one venue alone does is in `test_<source>.py`. How a source gets its cases: `docs/adding-a-source.md`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise, product
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from infra.emulator.cases import Ccxt, Many, cases, names
from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served
from infra.emulator.venue import UNKNOWN_PARAMETER
from pipelines.registry import source_rows
from pipelines.source import Instrument, Request, VenueProblem
from pipelines.sources import get_source
from pipelines.windows import Window
from tests.sources.kit import DAY, NOW, Question, ask, load_and_query, market_name, prefix, question, store_rows
from tests.sources.samples import WIRE, Sample, collect, decoded, documented, exact, recorded, rows_at, same, wire_value

SOURCES = names()
SAMPLES, LEFT_OUT = collect()


def each(part: str) -> list[Any]:
    """(source, key) for each key of a part of the cases."""
    return [pytest.param(name, key, id=f"{name} {key}") for name in SOURCES for key in getattr(cases(name), part)]


# --- requests ---------------------------------------------------------------------------------------------------------------


def written(request: Request) -> str:
    """A request as the cases write it: method, path, parameters, body; the text of a query after the rest, on one line."""
    query = "?" + urlencode(request.params) if request.params else ""
    body = dict(request.body or {})
    texts = [" ".join(body.pop(name).split()) for name in ("query", "sql") if name in body]
    return " ".join([f"{request.method} {request.path}{query}", *([json.dumps(body)] if body else []), *texts])


def test_every_source_has_cases() -> None:
    """All but ccxt, which has no wire of its own."""
    assert set(SOURCES) == set(source_rows()) - {"ccxt"}


@pytest.mark.parametrize("name", [name for name in SOURCES if not get_source(name).by_asset])
def test_a_symbol_is_one_part_of_its_path(name: str) -> None:
    """Whatever a venue's list has as a symbol: it names no other path, and no parameter."""
    for endpoint in (e for e in get_source(name).endpoints if not e.bulk and not e.listed):
        paths = [
            [request.path for request in endpoint.plan(Instrument(symbol, "BTC"), Window(NOW - DAY, NOW))]
            for symbol in ("BTC-X", "../A/B?c=d#e\\")
        ]
        usual, odd = ([path.count("/") for path in each] for each in paths)
        assert usual == odd and not re.search(r"[?#\\]", "".join(paths[1])), paths[1][:1]


@pytest.mark.parametrize("name", SOURCES)
def test_requests_for_events_name_their_instrument(name: str) -> None:
    """Coverage counts the windows of events by the symbol in the request's context: a silent window has no rows to name it."""
    for endpoint in filter(lambda e: e.is_event, get_source(name).endpoints):
        requests = list(endpoint.plan(Instrument("BTC-X", "BTC"), Window(NOW - DAY, NOW)))
        named = None if endpoint.bulk else "BTC-X"  # a file of all instruments names none
        assert requests and {request.context.get("symbol") for request in requests} == {named}


@pytest.mark.parametrize("name", SOURCES)
def test_each_endpoint_has_its_requests(name: str) -> None:
    assert [e.name for e in get_source(name).endpoints] == list(cases(name).requests)
    assert get_source(name).base_url == cases(name).host


@pytest.mark.parametrize(("name", "endpoint"), each("requests"))
def test_two_days_make_exactly_these_requests(name: str, endpoint: str) -> None:
    case = cases(name)
    requests = list(get_source(name).endpoint(endpoint).plan(Instrument(case.instrument, ""), Window.of_days(*case.days)))
    lines, expected = list(map(written, requests)), case.requests[endpoint]
    if isinstance(expected, Many):
        assert (len(lines), lines[0], lines[-1]) == (expected.count, expected.first, expected.last)
    else:
        assert lines == ([expected] if isinstance(expected, str) else expected)
    weights = case.weights.get(endpoint, {endpoint: 1} if endpoint in case.limits else dict.fromkeys(case.limits, 1))
    assert len(weights) == 1 or endpoint in case.weights, "more than one limit: the cases must say which"
    assert [dict(request.weights) for request in requests] == [weights] * len(requests)


@pytest.mark.parametrize("name", [name for name in SOURCES if not cases(name).ccxt and not cases(name).samples])
def test_requests_that_no_client_and_no_recording_shows_name_their_evidence(name: str) -> None:
    assert set(cases(name).requests) == set(cases(name).evidence)


@pytest.mark.parametrize(("name", "endpoint"), each("page_hours"))
def test_a_year_is_asked_in_pages_that_no_limit_cuts_short(name: str, endpoint: str) -> None:
    year, hours = Window(NOW - 365 * DAY, NOW), cases(name).page_hours[endpoint]
    windows = [r.window for r in get_source(name).endpoint(endpoint).plan(Instrument(cases(name).instrument, ""), year)]
    starts = [window.start for window in windows if window]
    assert len(starts) == len(windows) <= 8760 / hours + 2 and starts[0] == year.start and windows[-1].end >= year.end
    assert max(b - a for a, b in pairwise([*starts, year.end])) <= hours * MS_HOUR


@pytest.mark.parametrize("name", SOURCES)
def test_no_endpoint_reaches_beyond_what_the_venue_keeps(name: str) -> None:
    assert {e.name: e.history_days for e in get_source(name).endpoints if e.history_days} == cases(name).history_days


@pytest.mark.parametrize("name", SOURCES)
def test_the_limits_are_the_documented_ones(name: str) -> None:
    assert {limit: (x.weight, x.seconds) for limit, x in get_source(name).limits.items()} == cases(name).limits


# --- errors -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "error"), each("errors"))
def test_an_error_has_its_kind_and_its_message(name: str, error: str) -> None:
    case = cases(name).errors[error]
    expected = VenueProblem(case.kind, case.message) if case.kind else None
    assert get_source(name).error(case.status, case.encoded) == expected


@pytest.mark.parametrize("name", SOURCES)
def test_what_is_no_error(name: str) -> None:
    for body in cases(name).not_errors:
        assert get_source(name).error(200, json.dumps(body).encode()) is None
    assert get_source(name).error(200, b"<html>") is None


# --- samples ----------------------------------------------------------------------------------------------------------------


@recorded
@pytest.mark.parametrize("name", [name for name in SOURCES if cases(name).samples])
def test_no_sample_is_left_out(name: str) -> None:
    where = cases(name).samples
    assert where and Counter(s.endpoint for s in SAMPLES if s.source == name) == where.count


@recorded
def test_every_file_of_nautilus_trader_is_named_by_a_source() -> None:
    """Of three of its folders; a file that we don't read is named with null."""
    files = {file for name in SOURCES if (where := cases(name).samples) for file in where.files if file.endswith(".json")}
    folder = WIRE / "documented" / "nautilus_trader"
    for venue in ("bybit", "hyperliquid", "kraken"):
        present = {str(path.relative_to(folder)) for path in (folder / venue).glob("http_*")}
        assert present == {file for file in files if file.startswith(f"{venue}/")}


@pytest.mark.parametrize("sample", SAMPLES + documented(), ids=str)
def test_a_sample_decodes_to_exactly_what_it_holds(sample: Sample) -> None:
    case = cases(sample.source)
    columns, rows = case.wire_columns(sample.endpoint), decoded(sample)
    wire = rows_at(case, sample.endpoint, exact(sample.body))
    assert len(rows) == len(wire)
    assert rows or sample.body == b"null"
    for row, raw in zip(rows, wire, strict=True):
        assert row.keys() == columns.keys(), "a column that the cases do not know"
        for column, where in columns.items():
            assert same(row[column], wire_value(raw, where)), (column, row[column], raw)


# --- the emulator -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "path"), each("refused"))
def test_the_emulator_refuses_as_the_venue_does(name: str, path: str, emulator: Served) -> None:
    case = cases(name)
    error, answer = case.errors[case.refused[path]], ask(emulator, name, path)
    pattern = re.sub(r"\\\{\w+\\\}|\"\\\{\w+\\\}\"", ".*", re.escape(error.encoded.decode()))
    assert answer.status_code == error.status and re.fullmatch(pattern, answer.text), answer.text


@pytest.mark.parametrize("name", SOURCES)
def test_a_parameter_that_the_venue_does_not_know_is_refused_or_ignored_as_there(name: str, emulator: Served) -> None:
    """And noted in the log of requests, so that a misspelt parameter that is ignored is seen."""
    case = cases(name)
    lines = [r for r in case.requests.values() if isinstance(r, str) and r.startswith("GET")]
    if not lines or case.key_header or get_source(name).host == "s3":
        return  # GraphQL, a list of all that a vendor has, an archive
    path = lines[0].removeprefix("GET ")
    answer = ask(emulator, name, f"{path}{'&' if '?' in path else '?'}misspelt=1")
    assert "misspelt" in emulator.requests()[-1]["unread"]
    refused = case.errors.get("unknown_parameter", case.errors.get("invalid_parameter", UNKNOWN_PARAMETER))
    if case.unknown_parameters == "ignored":
        assert answer.status_code == 200 and answer.content == ask(emulator, name, path).content
    else:
        assert answer.status_code == refused.status


@pytest.mark.parametrize("name", [n for n in SOURCES if cases(n).unknown_parameters == "ignored" and get_source(n).host != "s3"])
def test_our_requests_have_no_parameter_that_is_ignored(name: str, emulator: Served) -> None:
    """Where an unknown parameter is refused, every other test shows it."""
    for lines in cases(name).requests.values():
        line = lines.first if isinstance(lines, Many) else lines if isinstance(lines, str) else lines[0]
        answer = ask(emulator, name, line.partition(" ")[2])
        assert answer.status_code != 200 or emulator.requests()[-1]["unread"] == [], line


@pytest.mark.parametrize("name", [name for name in SOURCES if cases(name).key_header])
def test_without_a_key_the_emulator_refuses(name: str, emulator: Served) -> None:
    error, [path, *_] = cases(name).errors["no_key"], cases(name).refused
    answer = ask(emulator, name, path, with_key=False)
    assert (answer.status_code, answer.content) == (error.status, error.encoded)
    assert (get_source(name).key_header, get_source(name).key_prefix) == (cases(name).key_header, cases(name).key_prefix)


@pytest.mark.parametrize(("name", "path"), each("pages"))
def test_the_emulator_cuts_and_orders_a_page_as_the_venue_does(name: str, path: str, emulator: Served) -> None:
    case, answer = cases(name), ask(emulator, name, path)
    page = case.pages[path]
    rows = rows_at(case, page.endpoint, exact(answer.content))
    times = [wire_value(row, case.wire_columns(page.endpoint)[page.time]) for row in rows]
    ends = [datetime.fromtimestamp(int(at) / 1000, UTC).strftime("%Y-%m-%dT%H:%M") for at in (times[0], times[-1])]
    assert (len(rows), *ends) == (page.rows, page.first, page.last)
    assert times in (sorted(times), sorted(times, reverse=True))


@pytest.mark.parametrize("name", [name for name in SOURCES if cases(name).liquidations])
def test_three_days_of_liquidations_are_those_of_the_store(
    name: str, emulator: Served, store: SyntheticMarket, tmp_path: Path
) -> None:
    case, window = cases(name), Window(NOW - 3 * DAY, NOW)
    columns = case.liquidations
    assert columns
    query = load_and_query(name, emulator, tmp_path, window=window, assets=["BTC"])
    rows = query(
        f"select {columns.time}, {columns.long}, {columns.price}, {columns.size} from raw.{name}__liquidations order by all"
    )
    step, events = columns.resolution, store_rows(store.liquidations(market_name(name) or "", "BTC"), window)
    expected = sorted((at // step * step, long, price, size) for at, long, price, size in events)
    assert len(rows) == len(expected) > 3 and {long for _, long, _, _ in expected} == {True, False}
    for row, event in zip(rows, expected, strict=True):
        assert row[:2] == event[:2] and row[2:] == pytest.approx(event[2:], rel=1e-6)
    assert query(f"select distinct {columns.instrument} from raw.{name}__liquidations") == [(case.instrument,)]


# --- ccxt reads the emulator ------------------------------------------------------------------------------------------------

CLIENTS = {name: client for name in SOURCES if (client := cases(name).ccxt)}
INSTRUMENTS = [pytest.param(name, symbol, id=f"{name} {symbol}") for name, c in CLIENTS.items() for symbol in c.instruments]


def pages(fetch: Callable[[int], list[Any]], since: int, time: Callable[[Any], int]) -> list[Any]:
    """Forward pages until one brings nothing new."""
    rows: list[Any] = []
    while page := [row for row in fetch(since) if not rows or time(row) > time(rows[-1])]:
        rows += page
        since = time(page[-1]) + 1
    return rows


def sides(how: str) -> int:
    """How many sides of a trade or of a position a size counts."""
    return 2 if how == "both sides" else 1


class Read:
    """One instrument through ccxt, and the same of the store."""

    def __init__(self, name: str, symbol: str, exchanges: Callable[[str], Any], store: SyntheticMarket) -> None:
        self.client: Ccxt = CLIENTS[name]
        self.exchange, self.store, self.venue = exchanges(name), store, market_name(name) or ""
        self.instrument = self.client.instruments[symbol]
        self.inverse = self.client.inverse if self.instrument.inverse is None else self.instrument.inverse
        [self.market] = [m for m in self.exchange.markets.values() if m["id"] == symbol and m["swap"]]
        self.since = NOW - self.client.days * DAY
        self.bars_since = NOW - (self.client.candle_days or self.client.days) * DAY
        # Between two rows: from a row on, some clients ask for one more than the limit.
        self.before = self.since - MS_HOUR // 2

    def rows(self, bundle: Any) -> list[tuple[Any, ...]]:
        """The store's rows from `since` on."""
        return self.between(bundle, self.since, NOW + 1)

    def bars(self, bundle: Any) -> list[tuple[Any, ...]]:
        """The store's bars from `bars_since` on that are over."""
        return self.between(bundle, self.bars_since, NOW)

    @staticmethod
    def between(bundle: Any, start: int, end: int) -> list[tuple[Any, ...]]:
        rows = list(store_rows(bundle, Window(start, end)))
        assert rows
        return rows

    def counted(self, size: float, how: str, mark: float = 1.0) -> float:
        """A size in coins as the venue counts it."""
        match how:
            case "contracts":
                return round(size / self.instrument.contract)
            case "decimal contracts":
                return round(size / self.instrument.contract, 8)
            case "dollar contracts":
                return round(size * mark / self.instrument.contract)
        return size * sides(how)


@pytest.fixture
def read(name: str, symbol: str, exchanges: Callable[[str], Any], store: SyntheticMarket) -> Read:
    return Read(name, symbol, exchanges, store)


def only(method: str) -> Any:
    """Parametrised over the instruments of the sources of which ccxt has the method."""
    chosen = [p for p in INSTRUMENTS if getattr(CLIENTS[str(p.values[0])], method)]
    return pytest.mark.parametrize(("name", "symbol"), chosen)


@pytest.mark.parametrize(("name", "symbol"), INSTRUMENTS)
def test_ccxt_reads_the_instruments(read: Read) -> None:
    assert read.market["symbol"] == read.instrument.symbol and read.market["active"] is not False
    assert (read.market["contractSize"], read.market["inverse"]) == (read.instrument.contract, read.inverse)
    assert len([m for m in read.exchange.markets.values() if m["swap"]]) == read.client.swaps


@only("funding_history")
def test_ccxt_reads_the_funding_history(read: Read) -> None:
    symbol, limit = read.instrument.symbol, read.client.funding_history
    rates = pages(
        lambda since: read.exchange.fetch_funding_rate_history(symbol, since, limit),
        read.before,
        lambda rate: rate["timestamp"],
    )
    funding = read.rows(read.store.funding(read.venue, read.instrument.coin))
    assert [(r["timestamp"], r["fundingRate"]) for r in rates] == [row[:2] for row in funding]


@only("candles")
def test_ccxt_reads_the_candles(read: Read) -> None:
    symbol, limit, newest = read.instrument.symbol, read.client.candles, NOW - MS_HOUR
    bars = pages(
        lambda since: read.exchange.fetch_ohlcv(symbol, "1h", since, limit) if since <= newest else [],
        read.bars_since,
        lambda bar: bar[0],
    )
    trades = read.bars(read.store.candles(read.venue, read.instrument.coin, "trade"))
    expected = [(*row[:5], read.counted(row[5], read.client.volume)) for row in trades]
    assert [tuple(bar) for bar in bars if bar[0] <= newest] == expected


def price_candles(read: Read, kind: Any, limit: int) -> None:
    newest = NOW - MS_HOUR
    bars = pages(
        lambda since: (
            read.exchange.fetch_ohlcv(read.instrument.symbol, "1h", since, limit, {"price": kind}) if since <= newest else []
        ),
        read.bars_since,
        lambda bar: bar[0],
    )
    prices = read.bars(read.store.candles(read.venue, read.instrument.coin, kind))
    assert [tuple(bar[:5]) for bar in bars if bar[0] <= newest] == [row[:5] for row in prices]


@only("mark_candles")
def test_ccxt_reads_the_mark_candles(read: Read) -> None:
    price_candles(read, "mark", read.client.mark_candles)


@only("index_candles")
def test_ccxt_reads_the_index_candles(read: Read) -> None:
    price_candles(read, "index", read.client.index_candles)


@only("open_interest_history")
def test_ccxt_reads_the_open_interest_history(read: Read) -> None:
    symbol, limit = read.instrument.symbol, read.client.open_interest_history
    history = pages(
        lambda since: read.exchange.fetch_open_interest_history(symbol, "1h", since, limit) if since <= NOW else [],
        read.before,
        lambda point: point["timestamp"],
    )
    points = read.rows(read.store.open_interest(read.venue, read.instrument.coin))
    amounts = [(at, read.counted(size, read.client.amount, mark)) for at, size, mark in points]
    assert [(h["timestamp"], h["openInterestAmount"]) for h in history] == amounts
    values = [h["openInterestValue"] for h in history]
    both = sides(read.client.amount)
    assert values in ([size * both if read.inverse else size * mark * both for _, size, mark in points], [None] * len(points))


@only("running_rate")
def test_ccxt_reads_the_running_rate(read: Read) -> None:
    symbol = read.instrument.symbol
    every = read.client.running_rate == "all"
    now = read.exchange.fetch_funding_rates([symbol])[symbol] if every else read.exchange.fetch_funding_rate(symbol)
    assert now["fundingRate"] == read.store.running_rate(read.venue, read.instrument.coin, NOW)
    [listing] = [x for x in read.store.listings(read.venue) if x.listed == read.instrument.coin]
    hours = next(hours for since, hours in reversed(listing.funding_interval_hours) if since <= NOW)
    upcoming = (NOW // (hours * MS_HOUR) + 1) * hours * MS_HOUR
    assert now["interval"] in (None, f"{hours}h")
    assert {now["fundingTimestamp"], now["nextFundingTimestamp"]} & {upcoming, None}


# --- a second opinion -------------------------------------------------------------------------------------------------------

#: Methods of ccxt and what follows the symbol, for a recent window and an old one.
CALLS: dict[str, tuple[Any, ...]] = {
    "fetch_funding_rate_history": ("since", 24),
    "fetch_ohlcv": ("1h", "since", 24),
    "fetch_open_interest_history": ("1h", "since", 24),
    "fetch_liquidations": ("since", 24),
    "fetch_trades": ("since", 24),
    "fetch_open_interest": (),
    "fetch_funding_rate": (),
}
#: The same for all instruments.
CALLS_FOR_ALL = (
    "fetch_markets", "fetch_tickers", "fetch_funding_rates", "fetch_funding_intervals", "fetch_mark_prices",
    "fetch_open_interests",
)  # fmt: skip


@pytest.fixture(scope="module")
def independent_questions(_served: Served, exchanges: Callable[[str], Any]) -> Callable[[str], list[Question]]:
    """What ccxt, and the venue's own client where there is one, asked the emulator for a source's data."""
    from tests.sources.test_sdks import READ

    @cache
    def questions(name: str) -> list[Question]:
        import ccxt

        _served.clear_faults()
        exchange, instruments = exchanges(name), CLIENTS[name].instruments
        symbol = next(iter(instruments.values())).symbol
        _served.clear_requests()
        for method, arguments in CALLS.items():
            kinds = ({}, {"price": "mark"}, {"price": "index"}) if method == "fetch_ohlcv" else ({},)
            for since, until, kind in product((NOW - 2 * DAY, NOW - 100 * DAY), (0, DAY), kinds if arguments else ({},)):
                more = ({"until": since + until} if until else {}) | kind
                with suppress(ccxt.BaseError, TypeError):
                    getattr(exchange, method)(symbol, *(x if x != "since" else since for x in arguments), more)
        for method in CALLS_FOR_ALL:
            for more in ([], [None, {"code": "BTC"}]):
                with suppress(ccxt.BaseError, TypeError):
                    getattr(exchange, method)(*more)
        if own_client := READ.get(market_name(name) or ""):
            own_client(_served.url)
        start = prefix(name)
        return [
            Question.of(
                r["method"],
                r["path"].removeprefix(start),
                {k: v for k, v in r["query"].items() if k not in r["unread"]},
                r["body"],
            )
            for r in _served.requests()
            if r["path"].startswith(f"{start}/") and r["status"] == 200
        ]

    return questions


@pytest.mark.parametrize("name", CLIENTS)
def test_an_independent_client_asks_the_same(name: str, independent_questions: Callable[[str], list[Question]]) -> None:
    """Path, names of parameters and words of each of our requests; what nobody else sends has its evidence in the cases."""
    case, lacking = cases(name), {}
    for endpoint, lines in case.requests.items():
        line = lines.first if isinstance(lines, Many) else lines if isinstance(lines, str) else lines[0]
        if missing := question(line).lacks(independent_questions(name)):
            lacking[endpoint] = missing
    assert set(lacking) == set(case.evidence), json.dumps(lacking)
