"""CoinAPI: two of the emulator's venues by ids of its own; ISO times with seven decimals, JSON numbers, hourly metrics.

Alone: `python -m infra.emulator` and
`curl -H "X-CoinAPI-Key: emulator" "$URL/coinapi/v1/symbols?filter_exchange_id=BINANCEFTS"`.
"""

from __future__ import annotations

from typing import Any

from infra.emulator.carried import Carried, Hour
from infra.emulator.messages import Ask
from infra.emulator.rendering import iso
from infra.emulator.store import MS_HOUR, Listing
from infra.emulator.venue import Refused, Venue, route

EXCHANGES = {"BINANCEFTS": "binance", "BYBIT": "bybit"}
METRICS = {"DERIVATIVES_FUNDING_RATE_CURRENT": "rate", "DERIVATIVES_OPEN_INTEREST": "oi"}


def stamp(ms: int) -> str:
    return iso(ms).replace(".000Z", ".0000000Z")


class CoinApi(Venue):
    name = "coinapi"
    root = "/v1"

    @route("symbols", requests=1)
    def symbols(self, ask: Ask) -> object:
        exchange = ask.query.get("filter_exchange_id", "")
        venue = self._venue(exchange)
        return [self._symbol(venue, exchange, listing) for listing in venue.listings(ask.now)]

    @route("metrics/symbol/history", requests=1)
    def metrics(self, ask: Ask) -> object:
        field = METRICS[ask.choice("metric_id", *METRICS)]
        hours = self._hours(ask, ask.query.get("symbol_id", ""))
        rows = [self._metric(hour, value) for hour in hours if (value := getattr(hour, field)) is not None]
        return rows[: ask.integer("limit") or 100]

    @route("ohlcv/{symbol}/history", requests=1)
    def candles(self, ask: Ask, symbol: str) -> object:
        return [self._bar(hour) for hour in self._hours(ask, symbol)][: ask.integer("limit") or 100]

    def _venue(self, exchange: str) -> Carried:
        if exchange not in EXCHANGES:
            raise Refused("no_data", exchange=exchange)
        return Carried(self.world, EXCHANGES[exchange])

    def _hours(self, ask: Ask, symbol: str) -> list[Hour]:
        ask.choice("period_id", "1HRS")
        exchange, _, rest = symbol.partition("_PERP_")
        start, end = ask.moments("time_start", "time_end")
        return list(self._venue(exchange).hours(rest.removesuffix("_USDT"), start, end, ask.now))

    @staticmethod
    def _symbol(venue: Carried, exchange: str, listing: Listing) -> dict[str, Any]:
        return {
            "symbol_id": f"{exchange}_PERP_{listing.listed}_USDT",
            "exchange_id": exchange,
            "symbol_type": "PERPETUAL",
            "asset_id_base": listing.listed,
            "asset_id_quote": "USDT",
            "contract_unit": 1.0,
            "contract_unit_asset": listing.listed,
            "symbol_id_exchange": venue.native(listing),
        }

    @staticmethod
    def _metric(hour: Hour, value: float) -> dict[str, Any]:
        at = {"time_period_start": stamp(hour.opened_at), "time_period_end": stamp(hour.opened_at + MS_HOUR)}
        return at | {"first": value, "last": value, "min": value, "max": value, "count": 1, "sum": value}

    @staticmethod
    def _bar(hour: Hour) -> dict[str, Any]:
        at = {"time_period_start": stamp(hour.opened_at), "time_period_end": stamp(hour.opened_at + MS_HOUR)}
        at |= {"time_open": stamp(hour.opened_at), "time_close": stamp(hour.opened_at + MS_HOUR - 1000)}
        prices = {"price_open": hour.open, "price_high": hour.high, "price_low": hour.low, "price_close": hour.close}
        return at | prices | {"volume_traded": hour.volume, "trades_count": 1}


VENUE = CoinApi
