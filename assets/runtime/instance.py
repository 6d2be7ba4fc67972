"""The Dagster instance that the command line and the UI share.

Where `DAGSTER_HOME` is set it is the user's own, and nothing is written into its configuration. Otherwise it is `dagster/` in
the home folder, with a copy of `infra/dagster/dagster.yaml`. A copy that the user has changed is kept.
"""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.files import regular
from pipelines.locks import moment
from pipelines.settings import Settings, in_full

if TYPE_CHECKING:
    import dagster as dg
    from dagster._core.storage.compute_log_manager import CapturedLogContext

TEMPLATE = Path(__file__).parents[2] / "infra" / "dagster" / "dagster.yaml"
#: The first digits of SHA-256 of the copies that version 0.1 and the versions after it wrote without noting it.
_WRITTEN_BEFORE = {"6770f33d8bb6", "e6e90429bac9", "d55e2598b5b9"}


def dagster_home(settings: Settings) -> Path:
    """The instance's folder, ready for use."""
    if users := os.environ.get("DAGSTER_HOME"):
        folder = in_full(Path(users)).resolve()
        if not folder.is_dir():
            raise ValueError(f"DAGSTER_HOME names {folder}, which is no folder: make it, or unset the variable")
        regular(folder / "dagster.yaml")
        return folder
    folder = (settings.home / "dagster").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    template, used, written = (regular(file).read_bytes() if file.exists() else b"" for file in (TEMPLATE, *_files(folder)))
    untouched = used == written or hashlib.sha256(used).hexdigest()[:12] in _WRITTEN_BEFORE
    if used != template and untouched:
        for file in _files(folder):
            draft = file.with_name(f"{file.name}.{os.getpid()}")  # another process never reads half a file
            draft.write_bytes(template)
            draft.replace(file)
    return folder


def _files(folder: Path) -> tuple[Path, Path]:
    """The settings in use, and those last written: where they differ the user has changed them."""
    return folder / "dagster.yaml", folder / ".dagster.yaml"


@contextmanager
def dagster_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The instance, open until the block ends."""
    import dagster as dg

    settings.home.mkdir(parents=True, exist_ok=True)
    with moment(settings.home / "dagster.lock"):  # two first runs at once: Dagster makes its tables without one
        opened = dg.DagsterInstance.from_config(str(dagster_home(settings)))
    with opened as instance:
        yield instance


def with_deaf_children(instance: dg.DagsterInstance) -> dg.DagsterInstance:
    """The instance, whose processes that copy a step's output don't hear Ctrl-C, which they answer with tracebacks.

    They end with their step.
    """
    manager = instance.compute_log_manager
    capture = manager.capture_logs

    @contextmanager
    def captured(log_key: Sequence[str]) -> Iterator[CapturedLogContext]:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # children inherit it
        with ExitStack() as stack:
            try:
                context = stack.enter_context(capture(log_key))
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            yield context

    manager.capture_logs = captured
    return instance


def shown_in_the_timeline(instance: dg.DagsterInstance) -> dg.DagsterInstance:
    """The instance, whose runs from now on belong to the code location: the timeline of the UI shows no others.

    `execute_in_process` gives its run no origin.
    """
    from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

    location = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("perplake"), "__repository__")
    create = partial(instance.create_run_for_job, remote_job_origin=RemoteJobOrigin(location, "run"))
    instance.create_run_for_job = create
    return instance
