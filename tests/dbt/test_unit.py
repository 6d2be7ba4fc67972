"""dbt's unit tests (hand-worked conversions, beside the models) and the agreement of SQL and Python on names."""

from __future__ import annotations

from pathlib import Path

import duckdb
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.symbols import base_asset
from tests.dbt.conftest import Dbt

LISTED = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["", "k", "1000", "10000", "100000", "1000000", "1M", "1", "K"]),
        st.one_of(st.sampled_from(["PEPE", "XBT", "INCH", "M", "SHIB", "a"]), st.text("ABKMTXk01", max_size=6)),
        st.sampled_from(["", "1000", "000"]),
    ),
)


def test_conversions_by_hand(dbt: Dbt, path: Path) -> None:
    results = dbt(path, "test", "--select", "test_type:unit").results
    assert dbt.manifest.unit_tests.keys() <= {result.node.unique_id for result in results}


def test_sql_and_python_agree_on_base_assets(path: Path) -> None:
    """The union of instruments reads Hyperliquid's names, whatever they are; prices are divided by the multiplier."""
    with duckdb.connect(str(path)) as connection:

        @settings(max_examples=30, deadline=None)
        @given(st.lists(LISTED, min_size=1, max_size=60, unique=True))
        def agree(names: list[str]) -> None:
            connection.execute("delete from raw.hyperliquid__instruments")
            connection.execute(
                "insert into raw.hyperliquid__instruments by name select unnest($1::varchar[]) as name, 0 as sz_decimals,"
                " '' as _page, '' as _run, timestamp '2025-10-01' as _observed_at",
                [names],
            )
            query = "select symbol, base_asset, multiplier from intermediate.int_instruments"
            for name, base, multiplier in connection.execute(query).fetchall():
                assert base == base_asset(name)
                assert multiplier in {1.0, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9}
                assert (multiplier == 1) == (name == base or name in ALIASES)

        agree()


ALIASES = ("XBT", "MATIC", "RNDR", "FTM", "LUNA2")


def test_a_name_means_what_it_meant_on_that_day(path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "insert into raw.hyperliquid__instruments by name select name, 0 as sz_decimals, '' as _page, '' as _run, seen as"
            " _observed_at from (values ('LUNA'), ('LUNA2'), ('MATIC'), ('kFTM')) as n(name),"
            " (values (timestamp '2022-05-27'), (timestamp '2022-05-28')) as t(seen)"
        )
        assets = connection.execute("select symbol, base_asset from intermediate.int_instruments order by all").fetchall()
    assert assets == [
        ("LUNA", "LUNA"), ("LUNA", "LUNC"), ("LUNA2", "LUNA"), ("LUNA2", "LUNA2"), ("MATIC", "POL"), ("MATIC", "POL"),
        ("kFTM", "S"), ("kFTM", "S"),
    ]  # fmt: skip
