"""CoinGlass, its traps: seconds or milliseconds, a key that is absent, and totals over all venues."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served
from infra.emulator.venues.coingecko import NAMES
from pipelines.run import Run, resolve_window_and_clock
from pipelines.settings import Settings
from pipelines.sources.coinglass import SOURCE
from tests.sources.kit import DAY, NOW, load_and_query

#: A page of the venue's documentation.
CLOSES = {"open": "0.004603", "high": "0.009388", "low": "-0.005063", "close": "0.009229"}


@pytest.mark.parametrize("time", [1658880000000, 1658880000])
def test_a_time_is_milliseconds_whatever_it_was(time: int) -> None:
    endpoint = SOURCE.endpoint("funding_rates")
    body = {"code": "0", "msg": "success", "data": [{"time": time, **CLOSES}]}
    [row] = endpoint.rows(endpoint.read(json.dumps(body).encode()))
    assert (row.time, row.close) == (1658880000000, 0.009229)
    with pytest.raises(ValueError, match="2014-2040"):
        endpoint.read(json.dumps({"data": [{"time": 1658880, **CLOSES}]}).encode())


def test_without_a_key_it_is_left_out_with_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COINGLASS_API_KEY", raising=False)
    window, clock = resolve_window_and_clock(Settings())
    live = Run.begin(Settings(mode="live", home=tmp_path, venues=["coinglass"]), window, clock)
    assert live.chosen_sources() == ([], ["coinglass is left out: set COINGLASS_API_KEY to have references of coinglass"])
    monkeypatch.setenv("COINGLASS_API_KEY", "x")
    assert [s.name for s in live.chosen_sources()[0]] == ["coinglass"]


def test_the_emulator_sums_up_the_store(emulator: Served, store: SyntheticMarket, tmp_path: Path) -> None:
    """By hand for the last day: every venue's open interest at midnight, its liquidations of the day."""
    query = load_and_query("coinglass", emulator, tmp_path, assets=["BTC"])
    oi = longs = 0.0
    for name in NAMES:
        stored = store.open_interest(name, "BTC")
        if stored is not None:
            oi += float((stored.size * stored.mark)[stored.observed_at == NOW].sum())
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
