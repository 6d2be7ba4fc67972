#!/usr/bin/env bash
# Rehearses an upgrade of a lake's catalog: an older DuckDB (default: 1.4.4, from the package registry) makes a lake with a table, rows and a
# view, then today's perplake writes to it. All rows must be there, the old and the new ones, and the older DuckDB must refuse the lake.
#
#   bash infra/deploy/try_lake_upgrade.sh [VERSION]
set -euo pipefail
cd "$(dirname "$0")/../.."
version=${1:-1.4.4}
folder=$(mktemp -d)
chmod 755 "$folder" # PostgreSQL may run as another user
trap 'rm -rf "$folder"' EXIT
python -m venv "$folder/old"
"$folder/old/bin/pip" install --quiet "duckdb==$version" duckdb-extensions "duckdb-extension-ducklake==$version" "duckdb-extension-postgres==$version"
cat > "$folder/old.py" <<'PYTHON'
import sys
import tempfile

import duckdb
from duckdb_extensions import import_extension

secret, data, *statements = sys.argv[1:]
with duckdb.connect(config={"allow_unsigned_extensions": "true", "extension_directory": tempfile.mkdtemp()}) as db:
    for extension in ("postgres", "ducklake"):
        import_extension(extension, con=db)
        db.execute(f"LOAD {extension}")
    db.execute(f"ATTACH 'ducklake:postgres:{secret}' AS lake (METADATA_SCHEMA 'market', DATA_PATH '{data}')")
    for statement in statements:
        db.execute(statement)
PYTHON
python - "$folder" <<'PYTHON'
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from infra.lake import Postgres, free_ports
from pipelines import warehouse

folder = Path(sys.argv[1])
server = Postgres(folder / "postgres", free_ports(1)[0])
server.make()
server.start()
try:
    os.environ |= {"PERPLAKE_PROFILE": "lake", "PERPLAKE_LAKE_CATALOG": server.url, "PERPLAKE_LAKE_DATA": str(folder / "lake")}
    parts = urlsplit(server.url)
    secret = f"host={parts.hostname} port={parts.port} user={parts.username} password={parts.password} dbname=postgres"
    old = [folder / "old" / "bin" / "python", folder / "old.py", secret, f"{folder / 'lake' / 'market'}/"]
    table = ["CREATE SCHEMA lake.raw", "CREATE TABLE lake.raw.rows (number BIGINT)"]
    view = "CREATE VIEW lake.raw.seen AS FROM lake.raw.rows"
    subprocess.run([*old, *table, "INSERT INTO lake.raw.rows FROM range(1000)", view], check=True)
    path = folder / "market" / "warehouse.lake"
    with warehouse.one_writer(path), warehouse.connect(path) as db:
        db.execute("DELETE FROM raw.rows WHERE number < 10; INSERT INTO raw.rows FROM range(1000, 1100)")
        found = db.execute("SELECT count(*), sum(number) FROM raw.rows").fetchall()
        [(catalog,)] = db.execute("SELECT value FROM ducklake_options('warehouse') WHERE option_name = 'version'").fetchall()
    refused = subprocess.run([*old, "FROM lake.raw.rows"], capture_output=True, text=True).stderr
    print(f"{found[0][0]:,} rows, catalog of version {catalog}; the older DuckDB: {refused.strip().splitlines()[-1][:120]}")
    sys.exit(0 if found == [(1090, sum(range(10, 1100)))] and "version" in refused else 1)
finally:
    server.stop()
PYTHON
