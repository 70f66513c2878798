# The two commands that a newcomer needs are `make demo` and `make test`; `make help` lists the others.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
INSTALLED = $(VENV)/installed-with-everything
PYTEST = $(BIN)/python -m pytest -q
AT_ONCE ?= 8
WITH_PROCESSES = $(addprefix tests/,adapters cli examples linux security system testing)

.PHONY: demo test checks lint types unit collected tests test-pythons test-lowest package proof bench bench-servers docs help clean

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

test: checks tests  ## lint, check the types, run every test but the proofs (within five minutes on two idle cores)

# At once, since each has one or two processes that never wait.
checks: $(INSTALLED)
	@$(MAKE) --no-print-directory --jobs=4 --output-sync=target lint types collected unit

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

unit: $(INSTALLED)  ## run the tests that start no process (under a minute)
	$(PYTEST) -n 2 --dist loadfile -m 'not processes and not alone' tests/core tests/linux tests/cli $(wildcard tests/test_*.py)

# What tests with processes import is compiled here, once: each process of `tests` would else do it, all at the same time.
collected: $(INSTALLED)
	@$(PYTEST) -qq --collect-only $(WITH_PROCESSES) >/dev/null || true  # `tests` shows what is wrong.

# Most of these tests wait, so more files run at once than there are cores; what measures time runs after them, one at a
# time. Files, since the tests of some share a daemon, in the order of tests/conftest.py, which refuses a test with
# processes that is in none of these folders.
tests: $(INSTALLED)
	$(PYTEST) -n $(AT_ONCE) --dist loadfile --no-loadscope-reorder -m 'processes and not alone' $(WITH_PROCESSES)
	$(PYTEST) -m alone $$(grep -rl 'mark\.alone' $(WITH_PROCESSES) --include='test_*.py')

test-pythons:  ## run the tests, or those of TESTS, on Python 3.14 and 3.15, in a Debian that it makes (root, debootstrap)
	AT_ONCE=$(AT_ONCE) tests/pythons.sh $(TESTS)

test-lowest:  ## run the tests of what uses other packages, with the lowest versions of them that pyproject.toml allows
	tests/lowest.sh $(TESTS)

package:  ## build wheel and sdist in dist, check them, and try the wheel in empty environments (needs the package index)
	$(PYTHON) tests/package.py

# Of the other tests those that have more cases, or longer ones, for the proof.
proof: $(INSTALLED)  ## the large proofs (hours): CPython's own tests, every order of events, a million inputs, load, a systemd
	TEST_OF_PREFORK_PROOF=1 $(PYTEST) -s tests/proof tests/examples tests/security tests/system/test_poison.py \
		$$(grep -rlw PROOF tests --include='test_*.py')
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
	$(BIN)/python bench/milliseconds.py
	$(BIN)/python bench/server_many.py
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
