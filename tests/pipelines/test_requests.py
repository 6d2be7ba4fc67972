"""The exact requests that a window makes, as a person would write them down from the venue pages.

A plan gives method, path, parameters and body, the client adds the host.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pipelines.clock import Clock
from pipelines.fetch import _SourceFetch
from pipelines.registry import source_rows
from pipelines.run import Run
from pipelines.settings import Settings
from pipelines.source import Instrument, Request
from pipelines.sources import get_source
from pipelines.windows import HOUR, Window, to_ms
from tests.sources.kit import written
from tests.sources.test_vendors import VENDORS

#: 10 and 11 October 2025, whole: 1760054400000 = 2025-10-10T00:00Z, 1760227200000 = 2025-10-12T00:00Z.
TWO_DAYS = Window.of_days(date(2025, 10, 10), date(2025, 10, 11))
SYMBOLS = {
    "binance_usdm": "BTCUSDT",
    "bybit_linear": "BTCUSDT",
    "hyperliquid": "BTC",
    "hyperliquid_archive": "",
    "kraken_futures": "PF_XBTUSD",
}

BYBIT = "https://api.bybit.com/v5/market"
HYPERLIQUID, KRAKEN = "https://api.hyperliquid.xyz/info", "https://futures.kraken.com"
SPAN = "startTime=1760054400000&endTime=1760227199999"
INFO = {"startTime": 1760054400000, "endTime": 1760227199999}

EXPECTED: dict[str, dict[str, list[str]]] = {
    "bybit_linear": {
        "instruments": [f"GET {BYBIT}/instruments-info?category=linear&limit=1000"],
        "tickers": [f"GET {BYBIT}/tickers?category=linear"],
        "open_interest": [f"GET {BYBIT}/open-interest?category=linear&symbol=BTCUSDT&intervalTime=1h&{SPAN}&limit=200"],
        "funding_rates": [f"GET {BYBIT}/funding/history?category=linear&symbol=BTCUSDT&{SPAN}&limit=200"],
        # klines call the ends of the window otherwise
        "candles": [
            f"GET {BYBIT}/kline?category=linear&symbol=BTCUSDT&interval=60&start=1760054400000&end=1760227199999&limit=1000"
        ],
        "mark_candles": [
            f"GET {BYBIT}/mark-price-kline?category=linear&symbol=BTCUSDT&interval=60&start=1760054400000&end=1760227199999&limit=1000"  # noqa: E501
        ],
        "index_candles": [
            f"GET {BYBIT}/index-price-kline?category=linear&symbol=BTCUSDT&interval=60&start=1760054400000&end=1760227199999&limit=1000"  # noqa: E501
        ],
    },
    "hyperliquid": {
        "instruments": [f'POST {HYPERLIQUID} {{"type": "meta"}}'],
        "contexts": [f'POST {HYPERLIQUID} {{"type": "metaAndAssetCtxs"}}'],
        "funding_rates": [f"POST {HYPERLIQUID} " + json.dumps({"type": "fundingHistory", "coin": "BTC", **INFO})],
        "candles": [
            f"POST {HYPERLIQUID} " + json.dumps({"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "1h", **INFO}})
        ],
    },
    "hyperliquid_archive": {
        "asset_ctxs": [
            "GET s3://hyperliquid-archive/asset_ctxs/20251010.csv.lz4",
            "GET s3://hyperliquid-archive/asset_ctxs/20251011.csv.lz4",
        ],
    },
    "kraken_futures": {
        "instruments": [f"GET {KRAKEN}/derivatives/api/v3/instruments"],
        "tickers": [f"GET {KRAKEN}/derivatives/api/v3/tickers"],
        # everything that there is: takes no window
        "funding_rates": [f"GET {KRAKEN}/derivatives/api/v4/historicalfundingrates?symbol=PF_XBTUSD"],
        # charts and analytics speak seconds, executions milliseconds
        "open_interest": [
            f"GET {KRAKEN}/api/charts/v1/analytics/PF_XBTUSD/open-interest?since=1760054400&to=1760227199&interval=3600"
        ],
        "candles": [f"GET {KRAKEN}/api/charts/v1/trade/PF_XBTUSD/1h?from=1760054400&to=1760227199"],
        "mark_candles": [f"GET {KRAKEN}/api/charts/v1/mark/PF_XBTUSD/1h?from=1760054400&to=1760227199"],
        "index_candles": [f"GET {KRAKEN}/api/charts/v1/spot/PF_XBTUSD/1h?from=1760054400&to=1760227199"],
        "liquidations": [
            f"GET {KRAKEN}/api/history/v3/market/PF_XBTUSD/executions?since=1760054400000&before=1760227200000&sort=asc&count=1000"  # noqa: E501
        ],
    },
}


def planned(name: str, dataset: str, window: Window) -> list[Request]:
    return list(get_source(name).endpoint(dataset).plan(Instrument(SYMBOLS[name], "BTC"), window))


def test_every_source_and_dataset_is_expected_here() -> None:
    elsewhere = {path.stem.removeprefix("test_") for path in (Path(__file__).parents[1] / "sources").glob("test_*.py")}
    here = set(source_rows()) - elsewhere - set(VENDORS)
    assert {name: [d.name for d in get_source(name).endpoints] for name in here} == {n: list(d) for n, d in EXPECTED.items()}


@pytest.mark.parametrize(("name", "dataset"), [(n, d) for n, ds in EXPECTED.items() for d in ds])
def test_two_days_make_exactly_these_requests(name: str, dataset: str) -> None:
    assert [written(name, r) for r in planned(name, dataset, TWO_DAYS)] == EXPECTED[name][dataset]


#: Hours in a page, by the venue pages. Binance's funding could hold 1000 hourly rows; half of it leaves room for `Special` rows.
PAGES = {
    "bybit_linear": {"open_interest": 200, "funding_rates": 200, "candles": 1000, "mark_candles": 1000, "index_candles": 1000},
    "hyperliquid": {"funding_rates": 500, "candles": 5000},
    "kraken_futures": {"open_interest": 500, "candles": 2000, "mark_candles": 2000, "index_candles": 2000},
}


@pytest.mark.parametrize(("name", "dataset"), [(n, d) for n, ds in PAGES.items() for d in ds])
def test_a_year_is_asked_in_pages_that_no_limit_cuts_short(name: str, dataset: str) -> None:
    year = Window.of_days(date(2025, 1, 1), date(2025, 12, 31))
    windows = [r.window for r in planned(name, dataset, year)]
    hours = PAGES[name][dataset]
    assert all(w is not None for w in windows)
    assert windows[0].start == year.start and windows[-1].end == year.end  # type: ignore[union-attr]
    assert all(a.end == b.start for a, b in pairwise(windows))  # type: ignore[union-attr]
    assert max(w.end - w.start for w in windows) <= hours * HOUR  # type: ignore[union-attr]
    assert len(windows) <= 8760 / hours + 2


def test_weights_are_the_documented_ones() -> None:
    def cost(name: str, dataset: str, window: Window = TWO_DAYS) -> dict[str, int]:
        return dict(planned(name, dataset, window)[0].weights)

    assert {n: {k: (v.weight, v.seconds) for k, v in get_source(n).limits.items()} for n in EXPECTED} == {
        "bybit_linear": {"requests": (600, 5)},
        "hyperliquid": {"weight": (1200, 60)},
        "hyperliquid_archive": {"requests": (100, 1)},
        "kraken_futures": {"requests": (200, 10)},
    }
    whole = Window(500 * HOUR * 900, 500 * HOUR * 901)
    assert cost("hyperliquid", "funding_rates", whole) == {"weight": 20 + 500 // 20}
    whole = Window(5000 * HOUR * 90, 5000 * HOUR * 91)
    assert cost("hyperliquid", "candles", whole) == {"weight": 20 + 84}  # 5000 rows begin 84 sixties
    assert cost("hyperliquid", "instruments") == cost("hyperliquid", "contexts") == {"weight": 20}


def at(*when: int) -> int:
    return to_ms(datetime(*when, tzinfo=UTC))  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "dataset", "start"),
    [
        ("binance_usdm", "open_interest", at(2025, 9, 12)),  # 30 days
        ("binance_usdm", "candles", at(2025, 1, 1)),
        ("bybit_linear", "open_interest", at(2025, 1, 1)),
        ("hyperliquid", "funding_rates", at(2025, 1, 1)),
        ("hyperliquid", "candles", at(2025, 10, 12) - 5000 * HOUR),
        ("kraken_futures", "liquidations", at(2025, 10, 9)),  # three days unless more are asked
    ],
)
def test_no_window_reaches_beyond_what_the_venue_keeps(name: str, dataset: str, start: int, tmp_path: Any) -> None:
    year = Window.of_days(date(2025, 1, 1), date(2025, 12, 31))
    settings = Settings(mode="live", home=tmp_path)
    run = Run.begin(settings, year, Clock(at(2025, 10, 12)))
    window = _SourceFetch(run, get_source(name), {}, lambda *_: None).window(get_source(name).endpoint(dataset))
    assert window == Window(start, at(2025, 10, 12)), "and never beyond now"


def test_a_live_window_stays_off_the_edge_of_what_is_kept(tmp_path: Any) -> None:
    """Binance refuses a start older than 30 days; a request may have to wait for its turn."""
    run = Run.begin(Settings(mode="live", home=tmp_path), Window(0, at(2039, 1, 1)), Clock())
    window = _SourceFetch(run, get_source("binance_usdm"), {}, lambda *_: None).window(
        get_source("binance_usdm").endpoint("open_interest")
    )
    assert 595_000 < window.start - (Clock().now() - 30 * 24 * HOUR) <= 600_000


def test_bybit_asks_on_by_cursor() -> None:
    dataset = get_source("bybit_linear").endpoint("instruments")
    [first] = planned("bybit_linear", "instruments", TWO_DAYS)
    row = '{"symbol":"A","contractType":"LinearPerpetual","status":"Trading","baseCoin":"A","quoteCoin":"USDT","settleCoin":"USDT","fundingInterval":480}'  # noqa: E501

    def following(cursor: str) -> Request | None:
        page = dataset.read(f'{{"retCode":0,"result":{{"list":[{row}],"nextPageCursor":{cursor}}}}}'.encode())
        return dataset.next_page(first, page, dataset.rows(page))

    second = following('"first%3DA%26last%3DB"')
    assert second
    assert (
        written("bybit_linear", second)
        == f"GET {BYBIT}/instruments-info?category=linear&limit=1000&cursor=first%253DA%2526last%253DB"
    )
    assert following('""') is None
    assert following("null") is None


def test_kraken_asks_on_where_a_page_was_cut() -> None:
    [first] = planned("kraken_futures", "candles", TWO_DAYS)
    bars = get_source("kraken_futures").endpoint("candles")
    bar = '{"time":1760058000000,"open":"1","high":"1","low":"1","close":"1","volume":"1"}'
    page = bars.read(f'{{"candles":[{bar}],"more_candles":true}}'.encode())
    second = bars.next_page(first, page, bars.rows(page))
    assert second
    assert written("kraken_futures", second) == f"GET {KRAKEN}/api/charts/v1/trade/PF_XBTUSD/1h?from=1760061600&to=1760227199"
    assert second.window == Window(1760061600000, TWO_DAYS.end)
    page = bars.read(f'{{"candles":[{bar}],"more_candles":false}}'.encode())
    assert bars.next_page(first, page, bars.rows(page)) is None

    [first] = planned("kraken_futures", "open_interest", TWO_DAYS)
    points = get_source("kraken_futures").endpoint("open_interest")
    for more in (True, False):
        body = {
            "result": {"timestamp": [1760054400, 1760058000], "more": more, "data": [[1, 2, 0.5, 1.5], [1, 1, 1, 1]]},
            "errors": [],
        }
        page = points.read(json.dumps(body).encode())
        second = points.next_page(first, page, points.rows(page))
        assert (second is not None) == more
        if second:
            assert second.params == {"since": 1760061600, "to": 1760227199, "interval": 3600}


def execution(nth: int, ms: int, order: str = "Market") -> dict[str, Any]:
    uid = f"u{nth}"
    taker = {"direction": "Sell", "quantity": "1", "orderType": order}
    inner = {"uid": uid, "timestamp": ms, "price": "2", "quantity": "1", "takerOrder": taker, "markPrice": "2", "usdValue": "2"}
    return {"uid": uid, "timestamp": ms, "event": {"Execution": {"execution": inner}}}


def test_kraken_executions_go_on_by_token_and_without_one_by_time() -> None:
    [first] = planned("kraken_futures", "liquidations", TWO_DAYS)
    dataset = get_source("kraken_futures").endpoint("liquidations")

    def following(count: int, **token: str) -> Request | None:
        elements = [execution(i, TWO_DAYS.start + i) for i in range(count)]
        page = dataset.read(json.dumps({"elements": elements, **token}).encode())
        return dataset.next_page(first, page, dataset.rows(page))

    token = following(3, continuationToken="abc")
    assert token and token.params == {**first.params, "continuationToken": "abc"}
    assert following(3) is None
    by_time = following(1000, continuation_token="abc")
    assert by_time and by_time.params == {**first.params, "since": TWO_DAYS.start + 999}
