# The two commands that a newcomer needs are `make demo` and `make test`; `make help` lists the others.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
INSTALLED = $(VENV)/installed-with-everything
PYTEST = $(BIN)/python -m pytest -q
AT_ONCE ?= 6

.PHONY: demo test tests test-pythons lint types unit docs package test-lowest proof bench bench-servers help clean

demo: $(INSTALLED)  ## run a small application with 4 workers on 127.0.0.1:8000, in the foreground
	@echo "Try, in another terminal of this directory:"
	@echo "    curl http://127.0.0.1:8000/                    # says which worker has answered"
	@echo "    $(BIN)/prefork top                          # load, generations and events, live"
	@echo "    pkill -9 -f 'prefork: web/2 .*demo'            # kill a worker: its slot is served again at once"
	@echo "    $(BIN)/prefork explain web/2                # what happened to it, and why"
	@echo "    curl http://127.0.0.1:8000/slow & $(BIN)/prefork reload    # reload: the slow request is answered, too"
	@echo "Edit examples/demo/shop.py and reload; break it, and the old code goes on serving. Ctrl-C ends the demo."
	@echo
	@exec $(BIN)/prefork run examples/demo/shop.py:app -w 4 -b 127.0.0.1:8000 --name demo

test: lint types tests  ## lint, check the types, run every test but the proofs (some six minutes on two idle cores)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

unit: $(INSTALLED)  ## run the tests that start no process (under a minute)
	$(PYTEST) -n 2 --dist loadfile -m 'not processes and not alone' tests/core tests/linux tests/cli $(wildcard tests/test_*.py)

# Most tests wait, so more files run at once than there are cores; what measures time runs after them, one at a time.
# Files, since the tests of some share a daemon, in the order of tests/conftest.py. (Groups of tests get lost between
# today's pytest and xdist.)
tests: $(INSTALLED)
	$(PYTEST) -n $(AT_ONCE) --dist loadfile --no-loadscope-reorder -m 'not alone'
	$(PYTEST) -m alone

test-pythons:  ## run the tests, or those of TESTS, on Python 3.14 and 3.15, in a Debian that it makes (root, debootstrap)
	AT_ONCE=$(AT_ONCE) tests/pythons.sh $(TESTS)

test-lowest:  ## run the tests of what uses other packages, with the lowest versions of them that pyproject.toml allows
	tests/lowest.sh $(TESTS)

package:  ## build wheel and sdist in dist, check them, and try the wheel in empty environments (needs the package index)
	$(PYTHON) tests/package.py

proof: $(INSTALLED)  ## the large proofs (hours): CPython's own tests, every order of events, a million inputs, load, a systemd
	TEST_OF_PREFORK_PROOF=1 $(PYTEST) -s tests/proof tests/core/test_explorer.py tests/core/test_random.py tests/test_random_hooks.py \
		tests/linux/test_fuzz.py tests/linux/test_relay.py tests/system/test_control_abuse.py \
		tests/system/test_daemon_deaths.py tests/system/test_daemon_under_load.py tests/system/test_hostile_workers.py \
		tests/system/test_hook_reloads.py tests/system/test_poison.py tests/system/test_release.py tests/system/test_reload.py \
		tests/system/test_sharded.py tests/system/test_takeover.py \
		tests/system/test_worker_signals.py tests/system/test_workers.py \
		tests/examples tests/security tests/adapters/test_tls.py tests/adapters/test_under_load.py \
		tests/adapters/test_work_after_responses.py
	$(BIN)/python bench/healthy_under_load.py

bench: $(INSTALLED)  ## what things cost here, printed
	$(BIN)/python bench/relaunch.py
	$(BIN)/python bench/daemons.py
	$(BIN)/python bench/core_events.py
	$(BIN)/python bench/status.py

bench-servers: $(INSTALLED)  ## servers under prefork beside the same ones and others by themselves (needs wrk; half an hour)
	$(BIN)/python bench/server_throughput.py
	$(BIN)/python bench/server_balance.py
	$(BIN)/python bench/server_start.py
	$(BIN)/python bench/server_relaunch.py
	$(BIN)/python bench/server_reload.py
	$(BIN)/python bench/server_drain.py
	$(BIN)/python bench/tls.py
	$(BIN)/python bench/access_log.py
	$(BIN)/python bench/metrics.py

docs: $(INSTALLED)  ## build the documentation site in site/, to be read from there or put on a web server
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'mkdocs-material>=9.7,<10' 'mkdocstrings[python]>=1,<2'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "the site: site/index.html"

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[samples,dev]'
	@touch $@

help:  ## list what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

clean:  ## remove the virtual environment and the tools' caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
