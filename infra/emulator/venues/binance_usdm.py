"""Binance USD-M futures (fapi) as its page describes it: text numbers, ascending pages, both ends of a window inclusive.

Symbols are the listed coin + `USDT`. The kline of the running hour is sent, unfinished, as the venue does; open-interest
history goes back 30 days; `fundingInfo` names only symbols whose interval isn't 8 hours.
Alone: `python -m infra.emulator` and `curl $URL/binance/fapi/v1/exchangeInfo`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

from infra.emulator.limits import BAN_SECONDS
from infra.emulator.store import MS_HOUR, Candles, Funding, Listing, OpenInterest, PriceKind, Profile
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
    merged,
    next_settlement,
    plain,
    text,
    tick,
)

OPEN_INTEREST_DAYS = 30
NEVER = 4133404800000  # the delivery date of what has none
PERIODS = ("5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d")
KLINES: dict[str, tuple[PriceKind, str]] = {
    "klines": ("trade", "symbol"),
    "markPriceKlines": ("mark", "symbol"),
    "indexPriceKlines": ("index", "pair"),
}


def refusal(code: int, message: str, status: int = 400) -> Refusal:
    return Refusal(Answer(encode({"code": code, "msg": message}), status))


def invalid(parameter: str) -> Refusal:
    return refusal(-1130, f"Data sent for parameter '{parameter}' is not valid.")


def mandatory(parameter: str) -> Refusal:
    return refusal(-1102, f"Mandatory parameter '{parameter}' was not sent, was empty/null, or malformed.")


class Binance(Venue):
    """USD-M; what COIN-M does otherwise is a method of its own, see `binance_coinm`."""

    name = "binance"
    api = "/fapi/v1"
    funding = "funding"  # the limit that the endpoints of funding rates are charged to
    profile = Profile(0.46, jitter_ms=20, four_hourly=("HYPE",), changing={"LINK": 1}, thousand="1000")
    limits: Mapping[str, tuple[int, int]] = {"weight": (2400, 60), "funding": (500, 300), "data": (1000, 300)}
    patience: int | None = 20

    def answer(self, ask: Ask) -> Answer:
        match ask.path.rpartition("/")[::2]:
            case (self.api, "ping"):
                return self._json({})
            case (self.api, "time"):
                return self._json({"serverTime": ask.now})
            case (self.api, "exchangeInfo"):
                return self._json(self._exchange_info(ask.now))
            case (self.api, "fundingInfo"):
                return Answer(encode(self._funding_info(ask.now)), charges={self.funding: 1})
            case (self.api, "fundingRate"):
                return Answer(self._funding_rate(ask), charges={self.funding: 1})
            case (self.api, "premiumIndex"):
                return self._one_or_all(ask, self._premium_index, every=10)
            case (root, "24hr") if root == self.api + "/ticker":
                return self._one_or_all(ask, self._ticker, every=40)
            case (self.api, "openInterest"):
                return self._json(self._open_interest(self._symbol(ask), ask.now))
            case ("/futures/data", "openInterestHist"):
                return Answer(self._open_interest_hist(ask), charges={"data": 1})
            case (self.api, name) if name in KLINES:
                return self._klines(ask, *KLINES[name])
        raise refusal(-5000, f"Path {ask.path}, Method {ask.method} is invalid", 404)

    def refuse(self, ask: Ask, usage: Usage | None, *, banned: bool = False) -> Answer:
        wait = BAN_SECONDS if banned else math.ceil(usage.seconds_left) if usage else 1
        said = "Way too much request weight used; IP banned." if banned else "Too much request weight used; please slow down."
        body = encode({"code": -1003, "msg": said})
        return Answer(body, 418 if banned else 429, headers={"Retry-After": str(wait)})

    def usage_headers(self, usages: Iterable[Usage]) -> Mapping[str, str]:
        return {"X-MBX-USED-WEIGHT-1M": str(next(u.used for u in usages if u.name == "weight"))}

    def error(self, ask: Ask) -> Answer:
        return refusal(-1001, "Internal error; unable to process your request. Please try again.", 503).answer

    def blocked(self) -> Answer:
        said = "Service unavailable from a restricted location according to 'b. Eligibility' in the terms of use."
        return refusal(0, said, 451).answer

    @staticmethod
    def _json(content: object, weight: int = 1) -> Answer:
        return Answer(encode(content), charges={"weight": weight})

    def _one_or_all(self, ask: Ask, row: Callable[[Listing, int], object], every: int) -> Answer:
        if "symbol" in ask.query:
            return self._json(row(self._symbol(ask), ask.now))
        return self._json([row(listing, ask.now) for listing in self.trading(ask.now)], every)

    def _symbol(self, ask: Ask, name: str = "symbol") -> Listing:
        symbol = ask.query.get(name)
        if not symbol:
            raise mandatory(name)
        for listing in self.market.listings(ask.now):
            if (self.pair if name == "pair" else self.symbol)(listing.listed) == symbol:
                return listing
        raise refusal(-1121, "Invalid symbol.")

    def symbol(self, listed: str) -> str:
        return listed + "USDT"

    def pair(self, listed: str) -> str:
        return listed + "USDT"

    @staticmethod
    def _window(ask: Ask, default: int, most: int) -> tuple[int | None, int | None, int]:
        values = []
        for name in ("startTime", "endTime", "limit"):
            try:
                values.append(ask.integer(name))
            except ValueError:
                raise mandatory(name) from None
        start, end, limit = values
        if limit is not None and not 1 <= limit <= most:
            raise invalid("limit")
        if start is not None and end is not None and start > end:
            raise invalid("startTime")
        return start, end, default if limit is None else limit

    def _exchange_info(self, now: int) -> object:
        weight = max(1, int(self.limits["weight"][0] * self.world.scale))
        return {
            "timezone": "UTC",
            "serverTime": now,
            "futuresType": "U_MARGINED",
            "rateLimits": [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": weight}],
            "exchangeFilters": [],
            "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
            "symbols": [self._contract(x, now) for x in self.market.listings(now)],
        }

    def _contract(self, listing: Listing, now: int) -> dict[str, object]:
        step = plain(tick(self.market.price(listing.listed, "trade", now)))
        gone = listing.delisted_at is not None and listing.delisted_at <= now
        return {
            "symbol": self.symbol(listing.listed),
            "pair": self.pair(listing.listed),
            "contractType": "PERPETUAL",
            "deliveryDate": NEVER if listing.delisted_at is None else listing.delisted_at,
            "onboardDate": listing.listed_at,
            "status": "SETTLING" if gone else "TRADING",
            "maintMarginPercent": "2.5000",
            "requiredMarginPercent": "5.0000",
            "baseAsset": listing.listed,
            "quoteAsset": "USDT",
            "marginAsset": "USDT",
            "pricePrecision": len(step.partition(".")[2]),
            "quantityPrecision": 3,
            "baseAssetPrecision": 8,
            "quotePrecision": 8,
            "underlyingType": "COIN",
            "underlyingSubType": [],
            "settlePlan": 0,
            "triggerProtect": "0.0500",
            "liquidationFee": "0.012000",
            "marketTakeBound": "0.30",
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": step, "maxPrice": "1000000000", "tickSize": step},
                {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000000000", "stepSize": "0.001"},
                {"filterType": "MIN_NOTIONAL", "notional": "5"},
            ],
            "orderTypes": ["LIMIT", "MARKET"],
            "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
        }

    def _funding_info(self, now: int) -> object:
        return [
            {
                "symbol": self.symbol(x.listed),
                "adjustedFundingRateCap": "0.02000000",
                "adjustedFundingRateFloor": "-0.02000000",
                "fundingIntervalHours": interval_hours(x, now),
                "disclaimer": False,
            }
            for x in self.trading(now)
            if interval_hours(x, now) != 8
        ]

    def _funding_rows(self, listed: str) -> Rows:
        def render(f: Funding) -> Rows:
            columns = zip(text(f.rate), f.settled_at.tolist(), text(f.mark), strict=True)
            cell = (
                f'{{"symbol":"{self.symbol(listed)}","fundingRate":"%s","fundingTime":%d,"markPrice":"%s","rateType":"Regular"}}'
            )
            return Rows(f.settled_at, [(cell % row).encode() for row in columns])

        return self.market.rows("funding", listed, self.market.funding(listed), render)

    def _funding_rate(self, ask: Ask) -> bytes:
        start, end, limit = self._window(ask, 100, 1000)
        if "symbol" in ask.query:
            rows = self._funding_rows(self._symbol(ask).listed)
        else:
            listed = tuple(x.listed for x in self.market.listings(ask.now))
            rows = self.market.keep(("mixed", listed), lambda: merged(self._funding_rows(x) for x in listed))
        if start is None and end is None:
            limit = min(limit, 200) if "limit" in ask.query else 200
        return rows.array(rows.span(ask, start, min(end or ask.now, ask.now), limit, newest=start is None))

    def _premium_index(self, listing: Listing, now: int) -> dict[str, object]:
        rate = self.market.running_rate(listing.listed, now)
        return {
            "symbol": self.symbol(listing.listed),
            "markPrice": plain(self.market.price(listing.listed, "mark", now)),
            "indexPrice": plain(self.market.price(listing.listed, "index", now)),
            "estimatedSettlePrice": plain(self.market.price(listing.listed, "index", now)),
            "lastFundingRate": "" if rate is None else plain(rate),
            "interestRate": "0.00010000",
            "nextFundingTime": next_settlement(listing, now),
            "time": now,
        }

    def _ticker(self, listing: Listing, now: int) -> dict[str, object]:
        bars = self.market.day(listing.listed, now)
        known = {"symbol": self.symbol(listing.listed), "openTime": now - 24 * MS_HOUR, "closeTime": now}
        if bars is None:
            return known
        return {
            **known,
            "lastPrice": plain(float(bars.close[-1])),
            "openPrice": plain(float(bars.open[0])),
            "highPrice": plain(float(bars.high.max())),
            "lowPrice": plain(float(bars.low.min())),
            **self._turnover(listing, bars),
        }

    def _turnover(self, listing: Listing, day: Candles) -> dict[str, str]:
        return {"volume": plain(float(day.volume.sum())), "quoteVolume": plain(float(day.quote_volume.sum()))}

    def _open_interest(self, listing: Listing, now: int) -> object:
        size = latest(self.market.open_interest(listing.listed), "size", now)
        return {"symbol": self.symbol(listing.listed), "openInterest": plain(size), "time": now}

    def _held(self, listing: Listing) -> Callable[[OpenInterest], Rows]:
        """How the history of open interest is rendered."""

        def render(oi: OpenInterest) -> Rows:
            columns = zip(text(oi.size), text(oi.size * oi.mark), oi.observed_at.tolist(), strict=True)
            symbol = self.symbol(listing.listed)
            cell = f'{{"symbol":"{symbol}","sumOpenInterest":"%s","sumOpenInterestValue":"%s","timestamp":%d}}'
            return Rows(oi.observed_at, [(cell % row).encode() for row in columns])

        return render

    def _open_interest_hist(self, ask: Ask, asked_by: str = "symbol") -> bytes:
        listing = self._symbol(ask, asked_by)
        if ask.query.get("period") not in PERIODS:
            raise mandatory("period") if "period" not in ask.query else invalid("period")
        if ask.query["period"] != "1h":
            raise refusal(-1130, "The emulator keeps open interest by the hour: period must be 1h.")
        start, end, limit = self._window(ask, 30, 500)
        # "about the last 30 days": an hour of grace for a start that was rounded down to its hour
        oldest = ask.now - OPEN_INTEREST_DAYS * 24 * MS_HOUR - MS_HOUR if self.world.history else 0
        if start is not None and start < oldest:
            raise refusal(-1130, "parameter 'startTime' is invalid.")
        rows = self.market.rows("open_interest", listing.listed, self.market.open_interest(listing.listed), self._held(listing))
        until = min(ask.now if end is None else end, ask.now)
        return rows.array(rows.span(ask, max(start or 0, oldest), until, limit, newest=True))

    def _volumes(self, listing: Listing, bars: Candles) -> tuple[list[str], list[str]]:
        """The sixth and the eighth column of the bars of trades."""
        return text(bars.volume), text(bars.quote_volume)

    def _span(self, rows: Rows, ask: Ask, start: int | None, end: int | None, limit: int) -> slice:
        """The bars of a window that are sent: from its start on, or the newest where it has none."""
        return rows.span(ask, start, min(ask.now if end is None else end, ask.now), limit, newest=start is None)

    def _klines(self, ask: Ask, kind: PriceKind, name: str) -> Answer:
        listing = self._symbol(ask, name)
        if "interval" not in ask.query:
            raise mandatory("interval")
        if ask.query["interval"] != "1h":
            raise refusal(-1120, "Invalid interval.")
        start, end, limit = self._window(ask, 500, 1500)

        def render(bars: Candles) -> Rows:
            volumes = self._volumes(listing, bars) if kind == "trade" else (["0"] * len(bars.close),) * 2
            taken = '"","",' if kind == "trade" else '"0","0",'  # what takers bought isn't held
            columns = zip(
                bars.opened_at.tolist(),
                *(text(x) for x in (bars.open, bars.high, bars.low, bars.close)),
                volumes[0],
                (bars.opened_at + MS_HOUR - 1).tolist(),
                volumes[1],
                ["null" if n < 0 else n for n in bars.trades.tolist()],
                strict=True,
            )
            cell = f'[%d,"%s","%s","%s","%s","%s",%d,"%s",%s,{taken}"0"]'
            return Rows(bars.opened_at, [(cell % row).encode() for row in columns])

        rows = self.market.rows(("candles", kind), listing.listed, self.market.candles(listing.listed, kind), render)
        weight = 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10
        return Answer(rows.array(self._span(rows, ask, start, end, limit)), charges={"weight": weight})


VENUE = Binance
