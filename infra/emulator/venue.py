"""The base of every venue module: routes, errors, limits and instruments of one source's wire format.

    class Gate(Venue):
        name = "gate"

        @route("/api/v4/futures/usdt/contracts", contracts=1)
        def contracts(self, ask: Ask) -> object: ...

A request goes to the method whose route has its path; what it raises becomes an error of the source's cases
(`venues/<source>.yaml`), as do a broken limit, a failing server and a forbidden region. Nothing to run alone.
"""

from __future__ import annotations

import math
import re
from abc import ABC
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from infra.emulator.cases import Cases, Error, cases
from infra.emulator.limits import BAN_SECONDS
from infra.emulator.market import Market, Snapshot, World
from infra.emulator.messages import JSON, Answer, Ask, MissingParameter, Usage
from infra.emulator.rendering import encode, iso
from infra.emulator.store import Listing, Profile
from infra.emulator.streams import Channel, expression

#: What a forbidden region sees where the cases have no `blocked`.
FORBIDDEN = Error(403, "<html><body><h1>403 Forbidden</h1></body></html>")
#: What answers a parameter that the venue doesn't know, where the cases have no such error.
UNKNOWN_PARAMETER = Error(400, {"error": "unknown parameter {parameter}"})
#: The one key that the emulator takes.
KEY = "emulator"
Handler = TypeVar("Handler", bound=Callable[..., Any])


class Refused(Exception):
    """An error of the cases, by name: raised anywhere below `Venue.answer`. `values` fill the placeholders of its body."""

    def __init__(self, error: str, **values: object) -> None:
        super().__init__(error)
        self.error, self.values = error, values


def route(pattern: str, *limits: str, **charges: int) -> Callable[[Handler], Handler]:
    """Requests of this path go to the method, and cost one of each of `limits`, and of others as much as `charges` say.

    `{name}` is a part of the path that the method takes as an argument, `{name:a|b}` one of these. A pattern without a slash
    at its start follows the venue's `root`.
    """

    def mark(handler: Handler) -> Handler:
        handler.__dict__.setdefault("routes", []).append((pattern, dict.fromkeys(limits, 1) | charges))
        return handler

    return mark


