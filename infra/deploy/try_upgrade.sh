#!/usr/bin/env bash
# Rehearses an upgrade: a home made by the code of an older commit (default: the newest tag), then a run of today's code over one more day
# in that home. Every raw row of before must be there after it, and the commands that read must read the copy that it publishes.
#
#   bash infra/deploy/try_upgrade.sh [COMMIT]
set -euo pipefail
cd "$(dirname "$0")/../.."
before=${1:-$(git describe --tags --abbrev=0)}
folder=$(mktemp -d)
trap 'git worktree remove --force "$folder/code" 2>/dev/null || true; rm -rf "$folder"' EXIT
git worktree add --quiet --detach "$folder/code" "$before"

export PERPLAKE_HOME="$folder/home" PERPLAKE_STATE="$folder/state" PERPLAKE_ASSETS=BTC,ETH PERPLAKE_VENUES="${VENUES:-kraken,bybit}"
warehouse="$PERPLAKE_HOME/synthetic-7/warehouse.duckdb"
day() { date --utc --date "$1 days ago" +%Y-%m-%d; }
run() { PYTHONPATH="$PWD" python -m assets.cli run --from "$(day 5)" --to "$1" --as-of "$(day 1)T00:00:00Z" > "$folder/log" 2>&1 || { cat "$folder/log"; exit 1; }; }
(cd "$folder/code" && run "$(day 3)")
cp "$warehouse" "$folder/before.duckdb"
run "$(day 2)"

python - "$folder/before.duckdb" "$warehouse" <<'PYTHON'
import sys

import duckdb

with duckdb.connect() as db:
    for name, path in zip(("before", "after"), sys.argv[1:], strict=True):
        db.execute(f"ATTACH '{path}' AS {name} (READ_ONLY)")
    columns = db.execute(
        "SELECT table_name, list(column_name) FROM duckdb_columns() WHERE database_name = 'before' AND schema_name = 'raw' "
        "AND NOT starts_with(column_name, '_') GROUP BY 1 ORDER BY 1"
    ).fetchall()
    kept = lost = 0
    for table, names in columns:
        chosen = ", ".join(f'"{name}"' for name in names)
        rows = f'SELECT {chosen} FROM before.raw."{table}"'
        [(count,)] = db.execute(f"SELECT count(*) FROM ({rows})").fetchall()
        [(missing,)] = db.execute(f'SELECT count(*) FROM ({rows} EXCEPT SELECT {chosen} FROM after.raw."{table}")').fetchall()
        kept, lost = kept + count - missing, lost + missing
        if missing:
            print(f"{table}: {missing} of {count} rows are gone")
    print(f"{kept:,} raw rows of before are there, {lost:,} are not")
    sys.exit(1 if lost or not kept else 0)
PYTHON
reads() { python -m assets.cli "$@" > "$folder/log" 2>&1 || { cat "$folder/log"; exit 1; }; }
reads status
reads gaps
reads regimes BTC
reads query "select count(*) from marts.fct_candles"
echo "from $before to $(git rev-parse --short HEAD): upgraded"
