"""`prefork run` as one would type it: targets, options from all four places, reloads, and what it refuses."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import sys
from pathlib import Path

import pytest

import prefork
from support import PATIENCE, Start, until
from system.daemons import HEAD, SERVE, root
from system.runs import ASGI, PREFORK, WSGI, Run, write

FUNCTION = """
import os, time

def serve(worker):
    for connection, _ in worker.accept("http"):
        with connection:
            connection.sendall(f"function {os.getpid()}".encode())

async def serve_async(worker):
    async for connection, _ in worker.accept("http"):
        with connection:
            connection.send(f"coroutine {os.getpid()}".encode())

def tick(worker):
    while not worker.wait_draining(60):
        pass
"""


def test_application_is_made_by_a_factory_in_a_package(start: Start) -> None:
    """All ways to name one are in `test_target.py`; files and modules run in `test_run_frameworks.py`."""
    write(start, "package/__init__.py", "")
    write(start, "package/factory.py", ASGI + "\nasgi = app\ndel app\ndef create_app(config=None):\n    return asgi\n")
    run = Run(start, "package.factory:create_app()", "-w", "1")
    assert run.ready().startswith("ASGI function, made by package.factory:create_app() on uvicorn")
    assert run.who()[1] == "hello"
    assert run.stop() == 0


@pytest.mark.parametrize(("name", "kind"), [("serve", "function"), ("serve_async", "coroutine")])
def test_a_plain_function_is_a_worker(start: Start, name: str, kind: str) -> None:
    write(start, "echo.py", FUNCTION)
    run = Run(start, f"echo:{name}", "-w", "2")
    assert run.ready() == f"function {name}, workers: 2 worker, tcp://127.0.0.1:{run.port}"
    with socket.create_connection(("127.0.0.1", run.port), timeout=PATIENCE) as client:
        assert client.recv(100).decode().split()[0] == kind
    assert run.stop() == 0


RUN = """
if __name__ == "__main__":
    import prefork
    prefork.run("shop:app", workers=2, bind="127.0.0.1:0", name="by-call")
"""


def test_an_application_is_run_by_a_call(start: Start) -> None:
    write(start, "shop.py", WSGI + RUN)
    program = start.command(sys.executable, "shop.py", env={"RUNTIME_DIRECTORY": str(start.directory / "runtime")})
    program.expect(r"^prefork: by-call: ready \(WSGI function on .*, workers: 2 web, http://127", "err")
    assert program.stop() == 0


def test_a_call_without_the_guard_is_refused(start: Start) -> None:
    write(start, "shop.py", WSGI + RUN.replace('if __name__ == "__main__"', "if True"))
    program = start.command(sys.executable, "shop.py", env={"RUNTIME_DIRECTORY": str(start.directory / "runtime")})
    assert program.wait() == 1
    assert "shop.py starts a master of its own by prefork.run()" in program.err[-1]


def test_the_command_is_a_module_too(start: Start) -> None:
    program = start.command(sys.executable, "-m", "prefork", "--version")
    assert program.wait() == 0
    assert program.out[0].startswith("python -m prefork, version")


HELD = """
def app(environ, start_response):
    with open("held") as held:
        held.read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"let go"]
