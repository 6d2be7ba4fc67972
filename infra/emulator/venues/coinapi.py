"""CoinAPI: two of the emulator's venues by ids of its own; ISO times with seven decimals, JSON numbers, hourly metrics.

Alone: `python -m infra.emulator` and
`curl -H "X-CoinAPI-Key: emulator" "$URL/coinapi/v1/symbols?filter_exchange_id=BINANCEFTS"`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.emulator.carried import Carried, Hour
from infra.emulator.store import MS_HOUR, Listing
from infra.emulator.venue import KEY
from infra.emulator.wire import Answer, Ask, Refusal, Usage, Venue, encode, iso

EXCHANGES = {"BINANCEFTS": "binance", "BYBIT": "bybit"}
METRICS = {"DERIVATIVES_FUNDING_RATE_CURRENT": "rate", "DERIVATIVES_OPEN_INTEREST": "oi"}


def refusal(message: str, status: int) -> Refusal:
    return Refusal(Answer(encode({"error": message}), status, charges={"requests": 1}))


def stamp(ms: int) -> str:
    return iso(ms).replace(".000Z", ".0000000Z")


class CoinApi(Venue):
    name = "coinapi"
    limits: Mapping[str, tuple[int, int]] = {"requests": (10, 1)}

    def answer(self, ask: Ask) -> Answer:
        if ask.headers.get("X-CoinAPI-Key") != KEY:
            raise refusal("Invalid API key", 401)
        match ask.path.removeprefix("/v1/").split("/"):
            case ["symbols"]:
                exchange = ask.query.get("filter_exchange_id", "")
                venue = self._venue(exchange)
                body = [self._symbol(venue, exchange, listing) for listing in venue.listings(ask.now)]
            case ["metrics", "symbol", "history"] if ask.query.get("metric_id") in METRICS:
                field = METRICS[ask.query["metric_id"]]
                hours = self._hours(ask, ask.query.get("symbol_id", ""))
                body = [self._metric(hour, value) for hour in hours if (value := getattr(hour, field)) is not None]
            case ["ohlcv", symbol, "history"]:
                body = [self._bar(hour) for hour in self._hours(ask, symbol)]
            case _:
                raise refusal("Not found", 404)
        limit = ask.integer("limit") or 100
        return Answer(encode(body if ask.path == "/v1/symbols" else body[:limit]), charges={"requests": 1})

    def refuse(self, ask: Ask, usage: Usage | None, *, banned: bool = False) -> Answer:
        return refusal("Too many requests", 429).answer

    def error(self, ask: Ask) -> Answer:
        return refusal("Internal server error", 500).answer

    def _venue(self, exchange: str) -> Carried:
        if exchange not in EXCHANGES:
            raise refusal(f"exchange {exchange}: no data", 550)
        return Carried(self.world, EXCHANGES[exchange])

    def _hours(self, ask: Ask, symbol: str) -> list[Hour]:
        exchange, _, rest = symbol.partition("_PERP_")
        start, end = ask.moment("time_start"), ask.moment("time_end")
        if start is None or end is None or ask.query.get("period_id") != "1HRS":
            raise refusal("time_start, time_end and period_id are wanted", 400)
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
