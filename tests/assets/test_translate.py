"""What DuckDB says otherwise than Spark, by hand. That the rows are equal, `test_spark.py` proves on a cluster."""

from __future__ import annotations

import pytest
from sqlglot.schema import MappingSchema

from assets.spark.translate import translated

SCHEMA = MappingSchema(
    {
        "x": {
            "t": {"k": "VARCHAR", "n": "BIGINT", "v": "DOUBLE", "d": "DATE", "at": "TIMESTAMP"},
            "u": {"v": "DOUBLE", "k": "VARCHAR"},
        }
    },
    dialect="duckdb",
)


@pytest.mark.parametrize(
    ("duckdb", "spark"),
    [
        ("select arg_max(k, n) as a from x.t", "MAX_BY(`t`.`k`, `t`.`n`) FILTER(WHERE NOT `t`.`k` IS NULL)"),
        ("select v || ' of ' || n as a from x.t", "TEXT_OF(`t`.`v`) || ' of ' || `t`.`n`"),
        ("select v::bigint as a from x.t", "CAST(RINT(`t`.`v`) AS BIGINT)"),
        ("select d + interval 1 day as a from x.t", "CAST(`t`.`d` AS TIMESTAMP_NTZ) + INTERVAL '1' DAY"),
        ("select date_diff('hour', at, at) as a from x.t", "BOUNDS_BETWEEN(`t`.`at`, `t`.`at`, 3600000000)"),
        ("select sum((v * 4)::hugeint)::double as a from x.t", "REAL_OF(SUM(WHOLE_OF((`t`.`v` * 4))))"),
        ("select coalesce(at, 'infinity') as a from x.t", "COALESCE(`t`.`at`, '9999-12-31')"),
        ("select format('{} at {:.3g}', n, v) as a from x.t", "CONCAT(`t`.`n`, ' at ', DIGITS_OF(`t`.`v`, 3))"),
        ("select regexp_replace(k, '^(a)b', '\\1') as a from x.t", "REGEXP_REPLACE(`t`.`k`, '^(a)b', '$1')"),
        ("select list(k order by n desc) as a from x.t", "COLLECT_LIST(STRUCT(-`t`.`n` AS key_0, `t`.`k` AS value))"),
        ("select unnest([d])::timestamp as a from x.t", "EXPLODE(CAST(ARRAY(`t`.`d`) AS ARRAY<TIMESTAMP_NTZ>))"),
        (
            "select k, v from x.t union all by name select v, k from x.u",
            "UNION ALL SELECT `u`.`k` AS `k`, `u`.`v` AS `v` FROM",
        ),
        (
            "select t.n from x.t as t asof left join x.t as i on t.k = i.k and t.at >= i.at",
            "LEFT JOIN (SELECT *, LEAD(at) OVER (PARTITION BY k ORDER BY at) AS _until FROM x__t) AS i ON `t`.`k` = `i`.`k`",
        ),
        ("select n from x.t where (k, n) in (select (k, n) from x.t)", "IN (SELECT `t`.`k`, `t`.`n` FROM x__t"),
    ],
)
def test_a_query_by_hand(duckdb: str, spark: str) -> None:
    assert spark in translated(duckdb, SCHEMA)["query"]


@pytest.mark.parametrize(
    ("end", "views"),
    [
        ("select n from s", []),
        ("select n from s union all select n from s", ["q__s"]),
        ("select n from p union all select n from p", []),
    ],
)
def test_what_computes_something_and_is_read_twice_is_made_once(end: str, views: list[str]) -> None:
    ctes = "with s as (select sum(n) as n from x.t), p as (select n from x.t)"
    assert list(translated(f"{ctes} {end}", SCHEMA, "q")) == [*views, "q"]
