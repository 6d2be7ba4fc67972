"""Hyperliquid's `POST /info` (main dex) as its page describes it: universe and contexts aligned by index, ascending pages.

Funding history comes by 500 rows, of candles only the latest 5,000 exist, open interest has no history (see
`hyperliquid_archive`). The candle in progress is left out; a value that the store lacks is null.
Alone: `python -m infra.emulator` and `curl $URL/hyperliquid/info -H 'Content-Type: application/json' -d '{"type":"meta"}'`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from infra.emulator.books import books
from infra.emulator.market import Snapshot, latest
from infra.emulator.messages import Answer, Ask, InvalidParameter
from infra.emulator.rendering import Rows, encode, plain, text
from infra.emulator.store import MS_HOUR, Candles, Funding, Profile
from infra.emulator.venue import Refused, Venue, route

FUNDING_ROWS = 500
CANDLES_KEPT = 5000
BOOK_LEVELS = 20
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


class Parameters(msgspec.Struct, rename="camel", frozen=True, forbid_unknown_fields=True):
    coin: str = ""
    interval: str = ""
    start_time: int | None = None
    end_time: int | None = None


class Body(Parameters, rename="camel", frozen=True, forbid_unknown_fields=True):
    """A request: the parameters of its type, which are inside `req` for candles."""

    type: str = ""
    dex: str = ""
    n_sig_figs: int | None = None
    req: Parameters = Parameters()


class Hyperliquid(Venue):
    name = "hyperliquid"
    profile = Profile(0.22, tilt=0.00005, jitter_ms=90, decimals=10, hours=1, thousand="k")

    @route("/info", weight=20)
    def info(self, ask: Ask) -> object:
        if ask.method != "POST":
            raise Refused("unknown_path")
        try:
            body = msgspec.json.decode(ask.body, type=Body)
        except msgspec.DecodeError:
            raise InvalidParameter("body") from None
        snapshots = [self.market.snapshot(x, ask.now) for x in self.market.listings(ask.now)]
        match body.type:
            case "meta":
                return self._meta(snapshots)
            case "metaAndAssetCtxs":
                return [self._meta(snapshots), [self._context(at) for at in snapshots]]
            case "perpDexs":
                return [None]
            case "spotMeta":
                return SPOT_META
            case "spotMetaAndAssetCtxs":
                return [SPOT_META, []]
            case "allMids":
                mids = {at.listing.listed: plain(at.last) for at in snapshots if at.last == at.last}
                return Answer(encode(mids), charges={"weight": 2})
            case "l2Book":
                return self._order_book(ask, body)
            case "fundingHistory":
                return self._funding(ask, body)
            case "candleSnapshot":
                return self._candles(ask, body.req)
        raise InvalidParameter("type")

    @staticmethod
    def _meta(snapshots: list[Snapshot]) -> object:
        coins = [
            {"name": at.listing.listed, "szDecimals": 5 if at.listing.multiplier == 1 else 0, "maxLeverage": 20}
            | {"marginTableId": 20}
            | ({"isDelisted": True} if at.over else {})
            for at in snapshots
        ]
        tiers = [[20, {"description": "", "marginTiers": [{"lowerBound": "0.0", "maxLeverage": 20}]}]]
        return {"universe": coins, "marginTables": tiers, "collateralToken": 0}

    def _context(self, at: Snapshot) -> object:
        day = at.day
        mark = at.mark if at.mark == at.mark else latest(self.market.open_interest(at.listing.listed), "mark", at.now)
        return {
            "funding": None if at.rate is None else plain(at.rate),
            "openInterest": plain(at.size) or None,
            "prevDayPx": None if day is None else plain(float(day.open[0])) or None,
            "dayNtlVlm": None if day is None else plain(float(day.quote_volume.sum())) or None,
            "premium": None,
            "oraclePx": plain(at.index) or None,
            "markPx": plain(mark) or None,
            "midPx": None,
            "impactPxs": None,
            "dayBaseVlm": None if day is None else plain(float(day.volume.sum())) or None,
        }

    def _order_book(self, ask: Ask, body: Body) -> Answer:
        """20 levels at full precision; coarser ones aren't shown."""
        if body.n_sig_figs is not None:
            raise InvalidParameter("nSigFigs")
        found = books(self.snapshot(body.coin, ask.now))
        levels = [[{"px": plain(p), "sz": plain(s), "n": 1} for p, s in side[:BOOK_LEVELS]] for side in (found.bids, found.asks)]
        return Answer(encode({"coin": body.coin, "time": ask.now, "levels": levels}), charges={"weight": 2})

    def _funding(self, ask: Ask, body: Body) -> Answer:
        coin = self.listing(body.coin, ask.now).listed
        if body.start_time is None:
            raise InvalidParameter("startTime")

        def render(f: Funding) -> Rows:
            columns = {"coin": coin, "fundingRate": text(f.rate), "premium": None, "time": f.settled_at}
            return Rows.objects(f.settled_at, columns)

        rows = self.market.funding_rows(coin, render)
        end = ask.now if body.end_time is None else min(body.end_time, ask.now)
        span = rows.span(ask, body.start_time, end, FUNDING_ROWS)
        return Answer(rows.array(span), charges={"weight": 20 + (span.stop - span.start) // 20})

    def _candles(self, ask: Ask, req: Parameters) -> Answer:
        if req.interval != "1h" or req.start_time is None:
            raise InvalidParameter("req")
        coin = self.listing(req.coin, ask.now).listed

        def render(bars: Candles) -> Rows:
            columns: dict[str, Any] = {"t": bars.opened_at, "T": bars.opened_at + MS_HOUR - 1, "s": coin, "i": "1h"}
            columns |= {"o": text(bars.open), "c": text(bars.close), "h": text(bars.high), "l": text(bars.low)}
            trades = [None if n < 0 else n for n in bars.trades.tolist()]
            return Rows.objects(bars.opened_at, {**columns, "v": text(bars.volume, absent=None), "n": trades})

        rows = self.market.candle_rows("trade", coin, render)
        over = ask.now - MS_HOUR
        oldest = ask.now // MS_HOUR * MS_HOUR - CANDLES_KEPT * MS_HOUR if self.world.history else 0
        end = over if req.end_time is None else min(req.end_time, over)
        first = req.start_time // MS_HOUR * MS_HOUR  # the bar that contains the start comes as well
        span = rows.span(ask, max(first, oldest), end, CANDLES_KEPT)
        return Answer(rows.array(span), charges={"weight": 20 + (span.stop - span.start) // 60})


VENUE = Hyperliquid
