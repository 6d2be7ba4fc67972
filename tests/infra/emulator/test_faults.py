"""Each fault does what it says, to the requests that it names, as often as it says, and to no other."""

from __future__ import annotations

import csv
import http.client
import io
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import s3fs

from infra.emulator.buckets import unpack
from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served, serve
from tests.infra.emulator.conftest import NOW, ask

FUNDING = "/binance/fapi/v1/fundingRate?symbol=BTCUSDT&limit=20&startTime=" + str(NOW - 3 * 24 * MS_HOUR)
KLINES = "/binance/fapi/v1/klines?symbol=BTCUSDT&interval=1h&limit=20&startTime=" + str(NOW - 20 * MS_HOUR)


@pytest.fixture
def served(store: SyntheticMarket) -> Iterator[Served]:
    with serve(store, as_of=NOW, days=30, limits_scale=1e6) as emulator:
        yield emulator


def test_times_after_and_path_choose_the_requests(served: Served) -> None:
    served.fault("500", venue="binance", path_contains="symbol=BTCUSDT", times=2, after=1)
    assert ask(served.url + "/bybit/v5/market/time").status == 200
    assert ask(served.url + "/binance/fapi/v1/fundingRate?symbol=ETHUSDT").status == 200
    assert [ask(served.url + FUNDING).status for _ in range(4)] == [200, 500, 500, 200]
    served.fault("500", path_contains='"type": "meta"')
    assert ask(served.url + "/hyperliquid/info", {"type": "allMids"}).status == 200
    assert ask(served.url + "/hyperliquid/info", {"type": "meta"}).status == 500


@pytest.mark.parametrize("kind", ["429", "418"])
def test_too_many_requests(served: Served, kind: str) -> None:
    served.fault(kind, retry_after=7)
    answer = ask(served.url + FUNDING)
    assert (answer.status, answer.headers["Retry-After"], answer.json["code"]) == (int(kind), "7", -1003)


@pytest.mark.parametrize("status", [200, 502])
def test_an_html_page(served: Served, status: int) -> None:
    served.fault("html", status=status)
    answer = ask(served.url + FUNDING)
    assert (answer.status, answer.headers["Content-Type"]) == (status, "text/html")
    assert answer.body.startswith(b"<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (FUNDING, {"code": -1001}),
        ("/bybit/v5/market/time", {"retCode": 10016}),
        ("/kraken/derivatives/api/v3/tickers", {"result": "error", "error": "Unavailable"}),
    ],
)
def test_own_error_in_http_200(served: Served, path: str, expected: dict[str, Any]) -> None:
    served.fault("error_200")
    answer = ask(served.url + path)
    assert answer.status == 200 and expected.items() <= answer.json.items()
    served.fault("error_200", body='{"retCode":10006}')
    assert ask(served.url + path).json == {"retCode": 10006}


def test_regions(served: Served) -> None:
    for _ in range(3):
        served.fault("region")
    assert (answer := ask(served.url + FUNDING)).status == 451 and "restricted location" in answer.json["msg"]
    assert (answer := ask(served.url + "/bybit/v5/market/time")).status == 403 and answer.body.startswith(b"<html>")
    assert ask(served.url + "/hyperliquid/info", {"type": "meta"}).status == 403


