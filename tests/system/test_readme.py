"""The README's programs, as they stand there."""

from __future__ import annotations

import re
import signal
import socket
import sys
import textwrap
import urllib.request
from pathlib import Path

from support import PATIENCE, Start, until
from system.daemons import free_port
from system.runs import PREFORK

README = Path(__file__).parent.parent.parent / "README.md"


def program(name: str) -> str:
    """Return the indented block that begins with `# NAME`."""
    match = re.search(rf"^    # {re.escape(name)}\n(?:(?:    .*)?\n)+", README.read_text(), re.MULTILINE)
    assert match
    return textwrap.dedent(match[0])


def test_the_daemon_greets_with_what_its_configuration_says(start: Start) -> None:
    port = free_port()
    (start.directory / "hello.py").write_text(program("hello.py").replace("8001", str(port)))
    (start.directory / "hello.toml").write_text('greeting = "good day"\n')
    environment = {"RUNTIME_DIRECTORY": str(start.directory / "runtime")}
    running = start.command(sys.executable, "hello.py", env=environment)
    until(lambda: answer(port) == b"good day", "it greets")
    (start.directory / "hello.toml").write_text('greeting = "hi"\n')
    running.send(signal.SIGHUP)
    running.expect("reload of generation 2 done", "err")
    assert answer(port) == b"hi"
    assert running.stop() == 0


def test_the_web_application_is_run_as_the_readme_says(start: Start) -> None:
    (start.directory / "shop.py").write_text(program("shop.py"))
    (command,) = re.findall(r"^    (prefork run shop:app -w 4 .*)$", README.read_text(), re.MULTILINE)
    port = free_port()
    words = command.replace("8000", str(port)).split()[1:]
    environment = {"RUNTIME_DIRECTORY": str(start.directory / "runtime")}
    running = start.command(PREFORK, *words, env=environment)
    running.expect(rf"^prefork: shop is ready: .* workers: 4 web, http://127.0.0.1:{port}$", "err")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE) as response:
        assert response.read() == b'{"greeting":"hello"}'
    assert re.search("^    prefork reload ", README.read_text(), re.MULTILINE)
    reload = start.command(PREFORK, "reload", env=environment)
    assert reload.wait() == 0
    assert "generation 2" in reload.out[-1]
    assert running.stop() == 0


def answer(port: int) -> bytes:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
            return client.recv(100)
    except ConnectionRefusedError:
        return b""


def test_the_hooks_relaunch(start: Start) -> None:
    (start.directory / "greeters.py").write_text(program("greeters.py"))
    running = start.command(sys.executable, "greeters.py")
    running.expect_each(rf"hello from worker {i}," for i in range(3))
    running.send(signal.SIGHUP)
    running.expect_each(rf"hello from worker {i}," for i in range(3))
    assert running.stop() == 0
