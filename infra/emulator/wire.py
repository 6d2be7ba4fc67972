"""The former base of venue modules: those that have no cases yet. New ones take `infra.emulator.venue`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

from infra.emulator.market import Market, World, interval_hours, latest, next_settlement
from infra.emulator.messages import JSON, Answer, Ask, Usage
from infra.emulator.rendering import EMPTY, Lazy, Rows, contracts, encode, iso, merged, number, plain, text, tick
from infra.emulator.store import Listing, Profile

__all__ = [
    "EMPTY", "JSON", "Answer", "Ask", "Lazy", "Market", "Refusal", "Rows", "Usage", "Venue", "World", "contracts", "encode",
    "interval_hours", "iso", "latest", "merged", "next_settlement", "number", "plain", "text", "tick",
]  # fmt: skip


class Refusal(Exception):
    """A venue's own no: raised anywhere below `Venue.answer`, sent as it is."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.body)
        self.answer = answer


class Venue(ABC):
    """One source's wire format, under `/<name>`. A module in `venues/` has one, as `VENUE`.

    `limits` are weight and seconds by name; after `patience` refusals in a row comes a ban. `profile` makes it a part of the
    synthetic market; `beside` are further markets that the same host shows, by name (`World.market`).
    """

    name: str
    limits: Mapping[str, tuple[int, int]]
    patience: int | None = None
    profile: Profile | None = None
    beside: Mapping[str, Profile] = {}

    def __init__(self, world: World) -> None:
        self.world, self.market = world, world.market(self.name)

    @property
    def prefix(self) -> str:
        return "/" + self.name

    @abstractmethod
    def answer(self, ask: Ask) -> Answer: ...

    @abstractmethod
    def refuse(self, ask: Ask, usage: Usage | None, *, banned: bool = False) -> Answer:
        """Over a limit; `banned` after many refusals. `usage` is None where a fault sends it."""

    @abstractmethod
    def error(self, ask: Ask) -> Answer:
        """The venue's own error for a server that can't answer, as it sends it."""

    def usage_headers(self, usages: Iterable[Usage]) -> Mapping[str, str]:
        """What the venue tells of its limits."""
        return {}

    def blocked(self, ask: Ask) -> Answer:
        """What a forbidden region sees."""
        return Answer(b"<html><body><h1>403 Forbidden</h1></body></html>", 403, "text/html")

    def trading(self, now: int) -> list[Listing]:
        """The listings that are not over."""
        return [x for x in self.market.listings(now) if x.delisted_at is None or x.delisted_at > now]
