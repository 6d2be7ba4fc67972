"""GMX v2: the indexer's GraphQL, whole numbers as text in 1e30. Only operation and variables of a request are read.

Longs have the store's open interest, shorts four fifths of it. A rate is the amount that each side receives: the side that pays
has a negative one. Alone: `python -m infra.emulator`, then a POST to `$URL/gmx/gmx-synthetics-arbitrum:prod/api/graphql`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from infra.emulator.market import Snapshot
from infra.emulator.messages import Ask, InvalidParameter
from infra.emulator.rendering import EMPTY, Rows, encode
from infra.emulator.store import Floats, Funding, Liquidations, Listing, OpenInterest, Profile
from infra.emulator.venue import Refused, Venue, route

#: By coin: its index token, the token's decimals, the market. Markets are made up, spelt as addresses are.
MARKETS = {
    "BTC": ("0x47904963fc8b2340414262125aF798B9655E58Cd", 8, "0x47c031236e19d024b42f8AE6780E44A573170703"),
    "ETH": ("0x82aF49447D8a07e3bd95BD0d56f35241523fBab1", 18, "0x70d95587d40A2caf56bd97485aB3Eec10Bee6336"),
    "SOL": ("0x2bcC6D6CdBbDC0a4071e48bb3B969b06B3330c07", 9, "0x09400D9DB990D5ed3f35D7be61DfAEB900Af03C9"),
    "DOGE": ("0xC4da4c24fd591125c3F47b340b6f4f76111883d8", 8, "0x6853EA96FF216fAb11D2d930CE3C508556A4bdc4"),
}
#: A market that only swaps has no index token.
SWAP_ONLY, NO_TOKEN = "0x9385b68cB2bf8b0b1dE3E8aC1E0a1B8F5b1A0C11", "0x0000000000000000000000000000000000000000"
UNIT = 10**30
SHORTS = 0.8
MOST = 1000


def whole(value: float, scale: int = UNIT) -> str:
    """A float in units of 1 / `scale`, as an exact whole number."""
    numerator, denominator = float(value).as_integer_ratio()
    return str(numerator * scale // denominator)


def amounts(values: Floats, scale: int = UNIT) -> list[str]:
    return [whole(value, scale) for value in values.tolist()]


class Gmx(Venue):
    name = "gmx"
    profile = Profile(0.01, tilt=0.00002, hours=1, lists=tuple(MARKETS), interest=False)

    @route("/gmx-synthetics-arbitrum:prod/api/graphql", requests=1)
    def query(self, ask: Ask) -> bytes:
        body = ask.json()
        operation, variables = body.get("operationName"), body.get("variables", {})
        match operation:
            case "Markets":
                name, rows = "marketInfos", encode(self._markets(ask.now))
            case "Rates" | "Interest" | "Liquidations":
                name, rows = self._page(ask, operation, variables)
            case _:
                raise Refused("unknown_operation", operation=operation)
        return b'{"data":{"%s":%s}}' % (name.encode(), rows)

    def _markets(self, now: int) -> list[object]:
        markets = [self._market(x) for x in self.snapshots(now)]
        return [*markets, self._fields(SWAP_ONLY, NO_TOKEN, 0.0)]

    def _market(self, at: Snapshot) -> object:
        index, _, market = MARKETS[at.listing.listed]
        return self._fields(market, index, float(np.nan_to_num(at.size * at.mark)))

    @staticmethod
    def _fields(market: str, index: str, value: float) -> object:
        return {
            "id": market,
            "isDisabled": False,
            "marketTokenAddress": market,
            "indexTokenAddress": index,
            "longTokenAddress": index,
            "shortTokenAddress": NO_TOKEN,
            "longOpenInterestUsd": whole(value),
            "shortOpenInterestUsd": whole(value * SHORTS),
        }

    def _page(self, ask: Ask, operation: str, variables: Mapping[str, Any]) -> tuple[str, bytes]:
        """The name of the entity, and its rows: none for an address in another spelling."""
        name, render = {
            "Rates": ("fundingRateSnapshots", self._rates),
            "Interest": ("fundingBalanceOiSnapshots", self._interest),
            "Liquidations": ("tradeActions", self._liquidations),
        }[operation]
        try:
            market, limit, offset = variables["market"], int(variables["limit"]), int(variables.get("offset", 0))
            start, end = int(variables["from"]) * 1000, min(int(variables["to"]) * 1000 - 1, ask.now)
        except KeyError as missing:
            raise InvalidParameter(str(missing)) from None
        if limit > MOST:
            raise InvalidParameter(f"limit {limit} is above {MOST}")
        rows = next((render(x) for x in self.market.listings(ask.now) if MARKETS[x.listed][2] == market), EMPTY)
        span = rows.span(ask, start, end, offset + limit)
        return name, rows.array(slice(span.start + offset, span.stop))

    def _rates(self, listing: Listing) -> Rows:
        """The paying side pays the rate; the other side receives it scaled by the sides' sizes."""

        def render(f: Funding) -> Rows:
            rate = f.rate / 3600
            columns = {
                "snapshotTimestamp": f.settled_at // 1000,
                "fundingFactorPerSecondLong": amounts(np.where(rate > 0, -rate, -rate * SHORTS)),
                "fundingFactorPerSecondShort": amounts(np.where(rate > 0, rate / SHORTS, rate)),
            }
            return Rows.objects(f.settled_at, columns)

        return self.market.funding_rows(listing.listed, render)

    def _interest(self, listing: Listing) -> Rows:
        price_unit = 10 ** (30 - MARKETS[listing.listed][1])

        def render(oi: OpenInterest) -> Rows:
            known = ~np.isnan(oi.size * oi.mark)
            times, value, mark = oi.observed_at[known], (oi.size * oi.mark)[known], oi.mark[known]
            columns = {
                "snapshotTimestamp": times // 1000,
                "longOpenInterestUsd": amounts(value),
                "shortOpenInterestUsd": amounts(value * SHORTS),
                "indexTokenMinPrice": amounts(mark, price_unit),
            }
            return Rows.objects(times, columns)

        return self.market.open_interest_rows(listing.listed, render)

    def _liquidations(self, listing: Listing) -> Rows:
        price_unit = 10 ** (30 - MARKETS[listing.listed][1])

        def render(forced: Liquidations) -> Rows:
            seconds = forced.time // 1000
            columns = {
                "id": [f"{listing.listed}-{n}" for n in range(len(seconds))],
                "timestamp": seconds,
                "isLong": forced.long,
                "sizeDeltaUsd": amounts(forced.price * forced.size),
                "executionPrice": amounts(forced.price, price_unit),
            }
            return Rows.objects(seconds * 1000, columns)

        return self.market.liquidation_rows(listing.listed, render)


VENUE = Gmx
