"""MEXC contract v1: JSON numbers in an envelope, whole contracts, milliseconds but for bars.

Bars come oldest first, a list to each of their fields, in seconds; settled funding in numbered pages from the newest row. PEPE is
listed whole, ten million to a contract. There is no history of open interest.
Alone: `python -m infra.emulator` and `curl "$URL/mexc/api/v1/contract/detail"`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from infra.emulator.store import MS_HOUR, Funding, Listing, PriceKind, Profile
from infra.emulator.wire import (
    Answer,
    Ask,
    Refusal,
    Rows,
    Usage,
    Venue,
    encode,
    interval_hours,
    latest,
    next_settlement,
    number,
)

ROOT = "/api/v1/contract/"
KINDS: Mapping[str, PriceKind] = {"kline": "trade", "kline/fair_price": "mark", "kline/index_price": "index"}
LIMITS = {"detail": (1, 5)} | dict.fromkeys(("ticker", "funding_rate", "funding_rate/history", *KINDS), (20, 2))
#: Coins in a contract; one of every other coin.
COINS_A_CONTRACT = {"BTC": 0.0001, "ETH": 0.01, "XRP": 1.0, "DOGE": 100.0, "PEPE": 10_000_000.0}
POINTS = 2000


def refusal(code: int, message: str, status: int = 200) -> Refusal:
    return Refusal(Answer(encode({"success": False, "code": code, "message": message}), status))


class Mexc(Venue):
    name = "mexc"
    profile = Profile(0.1, tilt=0.00004, decimals=6, four_hourly=("PEPE", "DOGE"))
    limits: Mapping[str, tuple[int, int]] = LIMITS

    def answer(self, ask: Ask) -> Answer:
        path = ask.path.removeprefix(ROOT)
        endpoint, symbol = (path, "") if path in LIMITS else path.rsplit("/", 1) if "/" in path else ("", "")
        try:
            if endpoint in KINDS and symbol:
                data = self._candles(ask, symbol, KINDS[endpoint])
            elif endpoint == "funding_rate/history":
                data = self._funding(ask)
            elif endpoint in ("detail", "ticker", "funding_rate") and symbol in ("", *self._symbols(ask.now)):
                made = {"detail": self._contract, "ticker": self._ticker, "funding_rate": self._running}[endpoint]
                rows = [made(x, ask.now) for x in self.trading(ask.now) if symbol in ("", x.listed + "_USDT")]
                data = encode(rows[0] if symbol else rows)
            else:
                raise refusal(404, "Not found", 404)
        except ValueError as problem:
            raise refusal(600, f"Parameter error: {problem}") from None
        return Answer(b'{"success":true,"code":0,"data":%s}' % data, charges={endpoint: 1})

    def refuse(self, ask: Ask, usage: Usage | None, *, banned: bool = False) -> Answer:
        return refusal(510, "Requests are too frequent, please try again later", 429).answer

    def error(self, ask: Ask) -> Answer:
        return refusal(500, "Internal error", 500).answer

    def _symbols(self, now: int) -> list[str]:
        return [x.listed + "_USDT" for x in self.trading(now)]

    def _listing(self, symbol: str, now: int) -> Listing:
        for listing in self.market.listings(now):
            if listing.listed + "_USDT" == symbol:
                return listing
        raise refusal(1001, "Contract does not exist!")

    def _contract(self, listing: Listing, now: int) -> dict[str, Any]:
        said = {"displayName": f"{listing.listed}_USDT", "priceScale": 2, "maxLeverage": 125, "isNew": False, "apiAllowed": True}
        return said | {
            "symbol": listing.listed + "_USDT",
            "baseCoin": listing.listed,
            "quoteCoin": "USDT",
            "settleCoin": "USDT",
            "contractSize": COINS_A_CONTRACT.get(listing.base, 1),
            "state": 0,
            "priceUnit": 0.1,
            "volUnit": 1,
            "minVol": 1,
            "maxVol": 1_000_000,
            "takerFeeRate": 0.0006,
            "makerFeeRate": 0.0002,
            "createTime": listing.listed_at,
            "indexOrigin": ["BINANCE", "OKX"],
        }

    def _ticker(self, listing: Listing, now: int) -> dict[str, Any]:
        coin, day = listing.listed, self.market.day(listing.listed, now)
        held = latest(self.market.open_interest(coin), "size", now) / COINS_A_CONTRACT.get(listing.base, 1)
        return {
            "symbol": coin + "_USDT",
            "lastPrice": number(self.market.price(coin, "trade", now)),
            "holdVol": None if held != held else round(held),
            "amount24": None if day is None else number(float(day.quote_volume.sum())),
            "fairPrice": number(self.market.price(coin, "mark", now)),
            "indexPrice": number(self.market.price(coin, "index", now)),
            "fundingRate": self.market.running_rate(coin, now),
            "timestamp": now,
        }

    def _running(self, listing: Listing, now: int) -> dict[str, Any]:
        rate = self.market.running_rate(listing.listed, now)
        return {
            "symbol": listing.listed + "_USDT",
            "fundingRate": 0 if rate is None else rate,
            "maxFundingRate": 0.003,
            "minFundingRate": -0.003,
            "collectCycle": interval_hours(listing, now),
            "nextSettleTime": next_settlement(listing, now),
            "timestamp": now,
        }

    def _funding(self, ask: Ask) -> bytes:
        listed = self._listing(ask.query.get("symbol", ""), ask.now).listed
        size, page = ask.integer("page_size") or 20, ask.integer("page_num") or 1
        if not 1 <= size <= 100:
            raise ValueError("page_size")

        def render(f: Funding) -> Rows:
            columns = zip(f.settled_at.tolist(), f.rate.tolist(), strict=True)
            cells = [{"symbol": listed + "_USDT", "fundingRate": rate, "settleTime": at} for at, rate in columns]
            return Rows(f.settled_at, list(map(encode, cells)))

        rows = self.market.rows("funding", listed, self.market.funding(listed), render)
        array, known = rows.newest(ask, size, page)
        counted = b'{"pageSize":%d,"totalCount":%d,"totalPage":%d,"currentPage":%d,"resultList":%s}'
        return counted % (size, known, -(-known // size), page, array)

    def _candles(self, ask: Ask, symbol: str, kind: PriceKind) -> bytes:
        """The first bars of a window, none that is not over: a page of the newest would be cut from the other end."""
        if ask.query.get("interval") != "Min60":
            raise ValueError("interval (the emulator keeps Min60)")
        listing, start, end = self._listing(symbol, ask.now), ask.integer("start"), ask.integer("end")
        bars = self.market.candles(listing.listed, kind)
        names = ("time", "open", "close", "high", "low", "vol", "amount")
        if bars is None:
            return encode(dict.fromkeys(names, ()))
        last = min(ask.now - MS_HOUR, ask.now if end is None else end * 1000)
        cut = Rows(bars.opened_at, []).span(ask, None if start is None else start * 1000, last, POINTS, newest=start is None)
        size = COINS_A_CONTRACT.get(listing.base, 1)
        volumes = (np.round(bars.volume / size), bars.quote_volume) if kind == "trade" else (bars.volume * 0, bars.volume * 0)
        columns = (bars.opened_at // 1000, bars.open, bars.close, bars.high, bars.low, *volumes)
        return msgspec.json.encode({name: np.nan_to_num(c[cut]).tolist() for name, c in zip(names, columns, strict=True)})


VENUE = Mexc
