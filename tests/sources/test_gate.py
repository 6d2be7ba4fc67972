"""Gate's traps: a list of contracts that may be cut, statistics without an end, seconds, sizes as text, equal rates."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from infra.emulator.store import MS_HOUR
from infra.emulator.testing import Served
from pipelines.source import Instrument, Request
from pipelines.sources.gate import SOURCE
from pipelines.windows import Window
from tests.sources.kit import DAY, NOW, WINDOW, fetch_from_emulator, next_request
from tests.sources.samples import collect, decoded, recorded

HOUR_S = 3600


# --- paging -----------------------------------------------------------------------------------------------------------------


def contract(name: str = "BTC_USDT", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": "direct", "quanto_multiplier": "0.0001", "funding_interval": 28800} | more


@pytest.mark.parametrize(("rows", "more"), [(99, False), (100, True), (101, False), (302, False), (0, False)])
def test_a_list_of_exactly_a_hundred_may_have_been_cut(rows: int, more: bool) -> None:
    first = Request("/api/v4/futures/usdt/contracts")
    after = next_request("gate", "instruments", first, [contract(f"A{n}_USDT") for n in range(rows)])
    assert (after is not None) == more
    if after:
        assert after.params == {"limit": 100, "offset": 100}
        last = next_request("gate", "instruments", after, [contract(f"B{n}_USDT") for n in range(100)])
        assert last and last.params == {"limit": 100, "offset": 200}


def statistics(*seconds: int) -> list[dict[str, Any]]:
    return [{"time": at, "open_interest": 1} for at in seconds]


def test_statistics_go_on_where_a_page_was_cut_and_end_with_the_hours_asked() -> None:
    start = 1_795_132_800
    [request] = SOURCE.endpoint("open_interest").plan(Instrument("BTC_USDT", "BTC"), WINDOW)
    assert request.window == WINDOW and request.clip_end, "there is no end to ask for"
    whole = statistics(*range(start, NOW // 1000, HOUR_S))
    assert len(whole) == 48
    assert next_request("gate", "open_interest", request, whole) is None
    assert next_request("gate", "open_interest", request, []) is None
    after = next_request("gate", "open_interest", request, whole[:46])
    assert after and after.window == Window(NOW - 2 * MS_HOUR, NOW)
    assert after.params == {"contract": "BTC_USDT", "from": NOW // 1000 - 2 * HOUR_S, "interval": "1h", "limit": 2}
    # An hour is missing: the page reaches an hour beyond.
    assert next_request("gate", "open_interest", request, [*whole[:5], *whole[6:], *statistics(NOW // 1000)]) is None


def liquidations(*seconds: int) -> list[dict[str, object]]:
    return [{"time": at, "size": 1, "order_size": -1, "fill_price": "1", "left": 0} for at in seconds]


@pytest.mark.parametrize(
    ("newest_first", "seconds"), [(False, (1_760_132_000, 1_760_133_599)), (True, (1_760_130_000, 1_760_132_000))]
)
def test_a_full_page_of_liquidations_is_followed_in_either_order(newest_first: bool, seconds: tuple[int, int]) -> None:
    """A thousand rows, the last second requested once more; a page that is not full is the last."""
    hour = Window(1_760_130_000_000, 1_760_133_600_000)  # 2025-10-10T21:00Z
    [request] = SOURCE.endpoint("liquidations").plan(Instrument("BTC_USDT", "BTC"), hour)
    page = liquidations(*[1_760_133_000 if newest_first else 1_760_131_000] * 500, *[1_760_132_000] * 500)
    after = next_request("gate", "liquidations", request, page)
    assert after and (after.params["from"], after.params["to"]) == seconds
    assert next_request("gate", "liquidations", request, page[1:]) is None


# --- samples ----------------------------------------------------------------------------------------------------------------


@recorded
def test_most_rates_stand_at_the_default() -> None:
    """Why two instruments may well have the same bytes."""
    rates = [
        [row["funding_rate"] for row in decoded(s)] for s in collect()[0] if (s.source, s.endpoint) == ("gate", "instruments")
    ]
    [everything] = [rate for rate in rates if len(rate) == 302]
    assert Counter(everything)[0.0001] == 264


# --- traps ------------------------------------------------------------------------------------------------------------------


def test_milliseconds_are_no_seconds() -> None:
    for name, row in {"funding_rates": {"r": "0.0001"}, "open_interest": {"open_interest": 1}}.items():
        stamp = {"funding_rates": "t", "open_interest": "time"}[name]
        read = SOURCE.endpoint(name).read
        assert read(json.dumps([{stamp: 1_795_132_800, **row}]).encode())[0].time == 1_795_132_800_000
        with pytest.raises(msgspec.ValidationError):
            read(json.dumps([{stamp: 1_795_132_800_000, **row}]).encode())


def test_sizes_may_come_as_text_with_decimals() -> None:
    [row] = SOURCE.endpoint("instruments").read(json.dumps([contract(position_size="40177.8")]).encode())
    assert row.position_size == 40177.8


def test_instruments_are_the_linear_ones() -> None:
    page = [contract("BTC_USDT"), contract("1INCH_USDT"), contract("1000RATS_USDT"), contract("BTC_USD", type="inverse")]
    read = SOURCE.endpoint("instruments").read(json.dumps(page).encode())
    assert SOURCE.parse_instruments
    assert [(i.symbol, i.base_asset) for i in SOURCE.parse_instruments(read)] == [
        ("BTC_USDT", "BTC"),
        ("1INCH_USDT", "1INCH"),
        ("1000RATS_USDT", "RATS"),
    ]


def test_the_same_rates_of_two_instruments_are_no_mistake(emulator: Served, tmp_path: Path) -> None:
    """All eight over the ten days: where two have the default throughout, their pages are the same bytes."""
    window = Window(NOW - 10 * DAY, NOW)
    _, result = fetch_from_emulator("gate", emulator, tmp_path, window, assets=["all"])
    assert not result.failures and not result.quarantined
    pages = [e for e in result.entries if e.endpoint_name == "funding_rates"]
    assert len(pages) == 8 * 3 > len({e.sha256 for e in pages})
