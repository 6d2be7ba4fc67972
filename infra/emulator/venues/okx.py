"""OKX v5 as its page describes it: an envelope with a text `code`, text numbers, pages newest first, exclusive bounds.

Swaps are the listed coin + `-USDT-SWAP`, all linear; other kinds of instruments are known and none are listed. Sizes are
contracts of `CONTRACTS`, fractions included. `after` is older than, `before` newer than. Open interest is kept for 1440 hours,
funding for 90 days. `fundingRate` in the history is a forecast, off by `MISSED`. The bar in progress is left out. A limit that
the venue counts by instrument besides is counted by address alone.
Alone: `python -m infra.emulator` and `curl "$URL/okx/api/v5/public/instruments?instType=SWAP"`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from infra.emulator.store import (
    MS_HOUR,
    Candles,
    Floats,
    Funding,
    Liquidations,
    Listing,
    OpenInterest,
    PriceKind,
    Profile,
)
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
    tick,
)

#: Coins in one contract.
CONTRACTS = {"BTC": 0.01, "ETH": 0.1, "SOL": 1.0, "XRP": 100.0, "DOGE": 1000.0, "HYPE": 0.1, "LINK": 1.0, "PEPE": 10_000_000.0}
MISSED = 1.51e-06
INSTRUMENT_TYPES = ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION")
FUNDING_DAYS, ENTRIES = 90, 1440
#: By path: the kind of price, the longest page, whether only the last bars are sent.
CANDLES: dict[str, tuple[PriceKind, int, bool]] = {
    "/api/v5/market/candles": ("trade", 300, True),
    "/api/v5/market/history-candles": ("trade", 300, False),
    "/api/v5/market/mark-price-candles": ("mark", 100, True),
    "/api/v5/market/history-mark-price-candles": ("mark", 100, False),
    "/api/v5/market/index-candles": ("index", 100, True),
    "/api/v5/market/history-index-candles": ("index", 100, False),
}


def refusal(code: int, message: str, status: int = 200) -> Refusal:
    return Refusal(Answer(encode({"msg": message, "code": str(code), "data": []}), status))


def contracts(coin: str, size: Floats) -> Floats:
    return np.round(size / CONTRACTS[coin], 8)


class Okx(Venue):
    name = "okx"
    profile = Profile(0.22, tilt=0.00001, decimals=10, four_hourly=("DOGE", "HYPE"), changing={"XRP": 2})
    limits: Mapping[str, tuple[int, int]] = {
        "/api/v5/public/instruments": (20, 2),
        "/api/v5/public/funding-rate": (10, 2),
        "/api/v5/public/mark-price": (10, 2),
        "/api/v5/public/open-interest": (20, 2),
        "/api/v5/public/funding-rate-history": (10, 2),
        "/api/v5/public/liquidation-orders": (40, 2),
        "/api/v5/rubik/stat/contracts/open-interest-history": (5, 2),
        **{path: (10 if kind == "index" else 20, 2) for path, (kind, *_) in CANDLES.items()},
    }

    def answer(self, ask: Ask) -> Answer:
        charges = {ask.path: 1} if ask.path in self.limits else {}
        try:
            return Answer(b'{"code":"0","msg":"","data":%s}' % self._data(ask), charges=charges)
        except ValueError as problem:
            raise refusal(51000, f"Parameter {problem} error", 400) from None

    def refuse(self, ask: Ask, usage: Usage | None, *, banned: bool = False) -> Answer:
        return Answer(encode({"msg": "Too Many Requests", "code": "50011"}), 429)

    def error(self, ask: Ask) -> Answer:
        return refusal(50013, "Systems are busy. Please try again later.", 503).answer

    def _data(self, ask: Ask) -> bytes:
        match ask.path:
            case "/api/v5/public/time":
                return encode([{"ts": str(ask.now)}])
            case "/api/v5/public/instruments":
                return self._each(ask, self._instrument)
            case "/api/v5/public/mark-price":
                return self._each(ask, self._mark)
            case "/api/v5/public/open-interest":
                return self._each(ask, self._open_interest_now)
            case "/api/v5/public/funding-rate":
                every = ask.query.get("instId") == "ANY"
                return encode([self._running(x, ask.now) for x in (self.trading(ask.now) if every else [self._swap(ask)])])
            case "/api/v5/public/funding-rate-history":
                return self._funding(ask, self._swap(ask).listed)
            case "/api/v5/public/liquidation-orders":
                return self._liquidations(ask)
            case "/api/v5/rubik/stat/contracts/open-interest-history":
                return self._open_interest(ask, self._swap(ask).listed)
            case path if path in CANDLES:
                return self._candles(ask, *CANDLES[path])
        raise Refusal(Answer(encode({"code": "404", "msg": "Not Found", "data": {}}), 404))

    def _each(self, ask: Ask, row: Callable[[Listing, int], object]) -> bytes:
        """A row of each instrument of the kind that is asked for, or of one."""
        kind = ask.query.get("instType")
        if kind not in INSTRUMENT_TYPES:
            raise ValueError("instType")
        if kind != "SWAP":
            return b"[]"
        return encode([row(x, ask.now) for x in ([self._swap(ask)] if "instId" in ask.query else self.trading(ask.now))])

    def _swap(self, ask: Ask, ending: str = "-USDT-SWAP") -> Listing:
        if not (name := ask.query.get("instId")):
            raise refusal(50014, "Parameter instId can not be empty", 400)
        for listing in self.market.listings(ask.now):
            if listing.listed + ending == name:
                return listing
        raise refusal(51001, "Instrument ID does not exist")

    @staticmethod
    def _page(ask: Ask, rows: Rows, longest: int, default: int, names: tuple[str, str], since: int, until: int) -> bytes:
        """The newest rows between two bounds that are not rows themselves, of those that the venue still has."""
        limit, newer, older = ask.integer("limit"), ask.integer(names[0]), ask.integer(names[1])
        if limit is not None and not 1 <= limit <= longest:
            raise ValueError("limit")
        start = since if newer is None else max(since, newer + 1)
        end = until if older is None else min(until, older - 1)
        return rows.array(rows.span(ask, start, end, limit or default, newest=True), descending=True)

    def _instrument(self, listing: Listing, now: int) -> object:
        coin = listing.listed
        return {
            "alias": "",
            "baseCcy": "",
            "category": "1",
            "ctMult": "1",
            "ctType": "linear",
            "ctVal": plain(CONTRACTS[coin]).removesuffix(".0"),
            "ctValCcy": coin,
            "expTime": "" if listing.delisted_at is None else str(listing.delisted_at),
            "instCategory": "1",
            "instFamily": f"{coin}-USDT",
            "instId": f"{coin}-USDT-SWAP",
            "instType": "SWAP",
            "lever": "100",
            "listTime": str(listing.listed_at),
            "lotSz": "0.01",
            "minSz": "0.01",
            "optType": "",
            "quoteCcy": "",
            "ruleType": "normal",
            "settleCcy": "USDT",
            "state": "live",
            "stk": "",
            "tickSz": plain(tick(self.market.price(coin, "trade", now))),
            "uly": f"{coin}-USDT",
        }

    def _mark(self, listing: Listing, now: int) -> object:
        mark = plain(self.market.price(listing.listed, "mark", now))
        return {"instType": "SWAP", "instId": f"{listing.listed}-USDT-SWAP", "markPx": mark, "ts": str(now)}

    def _open_interest_now(self, listing: Listing, now: int) -> object:
        coin = listing.listed
        size, mark = latest(self.market.open_interest(coin), "size", now), self.market.price(coin, "mark", now)
        return {
            "instType": "SWAP",
            "instId": f"{coin}-USDT-SWAP",
            "oi": plain(round(size / CONTRACTS[coin], 8)),
            "oiCcy": plain(size),
            "oiUsd": plain(size * mark),
            "ts": str(now),
        }

    def _running(self, listing: Listing, now: int) -> object:
        coin, coming, step = listing.listed, next_settlement(listing, now), interval_hours(listing, now) * MS_HOUR
        rate, settled = self.market.running_rate(coin, now), latest(self.market.funding(coin), "rate", coming - step)
        return {
            "formulaType": "withRate",
            "fundingRate": "" if rate is None else plain(rate),
            "fundingTime": str(coming),
            "instId": f"{coin}-USDT-SWAP",
            "instType": "SWAP",
            "interestRate": "0.0001",
            "method": "current_period",
            "nextFundingRate": "",
            "nextFundingTime": str(coming + step),
            "prevFundingTime": str(coming - step),
            "settFundingRate": plain(settled),
            "settState": "settled",
            "ts": str(now),
        }

    def _funding(self, ask: Ask, coin: str) -> bytes:
        def render(f: Funding) -> Rows:
            cell = (
                f'{{"instType":"SWAP","instId":"{coin}-USDT-SWAP","fundingRate":"%s","realizedRate":"%s","fundingTime":"%d",'
                '"method":"current_period","formulaType":"withRate"}'
            )
            columns = zip(text(f.rate + MISSED), text(f.rate), f.settled_at.tolist(), strict=True)
            return Rows(f.settled_at, [(cell % row).encode() for row in columns])

        rows = self.market.rows("funding", coin, self.market.funding(coin), render)
        kept = ask.now - FUNDING_DAYS * 24 * MS_HOUR if self.world.history else 0
        return self._page(ask, rows, 400, 400, ("before", "after"), kept, ask.now)

    def _open_interest(self, ask: Ask, coin: str) -> bytes:
        if ask.query.get("period") != "1H":
            raise ValueError("period")

        def render(oi: OpenInterest) -> Rows:
            columns = (oi.observed_at.tolist(), text(contracts(coin, oi.size)), text(oi.size), text(oi.size * oi.mark))
            cell = '["%d","%s","%s","%s"]'
            return Rows(oi.observed_at, [(cell % row).encode() for row in zip(*columns, strict=True)])

        rows = self.market.rows("open_interest", coin, self.market.open_interest(coin), render)
        kept = ask.now // MS_HOUR * MS_HOUR - (ENTRIES - 1) * MS_HOUR
        return self._page(ask, rows, 100, 100, ("begin", "end"), kept if self.world.history else 0, ask.now)

    def _liquidations(self, ask: Ask) -> bytes:
        """Of a family, newest first, in an object around them; the side is the order's."""
        if (ask.query.get("instType"), ask.query.get("state")) != ("SWAP", "filled"):
            raise ValueError("instType")
        symbol = ask.query.get("instFamily", "")
        coin = next((x.listed for x in self.market.listings(ask.now) if f"{x.listed}-USDT" == symbol), None)
        if coin is None:
            raise ValueError("instFamily")

        def render(forced: Liquidations) -> Rows:
            columns = zip(
                text(forced.price), forced.long.tolist(), text(contracts(coin, forced.size)), forced.time.tolist(), strict=True
            )
            cells = [
                {"bkLoss": "0", "bkPx": price, "ccy": "", "posSide": "long" if long else "short"}
                | {"side": "sell" if long else "buy", "sz": size, "ts": str(at)}
                for price, long, size, at in columns
            ]
            return Rows(forced.time, list(map(encode, cells)))

        rows = self.market.rows("liquidations", coin, self.market.liquidations(coin), render)
        kept = ask.now - 7 * 24 * MS_HOUR if self.world.history else 0
        details = self._page(ask, rows, 100, 100, ("before", "after"), kept, ask.now)
        named = f'"instFamily":"{symbol}","instId":"{symbol}-SWAP","instType":"SWAP","uly":"{symbol}"'
        return b'[{"details":%s,%s}]' % (details, named.encode())

    def _candles(self, ask: Ask, kind: PriceKind, longest: int, latest_only: bool) -> bytes:
        if ask.query.get("bar") != "1H":
            raise ValueError("bar")
        coin = self._swap(ask, "-USDT" if kind == "index" else "-USDT-SWAP").listed

        def render(bars: Candles) -> Rows:
            columns = [bars.opened_at.tolist(), *(text(x) for x in (bars.open, bars.high, bars.low, bars.close))]
            if kind == "trade":
                columns += [text(contracts(coin, bars.volume)), text(bars.volume), text(bars.quote_volume)]
            cell = '["%d"' + ',"%s"' * (len(columns) - 1) + ',"1"]'
            return Rows(bars.opened_at, [(cell % row).encode() for row in zip(*columns, strict=True)])

        rows = self.market.rows(("candles", kind), coin, self.market.candles(coin, kind), render)
        over = ask.now - MS_HOUR
        kept = over - ENTRIES * MS_HOUR if latest_only and self.world.history else 0
        return self._page(ask, rows, longest, 100, ("before", "after"), kept, over)


VENUE = Okx
