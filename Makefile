# `make run` and `make test` make the environment and do the rest; `make help` lists what else there is.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
export NO_MKDOCS_2_WARNING := 1
# Tests start many processes; without bytecode each compiles the project anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test test-slow ui lint bench torture kills simulate docs docs-build check-deploy clean lock sbom audit superset lake spark

help:  ## what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

# Compiled on all cores, as pip uses one; packages of which few modules are used are left out, and some packages' templates fail.
$(READY): pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-deps --no-compile --require-hashes --requirement requirements.lock
	@$(BIN)/python -m compileall -q -j 0 -x '/(tests|ccxt|sympy|moto|gate_api)/' $(VENV)/lib > /dev/null || true
	$(BIN)/pip install --quiet --no-deps --editable . --config-settings editable_mode=compat
	@touch $@

run: $(READY)  ## the main job on the synthetic market: fetch, load, transform, label, check, publish, report
	$(BIN)/perps run --forecasts

test: $(READY)  ## all tests but the slow ones
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-slow: $(READY)  ## the tests that `make test` leaves out, which CONTRIBUTING.md lists
	PYTHONPATH=$(CURDIR)/$(VENV)/spark $(BIN)/python -m pytest -m slow tests --ignore tests/assets/test_superset.py --ignore tests/torture/test_in_a_row.py

ui: $(READY)  ## the Dagster UI on http://127.0.0.1:3000, the venue emulator running
	$(BIN)/perps ui

lint: $(READY)  ## the checks of .pre-commit-config.yaml on all tracked files: Python, SQL, YAML, secrets, types, import rules
	PATH="$(CURDIR)/$(BIN):$$PATH" pre-commit run --all-files

bench: $(READY)  ## speed as ratios against peers and limits, in one run (about 20 minutes)
	$(BIN)/python -m infra.bench

torture: $(READY)  ## a small job killed at 50 random moments, then run again (about 45 minutes)
	$(BIN)/python -m pytest -m slow tests/torture/test_torture.py --kills 50 --forecasts

N ?= 50
kills: $(READY)  ## one warehouse whose runs, with forecasts and publication, are killed N=50 times; all outputs stay in .perplake/kills
	$(BIN)/python -m pytest -m slow -s tests/torture/test_in_a_row.py --in-a-row $(N) --basetemp .perplake/kills

SEEDS ?= 0:180
simulate: $(READY)  ## histories of faults, kills and damage, 10,000 simulated days (about 3 hours); SEEDS=17 or SEEDS=0:40
	$(BIN)/python -m pytest -n 2 tests/simulation --seeds $(SEEDS)

SUPERSET := $(VENV)/superset
$(SUPERSET)/.ready: infra/superset/requirements.lock | $(READY)
	$(PYTHON) -m venv $(SUPERSET)
	$(SUPERSET)/bin/pip install --quiet --no-deps --require-hashes --requirement $<
	@touch $@

superset: $(READY) $(SUPERSET)/.ready  ## four dashboards of the published copy on http://127.0.0.1:8088 (Apache Superset)
	$(BIN)/python -m infra.superset

lake: $(READY)  ## the main job on a lake: PostgreSQL and an S3 server on loopback (Debian: postgresql)
	$(BIN)/python -m infra.lake

# In a folder of its own: half a gigabyte, which pandera would import in every run.
SPARK := $(VENV)/spark
$(SPARK)/.ready: infra/spark/requirements.lock | $(READY)
	$(BIN)/pip install --quiet --no-deps --require-hashes --target $(SPARK) --upgrade --requirement $<
	@touch $@

spark: $(SPARK)/.ready  ## facts and marts of the market that ran last on a Spark cluster of this machine (Debian: openjdk-17-jre-headless)
	PYTHONPATH=$(CURDIR)/$(SPARK) $(BIN)/python -m infra.spark

docs: $(READY)  ## the documentation, built and served on http://127.0.0.1:8081
	$(BIN)/perps docs

docs-build: $(READY)  ## the documentation as a folder, site/, that opens without a server
	$(BIN)/mkdocs build --strict --quiet

lock: $(READY)  ## resolve pyproject.toml anew into requirements.lock
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra dev --no-header --no-annotate --no-emit-index-url --generate-hashes --quiet --output-file requirements.lock
	$(BIN)/uv pip compile infra/superset/requirements.in --no-header --no-annotate --no-emit-index-url --generate-hashes --quiet \
		--output-file infra/superset/requirements.lock
	$(BIN)/uv pip compile infra/spark/requirements.in --no-header --no-annotate --no-emit-index-url --generate-hashes --quiet \
		--output-file infra/spark/requirements.lock

TOOLS := $(VENV)/tools
$(TOOLS):
	$(PYTHON) -m venv $@
	$@/bin/pip install --quiet cyclonedx-bom==7.5.0 pip-audit==2.10.1 check-jsonschema==0.39.0

sbom: $(READY) $(TOOLS)  ## the bill of materials, sbom.json: every installed package with version and licence (CycloneDX)
	$(TOOLS)/bin/cyclonedx-py environment $(BIN)/python --output-reproducible --output-file sbom.json

audit: $(TOOLS)  ## known vulnerabilities of the locked packages, by the advisories that the Python Package Index publishes
	$(TOOLS)/bin/pip-audit --disable-pip --no-deps --strict --requirement requirements.lock

check-deploy: $(READY) $(TOOLS)  ## infra/deploy against the Compose specification, systemd and nginx; CHART=FOLDER: Dagster's Helm chart
	PATH="$(CURDIR)/$(BIN):$(CURDIR)/$(TOOLS)/bin:$$PATH" bash infra/deploy/check.sh

clean:  ## forget everything that was made (data too)
	rm -rf $(VENV) .perplake site dbt_project/target dbt_project/logs
