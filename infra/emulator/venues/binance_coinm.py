"""Binance COIN-M futures (dapi) as its page describes it: USD-M's wire with inverse contracts.

Symbols are the listed coin + `USD_PERP`, pairs the coin + `USD`; a contract is 100 USD of BTC, 10 USD of the others, and sizes
are whole contracts. Bars are the newest of a window that may not be longer than 200 days; a lone start reaches 200 days on.
Alone: `python -m infra.emulator` and `curl $URL/binance_coinm/dapi/v1/exchangeInfo`.
"""

from __future__ import annotations

import numpy as np

from infra.emulator.market import Snapshot, latest
from infra.emulator.messages import Answer, Ask
from infra.emulator.rendering import Rows, contracts, encode, text
from infra.emulator.store import MS_HOUR, Candles, Listing, OpenInterest, Profile
from infra.emulator.venue import Refused, route
from infra.emulator.venues.binance_usdm import Binance, ForcedOrders

MOST = 200 * 24 * MS_HOUR
CONTRACT_TYPES = ("ALL", "PERPETUAL", "CURRENT_QUARTER", "NEXT_QUARTER")


def face(listed: str) -> float:
    """Dollars in one contract."""
    return 100.0 if listed == "BTC" else 10.0


class CoinForcedOrders(ForcedOrders):
    path = "/{kind:ws|stream}{named:|/.+}"


class BinanceCoinM(Binance):
    name = "binance_coinm"
    root = "/dapi/v1"
    channels = (CoinForcedOrders,)
    profile = Profile(0.05, jitter_ms=20, changing={"LINK": 2}, lists=("BTC", "ETH", "SOL", "XRP", "DOGE", "LINK"))

    def symbol(self, listing: Listing) -> str:
        return listing.listed + "USD_PERP"

    def pair(self, listing: Listing) -> str:
        return listing.listed + "USD"

    def _counted(self, listing: Listing, size: float, price: float) -> str:
        return str(max(1, round(size * price / face(listing.listed))))

    @route("fundingInfo", weight=1)
    def funding_info(self, ask: Ask) -> object:
        return super().funding_info(ask)

    @route("fundingRate", weight=1)
    def funding(self, ask: Ask) -> bytes:
        ask.required("symbol")
        return super().funding(ask)

    def premium_index(self, ask: Ask) -> Answer:
        """Always a list, of one symbol, one pair or all, at the same weight."""
        name = next((name for name in ("symbol", "pair") if name in ask.query), None)
        listings = [self._asked(ask, name)] if name else self.trading(ask.now)
        rows = [self._premium_index(self.market.snapshot(x, ask.now)) for x in listings]
        return Answer(encode(rows), charges={"weight": 10})

    def _contract(self, at: Snapshot) -> dict[str, object]:
        contract = super()._contract(at)
        trades = contract.pop("status") == "TRADING"
        return {
            **contract,
            "contractType": "PERPETUAL" if trades else "PERPETUAL DELIVERING",
            "contractStatus": "TRADING" if trades else "DELIVERING",
            "contractSize": int(face(at.listing.listed)),
            "quoteAsset": "USD",
            "marginAsset": at.listing.listed,
            "quantityPrecision": 0,
            "equalQtyPrecision": 4,
        }

    def _premium_index(self, at: Snapshot) -> dict[str, object]:
        return {**super()._premium_index(at), "pair": self.pair(at.listing)}

    def _volumes(self, listing: Listing, bars: Candles) -> tuple[list[str], list[str]]:
        return contracts(bars.quote_volume, face(listing.listed)), text(bars.volume)

    def open_interest(self, ask: Ask) -> object:
        listing = self._trading(ask)
        held = self.market.open_interest(listing.listed)
        value = latest(held, "size", ask.now) * latest(held, "mark", ask.now)
        names = {"symbol": self.symbol(listing), "pair": self.pair(listing), "contractType": "PERPETUAL"}
        return {**names, "openInterest": contracts(np.array([value]), face(listing.listed))[0], "time": ask.now}

    def _open_interest_rows(self, listing: Listing, oi: OpenInterest) -> Rows:
        columns = {"pair": self.pair(listing), "contractType": "PERPETUAL"}
        sizes = {"sumOpenInterest": contracts(oi.size * oi.mark, face(listing.listed)), "sumOpenInterestValue": text(oi.size)}
        return Rows.objects(oi.observed_at, {**columns, **sizes, "timestamp": oi.observed_at})

    def open_interest_history(self, ask: Ask) -> bytes:
        """By pair. All contracts are perpetual: without a type, or with ALL, the rows are the sum of all types."""
        kind = ask.choice("contractType", *CONTRACT_TYPES) if "contractType" in ask.query else "ALL"
        rows = self._open_interest_history(ask, self._asked(ask, "pair"))
        return rows.replace(b'"PERPETUAL"', encode(kind)) if kind in ("ALL", "PERPETUAL") else b"[]"

    def _bars(self, rows: Rows, ask: Ask, start: int | None, end: int | None, limit: int) -> bytes:
        if start is not None and end is None:
            end = start + MOST
        if start is not None and end is not None and end - start > MOST:
            raise Refused("window_too_long")
        return rows.page(ask, start, min(ask.now if end is None else end, ask.now), limit, newest=True)


VENUE = BinanceCoinM
