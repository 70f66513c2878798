"""What surrounds an application: variables, directories, umask, logging and the pid file, by options."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
from pathlib import Path
from typing import Any

import pytest

from support import Start, until
from system.daemons import alive, forget_workers
from system.runs import PREFORK, Run, check, write

APPLICATION = """
import json, logging, os
import parts
open("made", "w").close()
log = logging.getLogger("shop")
log.info("imported by %s", os.getpid())
AT_IMPORT = dict(os.environ)

def app(environ, start_response):
    mask = os.umask(0)
    os.umask(mask)
    log.info("asked by %s", os.getpid())
    start_response("200 OK", [("Content-Type", "application/json")])
    names = [name for name in AT_IMPORT if name.startswith(("SHOP_", "PORT", "PREFORK"))]
    told = {"variables": {name: AT_IMPORT[name] for name in names}, "umask": mask, "directory": os.getcwd()}
    return [json.dumps({**told, "parts": parts.__file__}).encode()]
"""
LOGGING = {
    "version": 1,
    "formatters": {"short": {"format": "LOG %(name)s %(message)s"}},
    "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "short", "stream": "ext://sys.stdout"}},
    "root": {"level": "INFO", "handlers": ["out"]},
}
LOGGING_TOML = """
version = 1
root = { level = "INFO", handlers = ["out"] }
[formatters.short]
format = "LOG %(name)s %(message)s"
[handlers.out]
class = "logging.StreamHandler"
formatter = "short"
stream = "ext://sys.stdout"
"""
LOGGING_INI = """
[loggers]
keys=root
[handlers]
keys=out
[formatters]
keys=short
[logger_root]
level=INFO
handlers=out
[handler_out]
class=StreamHandler
formatter=short
args=(sys.stdout,)
[formatter_short]
format=LOG %(name)s %(message)s
"""


def shop(start: Start) -> Path:
    """Write the application into a directory of its own, and what it imports into another; return the first."""
    write(start, "site/shop.py", APPLICATION)
    write(start, "lib/parts.py", "")
    write(start, "site/logging.json", json.dumps(LOGGING))
    return start.directory / "site"


def told(run: Run) -> dict[str, Any]:
    found = json.loads(run.get())
    assert isinstance(found, dict)
    return found


def reload(run: Run) -> None:
    run.running.send(signal.SIGHUP)


def test_options_set_up_what_surrounds_it(start: Start) -> None:
    """All at once: variables of the platform are prefork's, and those of the options the application's."""
    site = shop(start)
    write(start, "site/shop.env", "SHOP_KEY='a secret'\nSHOP_MODE=file\nSHOP_OLD=old\n")
    run = Run(
        start,
        *("shop:app", "--chdir", "site", "--python-path", "../lib", "--umask", "027", "--log-config", "logging.json"),
        *("--env-file", "shop.env", "--env", "SHOP_MODE=line", "--env", "PORT=1", "--pid-file", "../shop.pid"),
        env={"WEB_CONCURRENCY": "1", "SHOP_OLD": "former", "SHOP_MODE": "shell"},
    )
    run.ready()
    found = told(run)
    assert found["variables"] == {"SHOP_KEY": "a secret", "SHOP_MODE": "line", "SHOP_OLD": "old", "PORT": "1"}
    assert (found["umask"], found["directory"]) == (0o027, str(site))
    assert found["parts"] == str(start.directory / "lib" / "parts.py")
    assert stat.S_IMODE((site / "made").stat().st_mode) == 0o640
    mold, worker = (run.running.expect(rf"^LOG shop {what} by (\d+)$")[1] for what in ("imported", "asked"))
    assert mold != worker
    pid_file = start.directory / "shop.pid"
    assert pid_file.read_text() == f"{run.running.pid}\n"
    for text, expected in (
        ("SHOP_KEY=renewed\nSHOP_MODE=file\n", {"SHOP_KEY": "renewed", "SHOP_MODE": "line", "SHOP_OLD": "former"}),
        ("SHOP_OLD=back\n", {"SHOP_MODE": "line", "SHOP_OLD": "back"}),
    ):
        write(start, "site/shop.env", text)
        reload(run)
        run.running.expect("^reload: done", "err")
        assert told(run)["variables"] == {**expected, "PORT": "1"}
    write(start, "site/shop.env", "SHOP_OLD=bad\nnothing\n")
    reload(run)
    run.running.expect(r"^reload: failed: shop\.env:2: the line is not KEY=VALUE, .*the old code goes on", "err")
    assert told(run)["variables"]["SHOP_OLD"] == "back"
    assert run.stop() == 0
    assert not pid_file.exists()


@pytest.mark.parametrize(("name", "text"), [("logging.toml", LOGGING_TOML), ("logging.ini", LOGGING_INI)])
def test_logging_is_configured_by_toml_and_ini(start: Start, name: str, text: str) -> None:
    shop(start)
    write(start, f"site/{name}", text)
    options = ("--chdir", "site", "--python-path", "../lib", "--log-config", name)
    status, out, err = check(start, "shop:app", *options)
    assert (status, re.sub(r"\d+", "N", err)) == (0, "LOG shop imported by N"), out


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("none.json", None, "--log-config none.json: No such file or directory"),
        ("l.yaml", "", "--log-config l.yaml: give a file .json or .toml (dictConfig), .ini or .conf (fileConfig)"),
        ("l.json", "{", "--log-config l.json: Expecting property name enclosed in double quotes: line 1 column 2"),
        ("l.json", "[]", "--log-config l.json: it has no table at its top"),
        ("l.toml", "version = 2", "--log-config l.toml: Unsupported version: 2"),
        (
            "l.json",
            json.dumps({**LOGGING, "handlers": {"out": {"class": "logging.FileHandler", "filename": "/no/where"}}}),
            "--log-config l.json: Unable to configure handler 'out': [Errno 2] No such file or directory: '/no/where'",
        ),
        ("l.ini", "[loggers]", "--log-config l.ini: "),
    ],
)
def test_bad_logging_is_refused_in_one_line(start: Start, name: str, text: str | None, why: str) -> None:
    shop(start)
    if text is not None:
        write(start, f"site/{name}", text)
    status, _, err = check(start, "shop:app", "--chdir", "site", "--python-path", "../lib", "--log-config", name)
    assert status == 1
    head, line = err.splitlines()
    assert head == "prefork: shop:app cannot be run"
    assert line.startswith(why)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("--chdir none", "--chdir none: the directory cannot be entered: No such file or directory"),
        ("--python-path none", "--python-path: none is not a directory"),
        ("--env-file none", "none: cannot be read: No such file or directory"),
        ("--env KEY", "Invalid value for '--env': 'KEY' is not KEY=VALUE"),
        ("--env PREFORK_NAME=x", "PREFORK_NAME is an option of prefork, which no application sees"),
        ("--umask 9", "'9' is not an octal number such as 027"),
        ("--pid-file lib", "cannot write the pid file DIRECTORY/lib: Is a directory"),
        ("--pid-file none/pid", "cannot write the pid file DIRECTORY/none/pid: No such file or directory"),
        ("--pid-file site/shop.py", "it has another content than a pid: give another path, or remove it"),
        ("--pid-file link", "cannot write the pid file DIRECTORY/link: it is a symbolic link: name the file itself"),
    ],
)
def test_bad_values_are_refused_in_one_line(start: Start, options: str, why: str) -> None:
    shop(start)
    (start.directory / "link").symlink_to("elsewhere")
    run = Run(start, "site/shop.py:app", *options.split())
    assert run.running.wait() in (1, 2)
    errors = "\n".join(run.running.err)
    assert why.replace("DIRECTORY", str(start.directory)) in errors
    assert "Traceback" not in errors
    assert (start.directory / "site" / "shop.py").read_text() == APPLICATION


def test_settings_are_shown_with_their_sources(start: Start) -> None:
    shop(start)
    write(start, "prefork.toml", 'env = ["SHOP_A=1"]\numask = "027"\npid_file = "shop.pid"\npython_path = "lib"\n')
    environment = {"PREFORK_ENV_FILE": "shop.env", "WEB_CONCURRENCY": "3", "PORT": "5000"}
    status, out, err = check(start, "--show", env=environment)
    assert (status, err) == (0, "")
    shown = {line.split()[0]: " ".join(line.split()[1:]) for line in out.splitlines() if line}
    expected = {
        "env": "SHOP_A=1 prefork.toml: env",
        "env_file": "shop.env PREFORK_ENV_FILE",
        "umask": "027 prefork.toml: umask",
        "pid_file": "shop.pid prefork.toml: pid_file",
        "python_path": "lib prefork.toml: python_path",
        "workers": "3 WEB_CONCURRENCY",
        "bind": "tcp://*:5000 PORT",
    }
    assert {name: shown[name] for name in expected} == expected


def test_interpreter_gets_the_variables_at_its_start(start: Start) -> None:
    write(start, "shop.py", "import sys\nassert sys.flags.hash_randomization == 0\ndef app(environ, start): ...\n")
    assert check(start, "shop:app", "--env", "PYTHONHASHSEED=0")[0] == 0


def test_pid_file_of_a_killed_master_is_replaced(start: Start) -> None:
    """That of a running one is not, also where it is given to another daemon."""
    write(start, "shop.py", "def app(environ, start):\n    start('200 OK', [])\n    return [b'1 x']\n")
    pid_file = start.directory / "shop.pid"
    pid_file.write_text(f"{os.getpid()}\n")  # Of a process that lives, and is no master.
    options = ("shop:app", "-w", "1", "--pid-file", "shop.pid")
    first = Run(start, *options)
    first.ready()
    write(start, "other.py", (start.directory / "shop.py").read_text())
    other = Run(start, "other:app", *options[1:], env={"RUNTIME_DIRECTORY": str(start.directory / "other")})
    assert other.running.wait() == 1
    other.running.expect(rf"it is that of the running daemon with pid {first.running.pid}: stop that one first", "err")
    assert pid_file.read_text() == f"{first.running.pid}\n"
    first.running.send(signal.SIGKILL)
    first.running.wait()
    assert pid_file.read_text() == f"{first.running.pid}\n"
    orphans = [pid for pid in first.running.left() if alive(pid)]
    forget_workers(start)
    second = Run(start, *options)
    second.ready()
    assert pid_file.read_text() == f"{second.running.pid}\n"
    until(lambda: not any(map(alive, orphans)), "the end of the first master's workers")
    assert second.stop() == 0
    assert not pid_file.exists()


def test_chdir_is_as_if_started_there(start: Start) -> None:
    """Its prefork.toml is read, and commands find the daemon there; by its name, which may be a link."""
    site = shop(start)
    write(start, "site/prefork.toml", 'target = "shop:app"\npython_path = "../lib"\nworkers = 1\n')
    (start.directory / "current").symlink_to("site")
    run = Run(start, "--chdir", "current")
    run.ready()
    assert told(run)["directory"] == str(site)
    environment = {"RUNTIME_DIRECTORY": str(start.directory / "runtime")}
    status = start.command(PREFORK, "status", "--json", cwd=site, env=environment)
    assert status.wait() == 0
    assert json.loads("\n".join(status.out))["pid"] == run.running.pid
    assert run.stop() == 0
