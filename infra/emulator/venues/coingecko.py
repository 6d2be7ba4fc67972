"""CoinGecko: an aggregator of the emulator's own venues, in US dollars and percent, and of one that the store doesn't have.

Its values of these venues are the store's, so that sums of our own can be compared with them; the further venue, the spot volume
and the supplies of coins are made up.
Alone: `python -m infra.emulator` and `curl "$URL/coingecko/api/v3/derivatives"`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter

from infra.emulator.market import Market, latest
from infra.emulator.messages import Answer, Ask
from infra.emulator.rendering import iso, number, plain
from infra.emulator.store import Listing
from infra.emulator.venue import KEY, Venue, route

#: By our market: the aggregator's name of the venue, its id, and the pattern of its instruments.
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
#: A venue that our sources don't have, and its share of the first venue's sizes.
ELSEWHERE, SHARE = ("Deepcoin (Derivatives)", "deepcoin_derivatives", "{}USDT"), 0.3
#: Spot volume divided by that of perpetuals.
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


@dataclass(frozen=True)
class Row:
    """One perpetual, in US dollars; None where the store has no value."""

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
    root = "/api/v3"

    def answer(self, ask: Ask) -> Answer:
        """Requests without a key are answered, those with another key are not."""
        if ask.headers.get("x-cg-demo-api-key", KEY) != KEY:
            return self.respond("wrong_key", ask)
        return super().answer(ask)

    def _rows(self, now: int) -> Iterator[Row]:
        for name, names in NAMES.items():
            market = self.world.market(name)
            for listing in market.listings(now):
                if listing.delisted_at is None or listing.delisted_at > now:
                    yield self._row(market, listing, names, now, 1.0)
                    if name == next(iter(NAMES)):
                        yield self._row(market, listing, ELSEWHERE, now, SHARE)

    def _row(self, market: Market, listing: Listing, names: tuple[str, str, str], now: int, share: float) -> Row:
        present, oi = market.snapshot(listing, now), market.open_interest(listing.listed)
        dollars = number(latest(oi, "size", now) * latest(oi, "mark", now) * share)
        volume = None if present.day is None else number(float(present.day.quote_volume.sum()) * share)
        venue, id, pattern = names
        symbol = pattern.format(listing.listed)
        return Row(venue, id, symbol, listing.base, present.last, present.index, dollars, volume, present.rate)

    @route("derivatives", calls=1)
    def tickers(self, ask: Ask) -> object:
        return [
            {
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
                "last_traded_at": ask.now // 1000,
                "expired_at": None,
            }
            for row in self._rows(ask.now)
        ]

    @route("derivatives/exchanges", calls=1)
    def exchanges(self, ask: Ask) -> object:
        ask.unused("order", "page", "per_page")
        rows = list(self._rows(ask.now))
        bitcoin = next((row.price for row in rows if row.base == "BTC"), float("nan"))
        exchanges: list[tuple[float, object]] = []
        for name, id in dict.fromkeys((row.name, row.id) for row in rows):
            own = [row for row in rows if row.id == id]
            oi, volume = sum(row.oi or 0 for row in own) / bitcoin, sum(row.volume or 0 for row in own) / bitcoin
            totals = {"name": name, "id": id, "trade_volume_24h_btc": plain(volume), "open_interest_btc": number(oi)}
            exchanges.append((-oi, {**totals, "number_of_perpetual_pairs": len(own), "number_of_futures_pairs": 0}))
        return [exchange for _, exchange in sorted(exchanges, key=itemgetter(0))]

    @route("global", calls=1)
    def totals(self, ask: Ask) -> object:
        rows = list(self._rows(ask.now))
        caps = sum(
            row.index * SUPPLIES.get(row.base, 0) for row in rows if row.name == rows[0].name and row.symbol[0] not in "1k"
        )
        volume = sum(row.volume or 0 for row in rows) * SPOT
        amounts = {"total_market_cap": {"usd": caps}, "total_volume": {"usd": volume}}
        return {"data": {"markets": 1, **amounts, "updated_at": ask.now // 1000}}

    @route("coins/markets", calls=1)
    def coins(self, ask: Ask) -> object:
        ask.unused("vs_currency", "order", "page", "per_page")
        rows, coins = list(self._rows(ask.now)), []
        for base, supply in SUPPLIES.items():
            own = [row for row in rows if row.base == base]
            if own:
                index = own[0].index / (1000 if own[0].symbol.startswith(("1000", "k")) else 1)
                coins.append(
                    {
                        "id": base.lower(),
                        "symbol": base.lower(),
                        "current_price": number(index),
                        "market_cap": number(index * supply),
                        "total_volume": sum(row.volume or 0 for row in own) * SPOT,
                        "circulating_supply": supply,
                        "last_updated": iso(ask.now),
                    }
                )
        return coins


VENUE = CoinGecko
