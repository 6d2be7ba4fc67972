"""Materialise the two days before yesterday of a source through a running web server, its daemon and its code server.

`python infra/deploy/backfill.py http://127.0.0.1:3000` ends with 0 when the backfill did. `try_postgresql.sh` calls it.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any

WAIT_SECONDS = 300
ASSETS = """{ repositoryOrError(repositorySelector: {repositoryName: "__repository__", repositoryLocationName: "perplake"}) {
    ... on Repository { assetNodes { assetKey { path } groupName } } } }"""
LAUNCH = """mutation($backfill: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $backfill) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
STATUS = """query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"""


def main(url: str, source: str = "kraken_futures") -> int:
    nodes = until(lambda: ask(url, ASSETS)["assetNodes"])
    paths = [node["assetKey"]["path"] for node in nodes if node["groupName"] == source]
    days = [f"{datetime.now(UTC) - timedelta(days=ago):%Y-%m-%d}" for ago in (3, 2)]
    keys = [{"path": path} for path in paths if path[0] in ("landing", "raw")]
    launched = ask(url, LAUNCH, backfill={"assetSelection": keys, "partitionNames": days, "fromFailure": False})
    ended = until(lambda: (status := ask(url, STATUS, id=launched["backfillId"])["status"]) not in ("REQUESTED",) and status)
    sys.stdout.write(f"{len(keys)} assets of {source}, {days[0]} to {days[1]}: {ended}\n")
    return 0 if ended == "COMPLETED_SUCCESS" else 1


def ask(url: str, query: str, **variables: Any) -> Any:
    """The first field of a GraphQL answer. Raises `OSError` where there is none yet."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return next(iter(json.load(answer)["data"].values()))


def until(found: Any) -> Any:
    """The first answer that is there. Raises `TimeoutError` after `WAIT_SECONDS`."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        try:
            if answer := found():
                return answer
        except (OSError, KeyError, TypeError):  # not up, or the code server is still loading
            pass
        time.sleep(1)
    raise TimeoutError(f"no answer within {WAIT_SECONDS} seconds")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
