"""The Dagster instance that the command line and the UI share.

Where `DAGSTER_HOME` is set it is the user's own, and nothing is written into its configuration. Otherwise it is `dagster/` in
the home folder, with a copy of `infra/dagster/dagster.yaml` unless there is a `dagster.yaml` already.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from pipelines.settings import Settings

if TYPE_CHECKING:
    import dagster as dg

TEMPLATE = Path(__file__).parents[2] / "infra" / "dagster" / "dagster.yaml"


def dagster_home(settings: Settings) -> Path:
    """The instance's folder, ready for use."""
    if users := os.environ.get("DAGSTER_HOME"):
        return Path(users).expanduser().resolve()
    folder = (settings.home / "dagster").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "dagster.yaml").exists():
        draft = folder / "dagster.yaml.part"  # another process never reads half a file
        shutil.copyfile(TEMPLATE, draft)
        draft.replace(folder / "dagster.yaml")
    return folder


@contextmanager
def dagster_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The instance, open until the block ends."""
    import dagster as dg

    settings.home.mkdir(parents=True, exist_ok=True)
    with FileLock(settings.home / "dagster.lock"):  # two first runs at once: Dagster makes its tables without one
        opened = dg.DagsterInstance.from_config(str(dagster_home(settings)))
    with opened as instance:
        yield instance
