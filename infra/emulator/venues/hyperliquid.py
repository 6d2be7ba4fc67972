"""Hyperliquid's `POST /info` (main dex) as its page describes it: universe and contexts aligned by index, ascending pages.

Funding history comes by 500 rows, of candles only the latest 5,000 exist, open interest has no history (see
`hyperliquid_archive`). The candle in progress is left out; what the store doesn't hold is null.
Alone: `python -m infra.emulator` and `curl $URL/hyperliquid/info -H 'Content-Type: application/json' -d '{"type":"meta"}'`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from infra.emulator.store import MS_HOUR, Candles, Funding, Listing, Profile
from infra.emulator.wire import (
    Answer,
    Ask,
    Refusal,
    Rows,
    Usage,
    Venue,
    World,
    encode,
    interval_hours,
    latest,
    next_settlement,
    plain,
    text,
)

FUNDING_ROWS = 500
CANDLES_KEPT = 5000
USDC = {
    "name": "USDC",
    "szDecimals": 8,
    "weiDecimals": 8,
    "index": 0,
    "tokenId": "0x6d1e7cde53ba9467b783cb7c530ce054",
    "isCanonical": True,
    "evmContract": None,
    "fullName": None,
}
SPOT_META = {"tokens": [USDC], "universe": []}


class Request(msgspec.Struct, rename="camel"):
    type: str
    coin: str | None = None
    start_time: int | None = None
    end_time: int | None = None
    req: dict[str, Any] | None = None
    dex: str = ""


def unreadable() -> Refusal:
    return Refusal(Answer(b"Failed to deserialize the JSON body into the target type", 422, "text/plain"))


class Hyperliquid(Venue):
    name = "hyperliquid"
    profile = Profile(0.22, tilt=0.00005, jitter_ms=90, decimals=10, hours=1, thousand="k")
    limits: Mapping[str, tuple[int, int]] = {"weight": (1200, 60)}

    def __init__(self, world: World) -> None:
        super().__init__(world)
        # The markets of `predictedFundings`, by the names that the venue gives them.
        self.others = {"HlPerp": self.market, "BinPerp": world.market("binance"), "BybitPerp": world.market("bybit")}

    def answer(self, ask: Ask) -> Answer:
        if ask.path != "/info" or ask.method != "POST":
            raise Refusal(Answer(b"", 404, "text/plain"))
        try:
            request = msgspec.json.decode(ask.body, type=Request)
        except msgspec.DecodeError:
            raise unreadable() from None
        match request.type:
            case "meta":
                return self._json(self._meta(ask.now))
            case "metaAndAssetCtxs":
                return self._json([self._meta(ask.now), [self._context(x, ask.now) for x in self._universe(ask.now)]])
            case "perpDexs":
                return self._json([None])
            case "spotMeta":
                return self._json(SPOT_META)
            case "spotMetaAndAssetCtxs":
                return self._json([SPOT_META, []])
            case "allMids":
                prices = {x.listed: self.market.price(x.listed, "trade", ask.now) for x in self._universe(ask.now)}
                return self._json({coin: plain(price) for coin, price in prices.items() if price == price}, 2)
            case "predictedFundings":
                return self._json([[x.listed, self._predicted(x, ask.now)] for x in self._universe(ask.now)])
            case "fundingHistory":
                return self._funding(ask, request)
            case "candleSnapshot":
                return self._candles(ask, request.req or {})
        raise unreadable()

    def refuse(self, ask: Ask, usage: Usage | None, *, banned: bool = False) -> Answer:
        return Answer(b"null", 429)

    def usage_headers(self, usages: Iterable[Usage]) -> Mapping[str, str]:
        return {}

    def error(self, ask: Ask) -> Answer:
        return Answer(b"null", 500)

    def blocked(self, ask: Ask) -> Answer:
        return Answer(b"<html><body><h1>403 Forbidden</h1></body></html>", 403, "text/html")

    @staticmethod
    def _json(content: object, weight: int = 20) -> Answer:
        return Answer(encode(content), charges={"weight": weight})

    def _universe(self, now: int) -> list[Listing]:
        return self.market.listings(now)

    def _coin(self, name: object, now: int) -> str:
        if not isinstance(name, str):
            raise unreadable()
        if name not in {x.listed for x in self._universe(now)}:
            raise Refusal(Answer(b"null", 500, charges={"weight": 20}))
        return name

    def _meta(self, now: int) -> object:
        coins = [
            {"name": x.listed, "szDecimals": 5 if x.multiplier == 1 else 0, "maxLeverage": 20, "marginTableId": 20}
            | ({"isDelisted": True} if x.delisted_at is not None and x.delisted_at <= now else {})
            for x in self._universe(now)
        ]
        tiers = [[20, {"description": "", "marginTiers": [{"lowerBound": "0.0", "maxLeverage": 20}]}]]
        return {"universe": coins, "marginTables": tiers, "collateralToken": 0}

    def _context(self, listing: Listing, now: int) -> object:
        coin = listing.listed
        held, rate, day = self.market.open_interest(coin), self.market.running_rate(coin, now), self.market.day(coin, now)
        mark = self.market.price(coin, "mark", now)
        return {
            "funding": None if rate is None else plain(rate),
            "openInterest": plain(latest(held, "size", now)) or None,
            "prevDayPx": None if day is None else plain(float(day.open[0])) or None,
            "dayNtlVlm": None if day is None else plain(float(day.quote_volume.sum())) or None,
            "premium": None,
            "oraclePx": plain(self.market.price(coin, "index", now)) or None,
            "markPx": plain(latest(held, "mark", now) if mark != mark else mark) or None,
            "midPx": None,
            "impactPxs": None,
            "dayBaseVlm": None if day is None else plain(float(day.volume.sum())) or None,
        }

    def _predicted(self, listing: Listing, now: int) -> list[object]:
        """Each venue's running rate for its own interval; null where it doesn't list the asset or has no rate."""
        found: list[object] = []
        for name, market in self.others.items():
            theirs = next((x for x in market.listings(now) if x.base == listing.base), None)
            rate = market.running_rate(theirs.listed, now) if theirs else None
            predicted = theirs and rate is not None and {
                "fundingRate": plain(rate),
                "nextFundingTime": next_settlement(theirs, now),
                "fundingIntervalHours": interval_hours(theirs, now),
            }  # fmt: skip
            found.append([name, predicted or None])
        return found

    def _funding(self, ask: Ask, request: Request) -> Answer:
        coin = self._coin(request.coin, ask.now)
        if request.start_time is None:
            raise unreadable()

        def render(f: Funding) -> Rows:
            cell = f'{{"coin":"{coin}","fundingRate":"%s","premium":null,"time":%d}}'
            return Rows(f.settled_at, [(cell % row).encode() for row in zip(text(f.rate), f.settled_at.tolist(), strict=True)])

        rows = self.market.rows("funding", coin, self.market.funding(coin), render)
        end = ask.now if request.end_time is None else min(request.end_time, ask.now)
        span = rows.span(ask, request.start_time, end, FUNDING_ROWS)
        return Answer(rows.array(span), charges={"weight": 20 + (span.stop - span.start) // 20})

    def _candles(self, ask: Ask, asked: Mapping[str, Any]) -> Answer:
        start, end = asked.get("startTime"), asked.get("endTime")
        if asked.get("interval") != "1h" or not isinstance(start, int) or not isinstance(end, int | None):
            raise unreadable()
        coin = self._coin(asked.get("coin"), ask.now)

        def render(bars: Candles) -> Rows:
            prices = (text(x) for x in (bars.open, bars.close, bars.high, bars.low))
            volumes = [f'"{v}"' if v else "null" for v in text(bars.volume)]
            trades = ["null" if n < 0 else n for n in bars.trades.tolist()]
            opened = bars.opened_at.tolist()
            columns = zip(opened, (bars.opened_at + MS_HOUR - 1).tolist(), *prices, volumes, trades, strict=True)
            cell = f'{{"t":%d,"T":%d,"s":"{coin}","i":"1h","o":"%s","c":"%s","h":"%s","l":"%s","v":%s,"n":%s}}'
            return Rows(bars.opened_at, [(cell % row).encode() for row in columns])

        rows = self.market.rows("candles", coin, self.market.candles(coin, "trade"), render)
        over = ask.now - MS_HOUR
        oldest = ask.now // MS_HOUR * MS_HOUR - CANDLES_KEPT * MS_HOUR if self.world.history else 0
        span = rows.span(ask, max(start, oldest), over if end is None else min(end, over), CANDLES_KEPT)
        return Answer(rows.array(span), charges={"weight": 20 + (span.stop - span.start) // 60})


VENUE = Hyperliquid
