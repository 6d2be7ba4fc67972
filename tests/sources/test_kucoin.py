"""KuCoin's traps: XBT is BTC, the time that remains beside the moment of a settlement, seconds, pages that need no next."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from infra.emulator.store import MS_HOUR
from infra.emulator.testing import Served
from pipelines.source import Instrument
from pipelines.sources.kucoin import SOURCE
from tests.sources.kit import NOW, WINDOW, ask, next_request

RATE = {"symbol": "XBTUSDTM", "fundingRate": 0.0001, "timepoint": NOW}


def enveloped(*rows: Any) -> dict[str, Any]:
    return {"code": "200000", "data": list(rows)}


@pytest.mark.parametrize(("endpoint", "rows", "row"), [("funding_rates", 100, RATE), ("candles", 200, [NOW, 1, 1, 1, 1, 1])])
def test_a_full_page_has_no_next(endpoint: str, rows: int, row: Any) -> None:
    """A request is for no more hours than a page has rows."""
    [request] = SOURCE.endpoint(endpoint).plan(Instrument("XBTUSDTM", "BTC"), WINDOW)
    assert next_request("kucoin", endpoint, request, enveloped(*[row] * rows)) is None
    for nothing in (enveloped(), {"code": "200000", "data": None}):
        assert next_request("kucoin", endpoint, request, nothing) is None


def test_instruments_are_settled_in_usdt_and_xbt_is_btc() -> None:
    contract = {"type": "FFWCSX", "quoteCurrency": "USDT", "settleCurrency": "USDT", "multiplier": 0.001, "isInverse": False}
    contract |= {"isQuanto": True, "status": "Open"}
    inverse = contract | {"quoteCurrency": "USD", "settleCurrency": "XBT", "multiplier": -1, "isInverse": True}
    page = enveloped(
        contract | {"symbol": "XBTUSDTM", "baseCurrency": "XBT"},
        contract | {"symbol": "1000PEPEUSDTM", "baseCurrency": "1000PEPE"},
        inverse | {"symbol": "XBTUSDM", "baseCurrency": "XBT"},
        contract | {"symbol": "XBTMZ26", "baseCurrency": "XBT", "type": "FFICSX"},
    )
    assert SOURCE.parse_instruments
    found = SOURCE.parse_instruments(SOURCE.endpoint("instruments").read(json.dumps(page).encode()))
    assert [(i.symbol, i.base_asset) for i in found] == [("XBTUSDTM", "BTC"), ("1000PEPEUSDTM", "PEPE")]


def test_seconds_are_refused() -> None:
    for endpoint, row in {"funding_rates": RATE | {"timepoint": NOW // 1000}, "candles": [NOW // 1000, 1, 1, 1, 1, 1]}.items():
        with pytest.raises(msgspec.ValidationError):
            SOURCE.endpoint(endpoint).read(json.dumps(enveloped(row)).encode())


def test_the_time_that_remains_is_beside_the_moment_of_a_settlement(emulator: Served) -> None:
    active = ask(emulator, "kucoin", "/api/v1/contracts/active").json()["data"]
    [xbt] = [row for row in active if row["symbol"] == "XBTUSDTM"]
    assert (xbt["nextFundingRateTime"], xbt["nextFundingRateDateTime"]) == (8 * MS_HOUR, NOW + 8 * MS_HOUR)
