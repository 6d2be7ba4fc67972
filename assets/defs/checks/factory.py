"""From a list of checks to one Dagster step that runs them all on one connection.

A SQL rule selects the offending rows, a pandera rule gives its failure cases; a check without any passes. The first of them
are in the check's metadata, with the reason why it blocks or warns. Many checks are one step because a step costs more than
all their queries; each check has its own `blocking`, and any of them can be selected alone.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import dagster as dg
import duckdb
import pandera.pandas as pa
import pyarrow
from pandera.errors import SchemaErrors

from assets.defs.resources import SettingsResource
from pipelines import warehouse
from pipelines.errors import printable

SHOWN = 20
#: What Markdown takes for more than text.
_MARKS = re.compile(r"[\\`\[\]<|&]")
#: What an operator does about a check that blocks, and about one that warns.
BLOCKED = (
    "`perps run`, which makes the tables again. If the check fails again, `perps explain` goes from a row of a fact to the bytes "
    "that the venue sent: report it with them. Until it passes, the published copy stays as it was."
)
WARNED = "Nothing, if the reason explains the rows; `perps explain` goes from a row of a fact to the bytes that the venue sent."


@dataclass(frozen=True)
class Check:
    """A condition on one table.

    `asset` is the table as SQL names it (`marts.fct_candles`), and its asset key. `rule` is a query for the offending rows, or
    the schema that the whole table must satisfy; its column `message` is printed at the end of a run.
    `reason` says why a failure blocks, or why it only warns.
    """

    name: str
    asset: str
    rule: str | pa.DataFrameSchema
    blocking: bool
    description: str
    reason: str

    @property
    def severity(self) -> dg.AssetCheckSeverity:
        return dg.AssetCheckSeverity.ERROR if self.blocking else dg.AssetCheckSeverity.WARN

    @property
    def spec(self) -> dg.AssetCheckSpec:
        description = f"{self.description} {'Blocks' if self.blocking else 'Warns'}: {self.reason}"
        return dg.AssetCheckSpec(
            self.name, asset=dg.AssetKey(self.asset.split(".")), description=description, blocking=self.blocking
        )

    @property
    def sql(self) -> str:
        return self.rule.strip() if isinstance(self.rule, str) else f"select * from {self.asset}"

    def offending(self, connection: duckdb.DuckDBPyConnection) -> pyarrow.Table:
        """The offending rows, or the failure cases with the key of their row. Raises what DuckDB raises."""
        rows = connection.execute(self.sql).to_arrow_table()
        return rows if isinstance(self.rule, str) else _failure_cases(self.rule, rows)

    def result(self, connection: duckdb.DuckDBPyConnection) -> dg.AssetCheckResult:
        """Run it."""
        rows = self.offending(connection)
        return dg.AssetCheckResult(
            asset_key=self.spec.asset_key,
            check_name=self.name,
            passed=rows.num_rows == 0,
            severity=self.severity,
            description=f"{rows.num_rows} offending: {self.reason}" if rows.num_rows else None,
            metadata={
                **shown(rows, rows.num_rows, self.blocking),
                "reason": self.reason,
                **({"problems": rows["message"].to_pylist()} if "message" in rows.column_names else {}),
                "sql": self.sql,
            },
        )


def check_step(name: str, checks: Sequence[Check]) -> dg.AssetChecksDefinition:
    """One step that runs the selected checks on the warehouse of the resource `settings`."""
    by_key = {check.spec.key: check for check in checks}

    @dg.multi_asset_check(name=name, specs=[check.spec for check in checks], can_subset=True, compute_kind="duckdb")
    def run(context: dg.AssetCheckExecutionContext, settings: SettingsResource) -> Iterator[dg.AssetCheckResult]:
        selected, database = context.selected_asset_check_keys, settings.resolve().database
        with warehouse.one_writer(database), warehouse.connect(database, read_only=True) as connection:
            # All run before the first result is yielded: the lock isn't held while Dagster stores results.
            results = [check.result(connection) for key, check in by_key.items() if key in selected]
        yield from results

    return run


def _failure_cases(schema: pa.DataFrameSchema, table: pyarrow.Table) -> pyarrow.Table:
    frame = table.to_pandas()
    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as errors:
        key = frame[[column for column in schema.unique or [] if column in frame]]
        cases = errors.failure_cases.join(key, on="index")[[*key, "column", "check", "failure_case"]]
        return pyarrow.Table.from_pandas(cases.astype(str), preserve_index=False)
    return pyarrow.table({})


def shown(rows: pyarrow.Table, count: int, blocking: bool) -> dict[str, object]:
    """Offending rows, of which there are `count`, as metadata of a check: the first one in words, since a table takes a click to
    be seen, and what to do.
    """
    found: dict[str, object] = {"offending": count, "rows": dg.MetadataValue.md(as_markdown(rows.slice(0, SHOWN)))}
    if rows.num_rows:
        [first] = rows.slice(0, 1).to_pylist()
        more = f"; and {count - 1:,} more" if count > 1 else ""
        found["first"] = ", ".join(f"{name} {_text(value)}" for name, value in first.items())[:500] + more
        found["what_to_do"] = BLOCKED if blocking else WARNED
    return found


def as_markdown(rows: pyarrow.Table) -> str:
    """Rows as a Markdown table, in which what a venue sent is text and no link, picture or HTML; empty where there are none."""
    if not rows.num_rows:
        return ""
    cells = ([_MARKS.sub(r"\\\g<0>", printable(_text(value))) for value in row.values()] for row in rows.to_pylist())
    lines = [rows.column_names, ["---"] * rows.num_columns, *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case float():
            return f"{value:.6g}"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M}"
    return str(value).replace("\n", " ")
