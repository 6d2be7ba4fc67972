"""Apache Superset on the published copy: imports the dashboards and serves them on loopback, in an environment of its own.

    published/perplake.duckdb ──► bundle ──► Superset's metadata (SQLite) in <home>/superset ──► http://127.0.0.1:8088

`make superset` makes the environment and runs this. The secret key and the password of the user `admin` are the variables
`SUPERSET_SECRET_KEY` and `SUPERSET_ADMIN_PASSWORD`, else they are made once and kept in the folder, readable by its owner alone.
"""

import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from assets.defs.dbt import manifest
from infra.superset.bundle import bundle as make
from infra.superset.bundle import write
from perplake.published import published_copy
from pipelines.settings import Settings

#: Superset's packages, apart from the project's, which they would contradict.
ENVIRONMENT = Path(sys.prefix) / "superset"


def secret(variable: str, file: Path) -> str:
    """A secret from the environment, else from a file that only its owner can read, which is made where it is absent."""
    if value := os.environ.get(variable):
        return value
    if not file.exists():
        draft = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(draft, "w") as written:
            written.write(secrets.token_urlsafe(42))
    return file.read_text()


def prepare(python: Path, folder: Path, files: Path) -> dict[str, str]:
    """Import the bundle into the Superset of a folder; the environment to run it with."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "SUPERSET_HOME": str(folder.resolve()),
        "SUPERSET_SECRET_KEY": secret("SUPERSET_SECRET_KEY", folder / "secret_key"),
        "SUPERSET_CONFIG_PATH": str(Path(__file__).with_name("superset_config.py")),
        "TZ": "UTC",
    }
    password = secret("SUPERSET_ADMIN_PASSWORD", folder / "admin_password")
    load = list(map(str, (python, Path(__file__).with_name("load.py"), files)))
    with (folder / "load.log").open("w") as log:
        environment_of_load = {**environment, "SUPERSET_ADMIN_PASSWORD": password}
        ended = subprocess.run(load, env=environment_of_load, stdout=log, stderr=log, check=False)
    if ended.returncode:
        raise ValueError(f"Superset did not import the dashboards: the last lines of {log.name} say why")
    return environment


def main(
    home: Annotated[Path | None, typer.Option(help="folder of the runs; default: the setting `home`")] = None,
    port: Annotated[int, typer.Option(help="port on loopback")] = 8088,
    environment: Annotated[Path, typer.Option(help="the virtual environment with Superset's packages")] = ENVIRONMENT,
    bundle: Annotated[Path | None, typer.Option(help="write the files to import into this folder, and do nothing else")] = None,
) -> None:
    settings, programs = Settings(home=home) if home else Settings(), environment / "bin"
    try:
        files = make(published_copy(settings), manifest())
        folder = settings.home / "superset"
        if bundle is None:
            shutil.rmtree(folder / "bundle", ignore_errors=True)
        write(files, bundle or folder / "bundle")
        if bundle:
            return
        if not (programs / "superset").exists():
            raise ValueError(f"{environment} has no Superset: `make superset` installs it")
        variables = prepare(programs / "python", folder, folder / "bundle")
    except ValueError as problem:
        typer.echo(str(problem), err=True)
        raise typer.Exit(1) from None
    where = "that you set" if os.environ.get("SUPERSET_ADMIN_PASSWORD") else f"in {folder / 'admin_password'}"
    typer.echo(f"http://127.0.0.1:{port}  user admin, the password {where}")
    server = [str(programs / "gunicorn"), "--bind", f"127.0.0.1:{port}", "--worker-class", "gthread", "--threads", "8"]
    server += ["--timeout", "120", "--no-control-socket", "superset.app:create_app()"]
    os.execve(server[0], server, variables)


if __name__ == "__main__":
    typer.run(main)
