"""What a hostile venue sends is bounded: bytes after decompression, pages, depth, hosts. No key is stored or leaves its host."""

from __future__ import annotations

import asyncio
import base64
import gzip
import html
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote, quote_plus

import pytest
import zstandard
from aiohttp import web
from aiohttp.test_utils import TestServer

from pipelines.client import Client
from pipelines.clock import Clock
from pipelines.errors import Rejected, VenueError
from pipelines.fetch import FetchResult, fetch
from pipelines.keys import REMOVED, Redactor
from pipelines.limits import File, Limiter
from pipelines.paging import linked
from pipelines.registry import source_rows
from pipelines.run import EmulatorInfo, Run
from pipelines.settings import Settings
from pipelines.source import Instrument, Request
from pipelines.sources import get_source
from pipelines.windows import HOUR, Window

START = 1_760_054_400_000
WINDOW = Window(START, START + 3 * HOUR)
BINANCE = get_source("binance_usdm")
KEY = 'k3y/of+a "vendor"&='

Handler = Callable[[web.Request], web.StreamResponse]


@asynccontextmanager
async def served(handle: Handler) -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.StreamResponse:
        return handle(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


def problem_of(tmp_path: Path, handle: Handler, path: str = "/fapi/v1/fundingRate", **options: object) -> str:
    """The error of one request to this server, whose body may have 1 MB."""

    async def main() -> str:
        limiter = Limiter(File(tmp_path / "limits.sqlite"), "pool", BINANCE.limits)
        async with served(handle) as url, Client(BINANCE, url, limiter, Clock(), tries=1, most_bytes=1_000_000) as client:
            with pytest.raises(VenueError) as problem:
                request = next(iter(BINANCE.endpoint("funding_rates").plan(Instrument("BTCUSDT", ""), WINDOW)))
                await client.fetch_page(replace(request, path=path), BINANCE.endpoint("funding_rates"))
        limiter.close()
        return str(problem.value)

    return asyncio.run(main())


@pytest.mark.parametrize("how", ["gzip", "declared", "endless"])
def test_a_body_is_read_as_far_as_its_limit(how: str, tmp_path: Path) -> None:
    def answer(request: web.Request) -> web.StreamResponse:
        if how == "gzip":
            return web.Response(body=gzip.compress(b"[" * 50_000_000, 1), headers={"Content-Encoding": "gzip"})
        return web.Response(body=b"[" * (1_000_001 if how == "endless" else 20_000_000))

    message = problem_of(tmp_path, answer)
    assert message.startswith("binance_usdm /fapi/v1/fundingRate: the body is longer than 1 MB. Raise the setting body_max_mb")


@pytest.mark.parametrize(
    ("encoding", "body"),
    [("gzip, gzip", gzip.compress(gzip.compress(b"[]"))), ("br", b"\x0b\x00\x80[]\x03"), ("zstd", zstandard.compress(b"[]")),
     ("compress", b"[]"), ("gzip", b"[]"), ("deflate", b"[]")],
)  # fmt: skip
def test_a_body_is_decoded_as_was_asked_for_or_refused(encoding: str, body: bytes, tmp_path: Path) -> None:
    answer = lambda request: web.Response(body=body, headers={"Content-Encoding": encoding})  # noqa: E731
    message = problem_of(tmp_path, answer)
    assert "the body can't be decoded: gzip or deflate was asked for" in message and "Run again later" in message


@pytest.mark.parametrize("what", ["header", "body"])
def test_an_answer_that_drips_ends(what: str, tmp_path: Path) -> None:
    """A byte before each timeout, for ever."""

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + (b"X: " if what == "header" else b"Content-Length: 9999\r\n\r\n"))
        while not writer.is_closing():
            writer.write(b"a")
            await asyncio.sleep(0.02)

    async def main() -> str:
        limiter = Limiter(File(tmp_path / "limits.sqlite"), "pool", BINANCE.limits)
        server = await asyncio.start_server(drip, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server, Client(BINANCE, url, limiter, Clock(), tries=1, timeout=0.1) as client:
            with pytest.raises(VenueError) as problem:
                request = next(iter(BINANCE.endpoint("funding_rates").plan(Instrument("BTCUSDT", ""), WINDOW)))
                await client.fetch_page(request, BINANCE.endpoint("funding_rates"))
            server.close()
        return str(problem.value)

    expected = "binance_usdm /fapi/v1/fundingRate: the answer was not whole after 0.4 s. Run again later"
    assert asyncio.run(main()).startswith(expected)


@pytest.mark.parametrize(
    "path", ["@127.0.0.2/x", ".evil.test/x", ":81/x", "//evil.test/x", "\\@evil.test/x", "http://evil.test/x"]
)
def test_no_link_leads_to_another_host(path: str, tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(request: web.Request) -> web.StreamResponse:
        asked.append(str(request.url))
        return web.json_response({}, status=400)

    problem_of(tmp_path, answer, path)
    assert all("evil" not in url.split("/")[2] and "127.0.0.2" not in url for url in asked)


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest",
        "//evil.test/x",
        "https://127.0.0.1/x",
        "file:///etc/passwd",
        "http://[",
        "",
        "http://x:y/",
    ],
)
def test_a_redirect_stays_on_its_host(location: str, tmp_path: Path) -> None:
    message = problem_of(tmp_path, lambda request: web.Response(status=302, headers={"Location": location}))
    assert message.startswith("binance_usdm /fapi/v1/fundingRate: ")
    if location.startswith(("http://169", "//", "https", "file")):
        assert "which is not asked: it is another host" in message and "login page" in message


