"""GMX v2: the indexer's GraphQL, of which the operation's name and the variables are read; whole numbers as text, in 1e30.

Longs hold what the store has, shorts four fifths of it. The rate is told as what each side receives: the heavy side pays.
Alone: `python -m infra.emulator`, then a POST to `$URL/gmx/gmx-synthetics-arbitrum:prod/api/graphql`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from infra.emulator.store import Funding, Liquidations, Listing, OpenInterest, Profile
from infra.emulator.wire import Answer, Ask, Refusal, Rows, Usage, Venue, encode, latest

PATH = "/gmx-synthetics-arbitrum:prod/api/graphql"
#: By coin: its index token, the token's decimals, the market. Markets are made up, in the spelling that an address has.
MARKETS = {
    "BTC": ("0x47904963fc8b2340414262125aF798B9655E58Cd", 8, "0x47c031236e19d024b42f8AE6780E44A573170703"),
    "ETH": ("0x82aF49447D8a07e3bd95BD0d56f35241523fBab1", 18, "0x70d95587d40A2caf56bd97485aB3Eec10Bee6336"),
    "SOL": ("0x2bcC6D6CdBbDC0a4071e48bb3B969b06B3330c07", 9, "0x09400D9DB990D5ed3f35D7be61DfAEB900Af03C9"),
    "DOGE": ("0xC4da4c24fd591125c3F47b340b6f4f76111883d8", 8, "0x6853EA96FF216fAb11D2d930CE3C508556A4bdc4"),
}
NOWHERE = "0x0000000000000000000000000000000000000000"
UNIT = 10**30
SHORTS = 0.8
MOST = 1000


def whole(value: float, scale: int = UNIT) -> str:
    """A float in units of 1 / `scale`, as the whole number that it is."""
    numerator, denominator = float(value).as_integer_ratio()
    return str(numerator * scale // denominator)


def refusal(message: str, status: int = 200) -> Refusal:
    return Refusal(Answer(encode({"errors": [{"message": message}]}), status, charges={"requests": 1}))


class Gmx(Venue):
    name = "gmx"
    profile = Profile(0.01, tilt=0.00002, hours=1, lists=tuple(MARKETS), interest=False)
    limits: Mapping[str, tuple[int, int]] = {"requests": (2, 1)}

    def answer(self, ask: Ask) -> Answer:
        if ask.path != PATH or ask.method != "POST":
            raise refusal("Not found", 404)
        try:
            body = msgspec.json.decode(ask.body)
            operation, variables = body["operationName"], body.get("variables", {})
            match operation:
                case "Markets":
                    name, rows = "marketInfos", encode(self._markets(ask.now))
                case "Rates":
                    name, rows = "fundingRateSnapshots", self._hourly(ask, variables, "funding")
                case "Interest":
                    name, rows = "fundingBalanceOiSnapshots", self._hourly(ask, variables, "oi")
                case "Liquidations":
                    name, rows = "tradeActions", self._hourly(ask, variables, "liquidations")
                case _:
                    raise refusal(f'Unknown operation named "{operation}".')
        except (msgspec.DecodeError, KeyError, TypeError) as problem:
            raise refusal(f"Syntax Error: {problem}", 400) from None
        return Answer(b'{"data":{"%s":%s}}' % (name.encode(), rows), charges={"requests": 1})

    def refuse(self, ask: Ask, usage: Usage | None, *, banned: bool = False) -> Answer:
        return refusal("Too many requests", 429).answer

    def error(self, ask: Ask) -> Answer:
        return refusal("squid is temporarily unavailable").answer

    def _markets(self, now: int) -> list[object]:
        found: list[object] = []
        for listing in self.trading(now):
            index, _, market = MARKETS[listing.listed]
            held = self.market.open_interest(listing.listed)
            worth = latest(held, "size", now) * latest(held, "mark", now)
            worth = 0.0 if worth != worth else worth
            found.append(self._market(market, index, worth))
        return [*found, self._market("0x9385b68cB2bf8b0b1dE3E8aC1E0a1B8F5b1A0C11", NOWHERE, 0.0)]

    @staticmethod
    def _market(market: str, index: str, worth: float) -> object:
        tokens = {
            "marketTokenAddress": market,
            "indexTokenAddress": index,
            "longTokenAddress": index,
            "shortTokenAddress": NOWHERE,
        }
        sides = {"longOpenInterestUsd": whole(worth), "shortOpenInterestUsd": whole(worth * SHORTS)}
        return {"id": market, "marketTokenAddress": market, **tokens, **sides}

    def _hourly(self, ask: Ask, variables: Mapping[str, Any], kind: str) -> bytes:
        coin = next((coin for coin, (_, _, market) in MARKETS.items() if market == variables["market"]), None)
        if coin is None:  # the indexer knows addresses by their spelling
            return b"[]"
        listing = next(x for x in self.market.listings(ask.now) if x.listed == coin)
        limit, offset = int(variables["limit"]), int(variables.get("offset", 0))
        if limit > MOST:
            raise refusal(f"limit {limit} is above {MOST}")
        rows = {"funding": self._rates, "oi": self._interest, "liquidations": self._liquidations}[kind](listing)
        start, end = int(variables["from"]) * 1000, min(int(variables["to"]) * 1000 - 1, ask.now)
        span = rows.span(ask, start, end, offset + limit)
        return rows.array(slice(span.start + offset, span.stop))

    def _rates(self, listing: Listing) -> Rows:
        def render(f: Funding) -> Rows:
            names = ("snapshotTimestamp", "fundingFactorPerSecondLong", "fundingFactorPerSecondShort")
            columns = zip((f.settled_at // 1000).tolist(), (f.rate / 3600).tolist(), strict=True)
            cells = [dict(zip(names, (at, *self._received(rate)), strict=True)) for at, rate in columns]
            return Rows(f.settled_at, list(map(encode, cells)))

        return self.market.rows("funding", listing.listed, self.market.funding(listing.listed), render)

    @staticmethod
    def _received(rate: float) -> tuple[str, str]:
        """By the longs, by the shorts: who pays does so by the rate, the other side gets it scaled by the sides' sizes."""
        return (whole(-rate), whole(rate / SHORTS)) if rate > 0 else (whole(-rate * SHORTS), whole(rate))

    def _interest(self, listing: Listing) -> Rows:
        decimals = MARKETS[listing.listed][1]

        def render(held: OpenInterest) -> Rows:
            worth = (held.size * held.mark).tolist()
            columns = zip((held.observed_at // 1000).tolist(), worth, held.mark.tolist(), strict=True)
            cells = [
                {
                    "snapshotTimestamp": at,
                    "longOpenInterestUsd": whole(dollars),
                    "shortOpenInterestUsd": whole(dollars * SHORTS),
                    "indexTokenMinPrice": whole(mark, 10 ** (30 - decimals)),
                }
                for at, dollars, mark in columns
                if dollars == dollars
            ]
            return Rows(held.observed_at[~(held.size * held.mark != held.size * held.mark)], list(map(encode, cells)))

        return self.market.rows("oi", listing.listed, self.market.open_interest(listing.listed), render)

    def _liquidations(self, listing: Listing) -> Rows:
        decimals = MARKETS[listing.listed][1]

        def render(forced: Liquidations) -> Rows:
            columns = zip(*(x.tolist() for x in (forced.time // 1000, forced.long, forced.price, forced.size)), strict=True)
            cells = [
                {
                    "id": f"{listing.listed}-{n}",
                    "timestamp": at,
                    "isLong": long,
                    "sizeDeltaUsd": whole(price * size),
                    "executionPrice": whole(price, 10 ** (30 - decimals)),
                }
                for n, (at, long, price, size) in enumerate(columns)
            ]
            return Rows(forced.time // 1000 * 1000, list(map(encode, cells)))

        return self.market.rows("liquidations", listing.listed, self.market.liquidations(listing.listed), render)


VENUE = Gmx
