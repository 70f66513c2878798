"""`prefork migrate` as a command: what it executes, prints and writes, and that `prefork check` accepts it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from prefork._foreign.every import TOOLS
from support import Start
from system.runs import PREFORK, check, write

CONFIGURATION = """
import os, pathlib
print("printed by the configuration")
assert pathlib.Path("beside").exists()
bind = ["127.0.0.1:0"]
workers = 2 * 1 + 1
timeout = 90
daemon = False
preload_app = True
raw_paste_global_conf = []
statsd_host = "localhost:8125"
ssl_context = lambda conf, default: None
not_a_setting = object()
"""


def migrate(start: Start, *words: str, **options: object) -> tuple[int, list[str], list[str]]:
    running = start.command(PREFORK, "migrate", *words, **options)
    return running.wait(), running.out, running.err


def test_gunicorn_file_becomes_one_that_check_accepts(start: Start) -> None:
    write(start, "shop.py", "def app(environ, start_response): ...\n")
    write(start, "etc/gunicorn.conf.py", CONFIGURATION)
    write(start, "etc/beside", "")
    words = ("--write", "gunicorn", "-c", "etc/gunicorn.conf.py", "--capture-output", "shop:app")
    environment = {"GUNICORN_CMD_ARGS": "--timeout 60 --name 'till'", "WEB_CONCURRENCY": ""}
    status, out, err = migrate(start, *words, env=environment)
    assert (status, out) == (0, [])
    assert err == [
        "prefork: gunicorn.conf.py: ssl_context: no equal: the context is made of the options of TLS",
        "prefork.toml: written; `prefork check --show` prints every option",
    ]
    assert (start.directory / "prefork.toml").read_text().splitlines() == [
        "# Made by `prefork migrate` of gunicorn.conf.py and GUNICORN_CMD_ARGS and gunicorn's command line.",
        'target = "shop:app"', 'name = "till"', "workers = 3", 'bind = ["127.0.0.1:0"]',
        "threads = 1  # gunicorn's default",
        "hang_timeout = 60  # it ends a worker that makes no progress, not one that is slow",
        'statsd = "udp://localhost:8125"  # statuses by class: gunicorn.request.status.2xx (statsd.md)',
        "capture = true",
    ]  # fmt: skip
    status, out_of_check, err_of_check = check(start, "--show")
    assert (status, err_of_check) == (0, "")
    assert re.search(r"^hang_timeout +60 +prefork.toml: hang_timeout$", out_of_check, re.MULTILINE)
    status, _, err = migrate(start, *words)
    assert (status, err[-1]) == (
        2, "prefork: prefork.toml exists and is left as it is: remove it, or run migrate without --write"
    )  # fmt: skip


IN_PYTHON = """
import ssl
class Production:
    bind = "unix:/run/shop.sock"
    umask = 0o077
    verify_mode = ssl.CERT_REQUIRED
    certfile = ca_certs = "shop.pem"
    workers = 2 + 1
"""


def test_hypercorns_python_is_executed(start: Start) -> None:
    write(start, "settings/__init__.py", IN_PYTHON)
    write(start, "settings/flat.py", f"{IN_PYTHON}\nglobals().update(vars(Production))\n")
    for place in "python:settings.Production", "file:settings/flat.py":
        status, out, err = migrate(start, "hypercorn", "--config", place, "shop:app")
        assert (status, err) == (0, [])
        assert out[1:] == [
            'target = "shop:app"', "workers = 3", 'bind = ["unix:/run/shop.sock?mode=700"]', 'server = "hypercorn"',
            'tls_cert = "shop.pem"', 'tls_ca = "shop.pem"', 'tls_client = "required"',
        ]  # fmt: skip
    status, out, err = migrate(start, "hypercorn", "--config", "python:settings.Other", "shop:app")
    reason = "AttributeError: module 'settings' has no attribute 'Other'"
    assert (status, out, err) == (2, [], [f"prefork: python:settings.Other: it cannot be executed: {reason}"])


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("bind = nothing", "it cannot be executed: NameError: name 'nothing' is not defined"),
        ("raise SystemExit(3)", "it cannot be executed: it ended with status 3"),
        ("bind = (", "it cannot be executed: SyntaxError: '(' was never closed"),
        ("import os; os._exit(0)", "it cannot be executed: it ended with status 0"),
    ],
)  # fmt: skip
def test_broken_gunicorn_file_is_one_line(start: Start, source: str, why: str) -> None:
    write(start, "gunicorn.conf.py", source)
    assert migrate(start, "gunicorn.conf.py") == (2, [], [f"prefork: gunicorn.conf.py: {why}"])


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "migrate: nothing to read: give a gunicorn.conf.py, hypercorn's TOML, an ini of uWSGI, or a command line"),
        (["none.ini"], "none.ini: cannot be read: No such file or directory"),
        (["none.conf.py"], "there is no file none.conf.py"),
        (["waitress-serve", "shop:app"], "migrate: nothing to read"),
    ],
)  # fmt: skip
def test_nothing_to_read_is_one_line(start: Start, words: list[str], why: str) -> None:
    status, out, err = migrate(start, *words, env={"GUNICORN_CMD_ARGS": ""})
    assert (status, out, len(err)) == (2, [], 1)
    assert why in err[0]


def test_json_has_options_remarks_and_errors(start: Start) -> None:
    status, out, err = migrate(
        start, "--json", "gunicorn", "-w", "3", "--spew", "shop:app", env={"GUNICORN_CMD_ARGS": ""}
    )
    assert (status, len(out), err) == (0, 1, [])
    made = json.loads(out[0])
    assert (made["tool"], made["options"]["workers"], len(made["remarks"])) == ("gunicorn", 3, 1)
    assert 'target = "shop:app"' in made["toml"].splitlines()
    status, out, err = migrate(start, "--json", "waitress-serve", "shop:app")
    assert (status, json.loads(out[0])["ok"], err) == (2, False, [])


def test_command_line_with_an_interpreter_before_it(start: Start) -> None:
    status, out, err = migrate(start, sys.executable, "-m", "uvicorn", "--port", "1", "shop:app", env={"PORT": ""})
    assert (status, err) == (0, [])
    assert out[1:3] == ['target = "shop:app"', "workers = 1  # uvicorn's default"]


@pytest.mark.parametrize("name", ["uvicorn", "granian", "hypercorn"])
def test_each_option_of_a_servers_help_is_in_its_table(start: Start, name: str) -> None:
    program = Path(sys.executable).with_name(name)
    if not program.exists():
        pytest.skip(f"{name} is not installed beside {sys.executable}")
    running = start.command(program, "--help", env={"COLUMNS": "200"})
    assert running.wait() == 0
    lines = [line for line in running.out if re.match(r" +-", line)]
    printed = {flag for line in lines for flag in re.findall(r"(?:^ +|, | / )(--?[a-zA-Z][\w-]*)", line[:70])}
    assert len(printed) > 30
    assert printed == {flag for setting in TOOLS[name].settings for flag in setting.flags}
