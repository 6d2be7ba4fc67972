"""The cases of a source: what its venue page says, written by hand as data beside the emulator's module.

`venues/<source>.yaml` holds the requests that a window makes, the errors, the recorded samples and the columns of one source.
The emulator takes its limits and its error answers from there; the tests hold client and emulator against all of it. The
types below are the form of the file; an unknown key is refused. Alone: `cases("gate").errors["limited"].encoded`.
"""

from __future__ import annotations

import re
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec

FOLDER = Path(__file__).parent / "venues"
#: Parts of the cases that a source takes from the one that it is `like`.
INHERITED = ("errors", "weights", "page_hours", "history_days", "rows", "columns")
Kind = Literal["limited", "blocked", "rejected", "transient", "key", "absent", "retired"]


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    """Base of the types below: a misspelt key is an error."""


class Many(Strict):
    """A list of requests that is too long to write down."""

    count: int
    first: str
    last: str


class Error(Strict):
    """An error of the venue, and what the client makes of it: `kind` and `message`, or neither where the status alone tells.

    `body` is JSON, or text where the venue sends none. `{name}` in it stands for a value that the emulator fills in.
    """

    status: int
    body: Any
    kind: Kind | None = None
    message: str = ""
    headers: dict[str, str] = {}

    @property
    def encoded(self) -> bytes:
        return self.body.encode() if isinstance(self.body, str) else msgspec.json.encode(self.body)


class Page(Strict):
    """An answer of the emulator, by the column `time` of `endpoint`: how many rows, and the times of its first and its last."""

    endpoint: str
    time: str
    rows: int
    first: str
    last: str


class Wire(Strict):
    """A column that is not the wire's value itself: another unit of time, a list of labels, or a value for an absent field.

    `field` may be a dotted path into inner objects; `hours` are added to a time, such as -1 for bars stamped with their end.
    """

    field: str | int
    unit: Literal["", "seconds", "nanoseconds", "iso", "labels"] = ""
    default: Any = None
    hours: int = 0


class Samples(Strict):
    """Where `../shared/recordings/wire` has bodies of this source.

    Recorded exchanges are found by `hosts` and by path, documented examples in the file `examples` by path: a path of `requests`
    or of `paths` (`*` is one part of a path; a POST's type follows after a space). `files` names bodies that keep no path:
    nautilus_trader's by file, examples by file and name; null is an endpoint that we don't read. `inside` is an envelope that
    only the samples have. `left_out` gives, by endpoint, a piece of text and why a body with it is no answer to what we ask.
    `count` is how many samples there are of each endpoint, counted by hand.
    """

    count: dict[str, int]
    hosts: list[str] = []
    paths: dict[str, str] = {}
    examples: str = ""
    files: dict[str, str | None] = {}
    inside: str = ""
    left_out: dict[str, dict[str, str]] = {}


class Events(Strict):
    """How the raw table `liquidations` states an event of the store, in SQL: time in ms, true for a long, price, coins.

    `instrument` is the column of the instrument, `resolution` the step of the times in ms.
    """

    time: str
    long: str
    price: str
    size: str
    instrument: str = "symbol"
    resolution: int = 1


class Coin(Strict):
    """The store's coin behind an instrument, how ccxt names its market, and coins in a contract (1: sizes are coins).

    `inverse` where the instrument differs in this from the others of its source.
    """

    coin: str
    symbol: str
    contract: float = 1.0
    inverse: bool | None = None


class Ccxt(Strict):
    """What ccxt reads from the emulator, page by page over `days`: for each of its methods the most rows to ask for.

    `swaps` is how many perpetuals it lists, and `inverse` whether these are. `volume` and `amount` say how sizes are counted:
    in coins, in contracts of coins (whole, or to eight decimals) or of dollars, or in coins with both sides. `running_rate` is
    read for one instrument, or for all at once. `candle_days` is for bars that reach further back than the rest.
    `replaced` are methods of ccxt that would read another host, and what they return instead.
    """

    exchange: str
    host: str
    instruments: dict[str, Coin]
    swaps: int = 8
    inverse: bool = False
    options: dict[str, Any] = {}
    replaced: dict[str, Any] = {}
    days: int = 3
    candle_days: int = 0
    funding_history: int = 0
    candles: int = 0
    mark_candles: int = 0
    index_candles: int = 0
    open_interest_history: int = 0
    running_rate: Literal["", "one", "all"] = ""
    volume: Literal["coins", "contracts", "both sides"] = "coins"
    amount: Literal["coins", "contracts", "decimal contracts", "dollar contracts", "both sides"] = "coins"


