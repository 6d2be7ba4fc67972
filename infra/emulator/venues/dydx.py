"""dYdX v4's indexer as its page describes it: text numbers, ISO times, lists newest first and at most 1000 rows.

The oracle price is the store's index price; open interest stands in the candles, as it was when the bar began. Funding goes back
from an end, without a start. The bar in progress is left out; what the store doesn't hold is null.
Alone: `python -m infra.emulator` and `curl "$URL/dydx/v4/historicalFunding/BTC-USD?limit=2"`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from infra.emulator.store import MS_HOUR, Candles, Funding, Listing, Profile
from infra.emulator.wire import Answer, Ask, Refusal, Rows, Usage, Venue, encode, iso, latest, plain, tick

ROWS = 1000


def refusal(status: int, message: str, limit: str = "requests") -> Refusal:
    return Refusal(Answer(encode({"errors": [{"msg": message}]}), status, charges={limit: 1}))


class Dydx(Venue):
    name = "dydx"
    profile = Profile(0.012, tilt=0.00003, jitter_ms=600, decimals=12, hours=1, interest=False)
    limits: Mapping[str, tuple[int, int]] = {"requests": (100, 10), "candles": (1000, 10)}

    def answer(self, ask: Ask) -> Answer:
        match ask.path.split("/")[1:]:
            case ["v4", "perpetualMarkets"]:
                return Answer(encode({"markets": self._markets(ask)}), charges={"requests": 1})
            case ["v4", "historicalFunding", ticker]:
                return Answer(self._funding(ask, self._coin(ticker, ask.now)), charges={"requests": 1})
            case ["v4", "candles", "perpetualMarkets", ticker]:
                return Answer(self._candles(ask, self._coin(ticker, ask.now)), charges={"candles": 1})
            case ["v4", "time"]:
                return Answer(encode({"iso": iso(ask.now), "epoch": ask.now / 1000}), charges={"requests": 1})
        raise refusal(404, "Not Found")

    def refuse(self, ask: Ask, usage: Usage | None, *, banned: bool = False) -> Answer:
        return Answer(encode({"errors": [{"msg": "Too many requests"}]}), 429)

    def usage_headers(self, usages: Iterable[Usage]) -> Mapping[str, str]:
        u = next(iter(usages))
        said = {"Limit": u.limit, "Remaining": max(0, u.limit - u.used), "Reset": u.resets_at}
        return {f"RateLimit-{name}": str(value) for name, value in said.items()}

    def error(self, ask: Ask) -> Answer:
        return refusal(500, "Internal Server Error").answer

    def blocked(self) -> Answer:
        said = "Because you appear to be a resident of, or trading from, a jurisdiction that violates our terms of use"
        return Answer(encode({"errors": [{"msg": said, "code": "GEOBLOCKED"}]}), 403)

    def _coin(self, ticker: str, now: int) -> str:
        for listing in self.market.listings(now):
            if listing.listed + "-USD" == ticker:
                return listing.listed
        raise refusal(404, f"{ticker} not found in markets of type perpetual")

    @staticmethod
    def _asked(ask: Ask, *times: str) -> tuple[int, list[int | None]]:
        """The limit and the times of a request."""
        try:
            limit, found = ask.integer("limit"), [ask.moment(name) for name in times]
        except ValueError as problem:
            raise refusal(400, str(problem)) from None
        if limit is not None and not 1 <= limit <= ROWS:
            raise refusal(400, f"limit must be a positive integer that is not greater than max: {ROWS}")
        return limit or ROWS, found

    def _markets(self, ask: Ask) -> dict[str, object]:
        asked = ask.query.get("market") or ask.query.get("ticker")
        if asked:
            self._coin(asked, ask.now)
        found = {x.listed + "-USD": x for x in self.market.listings(ask.now)}
        return {name: self._contract(n, x, ask.now) for n, (name, x) in enumerate(found.items()) if asked in (None, name)}

    def _contract(self, number: int, listing: Listing, now: int) -> object:
        coin = listing.listed
        day, oracle, rate = self.market.day(coin, now), self.market.price(coin, "index", now), self.market.running_rate(coin, now)
        open_interest = latest(self.market.open_interest(coin), "size", now)
        over = listing.delisted_at is not None and listing.delisted_at <= now
        return {
            "clobPairId": str(number),
            "ticker": coin + "-USD",
            "status": "FINAL_SETTLEMENT" if over else "ACTIVE",
            "oraclePrice": plain(oracle) or None,
            "priceChange24H": "0" if day is None else plain(float(day.close[-1] - day.open[0])),
            "volume24H": "0" if day is None else plain(float(day.quote_volume.sum())),
            "trades24H": 0 if day is None else int(day.trades.sum()),
            "nextFundingRate": None if rate is None else plain(rate),
            "initialMarginFraction": "0.02",
            "maintenanceMarginFraction": "0.012",
            "openInterest": plain(open_interest) or None,
            "atomicResolution": -10,
            "quantumConversionExponent": -9,
            "tickSize": plain(tick(oracle)),
            "stepSize": "0.0001",
            "stepBaseQuantums": 1000000,
            "subticksPerTick": 100000,
            "marketType": "CROSS",
            "openInterestLowerCap": "0",
            "openInterestUpperCap": "0",
            "baseOpenInterest": plain(open_interest) or None,
            "defaultFundingRate1H": "0",
        }

    def _funding(self, ask: Ask, coin: str) -> bytes:
        limit, [until] = self._asked(ask, "effectiveBeforeOrAt")

        def row(at: int, rate: float, price: float) -> bytes:
            named = {"ticker": coin + "-USD", "rate": plain(rate), "price": plain(price) or None}
            return encode(named | {"effectiveAtHeight": str(at // 640), "effectiveAt": iso(at)})

        def render(f: Funding) -> Rows:
            columns = zip(f.settled_at.tolist(), f.rate.tolist(), f.mark.tolist(), strict=True)
            return Rows(f.settled_at, [row(*values) for values in columns])

        rows = self.market.rows("funding", coin, self.market.funding(coin), render)
        span = rows.span(ask, None, ask.now if until is None else min(until, ask.now), limit, newest=True)
        return b'{"historicalFunding":%s}' % rows.array(span, descending=True)

    def _candles(self, ask: Ask, coin: str) -> bytes:
        limit, [start, end] = self._asked(ask, "fromISO", "toISO")
        if ask.query.get("resolution") != "1HOUR":
            raise refusal(400, "resolution must be a valid Candle Resolution (the emulator keeps 1HOUR)", "candles")
        held = self.market.open_interest(coin)

        def row(bars: Candles, n: int) -> bytes:
            at = int(bars.opened_at[n])
            prices = {name: plain(float(getattr(bars, name)[n])) for name in ("low", "high", "open", "close")}
            return encode(
                {"startedAt": iso(at), "ticker": coin + "-USD", "resolution": "1HOUR", **prices}
                | {
                    "baseTokenVolume": plain(float(bars.volume[n])) or None,
                    "usdVolume": plain(float(bars.quote_volume[n])) or None,
                }
                | {"trades": max(0, int(bars.trades[n])), "startingOpenInterest": plain(latest(held, "size", at)) or None}
            )

        def render(bars: Candles) -> Rows:
            return Rows(bars.opened_at, [row(bars, n) for n in range(len(bars.opened_at))])

        rows = self.market.rows("candles", coin, self.market.candles(coin, "trade"), render)
        until = ask.now - MS_HOUR if end is None else min(end - 1, ask.now - MS_HOUR)
        return b'{"candles":%s}' % rows.array(rows.span(ask, start, until, limit, newest=True), descending=True)


VENUE = Dydx
