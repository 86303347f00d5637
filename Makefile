# The front door. `make help` says what there is.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
CODE := libs services plugins tests bench tools/setup tools/protos tools/spark_jar tools/settings_page tools/metrics_page tools/demo tools/sim tools/model tools/dist tools/chaos

.PHONY: help setup lock protos released fmt lint types test check sim model chaos mesh demo docs bench-launch bench-api bench-tasks bench-retention bench-watch dist clean

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: ## Make this clone ready (system packages, .venv, everything); again: under 5 s
	@$(PYTHON) tools/setup

lock: setup ## Remake requirements.lock from the members' pyproject files (ARGS=--upgrade takes the newest of all)
	@tools/lock $(ARGS) && $(PYTHON) tools/setup

protos: ## Generate protos/src from protos/savanna
	@$(BIN)/python tools/protos

released: ## Take the public contract as it is for that of a release; it may only grow from then on
	@$(BIN)/buf build --exclude-source-info $(patsubst %,--path protos/savanna/%,api plugin common) -o protos/released.binpb

fmt: ## Format code and protos
	@$(BIN)/ruff format -q $(CODE) && $(BIN)/ruff check -q --fix-only $(CODE)
	@$(BIN)/buf format -w

lint: ## Format, lint, floors, protos; generated code and pages up to date
	@$(BIN)/ruff format -q --check $(CODE)
	@$(BIN)/ruff check -q $(CODE)
	@$(BIN)/lint-imports --no-cache >.savanna/floors.log || { cat .savanna/floors.log; exit 1; }
	@$(BIN)/buf lint && $(BIN)/buf format -d --exit-code >/dev/null
	@$(BIN)/buf breaking --against protos/released.binpb
	@$(BIN)/python tools/protos --check
	@$(BIN)/python tools/settings_page --check
	@$(BIN)/python tools/metrics_page --check

types: ## mypy, strict
	@$(BIN)/mypy --no-error-summary

test: setup ## The tests, two at a time (WORKERS=n); the last line says how many passed
	@$(BIN)/pytest -n $(or $(WORKERS),2) --no-loadscope-reorder --ignore=tests/mesh

check: setup lint types ## What CI runs: lint, types, the whole mesh, and last the tests
	@$(MAKE) --no-print-directory mesh
	@$(MAKE) --no-print-directory test

model: setup ## Check the specifications in docs/spec with TLC, whole and without each safeguard
	@$(BIN)/python tools/model

sim: setup ## Simulate schedulers and engines in a failing world (SEEDS=5000; SEED=n replays one; WITHOUT=part)
	@$(BIN)/python tools/sim $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),5000)) $(if $(WITHOUT),--without $(WITHOUT))

chaos: setup ## Kill, freeze and cut off real processes under load (KILLS=200; MODE=sqlite; SEED=n replays one)
	@$(BIN)/python -W "ignore:XDG_RUNTIME_DIR" tools/chaos --kills $(or $(KILLS),200) $(if $(MODE),--mode $(MODE)) $(if $(SEED),--seed $(SEED)) $(ARGS)

mesh: setup ## A whole mesh behind Envoy, each process in a network of its own: ended, killed, traced; with figures
	@$(BIN)/pytest -s tests/mesh

demo: setup ## Launch a real Spark cluster on this machine, run real jobs, clean up (KEEP=1 leaves it up)
	@$(BIN)/python tools/demo

bench-launch: setup ## Measure launches of 1 to 1,000 nodes (ARGS="--help" says what can be chosen)
	@$(BIN)/python -m bench.launch $(ARGS)

bench-api: setup ## Measure requests, idle and during a launch (ARGS="--help" says what can be chosen)
	@$(BIN)/python -m bench.api $(ARGS)

bench-tasks: setup ## Measure how many tasks a second are recorded and done (PEERS=1 beside other systems; ARGS="--help")
	@$(BIN)/python -m bench.tasks $(if $(PEERS),--peers $(PEERS)) $(ARGS)

bench-retention: setup ## Measure a launch beside a million finished tasks (ARGS="--help" says what can be chosen)
	@$(BIN)/python -m bench.retention $(ARGS)

bench-watch: setup ## Measure how soon users see what engines did (ARGS="--help" says what can be chosen)
	@$(BIN)/python -m bench.watch $(ARGS)

docs: ## Generate docs/settings.md and docs/metrics.md
	@$(BIN)/python tools/settings_page
	@$(BIN)/python tools/metrics_page

dist: setup ## Build the wheels of all members into dist/
	@$(BIN)/python tools/dist

clean: ## Remove everything that make made
	@rm -rf .venv .savanna .mypy_cache .ruff_cache .pytest_cache .hypothesis
