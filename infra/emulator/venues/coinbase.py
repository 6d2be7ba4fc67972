"""Coinbase Advanced, public market data: perpetual-style futures in contracts, text numbers, bars in seconds, newest first.

The list also has a dated future, and a perpetual of the international exchange, which has no expiry. The running rate is the only
rate: settled rates have no endpoint.
Alone: `python -m infra.emulator` and `curl "$URL/coinbase/api/v3/brokerage/market/products?product_type=FUTURE"`.
"""

from __future__ import annotations

from collections.abc import Mapping

from infra.emulator.books import books
from infra.emulator.market import Snapshot
from infra.emulator.messages import Ask, InvalidParameter
from infra.emulator.rendering import Rows, iso, plain, text
from infra.emulator.store import MS_HOUR, Candles, Listing, Profile
from infra.emulator.venue import Venue, route

#: By coin: the contract's code and the coins in it.
CONTRACTS = {"BTC": ("BIP", 0.01), "ETH": ("ETP", 0.1), "SOL": ("SLP", 5.0), "XRP": ("XPP", 500.0)}
POINTS = 350
#: Levels of a side that come without a limit (unverified).
LEVELS = 1000


class Coinbase(Venue):
    name = "coinbase"
    root = "/api/v3/brokerage/market"
    profile = Profile(0.02, tilt=0.00001, decimals=6, hours=1, lists=tuple(CONTRACTS))

    def symbol(self, listing: Listing) -> str:
        return f"{CONTRACTS[listing.listed][0]}-20DEC30-CDE"

    @route("products", "requests")
    def products(self, ask: Ask) -> object:
        listed: list[object] = []
        if ask.query.get("product_type") == "FUTURE" and ask.query.get("contract_expiry_type") != "PERPETUAL":
            listed = [self._perpetual(x) for x in self.snapshots(ask.now)]
            empty = {"funding_interval": None, "funding_rate": "", "funding_time": None, "index_price": ""}
            dated = {**empty, "open_interest": "2000"}
            listed.append(self._product("BIT-26MAR27-CDE", "", "BTC", 0.01, dated, "2027-03-26T16:00:00Z"))
            listed.append(self._product("ETH-PERP-INTX", "", "ETH", 1.0, {**empty, "open_interest": "0"}, None))
        return {"products": listed, "num_products": len(listed)}

    def _perpetual(self, at: Snapshot) -> object:
        coin, (_, size) = at.listing.listed, CONTRACTS[at.listing.listed]
        details = {
            "funding_interval": "3600s",
            "funding_rate": "" if at.rate is None else plain(at.rate),
            "funding_time": iso(at.now // MS_HOUR * MS_HOUR)[:19] + "Z",
            "open_interest": "" if at.size != at.size else str(round(at.size / size)),
            "index_price": plain(at.index),
        }
        return self._product(self.symbol(at.listing), plain(at.last), coin, size, details, "2030-12-20T16:00:00Z")

    @staticmethod
    def _product(name: str, price: str, coin: str, size: float, details: Mapping[str, object], expiry: str | None) -> object:
        kind = f"{coin} {expiry[:10]}" if expiry and not details["funding_interval"] else f"{coin} PERP"
        return {
            "product_id": name,
            "price": price,
            "base_increment": "1",
            "price_increment": "0.01",
            "quote_increment": "0.01",
            "trading_disabled": False,
            "product_type": "FUTURE",
            "quote_currency_id": "USD" if expiry else "USDC",
            "base_currency_id": "",
            "product_venue": "FCM" if expiry else "INTX",
            "display_name": kind,
            "future_product_details": {
                "venue": "cde",
                "contract_code": name.split("-")[0],
                "contract_expiry": expiry,
                "contract_size": plain(size),
                "contract_root_unit": coin,
                "contract_expiry_type": "EXPIRING" if expiry else "PERPETUAL",
                "non_crypto": False,
                "futures_asset_type": "FUTURES_ASSET_TYPE_CRYPTO",
                "perpetual_details": {"open_interest": details["open_interest"], "funding_rate": ""},
                **details,
            },
        }

    @route("product_book", "requests")
    def order_book(self, ask: Ask) -> object:
        at, limit = self.snapshot(ask.required("product_id"), ask.now), ask.limit(LEVELS, LEVELS)
        size = CONTRACTS[at.listing.listed][1]
        sides = books(at).sides(lambda price, coins: {"price": plain(price), "size": str(max(1, round(coins / size)))}, limit)
        return {"pricebook": {"product_id": self.symbol(at.listing), **sides, "time": iso(ask.now)}}

    @route("products/{product}/candles", "requests")
    def candles(self, ask: Ask, product: str) -> bytes:
        listing = self.listing(product, ask.now)
        ask.choice("granularity", "ONE_HOUR")
        limit, start, end = ask.limit(POINTS, POINTS), int(ask.required("start")), int(ask.required("end"))
        if (end - start) // 3600 >= POINTS:
            raise InvalidParameter("start and end - number of candles requested should be less than 350")
        size = CONTRACTS[listing.listed][1]

        def render(bars: Candles) -> Rows:
            columns = {"start": list(map(str, (bars.opened_at // 1000).tolist()))}
            columns |= {"open": text(bars.open), "high": text(bars.high), "low": text(bars.low), "close": text(bars.close)}
            return Rows.objects(bars.opened_at, {**columns, "volume": text((bars.volume / size).round())})

        rows, last = self.market.candle_rows("trade", listing.listed, render), min(end * 1000, ask.now - MS_HOUR)
        return b'{"candles":%s}' % rows.page(ask, start * 1000, last, limit, newest=True, descending=True)


VENUE = Coinbase
