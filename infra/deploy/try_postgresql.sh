#!/usr/bin/env bash
# Proves that the services of compose.yaml work without Docker, with Dagster's history in PostgreSQL: a cluster of its own in a temporary
# folder, the settings of dagster.yaml and workspace.yaml, a small run of the command line, then code server, web server and daemon with a
# run of two days of one source that goes through web server, queue and code server. Needs PostgreSQL's programs (Debian:
# `apt-get install postgresql`) and, in the environment, `pip install dagster-postgres==0.29.27`.
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -1 || true)
export PATH="${bin:+$bin:}$PATH"
folder=$(mktemp -d) port=${PORT:-54329}
as() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi }  # PostgreSQL refuses to be root
[ "$(id -u)" != 0 ] || chown postgres "$folder"
chmod 755 "$folder"
finish() {
    for job in $(jobs -p); do kill -KILL -- "-$job" 2>/dev/null || true; done  # with their children: a code server outlives a plain kill
    as pg_ctl --pgdata "$folder/db" --mode immediate stop >/dev/null || true; rm -rf "$folder"
}
trap finish EXIT

export DAGSTER_PG_HOST=127.0.0.1 DAGSTER_PG_PASSWORD=trial DAGSTER_HOME="$folder/home"
as bash -c "echo $DAGSTER_PG_PASSWORD > $folder/password"
as initdb --pgdata "$folder/db" --username dagster --pwfile "$folder/password" --auth scram-sha-256 >/dev/null
as pg_ctl --pgdata "$folder/db" --wait --log "$folder/log" --options "-p $port -k $folder" start >/dev/null
export PGPASSWORD=$DAGSTER_PG_PASSWORD
sql() { psql --host 127.0.0.1 --port "$port" --username dagster --no-align --tuples-only --dbname "$@"; }
sql postgres --command "create database dagster"

mkdir "$DAGSTER_HOME"
sed "s/port: 5432/port: $port/" infra/deploy/dagster.yaml > "$DAGSTER_HOME/dagster.yaml"
export PERPLAKE_HOME="$folder/perplake"
python -m assets.cli run --venues "${VENUES:-kraken}" --assets BTC --days 2
echo "in PostgreSQL:"
sql dagster --command "select status, count(*) from runs group by 1" \
    --command "select count(*) || ' events, ' || pg_size_pretty(pg_database_size('dagster')) from event_logs"
[ "$(sql dagster --command "select count(*) from runs where status = 'SUCCESS'")" = 1 ]

set -m  # each server has a process group of its own
grpc=$((port + 1)) web=$((port + 2))
sed "s/host: code/host: 127.0.0.1/; s/port: 4000/port: $grpc/" infra/deploy/workspace.yaml > "$folder/workspace.yaml"
dagster code-server start --module-name assets.definitions --location-name perplake --host 127.0.0.1 --port "$grpc" \
    --use-python-environment-entry-point > "$folder/code.log" 2>&1 &
python -m assets.runtime.webserver --host 127.0.0.1 --port "$web" --workspace "$folder/workspace.yaml" > "$folder/web.log" 2>&1 &
dagster-daemon run --workspace "$folder/workspace.yaml" > "$folder/daemon.log" 2>&1 &
PERPLAKE_VENUES="${VENUES:-kraken}" python infra/deploy/backfill.py "http://127.0.0.1:$web" || {
    tail --lines 20 "$folder"/*.log
    exit 1
}
echo "in PostgreSQL:"
sql dagster --command "select status, count(*) from runs group by 1"
