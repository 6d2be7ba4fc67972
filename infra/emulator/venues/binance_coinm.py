"""Binance COIN-M futures (dapi) as its page describes it: USD-M's wire with inverse contracts.

Symbols are the listed coin + `USD_PERP`, pairs the coin + `USD`; a contract is 100 USD of BTC, 10 USD of the others, and only
whole ones are told. Bars are the newest of a window that may not be longer than 200 days; a lone start reaches 200 days on.
Alone: `python -m infra.emulator` and `curl $URL/binance_coinm/dapi/v1/exchangeInfo`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from infra.emulator.store import MS_HOUR, Candles, Listing, OpenInterest, Profile
from infra.emulator.venues.binance_usdm import Binance, mandatory, refusal
from infra.emulator.wire import Answer, Ask, Rows, contracts, encode, latest, text

MOST = 200 * 24 * MS_HOUR
CONTRACT_TYPES = ("ALL", "PERPETUAL", "CURRENT_QUARTER", "NEXT_QUARTER")


def face(listed: str) -> float:
    """Dollars in one contract."""
    return 100.0 if listed == "BTC" else 10.0


class BinanceCoinM(Binance):
    name = "binance_coinm"
    api = "/dapi/v1"
    profile = Profile(0.05, jitter_ms=20, changing={"LINK": 2}, lists=("BTC", "ETH", "SOL", "XRP", "DOGE", "LINK"))
    limits: Mapping[str, tuple[int, int]] = {"weight": (2400, 60), "data": (1000, 300)}
    funding = "weight"

    def symbol(self, listed: str) -> str:
        return listed + "USD_PERP"

    def pair(self, listed: str) -> str:
        return listed + "USD"

    def answer(self, ask: Ask) -> Answer:
        if ask.path == self.api + "/fundingRate" and "symbol" not in ask.query:
            raise mandatory("symbol")
        return super().answer(ask)

    def _one_or_all(self, ask: Ask, row: Callable[[Listing, int], object], every: int) -> Answer:
        """Always a list, of one symbol, one pair or all; the mark prices weigh the same whoever is asked for."""
        name = next((name for name in ("symbol", "pair") if name in ask.query), None)
        found = [self._symbol(ask, name)] if name else self.trading(ask.now)
        return self._json([row(x, ask.now) for x in found], 1 if name and every > 10 else every)

    def _contract(self, listing: Listing, now: int) -> dict[str, object]:
        known = super()._contract(listing, now)
        trades = known.pop("status") == "TRADING"
        return {
            **known,
            "contractType": "PERPETUAL" if trades else "PERPETUAL DELIVERING",
            "contractStatus": "TRADING" if trades else "DELIVERING",
            "contractSize": int(face(listing.listed)),
            "quoteAsset": "USD",
            "marginAsset": listing.listed,
            "quantityPrecision": 0,
            "equalQtyPrecision": 4,
        }

    def _premium_index(self, listing: Listing, now: int) -> dict[str, object]:
        return {**super()._premium_index(listing, now), "pair": self.pair(listing.listed)}

    def _turnover(self, listing: Listing, day: Candles) -> dict[str, str]:
        whole, coins = self._volumes(listing, day)
        return {"volume": str(sum(map(int, whole))), "baseVolume": str(sum(map(float, coins)))}

    def _volumes(self, listing: Listing, bars: Candles) -> tuple[list[str], list[str]]:
        return contracts(bars.quote_volume, face(listing.listed)), text(bars.volume)

    def _open_interest(self, listing: Listing, now: int) -> object:
        held = self.market.open_interest(listing.listed)
        [size] = contracts(np.array([latest(held, "size", now) * latest(held, "mark", now)]), face(listing.listed))
        names = {"symbol": self.symbol(listing.listed), "pair": self.pair(listing.listed), "contractType": "PERPETUAL"}
        return {**names, "openInterest": size, "time": now}

    def _held(self, listing: Listing) -> Callable[[OpenInterest], Rows]:
        def render(oi: OpenInterest) -> Rows:
            size = contracts(oi.size * oi.mark, face(listing.listed))
            names = encode({"pair": self.pair(listing.listed), "contractType": "PERPETUAL"}).decode()[:-1]
            cell = names + ',"sumOpenInterest":"%s","sumOpenInterestValue":"%s","timestamp":%d}'
            columns = zip(size, text(oi.size), oi.observed_at.tolist(), strict=True)
            return Rows(oi.observed_at, [(cell % row).encode() for row in columns])

        return render

    def _open_interest_hist(self, ask: Ask, asked_by: str = "pair") -> bytes:
        """Perpetuals are all there is: without a type, or with ALL, they are the sum of all types."""
        kind = ask.query.get("contractType", "ALL")
        if kind not in CONTRACT_TYPES:
            raise refusal(-1130, "Data sent for parameter 'contractType' is not valid.")
        rows = super()._open_interest_hist(ask, asked_by)
        return rows.replace(b'"PERPETUAL"', encode(kind)) if kind in ("ALL", "PERPETUAL") else b"[]"

    def _span(self, rows: Rows, ask: Ask, start: int | None, end: int | None, limit: int) -> slice:
        if start is not None and end is None:
            end = start + MOST
        if start is not None and end is not None and end - start > MOST:
            raise refusal(-4088, "Maximum time interval is 200 days.")
        return rows.span(ask, start, min(ask.now if end is None else end, ask.now), limit, newest=True)


VENUE = BinanceCoinM
