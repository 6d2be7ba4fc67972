"""Rows of the table of sources and of the seed `venues` are checked when they are read."""

from __future__ import annotations

from datetime import date

import pytest

from pipelines import registry
from pipelines.registry import SourceRow, closed_at, datasets, decode_sources, source_rows, venues
from pipelines.windows import Window

ROW = {"venue": "okx", "title": "OKX", "datasets": ["candles"]}


def test_a_row_has_defaults() -> None:
    assert decode_sources({"okx": ROW}) == {"okx": SourceRow(venue="okx", title="OKX", datasets=("candles",))}
    row = source_rows()["kraken_futures"]
    assert (row.core, row.key, row.precedence, row.history) == (True, None, 1, {"funding_rates": 365, "order_book_depth": 0})
    assert source_rows()["coingecko"].is_reference_only and not row.is_reference_only


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"venu": "okx"}, "unknown field `venu`; allowed keys: title, datasets, venue,"),
        ({"datasets": None}, "Expected `array`, got `null` - at `$.datasets`; allowed keys:"),
        ({"datasets": ["candels"]}, "unknown dataset candels; allowed: instruments, funding_rates,"),
        ({"history": {"open_interest": 30}}, "unknown dataset in `history` open_interest; allowed: candles"),
        ({"endpoints": {"open_interest": "candles"}}, "unknown dataset in `endpoints` open_interest; allowed: candles"),
        ({"venue": "okex"}, "unknown venue okex; allowed: binance, bybit,"),
        ({"named_in": "ccxt_venues"}, "give either `venue`, or `named_in`"),
        ({"venue": None}, "give either `venue`, or `named_in`"),
        ({"precedence": "first"}, "Expected `int`, got `str` - at `$.precedence`; allowed keys:"),
    ],
)
def test_a_bad_row_is_refused_in_one_sentence(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError) as refused:
        decode_sources({"okx": ROW | change})
    assert str(refused.value).startswith("dbt_project.yml, vars: sources, row 'okx': ")
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ValueError, match=r"row 'okx': .*missing required field `title`; allowed keys: title, datasets"):
        decode_sources({"okx": {"venue": "okx", "datasets": ["candles"]}})


def test_datasets() -> None:
    candles = datasets()["candles"]
    assert (candles.fact, candles.time, candles.expected_per_day) == ("fct_candles", "opened_at", 24)
    assert candles.grain == ("instrument_id", "opened_at") and candles.columns["close"][0] == "double"
    assert datasets()["instruments"].expected_per_day is None


def test_venues(monkeypatch: pytest.MonkeyPatch) -> None:
    day = date(2026, 9, 23)
    assert venues()["bitmex"].closed_on == day and closed_at("bitmex") == Window.of_days(day, day).end
    assert closed_at("binance") is None and closed_at("unknown") is None
    fields = {"venue": "okx", "title": "OKX", "kind": "cex", "region": "offshore", "access": "global", "closed_on": ""}
    monkeypatch.setattr(registry, "read_seed", lambda name: [fields | {"state": "opened"}])
    with pytest.raises(ValueError, match=r"seeds/venues.csv, row 'okx': Invalid enum value 'opened'"):
        venues.__wrapped__()
