"""`perplake.published`: the limit of time of a question from outside."""

import duckdb
import pytest

from perplake.published import asked, json_rows, question, within


@pytest.mark.parametrize("milliseconds", [step / 4 for step in range(0, 40)])
def test_a_limit_of_time_is_named_whatever_it_interrupts(milliseconds: float) -> None:
    """An interrupt meets the parser, the check, the binder or the execution: each has the same message."""
    took = pytest.raises(ValueError, match="the query took more than")
    with duckdb.connect() as db, took, asked(), within(db, milliseconds / 1000):
        list(json_rows(question(db, "SELECT count(*) FROM range(1000000) AS a, range(1000000) AS b, range(1000000) AS c")))
