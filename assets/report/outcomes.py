"""The outcome of one check, as one record for the job, the command line and the report.

`assets.runtime.outcomes` builds these records from Dagster's evaluations; nothing else does.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

#: So many problems of one check are shown in the report.
SHOWN = 5


class Severity(StrEnum):
    """An error blocks what is downstream, or makes the run incomplete; a warning does neither."""

    ERROR = "error"
    WARN = "warn"


@dataclass(frozen=True)
class CheckOutcome:
    """One check of one asset.

    `offending` is how many rows are at fault; `problems` are messages about single requests and pages.
    """

    asset: str
    check: str
    severity: Severity
    passed: bool
    reason: str = ""
    offending: int | None = None
    problems: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.asset}: {self.check}"

    @property
    def reasons(self) -> list[str]:
        """Why it failed: the check's own reason, then the first problems and how many more there are."""
        more = len(self.problems) - SHOWN
        lines = [self.reason, *self.problems[:SHOWN], f"and {more:,} more" if more > 0 else ""]
        return [line for line in lines if line]

    @property
    def is_error(self) -> bool:
        """True if the check failed and a failure is an error."""
        return not self.passed and self.severity is Severity.ERROR