"""


@pytest.mark.parametrize("again", [False, True])
def test_ctrl_c_names_what_it_waits_for(start: Start, again: bool) -> None:
    write(start, "shop.py", HELD)
    os.mkfifo(start.directory / "held")
    run = Run(start, "shop", "-w", "2")
    run.ready()
    with socket.create_connection(("127.0.0.1", run.port), timeout=PATIENCE) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        # Opened for writing only once the application reads.
        with open(start.directory / "held", "w"):
            run.running.send(signal.SIGINT)
            run.running.expect(r"^prefork: waiting for 1 request \(web/\d\); Ctrl-C again to stop now$", "err")
            if again:
                run.running.send(signal.SIGINT)
                run.running.expect("^prefork: stopped$", "err")
        assert (b"let go" in client.makefile("rb").read()) is not again
    assert run.running.wait() == 0
    assert run.running.err[-1] == "prefork: stopped"
    assert run.running.left() == []


def test_a_function_that_listens_nowhere(start: Start) -> None:
    write(start, "echo.py", FUNCTION)
    run = Run(start, "echo:tick", "-w", "2", bind=False)
    assert run.ready() == "function tick, workers: 2 worker"
    assert run.stop() == 0


def test_a_daemon_is_run_as_it_is_and_says_what_its_options_are(start: Start) -> None:
    write(start, "chat.py", HEAD + 'daemon = prefork.Daemon("talk", listeners={"http": "tcp://127.0.0.1:0"})\n'
        "@daemon.plan\ndef plan():\n    return [Web(0)]\n" + SERVE)  # fmt: skip
    run = Run(start, "chat", bind=False)
    assert run.ready().startswith("Daemon, workers: 1 web, tcp://127.0.0.1:")
    (line,) = (
        line for line in run.running.err if line.startswith("mold of generation 1: the Daemon of chat is called ")
    )
    assert line.endswith(" talk and runs as chat: a name is needed before the import; start it with --name talk")
    assert run.stop() == 0
    run = Run(start, "chat", "--name", "talk", bind=False)
    run.ready()
    assert run.stop() == 0
    assert not [line for line in run.running.err if "is called" in line]
    run = Run(start, "chat", "-w", "2", bind=False)
    assert run.running.wait() == 1
    why = "--workers: chat is a Daemon, whose own code decides workers: the option is for applications"
    assert f"start: failed: {why}" in run.running.err


def test_options_come_from_file_variables_and_command_line(start: Start) -> None:
    write(start, "shop.py", ASGI + "\nTEXT = repr([name for name in os.environ if name.startswith('PREFORK')])\n")
    write(start, "prefork.toml", 'target = "shop:app"\nworkers = 1\nname = "corner-shop"\nbind = "127.0.0.1:1"\n')
    run = Run(start, env={"PREFORK_WORKERS": "3"})
    assert ", workers: 3 web, " in run.ready()
    assert "prefork: corner-shop: starting (pid " in run.running.err[0]
    assert run.running.err[0].endswith(f", Python {sys.version.split()[0]}, shop:app, options from prefork.toml)")
    assert run.who()[1] == "[]", "the application does not see our variables"
    assert run.stop() == 0


def test_it_listens_at_several_addresses_and_scales(start: Start) -> None:
    write(start, "shop.py", ASGI)
    run = Run(start, "shop", "-w", "1", "-b", f"unix:shop.sock?mode=620&group={os.getgid()}")
    said = run.ready()
    assert f"unix:{start.directory}/shop.sock" in said
    assert stat.S_IMODE(os.stat(start.directory / "shop.sock").st_mode) == 0o620
    assert run.who()[1] == "hello"
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        client.connect(str(start.directory / "shop.sock"))
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert client.makefile().readline().startswith("HTTP/1.")
    refused(Run(start, "shop", "-w", "1"), 2, f"is already running: pid {run.running.pid}")
    run.running.send(signal.SIGTTIN)
    run.pids(2)
    assert run.stop() == 0
    assert not (start.directory / "shop.sock").exists()


def test_a_reload_takes_up_new_code_and_new_options(start: Start) -> None:
    write(start, "shop.py", ASGI)
    write(start, "prefork.toml", "workers = 1\n")
    run = Run(start, "shop")
    assert "workers: 1 web" in run.ready()
    write(start, "shop.py", ASGI + '\nTEXT = "good day"\n')
    write(start, "prefork.toml", "workers = 3\n")
    run.running.send(signal.SIGHUP)
    run.running.expect(r"^reload: done \(generation 2\)$", "err")
    until(lambda: run.who()[1] == "good day", "the new code answers")
    run.pids(3)
    write(start, "prefork.toml", "workers = 0\n")
    run.running.send(signal.SIGHUP)
    run.running.expect(
        "^reload: failed: prefork.toml: workers: 0 is not a whole number, 1 or more, or 'auto'; the old code", "err"
    )
    assert run.who()[1] == "good day"
    assert run.stop() == 0


def test_workers_are_replaced_after_so_many_requests(start: Start) -> None:
    write(start, "shop.py", ASGI)
    run = Run(start, "shop", "-w", "1", "--max-requests", "5")
    run.ready()
    first, _ = run.who()
    until(lambda: run.who()[0] != first, "another worker answers")
    assert run.stop() == 0


# In development.


def test_change_reloads_and_broken_change_is_shown(start: Start) -> None:
    pytest.importorskip("watchfiles")
    write(start, "shop.py", ASGI)
    run = Run(start, "shop", "-w", "1", "--reload")
    run.ready()
    until(lambda: _watches(run), "the watcher watches")
    write(start, "shop.py", ASGI + '\nTEXT = "good day"\n')
    run.running.expect("^prefork: shop.py changed: reloading$", "err")
    run.running.expect(r"^reload: done \(generation 2\)$", "err")
    commands = [
        event for event in prefork.connect(str(start.directory / "runtime")).events() if event["event"] == "command"
    ]
    assert [(event["command"], event["by"]) for event in commands] == [("reload", "the code watcher")]
    assert run.who()[1] == "good day"
    write(start, "shop.py", ASGI + "\nTEXT = = 1\n")
    run.running.expect("^prefork: shop.py changed: reloading$", "err")
    run.running.expect(r'^      File ".*shop\.py", line \d+$', "err")
    run.running.expect("^    SyntaxError: invalid syntax$", "err")
    assert run.who()[1] == "good day"
    write(start, "shop.py", ASGI + '\nTEXT = "mended again"\n')
    run.running.expect(r"^reload: done \(generation 4\)$", "err")
    assert run.who()[1] == "mended again"
    assert run.stop() == 0


def _watches(run: Run) -> bool:
    """Whether some child has an inotify descriptor that watches something: only the watcher has one."""
    for pid in run.running.children():
        for info in Path(f"/proc/{pid}/fdinfo").iterdir():
            try:
                if "inotify wd:" in info.read_text():
                    return True
            except FileNotFoundError:
                pass  # Closed since the folder was listed.
    return False


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--reload-dir", "."], "prefork: --reload-dir: it needs --reload"),
        (["--reload", "--reload-dir", "none"], "prefork: --reload-dir: none is not a directory"),
    ],
)
def test_reload_options_that_make_no_sense(start: Start, arguments: list[str], why: str) -> None:
    write(start, "shop.py", ASGI)
    refused(Run(start, "shop", *arguments), 2, why)


# What cannot be.


def refused(run: Run, status: int, why: str) -> None:
    """See that it ends with this status and says why, in one piece, without a trace of ours."""
    assert run.running.wait() == status
    said = "\n".join(line.removeprefix("    ") for line in run.running.err)
    assert why in said
    # On a busy machine the import takes so long that the log has its place, which may be in our code.
    of_slowness = re.compile(r"^mold of .*: still importing .*\n(  .*\n)*", re.MULTILINE)
    assert "/prefork/" not in of_slowness.sub("", said), said
    assert run.running.left() == []


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("x = = 1", 'shop.py", line 1\n    x = = 1\n        ^\nSyntaxError: invalid syntax'),
        ("def f():\n    1 / 0\nf()", 'shop.py", line 2, in f\n    1 / 0\n    ~~^~~\nZeroDivisionError'),
        ("raise SystemExit('no database')", "SystemExit: no database"),
        (
            "def app(config):\n    return lambda environ, start_response: None",
            "start: failed: no worker became ready; worker/",
        ),
        (
            "def app(config):\n    return lambda environ, start_response: None",
            "app(config) is an application factory, which is called without arguments: give config a default",
        ),
        ("def app(worker):\n    return", "it never waited for work (accept, wait) and never called worker.ready()"),
        (
            "def app(scope, receive, send): ...",
            "returned NoneType, which cannot be awaited",
        ),
    ],
)
def test_a_target_that_cannot_be_run(start: Start, source: str, why: str) -> None:
    """What else is wrong with one is in `test_target.py`, `test_recognise.py` and, for `check`, `test_check.py`."""
    write(start, "shop.py", source)
    refused(Run(start, "shop"), 1, why)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (
            ["shop", "--workers", "none"],
            "for '-w' / '--workers': 'none' is not a whole number, 1 or more, or 'auto'",
        ),
        (["shop", "-w"], "Option '-w' requires an argument"),
        (["shop", "--worker", "2"], "No such option"),
        (
            ["shop", "--port", "80"],
            "no such option: --port: here it is --bind; as in 127.0.0.1:8000",
        ),
        (["shop", "-kgevent"], "no such option: -k: here it is --server; uvicorn, granian, hypercorn or waitress"),
        (["shop", "more"], "Got unexpected extra argument"),
        ([""], "'' is not a target"),
        ([], "there is no TARGET, and there is no prefork.toml either: name one, as in shop:app"),
        (["shop", "--group", "nogroup"], "--group: a group needs a user: give --user too"),
        (["shop", "--user", "nobody-of-this-name"], "--user"),
    ],
)
def test_a_command_line_that_makes_no_sense(start: Start, arguments: list[str], why: str) -> None:
    write(start, "shop.py", ASGI)
    refused(Run(start, *arguments, bind=False), 2, why)


@pytest.mark.parametrize(
    ("server", "why"),
    [
        ("uvicron", "did you mean uvicorn?"),
        ("waitress", "the server waitress serves wsgi applications, not asgi; choose another"),
    ],
)
def test_a_server_that_cannot_serve_it(start: Start, server: str, why: str) -> None:
    write(start, "shop.py", ASGI)
    refused(Run(start, "shop", "--server", server), 1, why)


def test_missing_server_is_named_with_what_to_install(start: Start) -> None:
    write(start, "shop.py", "import sys\nsys.modules['hypercorn'] = None\n" + ASGI)
    refused(Run(start, "shop", "--server", "hypercorn"), 1, "pip install 'prefork[hypercorn]'")


def test_an_address_that_is_taken(start: Start) -> None:
    write(start, "echo.py", FUNCTION)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = Run(start, "echo:serve", "-b", f"127.0.0.1:{port}", bind=False)
        refused(run, 1, f"cannot listen on tcp://127.0.0.1:{port} (http): Address already in use")


def test_paths_that_cannot_be_bound(start: Start) -> None:
    write(start, "echo.py", FUNCTION)
    refused(Run(start, "echo:serve", "-b", "unix:/" + 107 * "x", bind=False), 2, "108 bytes: the most is 107")
    run = Run(start, "echo:serve", "-b", "unix:/no/such/folder/x.sock", bind=False)
    refused(run, 1, "cannot listen on unix:///no/such/folder/x.sock (http): No such file or directory")


@pytest.mark.parametrize("address", ["udp://127.0.0.1:0", "udp://[::1]:5353"])
def test_an_application_is_not_asked_by_datagrams(start: Start, address: str) -> None:
    write(start, "shop.py", WSGI)
    why = f"--bind {address}: an application needs connections: use tcp:// or unix://"
    refused(Run(start, "shop", "-b", address, bind=False), 1, why)


def without(start: Start, capability: str, *arguments: str) -> str:
    """Return what `prefork run` says that is refused when it lacks one of root's rights."""
    if not root():
        pytest.skip("only root can give up a right")
    lacking = ["setpriv", f"--inh-caps=-{capability}", f"--bounding-set=-{capability}"]
    if start.command(*lacking, "true").wait() != 0:
        pytest.skip("setpriv cannot take the right away here")
    write(start, "echo.py", FUNCTION)
    environment = {"RUNTIME_DIRECTORY": str(start.directory / "runtime")}
    running = start.command(*lacking, PREFORK, "run", "echo:serve", *arguments, env=environment)
    assert running.wait() == 1
    said = "\n".join(running.err)
    assert "/prefork/" not in said
    return said


def test_a_privileged_port_without_the_right_to_it(start: Start) -> None:
    said = without(start, "net_bind_service", "-b", "127.0.0.1:80")
    assert "cannot listen on tcp://127.0.0.1:80 (http): Permission denied" in said
    assert "ports below 1024" in said


def test_a_path_in_a_folder_that_is_not_writable(start: Start) -> None:
    folder = start.directory / "locked"
    folder.mkdir(mode=0o555)
    said = without(start, "dac_override", "-b", f"unix:{folder}/shop.sock")
    assert f"cannot listen on unix://{folder}/shop.sock (http): Permission denied" in said
