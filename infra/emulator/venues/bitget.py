"""Bitget v2, USDT futures: text numbers in an envelope with a `code`, sizes in coins, milliseconds.

Settled funding comes in numbered pages from the newest row, without a window. Of a window's bars the last 200 come, oldest first,
none that is not over. There is no history of open interest.
Alone: `python -m infra.emulator` and `curl "$URL/bitget/api/v2/mix/market/contracts?productType=usdt-futures"`.
"""

from __future__ import annotations

from collections.abc import Mapping

from infra.emulator.store import MS_HOUR, Candles, Funding, Liquidations, Listing, PriceKind, Profile
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
    plain,
    text,
)

ROOT = "/api/v2/mix/market/"
KINDS: Mapping[str, PriceKind] = {
    "candles": "trade",
    "history-candles": "trade",
    "history-mark-candles": "mark",
    "history-index-candles": "index",
}
ENDPOINTS = ("contracts", "tickers", "current-fund-rate", "history-fund-rate", *KINDS)
#: The first has a market here; the last three are for practice.
PRODUCTS = ("USDT-FUTURES", "USDC-FUTURES", "COIN-FUTURES", "SUSDT-FUTURES", "SUSDC-FUTURES", "SCOIN-FUTURES")
NINETY_DAYS = 90 * 24 * MS_HOUR


def refusal(code: str, message: str, status: int = 400) -> Refusal:
    body = {"code": code, "msg": message, "requestTime": 0, "data": None}
    return Refusal(Answer(encode(body), status, charges={"all": 1}))