class Venue(ABC):
    """One source's wire format, under `/<name>`. A module in `venues/` has one, as `VENUE`.

    A method with a route gives an `Answer`, bytes, or an object that is sent as JSON; `envelope` puts around the latter two
    what the venue has around all of them. `symbol` names a listing as the venue does. Limits and the header of a key are
    those of the cases; after `patience` refusals in a row comes a ban. `profile` makes it a part of the synthetic market;
    `beside` are further markets that the same host shows, by name (`World.market`), `channels` its streams (`streams`).
    """

    name: str
    root: str = ""
    patience: int | None = None
    profile: Profile | None = None
    beside: Mapping[str, Profile] = {}
    channels: tuple[type[Channel], ...] = ()

    def __init__(self, world: World) -> None:
        self.world, self.market = world, world.market(self.name)
        self.cases = self.read_cases()
        self.limits = self.cases.limits
        self._routes = [
            (re.compile(expression(pattern if pattern.startswith("/") else f"{self.root}/{pattern}")), handler, charges)
            for handler, routes in self._handlers()
            for pattern, charges in routes
        ]

    @classmethod
    def _handlers(cls) -> Iterator[tuple[Callable[..., Any], list[tuple[str, Mapping[str, int]]]]]:
        """The methods with routes; one that is overridden keeps its routes unless it has its own."""
        for name in dir(cls):
            for owner in cls.__mro__:
                if routes := getattr(owner.__dict__.get(name), "routes", None):
                    yield getattr(cls, name), routes
                    break

    @classmethod
    def read_cases(cls) -> Cases:
        """The cases of the source that the module is named after."""
        return cases(cls.__module__.rpartition(".")[2])

    @property
    def prefix(self) -> str:
        return "/" + self.name

    @property
    def streamed(self) -> Mapping[str, Market]:
        """The markets whose liquidations its channels send."""
        return {name: self.world.market(name) for name in (self.name, *self.beside)}

    def symbol(self, listing: Listing) -> str:
        return listing.listed

    def envelope(self, data: bytes, ask: Ask) -> bytes:
        return data

    def answer(self, ask: Ask) -> Answer:
        header = self.cases.key_header
        if header and ask.headers.get(header) != self.cases.key_prefix + KEY:
            return self.respond("no_key", ask)
        for path, handler, charges in self._routes:
            if match := path.fullmatch(ask.path):
                return self._handle(ask, lambda: handler(self, ask, **match.groupdict()), charges)  # noqa: B023
        return self.respond("unknown_path", ask)

    def _handle(self, ask: Ask, handle: Callable[[], object], charges: Mapping[str, int]) -> Answer:
        """What a handler gives as an answer: an error of the cases where it raises one."""
        try:
            content = handle()
        except Refused as refused:
            answer = self.respond(refused.error, ask, **refused.values)
        except ValueError as problem:
            missing = isinstance(problem, MissingParameter) and "missing_parameter" in self.cases.errors
            answer = self.respond("missing_parameter" if missing else "invalid_parameter", ask, parameter=str(problem))
        else:
            if ask.query.unread and self.cases.unknown_parameters == "refused":
                known = [error for error in ("unknown_parameter", "invalid_parameter") if error in self.cases.errors]
                return self.respond(known[0] if known else "unknown_parameter", ask, parameter=min(ask.query.unread))
            if not isinstance(content, Answer):
                content = Answer(self.envelope(content if isinstance(content, bytes) else encode(content), ask))
            answer = content
        return answer if answer.charges else replace(answer, charges=charges)

    def respond(self, error: str, ask: Ask, **values: object) -> Answer:
        """An error of the cases; `{now}`, `{now_iso}`, `{path}` and `{method}` are those of the request."""
        case = self.cases.errors.get(error) or (UNKNOWN_PARAMETER if error == "unknown_parameter" else FORBIDDEN)
        values |= {"now": ask.now, "now_iso": iso(ask.now), "path": ask.path, "method": ask.method}
        headers = {name: str(_filled(text, values)) for name, text in case.headers.items()}
        if isinstance(case.body, str):
            kind = {"<?": "application/xml", "<h": "text/html"}.get(case.body[:2], "text/plain")
            return Answer(str(_filled(case.body, values)).encode(), case.status, kind, headers)
        return Answer(encode(_filled(case.body, values)), case.status, JSON, headers)

    def refuse(self, ask: Ask, usage: Usage | None, *, banned: bool = False) -> Answer:
        """Over a limit; `banned` after many refusals. `usage` is None where a fault sends it."""
        wait = BAN_SECONDS if banned else math.ceil(usage.seconds_left) if usage else 1
        return self.respond("banned" if banned and "banned" in self.cases.errors else "limited", ask, wait=wait)

    def error(self, ask: Ask) -> Answer:
        """A server that can't answer."""
        return self.respond("failing", ask)

    def blocked(self, ask: Ask) -> Answer:
        """A forbidden region."""
        return self.respond("blocked", ask)

    def usage_headers(self, usages: Iterable[Usage]) -> Mapping[str, str]:
        """What the venue tells of its limits."""
        return {}

    def trading(self, now: int) -> list[Listing]:
        """The listings that are not over."""
        return [x for x in self.market.listings(now) if x.delisted_at is None or x.delisted_at > now]

    def listing(self, symbol: str, now: int) -> Listing:
        """The listing of that symbol, delisted or not. Raises the error `unknown_instrument`."""
        for listing in self.market.listings(now):
            if self.symbol(listing) == symbol:
                return listing
        raise Refused("unknown_instrument", symbol=symbol)

    def snapshots(self, now: int) -> list[Snapshot]:
        """The present of the listings that are not over."""
        return [self.market.snapshot(listing, now) for listing in self.trading(now)]

    def snapshot(self, symbol: str, now: int) -> Snapshot:
        """The present of the listing of that symbol. Raises the error `unknown_instrument`."""
        return self.market.snapshot(self.listing(symbol, now), now)


def _filled(body: Any, values: Mapping[str, object]) -> Any:
    """A body of the cases with its placeholders filled; one that is the whole text keeps the value's type."""
    if isinstance(body, dict):
        return {name: _filled(value, values) for name, value in body.items()}
    if isinstance(body, list):
        return [_filled(value, values) for value in body]
    if not isinstance(body, str):
        return body
    if whole := re.fullmatch(r"\{(\w+)\}", body):
        return values[whole[1]]
    return re.sub(r"\{(\w+)\}", lambda match: str(values[match[1]]), body)
