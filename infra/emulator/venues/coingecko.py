"""CoinGecko: an aggregator of the emulator's own venues, in US dollars and percent, and of one that the store doesn't have.

What it says of them are the store's numbers, so that a sum of our own can be held against it; the venue beside them, the spot
volume and the supplies of coins are made up.
Alone: `python -m infra.emulator` and `curl "$URL/coingecko/api/v3/derivatives"`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from infra.emulator.store import Listing
from infra.emulator.wire import Answer, Ask, Market, Refusal, Usage, Venue, encode, iso, latest, number, plain

ROOT = "/api/v3/"
#: By our market: what the aggregator calls the venue, its id, and how it writes an instrument of it.
NAMES: Mapping[str, tuple[str, str, str]] = {
    "binance": ("Binance (Futures)", "binance_futures", "{}USDT"),
    "binance_coinm": ("Binance (Futures)", "binance_futures", "{}USD_PERP"),
    "bybit": ("Bybit (Futures)", "bybit", "{}USDT"),
    "bybit_inverse": ("Bybit (Futures)", "bybit", "{}USD"),
    "hyperliquid": ("Hyperliquid (Futures)", "hyperliquid", "{}"),
    "okx": ("OKX (Futures)", "okex_swap", "{}-USDT-SWAP"),
    "bitget": ("Bitget Futures", "bitget_futures", "{}USDT"),
    "gate": ("Gate (Futures)", "gate_futures", "{}_USDT"),
    "htx": ("HTX Futures", "huobi_dm", "{}-USDT"),
    "mexc": ("MEXC (Futures)", "mxc_futures", "{}_USDT"),
}
#: A venue that our sources don't have: so much of the first one's.
ELSEWHERE, SHARE = ("Deepcoin (Derivatives)", "deepcoin_derivatives", "{}USDT"), 0.3
#: Spot volume to that of perpetuals.
SPOT = 0.32
SUPPLIES = {
    "BTC": 19.9e6,
    "ETH": 120.7e6,
    "SOL": 540e6,
    "XRP": 60e9,
    "DOGE": 150e9,
    "HYPE": 334e6,
    "LINK": 680e6,
    "PEPE": 420.69e12,
}
KEY = "emulator"


def refusal(code: int, message: str, status: int) -> Refusal:
    return Refusal(Answer(encode({"status": {"error_code": code, "error_message": message}}), status, charges={"calls": 1}))


@dataclass(frozen=True)
class Row:
    """What the aggregator knows of one perpetual, in US dollars; None is not held."""

    name: str
    id: str
    symbol: str
    base: str
    price: float
    index: float
    oi: float | None
    volume: float | None
    rate: float | None


class CoinGecko(Venue):
    name = "coingecko"
    limits: Mapping[str, tuple[int, int]] = {"calls": (5, 60)}

    def answer(self, ask: Ask) -> Answer:
        if ask.headers.get("x-cg-demo-api-key", KEY) != KEY:
            raise refusal(10002, "API Key Missing or invalid", 401)
        rows = list(self._rows(ask.now))
        match ask.path.removeprefix(ROOT):
            case "derivatives":
                body: object = [self._ticker(row, ask.now) for row in rows]
            case "derivatives/exchanges":
                body = self._exchanges(rows)
            case "global":
                body = {"data": self._global(rows, ask.now)}
            case "coins/markets":
                body = self._coins(rows, ask.now)
            case _:
                raise Refusal(Answer(encode({"error": "Incorrect path. Please check the reference"}), 404, charges={"calls": 1}))
        return Answer(encode(body), charges={"calls": 1})

    def refuse(self, ask: Ask, usage: Usage | None, *, banned: bool = False) -> Answer:
        return refusal(429, "You've exceeded the Rate Limit", 429).answer

    def error(self, ask: Ask) -> Answer:
        return refusal(500, "Internal Server Error", 500).answer

    def _rows(self, now: int) -> Iterator[Row]:
        for name, said in NAMES.items():
            market = self.world.market(name)
            for listing in market.listings(now):
                if listing.delisted_at is None or listing.delisted_at > now:
                    yield self._row(market, listing, said, now, 1.0)
                    if name == next(iter(NAMES)):
                        yield self._row(market, listing, ELSEWHERE, now, SHARE)

    def _row(self, market: Market, listing: Listing, said: tuple[str, str, str], now: int, share: float) -> Row:
        coin, day = listing.listed, market.day(listing.listed, now)
        oi = market.open_interest(coin)
        dollars = number(latest(oi, "size", now) * latest(oi, "mark", now) * share)
        volume = None if day is None else number(float(day.quote_volume.sum()) * share)
        last, index = market.price(coin, "trade", now), market.price(coin, "index", now)
        rate = market.running_rate(coin, now)
        return Row(said[0], said[1], said[2].format(coin), listing.base, last, index, dollars, volume, rate)

    def _ticker(self, row: Row, now: int) -> object:
        return {
            "market": row.name,
            "symbol": row.symbol,
            "index_id": row.base,
            "price": plain(row.price),
            "price_percentage_change_24h": 0.1,
            "contract_type": "perpetual",
            "index": number(row.index),
            "basis": number((row.price / row.index - 1) * 100),
            "spread": 0.01,
            "funding_rate": None if row.rate is None else row.rate * 100,
            "open_interest": row.oi,
            "volume_24h": row.volume,
            "last_traded_at": now // 1000,
            "expired_at": None,
        }

    def _bitcoin(self, rows: list[Row]) -> float:
        """The price of one, in US dollars; NaN where no market has it."""
        return next((row.price for row in rows if row.base == "BTC"), float("nan"))

    def _exchanges(self, rows: list[Row]) -> object:
        bitcoin = self._bitcoin(rows)
        found = []
        for venue in dict.fromkeys((row.name, row.id) for row in rows):
            own = [row for row in rows if row.id == venue[1]]
            oi, volume = sum(row.oi or 0 for row in own) / bitcoin, sum(row.volume or 0 for row in own) / bitcoin
            said = {"name": venue[0], "id": venue[1], "trade_volume_24h_btc": plain(volume), "open_interest_btc": number(oi)}
            found.append((-oi, {**said, "number_of_perpetual_pairs": len(own), "number_of_futures_pairs": 0}))
        return [said for _, said in sorted(found, key=lambda both: both[0])]

    def _global(self, rows: list[Row], now: int) -> object:
        caps = sum(
            row.index * SUPPLIES.get(row.base, 0) for row in rows if row.name == rows[0].name and row.symbol[0] not in "1k"
        )
        volume = sum(row.volume or 0 for row in rows) * SPOT
        return {"markets": 1, "total_market_cap": {"usd": caps}, "total_volume": {"usd": volume}, "updated_at": now // 1000}

    def _coins(self, rows: list[Row], now: int) -> object:
        found = []
        for base, supply in SUPPLIES.items():
            own = [row for row in rows if row.base == base]
            if own:
                index = own[0].index / (1000 if own[0].symbol.startswith(("1000", "k")) else 1)
                spot = sum(row.volume or 0 for row in own) * SPOT
                said = {"id": base.lower(), "symbol": base.lower(), "current_price": number(index), "total_volume": spot}
                found.append(
                    said | {"market_cap": number(index * supply), "circulating_supply": supply, "last_updated": iso(now)}
                )
        return found


VENUE = CoinGecko
