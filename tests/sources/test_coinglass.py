"""CoinGlass, by what its page says: a key in a header, errors in HTTP 200, percent, and seconds where others are milliseconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.emulator.store import MS_HOUR
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served
from infra.emulator.venues.coingecko import NAMES
from pipelines.run import Run, resolve_window_and_clock
from pipelines.settings import Settings
from pipelines.source import VenueProblem
from pipelines.sources.coinglass import EXCHANGES, SOURCE, error
from tests.sources.kit import DAY, NOW, WINDOW, loaded, planned

ROOT = "https://open-api-v4.coinglass.com/api/futures"
#: A page of the venue's documentation.
CLOSES = {"open": "0.004603", "high": "0.009388", "low": "-0.005063", "close": "0.009229"}


def test_the_requests_of_two_days() -> None:
    days = "start_time=1795132800000&end_time=1795305599999&limit=1000"
    asked = f"symbol=BTC&interval=1d&{days}"
    exchanges = EXCHANGES.replace(",", "%2C")
    assert planned("coinglass", "BTC", WINDOW) == {
        "open_interest": [f"GET {ROOT}/open-interest/aggregated-history?{asked}"],
        "funding_rates": [f"GET {ROOT}/funding-rate/oi-weight-history?{asked}"],
        "liquidations": [f"GET {ROOT}/liquidation/aggregated-history?symbol=BTC&interval=1d&exchange_list={exchanges}&{days}"],
    }


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, {"code": "401", "msg": "API key missing."}, VenueProblem("key", "401 API key missing.")),
        (200, {"code": "403", "msg": "Upgrade plan"}, VenueProblem("key", "403 Upgrade plan")),
        (200, {"code": "429", "msg": "Too Many Requests"}, VenueProblem("limited", "429 Too Many Requests")),
        (200, {"code": "400", "msg": "Bad"}, VenueProblem("rejected", "400 Bad")),
        (200, {"code": "500", "msg": "Server"}, VenueProblem("transient", "500 Server")),
        (200, {"code": "0", "msg": "success", "data": []}, None),
    ],
)
def test_errors_by_kind(status: int, body: Any, says: VenueProblem | None) -> None:
    assert error(status, json.dumps(body).encode()) == says
    assert error(401, b"") == VenueProblem("key", "HTTP 401")


@pytest.mark.parametrize("time", [1658880000000, 1658880000])
def test_a_time_is_milliseconds_whatever_it_was(time: int) -> None:
    of = SOURCE.endpoint("funding_rates")
    body = {"code": "0", "msg": "success", "data": [{"time": time, **CLOSES}]}
    [row] = of.rows(of.read(json.dumps(body).encode()))
    assert (row.time, row.close) == (1658880000000, 0.009229)
    with pytest.raises(ValueError, match="2014-2040"):
        of.read(json.dumps({"data": [{"time": 1658880, **CLOSES}]}).encode())


def test_without_a_key_it_is_left_out_with_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COINGLASS_API_KEY", raising=False)
    window, clock = resolve_window_and_clock(Settings())
    live = Run.begin(Settings(mode="live", home=tmp_path, venues=["coinglass"]), window, clock)
    assert live.chosen_sources() == ([], ["coinglass is left out: set COINGLASS_API_KEY to have references of coinglass"])
    monkeypatch.setenv("COINGLASS_API_KEY", "x")
    assert [s.name for s in live.chosen_sources()[0]] == ["coinglass"]


def test_the_emulator_sums_up_the_store(emulator: Served, store: SyntheticMarket, tmp_path: Path) -> None:
    """By hand for the last day: every venue's open interest at midnight, its liquidations of the day."""
    query = loaded("coinglass", emulator, tmp_path, assets=["BTC"])
    oi = longs = 0.0
    for name in NAMES:
        held = store.open_interest(name, "BTC")
        if held is not None:
            oi += float((held.size * held.mark)[held.observed_at == NOW].sum())
        forced = store.liquidations(name, "BTC")
        if forced is not None:
            today = (forced.time >= NOW - DAY) & (forced.time < NOW) & forced.long
            longs += float((forced.price * forced.size)[today].sum())
    assert query('select close from raw.coinglass__open_interest order by "time" desc limit 1') == [(pytest.approx(oi),)]
    [(time, found)] = query(
        'select "time", aggregated_long_liquidation_usd from raw.coinglass__liquidations order by 1 desc limit 1'
    )
    assert (time, found) == (NOW - DAY, pytest.approx(longs))
    assert query('select count(*), min("time") from raw.coinglass__funding_rates') == [(2, NOW - 2 * DAY)], "seconds on the wire"


def test_the_emulator_wants_a_key(emulator: Served) -> None:
    url = f"{emulator.url}/coinglass/api/futures/open-interest/aggregated-history"
    said = httpx.get(url, params={"symbol": "BTC", "interval": "1d"}).json()
    assert said == {"code": "401", "msg": "API key missing."}
    key = {"CG-API-KEY": "emulator"}
    assert httpx.get(url, params={"symbol": "BTC", "interval": "1h"}, headers=key).json()["msg"] == "Upgrade plan"
    rows = httpx.get(url, params={"symbol": "BTC", "interval": "1d"}, headers=key).json()["data"]
    assert rows[-1]["time"] == NOW - DAY and rows[1]["time"] - rows[0]["time"] == 24 * MS_HOUR