class Bitget(Venue):
    name = "bitget"
    profile = Profile(0.14, tilt=0.00002, decimals=6, four_hourly=("HYPE", "PEPE"))
    limits: Mapping[str, tuple[int, int]] = {"all": (6000, 60), "liquidations": (5, 1), **dict.fromkeys(ENDPOINTS, (20, 1))}

    def answer(self, ask: Ask) -> Answer:
        if ask.path == "/api/v3/market/liquidations":
            return self._liquidations(ask)
        endpoint = ask.path.removeprefix(ROOT)
        if endpoint not in ENDPOINTS:
            raise refusal("40404", "Request URL NOT FOUND", 404)
        if (product := ask.query.get("productType", "").upper()) not in PRODUCTS:
            raise refusal("40020", "Parameter productType error")
        trading = self.trading(ask.now) if product == PRODUCTS[0] else []
        try:
            match endpoint:
                case "contracts":
                    data = encode([self._contract(x, ask.now) for x in trading])
                case "tickers":
                    data = encode([self._ticker(x, ask.now) for x in trading])
                case "current-fund-rate":
                    data = encode([self._running(x, ask.now) for x in trading])
                case "history-fund-rate":
                    data = self._funding(ask)
                case _:
                    data = self._candles(ask, KINDS[endpoint])
        except ValueError as problem:
            raise refusal("40020", f"Parameter {problem} error") from None
        body = b'{"code":"00000","msg":"success","requestTime":%d,"data":%s}' % (ask.now, data)
        return Answer(body, charges={"all": 1, endpoint: 1})

    def refuse(self, ask: Ask, usage: Usage | None, *, banned: bool = False) -> Answer:
        return refusal("429", "Too Many Requests", 429).answer

    def error(self, ask: Ask) -> Answer:
        return refusal("40725", "service return an error", 500).answer

    def _listed(self, ask: Ask) -> str:
        for listing in self.market.listings(ask.now):
            if listing.listed + "USDT" == ask.query.get("symbol"):
                return listing.listed
        raise refusal("40034", "Parameter symbol does not exist")

    def _contract(self, listing: Listing, now: int) -> object:
        return {
            "symbol": listing.listed + "USDT",
            "baseCoin": listing.listed,
            "quoteCoin": "USDT",
            "supportMarginCoins": ["USDT"],
            "minTradeNum": "0.001",
            "priceEndStep": "1",
            "volumePlace": "3",
            "pricePlace": "1",
            "sizeMultiplier": "0.001",
            "symbolType": "perpetual",
            "minTradeUSDT": "5",
            "symbolStatus": "normal",
            "offTime": "-1",
            "limitOpenTime": "-1",
            "deliveryTime": "",
            "launchTime": "" if listing.base == "BTC" else str(listing.listed_at),
            "fundInterval": str(interval_hours(listing, now)),
            "minLever": "1",
            "maxLever": "125",
            "isRwa": "NO",
        }

    def _ticker(self, listing: Listing, now: int) -> object:
        coin = listing.listed
        return {
            "symbol": coin + "USDT",
            "lastPr": plain(self.market.price(coin, "trade", now)),
            "ts": str(now),
            "indexPrice": plain(self.market.price(coin, "index", now)),
            "markPrice": plain(self.market.price(coin, "mark", now)),
            "fundingRate": self._rate(coin, now),
            "holdingAmount": plain(latest(self.market.open_interest(coin), "size", now)),
            "deliveryStatus": "delivery_normal",
        }

    def _running(self, listing: Listing, now: int) -> object:
        return {
            "symbol": listing.listed + "USDT",
            "fundingRate": self._rate(listing.listed, now),
            "fundingRateInterval": str(interval_hours(listing, now)),
            "nextUpdate": str(next_settlement(listing, now)),
            "minFundingRate": "-0.003",
            "maxFundingRate": "0.003",
        }

    def _rate(self, coin: str, now: int) -> str:
        rate = self.market.running_rate(coin, now)
        return "0" if rate is None else plain(rate)

    def _funding(self, ask: Ask) -> bytes:
        listed, size, page = self._listed(ask), ask.integer("pageSize") or 20, ask.integer("pageNo") or 1
        if not 1 <= size <= 100:
            raise ValueError("pageSize")

        def render(f: Funding) -> Rows:
            columns = zip(f.settled_at.tolist(), text(f.rate), strict=True)
            cells = [{"symbol": listed + "USDT", "fundingRate": rate, "fundingTime": str(at)} for at, rate in columns]
            return Rows(f.settled_at, list(map(encode, cells)))

        rows = self.market.rows("funding", listed, self.market.funding(listed), render)
        return rows.newest(ask, size, page)[0]

    def _liquidations(self, ask: Ask) -> Answer:
        """Three days, newest first, a cursor to older ones; the side is the position's, the amount its worth in USDT."""
        if ask.query.get("category") != "USDT-FUTURES":
            raise refusal("40020", "Parameter category error")
        listed, size, page = self._listed(ask), min(ask.integer("limit") or 100, 100), ask.integer("cursor") or 1

        def render(forced: Liquidations) -> Rows:
            columns = zip(
                forced.long.tolist(), text(forced.price), text(forced.price * forced.size), forced.time.tolist(), strict=True
            )
            cells = [
                {"symbol": listed + "USDT", "side": "buy" if long else "sell", "price": price, "amount": amount, "ts": str(at)}
                for long, price, amount, at in columns
            ]
            return Rows(forced.time, list(map(encode, cells)))

        rows = self.market.rows("liquidations", listed, self.market.liquidations(listed), render)
        kept = ask.now - 3 * 24 * MS_HOUR if self.world.history else 0
        first = rows.span(ask, kept, ask.now, len(rows.cells)).start
        end = max(first, rows.span(ask, None, ask.now, len(rows.cells)).stop - (page - 1) * size)
        cursor = b'"%d"' % (page + 1) if end - size > first else b"null"
        array = rows.array(slice(max(first, end - size), end), descending=True)
        body = b'{"code":"00000","msg":"success","requestTime":%d,"data":{"list":%s,"cursor":%s}}' % (ask.now, array, cursor)
        return Answer(body, charges={"all": 1, "liquidations": 1})

    def _candles(self, ask: Ask, kind: PriceKind) -> bytes:
        if ask.query.get("granularity") != "1H":
            raise ValueError("granularity (the emulator keeps 1H)")
        listed, limit, start, end = (
            self._listed(ask),
            ask.integer("limit") or 100,
            ask.integer("startTime"),
            ask.integer("endTime"),
        )
        if not 1 <= limit <= 200:
            raise ValueError("limit")
        if start is not None and end is not None and not 0 <= end - start <= NINETY_DAYS:
            raise ValueError("startTime")

        def render(bars: Candles) -> Rows:
            columns = [map(str, bars.opened_at.tolist()), *(text(x) for x in (bars.open, bars.high, bars.low, bars.close))]
            if kind == "trade":
                columns += [text(bars.volume), text(bars.quote_volume)]
            zeros = () if kind == "trade" else ("0", "0")
            return Rows(bars.opened_at, [encode((*row, *zeros)) for row in zip(*columns, strict=True)])

        rows = self.market.rows(("candles", kind), listed, self.market.candles(listed, kind), render)
        over = ask.now - MS_HOUR
        return rows.array(rows.span(ask, start, over if end is None else min(end, over), limit, newest=True))


VENUE = Bitget
