#!/usr/bin/env bash
# What can be checked of this folder on a machine without Docker and Kubernetes: the compose files against the Compose specification, the
# systemd units and nginx.conf by their own programs where they are installed, and, with CHART=FOLDER of an unpacked Dagster chart
# (`helm pull dagster/dagster --version 1.13.27 --untar`), the Helm values against the chart's schema. `make check-deploy` calls it.
set -euo pipefail
cd "$(dirname "$0")/../.."
check-jsonschema --builtin-schema vendor.compose-spec infra/deploy/compose.yaml infra/deploy/compose-lake.yaml
if [ -n "${CHART:-}" ]; then
    merged=$(mktemp --suffix .yaml)
    trap 'rm -f "$merged"' EXIT
    python - "$CHART/values.yaml" infra/deploy/helm-values.yaml infra/deploy/helm-lake-values.yaml > "$merged" <<'PYTHON'
import functools
import sys
import yaml


def merge(base, own):
    both = isinstance(base, dict) and isinstance(own, dict)
    return {**base, **{name: merge(base.get(name), value) for name, value in own.items()}} if both else own


print(yaml.safe_dump(functools.reduce(merge, (yaml.safe_load(open(name)) for name in sys.argv[1:]))))
PYTHON
    check-jsonschema --schemafile "$CHART/values.schema.json" "$merged"
fi
python -m pytest --quiet -rs tests/infra/test_deploy.py
