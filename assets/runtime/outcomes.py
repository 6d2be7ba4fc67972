"""How a run ended: its window, its failed steps, its messages, and the outcomes of its checks, read from Dagster's events.

`runs.jsonl` beside the published copy has a line for each start and each end of a run of the command line, and for each end of
another, so that `perps status` shows failed and running ones without opening the warehouse, which a run may be writing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Required, TypedDict

import msgspec

from assets.report.outcomes import CheckOutcome, Severity
from pipelines.files import regular
from pipelines.settings import Settings
from pipelines.windows import Window

if TYPE_CHECKING:
    import dagster as dg

#: The tag of a run of the command line with its window; that of other runs is in their partitions.
WINDOW_TAG = "perplake/window"


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended. `failed` are steps with their messages, `seconds` each source's time to fetch from the common start."""

    settings: Settings
    window: Window
    checks: list[CheckOutcome]
    failed: list[str]
    messages: list[str]
    requested: int
    reused: int
    seconds: dict[str, float]

    @property
    def failed_checks(self) -> list[CheckOutcome]:
        return [check for check in self.checks if not check.passed]

    @property
    def succeeded(self) -> bool:
        """True if no step failed and no check with severity error."""
        return not self.failed and not any(check.is_error for check in self.checks)


def check_outcomes(instance: dg.DagsterInstance, run_id: str) -> list[CheckOutcome]:
    """The checks that a run has evaluated so far, in that order."""
    import dagster as dg

    logs = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    return [_outcome(log.dagster_event.asset_check_evaluation_data) for log in logs if log.dagster_event]


def last_evaluations(
    instance: dg.DagsterInstance, keys: Iterable[dg.AssetCheckKey]
) -> dict[dg.AssetCheckKey, dg.AssetCheckEvaluation]:
    """The last evaluation of each check that has one, in whatever run.

    A run that ended before it came to a check leaves it planned: the evaluation before it counts.
    """
    from dagster._core.storage.asset_check_execution_record import COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES as EVALUATED

    found, storage = {}, instance.event_log_storage
    for key, latest in storage.get_latest_asset_check_execution_by_key(list(keys)).items():
        if latest.status not in EVALUATED:
            [latest, *_] = storage.get_asset_check_execution_history(key, limit=1, status=EVALUATED) or [latest]
        event = latest.event.dagster_event if latest.event and latest.status in EVALUATED else None
        if event:
            found[key] = event.asset_check_evaluation_data
    return found


def _outcome(evaluation: dg.AssetCheckEvaluation) -> CheckOutcome:
    metadata: Mapping[str, Any] = {name: value.value for name, value in evaluation.metadata.items()}
    return CheckOutcome(
        asset="/".join(evaluation.asset_key.path),
        check=evaluation.check_name,
        severity=Severity(evaluation.severity.value.lower()),
        passed=evaluation.passed,
        reason=evaluation.description or "",
        offending=metadata.get("offending"),
        problems=tuple(metadata.get("problems") or ()),
    )


def fail_incomplete(instance: dg.DagsterInstance, run: dg.DagsterRun, checks: Iterable[CheckOutcome]) -> list[str]:
    """Mark a run whose steps all succeeded as failed where a check of severity error failed; a line for each such check.

    The list of runs, its timeline and alerts know steps alone: a run whose venue didn't answer would be green in them.
    """
    lines = [f"{check.name}: {'; '.join(check.reasons)}" for check in checks if check.is_error]
    if lines:
        instance.report_run_failed(run, f"every step succeeded, and checks failed: {'. '.join(lines)}")
    return lines


def note_run(published: Path, started: str, **values: Any) -> None:
    """Add what is known of a run, by its start (ISO, UTC), to `runs.jsonl` in the folder of the published copy."""
    published.mkdir(parents=True, exist_ok=True)
    with regular(published / "runs.jsonl").open("a") as file:
        file.write(json.dumps({"started": started, **values}) + "\n")


def ranges(days: Iterable[date]) -> list[tuple[str, str]]:
    """Days as ranges, first and last inclusive, ISO."""
    found: list[tuple[date, date]] = []
    for day in sorted(days):
        first = found.pop()[0] if found and day - found[-1][1] == timedelta(days=1) else day
        found.append((first, day))
    return [(first.isoformat(), last.isoformat()) for first, last in found]


def noted_runs(published: Path) -> list[dict[str, Any]]:
    """The noted runs, newest first; a run that was killed is still `running`."""
    path, runs = published / "runs.jsonl", dict[str, dict[str, Any]]()
    for line in path.read_text(errors="replace").splitlines() if path.is_file() else []:
        try:
            note = msgspec.json.decode(line, type=_Note)
        except ValueError:  # half a line of a killed run
            continue
        runs.setdefault(note["started"], {**_NOTHING}).update(note)
    return sorted(runs.values(), key=lambda run: str(run["started"]), reverse=True)


class _Note(TypedDict, total=False):
    """What a line may say of a run."""

    started: Required[str]
    mode: str
    window: str
    outcome: str
    messages: list[str]
    whole_days: dict[str, list[tuple[date, date]]]


#: Of a run whose first line is damaged.
_NOTHING = {"mode": "", "window": "", "outcome": "unknown", "messages": []}