def test_a_redirect_on_the_same_host_is_followed_a_few_times(tmp_path: Path) -> None:
    async def main(hops: int) -> bytes:
        def answer(request: web.Request) -> web.StreamResponse:
            hop = int(request.path.rpartition("/")[2] or 0)
            if hop < hops:
                return web.Response(status=301, headers={"Location": f"/{hop + 1}"})
            return web.Response(body=b"[]")

        limiter = Limiter(File(tmp_path / "limits.sqlite"), "pool", BINANCE.limits)
        async with served(answer) as url, Client(BINANCE, url, limiter, Clock()) as client:
            return (await client.http("GET", f"{url}/0"))[2]

    assert asyncio.run(main(3)) == b"[]"
    with pytest.raises(Rejected, match="more than 3 redirects follow each other"):
        asyncio.run(main(4))


def fetched(tmp_path: Path, name: str, handle: Handler, *, live: bool = False, **settings: object) -> FetchResult:
    """The outcome of fetching one source for three hours from this server, as an emulator, or as the venue itself (`live`)."""

    async def main() -> FetchResult:
        async with served(handle) as url:
            given = {"home": tmp_path / "home", "assets": ["BTC"], "tries": 2, "limits_scale": 1e6, **settings}
            emulator = None if live else EmulatorInfo(url, "synthetic")
            run = Run.begin(Settings(**given), WINDOW, Clock(WINDOW.end), emulator)  # type: ignore[arg-type]
            [result] = await fetch(run, [replace(get_source(name), base_url=url)])
            return result

    return asyncio.run(main())


