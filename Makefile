# The two commands that a newcomer needs are `make demo` and `make test`; `make help` lists the others.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
INSTALLED = $(VENV)/installed-with-everything

.PHONY: demo test lint types unit proof bench bench-servers help clean

demo: $(INSTALLED)  ## run a small application with 4 workers on 127.0.0.1:8000, in the foreground
	@echo "Try, in another terminal of this directory:"
	@echo "    curl http://127.0.0.1:8000/                    # says which worker has answered"
	@echo "    $(BIN)/prefork top                          # load, generations and events, live"
	@echo "    pkill -9 -f 'prefork: web/2 .*demo'           # kill a worker: its slot is served again at once"
	@echo "    $(BIN)/prefork explain web/2                # what happened to it, and why"
	@echo "    curl http://127.0.0.1:8000/slow & $(BIN)/prefork reload    # reload: the slow request is answered, too"
	@echo "Edit examples/demo/shop.py and reload; break it, and the old code goes on serving. Ctrl-C ends the demo."
	@echo
	@exec $(BIN)/prefork run examples/demo/shop.py:app -w 4 -b 127.0.0.1:8000 --name demo

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
