"""CFTC: the weekly Commitments of Traders report, whence the open interest of CME's bitcoin and ether futures.

Facts: `shared/venues/cme.md`. Socrata's JSON, every value a text; a row a contract and Tuesday, published on the Friday after,
later around holidays and shutdowns. Contracts are counted once. CME itself has no free interface that could be depended on.
A window is asked for with the three weeks before it, so that a report that came late is found by a later run.
Alone: `perps fetch --venues cme --from 2025-10-01 --to 2025-10-31`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from pipelines.records import Ms, Number, Record
from pipelines.shapes import decode_or_none
from pipelines.source import Endpoint, Instrument, Limit, Request, Source, VenueProblem
from pipelines.windows import DAY, Window, iso, to_ms

#: Traders in financial futures, futures only.
REPORT = "/resource/gpe5-46if.json"
#: Bitcoin, micro bitcoin, ether, micro ether (U).
CONTRACTS = ("133741", "133742", "146021", "146022")
LATE = 21 * DAY
ROWS = 5000


class Line(msgspec.Struct):
    """A row as it is sent."""

    report_date_as_yyyy_mm_dd: str
    cftc_contract_market_code: str
    contract_market_name: str
    open_interest_all: str
    contract_units: str = ""


class Report(Record):
    """`reported_on` is the Tuesday's start, milliseconds UTC; `open_interest` counts contracts."""

    contract_code: str
    reported_on: Ms
    contract_name: str
    open_interest: Number
    contract_units: str


class ErrorBody(msgspec.Struct):
    message: str
    error: bool = True


def error(status: int, body: bytes) -> VenueProblem | None:
    """`{"code": "query.soql.…", "error": true, "message": "…"}` with a status."""
    said = decode_or_none(body, ErrorBody)
    if said is None:
        return None
    return VenueProblem.by_status(status, said.message)


def _read(page: Sequence[Line]) -> Sequence[Report]:
    """Raises ValueError for a date or a number that is none."""
    return [
        Report(
            line.cftc_contract_market_code,
            to_ms(datetime.fromisoformat(line.report_date_as_yyyy_mm_dd + "Z")),
            line.contract_market_name,
            float(line.open_interest_all),
            line.contract_units,
        )
        for line in page
    ]


def _plan(instrument: Instrument, window: Window) -> Iterable[Request]:
    asked = Window((window.start - LATE) // DAY * DAY, window.end)
    codes = ", ".join(f"'{code}'" for code in CONTRACTS)
    start, end = (iso(ms).removesuffix("Z") for ms in (asked.start, asked.end))
    date = "report_date_as_yyyy_mm_dd"
    where = f"cftc_contract_market_code in ({codes}) and {date} >= '{start}' and {date} < '{end}'"
    params: dict[str, str | int] = {"$where": where, "$order": f"{date}, cftc_contract_market_code", "$limit": ROWS}
    yield Request(REPORT, params, window=asked, weights={"requests": 1})


SOURCE = Source(
    name="cftc",
    venue="cme",
    base_url="https://publicreporting.cftc.gov",
    # Nothing is documented for those without a token.
    limits={"requests": Limit(60, 60)},
    error=error,
    endpoints=(
        Endpoint(
            "reports",
            Report,
            key=("contract_code", "reported_on"),
            time="reported_on",
            plan=_plan,
            rows=_read,
            bulk=True,
            # With a decoder of its own nothing is reported as new: there are a hundred columns and more by kind of trader.
            decode=msgspec.json.Decoder(list[Line]).decode,
        ),
    ),
)