def contract(symbol: str) -> dict[str, object]:
    return {"symbol": symbol, "baseCoin": "BTC", "quoteCoin": "USDT", "settleCoin": "USDT", "contractType": "LinearPerpetual"} | {
        "status": "Trading", "launchTime": "0", "deliveryTime": "0", "fundingInterval": 480, "priceFilter": {"tickSize": "1"},
        "lotSizeFilter": {"qtyStep": "1"}, "unifiedMarginTrade": True, "copyTrading": "none",
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["same rows", "new rows", "no rows"])
def test_pages_that_follow_each_other_end(kind: str, tmp_path: Path) -> None:
    """The same rows in another order with a new cursor and a new time each; ever new rows; no rows."""
    asked = 0

    def answer(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        if not request.path.endswith("instruments-info"):
            return web.json_response({"retCode": 10001, "retMsg": "no"})
        asked += 1
        symbols = [f"A{asked}USDT", f"B{asked}USDT"] if kind == "new rows" else sorted("AB", reverse=asked % 2 == 0)
        rows = [] if kind == "no rows" else [{**contract(s), "launchTime": str(asked)} for s in symbols]
        result = {"category": "linear", "list": rows, "nextPageCursor": f"cursor {asked}"}
        return web.json_response({"retCode": 0, "retMsg": "OK", "result": result, "time": asked if rows else 0})

    result = fetched(tmp_path, "bybit_linear", answer, chain_max_pages=5)
    text = " ".join(map(str, result.failures))
    expected = {
        "new rows": "instruments-info: more than 5 pages follow each other",
        "same rows": "info: the pages repeat after 2",
    }
    assert expected.get(kind, "") in text, text
    assert asked <= 7


@pytest.mark.parametrize(("unread", "is_lost"), [("BTC", True), ("DOGE", False)])
def test_a_wanted_instrument_whose_row_cannot_be_read_fails_the_fetch(unread: str, is_lost: bool, tmp_path: Path) -> None:
    """Else its days would count as fetched whole, and no later run would ask for them."""
    rows = [{**contract(f"{coin}USDT"), "baseCoin": coin} for coin in ("BTC", "ETH", "DOGE")]
    bad = next(row for row in rows if row["baseCoin"] == unread)
    bad["fundingInterval"] = "x"
    page = {"retCode": 0, "retMsg": "OK", "result": {"category": "linear", "list": rows, "nextPageCursor": ""}, "time": 1}
    result = fetched(tmp_path, "bybit_linear", lambda request: web.json_response(page), assets=["BTC", "ETH"])
    text = "bybit_linear instruments of bybit: the rows about BTC can't be read, so that nothing of them is requested"
    assert any(str(failure).startswith(text) for failure in result.failures) == is_lost, result.failures
    assert ("open_interest", WINDOW) in result.unfetched or not is_lost


def test_a_body_that_is_nested_too_deeply_ends_no_fetch(tmp_path: Path) -> None:
    result = fetched(tmp_path, "bybit_linear", lambda request: web.Response(body=b"[" * 100_000 + b"]" * 100_000))
    assert result.failures and all("nested" in e.problem for e in result.entries)


# --- keys -------------------------------------------------------------------------------------------------------------------


def forms(key: str) -> list[str]:
    """A key as it may stand in a text."""
    escaped = "".join(f"\\u{ord(c):04X}" for c in key)
    return [
        key, key.upper(), quote(key, ""), quote_plus(key).replace("+", "%20"), quote(quote(key, ""), ""), json.dumps(key)[1:-1],
        json.dumps(key, ensure_ascii=False)[1:-1], json.dumps(key).replace("/", "\\/")[1:-1], escaped, html.escape(key),
        "".join(f"&#{ord(c)};" for c in key), "".join(f"\\x{ord(c):02x}" for c in key), key.encode().hex(),
        *(base64.b64encode(b"x" * n + key.encode() + b"y" * m).decode() for n in range(3) for m in range(3)),
        base64.urlsafe_b64encode(b"user:" + key.encode()).decode(),
    ]  # fmt: skip


@pytest.mark.parametrize("key", [KEY, "0123456789abcdef", "a-b_c.d~e:f"])
def test_a_key_is_removed_in_any_form(key: str) -> None:
    redact = Redactor([key])
    for form in forms(key):
        left = redact.text(f"<{form}>")
        assert REMOVED.decode() in left, form
        if "<" + REMOVED.decode() + ">" != left:  # base64: what is next to the key stays
            assert len(left) < 3 * 4 + 4 + len(REMOVED), (form, left)
    assert redact.text("another text") == "another text" and redact(b"\xff\xfe") == b"\xff\xfe"


@pytest.mark.parametrize("key", [KEY, "0123456789abcdef", "a-b_c.d~e:f", 40 * "token-"])
def test_a_key_that_is_cut_is_removed_too(key: str) -> None:
    redact = Redactor([key])
    for number, form in enumerate(forms(key)):
        for cut in {*range(len(form) * 3 // 4, len(form)), len(form)}:
            left = redact.text(f'{{"error": "bad key {form[:cut]}')
            assert left.startswith('{"error": "bad key ') and REMOVED.decode() in left, (number, form[:cut], left)
    assert redact.text(f"{key[:5]}, {key[-5:]}") == f"{key[:5]}, {key[-5:]}"


def test_short_values_are_no_keys() -> None:
    assert Redactor(["", "BTC"]).text("BTC") == "BTC"


KEYED = [name for name in source_rows() if get_source(name).key_header]


@pytest.mark.parametrize("name", KEYED)
@pytest.mark.parametrize("place", ["good", "bad", "moved", "page", "cut"])
def test_no_key_that_a_server_echoes_is_stored(
    name: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The key in the status line, headers, cookies, bodies, names, pages, errors and redirects of every answer, whole, encoded or
    cut; then all files are searched."""
    key = "canary-0123456789/ABCDEF"
    monkeypatch.setenv(source_rows()[name].key or "", key)
    seen = []

    def answer(request: web.Request) -> web.StreamResponse:
        seen.append(any(key in value for value in request.headers.values()))
        echo = {"message": f"bad {key}", "error": f"{quote(key, '')}", "data": [{"id": key, "symbol": key}], "result": key}
        echo |= {key: 1, "basic": base64.b64encode(f"user:{key}".encode()).decode()}
        headers = {"X-Echo": key, "X-Perplake-Origin": key, "Date": key, "Retry-After": key, "Set-Cookie": f"key={key}"}
        if place in ("page", "cut"):
            text = f"<p>{html.escape(key)} {quote(key, '')} {base64.b64encode(key.encode()).decode()}" + "</p>" * (
                place == "page"
            )
            text += f'{{"error": "{key[:-3]}' * (place == "cut")
            return web.Response(text=text, status=500 - 300 * (len(seen) % 2), content_type="text/html", headers=headers)
        status = {"good": 200, "bad": 401 if len(seen) % 2 else 400, "moved": 302}[place]
        if place == "moved":
            headers["Location"] = f"https://evil.test/{quote(key, '')}"
        return web.json_response(echo, status=status, reason=f"No {key}", headers=headers)

    with caplog.at_level("DEBUG"):
        result = fetched(tmp_path, name, answer, live=True, mode="live", state=tmp_path / "state")
    assert any(seen), "the key was sent"
    told = " ".join(
        [*map(str, result.failures), *result.warnings, *map(repr, result.entries), caplog.text.replace("aiohttp", "")]
    )
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    for text in [told.encode(), *(content(file) for file in files)]:
        for form in (key, quote(key, ""), json.dumps(key)[1:-1], "canary-0123", base64.b64encode(key.encode()).decode()[:16]):
            assert form.encode() not in text, text[:2000]


def content(file: Path) -> bytes:
    stored = file.read_bytes()
    return zstandard.decompress(stored) if file.suffix == ".zst" else stored


def test_requests_of_links_stay_as_they_are() -> None:
    page = SimpleNamespace(next="https://evil.test/v2/x?page=2")
    following = linked(lambda page: page.next)(Request("/v2/x"), page, [])
    assert following and (following.path, following.params) == ("/v2/x", {"page": "2"})
