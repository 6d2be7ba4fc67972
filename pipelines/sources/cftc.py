"""CFTC: the weekly Commitments of Traders report, which has the open interest of CME's crypto futures.

Facts: the venue page of CME. Host https://publicreporting.cftc.gov: Socrata's JSON, every value text. A row is a contract and a
Tuesday, published on the Friday after, later around holidays and shutdowns. Open interest is in contracts, counted once.
A request reaches three weeks back before its window, so that a later run loads a report that was published late.
Alone: `perps fetch --venues cme --from 2025-10-01 --to 2025-10-31`.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from pipelines.error_bodies import error_reader
from pipelines.records import Number, Record, UtcMs
from pipelines.source import Endpoint, Instrument, Limit, Request, Source
from pipelines.windows import DAY, Window, iso

#: Traders in financial futures, futures only.
REPORT = "/resource/gpe5-46if.json"
#: Bitcoin, ether, SOL and XRP of CME, each followed by its micro contract. Spot-quoted contracts are in no report.
CONTRACTS = ("133741", "133742", "146021", "146022", "177741", "177742", "176740", "176741")
LATE = 21 * DAY
ROWS = 5000
DATE = "report_date_as_yyyy_mm_dd"


class Report(Record):
    """`reported_on` is the Tuesday's start; `open_interest` counts contracts."""

    contract_code: str = msgspec.field(name="cftc_contract_market_code")
    reported_on: UtcMs = msgspec.field(name=DATE)
    contract_name: str = msgspec.field(name="contract_market_name")
    open_interest: Number = msgspec.field(name="open_interest_all")
    contract_units: str = ""


def _plan(instrument: Instrument, window: Window) -> Iterable[Request]:
    span = Window((window.start - LATE) // DAY * DAY, window.end)
    codes = ", ".join(f"'{code}'" for code in CONTRACTS)
    start, end = (iso(ms).removesuffix("Z") for ms in (span.start, span.end))
    where = f"cftc_contract_market_code in ({codes}) and {DATE} >= '{start}' and {DATE} < '{end}'"
    params: dict[str, str | int] = {"$where": where, "$order": f"{DATE}, cftc_contract_market_code", "$limit": ROWS}
    yield Request(REPORT, params, window=span, weights={"requests": 1})


SOURCE = Source(
    name="cftc",
    venue="cme",
    base_url="https://publicreporting.cftc.gov",
    # No limit is documented for requests without a token.
    limits={"requests": Limit(60, 60)},
    error=error_reader(message="message"),
    endpoints=(
        Endpoint(
            "reports",
            Report,
            key=("contract_code", "reported_on"),
            time="reported_on",
            plan=_plan,
            bulk=True,
            # More than a hundred columns by kind of trader are not read.
            ignored_fields=frozenset("*"),
        ),
    ),
)
