# What a developer runs. Needs python3 (3.11 or newer), pip and make; the first target makes .venv, later ones reuse it.
# Another interpreter: make PYTHON=python3.13 …   Arguments: make test ARGS="tests/label -x", make bench ARGS=servers

PYTHON ?= python3
ARGS ?=

VENV := .venv
READY := $(VENV)/.ready
LOCK := $(wildcard requirements.lock)

.DEFAULT_GOAL := help
.PHONY: help demo test lint type bench soak clean

help:  ## show this list
	@sed -n 's/^\([a-z]*\): .*## */\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name what; do \
		printf '  make %-7s %s\n' "$$name" "$$what"; done

demo: $(READY)  ## sample apps behind a proxy, with links for a browser
	$(VENV)/bin/fingerpost demo $(ARGS)

test: $(READY)  ## all tests
	$(VENV)/bin/pytest $(ARGS)

lint: $(READY)  ## style: ruff
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

type: $(READY)  ## types: mypy --strict
	$(VENV)/bin/mypy $(ARGS)

bench: ARGS := $(or $(ARGS),quick)
bench: $(READY)  ## the experiments beside other relays; all of them, tiny, unless ARGS names one
	$(VENV)/bin/fingerpost bench $(ARGS)

soak: $(READY)  ## mixed traffic for 30 minutes: memory, descriptors, errors
	PYTHONPATH=tests $(VENV)/bin/python -m endurance.soak $(ARGS)

clean:  ## remove .venv
	rm -rf $(VENV)

# Debian's python3 without python3-venv has no ensurepip: there the system's pip puts one into the environment.
$(READY): pyproject.toml $(LOCK)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "fingerpost needs Python 3.11 or newer; $(PYTHON) is: $$($(PYTHON) --version 2>&1)." >&2; \
		echo "Choose another interpreter: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(VENV)/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) >/dev/null 2>&1 || { \
		$(PYTHON) -m venv --clear --without-pip $(VENV) && \
		$(PYTHON) -m pip --python $(VENV)/bin/python install --quiet pip; }
ifneq ($(LOCK),)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(LOCK)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
else
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev,demo]'
endif
	@touch $@
