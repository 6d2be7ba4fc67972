"""Coinbase Advanced, public market data: perpetual-style futures in contracts, text numbers, bars in seconds, newest first.

A dated future stands in the same list. The running rate is the only one: settled rates have no endpoint.
Alone: `python -m infra.emulator` and `curl "$URL/coinbase/api/v3/brokerage/market/products?product_type=FUTURE"`.
"""

from __future__ import annotations

from collections.abc import Mapping

from infra.emulator.store import MS_HOUR, Candles, Listing, Profile
from infra.emulator.wire import Answer, Ask, Refusal, Rows, Usage, Venue, encode, iso, latest, plain, text

ROOT = "/api/v3/brokerage/market/products"
#: By coin: the contract's code and the coins in it.
CONTRACTS = {"BTC": ("BIP", 0.01), "ETH": ("ETP", 0.1), "SOL": ("SLP", 5.0), "XRP": ("XPP", 500.0)}
EXPIRY = "20DEC30"
POINTS = 350


def product_id(coin: str) -> str:
    return f"{CONTRACTS[coin][0]}-{EXPIRY}-CDE"


def refusal(error: str, message: str, status: int = 400) -> Refusal:
    return Refusal(
        Answer(encode({"error": error, "error_details": message, "message": message}), status, charges={"requests": 1})
    )


class Coinbase(Venue):
    name = "coinbase"
    profile = Profile(0.02, tilt=0.00001, decimals=6, hours=1, lists=tuple(CONTRACTS))
    limits: Mapping[str, tuple[int, int]] = {"requests": (10, 1)}

    def answer(self, ask: Ask) -> Answer:
        if not ask.path.startswith(ROOT):
            raise refusal("NOT_FOUND", "route not found", 404)
        try:
            match ask.path.removeprefix(ROOT).strip("/").split("/"):
                case [""]:
                    body = encode(self._products(ask))
                case [product, "candles"]:
                    body = b'{"candles":%s}' % self._candles(ask, self._listing(product, ask.now))
                case _:
                    raise refusal("NOT_FOUND", "route not found", 404)
        except ValueError as problem:
            raise refusal("INVALID_ARGUMENT", f"argument {problem} is invalid") from None
        return Answer(body, charges={"requests": 1})

    def refuse(self, ask: Ask, usage: Usage | None, *, banned: bool = False) -> Answer:
        return refusal("RESOURCE_EXHAUSTED", "Too many requests", 429).answer

    def error(self, ask: Ask) -> Answer:
        return refusal("INTERNAL", "internal error", 500).answer

    def _listing(self, product: str, now: int) -> Listing:
        for listing in self.market.listings(now):
            if product_id(listing.listed) == product:
                return listing
        raise refusal("NOT_FOUND", "valid product_id is required", 404)

    def _products(self, ask: Ask) -> object:
        found: list[object] = []
        if ask.query.get("product_type") == "FUTURE" and ask.query.get("contract_expiry_type") != "PERPETUAL":
            found = [*(self._perpetual(x, ask.now) for x in self.trading(ask.now)), self._dated()]
        return {"products": found, "num_products": len(found)}

    def _dated(self) -> object:
        details = {"funding_interval": None, "funding_rate": "", "funding_time": None, "open_interest": "2000", "index_price": ""}
        return self._product("BIT-26MAR27-CDE", "", "BTC", 0.01, details, "2027-03-26T16:00:00Z")

    def _perpetual(self, listing: Listing, now: int) -> object:
        coin, (_, size) = listing.listed, CONTRACTS[listing.listed]
        held, rate = latest(self.market.open_interest(coin), "size", now) / size, self.market.running_rate(coin, now)
        details = {
            "funding_interval": "3600s",
            "funding_rate": "" if rate is None else plain(rate),
            "funding_time": iso(now // MS_HOUR * MS_HOUR)[:19] + "Z",
            "open_interest": "" if held != held else str(round(held)),
            "index_price": plain(self.market.price(coin, "index", now)),
        }
        price = plain(self.market.price(coin, "trade", now))
        return self._product(product_id(coin), price, coin, size, details, "2030-12-20T16:00:00Z")

    @staticmethod
    def _product(name: str, price: str, coin: str, size: float, details: Mapping[str, object], expiry: str) -> object:
        return {
            "product_id": name,
            "price": price,
            "base_increment": "1",
            "price_increment": "0.01",
            "quote_increment": "0.01",
            "trading_disabled": False,
            "product_type": "FUTURE",
            "quote_currency_id": "USD",
            "base_currency_id": "",
            "product_venue": "FCM",
            "display_name": f"{coin} PERP" if details["funding_interval"] else f"{coin} {expiry[:10]}",
            "future_product_details": {
                "venue": "cde",
                "contract_code": name.split("-")[0],
                "contract_expiry": expiry,
                "contract_size": plain(size),
                "contract_root_unit": coin,
                "contract_expiry_type": "EXPIRING",
                "non_crypto": False,
                "futures_asset_type": "FUTURES_ASSET_TYPE_CRYPTO",
                "perpetual_details": {"open_interest": details["open_interest"], "funding_rate": ""},
                **details,
            },
        }

    def _candles(self, ask: Ask, listing: Listing) -> bytes:
        if ask.query.get("granularity") != "ONE_HOUR":
            raise ValueError("granularity (the emulator keeps ONE_HOUR)")
        start, end, limit = ask.integer("start"), ask.integer("end"), ask.integer("limit") or POINTS
        if start is None or end is None or (end - start) // 3600 >= POINTS or not 1 <= limit <= POINTS:
            raise ValueError("start and end - number of candles requested should be less than 350")
        size = CONTRACTS[listing.listed][1]

        def render(bars: Candles) -> Rows:
            prices = (text(x) for x in (bars.open, bars.high, bars.low, bars.close))
            columns = (map(str, (bars.opened_at // 1000).tolist()), *prices, text((bars.volume / size).round()))
            names = ("start", "open", "high", "low", "close", "volume")
            return Rows(bars.opened_at, [encode(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)])

        rows = self.market.rows("candles", listing.listed, self.market.candles(listing.listed, "trade"), render)
        until = min(end * 1000, ask.now - MS_HOUR)
        return rows.array(rows.span(ask, start * 1000, until, limit, newest=True), descending=True)


VENUE = Coinbase
