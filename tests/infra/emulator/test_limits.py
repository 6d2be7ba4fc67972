"""Limits: weights and headers as documented, fixed windows, refusals in each venue's own form, the ban."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.emulator.limits import BAN_SECONDS, Limits
from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served, serve
from tests.infra.emulator.conftest import NOW, ask


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds


@given(st.lists(st.tuples(st.integers(1, 50), st.floats(0, 20)), max_size=60))
def test_no_calendar_window_lets_more_through_than_its_limit(charges: list[tuple[int, float]]) -> None:
    hand = Hand()
    limits = Limits({"weight": (100, 60)}, clock=hand)
    through: dict[int, int] = {}
    for weight, wait in charges:
        hand.seconds += wait
        if limits.charge({"weight": weight}) is None:
            through[int(hand.seconds // 60)] = through.get(int(hand.seconds // 60), 0) + weight
    assert all(weight <= 100 for weight in through.values())


def test_a_window_opens_anew_and_patience_ends() -> None:
    hand = Hand()
    limits = Limits({"weight": (10, 60)}, patience=3, clock=hand)
    assert limits.charge({"weight": 10}) is None
    for refused in range(1, 5):
        usage = limits.charge({"weight": 1})
        assert usage is not None and (usage.used, usage.limit) == (10 + refused, 10)
        assert limits.banned == (refused > 3)
    hand.seconds += BAN_SECONDS
    assert not limits.banned and limits.charge({"weight": 1}) is None


@pytest.mark.parametrize(
    ("path", "weight"),
    [
        ("klines?symbol=BTCUSDT&interval=1h&limit=99", 1),
        ("klines?symbol=BTCUSDT&interval=1h&limit=499", 2),
        ("klines?symbol=BTCUSDT&interval=1h", 5),
        ("klines?symbol=BTCUSDT&interval=1h&limit=1000", 5),
        ("klines?symbol=BTCUSDT&interval=1h&limit=1500", 10),
        ("premiumIndex", 10),
        ("premiumIndex?symbol=BTCUSDT", 1),
    ],
)
def test_binance_weights(emulator: Served, path: str, weight: int) -> None:
    answer = ask(f"{emulator.url}/binance/fapi/v1/{path}")
    last = emulator.requests()[-1]
    assert last["weight"] == weight
    assert int(answer.headers["X-MBX-USED-WEIGHT-1M"]) >= weight


def within_one_window(seconds: int) -> None:
    """Wait for the next window of the calendar if this one is about to end."""
    left = seconds - time.time() % seconds
    if left < 3:
        time.sleep(left)


def test_binance_refuses_with_429_then_bans_with_418(store: SyntheticMarket) -> None:
    within_one_window(60)
    with serve(store, as_of=NOW, days=3, limits_scale=1 / 240) as served:  # ten a minute
        answers = [ask(f"{served.url}/binance/fapi/v1/ping") for _ in range(45)]
    codes = [s.status for s in answers]
    assert codes[:10] == [200] * 10 and {429, 418} <= set(codes)
    refused = answers[codes.index(429)]
    assert refused.json["code"] == -1003 and 0 < int(refused.headers["Retry-After"]) <= 60
    assert int(answers[-1].headers["Retry-After"]) == BAN_SECONDS
    assert codes == sorted(codes, key=[200, 429, 418].index)


def test_binance_funding_requests_share_a_limit(store: SyntheticMarket) -> None:
    within_one_window(300)
    with serve(store, as_of=NOW, days=3, limits_scale=0.01) as served:  # five in five minutes
        codes = [ask(f"{served.url}/binance/fapi/v1/{p}").status for p in ("fundingRate", "fundingInfo") for _ in range(3)]
        assert codes == [200] * 5 + [429]
        assert ask(f"{served.url}/binance/fapi/v1/time").status == 200


def test_bybit_refuses_in_http_200(store: SyntheticMarket) -> None:
    with serve(store, as_of=NOW, days=3, limits_scale=0.01) as served:  # six in five seconds
        answers = [ask(f"{served.url}/bybit/v5/market/time") for _ in range(13)]
    assert {s.status for s in answers} == {200}
    assert {s.json["retCode"] for s in answers} == {0, 10006}
    assert answers[0].headers["X-Bapi-Limit"] == "6"


def test_hyperliquid_weighs_the_rows_that_it_sends(store: SyntheticMarket) -> None:
    with serve(store, as_of=NOW, days=120) as served:
        url, start = f"{served.url}/hyperliquid/info", NOW - 119 * 24 * MS_HOUR
        ask(url, {"type": "fundingHistory", "coin": "BTC", "startTime": start})
        ask(url, {"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "1h", "startTime": start}})
        ask(url, {"type": "allMids"})
        assert [r["weight"] for r in served.requests()] == [20 + 500 // 20, 20 + 119 * 24 // 60, 2]
        answers = [ask(url, {"type": "meta"}) for _ in range(120)]
        refused = next(s for s in answers if s.status == 429)
        assert refused.json is None


def test_kraken_costs_nothing(store: SyntheticMarket) -> None:
    with serve(store, as_of=NOW, days=3, limits_scale=0.01) as served:
        assert {ask(f"{served.url}/kraken/derivatives/api/v3/tickers").status for _ in range(20)} == {200}


def test_the_log_tells_each_request(store: SyntheticMarket) -> None:
    with serve(store, as_of=NOW, days=3) as served:
        ask(f"{served.url}/binance/fapi/v1/premiumIndex", symbol="BTCUSDT")
        ask(f"{served.url}/hyperliquid/info", {"type": "meta"})
        log = served.requests()
        assert log[0]["path"] == "/binance/fapi/v1/premiumIndex" and log[0]["query"] == {"symbol": "BTCUSDT"}
        assert (log[1]["method"], log[1]["body"], log[1]["status"]) == ("POST", '{"type": "meta"}', 200)
        served.clear_requests()
        assert served.requests() == []
