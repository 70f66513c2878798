"""The programs and commands of the README and of docs/hooks.md, as they stand there."""

from __future__ import annotations

import re
import signal
import socket
import sys
import urllib.request
from pathlib import Path

import click

from prefork.cli import main
from support import PATIENCE, Start, until
from system.daemons import free_port
from system.runs import PREFORK

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()
LONGEST_README = 120


def program(name: str, text: str = README) -> str:
    """Return the fenced program that begins with `# NAME`."""
    match = re.search(rf"^```python\n(# {re.escape(name)}\n.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert match
    return match[1]


def commands() -> list[str]:
    """Return the lines of the README's shell blocks, without comments."""
    blocks: list[str] = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [line.partition(" #")[0].strip() for block in blocks for line in block.splitlines()]


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= LONGEST_README


def test_readme_commands_exist() -> None:
    named = {line.split()[1] for line in commands() if line.startswith("prefork ")}
    assert named <= set(main.list_commands(click.Context(main)))


def test_readme_daemon_reloads(start: Start) -> None:
    port = free_port()
    source = program("hello.py").replace("8001", str(port))
    (start.directory / "hello.py").write_text(source)
    environment = {"RUNTIME_DIRECTORY": str(start.directory / "runtime")}
    running = start.command(sys.executable, "hello.py", env=environment)
    until(lambda: answer(port) == b"hello", "a greeting")
    (start.directory / "hello.py").write_text(source.replace('"hello") for', '"hi") for'))
    reload = start.command(PREFORK, "reload", env=environment)
    assert reload.wait() == 0
    assert answer(port) == b"hi"
    assert running.stop() == 0


def test_readme_application_runs(start: Start) -> None:
    (start.directory / "shop.py").write_text(program("shop.py"))
    (command,) = [line for line in commands() if line.startswith("prefork run shop:app ")]
    port = free_port()
    words = command.replace("8000", str(port)).split()[1:]
    environment = {"RUNTIME_DIRECTORY": str(start.directory / "runtime")}
    running = start.command(PREFORK, *words, env=environment)
    running.expect(rf"^prefork: shop: ready .* workers: 4 web, http://127.0.0.1:{port}\)$", "err")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE) as response:
        assert response.read() == b'{"greeting":"hello"}'
    assert "prefork reload" in commands()
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


def test_hooks_program_relaunches(start: Start) -> None:
    (start.directory / "greeters.py").write_text(program("greeters.py", (ROOT / "docs" / "hooks.md").read_text()))
    running = start.command(sys.executable, "greeters.py")
    running.expect_each(rf"hello from worker {i}," for i in range(3))
    running.send(signal.SIGHUP)
    running.expect_each(rf"hello from worker {i}," for i in range(3))
    assert running.stop() == 0
