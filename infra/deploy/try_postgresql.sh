#!/usr/bin/env bash
# Proves that a run works with Dagster's history in PostgreSQL: a cluster of its own in a temporary folder, the settings of dagster.yaml,
# a small run, and the count of its events in the database. Needs PostgreSQL's programs (Debian: `apt-get install postgresql`) and, in
# the environment, `pip install dagster-postgres==0.29.27`.
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -1 || true)
export PATH="${bin:+$bin:}$PATH"
folder=$(mktemp -d) port=${PORT:-54329}
as() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi }  # PostgreSQL refuses to be root
[ "$(id -u)" != 0 ] || chown postgres "$folder"
chmod 755 "$folder"
finish() { as pg_ctl --pgdata "$folder/db" --mode immediate stop >/dev/null || true; rm -rf "$folder"; }
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
