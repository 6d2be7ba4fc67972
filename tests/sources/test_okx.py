"""OKX's traps: pages that may have been cut, a forecast beside the charged rate, instruments without a base, XPERP futures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.emulator.store import MS_HOUR
from infra.emulator.testing import Served
from pipelines.source import Instrument, Request
from pipelines.sources.okx import SOURCE
from pipelines.windows import Window
from tests.sources.kit import NOW, ask, fetch_from_emulator, load_and_query, next_request
from tests.sources.samples import Sample, decoded


def enveloped(*rows: Any) -> dict[str, Any]:
    return {"code": "0", "msg": "", "data": rows}


def read(endpoint: str, *rows: Any) -> list[dict[str, Any]]:
    return decoded(Sample("okx", endpoint, "by hand", 200, json.dumps(enveloped(*rows)).encode()))


# --- requests and pages -----------------------------------------------------------------------------------------------------


def test_an_inverse_swaps_index_is_named_by_its_pair_too() -> None:
    day = Window(1_760_054_400_000, 1_760_140_800_000)
    for endpoint, name in {"index_candles": "BTC-USD", "mark_candles": "BTC-USD-SWAP"}.items():
        [request] = SOURCE.endpoint(endpoint).plan(Instrument("BTC-USD-SWAP", "BTC"), day)
        assert request.params["instId"] == name


#: A multiple of 400, 300 and 100 hours: 18 July 2016.
START = 408_000 * MS_HOUR


def first_request(endpoint: str, hours: int) -> Request:
    window = Window(START, START + hours * MS_HOUR)
    [request] = SOURCE.endpoint(endpoint).plan(Instrument("BTC-USDT-SWAP", "BTC"), window)
    return request


def page(endpoint: str, *hours: int) -> dict[str, Any]:
    """A body with rows so many hours after `START`."""
    times = [str(START + hour * MS_HOUR) for hour in hours]
    rate = {"instId": "BTC-USDT-SWAP", "realizedRate": "0.0001", "fundingRate": "0.0002"}
    numbers = ["1"] * {"open_interest": 3, "candles": 8, "mark_candles": 5}.get(endpoint, 0)
    return enveloped(*({**rate, "fundingTime": t} if endpoint == "funding_rates" else [t, *numbers] for t in times))


@pytest.mark.parametrize(("endpoint", "hours"), [("funding_rates", 400), ("candles", 300)])
def test_a_page_that_was_cut_is_followed_by_the_rows_before_its_oldest(endpoint: str, hours: int) -> None:
    """The newest 100 rows come where more were requested, as when 100 was the longest page."""
    first, oldest = first_request(endpoint, hours), START + (hours - 100) * MS_HOUR
    second = next_request("okx", endpoint, first, page(endpoint, *range(hours - 1, hours - 101, -1)))
    assert second is not None
    assert second.params == {**first.params, "after": oldest, "before": START - 1}
    assert second.window == Window(START, oldest)
    assert next_request("okx", endpoint, second, page(endpoint, *range(hours - 101, -1, -1))) is None


@pytest.mark.parametrize(
    ("endpoint", "hours"), [("funding_rates", 400), ("candles", 300), ("mark_candles", 100), ("open_interest", 100)]
)
def test_nothing_follows_a_page_that_is_short_or_complete(endpoint: str, hours: int) -> None:
    request = first_request(endpoint, hours)
    assert next_request("okx", endpoint, request, page(endpoint)) is None
    assert next_request("okx", endpoint, request, page(endpoint, 96, 88)) is None
    assert next_request("okx", endpoint, request, page(endpoint, *range(hours - 1, -1, -1))) is None


def test_a_full_page_of_liquidations_is_followed_from_its_last_millisecond() -> None:
    request = first_request("liquidations", 1)
    details = [{"bkPx": "1", "side": "buy", "sz": "1", "ts": str(START + 1000 - n)} for n in range(100)]
    more = next_request("okx", "liquidations", request, enveloped({"details": details, "instId": "BTC-USDT-SWAP"}))
    assert more and more.params["after"] == START + 1000 - 98
    assert next_request("okx", "liquidations", request, enveloped({"details": details[1:], "instId": "BTC-USDT-SWAP"})) is None


# --- traps ------------------------------------------------------------------------------------------------------------------


def test_instruments_are_swaps_in_dollars_by_their_pair() -> None:
    """Base and quote are empty; a swap before its listing has neither; XPERPs are dated futures; older lists have no family."""
    swap = {"instType": "SWAP", "state": "live", "ctMult": "1", "baseCcy": "", "quoteCcy": ""}
    linear = swap | {"ctType": "linear", "settleCcy": "USDT"}
    rows = [
        linear | {"instId": "BTC-USDT-SWAP", "uly": "BTC-USDT", "ctVal": "0.01", "ctValCcy": "BTC"},
        swap | {"instId": "BTC-USD-SWAP", "uly": "BTC-USD", "instFamily": "BTC-USD", "ctType": "inverse", "settleCcy": "BTC"},
        linear | {"instId": "1INCH-USDT-SWAP", "uly": "", "instFamily": "1INCH-USDT"},
        linear | {"instId": "BTC-USDC-SWAP", "uly": "BTC-USDC", "settleCcy": "USDC"},
        {"instId": "ETH-USD_UM-SWAP", "instType": "SWAP", "state": "preopen"},
        linear | {"instId": "BTC-USD_UM_XPERP-310404", "uly": "BTC-USD", "instType": "FUTURES", "ruleType": "xperp"},
    ]
    assert SOURCE.parse_instruments
    found = SOURCE.parse_instruments(SOURCE.endpoint("instruments").read(json.dumps(enveloped(*rows)).encode()))
    assert [(i.symbol, i.base_asset) for i in found] == [
        ("BTC-USDT-SWAP", "BTC"),
        ("BTC-USD-SWAP", "BTC"),
        ("1INCH-USDT-SWAP", "1INCH"),
        ("BTC-USDC-SWAP", "BTC"),
    ]


def test_the_charged_rate_is_not_the_forecast() -> None:
    row = {
        "instType": "SWAP", "instId": "BTC-USDT-SWAP", "fundingRate": "0.0001515032", "realizedRate": "0.00015",
        "fundingTime": "1704067200000", "method": "current_period", "formulaType": "withRate",
    }  # fmt: skip
    assert read("funding_rates", row) == [
        {"symbol": "BTC-USDT-SWAP", "funding_time": 1704067200000, "realized_rate": 0.00015, "funding_rate": 0.0001515032}
    ]
    for missing in ({k: v for k, v in row.items() if k != "realizedRate"}, row | {"realizedRate": ""}):
        with pytest.raises(ValueError, match="realizedRate"):
            read("funding_rates", missing)


def test_the_stored_forecast_differs_from_the_charged_rate(emulator: Served, tmp_path: Path) -> None:
    query = load_and_query("okx", emulator, tmp_path)
    assert query("select count(*), bool_and(funding_rate <> realized_rate) from raw.okx__funding_rates") == [(12, True)]


def test_a_bar_states_its_volume_three_times() -> None:
    """628 contracts of 100 USD."""
    [bar] = read("candles", ["1678928760000", "24341.4", "24344", "24313.2", "24323", "628", "2.5819", "62800", "0"])
    assert (bar["open_time"], bar["close"]) == (1678928760000, 24323.0)
    assert (bar["vol"], bar["vol_ccy"], bar["vol_ccy_quote"]) == (628.0, 2.5819, 62800.0)


def test_liquidations_of_dated_futures_are_left_out() -> None:
    detail = {"bkLoss": "0", "bkPx": "0.55205", "ccy": "", "posSide": "short", "side": "buy", "sz": "39", "ts": "1680173247614"}
    dated = {"details": [detail], "instFamily": "XRP-USD", "instId": "XRP-USD-230929", "instType": "FUTURES", "uly": "XRP-USD"}
    assert read("liquidations", dated) == []
    assert read("liquidations", dated | {"instId": "XRP-USD-SWAP"}) == [
        {"symbol": "XRP-USD-SWAP", "ts": 1680173247614, "side": "buy", "bk_px": 0.55205, "sz": 39.0, "pos_side": "short"}
    ]


# --- the emulator -----------------------------------------------------------------------------------------------------------


def test_open_interest_ends_after_1440_entries_in_pages_of_100(emulator: Served) -> None:
    path, rows, end = "/api/v5/rubik/stat/contracts/open-interest-history", [], NOW + 1
    while data := ask(emulator, "okx", f"{path}?instId=BTC-USDT-SWAP&period=1H&end={end}").json()["data"]:
        assert len(data) <= 100
        rows += data
        end = int(rows[-1][0])
    assert [int(row[0]) for row in rows] == [NOW - hour * MS_HOUR for hour in range(1440)]


def test_a_broken_limit_and_an_error_in_200_are_retried(emulator: Served, tmp_path: Path) -> None:
    emulator.fault("429", venue="okx", path_contains="history-candles", retry_after=0.1)
    emulator.fault("error_200", venue="okx", path_contains="open-interest-history")
    _, result = fetch_from_emulator("okx", emulator, tmp_path, assets=["BTC"])
    assert not result.failures and any("50011" in warning for warning in result.warnings)