def test_truncated_has_the_length_of_what_is_sent(served: Served) -> None:
    whole = ask(served.url + FUNDING).body
    served.fault("truncated")
    answer = ask(served.url + FUNDING)
    assert answer.body == whole[: len(whole) // 2] and int(answer.headers["Content-Length"]) == len(answer.body)
    with pytest.raises(json.JSONDecodeError):
        _ = answer.json


def test_reset_in_the_middle_of_the_body(served: Served) -> None:
    served.fault("reset")
    with pytest.raises((ConnectionError, http.client.IncompleteRead, urllib.error.URLError)):
        ask(served.url + FUNDING)
    assert ask(served.url + FUNDING).status == 200


def test_stall_sends_nothing(served: Served) -> None:
    served.fault("stall", seconds=30)
    with pytest.raises((TimeoutError, socket.timeout, urllib.error.URLError)):
        urllib.request.urlopen(served.url + FUNDING, timeout=0.3)


def test_a_missing_an_unreadable_and_a_new_field(served: Served) -> None:
    right = ask(served.url + FUNDING).json
    served.fault("missing_field", field="fundingRate", row=2)
    missing = ask(served.url + FUNDING).json
    assert [n for n, row in enumerate(missing) if "fundingRate" not in row] == [2]
    served.fault("unreadable_field", field="fundingRate", row=1)
    unreadable = ask(served.url + FUNDING).json
    assert [n for n, row in enumerate(unreadable) if row["fundingRate"] == "n/a"] == [1]
    served.fault("new_field")
    assert ask(served.url + FUNDING).json == [{**row, "unknownField": "new"} for row in right]
    served.fault("other_value", row=3)
    rows = ask(served.url + FUNDING).json
    assert [n for n, row in enumerate(rows) if row != right[n]] == [3]
    assert rows[3] == {**right[3], "markPrice": rows[3]["markPrice"]}
    assert float(rows[3]["markPrice"]) == pytest.approx(float(right[3]["markPrice"]) * 1.001)
    served.fault("unreadable_field", field=4)
    assert ask(served.url + KLINES).json[0][4] == "n/a"
    served.fault("missing_field", field="markPx", row=3)
    contexts = ask(served.url + "/hyperliquid/info", {"type": "metaAndAssetCtxs"}).json[1]
    assert ["markPx" in c for c in contexts[:5]] == [True, True, True, False, True]
    served.fault("unreadable_field", field="price")
    url = served.url + "/kraken/api/history/v3/market/PF_XBTUSD/executions?count=5"
    assert ask(url).json["elements"][0]["event"]["Execution"]["execution"]["price"] == "n/a"


def test_empty_repeated_and_overlapping_pages(served: Served) -> None:
    right = ask(served.url + FUNDING).json
    served.fault("empty_page")
    assert ask(served.url + FUNDING).json == []
    next_page = FUNDING.replace(FUNDING.rpartition("=")[2], str(right[4]["fundingTime"] + 1))
    served.fault("overlapping_page")
    assert ask(served.url + next_page).json == right  # the five rows before the window again
    served.fault("repeated_page")
    assert ask(served.url + FUNDING.replace("limit=20", "limit=1")).json == right
    served.fault("empty_page", venue="bybit")
    result = ask(served.url + "/bybit/v5/market/tickers?category=linear").json["result"]
    assert result == {"category": "linear", "list": []}


def test_the_archive_has_them_too(served: Served) -> None:
    fs = s3fs.S3FileSystem(key="x", secret="x", endpoint_url=served.url + "/s3", requester_pays=True, skip_instance_cache=True)
    key = "hyperliquid-archive/asset_ctxs/20261120.csv.lz4"
    served.fault("unreadable_field", venue="s3", path_contains=".lz4", field="open_interest", row=1)
    rows = list(csv.DictReader(io.StringIO(unpack(fs.cat_file(key)).decode())))
    assert [n for n, row in enumerate(rows) if row["open_interest"] == "n/a"] == [1]
    served.fault("missing_field", venue="s3", path_contains=".lz4", field="open_interest")
    header = unpack(fs.cat_file(key)).decode().splitlines()[0]
    assert "open_interest" not in header and header.count(",") == 10


def test_a_clock_that_is_off_until_deleted(served: Served) -> None:
    def server_time() -> int:
        stamp: int = ask(served.url + "/binance/fapi/v1/time").json["serverTime"]
        return stamp

    served.fault("clock", venue="binance", minutes=-17)
    assert server_time() == NOW - 17 * 60_000
    assert ask(served.url + "/bybit/v5/market/time").json["time"] == NOW
    assert ask(served.url + "/binance/fapi/v1/time").headers["Date"] == "Sun, 22 Nov 2026 12:13:00 GMT"
    served.clear_faults()
    assert server_time() == NOW
    served.set_clock("2026-11-23T00:00Z")
    assert server_time() == NOW + 11 * MS_HOUR + MS_HOUR // 2
    assert served.health()["origin"] == "synthetic; seed=7"


def test_what_is_no_fault_is_refused(served: Served) -> None:
    for content in ({"kind": "flood"}, {"kind": "500", "tmies": 2}):
        with pytest.raises(urllib.error.HTTPError, match="400"):
            served.fault(**content)  # type: ignore[arg-type]


def test_admin_routes_need_the_token(served: Served) -> None:
    for name in ("requests", "faults", "clock"):
        assert ask(f"{served.url}/admin/{name}").status == 403
        assert ask(f"{served.url}/admin/{name}", {"kind": "500", "as_of": None}).status == 403
    with pytest.raises(urllib.error.HTTPError, match="403"):
        Served(served.url, "wrong").requests()
    assert served.requests() is not None and served.health()["origin"]


@pytest.mark.parametrize("host", ["evil.test", "evil.test:80", "127.0.0.1.evil.test", "[::2]", "127.0.0.1@evil.test"])
def test_another_hosts_name_is_refused(served: Served, host: str) -> None:
    request = urllib.request.Request(served.url + "/binance/fapi/v1/time", headers={"Host": host})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request, timeout=5)
    assert ask(served.url.replace("127.0.0.1", "localhost") + "/binance/fapi/v1/time").status == 200
