"""Aevo: hourly funding in arrays of fifty, newest first; nanoseconds as text, decimals as text, sizes in coins.

Options share the interface; there are none here. PEPE is listed by the thousand. There are no bars.
Alone: `python -m infra.emulator` and `curl "$URL/aevo/markets?instrument_type=PERPETUAL"`.
"""

from __future__ import annotations

from infra.emulator.books import books
from infra.emulator.market import Snapshot
from infra.emulator.messages import Ask
from infra.emulator.rendering import Rows, plain, text
from infra.emulator.store import Funding, Listing, Profile
from infra.emulator.venue import Venue, route

NANO = 1_000_000  # in a millisecond
RATES = 50
#: Levels of a side of an order book (unverified).
LEVELS = 100


class Aevo(Venue):
    name = "aevo"
    profile = Profile(0.01, tilt=0.00003, decimals=8, hours=1, thousand="1000")

    def symbol(self, listing: Listing) -> str:
        return listing.listed + "-PERP"

    @route("/markets", "requests")
    def markets(self, ask: Ask) -> object:
        if ask.query.get("instrument_type", "PERPETUAL") != "PERPETUAL":
            return []
        return [self._market(x) for x in self.snapshots(ask.now)]

    def _market(self, at: Snapshot) -> object:
        return {
            "instrument_id": str(1 + len(at.listing.listed)),
            "instrument_name": self.symbol(at.listing),
            "instrument_type": "PERPETUAL",
            "underlying_asset": at.listing.listed,
            "quote_asset": "USDC",
            "price_step": "0.01",
            "amount_step": "0.001",
            "mark_price": plain(at.mark),
            "index_price": plain(at.index),
            "is_active": True,
            "max_leverage": "20",
        }

    @route("/orderbook", "requests")
    def order_book(self, ask: Ask) -> object:
        at = self.snapshot(ask.query.get("instrument_name", ""), ask.now)
        about = {"type": "snapshot", "instrument_id": str(1 + len(at.listing.listed)), "instrument_name": self.symbol(at.listing)}
        sides = books(at).sides(lambda price, size: [plain(price), plain(size)], LEVELS)
        return {**about, "instrument_type": "PERPETUAL", **sides, "last_updated": str(ask.now * NANO), "checksum": "0"}

    @route("/funding", "requests")
    def running_rate(self, ask: Ask) -> object:
        at = self.snapshot(ask.query.get("instrument_name", ""), ask.now)
        return {"funding_rate": plain(at.rate or 0.0), "next_epoch": str(at.next_settlement * NANO)}

    @route("/funding-history", "requests")
    def funding(self, ask: Ask) -> bytes:
        name, limit = ask.query.get("instrument_name", ""), ask.limit(RATES, RATES)
        listing, start, end = self.listing(name, ask.now), ask.integer("start_time"), ask.integer("end_time")

        def render(f: Funding) -> Rows:
            times = [str(at * NANO) for at in f.settled_at.tolist()]
            return Rows.arrays(f.settled_at, name, times, text(f.rate), text(f.mark))

        first = None if start is None else -(-start // NANO)
        last = ask.now if end is None else min(end // NANO, ask.now)
        rows = self.market.funding_rows(listing.listed, render)
        return b'{"funding_history":%s}' % rows.page(ask, first, last, limit, newest=True, descending=True)

    @route("/statistics", "requests")
    def statistics(self, ask: Ask) -> object:
        ask.unused("instrument_type")
        at = self.snapshot(ask.query.get("asset", "") + "-PERP", ask.now)
        return {
            "asset": at.listing.listed,
            "open_interest": {"total": plain(at.size) or "0"},
            "daily_volume": "0" if at.day is None else plain(float(at.day.quote_volume.sum())),
            "mark_price": plain(at.mark),
            "index_price": plain(at.index),
        }


VENUE = Aevo
