"""Wire types: values that are accepted or refused, and their Arrow types."""

from __future__ import annotations

import json
from decimal import Decimal

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import records
from pipelines.client import Page
from pipelines.fetch import _unknown_fields
from pipelines.records import MaybeNumber, Ms, Number, Record
from pipelines.registry import source_rows
from pipelines.sources import get_source


class Row(Record, rename="camel"):
    stamp_ms: Ms
    rate: Number
    mark_price: MaybeNumber = None
    count: int | None = None
    name: str = "x"
    live: bool | None = None


DECODER = msgspec.json.Decoder(list[Row], strict=False)
STAMP = 1_760_054_400_000


def read(**fields: object) -> Row:
    [row] = DECODER.decode(json.dumps([{"stampMs": STAMP, "rate": "0.1", **fields}]))
    return row


def test_types_become_arrow_types_with_bookkeeping_at_the_end() -> None:
    schema = records.arrow_schema(Row, ("symbol",))
    assert schema == pa.schema(
        [
            pa.field("stamp_ms", pa.int64(), nullable=False),
            pa.field("rate", pa.float64(), nullable=False),
            pa.field("mark_price", pa.float64()),
            pa.field("count", pa.int64()),
            pa.field("name", pa.string(), nullable=False),
            pa.field("live", pa.bool_()),
            pa.field("symbol", pa.string(), nullable=False),
            pa.field("_page", pa.string(), nullable=False),
            pa.field("_run", pa.string(), nullable=False),
            pa.field("_observed_at", pa.timestamp("us"), nullable=False),
            pa.field("_place", pa.int64(), nullable=False),
        ]
    )


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**15), max_value=10**15, places=12))
def test_numbers_as_text_and_as_numbers_are_the_nearest_float(number: Decimal) -> None:
    text = format(number, "f")
    [as_text] = DECODER.decode(f'[{{"stampMs":{STAMP},"rate":"{text}","markPrice":"{text}"}}]')
    [as_number] = DECODER.decode(f'[{{"stampMs":"{STAMP}","rate":{text},"markPrice":{text}}}]')
    assert as_text.rate == as_number.rate == as_text.mark_price == as_number.mark_price == float(number)
    assert as_number.stamp_ms == STAMP


@pytest.mark.parametrize("absent", ["", None])
def test_the_empty_text_and_null_are_null_where_a_number_may_be_missing(absent: object) -> None:
    schema = records.arrow_schema(Row)
    rows = [read(markPrice=absent), read(markPrice="2.5")]
    assert records.columns(Row, rows)[schema.get_field_index("mark_price")].to_pylist() == [None, 2.5]
    with pytest.raises(msgspec.ValidationError, match=r"\$\[0\]\.rate"):
        read(rate=absent)


@pytest.mark.parametrize("field", ["rate", "markPrice"])
@pytest.mark.parametrize("bad", ["NaN", "nan", "Infinity", "-inf", "1e400", "n/a", "0x10", "1,5", " 1", True, [], {}])
def test_a_value_that_is_no_finite_number_is_refused_by_name(field: str, bad: object) -> None:
    with pytest.raises(msgspec.ValidationError, match=rf"\$\[0\]\.{field}"):
        read(**{field: bad})


@pytest.mark.parametrize(
    "stamp",
    [STAMP // 1000, STAMP * 1000, 0, -1, 1_388_534_399_999, 2_208_988_800_000, "", "2025-10-10", STAMP + 0.5, None],
)
def test_timestamps_in_another_unit_are_refused(stamp: object) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"\$\[0\]\.stampMs"):
        read(stampMs=stamp)


def test_a_missing_field_is_refused_by_name_and_an_unknown_one_is_ignored() -> None:
    with pytest.raises(msgspec.ValidationError, match="missing required field `rate`"):
        DECODER.decode(f'[{{"stampMs":{STAMP}}}]')
    assert read(brandNew={"a": 1}).rate == 0.1


def test_names_that_differ_by_case_stay_apart() -> None:
    dataset = get_source("hyperliquid").endpoint("candles")
    body = b'[{"t":1760054400000,"T":1760057999999,"s":"BTC","i":"1h","o":"1","c":"4","h":"5","l":"0.5","v":"7","n":3}]'
    [row] = dataset.read(body)
    assert (row.open_time, row.close_time) == (1760054400000, 1760057999999)


@pytest.mark.parametrize(("name", "dataset"), [(n, d.name) for n in source_rows() for d in get_source(n).endpoints])
def test_every_raw_table_has_its_key_not_null(name: str, dataset: str) -> None:
    endpoint = get_source(name).endpoint(dataset)
    assert len(set(endpoint.schema.names)) == len(endpoint.schema.names)
    assert len({n.lower() for n in endpoint.schema.names}) == len(endpoint.schema.names), "DuckDB folds the case of names"
    assert not any(endpoint.schema.field(n).nullable for n in endpoint.primary_key)
    if endpoint.time:
        assert endpoint.schema.field(endpoint.time).type == pa.int64()


NEW = [
    ("binance_usdm", "funding_rates", [{"symbol": "A", "fundingTime": STAMP, "fundingRate": "0", "markPrice": "1", "brandNew": 1}]),  # noqa: E501
    ("bybit_linear", "funding_rates", {"result": {"list": [{"symbol": "A", "fundingRateTimestamp": STAMP, "fundingRate": "0", "brandNew": 1}]}}),  # noqa: E501
    ("hyperliquid", "funding_rates", [{"coin": "A", "time": STAMP, "fundingRate": "0", "premium": "0", "brandNew": 1}]),
    ("hyperliquid", "contexts", [{"universe": [{"name": "A", "szDecimals": 1}]}, [{"funding": "0", "openInterest": "1", "oraclePx": "1", "markPx": "1", "premium": "0", "dayNtlVlm": "1", "brandNew": 1}]]),  # noqa: E501
    ("kraken_futures", "tickers", {"tickers": [{"symbol": "A", "tag": "perpetual", "pair": "A:USD", "markPrice": 1, "indexPrice": 1, "brandNew": 1}]}),  # noqa: E501
    ("kraken_futures", "funding_rates", {"rates": [{"timestamp": "2025-10-10T00:00:00Z", "relativeFundingRate": 0, "fundingRate": 0, "brandNew": 1}]}),  # noqa: E501
    ("kraken_futures", "candles", {"candles": [{"time": STAMP, "open": 1, "high": 1, "low": 1, "close": 1, "volume": 1, "brandNew": 1}]}),  # noqa: E501
]  # fmt: skip


@pytest.mark.parametrize(("name", "dataset", "body"), NEW, ids=[f"{n}.{d}" for n, d, _ in NEW])
def test_a_new_field_is_reported(name: str, dataset: str, body: object) -> None:
    endpoint = get_source(name).endpoint(dataset)
    content = json.dumps(body).encode()
    page = Page(content, 200, "", "", 0, endpoint.read(content))
    page.rows = endpoint.rows(page.content)
    assert _unknown_fields(endpoint, page) == {"brandNew"}