class Cases(Strict):
    """One source.

    `requests`: by endpoint, what the `days` (first and last, whole, UTC) make of `instrument`.
    `evidence`: by endpoint, who says that the venue takes what no independent client sends in the tests.
    `weights`: by endpoint, what each of its requests costs of the `limits` (default: 1 of its namesake or of the only one).
    `page_hours`: by endpoint, the most hours of one request, so that no limit of rows cuts its page short.
    `history_days`: by endpoint, how far back the venue answers, where it forgets.
    `errors`: by name. The emulator sends `limited` over a limit, `banned` after many refusals, `failing` for a fault of the
    server, `blocked` to a forbidden region, and `no_key`, `unknown_path`, `unknown_instrument`, `invalid_parameter` or
    `missing_parameter` for a wrong request; the others are the module's own, or the client's alone.
    `like` is a source with the same wire: what it has of `INHERITED` goes for this one too, by endpoint or by name, unless it
    has its own; so do its `limits` where this one has none.
    `unknown_parameters`: what the venue does with a parameter that it doesn't know: `refused` with the error `unknown_parameter`
    (or `invalid_parameter`), also where no evidence tells, or `ignored`.
    `key_header`: the header of the key, where one is needed; without it the emulator answers `no_key`.
    `not_errors`: bodies that the client must not take for an error.
    `refused`: requests to the emulator, and the error that answers each. `pages`: requests to the emulator at a page's limit.
    `documented`: by endpoint, a body as the venue page shows it, compared like a recorded sample.
    `liquidations`: how their raw table states what the store has; three days of `instrument` are compared.
    `rows`: by endpoint, where a body has its rows: a dotted path, `*` for all values of an object, `[]` for an object that has
    a list to each column, `a + b` for two lists of objects that are aligned by position (default: the body itself).
    `columns`: by endpoint, each raw column and its name or its position on the wire; under `same` those whose name is the
    wire's, under `camel` those whose name is the wire's in camelCase.
    """

    host: str
    instrument: str
    days: tuple[date, date]
    requests: dict[str, str | list[str] | Many]
    limits: dict[str, tuple[int, int]] = {}
    errors: dict[str, Error] = {}
    like: str = ""
    weights: dict[str, dict[str, int]] = {}
    page_hours: dict[str, int] = {}
    history_days: dict[str, float] = {}
    evidence: dict[str, str] = {}
    not_errors: list[Any] = []
    unknown_parameters: Literal["refused", "ignored"] = "refused"
    key_header: str = ""
    key_prefix: str = ""
    refused: dict[str, str] = {}
    pages: dict[str, Page] = {}
    rows: dict[str, str] = {}
    columns: dict[str, dict[str, str | int | Wire]] = {}
    samples: Samples | None = None
    documented: dict[str, Any] = {}
    liquidations: Events | None = None
    ccxt: Ccxt | None = None

    def sample_paths(self) -> dict[str, str]:
        """The endpoint by the path of a sample: those of the requests, `*` for the instrument, and those that `samples` adds."""
        paths = {}
        for endpoint, asked in self.requests.items():
            line = asked.first if isinstance(asked, Many) else asked if isinstance(asked, str) else asked[0]
            path = re.split("[ ?]", line)[1].replace(f"/{self.instrument}/", "/*/")
            kind = re.search(r'{"type": "(\w+)"', line)
            paths[f"{path} {kind[1]}" if kind else path] = endpoint
        return paths | (self.samples.paths if self.samples else {})

    def wire_columns(self, endpoint: str) -> dict[str, Wire]:
        """`columns` of an endpoint, each written out."""
        columns: dict[str, Wire] = {}
        for name, where in self.columns[endpoint].items():
            if name == "same":
                columns |= {column: Wire(column) for column in str(where).split()}
            elif name == "camel":
                columns |= {column: Wire(re.sub("_(.)", lambda m: m[1].upper(), column)) for column in str(where).split()}
            else:
                columns[name] = where if isinstance(where, Wire) else Wire(where)
        return columns


def names() -> list[str]:
    """The sources that have cases."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


@cache
def cases(source: str) -> Cases:
    """The cases of a source. Raises `ValueError` with file and field where the file is no such description."""
    path = FOLDER / f"{source}.yaml"
    try:
        read = msgspec.yaml.decode(path.read_bytes(), type=Cases)
    except (msgspec.ValidationError, msgspec.DecodeError) as problem:
        raise ValueError(f"{path.name}: {problem}") from None
    if not read.like:
        return read
    other = cases(read.like)
    both = {name: getattr(other, name) | getattr(read, name) for name in INHERITED}
    both |= {name: {k: v for k, v in both[name].items() if k in read.requests} for name in INHERITED if name != "errors"}
    return msgspec.structs.replace(read, limits=read.limits or other.limits, **both)
