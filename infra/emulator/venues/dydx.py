"""dYdX v4's indexer as its page describes it: text numbers, ISO times, lists newest first and at most 1000 rows.

The oracle price is the store's index price; a candle has the open interest as it was when the bar began. Funding goes back
from an end, without a start. The bar in progress is left out; what the store doesn't hold is null.
Alone: `python -m infra.emulator` and `curl "$URL/dydx/v4/historicalFunding/BTC-USD?limit=2"`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from infra.emulator.books import books
from infra.emulator.market import Snapshot, latest
from infra.emulator.messages import Ask, Usage
from infra.emulator.rendering import Rows, iso, plain, text, tick
from infra.emulator.store import MS_HOUR, Candles, Funding, Listing, Profile
from infra.emulator.streams import Channel, Forced, Frame, as_json, happened, json, trade_id
from infra.emulator.venue import Venue, route

ROWS = 1000
#: Levels of a side of an order book.
DEPTH = 100


class Trades(Channel):
    """`v4_trades` of a market: the last trades first, then batches; beside each liquidation an ordinary trade."""

    path = "/v4/ws"
    every = 0.5

    def opened(self) -> Iterable[Frame]:
        self.subscribed: dict[str, bool] = {}  # whether in batches
        self.messages = -1
        yield self._message("connected")

    def _message(self, kind: str, **more: object) -> str:
        self.messages += 1
        head = {"type": kind, "connection_id": "8a1ad3a1-1f64-4c4e-a6e2-ad2a1ab8fb2c", "message_id": self.messages}
        return json(head | more)

    def receive(self, message: str) -> Iterable[Frame]:
        asked = as_json(message)
        market, channel = asked.get("id", ""), asked.get("channel")
        known = {self.venue.symbol(x) for x in self.venue.trading(self.now)}
        if asked.get("type") != "subscribe" or channel != "v4_trades":
            yield self._message("error", message=f"Invalid channel: {channel}")
        elif market not in known:
            yield self._message("error", message=f"Invalid subscription id for channel: ({channel}-{market})")
        elif market in self.subscribed or len(self.subscribed) >= 32:
            yield self._message("error", message="Invalid subscribe message: already subscribed, or too many")
        else:
            self.subscribed[market] = bool(asked.get("batched"))
            recent = [e for e in happened(self.markets, self.now - 60_000, self.now) if self.venue.symbol(e.listing) == market]
            contents = {"trades": self._trades(recent[-50:])}
            yield self._message("subscribed", channel=channel, id=market, contents=contents)

    def _trades(self, events: Sequence[Forced]) -> list[dict[str, object]]:
        """Newest first."""
        rows: list[dict[str, object]] = []
        for event in reversed(events):
            symbol = self.venue.symbol(event.listing)
            for kind in ("LIQUIDATED", "LIMIT"):
                row: dict[str, object] = {
                    "id": trade_id(symbol, event, kind == "LIQUIDATED"),
                    "side": "SELL" if event.long else "BUY",
                }
                at = {"createdAt": iso(event.time), "createdAtHeight": str(event.time // 1000)}
                rows.append(row | {"size": plain(event.size), "price": plain(event.price), "type": kind} | at)
        return rows

    def push(self, events: Sequence[Forced]) -> Iterable[Frame]:
        for market in sorted(self.subscribed):
            if own := [event for event in events if self.venue.symbol(event.listing) == market]:
                contents = {"trades": self._trades(own)}
                about = {"channel": "v4_trades", "id": market, "version": "2.1.0"}
                if self.subscribed[market]:
                    yield self._message("channel_batch_data", **about, contents=[contents])
                else:
                    yield self._message("channel_data", **about, contents=contents)


class Dydx(Venue):
    name = "dydx"
    channels = (Trades,)
    root = "/v4"
    profile = Profile(0.012, tilt=0.00003, jitter_ms=600, decimals=12, hours=1, interest=False)

    def symbol(self, listing: Listing) -> str:
        return listing.listed + "-USD"

    def usage_headers(self, usages: Iterable[Usage]) -> Mapping[str, str]:
        u = next(iter(usages))
        values = {"Limit": u.limit, "Remaining": max(0, u.limit - u.used), "Reset": u.resets_at}
        return {f"RateLimit-{name}": str(value) for name, value in values.items()}

    @route("time", requests=1)
    def time(self, ask: Ask) -> object:
        return {"iso": iso(ask.now), "epoch": ask.now / 1000}

    @route("perpetualMarkets", requests=1)
    def markets(self, ask: Ask) -> object:
        wanted = ask.query.get("market") or ask.query.get("ticker")
        listings = [self.listing(wanted, ask.now)] if wanted else self.market.listings(ask.now)
        return {"markets": {self.symbol(x): self._market(n, self.market.snapshot(x, ask.now)) for n, x in enumerate(listings)}}

    def _market(self, number: int, at: Snapshot) -> object:
        return {
            "clobPairId": str(number),
            "ticker": self.symbol(at.listing),
            "status": "FINAL_SETTLEMENT" if at.over else "ACTIVE",
            "oraclePrice": plain(at.index) or None,
            "priceChange24H": "0" if at.day is None else plain(float(at.day.close[-1] - at.day.open[0])),
            "volume24H": "0" if at.day is None else plain(float(at.day.quote_volume.sum())),
            "trades24H": 0 if at.day is None else int(at.day.trades.sum()),
            "nextFundingRate": None if at.rate is None else plain(at.rate),
            "initialMarginFraction": "0.02",
            "maintenanceMarginFraction": "0.012",
            "openInterest": plain(at.size) or None,
            "atomicResolution": -10,
            "quantumConversionExponent": -9,
            "tickSize": plain(tick(at.index)),
            "stepSize": "0.0001",
            "stepBaseQuantums": 1000000,
            "subticksPerTick": 100000,
            "marketType": "CROSS",
            "openInterestLowerCap": "0",
            "openInterestUpperCap": "0",
            "baseOpenInterest": plain(at.size) or None,
            "defaultFundingRate1H": "0",
        }

    @route("orderbooks/perpetualMarket/{ticker}", requests=1)
    def order_book(self, ask: Ask, ticker: str) -> object:
        found = books(self.snapshot(ticker, ask.now))
        return found.sides(lambda price, size: {"price": plain(price), "size": plain(size)}, DEPTH)

    @route("historicalFunding/{ticker}", requests=1)
    def funding(self, ask: Ask, ticker: str) -> bytes:
        listing, limit, until = self.listing(ticker, ask.now), ask.limit(ROWS, ROWS), ask.moment("effectiveBeforeOrAt")

        def render(f: Funding) -> Rows:
            columns = {"ticker": ticker, "rate": text(f.rate), "price": text(f.mark, absent=None)}
            times = f.settled_at.tolist()
            heights = [str(at // 640) for at in times]
            return Rows.objects(f.settled_at, {**columns, "effectiveAtHeight": heights, "effectiveAt": list(map(iso, times))})

        rows = self.market.funding_rows(listing.listed, render)
        end = ask.now if until is None else min(until, ask.now)
        return b'{"historicalFunding":%s}' % rows.page(ask, None, end, limit, newest=True, descending=True)

    @route("candles/perpetualMarkets/{ticker}", candles=1)
    def candles(self, ask: Ask, ticker: str) -> bytes:
        listing, limit, start, end = (
            self.listing(ticker, ask.now),
            ask.limit(ROWS, ROWS),
            ask.moment("fromISO"),
            ask.moment("toISO"),
        )
        ask.choice("resolution", "1HOUR")
        held = self.market.open_interest(listing.listed)

        def render(bars: Candles) -> Rows:
            columns = {
                "startedAt": list(map(iso, bars.opened_at.tolist())),
                "ticker": ticker,
                "resolution": "1HOUR",
                "low": text(bars.low),
                "high": text(bars.high),
                "open": text(bars.open),
                "close": text(bars.close),
                "baseTokenVolume": text(bars.volume, absent=None),
                "usdVolume": text(bars.quote_volume, absent=None),
                "trades": bars.trades.clip(min=0),
                "startingOpenInterest": [plain(latest(held, "size", at)) or None for at in bars.opened_at.tolist()],
            }
            return Rows.objects(bars.opened_at, columns)

        rows = self.market.candle_rows("trade", listing.listed, render)
        newest = ask.now - MS_HOUR if end is None else min(end - 1, ask.now - MS_HOUR)
        return b'{"candles":%s}' % rows.page(ask, start, newest, limit, newest=True, descending=True)


VENUE = Dydx
