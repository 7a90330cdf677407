# Every command of the project; `make help` lists them.
PYTHON ?= python3
# A VENV of the shell's environment is ignored, because `clean` removes this folder. The command line may name another.
VENV := .venv
WITH ?=
FILE ?= examples/house.png
OUT ?= improved.png
BIN := $(VENV)/bin
TERRAFORM := terraform -chdir=infra/terraform
COMPILE := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-strip-extras --quiet
PACKAGES := shared/rubydraw emulator infra docs bench cli

.DEFAULT_GOAL := help
# With this variable set, `python -m` does not find the packages of this folder.
unexport PYTHONSAFEPATH
.PHONY: help run improve test check format docs bench bench-quick soak bundle plan deploy destroy lock clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/ready ## start everything on this machine: PORT=8080 INSTANCES=1 PUBSUB=google
	@exec $(BIN)/python -m emulator

improve: $(VENV)/ready ## improve one sketch on a running endpoint: FILE=sketch.png OUT=drawing.png PORT=8080
	@$(BIN)/python -m cli improve "$(FILE)" --output "$(OUT)" --watch $(if $(PORT),--endpoint http://127.0.0.1:$(PORT)/graphql) $(ARGS)

test: $(VENV)/ready ## run the tests; WITH="node browser terraform bundle google_pubsub chaos" adds groups that need more
	@$(BIN)/python -m pytest -n $(or $(JOBS),3) --dist loadfile --with="$(WITH)" $(ARGS)

check: $(VENV)/ready ## check lint, formatting, types, and that the generated pages are up to date
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --check --quiet . && $(BIN)/python docs/generate.py --check
	@$(BIN)/mypy $(PACKAGES) tests conftest.py
	@for each in graphql worker; do $(BIN)/mypy functions/$$each || exit 1; done

format: $(VENV)/ready ## format the code as `make check` asks for
	@$(BIN)/ruff check --fix-only --quiet . && $(BIN)/ruff format --quiet .

docs: $(VENV)/ready ## write the generated pages anew
	@$(BIN)/python docs/generate.py

bench: $(VENV)/ready ## compare with ceilings and peers for a quarter of an hour, into docs/performance.md: ROUNDS=7
	@$(BIN)/python -m bench --rounds $(or $(ROUNDS),7)

bench-quick: $(VENV)/ready ## the same within three minutes: fewer rounds and peers; only print the tables
	@$(BIN)/python -m bench --quick

soak: $(VENV)/ready ## run a fleet under load and faults, and account for every job: MINUTES=10 ARGS="--seed 2 --flush"
	@$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),10) $(ARGS)

bundle: ## pack both functions into reproducible zips
	@$(PYTHON) infra/bundle.py

plan: bundle ## show what a deploy would change
	@$(TERRAFORM) init -input=false && $(TERRAFORM) plan $(ARGS)

deploy: bundle ## deploy to Google Cloud: infra/terraform/terraform.tfvars
	@$(TERRAFORM) init -input=false && $(TERRAFORM) apply $(ARGS)

destroy: ## take the deployment down again
	@$(TERRAFORM) init -input=false && $(TERRAFORM) destroy $(ARGS)

lock: $(VENV)/ready ## compile the hashed requirements from pyproject.toml
	@$(BIN)/python -m pip install --quiet uv==0.13.9
	@$(COMPILE) --extra graphql -o functions/graphql/requirements.txt && $(COMPILE) -o functions/worker/requirements.txt
	@$(COMPILE) --extra graphql --group dev -o requirements-dev.txt

clean: ## remove what the commands above made
	@rm -rf "$(VENV)" build infra/terraform/build infra/terraform/.terraform* .mypy_cache .ruff_cache .hypothesis tests/node/node_modules tests/browser/node_modules

$(VENV)/ready: requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; name one with PYTHON=python3.13" if sys.version_info < (3, 11) else 0)'
	@echo "setting up $(VENV) (once, about a minute)" && $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e . && touch $@
