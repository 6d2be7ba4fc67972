"""The numbers that the page holds and draws: daily series of the published marts, by column, for the market, assets and venues.

    marts.daily_* ──► read() ──► JSON in the page ──► report.js

A list has one value a day and ends with the last day of `days`; a shorter one begins later. Null is unknown. Numbers have
`DIGITS` significant digits, a text is its place in `texts`. So that the page stays small, it holds the last days alone where
there are many: `ASSET_DAYS` over the number of assets, and for the numbers by asset and venue `CELL_DAYS` over the number of
such pairs.

Alone: ``read(duckdb.connect("perplake.duckdb", read_only=True), ["BTC"])``.
"""

from __future__ import annotations

from datetime import date, timedelta
from math import isfinite
from typing import Any

import duckdb

DIGITS = 6
ASSET_DAYS, CELL_DAYS = 12_000, 60_000

_LIQUIDATIONS = ("long_usd", "short_usd", "venues")
LIQUIDATIONS = tuple(f"{kind}_{measure}" for kind in ("complete", "lower_bound") for measure in _LIQUIDATIONS)
_COVERAGE = ("coverage_price", "coverage_funding", "coverage_oi", "coverage_liquidations", "coverage_liquidations_listed")
_TRUST = ("volume_trust", "oi_trust", "funding_trust")
_LEVELS = ("volume_usd", "volume_usd_chained", "oi_usd", "oi_usd_chained", "funding_8h", "funding_weight_known")
#: For each part of the JSON the table, the columns that name a series, and the columns that are one.
COLUMNS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "market": ("daily_industry", (), (*_LEVELS, "venues", "oi_venues", *_TRUST, "liquidations_trust")),
    "market_liquidations": ("daily_liquidations", ("asset",), (*LIQUIDATIONS, "venues_total")),
    "assets": (
        "daily_assets",
        ("asset",),
        (
            "close", "return_1d", *_LEVELS, "oi_change_1d", "oi_venue_names", "realised_vol_7d", "range_vol_7d", "price_venues",
            "funding_venues", "oi_venues", "liq_venues", "venues_total", *_COVERAGE, "price_trust", *_TRUST, "liquidations_trust",
        ),
    ),
    "liquidations": ("daily_liquidations", ("asset",), (*LIQUIDATIONS, "venues_total")),
    "spreads": (
        "daily_funding_spreads",
        ("asset",),
        (
            "highest_funding_venue", "lowest_funding_venue", "highest_funding_rate_8h", "lowest_funding_rate_8h", "spread_8h",
            "spread_apr", "spread_charged", "consecutive_days", "venues", "known_pair_charged",
        ),
    ),
    "labels": ("regime_labels", ("asset",), ("label", "confidence")),
    "venues": (
        "daily_venues",
        ("venue",),
        (
            "volume_usd", "volume_share", "oi_usd", "oi_share", "funding_8h", "instruments", "suspect_volume_reason", *_COVERAGE,
            *_TRUST,
        ),
    ),
    "cells": (
        "daily_asset_venues",
        ("asset", "venue"),
        ("volume_usd", "oi_usd", "funding_8h", "funding_charged", "liq_long_usd", "liq_short_usd", "liq_is_complete"),
    ),
}  # fmt: skip


def read(db: duckdb.DuckDBPyConnection, assets: list[str]) -> dict[str, Any]:
    """The parts of `COLUMNS` for the assets, with `days` and `venue_names` (title and kind by venue)."""
    first, last = db.sql("select min(day), max(day) from marts.daily_assets").fetchall()[0]
    [(pairs,)] = db.execute(
        "select count(distinct (asset, venue)) from marts.daily_asset_venues where list_contains(?, asset)", [assets]
    ).fetchall()
    first = max(first, last - timedelta(days=ASSET_DAYS // len(assets) - 1))
    first_of_cells = max(first, last - timedelta(days=CELL_DAYS // max(pairs, 1) - 1))
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    texts: dict[str, int] = {}
    parts = {
        part: _series(db, part, first_of_cells if part == "cells" else first, last, _only(part, assets), texts)
        for part in COLUMNS
    }
    return {
        "days": [str(day) for day in days],
        "names": assets,
        "venue_names": {
            venue: {"title": title, "kind": kind}
            for venue, title, kind in db.sql("select venue, title, kind from marts.dim_venues order by venue").fetchall()
        },
        **{part: found for part, found in parts.items() if part != "market_liquidations"},
        "market": parts["market"] | parts["market_liquidations"].get("MARKET", {}),
        "texts": list(texts),
    }


def _only(part: str, assets: list[str]) -> list[str] | None:
    """The assets of a part; None: it has none."""
    return None if "asset" not in COLUMNS[part][1] else ["MARKET"] if part == "market_liquidations" else assets


def _series(
    db: duckdb.DuckDBPyConnection, part: str, first: date, last: date, assets: list[str] | None, texts: dict[str, int]
) -> dict[str, Any]:
    """The series of a part as nested objects by its keys; a column without any value is left out."""
    table, keys, columns = COLUMNS[part]
    where = "day between $1 and $2" + (" and list_contains($3, asset)" if assets is not None else "")
    key_list = "".join(f"{key}, " for key in keys)
    lists = ", ".join(f"list(r.{column} order by day) as {column}" for column in columns)
    rows = db.execute(
        f"""
        with rows as (from marts.{table} where {where}),
        days as (select unnest(generate_series($1::timestamp, $2::timestamp, interval 1 day))::date as day),
        names as (select distinct {key_list or "1 as one"} from rows)
        select {key_list} {lists}
        from days cross join names left join rows as r using ({key_list} day)
        group by all order by all
        """,
        [first, last, *([assets] if assets is not None else [])],
    ).fetchall()
    found: dict[str, Any] = {}
    for row in rows:
        place = found
        for key in row[: len(keys)]:
            place = place.setdefault(key, {})
        for name, values in zip(columns, row[len(keys) :], strict=True):
            if values and any(value is not None for value in values):
                place[name] = [_short(value, texts) for value in values]
    return found


def _short(value: Any, texts: dict[str, int]) -> float | int | None:
    """A number of `DIGITS` significant digits, a truth as 0 or 1, a text as its place in `texts`; None if not finite."""
    if isinstance(value, str):
        return texts.setdefault(value, len(texts))
    if not isinstance(value, float):
        return value if value is None else int(value)
    if not isfinite(value):
        return None
    short = float(f"{value:.{DIGITS}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short
