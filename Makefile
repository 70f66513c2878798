# The two commands that a newcomer needs are `make demo` and `make test`; `make help` lists the others.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
INSTALLED = $(VENV)/installed-with-everything

.PHONY: demo test lint types unit proof bench bench-servers help clean

demo: $(INSTALLED)  ## run the web sample on 127.0.0.1:8000 with 4 workers
	@echo "Try, in another terminal:"
	@echo "    curl http://127.0.0.1:8000/                      # says hello"
	@echo "    pgrep -af 'prefork-sample-web id='               # the workers"
	@echo "    kill -9 \$$(pgrep -f 'prefork-sample-web id=2')    # kill one: it comes back with the same id"
	@echo "    kill -HUP \$$(pgrep -of prefork-sample-web)        # reload: new workers first, no request lost"
	@echo "Ctrl-C ends it."
	@exec $(BIN)/prefork-sample-web --host 127.0.0.1 -p 8000 -w 4

test: lint types unit  ## lint, check the types, run the tests

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

unit: $(INSTALLED)
	$(BIN)/python -m pytest

proof: $(INSTALLED)  ## the heavier proofs: CPython's own tests in an immortal heap (where it can be had), larger explorations, ten minutes of load, no request lost, a systemd
	PYTHONPATH=src:tests $(BIN)/python -m core.explorer 'reload, scale, stop, two crashes'
	$(BIN)/python tests/cpython_suite.py
	$(BIN)/python bench/healthy_under_load.py
	PYTHONPATH=tests $(BIN)/python tests/proof_nothing_lost.py
	TEST_OF_PREFORK_SYSTEMD=1 $(BIN)/python -m pytest tests/system/test_systemd.py

bench: $(INSTALLED)  ## what things cost here, printed
	$(BIN)/python bench/relaunch.py
	$(BIN)/python bench/daemons.py
	$(BIN)/python bench/core_events.py
	$(BIN)/python bench/status.py

bench-servers: $(INSTALLED)  ## servers under prefork beside the same ones and others by themselves (needs wrk; half an hour)
	$(BIN)/python bench/server_throughput.py
	$(BIN)/python bench/server_balance.py
	$(BIN)/python bench/server_relaunch.py
	$(BIN)/python bench/server_reload.py
	$(BIN)/python bench/server_drain.py

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[samples,dev]'
	@touch $@

help:  ## list what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

clean:  ## remove the virtual environment and the tools' caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
