# make run    a whole relay on this machine: ws://127.0.0.1:8000
# make test   all tests
# make check  formatting, lint, types, import contract, then all tests
# make clean  remove what was built; your data in var/ stays

PYTHONS := python3.13 python3.12 python3.11 python3 python
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
RUN_PINS := requirements.txt requirements-local.txt constraints.txt
TEST_PINS := $(RUN_PINS) requirements-cluster.txt requirements-dev.txt

UNITS := tests/unit tests/fuzz/test_parser.py
INTEGRATION := tests/integration
STORE := $(addprefix $(INTEGRATION)/,order storage replicas)
PROTOCOL := tests/acceptance/protocol
FAULTS := tests/acceptance/faults
ACCEPTANCE := tests/acceptance
INSTANCES := $(addprefix tests/acceptance/,clients regions test_balancer.py test_cluster.py test_other_balancers.py test_replicas.py)
# The longest first, none of them much longer than the others; test-acceptance takes every whole relay and test-others
# every test that no other names, so that a new folder is never forgotten. test-instances: several relays, and clients.
TESTS := test-acceptance test-store test-integration test-faults test-instances test-protocol test-units test-others
# Tests with servers mostly wait, so that three sessions share two cores well (`make check SESSIONS=2` for fewer). Each
# starts servers of its own; those of the environment have one test database, which one session at a time may use.
SESSIONS := $(if $(DATABASE_URL)$(REDIS_URL),1,3)
SIDE_BY_SIDE = @$(MAKE) --no-print-directory --keep-going --jobs $(SESSIONS)
# A relay is some five processes, started a hundred times by the tests: none shall compile what another has compiled.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test $(TESTS) check lint clean
.DELETE_ON_ERROR:

run: .venv/.run-installed
	@exec $(BIN)/python manage.py serve

test: .venv/.test-installed
	$(SIDE_BY_SIDE) $(TESTS)

check: .venv/.test-installed
	$(SIDE_BY_SIDE) $(wordlist 1,3,$(TESTS)) lint $(wordlist 4,$(words $(TESTS)),$(TESTS))

test-units: .venv/.test-installed
	@TEST_SERVICES=off $(BIN)/python -m pytest $(UNITS)

test-integration: .venv/.test-installed
	@$(BIN)/python -m pytest $(INTEGRATION) $(addprefix --ignore=,$(STORE))

test-store: .venv/.test-installed
	@$(BIN)/python -m pytest $(STORE)

test-protocol: .venv/.test-installed
	@$(BIN)/python -m pytest $(PROTOCOL)

test-faults: .venv/.test-installed
	@$(BIN)/python -m pytest $(FAULTS)

test-instances: .venv/.test-installed
	@$(BIN)/python -m pytest $(INSTANCES)

test-acceptance: .venv/.test-installed
	@$(BIN)/python -m pytest $(ACCEPTANCE) $(patsubst %,--ignore=%,$(PROTOCOL) $(FAULTS) $(INSTANCES))

test-others: .venv/.test-installed
	@$(BIN)/python -m pytest $(patsubst %,--ignore=%,$(UNITS) $(INTEGRATION) $(ACCEPTANCE))

lint: .venv/.test-installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy relay analytics replication relayproject tests
	$(BIN)/lint-imports --no-cache

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache staticfiles node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf tests/acceptance/clients/node/node_modules

.venv/bin/python:
	@for python in $(PYTHONS); do \
		$$python -c '$(FITS)' >/dev/null 2>&1 || continue; \
		echo "Making the virtual environment with $$python ..."; \
		$$python -m venv .venv && exit 0; \
		rm -rf .venv; \
		echo "make: $$python cannot make a virtual environment: on Debian and Ubuntu, apt-get install python3-venv." >&2; \
		exit 1; \
	done; \
	echo "make: Python 3.11, 3.12 or 3.13 is needed and none of them was found on the PATH." >&2; \
	exit 1

# A stamp is newer than every list of packages it was made from; what tests need includes what a run needs.
.venv/.run-installed: $(RUN_PINS) | .venv/bin/python
	@echo "Installing the packages of a local relay (a minute on the first time) ..."
	@$(PIP) install -r requirements-local.txt -c constraints.txt
	@touch $@

.venv/.test-installed: $(TEST_PINS) | .venv/bin/python
	@echo "Installing the packages of the tests (a minute on the first time) ..."
	@$(PIP) install -r requirements-dev.txt -c constraints.txt
	@touch .venv/.run-installed $@
