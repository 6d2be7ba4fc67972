"""A Spark cluster on loopback, for trying and testing `perps spark`: a standalone master and its workers.

    with cluster(workers=2) as master:          # spark://127.0.0.1:…
        subprocess.run(["perps", "spark", "--master", master])

They are Spark's own programs, from the package `pyspark`, each a process of Java. `make spark` runs the models on one:
`python -m infra.spark`.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from assets.spark.rebuild import MissingSpark, spark_home
from infra.lake import free_ports

_PACKAGE = "org.apache.spark.deploy"


def settings(workers: int, cores: int, memory: str) -> dict[str, str]:
    """Spark's settings for so small a cluster; by its own, a shuffle has 200 parts, and each stage has the rest planned again."""
    return {
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.shuffle.partitions": f"{4 * workers * cores}",
        "spark.executor.memory": memory,
        "spark.ui.enabled": "false",
    }


@contextmanager
def cluster(workers: int = 2, cores: int = 1, memory: str = "2g") -> Iterator[str]:
    """Run a master and its workers until the block ends; the master's URL. Raises `MissingSpark`."""
    home = spark_home()
    port, pages = free_ports(2)
    master = f"spark://127.0.0.1:{port}"
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="perplake-spark-", ignore_cleanup_errors=True)))
        environment = {**os.environ, "SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_DAEMON_MEMORY": "256m"}
        environment["SPARK_DAEMON_JAVA_OPTS"] = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"  # they do little but start

        def start(name: str, *arguments: str) -> None:
            with (folder / f"{name}.log").open("wb") as log:
                command = [str(home / "bin" / "spark-class"), f"{_PACKAGE}.{name.partition('-')[0]}", *arguments]
                process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)
            running.callback(process.wait)
            running.callback(process.terminate)

        start("master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", str(pages))
        for n in range(workers):
            options = ["--host", "127.0.0.1", "--webui-port", "0", "--cores", str(cores), "--memory", memory]
            start(f"worker.Worker-{n}", *options, "--work-dir", str(folder / f"work-{n}"), master)
        _wait(f"http://127.0.0.1:{pages}/json/", workers, folder)
        yield master


def _wait(page: str, workers: int, folder: Path) -> None:
    """Until all workers are there. Raises `MissingSpark` where they aren't within a minute."""
    for _ in range(240):
        try:
            with urllib.request.urlopen(page, timeout=1) as answer:
                if json.load(answer)["aliveworkers"] == workers:
                    return
        except (OSError, ValueError):
            pass
        time.sleep(0.25)
    said = [line for log in sorted(folder.glob("*.log")) for line in log.read_text(errors="replace").splitlines()[-2:]]
    raise MissingSpark(f"the cluster did not start within a minute: {'; '.join(said)}")
