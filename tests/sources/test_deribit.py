"""Deribit's traps: bars in columns, sums of eight hours beside single ones, dollars or coins, two limits."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from infra.emulator.limits import Limits
from infra.emulator.synthetic import SyntheticMarket
from infra.emulator.testing import Served, serve
from pipelines.source import Instrument
from pipelines.sources.deribit import SOURCE, error
from pipelines.windows import Window
from tests.sources.kit import DAY, NOW, WINDOW, ask, load_and_query, store_rows

PUBLIC = "/api/v2/public/"


def chart(**columns: Any) -> bytes:
    whole = {name: [1] for name in ("open", "high", "low", "close", "volume", "cost")} | {"ticks": [NOW], "status": "ok"}
    return json.dumps({"result": whole | columns}).encode()


def test_bars_are_refused_whose_columns_differ_in_length_or_whose_status_is_unknown() -> None:
    endpoint = SOURCE.endpoint("candles")
    assert len(endpoint.rows(endpoint.read(chart()))) == 1
    with pytest.raises(ValueError, match="its columns have"):
        endpoint.rows(endpoint.read(chart(cost=[1, 2])))
    with pytest.raises(msgspec.ValidationError, match=r"result\.status"):
        endpoint.read(chart(status="partial"))


def test_dated_futures_and_options_are_no_instruments() -> None:
    symbol = {"kind": "future", "is_active": True, "base_currency": "BTC"}
    rows = [
        {**symbol, "instrument_name": "BTC-PERPETUAL", "settlement_period": "perpetual"},
        {**symbol, "instrument_name": "SOL_USDC-PERPETUAL", "settlement_period": "perpetual", "base_currency": "SOL"},
        {**symbol, "instrument_name": "BTC-27DEC24", "settlement_period": "month"},
        {**symbol, "instrument_name": "BTC-COMBO-1", "kind": "future_combo", "settlement_period": "perpetual"},
    ]
    page = SOURCE.endpoint("instruments").read(json.dumps({"result": rows}).encode())
    assert SOURCE.parse_instruments
    assert SOURCE.parse_instruments(page) == [Instrument("BTC-PERPETUAL", "BTC"), Instrument("SOL_USDC-PERPETUAL", "SOL")]


def test_eight_hours_are_the_sum_of_eight_single_hours(emulator: Served, tmp_path: Path) -> None:
    query = load_and_query("deribit", emulator, tmp_path, assets=["BTC"])
    rows = query("select interest_1h, interest_8h from raw.deribit__funding_rates order by timestamp")
    assert rows[-1][1] == pytest.approx(sum(one for one, _ in rows[-8:]), rel=1e-12)


def test_inverse_open_interest_is_dollars_in_whole_contracts_linear_is_coins(emulator: Served, store: SyntheticMarket) -> None:
    def summaries(currency: str) -> list[Any]:
        rows: list[Any] = ask(emulator, "deribit", f"{PUBLIC}get_book_summary_by_currency?currency={currency}").json()["result"]
        return rows

    def size(coin: str) -> float:
        return float(list(store_rows(store.open_interest("deribit", coin), Window(NOW - DAY, NOW + 1)))[-1][1])

    [btc] = summaries("BTC")
    assert btc["open_interest"] % 10 == 0
    assert btc["open_interest"] == pytest.approx(size("BTC") * btc["mark_price"], abs=10)
    linear = {row["base_currency"]: row for row in summaries("USDC")}
    assert linear["PEPE"]["open_interest"] == size("PEPE") and "ETH" not in linear
    rate = store.running_rate("deribit", "PEPE", NOW)
    assert rate is not None and linear["PEPE"]["current_funding"] == 8 * rate


def test_the_list_of_instruments_has_a_limit_of_its_own(store: SyntheticMarket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a clock that stands still, so that no limit is filled up again meanwhile."""
    monkeypatch.setattr("infra.emulator.server.Limits", partial(Limits, clock=lambda: NOW / 1000))
    with serve(store, as_of=NOW, days=5) as emulator:
        for _ in range(12):
            assert ask(emulator, "deribit", f"{PUBLIC}get_book_summary_by_currency?currency=BTC").status_code == 200
        answers = [ask(emulator, "deribit", f"{PUBLIC}get_instruments?currency=any") for _ in range(12)]
    problem = error(answers[-1].status_code, answers[-1].content)
    assert problem and problem.kind == "limited"


@pytest.mark.parametrize(("coin", "symbol"), [("BTC", "BTC/USD:BTC"), ("PEPE", "PEPE/USDC:USDC")])
def test_ccxt_reads_funding_by_the_hour_and_the_present_open_interest(
    coin: str, symbol: str, exchanges: Callable[[str], Any], store: SyntheticMarket
) -> None:
    """Its rate is the sum of eight hours; the rate of the hour is in the row as it came."""
    exchange = exchanges("deribit")
    rows = exchange.fetch_funding_rate_history(symbol, WINDOW.start, 1000, {"until": NOW - 1})
    expected = [row[:2] for row in store_rows(store.funding("deribit", coin))]
    assert [(r["timestamp"], float(r["info"]["interest_1h"])) for r in rows] == expected
    [listing] = [x for x in store.listings("deribit") if x.listed == coin]
    assert exchange.market(symbol)["created"] == listing.listed_at
    if coin == "PEPE":
        *_, (_, size, _) = store_rows(store.open_interest("deribit", coin), Window(NOW - DAY, NOW + 1))
        assert float(exchange.fetch_open_interest(symbol)["info"]["open_interest"]) == size
