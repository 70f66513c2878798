#!/usr/bin/env bash
# Run tests with the lowest versions of other packages that pyproject.toml allows: tests/lowest.sh [PATH...], or
# `make test-lowest`. Without paths: the tests of the parts that use such a package.
#
# uv resolves them; the packages of tests are as new as those allow. The environment is made again at each run.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3.11}
AT_ONCE=${AT_ONCE:-4}
ENVIRONMENT=.venv-lowest
TOOLS=.venv-package
LOWEST=$ENVIRONMENT/lowest.txt
TESTED="tests/cli tests/adapters tests/examples tests/linux/test_watching.py tests/linux/test_arena.py
    tests/linux/test_telemetry.py tests/system/test_agent.py tests/system/test_application_metrics.py
    tests/system/test_commands.py tests/system/test_daemon.py tests/system/test_dashboard.py
    tests/system/test_opentelemetry.py tests/system/test_push.py tests/system/test_run.py tests/test_context.py
    tests/test_options.py tests/test_option_records.py"

[ -x $TOOLS/bin/uv ] || { $PYTHON -m venv $TOOLS && $TOOLS/bin/python -m pip install -q uv; }
$TOOLS/bin/uv venv -q --clear --seed --python "$PYTHON" $ENVIRONMENT
export VIRTUAL_ENV=$PWD/$ENVIRONMENT
$TOOLS/bin/uv pip install -q --resolution lowest-direct --editable '.[all]'
# What pyproject.toml names, and not what those packages need: the packages of tests may need that newer.
named=$(sed -n '/^dependencies/,/^dev = /p' pyproject.toml | grep -oE '"[a-z-]+[>=]+' | tr -d '">=' | sort -u)
$TOOLS/bin/uv pip freeze --exclude-editable | grep -wE "^($(tr '\n' '|' <<<"$named")prefork)==.*" >$LOWEST
cat $LOWEST
$TOOLS/bin/uv pip install -q --constraints $LOWEST --editable '.[all,dev]'

PYTEST="$ENVIRONMENT/bin/python -m pytest -q -p no:cacheprovider"
# shellcheck disable=SC2086 # Words.
$PYTEST -n "$AT_ONCE" --dist loadfile --no-loadscope-reorder -m 'not alone' ${*:-$TESTED}
